"""The same molecules in other forms: other atom orders, other SMILES, other company in a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem, rdBase

from molig.features import PackedGraphs
from molig.model import ScreeningModel
from molig.molecules import Molecule, Record, input_atom_indices
from molig.network import WeaveNet

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_LARGE_SHARE = 0.9
# Of repeated texts, so that a large molecule is as near to the size limit as the text can bring it.
_LARGE = ("C", "OCC", "NCC(=O)")


@dataclass(frozen=True)
class Variant:
    """A molecule in another form.

    Parameters
    ----------
    molecule : Molecule
        The other form, as the model's parser made it.
    places : array of int, shape (n_atoms,)
        For each atom of the other form its place in the original molecule; -1 where it has none.
    """

    molecule: Molecule
    places: Index

    def back(self, scores: FloatArray, n_atoms: int) -> FloatArray:
        """Put atom scores of the other form in the order of the original.

        Parameters
        ----------
        scores : array of float, shape (n_atoms of the other form,)
            Scores of its atoms.
        n_atoms : int
            Atoms of the original.
        """
        found = np.zeros(n_atoms)
        known = self.places >= 0
        found[self.places[known]] = scores[known]
        return found


def renumbered(molecule: Molecule, rng: np.random.Generator) -> Variant:
    """Number the atoms of a molecule anew, at random.

    Parameters
    ----------
    molecule : Molecule
        Accepted by the model's parser.
    rng : Generator
        Draws the order.

    Returns
    -------
    Variant
    """
    order = rng.permutation(molecule.mol.GetNumAtoms())
    mol = Chem.RenumberAtoms(molecule.mol, order.tolist())
    return Variant(Molecule(molecule.row, molecule.id, molecule.smiles, mol), order)


def readable(molecule: Molecule) -> Chem.Mol:
    """The molecule as given, before standardisation; if its text cannot be read, as it was scored."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(molecule.smiles)
    return molecule.mol if mol is None else mol


def random_smiles(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """SMILES that starts at an atom drawn at random and runs through its neighbours in a random order."""
    order = rng.permutation(mol.GetNumAtoms()).tolist()
    return str(Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False))


