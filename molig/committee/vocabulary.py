"""The environments that a member knows, and how often molecules have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.deferred import deferred
from molig.errors import ModelFormatError, UsageError
from molig.features import PackedEnvironments, PackedGraphs

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

sparse = deferred("scipy.sparse")

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


class Counts(NamedTuple):
    """Known environments of molecules, those of one molecule together and in the order of columns."""

    starts: Index
    """Where the entries of each molecule begin, shape (n_mols + 1,)."""
    columns: Index
    """Column of each entry, shape (n_entries,)."""
    values: FloatArray
    """How often the molecule has it, shape (n_entries,)."""
    entry_of_row: Index
    """Entry of each row of the environments, shape (n_rows,); 0 where it is not known."""
    part_of_row: FloatArray
    """Share of the entry's count that the row has, shape (n_rows,); 0 where it is not known."""
    row_starts: Index
    """Where the rows of each molecule begin, shape (n_mols + 1,)."""

    @property
    def n_mols(self) -> int:
        """Number of molecules."""
        return len(self.starts) - 1

    @property
    def mol_of_entry(self) -> Index:
        """Molecule of each entry, shape (n_entries,)."""
        return np.repeat(np.arange(self.n_mols), np.diff(self.starts))

    def entries(self, molecule: int) -> slice:
        """The entries of a molecule."""
        return slice(self.starts[molecule], self.starts[molecule + 1])

    def to_rows(self, molecule: int, per_entry: FloatArray) -> FloatArray:
        """Spread shares of a molecule's entries over its rows; unknown rows have none."""
        rows = slice(self.row_starts[molecule], self.row_starts[molecule + 1])
        if not len(per_entry):
            return np.zeros(rows.stop - rows.start)
        local = np.maximum(self.entry_of_row[rows] - self.starts[molecule], 0)
        return np.asarray(per_entry[local] * self.part_of_row[rows])


class MemberShares(NamedTuple):
    """How a member's score comes about, path by path (a molecule and a task each)."""

    starts: FloatArray
    """Scores without any environment, shape (n_paths,)."""
    ends: FloatArray
    """Scores of the molecules, shape (n_paths,)."""
    shares: list[FloatArray]
    """Of each path, shares of the rows of the molecule's environments; they add up to end - start."""


class Vocabulary:
    """Environments with a column of their own, unfolded: no two share one.

    Parameters
    ----------
    ids : array of int64, shape (n_columns,)
        Their numbers (see `molig.features.PackedEnvironments`), ascending.
    """

    def __init__(self, ids: Index) -> None:
        if (ids[1:] <= ids[:-1]).any():
            raise UsageError("the environments of a vocabulary must be in ascending order, each once")
        self.ids = np.asarray(ids, dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self.ids)

    @classmethod
    def of(cls, environments: PackedEnvironments, *, min_molecules: int, max_columns: int) -> Vocabulary:
        """Environments that at least so many molecules have; of too many, the commonest."""
        mol_and_id = np.stack([environments.mol_of_row, environments.ids], axis=1)
        ids, frequency = np.unique(np.unique(mol_and_id, axis=0)[:, 1], return_counts=True)
        common = np.flatnonzero(frequency >= min_molecules)
        order = np.argsort(-frequency[common], kind="stable")[:max_columns]
        return cls(np.sort(ids[common[order]]))

    @classmethod
    def of_file(cls, ids: Tensor) -> Vocabulary:
        """The environments that a file names; ModelFormatError if they cannot be columns."""
        if ids.dtype != torch.int64 or ids.dim() != 1 or bool((ids[1:] <= ids[:-1]).any()):
            raise ModelFormatError("the vocabulary must be different whole numbers in ascending order")
        return cls(ids.numpy())

    def count(self, graphs: PackedGraphs, factors: npt.ArrayLike | None = None) -> Counts:
        """Counts in molecules; an occurrence counts by its factor, default 1, shape (n_rows,)."""
        held = environments_of(graphs)
        row_starts = np.concatenate([[0], np.cumsum(held.row_counts)])
        place = np.minimum(np.searchsorted(self.ids, held.ids), max(len(self) - 1, 0))
        known = np.flatnonzero(self.ids[place] == held.ids) if len(self) else np.zeros(0, dtype=np.int64)
        keys = held.mol_of_row[known] * max(len(self), 1) + place[known]
        distinct, entry = np.unique(keys, return_inverse=True)
        given = held.counts[known].astype(np.float64)
        whole = np.bincount(entry, weights=given, minlength=len(distinct))
        amount = given if factors is None else given * np.asarray(factors, dtype=np.float64)[known]
        entry_of_row, part_of_row = np.zeros(held.n_rows, dtype=np.int64), np.zeros(held.n_rows)
        entry_of_row[known], part_of_row[known] = entry, given / whole[entry]
        mol, column = np.divmod(distinct, max(len(self), 1))
        return Counts(
            starts=np.searchsorted(mol, np.arange(len(graphs) + 1)),
            columns=column,
            values=np.bincount(entry, weights=amount, minlength=len(distinct)).astype(np.float64),
            entry_of_row=entry_of_row,
            part_of_row=part_of_row,
            row_starts=row_starts,
        )

    def matrix(self, graphs: PackedGraphs) -> csr_matrix:
        """Counts as a sparse matrix, shape (n_mols, n_columns)."""
        counts = self.count(graphs)
        data = counts.values.astype(np.float32)
        return sparse.csr_matrix((data, counts.columns, counts.starts), shape=(len(graphs), len(self)))


def environments_of(graphs: PackedGraphs) -> PackedEnvironments:
    """The environments of molecules; UsageError if they were featurized without."""
    if graphs.environments is None:
        raise UsageError("these molecules were featurized without environments, which a committee reads")
    return graphs.environments
