"""Fragments of molecules by name: elements, functional groups, ring systems, scaffolds and BRICS pieces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rdkit import Chem, RDConfig
from rdkit.Chem.BRICS import FindBRICSBonds
from rdkit.Chem.Scaffolds import MurckoScaffold

Index = npt.NDArray[np.int64]

GROUPS_FILE = Path(RDConfig.RDDataDir) / "FragmentDescriptors.csv"
"""Functional groups with descriptions and SMARTS, part of RDKit."""
SMALLEST_PIECE = 2
"""Heavy atoms of a BRICS piece; smaller ones are elements."""


@dataclass(frozen=True)
class Fragment:
    """A fragment and where it occurs.

    Parameters
    ----------
    name : str
        Its kind and what it is, such as ``"element Cl"`` or ``"ring c1ccncc1"``.
    atoms : dict of int to array of int
        Place of each molecule that has it, to the places of its atoms there (of all occurrences).
    """

    name: str
    atoms: dict[int, Index]

    def presence(self, n: int) -> npt.NDArray[np.bool_]:
        """Which of ``n`` molecules have it, shape (n,).

        Parameters
        ----------
        n : int
            Molecules.
        """
        found = np.zeros(n, dtype=bool)
        found[list(self.atoms)] = True
        return found


def find_fragments(mols: Sequence[Chem.Mol], fewest: int) -> list[Fragment]:
    """Find the fragments that several, but not all molecules have.

    Parameters
    ----------
    mols : sequence of Mol
        Sanitised molecules.
    fewest : int
        Molecules that must have a fragment, and that must not.

    Returns
    -------
    list of Fragment
        The most frequent first. Of fragments with the same atoms in the same molecules, only the first kind
        in the order of the module's title.

    Examples
    --------
    >>> mols = [Chem.MolFromSmiles(smiles) for smiles in ("CCCl", "CCCCl", "CCC")]
    >>> [fragment.name for fragment in find_fragments(mols, 1)]
    ['alkyl halides', 'element Cl']
    """
    found: dict[str, dict[int, set[int]]] = defaultdict(dict)
    for place, mol in enumerate(mols):
        for name, atoms in fragment_atoms(mol):
            found[name].setdefault(place, set()).update(atoms)
    kept: dict[tuple[tuple[int, tuple[int, ...]], ...], Fragment] = {}
    for name, places in found.items():
        if fewest <= len(places) <= len(mols) - fewest:
            atoms_of = {place: np.array(sorted(atoms), dtype=np.int64) for place, atoms in places.items()}
            kept.setdefault(
                tuple((place, tuple(atoms.tolist())) for place, atoms in atoms_of.items()),
                Fragment(name, atoms_of),
            )
    return sorted(kept.values(), key=lambda fragment: (-len(fragment.atoms), fragment.name))


def fragment_atoms(mol: Chem.Mol) -> Iterable[tuple[str, Sequence[int]]]:
    """Names and atoms of the fragments of one molecule; a name may come several times.

    Parameters
    ----------
    mol : Mol
        Sanitised molecule.

    Returns
    -------
    iterable of (str, sequence of int)
    """
    mol = Chem.Mol(mol)
    # Standardised molecules may have lost their rings, which patterns ask for.
    Chem.GetSymmSSSR(mol)
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() not in (1, 6):
            yield f"element {atom.GetSymbol()}", [atom.GetIdx()]
    for name, pattern in functional_groups().items():
        for match in mol.GetSubstructMatches(pattern):
            yield name, match
    for system in ring_systems(mol):
        yield f"ring {_smiles(mol, system)}", system
    scaffold = MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]
    if scaffold.GetNumAtoms():
        atoms = mol.GetSubstructMatch(scaffold)
        if atoms:
            yield f"scaffold {_smiles(mol, atoms)}", atoms
    for piece in brics_pieces(mol):
        if len(piece) >= SMALLEST_PIECE:
            yield f"piece {_smiles(mol, piece)}", piece


@cache
def functional_groups() -> dict[str, Chem.Mol]:
    """Patterns of functional groups by what RDKit calls them, such as ``"aromatic hydroxyl groups"``."""
    found: dict[str, Chem.Mol] = {}
    for line in GROUPS_FILE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip('"') for cell in line.split("\t")]
        if not line.startswith("#") and len(cells) >= 3:
            pattern = Chem.MolFromSmarts(cells[2])
            if pattern is not None:
                found.setdefault(cells[1].removeprefix("Number of "), pattern)
    return found


def ring_systems(mol: Chem.Mol) -> list[list[int]]:
    """Atoms of each ring system: rings that share atoms are one.

    Parameters
    ----------
    mol : Mol
        Sanitised molecule.

    Returns
    -------
    list of list of int

    Examples
    --------
    >>> [len(system) for system in ring_systems(Chem.MolFromSmiles("c1ccc2ccccc2c1CC1CC1"))]
    [10, 3]
    """
    systems: list[set[int]] = []
    for ring in mol.GetRingInfo().AtomRings():
        joined = set(ring)
        for other in [system for system in systems if system & joined]:
            joined |= other
            systems.remove(other)
        systems.append(joined)
    return sorted(sorted(system) for system in systems)


def brics_pieces(mol: Chem.Mol) -> list[list[int]]:
    """Atoms of the pieces that are left when all BRICS bonds are cut; none if there is no such bond.

    Parameters
    ----------
    mol : Mol
        Sanitised molecule.

    Returns
    -------
    list of list of int

    Examples
    --------
    >>> brics_pieces(Chem.MolFromSmiles("CC(=O)Nc1ccccc1"))
    [[0, 1, 2], [3], [4, 5, 6, 7, 8, 9]]
    """
    cuts = FindBRICSBonds(mol)  # type: ignore[no-untyped-call]
    bonds = [mol.GetBondBetweenAtoms(*ends).GetIdx() for ends, _ in cuts]
    if not bonds:
        return []
    cut = Chem.FragmentOnBonds(mol, bonds, addDummies=False)
    return [sorted(atoms) for atoms in Chem.GetMolFrags(cut)]


def _smiles(mol: Chem.Mol, atoms: Sequence[int]) -> str:
    return str(Chem.MolFragmentToSmiles(mol, list(atoms), isomericSmiles=False))
