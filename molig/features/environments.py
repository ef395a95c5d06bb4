"""Substructures counted per molecule: circular environments of atoms, and pairs of atoms.

Rogers & Hahn 2010, doi:10.1021/ci100050t; Carhart, Smith & Venkataraghavan 1985, doi:10.1021/ci00046a002.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator

from molig.errors import ModelFormatError, UsageError

Index = npt.NDArray[np.int64]

_LARGEST_RADIUS = {"environment": 4, "element_environment": 4, "element_pair": 15}

_ID_BITS = 32


@dataclass(frozen=True)
class EnvironmentBlock:
    """Counts of the substructures of one kind.

    Parameters
    ----------
    name : {"environment", "element_environment", "element_pair"}
        Circular environments whose atoms are told apart by element, charge, ring, and numbers of neighbours
        and hydrogens (as in ECFP), or by their element alone, so that what is attached does not matter; or
        pairs of elements and the number of bonds between them.
    radius : int
        Bonds from the centre to the rim of the largest environments, or between the atoms of a pair.
    """

    name: str
    radius: int = 2

    def __post_init__(self) -> None:
        """Refuse blocks that cannot be computed."""
        if self.name not in _LARGEST_RADIUS:
            raise ModelFormatError(
                f"this version of molig cannot compute the feature block {self.name!r} "
                f"(it knows {', '.join(_LARGEST_RADIUS)}); the model needs a newer version"
            )
        largest = _LARGEST_RADIUS[self.name]
        if type(self.radius) is not int or not 0 <= self.radius <= largest:
            raise UsageError(f"the radius of {self.name} must be from 0 to {largest} (got {self.radius})")


@dataclass(frozen=True, eq=False)
class PackedEnvironments:
    """Environments of ``n_mols`` molecules, end to end.

    There is a row for every occurrence of an environment, or, where occurrences were not asked for, one for
    every different environment of a molecule with its count.

    Parameters
    ----------
    ids : array of int64, shape (n_rows,)
        Number of the block, times 2^32, plus RDKit's number of the environment.
    counts : array of float32, shape (n_rows,)
        How often the environment occurs; 1 for an occurrence.
    row_counts : array of int64, shape (n_mols,)
        Rows per molecule.
    radii : array of int8, shape (n_rows,)
        Bonds from centre to rim of an occurrence, 0 of a pair of atoms; of shape (0,) where occurrences were
        not asked for.
    sizes : array of int64, shape (n_rows,)
        Atoms of an occurrence; likewise.
    atoms : array of int64, shape (sum of sizes,)
        These atoms, numbered within their molecule, the centre first.
    """

    ids: Index
    counts: npt.NDArray[np.float32]
    row_counts: Index
    radii: npt.NDArray[np.int8]
    sizes: Index
    atoms: Index

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self.row_counts)

    @property
    def n_rows(self) -> int:
        """Rows of all molecules."""
        return len(self.ids)

    @property
    def has_atoms(self) -> bool:
        """Whether the rows are occurrences, which know their atoms."""
        return len(self.radii) == self.n_rows

    @property
    def mol_of_row(self) -> Index:
        """Molecule of each row, shape (n_rows,)."""
        return np.repeat(np.arange(len(self)), self.row_counts)

    def select(self, molecules: Index) -> Self:
        """Return the molecules of the given indices, in that order; indices may repeat."""
        rows = ragged(self.row_counts, molecules)
        return self._rows(rows, self.row_counts[molecules])

    def keep(self, kept: npt.NDArray[np.bool_]) -> Self:
        """Return the marked rows only, shape (n_rows,)."""
        counts = np.bincount(self.mol_of_row[kept], minlength=len(self)).astype(np.int64)
        return self._rows(np.flatnonzero(kept), counts)

    def _rows(self, rows: Index, row_counts: Index) -> Self:
        known = rows if self.has_atoms else rows[:0]
        return type(self)(
            self.ids[rows],
            self.counts[rows],
            row_counts,
            self.radii[known],
            self.sizes[known],
            self.atoms[ragged(self.sizes, known)],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Put several packs end to end; with atoms only if all have them."""
        if not all(part.has_atoms for part in parts):
            parts = [replace(p, radii=p.radii[:0], sizes=p.sizes[:0], atoms=p.atoms[:0]) for p in parts]
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def without_atom(self, atom: int) -> Self:
        """Return a single molecule's environments without those that hold an atom; later atoms move up."""
        owner = np.repeat(np.arange(self.n_rows), self.sizes)
        kept = np.ones(self.n_rows, dtype=bool)
        kept[owner[self.atoms == atom]] = False
        left = self.keep(kept)
        return type(self)(
            left.ids, left.counts, left.row_counts, left.radii, left.sizes, left.atoms - (left.atoms > atom)
        )


