"""What two molecules have in common: a maximum common substructure, or a pattern that both contain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdFMCS
from rdkit.Chem.Scaffolds import MurckoScaffold

from molig.errors import InputError, UsageError, called
from molig.files import read_regular
from molig.molecules.reasons import CHEMISTRY_ERRORS

Index = npt.NDArray[np.int64]

MOST_ATOMS, TIMEOUT = 40, 5
"""Many pairs are searched one after the other: of those with a larger molecule none is, since the search for
what is common may take minutes. Any other search is given up after so many seconds, several times what the
slowest of 99 % take."""
MOST_GIVEN_UP = 12
"""Searches given up, after which no further pair is searched: a minute without a result is enough."""
PATIENCE = 20
"""Seconds after which the search for the common part of a single pair is given up."""
SMALLEST_SHARE = 1 / 3
"""Less of the smaller molecule in common is no scaffold."""

# Ways in which a pattern lies on a molecule that are compared; a scaffold with several phenyls has thousands.
_MOST_WAYS, _MOST_PLACES = 1000, 20
_RADIUS = 4  # bonds around an atom that tell one way from another


def _nothing() -> Index:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Overlap:
    """Atoms of two molecules that stand for each other.

    Parameters
    ----------
    first, second : array of int, shape (n_common,)
        Atoms that both molecules have, by their indices in the one and, in the same order, in the other.
    share : float
        How many they are, as a share of the larger molecule's atoms.
    replaced_first, replaced_second : array of int, shape (n_replaced,)
        Atoms that stand in the same place but are of different kinds, such as CH and N of a ring.
    """

    first: Index
    second: Index
    share: float
    replaced_first: Index = field(default_factory=_nothing)
    replaced_second: Index = field(default_factory=_nothing)

    @property
    def places(self) -> list[tuple[int, int]]:
        """All atoms that stand for each other, of one kind or not."""
        pairs = [*zip(self.first.tolist(), self.second.tolist(), strict=True)]
        return [*pairs, *zip(self.replaced_first.tolist(), self.replaced_second.tolist(), strict=True)]


def overlap_of(places: list[tuple[int, int]], first: Chem.Mol, second: Chem.Mol) -> Overlap:
    """Atoms that stand for each other, and hydrogens on them; those of one kind apart from the others."""
    places = places + _hydrogens(places, first, second)
    same = [pair for pair in places if _kind(first, pair[0]) == _kind(second, pair[1])]
    other = [pair for pair in places if _kind(first, pair[0]) != _kind(second, pair[1])]
    ends = [np.array(list(pairs), dtype=np.int64).reshape(-1, 2) for pairs in (same, other)]
    share = len(same) / max(first.GetNumAtoms(), second.GetNumAtoms())
    return Overlap(ends[0][:, 0], ends[0][:, 1], share, ends[1][:, 0], ends[1][:, 1])


def _kind(mol: Chem.Mol, index: int) -> tuple[int, int, bool]:
    atom = mol.GetAtomWithIdx(index)
    return atom.GetAtomicNum(), atom.GetFormalCharge(), atom.GetIsAromatic()


def overlap(first: Chem.Mol, second: Chem.Mol) -> Overlap | None:
    """Maximum common substructure; None if there is none or a molecule is too large to search in time."""
    if max(first.GetNumAtoms(), second.GetNumAtoms()) > MOST_ATOMS:
        return None
    with rdBase.BlockLogs():
        first, second = with_rings(first), with_rings(second)
        pattern = _common_pattern([first, second], TIMEOUT)
        if pattern is None:
            return None
        atoms = [np.array(mol.GetSubstructMatch(pattern), dtype=np.int64) for mol in (first, second)]
    if len(atoms[0]) != len(atoms[1]) or not len(atoms[0]):
        return None
    return Overlap(atoms[0], atoms[1], len(atoms[0]) / max(first.GetNumAtoms(), second.GetNumAtoms()))


def _common_pattern(mols: list[Chem.Mol], timeout: int, *, any_atom: bool = False) -> Chem.Mol | None:
    """Maximum common substructure with whole rings, as a pattern."""
    compare = rdFMCS.AtomCompare.CompareAny if any_atom else rdFMCS.AtomCompare.CompareElements
    result = rdFMCS.FindMCS(
        mols,
        timeout=timeout,
        ringMatchesRingOnly=True,
        completeRingsOnly=True,
        atomCompare=compare,
        bondCompare=rdFMCS.BondCompare.CompareOrderExact,
    )
    if result.canceled:
        raise TimeoutError(f"the search for a common substructure took longer than {timeout} s")
    if not result.numAtoms or not result.smartsString:
        return None
    return Chem.MolFromSmarts(result.smartsString)


def with_rings(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with ring information, which standardisation may have dropped; on a copy if need be."""
    try:
        # RDKit would log that there is none.
        with rdBase.BlockLogs():
            mol.GetRingInfo().NumRings()
    except RuntimeError:
        mol = Chem.Mol(mol)
        Chem.GetSymmSSSR(mol)
    return mol


