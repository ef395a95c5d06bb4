"""Substructures counted per molecule: circular environments of atoms, and pairs of atoms.

Rogers & Hahn 2010, doi:10.1021/ci100050t; Carhart, Smith & Venkataraghavan 1985, doi:10.1021/ci00046a002.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import chain
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator

from molig.errors import ModelFormatError, UsageError
from molig.features.distances import Distances, NearPairs

Index = npt.NDArray[np.int64]

_LARGEST_RADIUS = {"environment": 4, "element_environment": 4, "element_pair": 15}

_ID_BITS = 32
# Atoms that are looked at together, whether an environment has them.
_LOOKED_AT = 1 << 20


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

    def run(self, start: int, stop: int) -> Self:
        """Return the molecules from ``start`` to before ``stop``, as views: nothing is copied."""
        mols = slice(start, stop)
        rows = span(self.row_counts, mols)
        known = rows if self.has_atoms else slice(0, 0)
        return type(self)(
            self.ids[rows],
            self.counts[rows],
            self.row_counts[mols],
            self.radii[known],
            self.sizes[known],
            self.atoms[span(self.sizes, known)],
        )

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
    mols: Sequence[Chem.Mol],
    blocks: Sequence[EnvironmentBlock],
    *,
    occurrences: bool,
    distances: Distances | None = None,
) -> PackedEnvironments:
    """Count the environments of molecules, or list every occurrence with its atoms."""
    if not mols:
        none = np.zeros(0, dtype=np.int64)
        return PackedEnvironments(none, none.astype(np.float32), none, none.astype(np.int8), none, none)
    with rdBase.BlockLogs():  # of molecules without ring information, which are told below
        ready = [with_rings(mol) for mol in mols]
    listed = _occurrences if occurrences else _counts
    return listed(ready, blocks, Distances.of(ready) if distances is None else distances)


def with_rings(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with ring information, which standardisation may have dropped."""
    try:
        mol.GetRingInfo().NumRings()
    except RuntimeError:
        # On a copy: the other features of the original count rings more exactly.
        mol = Chem.Mol(mol)
        Chem.FastFindRings(mol)
    return mol


def _counts(
    mols: Sequence[Chem.Mol], blocks: Sequence[EnvironmentBlock], distances: Distances
) -> PackedEnvironments:
    ids, amounts, owners = [], [], []
    for number, block in enumerate(blocks):
        if block.name == "element_pair":
            pairs, keys = _pairs(block, distances)
            owner, amount = pairs.mols, np.ones(len(keys))
        else:
            owner, keys, amount = _circular_counts(mols, block, distances)
        ids.append((number << _ID_BITS) | keys)
        amounts.append(amount)
        owners.append(owner)
    every, amount, owner = np.concatenate(ids), np.concatenate(amounts), np.concatenate(owners)
    order = np.lexsort((every, owner))
    every, owner = every[order], owner[order]
    first = np.flatnonzero((np.diff(every, prepend=-1) != 0) | (np.diff(owner, prepend=-1) != 0))
    none = np.zeros(0, dtype=np.int64)
    return PackedEnvironments(
        every[first],
        np.add.reduceat(amount[order], first).astype(np.float32) if len(first) else np.zeros(0, np.float32),
        np.bincount(owner[first], minlength=len(mols)).astype(np.int64),
        none.astype(np.int8),
        none,
        none,
    )


def _circular_counts(
    mols: Sequence[Chem.Mol], block: EnvironmentBlock, distances: Distances
) -> tuple[Index, Index, npt.NDArray[np.float64]]:
    """Molecule and number of each different environment, and how often it is there."""
    generator = _generator(block.radius)
    held = [
        generator.GetSparseCountFingerprint(mol, **apart).GetNonzeroElements()
        for mol, apart in zip(mols, _told_apart(block, distances), strict=True)
    ]
    keys = _whole_numbers(chain.from_iterable(held))
    amounts = _whole_numbers(chain.from_iterable(each.values() for each in held))
    return np.repeat(np.arange(len(held)), [len(each) for each in held]), keys, amounts.astype(np.float64)


class Occurrences(NamedTuple):
    """Occurrences, those of a molecule together and in order."""

    owners: Index  # molecules
    ids: Index
    radii: Index
    sizes: Index
    atoms: Index


def _occurrences(
    mols: Sequence[Chem.Mol], blocks: Sequence[EnvironmentBlock], distances: Distances
) -> PackedEnvironments:
    found = []
    for number, block in enumerate(blocks):
        if block.name == "element_pair":
            rows = _occurring_pairs(block, distances)
        else:
            rows = occurring(mols, _generator(block.radius), _told_apart(block, distances), distances)
        found.append(rows._replace(ids=(number << _ID_BITS) | rows.ids))
    return packed(found, len(mols))