def environments(
    mols: Sequence[Chem.Mol], blocks: Sequence[EnvironmentBlock], *, occurrences: bool
) -> PackedEnvironments:
    """Count the environments of molecules, or list every occurrence with its atoms."""
    if not mols:
        none = np.zeros(0, dtype=np.int64)
        return PackedEnvironments(none, none.astype(np.float32), none, none.astype(np.int8), none, none)
    with rdBase.BlockLogs():  # of molecules without ring information, which are told below
        ready = [with_rings(mol) for mol in mols]
    if occurrences:
        return PackedEnvironments.concatenate([_occurrences(mol, blocks) for mol in ready])
    return _counts(ready, blocks)


def with_rings(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with ring information, which standardisation may have dropped."""
    try:
        mol.GetRingInfo().NumRings()
    except RuntimeError:
        # On a copy: the other features of the original count rings more exactly.
        mol = Chem.Mol(mol)
        Chem.FastFindRings(mol)
    return mol


def _counts(mols: Sequence[Chem.Mol], blocks: Sequence[EnvironmentBlock]) -> PackedEnvironments:
    ids, counts = [], []
    for mol in mols:
        elements = _elements(mol)
        for number, block in enumerate(blocks):
            if block.name == "element_pair":
                keys, _ = _pairs(mol, block, elements)
                amounts = np.ones(len(keys))
            else:
                apart = {} if block.name == "environment" else {"customAtomInvariants": elements}
                held = _generator(block.radius).GetSparseCountFingerprint(mol, **apart).GetNonzeroElements()
                keys = np.fromiter(held.keys(), dtype=np.int64, count=len(held))
                amounts = np.fromiter(held.values(), dtype=np.float64, count=len(held))
            ids.append((number << _ID_BITS) | keys)
            counts.append(amounts)
    per_block = np.array([len(keys) for keys in ids])
    mol_of_row = np.repeat(np.arange(len(mols)), per_block.reshape(len(mols), -1).sum(axis=1))
    every, amount = np.concatenate(ids), np.concatenate(counts)
    order = np.lexsort((every, mol_of_row))
    every, mol_of_row = every[order], mol_of_row[order]
    first = np.flatnonzero((np.diff(every, prepend=-1) != 0) | (np.diff(mol_of_row, prepend=-1) != 0))
    none = np.zeros(0, dtype=np.int64)
    return PackedEnvironments(
        every[first],
        np.add.reduceat(amount[order], first).astype(np.float32) if len(first) else np.zeros(0, np.float32),
        np.bincount(mol_of_row[first], minlength=len(mols)).astype(np.int64),
        none.astype(np.int8),
        none,
        none,
    )


def _occurrences(mol: Chem.Mol, blocks: Sequence[EnvironmentBlock]) -> PackedEnvironments:
    found = []
    for number, block in enumerate(blocks):
        keys, radii, sizes, atoms = (
            _occurring_pairs(mol, block) if block.name == "element_pair" else _occurring(mol, block)
        )
        ones = np.ones(len(keys), dtype=np.float32)
        ids = (number << _ID_BITS) | keys
        found.append(PackedEnvironments(ids, ones, np.array([len(keys)]), radii, sizes, atoms))
    one = PackedEnvironments.concatenate(found)
    return replace(one, row_counts=np.array([one.n_rows]))


_Rows = tuple[Index, npt.NDArray[np.int8], Index, Index]
"""Numbers, radii and sizes of occurrences, and their atoms."""


def _occurring(mol: Chem.Mol, block: EnvironmentBlock) -> _Rows:
    output = rdFingerprintGenerator.AdditionalOutput()
    output.CollectBitInfoMap()
    apart = _told_apart(mol, block)
    _generator(block.radius).GetSparseCountFingerprint(mol, additionalOutput=output, **apart)
    places = output.GetBitInfoMap().items()
    rows = sorted((key, centre, radius) for key, where in places for centre, radius in where)
    keys, centres, radii = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    within = Chem.GetDistanceMatrix(mol)[centres] <= radii[:, None]
    row, atom = np.nonzero(within)
    first = np.lexsort((atom, atom != centres[row], row))  # the centre before the others
    return keys, radii.astype(np.int8), within.sum(axis=1), atom[first]


def _occurring_pairs(mol: Chem.Mol, block: EnvironmentBlock) -> _Rows:
    keys, ends = _pairs(mol, block, _elements(mol))
    order = np.argsort(keys, kind="stable")
    n = len(keys)
    return keys[order], np.zeros(n, dtype=np.int8), np.full(n, 2), ends[order].ravel()


def _pairs(mol: Chem.Mol, block: EnvironmentBlock, elements: list[int]) -> tuple[Index, Index]:
    """Numbers of the pairs of atoms within the radius, and the two atoms of each, shape (n_pairs, 2)."""
    distance = Chem.GetDistanceMatrix(mol)
    first, second = np.nonzero(distance <= block.radius)
    upper = first < second
    first, second = first[upper], second[upper]
    numbers = np.array(elements, dtype=np.int64)
    one, other = numbers[first], numbers[second]
    keys = (np.minimum(one, other) << 16) | (np.maximum(one, other) << 8)
    keys |= distance[first, second].astype(np.int64)
    return keys, np.stack([first, second], axis=1)


def bonds_of_environments(mol: Chem.Mol, held: PackedEnvironments) -> npt.NDArray[np.bool_]:
    """Bonds of a molecule's occurrences, shape (n_rows, n_bonds): those with an end within the rim."""
    ends = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()], dtype=np.int64)
    centres = held.atoms[np.cumsum(held.sizes) - held.sizes]
    distance = Chem.GetDistanceMatrix(mol)[centres]
    nearer = np.minimum(*(distance[:, end] for end in ends.reshape(-1, 2).T))
    return np.asarray(nearer < held.radii[:, None])