@dataclass
class Searches:
    """Searches for common substructures, until too many of them had to be given up."""

    given_up: int = 0  # took longer than `TIMEOUT`, which depends on the load of the machine
    not_begun: int = 0  # after `MOST_GIVEN_UP` others

    def overlap(self, first: Chem.Mol, second: Chem.Mol) -> Overlap | None:
        """As `overlap`; None, too, for a search that is given up or not begun."""
        if self.given_up >= MOST_GIVEN_UP:
            self.not_begun += 1
            return None
        try:
            return overlap(first, second)
        except TimeoutError:
            self.given_up += 1
            return None

    def __str__(self) -> str:
        """For a remark."""
        text = f"{self.given_up} pairs whose common part took longer than {TIMEOUT} s to find"
        if self.given_up:
            text += " (how many depends on the load of the machine)"
        if self.not_begun:
            text += f", {self.not_begun} more that were not searched after so many"
        return text


# A single pair, which is worth more effort: atoms may differ in kind, and of all ways the best is taken.


def matched_pair(first: Chem.Mol, second: Chem.Mol, template: Chem.Mol | None = None) -> Overlap:
    """What two molecules have in common, as a chemist would lay them upon each other.

    Parameters
    ----------
    first, second : Mol
        The molecules; hydrogens that are atoms stand for each other where their heavy atoms do.
    template : Mol, optional
        A pattern that both contain, as of `read_template`: it is what they have in common, whatever else
        agrees. By default the maximum common substructure with whole rings, or that of any elements where
        more atoms of one kind agree so, as in benzene and pyridine.

    Returns
    -------
    Overlap

    Raises
    ------
    InputError
        If the molecules do not contain the template, or have too little in common, or the search for it takes
        too long.
    """
    with rdBase.BlockLogs():
        heavy = heavy_atoms_of(first), heavy_atoms_of(second)
        patterns = _patterns(*heavy) if template is None else [template]
        ways = [way for pattern in patterns if (way := _best_way(pattern, *heavy)) is not None]
    found = [overlap_of(way, *heavy) for way in ways]
    if template is not None and not found:
        raise InputError(
            f"{_without(template, *heavy)} does not contain the template {Chem.MolToSmarts(template)}"
        )
    best = max(
        found, key=lambda each: len(each.first), default=None
    )  # of equals the first, of exact elements
    least = SMALLEST_SHARE * min(mol.GetNumAtoms() for mol in heavy)
    if best is None or (template is None and len(best.first) < max(2, least)):
        n_common = 0 if best is None else len(best.first)
        raise InputError(
            f"{Chem.MolToSmiles(heavy[0])} and {Chem.MolToSmiles(heavy[1])} have no common scaffold: "
            f"{n_common} atoms of {heavy[0].GetNumAtoms()} and {heavy[1].GetNumAtoms()}; compare molecules "
            f"of one series, or give what they have in common by {called('template')}"
        )
    return overlap_of(best.places, first, second)


def heavy_atoms_of(mol: Chem.Mol) -> Chem.Mol:
    """The molecule without hydrogens that are atoms; they stand behind the others."""
    return with_rings(Chem.RemoveHs(mol, sanitize=False) if _has_hydrogens(mol) else mol)


def _has_hydrogens(mol: Chem.Mol) -> bool:
    return mol.GetNumHeavyAtoms() < mol.GetNumAtoms()


def _without(template: Chem.Mol, first: Chem.Mol, second: Chem.Mol) -> str:
    lacking = second if first.HasSubstructMatch(template) else first
    return str(Chem.MolToSmiles(lacking))


def _patterns(first: Chem.Mol, second: Chem.Mol) -> list[Chem.Mol]:
    try:
        found = [_common_pattern([first, second], PATIENCE, any_atom=any_atom) for any_atom in (False, True)]
    except TimeoutError as error:
        raise InputError(f"{error}; say what the molecules have in common by {called('template')}") from error
    return [pattern for pattern in found if pattern is not None]


def _best_way(pattern: Chem.Mol, first: Chem.Mol, second: Chem.Mol) -> list[tuple[int, int]] | None:
    """Of all ways to lay a pattern on both molecules, the one in which most surroundings of atoms agree."""
    places = first.GetSubstructMatches(pattern, maxMatches=_MOST_PLACES)
    ways = np.array(
        second.GetSubstructMatches(pattern, uniquify=False, maxMatches=_MOST_WAYS), dtype=np.int64
    )
    if not places or not len(ways):
        return None
    here, there = _surroundings(first), _surroundings(second)
    best: tuple[int, list[tuple[int, int]]] = (-1, [])
    for place in places:
        agree = (here[:, list(place)][:, None, :] == there[:, ways]).sum(axis=(0, 2))
        chosen = int(agree.argmax())
        if agree[chosen] > best[0]:
            best = int(agree[chosen]), [*zip(place, ways[chosen].tolist(), strict=True)]
    return best[1]


