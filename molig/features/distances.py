"""Distances between atoms, bond orders and elements, read from RDKit in one call per molecule.

Where the elements are known from the text of a SMILES, and molecules are many, that call is for the matrix of
bond orders, and compiled loops find the distances: a sixth of the time of RDKit's distance matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.compiled import compiled

Index = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

MANY = 64
"""From this number of molecules on compiled loops are worth the time that it takes to load them."""

NO_PATH = 1e8
"""RDKit's distance of atoms without a path between them."""


class NearPairs(NamedTuple):
    """Pairs of atoms i < j up to some distance, molecule by molecule."""

    mols: Index
    first: Index  # numbered within the molecule
    second: Index
    places: Index  # in `Distances.flat`


class Distances(NamedTuple):
    """Distance matrices of molecules, row by row and end to end."""

    flat: npt.NDArray[np.float64]  # off the diagonals; pairs without a path are huge
    starts: Index  # (n_mols,), where the matrix of each molecule begins
    atom_counts: Index  # (n_mols,)
    elements: Index  # (n_atoms,), atomic numbers
    bond_orders: npt.NDArray[np.float64] | None = None  # matrices like those of `flat`, if they were read

    @classmethod
    def of(cls, mols: Sequence[Chem.Mol], elements: Sequence[bytes | None] | None = None) -> Self:
        """Read them; this takes a tenth of the time of a loop over the atoms."""
        if elements is None or len(mols) < MANY:
            return cls._read(mols)
        matrices = bond_order_matrices(mols)
        counts = np.array([len(matrix) for matrix in matrices], dtype=np.int64)
        starts = np.cumsum(counts**2) - counts**2
        orders = np.concatenate([matrix.ravel() for matrix in matrices])
        flat = np.empty(len(orders))
        unknown = [i for i, known in enumerate(elements) if known is None or len(known) != counts[i]]
        known_atoms = np.ones(len(mols), dtype=np.bool_)
        known_atoms[unknown] = False
        fill_distances(orders, starts, counts, known_atoms, flat)
        texts = list(elements)
        for i in unknown:
            one = cls._read([mols[i]])
            flat[starts[i] : starts[i] + len(one.flat)] = one.flat
            texts[i] = one.elements.astype(np.uint8).tobytes()
        found = np.frombuffer(b"".join(text or b"" for text in texts), dtype=np.uint8)
        return cls(flat, starts, counts, found.astype(np.int64), orders)

    @classmethod
    def _read(cls, mols: Sequence[Chem.Mol]) -> Self:
        counts = np.array([mol.GetNumAtoms() for mol in mols], dtype=np.int64)
        # With "atom weights" the diagonal holds 6 / atomic number. The prefix keeps RDKit from handing back
        # a matrix cached without them.
        matrices = [Chem.GetDistanceMatrix(mol, useAtomWts=True, prefix="molig") for mol in mols]
        flat = np.concatenate([m.ravel() for m in matrices]) if matrices else np.zeros(0)
        starts = np.cumsum(counts**2) - counts**2
        local = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        diagonal = np.repeat(starts, counts) + local * (np.repeat(counts, counts) + 1)
        return cls(flat, starts, counts, np.rint(6.0 / flat[diagonal]).astype(np.int64))

    def near(self, limit: float) -> NearPairs:
        """Pairs not farther apart than the limit."""
        if len(self.starts) >= MANY:
            n_pairs = count_near(self.flat, self.starts, self.atom_counts, limit)
            found = np.empty((4, n_pairs), dtype=np.int64)
            find_near(self.flat, self.starts, self.atom_counts, limit, found)
            return NearPairs(*found)
        places = np.flatnonzero(self.flat <= limit)
        mols = np.repeat(np.arange(len(self.starts)), self.atom_counts**2)[places]
        first, second = np.divmod(places - self.starts[mols], self.atom_counts[mols])
        upper = first < second
        return NearPairs(mols[upper], first[upper], second[upper], places[upper])


def bond_order_matrices(mols: Sequence[Chem.Mol]) -> list[npt.NDArray[np.float64]]:
    """Bond orders, of each molecule an array of shape (n_atoms, n_atoms); 0 for no bond.

    A call into RDKit per molecule replaces a loop over its bonds (two to three times as slow).
    """
    return [np.asarray(Chem.GetAdjacencyMatrix(mol, useBO=True), dtype=np.float64) for mol in mols]


@compiled
def fill_distances(orders: Array, starts: Array, counts: Array, wanted: Array, flat: Array) -> None:
    """Bonds on the shortest path between any two atoms of each wanted molecule, by breadth-first search."""
    # counts and wanted (n_mols,), the others flat; every bond has an order above 0 in both triangles
    largest = 0
    for mol in range(len(counts)):
        largest = max(largest, counts[mol])
    row_ends = np.zeros(largest + 1, dtype=np.int32)
    neighbors = np.zeros(largest * largest, dtype=np.int32)
    queue = np.zeros(largest, dtype=np.int32)
    for mol in range(len(counts)):
        if not wanted[mol]:
            continue
        n, start = counts[mol], starts[mol]
        n_ends = 0
        for i in range(n):
            for j in range(n):
                flat[start + i * n + j] = NO_PATH
                if orders[start + i * n + j] > 0:
                    neighbors[n_ends] = j
                    n_ends += 1
            row_ends[i + 1] = n_ends
        for i in range(n):
            row = start + i * n
            flat[row + i] = 0
            queue[0] = i
            done, found = 0, 1
            while done < found:
                here = queue[done]
                done += 1
                for k in range(row_ends[here], row_ends[here + 1]):
                    there = neighbors[k]
                    if flat[row + there] == NO_PATH:
                        flat[row + there] = flat[row + here] + 1
                        queue[found] = there
                        found += 1


@compiled
def count_near(flat: Array, starts: Array, counts: Array, limit: float) -> int:
    """Number of pairs not farther apart than the limit."""
    n_pairs = 0
    for mol in range(len(counts)):
        n = counts[mol]
        for i in range(n):
            row = starts[mol] + i * n
            for j in range(i + 1, n):
                n_pairs += flat[row + j] <= limit
    return n_pairs


@compiled
def find_near(flat: Array, starts: Array, counts: Array, limit: float, found: Array) -> None:
    """Molecule, atoms and place of these pairs, into the rows of ``found``, (4, n_pairs)."""
    pair = 0
    for mol in range(len(counts)):
        n = counts[mol]
        for i in range(n):
            row = starts[mol] + i * n
            for j in range(i + 1, n):
                if flat[row + j] <= limit:
                    found[0, pair], found[1, pair], found[2, pair], found[3, pair] = mol, i, j, row + j
                    pair += 1
