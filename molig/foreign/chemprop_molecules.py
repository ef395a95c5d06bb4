"""Molecules as Chemprop reads them: what becomes of hydrogens, stereo marks and the order of atoms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.errors import UsageError
from molig.molecules import Molecule, MoleculeParser, Rejection, StandardizationPolicy
from molig.molecules.reasons import Reason, RefusedError
from molig.molecules.records import Record
from molig.molecules.standardize import Hydrogens

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChempropParser(MoleculeParser):
    """A parser whose molecules are those that Chemprop would score.

    Parameters
    ----------
    policy : StandardizationPolicy or str
        ``"none"`` scores what is written, counter-ions and all, as Chemprop does.
    max_heavy_atoms, hydrogens
        As for `molig.molecules.MoleculeParser`; for explicit hydrogens use ``add_h``.
    keep_h : bool
        Hydrogens written as atoms stay atoms; ``--keep-h`` of Chemprop. For the policy "none" only.
    add_h : bool
        Every hydrogen becomes an atom; ``--add-h``.
    ignore_stereo : bool
        Marks of stereochemistry are dropped; ``--ignore-stereo``.
    reorder_atoms : bool
        Atoms stand in the order of their map numbers; ``--reorder-atoms``.

    Raises
    ------
    UsageError
        If options contradict each other.

    Examples
    --------
    >>> ChempropParser(policy="none", add_h=True).parse_smiles("C").mol.GetNumAtoms()
    5
    """

    keep_h: bool = False
    add_h: bool = False
    ignore_stereo: bool = False
    reorder_atoms: bool = False

    @property
    def in_words(self) -> str:
        """What becomes of a SMILES."""
        policy = (
            "as written, counter-ions and all" if self.policy is StandardizationPolicy.NONE else "parents"
        )
        done = {
            "written hydrogens stay atoms": self.keep_h,
            "every hydrogen is an atom": self.add_h,
            "stereo marks are dropped": self.ignore_stereo,
            "atoms stand in the order of their map numbers": self.reorder_atoms,
        }
        listed = [policy, *(words for words, chosen in done.items() if chosen)]
        return f"{', '.join(listed)}; at most {self.max_heavy_atoms} heavy atoms"

    def __post_init__(self) -> None:
        MoleculeParser.__post_init__(self)
        if self.hydrogens is Hydrogens.EXPLICIT:
            raise UsageError("Chemprop's molecules get their hydrogens by add_h, not by explicit hydrogens")
        if self.keep_h and self.policy is StandardizationPolicy.PARENT:
            raise UsageError(
                "keep_h keeps hydrogens as they are written, which the standardisation 'parent' does not; "
                "choose one of them"
            )

    def _parse(self, record: Record) -> Molecule | Rejection:
        parsed = MoleculeParser._parse(self, record)
        if isinstance(parsed, Rejection):
            return parsed
        try:
            return self._as_chemprop(parsed, record)
        except RefusedError as refused:
            return Rejection(record.row, record.id, parsed.smiles, str(refused))

    def _as_chemprop(self, molecule: Molecule, record: Record) -> Molecule:
        mol, origin = molecule.mol, np.array(molecule.origin) if molecule.origin else None
        n_input = molecule.n_input_atoms
        as_written = self.policy is StandardizationPolicy.NONE and record.is_text
        # Without standardisation only hydrogens written as atoms change a molecule; RDKit keeps some of them.
        if as_written and n_input is not None:
            mol, origin = _read(molecule.smiles.strip(), self.keep_h)
        if not (self.add_h or self.ignore_stereo or self.reorder_atoms) and mol is molecule.mol:
            return molecule
        origin = np.arange(mol.GetNumAtoms()) if origin is None else origin
        n_input = mol.GetNumAtoms() if n_input is None else n_input
        if self.add_h:
            mol = Chem.AddHs(mol)
            origin = np.concatenate([origin, np.full(mol.GetNumAtoms() - len(origin), -1)])
        if self.ignore_stereo:
            mol = Chem.Mol(mol)
            for atom in mol.GetAtoms():
                atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
            for bond in mol.GetBonds():
                bond.SetStereo(Chem.BondStereo.STEREONONE)
        if self.reorder_atoms:
            order = np.argsort([atom.GetAtomMapNum() for atom in mol.GetAtoms()])
            mol, origin = Chem.RenumberAtoms(mol, order.tolist()), origin[order]
        same = len(origin) == n_input and bool((origin == np.arange(n_input)).all())
        return replace(
            molecule,
            mol=mol,
            origin=None if same else tuple(origin.tolist()),
            n_input_atoms=None if same else n_input,
            as_given=molecule.as_given and same,
        )


def _read(smiles: str, keep_h: bool) -> tuple[Chem.Mol, Index]:
    """A SMILES with written hydrogens, read by RDKit's own rules, and the input index of each atom."""
    whole_params = Chem.SmilesParserParams()
    whole_params.removeHs = False  # type: ignore[assignment]  # the stubs have methods for properties
    whole = Chem.MolFromSmiles(smiles, whole_params)
    if keep_h:
        return whole, np.arange(whole.GetNumAtoms())
    mol = Chem.MolFromSmiles(smiles)
    for atom in whole.GetAtoms():
        atom.SetIntProp("_moligWritten", atom.GetIdx())
    kept = [atom.GetIntProp("_moligWritten") for atom in Chem.RemoveHs(whole).GetAtoms()]
    if len(kept) != mol.GetNumAtoms():
        raise RefusedError(Reason.STANDARDIZATION.text("its hydrogens cannot be told from its other atoms"))
    return mol, np.array(kept)
