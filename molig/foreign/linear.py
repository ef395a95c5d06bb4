"""Linear models on scaled fingerprints, and the scaling that may come before any model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from molig.errors import ModelFormatError, UsageError
from molig.foreign.shares import Background, ColumnShares

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_ROWS = 4_000_000  # values at a time
_OPERATIONS = {
    "subtract": np.subtract,
    "add": np.add,
    "multiply": np.multiply,
    "divide": np.divide,
    "at_least": np.maximum,
    "at_most": np.minimum,
    "above": np.greater,
}


@dataclass(frozen=True, eq=False)
class Scaling:
    """Which columns of a fingerprint a model reads, and what becomes of their values, each by itself.

    Parameters
    ----------
    columns : array of int64, shape (n_read,)
        Columns of the fingerprint.
    steps : tuple of (str, array of shape (n_read,))
        What is done to them in turn: "subtract", "divide", "above" (1 or 0), ...
    single : bool
        Whether it is done in single precision: a threshold half-way between the counts 1 and 3 is hit by a
        count of 2, and then rounding decides where it goes.
    """

    columns: Index
    steps: tuple[tuple[str, FloatArray], ...] = field(default=())
    single: bool = False

    @classmethod
    def none(cls, n_columns: int, *, single: bool = False) -> Self:
        """All columns as they are."""
        return cls(np.arange(n_columns), single=single)

    def then(self, operation: str, values: npt.ArrayLike) -> Self:
        """One more step."""
        numbers = np.broadcast_to(np.asarray(values, dtype=np.float64), self.columns.shape)
        if operation in {"multiply", "divide"} and not (numbers > 0).all():
            raise UsageError("a scaler that turns the order of counts round, or makes all of them 0")
        if not np.isfinite(numbers).all():
            raise ModelFormatError("the numbers of a scaler are not finite")
        return replace(self, steps=(*self.steps, (operation, numbers)))

    def keep(self, kept: Index) -> Self:
        """Some of the columns, as a selector of features keeps them."""
        return replace(self, columns=self.columns[kept], steps=tuple((n, v[kept]) for n, v in self.steps))

    def of(self, values: FloatArray, places: Index | None = None) -> FloatArray:
        """Scaled values (..., n_read), or those of columns of one's choice, numbered among those read."""
        kind = np.float32 if self.single else np.float64
        for operation, numbers in self.steps:
            chosen = numbers if places is None else numbers[places]
            values = _OPERATIONS[operation](values.astype(kind), chosen.astype(kind))
        return np.asarray(values, dtype=np.float64)

    def least(self, places: Index, goes_right: Threshold) -> npt.NDArray[np.int32]:
        """Least counts with which the scaled value of columns passes the threshold of each."""
        low, high = np.full(len(places), -1, dtype=np.int64), np.full(len(places), _MOST, dtype=np.int64)
        # Between the two: `low` goes left, `high` goes right or is out of reach.
        while (high - low > 1).any():
            middle = (low + high) // 2
            right = goes_right.passes(self.of(middle.astype(np.float64), places))
            low, high = np.where(right, low, middle), np.where(right, middle, high)
        return np.where(high == _MOST, 2**31 - 1, high).astype(np.int32)


# Counts above it do not occur.
_MOST = 1 << 20


@dataclass(frozen=True, eq=False)
class Threshold:
    """Thresholds that values are compared with, as the model's own code does."""

    values: FloatArray
    above: npt.NDArray[np.bool_]  # whether what is above goes right, or else what is not below
    single: bool  # whether values are rounded to single precision before

    def passes(self, values: FloatArray) -> npt.NDArray[np.bool_]:
        """Which values go right."""
        if self.single:
            values = values.astype(np.float32).astype(np.float64)
        return np.where(self.above, values > self.values, values >= self.values)


class LinearScores:
    """Scores that are a constant plus coefficients times the scaled columns.

    A column's Shapley value is its coefficient times the difference of its scaled value to the mean of the
    references.

    Parameters
    ----------
    scaling : Scaling
        The columns.
    coefficients : array of float64, shape (n_outputs, n_read)
    base : array of float64, shape (n_outputs,)
    n_columns : int
        Columns of the fingerprint.

    Raises
    ------
    ModelFormatError
        If the numbers do not fit together, or are not finite.
    """

    def __init__(self, scaling: Scaling, coefficients: FloatArray, base: FloatArray, n_columns: int) -> None:
        self.scaling, self.n_columns = scaling, n_columns
        self.coefficients, self.base = coefficients, base
        if coefficients.shape != (len(base), len(scaling.columns)):
            raise ModelFormatError(
                f"the model is damaged: {coefficients.shape} coefficients for {len(base)} outputs and "
                f"{len(scaling.columns)} columns"
            )
        if not (np.isfinite(coefficients).all() and np.isfinite(base).all()):
            raise ModelFormatError("the coefficients of the model are not finite")

    def scores(self, counts: csr_matrix) -> FloatArray:
        """Scores of fingerprints, shape (n, n_outputs)."""
        found = [np.empty((0, len(self.base)))]
        step = max(1, _ROWS // max(self.n_columns, 1))
        for first in range(0, counts.shape[0], step):
            found.append(self._scaled(counts[first : first + step]) @ self.coefficients.T + self.base)
        return np.concatenate(found)

    def shares(self, fingerprint: csr_matrix, output: int, background: Background) -> ColumnShares:
        """Shapley values of the columns of one fingerprint, shape (1, n_columns), in one score."""
        own, references = self._scaled(fingerprint)[0], self._scaled(background.counts)
        coefficients, n = self.coefficients[output], background.size
        shares, errors = np.zeros(self.n_columns), np.zeros(self.n_columns)
        shares[self.scaling.columns] = coefficients * (own - references.mean(axis=0))
        if n > 1:
            errors[self.scaling.columns] = np.abs(coefficients) * references.std(axis=0, ddof=1) / np.sqrt(n)
        start, end = (self.scores(counts)[:, output].mean() for counts in (background.counts, fingerprint))
        return ColumnShares(float(start), float(end), shares, errors)

    def _scaled(self, counts: csr_matrix) -> FloatArray:
        return self.scaling.of(counts[:, self.scaling.columns].toarray())
