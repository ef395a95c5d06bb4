"""Distances between atoms, and their elements, read from RDKit in one call per molecule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from rdkit import Chem

Index = npt.NDArray[np.int64]


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

    @classmethod
    def of(cls, mols: Sequence[Chem.Mol]) -> Self:
        """Read them; this takes a tenth of the time of a loop over the atoms."""
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
        places = np.flatnonzero(self.flat <= limit)
        mols = np.repeat(np.arange(len(self.starts)), self.atom_counts**2)[places]
        first, second = np.divmod(places - self.starts[mols], self.atom_counts[mols])
        upper = first < second
        return NearPairs(mols[upper], first[upper], second[upper], places[upper])