def kekulized_smiles(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """SMILES with alternating single and double bonds in place of aromatic ones."""
    kekulized = Chem.Mol(mol)
    Chem.Kekulize(kekulized, clearAromaticFlags=True)
    return str(Chem.MolToSmiles(kekulized, kekuleSmiles=True))


def bracket_smiles(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """SMILES with every atom in brackets, with its hydrogens, and every bond written."""
    return str(Chem.MolToSmiles(mol, allBondsExplicit=True, allHsExplicit=True))


def hydrogen_smiles(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """SMILES with every hydrogen as an atom of its own."""
    return str(Chem.MolToSmiles(Chem.AddHs(mol)))


FORMS: dict[str, Callable[[Chem.Mol, np.random.Generator], str]] = {
    "random SMILES": random_smiles,
    "kekulized SMILES": kekulized_smiles,
    "SMILES in brackets": bracket_smiles,
    "SMILES with hydrogens": hydrogen_smiles,
}
"""Ways of writing a molecule that must not matter."""


def parsed(model: ScreeningModel, molecule: Molecule, smiles: str) -> Molecule | None:
    """Another SMILES of a molecule through the model's parser; None if it is refused."""
    found, _ = model.parser.parse_many([Record(molecule.row, molecule.id, smiles)])
    return found[0] if found else None


def rewritten(model: ScreeningModel, molecule: Molecule, rng: np.random.Generator) -> Variant | None:
    """Write a molecule as a random SMILES and read it again.

    Parameters
    ----------
    model : ScreeningModel
        Its parser reads.
    molecule : Molecule
        As the parser made it from its SMILES.
    rng : Generator
        Draws the SMILES.

    Returns
    -------
    Variant or None
        None if the parser refuses the text, or the atoms cannot be followed.
    """
    source = readable(molecule)
    order = rng.permutation(source.GetNumAtoms())
    shuffled = Chem.RenumberAtoms(source, order.tolist())
    other = parsed(model, molecule, str(Chem.MolToSmiles(shuffled, canonical=False)))
    if other is None or other.mol.GetNumAtoms() != molecule.mol.GetNumAtoms():
        return None
    written = np.array(list(shuffled.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"]))
    place_of = {source: place for place, source in enumerate(input_atom_indices(molecule.mol)) if source >= 0}
    inputs = input_atom_indices(other.mol)
    if max(inputs, default=0) >= len(written):
        return None
    places = [place_of.get(int(order[written[i]]), -1) if i >= 0 else -1 for i in inputs]
    return Variant(other, np.array(places, dtype=np.int64))


def large_molecules(model: ScreeningModel) -> list[Molecule]:
    """Chain molecules nearly as large as the model's parser allows."""
    most = int(_LARGE_SHARE * model.info.molecules.max_heavy_atoms)
    found = []
    for unit in _LARGE:
        repeats = max(1, most // sum(symbol.isalpha() for symbol in unit))
        molecules, _ = model.parser.parse_many([Record(1, "large", unit * repeats)])
        found += molecules
    return found


def alone(model: ScreeningModel, graphs: PackedGraphs) -> FloatArray:
    """Logits of molecules scored one at a time.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    graphs : PackedGraphs
        The molecules.

    Returns
    -------
    array of float, shape (n_mols, n_tasks)
        NaN where the model cannot score a molecule without others.
    """
    found = np.full((len(graphs), len(model.tasks)), np.nan)
    for place in range(len(graphs)):
        try:
            found[place] = model.logits(graphs.select([place]))
        except (ValueError, RuntimeError):
            # Batch normalisation in training mode refuses a batch of one; NaN says that it broke.
            continue
    return found


def in_double(model: ScreeningModel) -> ScreeningModel:
    """The same model, its parts and their states as they are, in double precision."""
    return _with_network(model, copy.deepcopy(model.network).double())


def other_device(model: ScreeningModel) -> str | None:
    """The other kind of device, CPU or CUDA, that a model could run on here; None if there is none."""
    if not torch.cuda.is_available():
        return None
    return "cpu" if model.device.type == "cuda" else "cuda"


def on_device(model: ScreeningModel, device: str) -> ScreeningModel:
    """The same model, its parts, their states and its precision as they are, on another device.

    `ScreeningModel.to` moves the network itself and puts it into evaluation mode; this moves a copy.
    """
    twin = _with_network(model, copy.deepcopy(model.network).to(device))
    twin.device = torch.device(device)
    return twin


def _with_network(model: ScreeningModel, network: WeaveNet) -> ScreeningModel:
    twin = copy.copy(model)
    for cached in ("dtype", "secants"):
        twin.__dict__.pop(cached, None)
    twin.network = network
    return twin


def largest_difference(first: FloatArray, second: FloatArray) -> FloatArray:
    """Largest difference per molecule over all tasks; infinite where one of the two is no number."""
    difference = np.abs(first - second).max(axis=1, initial=0.0)
    return np.where(np.isfinite(difference), difference, np.inf)


def modules_in_training(model: ScreeningModel) -> list[str]:
    """Names of the network's dropout and normalisation layers that are in training mode."""
    return [
        name
        for name, module in model.network.named_modules()
        if module.training and type(module).__name__ in {"Dropout", "BatchNorm1d", "LayerNorm"}
    ]


def some(n: int, most: int, rng: np.random.Generator) -> Index:
    """At most ``most`` of ``n`` places, drawn at random, ascending."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def aligned(variants: Sequence[Molecule | None], model: ScreeningModel) -> FloatArray:
    """Logits of molecules, NaN for those that are missing; shape (n, n_tasks)."""
    found = np.full((len(variants), len(model.tasks)), np.nan)
    known = [i for i, molecule in enumerate(variants) if molecule is not None]
    if known:
        found[known] = model.logits(model.featurize([m.mol for m in variants if m is not None]))
    return found
