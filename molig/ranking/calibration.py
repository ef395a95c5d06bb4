"""Whether probabilities mean what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from molig.errors import UnknownNameError, UsageError
from molig.ranking.groups import FloatArray, measured

Binning = Literal["uniform", "quantile"]

_LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predicted and observed shares of actives, by bins of the probability; empty bins are left out.

    Parameters
    ----------
    mean_predicted : array of float, shape (n_filled,)
        Mean probability in each bin, rising.
    observed : array of float, shape (n_filled,)
        Share of actives in each bin.
    count : array of int, shape (n_filled,)
        Molecules in each bin.
    low, high : array of float, shape (n_filled,)
        95 % interval of the share of actives (Wilson's score interval).

    Examples
    --------
    >>> reliability_curve([1, 0], [0.7, 0.2]).count
    array([1, 1])
    """

    mean_predicted: FloatArray
    observed: FloatArray
    count: npt.NDArray[np.int64]
    low: FloatArray
    high: FloatArray

    @property
    def expected_error(self) -> float:
        """Mean gap between predicted and observed shares; see `expected_calibration_error`."""
        if not len(self.count):
            return math.nan
        return float(np.average(np.abs(self.observed - self.mean_predicted), weights=self.count))


def brier_score(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean squared difference between the probability and the label.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    probabilities : array_like of float, shape (n,)
        Of being active.

    Returns
    -------
    float
        From 0 to 1, low is good; p (1 - p) for the constant prediction p = share of actives. NaN where
        nothing was measured.

    Raises
    ------
    UsageError
        If the shapes differ, a label is not 0, 1 or NaN, or the probability of a measured molecule is not
        from 0 to 1.

    Examples
    --------
    >>> brier_score([1, 0], [0.5, 0.0])
    0.125
    """
    active, predicted = measured(labels, probabilities, "probability")
    return float(np.mean((predicted - active) ** 2)) if len(active) else math.nan


def reliability_curve(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, n_bins: int = 10, binning: Binning = "uniform"
) -> Reliability:
    """Share of actives among molecules of similar probability.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    probabilities : array_like of float, shape (n,)
        Of being active.
    n_bins : int
        Number of bins, at least 1.
    binning : {"uniform", "quantile"}
        "uniform", the usual: bins of equal width, which show the high probabilities however rare they are;
        the intervals say how far to trust them. "quantile": bins of about equal count; equal probabilities
        share a bin. A probability on an edge belongs to the bin below, as in scikit-learn.

    Returns
    -------
    Reliability
        One entry for each bin that holds molecules.

    Raises
    ------
    UsageError
        As `brier_score`, or if there are no bins or the binning is unknown.

    References
    ----------
    Wilson, J. Am. Stat. Assoc. 1927, 22, 209-212, for the intervals.

    Examples
    --------
    >>> curve = reliability_curve([0, 0, 1, 1, 1], [0.1, 0.2, 0.2, 0.8, 0.8], n_bins=2)
    >>> curve.observed.round(2)
    array([0.33, 1.  ])
    """
    if n_bins < 1:
        raise UsageError(f"a reliability curve needs at least one bin (got {n_bins})")
    if binning not in get_args(Binning):
        raise UnknownNameError("binning", binning, get_args(Binning))
    active, predicted = measured(labels, probabilities, "probability")
    which = np.searchsorted(_inner_edges(predicted, n_bins, binning), predicted, side="left")
    count = np.bincount(which, minlength=n_bins)
    filled = count > 0
    n = count[filled]
    observed = np.bincount(which, active, minlength=n_bins)[filled] / n
    low, high = _wilson(observed, n)
    mean = np.bincount(which, predicted, minlength=n_bins)[filled] / n
    return Reliability(mean, observed, n.astype(np.int64), low, high)


def expected_calibration_error(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, n_bins: int = 10, binning: Binning = "uniform"
) -> float:
    """Mean gap between predicted and observed shares of actives, each bin weighted by its molecules.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    probabilities : array_like of float, shape (n,)
        Of being active.
    n_bins : int
        Number of bins, at least 1.
    binning : {"uniform", "quantile"}
        As in `reliability_curve`.

    Returns
    -------
    float
        From 0 to 1, low is good; NaN where nothing was measured. Where actives are rare it is small for any
        model that predicts small probabilities: read it together with the curve.

    Raises
    ------
    UsageError
        As `reliability_curve`.

    References
    ----------
    Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

    Examples
    --------
    >>> expected_calibration_error([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5])
    0.25
    """
    return reliability_curve(labels, probabilities, n_bins, binning).expected_error


def _inner_edges(predicted: FloatArray, n_bins: int, binning: Binning) -> FloatArray:
    if binning == "uniform" or not len(predicted):
        return np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    # The last molecule of each bin but the last; in whole numbers, so that rounding moves no molecule.
    last = (np.arange(1, n_bins) * len(predicted) + n_bins - 1) // n_bins - 1
    return np.sort(predicted)[last]


def _wilson(share: FloatArray, count: npt.NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Interval of a share: the values that a score test at this level would not reject."""
    z2 = NormalDist().inv_cdf((1 + _LEVEL) / 2) ** 2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * share * (1 - share) / count + (z2 / (2 * count)) ** 2) / (1 + z2 / count)
    # Rounding may step over the ends, which belong to shares of 0 and 1.
    return np.clip(middle - half, 0.0, share), np.clip(middle + half, share, 1.0)