def block_of(environment: int, blocks: Sequence[EnvironmentBlock]) -> EnvironmentBlock:
    """Block that the number of an environment belongs to."""
    return blocks[environment >> _ID_BITS]


def pair_text(environment: int) -> str:
    """What the number of a pair of elements says, such as ``"N and O, 4 bonds apart"``."""
    first, second, bonds = (environment >> 16) & 0xFF, (environment >> 8) & 0xFF, environment & 0xFF
    symbols = " and ".join(Chem.GetPeriodicTable().GetElementSymbol(z) if z else "*" for z in (first, second))
    return f"{symbols}, {bonds} bond{'s' if bonds > 1 else ''} apart"


@cache
def _generator(radius: int) -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius)


def _told_apart(mol: Chem.Mol, block: EnvironmentBlock) -> dict[str, list[int]]:
    """What tells the atoms apart, where it is not what RDKit takes."""
    if block.name == "environment":
        return {}
    return {"customAtomInvariants": _elements(mol)}


def _elements(mol: Chem.Mol) -> list[int]:
    atom = mol.GetAtomWithIdx  # faster than RDKit's own loop over the atoms
    return [atom(i).GetAtomicNum() for i in range(mol.GetNumAtoms())]


_PROBE = (
    "CC(=O)Oc1ccccc1C(=O)[O-]",
    "C[N+]1(C)CC1.Clc1ccncc1",
    "O=S(=O)(N)c1cc(F)c2[nH]ccc2c1",
    "C[Si](C)(C)C#N",
)


def numbering_digest(blocks: Sequence[EnvironmentBlock]) -> str:
    """Digest of the numbers that this RDKit gives to the environments of a few molecules.

    A model whose environments were numbered otherwise would read every molecule wrongly.
    """
    packed = environments([Chem.MolFromSmiles(smiles) for smiles in _PROBE], blocks, occurrences=False)
    return hashlib.sha256(packed.ids.tobytes() + packed.counts.tobytes()).hexdigest()


def ragged(counts: Index, rows: npt.ArrayLike) -> Index:
    """Places of the entries of the given rows in an array with ``counts[r]`` entries of row r."""
    rows = np.asarray(rows, dtype=np.int64)
    taken = counts[rows]
    shift = np.repeat((np.cumsum(counts) - counts)[rows] - (np.cumsum(taken) - taken), taken)
    return np.asarray(shift + np.arange(int(taken.sum())))
