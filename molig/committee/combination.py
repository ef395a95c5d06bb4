"""How the scores of members become the score of a committee."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.deferred import deferred
from molig.errors import UsageError

special = deferred("scipy.special")

FloatArray = npt.NDArray[np.float64]

# Closer to 0 or 1 a probability has no logit in double precision that a calibration could move.
_SMALLEST = 1e-9


@dataclass(frozen=True, eq=False)
class Combination:
    """Weighted mean of member scores, calibrated for a classification.

    The calibration is p -> sigmoid(slope logit(p) + offset) with a slope above 0: it keeps the order, and a
    change of the mean is shared out among members before and after it in the same proportions.

    Parameters
    ----------
    weights : array of float, shape (n_members, n_tasks)
        Weights, at least 0, that add up to 1 for each task.
    slope, offset : array of float, shape (n_tasks,)
        Calibration of each task; 1 and 0 for a regression.
    probability : bool
        Whether members score probabilities; values of a regression otherwise.
    """

    weights: FloatArray
    slope: FloatArray
    offset: FloatArray
    probability: bool = True

    def __post_init__(self) -> None:
        """Refuse weights that are no mean, and calibrations that would turn the order round."""
        if not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise UsageError("the weights of members must be numbers from 0 to 1")
        if not np.allclose(self.weights.sum(axis=0), 1, atol=1e-6):
            raise UsageError("the weights of members must add up to 1 for each task")
        if not (np.isfinite(self.slope).all() and np.isfinite(self.offset).all() and (self.slope > 0).all()):
            raise UsageError("the slope of a calibration must be above 0")

    def mean(self, scores: FloatArray) -> FloatArray:
        """Mean of member scores (n_members, n, n_tasks)."""
        return np.asarray(np.einsum("mnt,mt->nt", scores, self.weights))

    def outputs(self, mean: FloatArray) -> FloatArray:
        """Outputs of the committee (logits or values) for means (n, n_tasks)."""
        return self._output(mean, self.slope, self.offset)

    def outputs_of(self, mean: FloatArray, tasks: npt.NDArray[np.int64]) -> FloatArray:
        """The same for means (n,) of one task each."""
        return self._output(mean, self.slope[tasks], self.offset[tasks])

    def rates(self, mean: FloatArray, tasks: npt.NDArray[np.int64]) -> FloatArray:
        """Derivative of the output with respect to the mean, for means (n,) of one task each."""
        if not self.probability:
            return np.ones_like(mean)
        inside = np.clip(mean, _SMALLEST, 1 - _SMALLEST)
        return np.asarray(self.slope[tasks] / (inside * (1 - inside)))

    def _output(self, mean: FloatArray, slope: FloatArray, offset: FloatArray) -> FloatArray:
        if not self.probability:
            return mean
        return np.asarray(slope * special.logit(np.clip(mean, _SMALLEST, 1 - _SMALLEST)) + offset)

    def spread(self, scores: FloatArray) -> FloatArray:
        """Weighted standard deviation of the members' scores, each calibrated, shape (n, n_tasks)."""
        if self.probability:
            scores = special.expit(self._output(scores, self.slope, self.offset))
        middle = self.mean(scores)
        variance = np.einsum("mnt,mt->nt", (scores - middle) ** 2, self.weights)
        return np.asarray(np.sqrt(variance))
