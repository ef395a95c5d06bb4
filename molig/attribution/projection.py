"""From features of atoms and pairs to atoms and bonds, preserving the sum."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rdkit import Chem

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


def share_pairs(own: FloatArray, pair_scores: FloatArray, pair_atoms: Index) -> FloatArray:
    """Give each atom its own score and half of each of its pairs'.

    Parameters
    ----------
    own : array of float, shape (n_atoms,)
        Scores of the atoms' own features.
    pair_scores : array of float, shape (n_pairs,)
        Scores of the pairs.
    pair_atoms : array of int, shape (n_pairs, 2)
        The atoms of each pair.

    Returns
    -------
    array of float, shape (n_atoms,)
        Its sum is that of ``own`` and ``pair_scores``.

    Examples
    --------
    >>> share_pairs(np.array([1.0, 0.0]), np.array([0.5]), np.array([[0, 1]])).tolist()
    [1.25, 0.25]
    """
    projected = own.copy()
    np.add.at(projected, pair_atoms.ravel(), np.repeat(pair_scores / 2, 2))
    return projected


def bonds_of_pairs(mol: Chem.Mol, pair_atoms: Index) -> Index:
    """Index of the bond between the atoms of each pair, shape (n_pairs,); -1 where there is none."""
    number = {
        (min(ends), max(ends)): bond.GetIdx()
        for bond in mol.GetBonds()
        for ends in [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())]
    }
    return np.array([number.get((int(i), int(j)), -1) for i, j in pair_atoms], dtype=np.int64)