def _surroundings(mol: Chem.Mol) -> Index:
    """Codes of what is around each atom, wider and wider, shape (radii, n_atoms)."""
    atoms = [mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())]
    codes = [hash((*_kind(mol, a.GetIdx()), a.GetDegree(), a.GetTotalNumHs())) for a in atoms]
    rows = [codes]
    around = [[(int(b.GetBondType()), b.GetOtherAtomIdx(a.GetIdx())) for b in a.GetBonds()] for a in atoms]
    for _ in range(_RADIUS):
        codes = [
            hash((code, *sorted((bond, codes[other]) for bond, other in near)))
            for code, near in zip(codes, around, strict=True)
        ]
        rows.append(codes)
    return np.array(rows, dtype=np.int64)


def _hydrogens(places: list[tuple[int, int]], first: Chem.Mol, second: Chem.Mol) -> list[tuple[int, int]]:
    """Hydrogens that are atoms, on atoms that stand for each other."""
    if not (_has_hydrogens(first) and _has_hydrogens(second)):
        return []
    return [
        pair
        for i, j in places
        for pair in zip(_hydrogens_of(first, i), _hydrogens_of(second, j), strict=False)
    ]


def _hydrogens_of(mol: Chem.Mol, atom: int) -> list[int]:
    return [n.GetIdx() for n in mol.GetAtomWithIdx(atom).GetNeighbors() if n.GetAtomicNum() == 1]


# What a whole series has in common.

# A set with an odd molecule in it still has a scaffold; less than a ring is none.
_MOST_OF_THEM = 0.7
_SMALLEST = 5
_MOST_SEARCHED = 100


def scaffold_of(mols: Sequence[Chem.Mol]) -> Chem.Mol:
    """What a series has in common, as a pattern.

    Parameters
    ----------
    mols : sequence of Mol
        The series; of more than 100 the first are searched.

    Returns
    -------
    Mol
        The maximum common substructure with whole rings or, where that is less than a ring, the largest
        Murcko scaffold that 70 % of the molecules contain.

    Raises
    ------
    InputError
        If there is neither, or the search takes too long.
    """
    way_out = "give a SMARTS or an SD file"
    if len(mols) < 2:
        raise InputError(f"a single molecule has nothing in common with others; {way_out}")
    some = [heavy_atoms_of(mol) for mol in mols[:_MOST_SEARCHED]]
    with rdBase.BlockLogs():
        try:
            pattern = _common_pattern(some, PATIENCE)
        except TimeoutError as error:
            raise InputError(f"{error}; {way_out}") from error
        if pattern is None or pattern.GetNumAtoms() < _SMALLEST:
            pattern = _scaffold_of_most(some)
    if pattern is None:
        raise InputError(f"the {len(mols)} molecules have no scaffold in common; {way_out}")
    return pattern


def _scaffold_of_most(mols: Sequence[Chem.Mol]) -> Chem.Mol | None:
    found = (MurckoScaffold.GetScaffoldForMol(mol) for mol in mols)  # type: ignore[no-untyped-call]
    scaffolds = {Chem.MolToSmiles(one): one for one in found if one.GetNumAtoms() >= _SMALLEST}
    for smiles in sorted(scaffolds, key=lambda text: (-scaffolds[text].GetNumAtoms(), text)):
        scaffold = scaffolds[smiles]
        if sum(mol.HasSubstructMatch(scaffold) for mol in mols) >= _MOST_OF_THEM * len(mols):
            return Chem.MolFromSmarts(smiles)
    return None


def read_template(text: str) -> Chem.Mol:
    """A pattern of SMARTS or SMILES, or the first molecule of an SD or mol file with its coordinates.

    Parameters
    ----------
    text : str
        SMARTS, or the name of a file ending in .sdf or .mol.

    Returns
    -------
    Mol

    Raises
    ------
    UsageError
        If it is neither.

    Examples
    --------
    >>> read_template("c1ccncc1").GetNumAtoms()
    6
    """
    if Path(text).suffix.lower() in (".sdf", ".mol"):
        return _first_of_file(Path(text))
    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(text)
    if pattern is None or not pattern.GetNumAtoms():
        raise UsageError(f"{text!r} is no SMARTS, nor a file ending in .sdf or .mol")
    pattern.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(pattern)
    return pattern


def _first_of_file(path: Path) -> Chem.Mol:
    try:
        block = read_regular(path, at_most=1_000_000).decode(errors="replace")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    try:
        with rdBase.BlockLogs():
            mol = Chem.MolFromMolBlock(block.split("$$$$")[0])
    except CHEMISTRY_ERRORS:
        mol = None
    if mol is None or not mol.GetNumAtoms():
        raise UsageError(f"{path}: its first record is no molecule that RDKit can read")
    return mol