def packed(found: Sequence[Occurrences], n_mols: int) -> PackedEnvironments:
    """Occurrences of several kinds, those of a molecule together."""
    owners, ids, radii, sizes, atoms = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(owners, kind="stable")
    return PackedEnvironments(
        ids[order],
        np.ones(len(ids), dtype=np.float32),
        np.bincount(owners, minlength=n_mols).astype(np.int64),
        radii[order].astype(np.int8),
        sizes[order],
        atoms[ragged(sizes, order)],
    )


def occurring(
    mols: Sequence[Chem.Mol], generator: Any, told_apart: Sequence[dict[str, list[int]]], distances: Distances
) -> Occurrences:
    """Every place of the environments that a Morgan generator of RDKit finds in molecules."""
    held = []
    for mol, apart in zip(mols, told_apart, strict=True):
        output = rdFingerprintGenerator.AdditionalOutput()
        output.CollectBitInfoMap()
        generator.GetSparseCountFingerprint(mol, additionalOutput=output, **apart)
        held.append(output.GetBitInfoMap())
    per_key = _whole_numbers(len(where) for each in held for where in each.values())
    keys = np.repeat(_whole_numbers(chain.from_iterable(held)), per_key)
    owners = np.repeat(np.repeat(np.arange(len(held)), [len(each) for each in held]), per_key)
    places = chain.from_iterable(where for each in held for where in each.values())
    centres, radii = _whole_numbers(chain.from_iterable(places)).reshape(-1, 2).T
    order = np.lexsort((radii, centres, keys, owners))
    owners, keys, centres, radii = owners[order], keys[order], centres[order], radii[order]
    parts = np.cumsum(distances.atom_counts[owners]) // _LOOKED_AT
    cuts = np.flatnonzero(np.diff(parts)) + 1
    columns = (np.split(column, cuts) for column in (owners, centres, radii))
    spheres = [_spheres(o, c, r, distances) for o, c, r in zip(*columns, strict=True)]
    sizes, atoms = zip(*spheres, strict=True)
    return Occurrences(owners, keys, radii, np.concatenate(sizes), np.concatenate(atoms))


def _spheres(owners: Index, centres: Index, radii: Index, distances: Distances) -> tuple[Index, Index]:
    """Number of atoms of each occurrence, and these atoms, the centre before the others."""
    n_atoms = distances.atom_counts[owners]
    row = np.repeat(np.arange(len(owners)), n_atoms)
    centre, place = centres[row], np.arange(len(row)) - np.repeat(np.cumsum(n_atoms) - n_atoms, n_atoms)
    atom = np.where(place == 0, centre, place - (place <= centre))
    apart = distances.flat[(distances.starts[owners] + centres * n_atoms)[row] + atom]
    within = np.flatnonzero((place == 0) | (apart <= radii[row]))
    return np.bincount(row[within], minlength=len(owners)), atom[within]


def _occurring_pairs(block: EnvironmentBlock, distances: Distances) -> Occurrences:
    pairs, keys = _pairs(block, distances)
    order = np.lexsort((keys, pairs.mols))
    atoms = np.stack([pairs.first, pairs.second], axis=1)[order]
    n = len(keys)
    return Occurrences(
        pairs.mols[order], keys[order], np.zeros(n, dtype=np.int64), np.full(n, 2), atoms.ravel()
    )


def _pairs(block: EnvironmentBlock, distances: Distances) -> tuple[NearPairs, Index]:
    """Pairs of atoms within the radius, and their numbers."""
    pairs = distances.near(block.radius)
    starts = (np.cumsum(distances.atom_counts) - distances.atom_counts)[pairs.mols]
    one, other = (distances.elements[starts + atoms] for atoms in (pairs.first, pairs.second))
    keys = (np.minimum(one, other) << 16) | (np.maximum(one, other) << 8)
    return pairs, keys | distances.flat[pairs.places].astype(np.int64)


def _told_apart(block: EnvironmentBlock, distances: Distances) -> list[dict[str, list[int]]]:
    """What tells the atoms of each molecule apart, where it is not what RDKit takes."""
    if block.name == "environment":
        return [{}] * len(distances.atom_counts)
    elements = np.split(distances.elements, np.cumsum(distances.atom_counts)[:-1])
    return [{"customAtomInvariants": each.tolist()} for each in elements]


def _whole_numbers(numbers: Iterable[int]) -> Index:
    return np.fromiter(numbers, dtype=np.int64)


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


def span(counts: Index, rows: slice) -> slice:
    """Places of the entries of a run of rows, likewise."""
    first = int(counts[: rows.start].sum())
    return slice(first, first + int(counts[rows].sum()))
