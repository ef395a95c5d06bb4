"""Atoms and pairs of many molecules as packed arrays: the part of featurization that every schema shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rdkit import Chem

IntArray = npt.NDArray[np.int64]

# RDKit marks pairs without a path by a huge distance.
_NO_PATH = 1e7


@dataclass(frozen=True)
class Topology:
    """Elements, pairs, bond orders and graph distances of ``n_mols`` molecules, end to end."""

    atomic_numbers: IntArray  # (n_atoms,)
    pair_atoms: IntArray  # (n_pairs, 2), i < j, numbered within their molecule
    # (n_pairs,): 1, 2, 3, 1.5 for aromatic; 0 for no bond, and for one without an order (dative, hydrogen)
    bond_orders: npt.NDArray[np.float64]
    distances: IntArray  # (n_pairs,), bonds on the shortest path
    atom_counts: IntArray  # (n_mols,)
    pair_counts: IntArray  # (n_mols,)


def extract_topology(mols: Sequence[Chem.Mol], max_pair_distance: int | None) -> Topology:
    """Read the graphs of molecules into packed arrays; without a limit, every pair connected by a path."""
    # Two calls into RDKit per molecule replace loops over its atoms and bonds (two to three times as slow):
    # the bond-order matrix, and the distance matrix whose diagonal holds 6 / atomic number.
    counts = np.array([mol.GetNumAtoms() for mol in mols], dtype=np.int64)
    # The prefix keeps RDKit from handing back a distance matrix cached without atom weights.
    distance = _flat([Chem.GetDistanceMatrix(mol, useAtomWts=True, prefix="molig") for mol in mols])
    order = _flat([Chem.GetAdjacencyMatrix(mol, useBO=True) for mol in mols])
    starts = np.cumsum(counts**2) - counts**2
    local = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    diagonal = np.repeat(starts, counts) + local * (np.repeat(counts, counts) + 1)
    atomic_numbers = np.rint(6.0 / distance[diagonal]).astype(np.int64)

    limit = _NO_PATH if max_pair_distance is None else max_pair_distance + 0.5
    near = np.flatnonzero(distance < limit)
    mol_of = np.repeat(np.arange(len(mols)), counts**2)[near]
    row, col = np.divmod(near - starts[mol_of], counts[mol_of])
    upper = row < col
    near, mol_of, row, col = near[upper], mol_of[upper], row[upper], col[upper]
    mirror = starts[mol_of] + col * counts[mol_of] + row
    return Topology(
        atomic_numbers=atomic_numbers,
        pair_atoms=np.stack([row, col], axis=1),
        # A dative bond stands in one triangle only; the smaller of both does not depend on atom order.
        bond_orders=np.minimum(order[near], order[mirror]),
        distances=distance[near].astype(np.int64),
        atom_counts=counts,
        pair_counts=np.bincount(mol_of, minlength=len(mols)).astype(np.int64),
    )


def _flat(matrices: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    if not matrices:
        return np.zeros(0)
    return np.concatenate([np.asarray(m, dtype=np.float64).ravel() for m in matrices])
