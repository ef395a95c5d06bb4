"""Shapley values of the columns of a fingerprint against reference molecules, and how sure their mean is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from scipy.sparse import csr_matrix

from molig.foreign.fingerprints import MorganFingerprint

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Batches of references whose means say how far the mean of all would vary.
_BATCHES = 10
_LARGEST_BATCH = 64


class Example(NamedTuple):
    """A place where a column of a fingerprint is set."""

    mol: Chem.Mol
    centre: int
    radius: int


class ColumnShares(NamedTuple):
    """How one score of one molecule comes about."""

    start: float
    """Mean score of the background."""
    end: float
    """Score of the molecule."""
    columns: FloatArray
    """Share of each column, shape (n_columns,); they add up to end - start."""
    errors: FloatArray
    """Standard error of each share, shape (n_columns,), that comes of the choice of references."""


@dataclass(frozen=True, eq=False)
class Background:
    """Fingerprints that a molecule is compared with; attributions are means over them.

    Parameters
    ----------
    counts : csr_matrix of float64, shape (n_references, n_columns)
        The fingerprints.
    name : str
        What results call it.
    examples : dict of int to Example
        Of columns that the references have, their commonest environment in one of them.
    """

    counts: csr_matrix
    name: str
    examples: Mapping[int, Example] = field(default_factory=dict)

    @classmethod
    def empty(cls, n_columns: int) -> Self:
        """The fingerprint without any environment."""
        return cls(csr_matrix((1, n_columns)), "empty fingerprint")

    @classmethod
    def of_molecules(cls, mols: Sequence[Chem.Mol], fingerprint: MorganFingerprint) -> Self:
        """The fingerprints of molecules."""
        held = fingerprint.occurrences(mols)
        counts = fingerprint.of_environments(held)
        columns, mol_of_row = fingerprint.columns(held.ids), held.mol_of_row
        centres = held.atoms[np.cumsum(held.sizes) - held.sizes]
        # The first place of every environment, the commonest environments first.
        _, first, frequency = np.unique(held.ids, return_index=True, return_counts=True)
        examples: dict[int, Example] = {}
        for row in first[np.argsort(-frequency, kind="stable")].tolist():
            example = Example(mols[mol_of_row[row]], int(centres[row]), int(held.radii[row]))
            examples.setdefault(int(columns[row]), example)
        return cls(counts, _called(len(mols), "reference molecule"), examples)

    @classmethod
    def of_fingerprints(cls, rows: csr_matrix) -> Self:
        """Fingerprints, such as rows of the training table."""
        return cls(rows, _called(rows.shape[0], "reference fingerprint"))

    @property
    def size(self) -> int:
        """Number of references."""
        return int(self.counts.shape[0])

    @property
    def batch_of_reference(self) -> Index:
        """Batch of each reference, those of a batch together, shape (n_references,)."""
        size = min(_LARGEST_BATCH, -(-self.size // _BATCHES))
        return np.arange(self.size) // size

    def averaged(self, per_batch: FloatArray, start: float, end: float) -> ColumnShares:
        """Shares from the means of batches, (n_batches, n_columns)."""
        parts, n = np.bincount(self.batch_of_reference) / self.size, len(per_batch)
        mean = np.asarray(parts @ per_batch)
        if n == 1:  # one reference is what was asked for, and no sample
            return ColumnShares(start, end, mean, np.zeros_like(mean))
        variance = parts**2 @ (per_batch - mean) ** 2 * n / (n - 1)
        return ColumnShares(start, end, mean, np.sqrt(variance))


def _called(n: int, what: str) -> str:
    return f"a {what}" if n == 1 else f"mean of {n:,} {what}s"


class AdditiveScores(Protocol):
    """Scores of fingerprints whose Shapley values can be computed exactly."""

    base: FloatArray
    n_columns: int

    def scores(self, counts: csr_matrix) -> FloatArray:
        """Scores of fingerprints, shape (n, n_outputs)."""

    def shares(self, fingerprint: csr_matrix, output: int, background: Background) -> ColumnShares:
        """Shapley values of the columns of one fingerprint, shape (1, n_columns), in one score."""
