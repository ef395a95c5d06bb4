"""Curves: ROC and enrichment of a ranking, where a group of ties is one straight segment, and reliability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from molig.errors import UnknownNameError, UsageError
from molig.stats.intervals import wilson_limits
from molig.stats.ranking import FloatArray, Ranking, measured, ranking_of


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Corners of a ROC curve, from (0, 0) to (1, 1); arrays of shape (n_corners,), empty if undefined."""

    false_positive_rate: FloatArray  # share of the inactives down to each corner
    true_positive_rate: FloatArray  # share of the actives down to each corner

    @property
    def area(self) -> float:
        """Area under the curve, equal to `roc_auc`; NaN for an empty curve."""
        x, y = self.false_positive_rate, self.true_positive_rate
        return float(np.diff(x) @ (y[1:] + y[:-1]) / 2) if len(x) else float("nan")


@dataclass(frozen=True, eq=False)
class EnrichmentCurve:
    """Corners of an enrichment curve, as of `RocCurve`."""

    screened: FloatArray  # share of all molecules down to each corner
    found: FloatArray  # share of the actives among them
    n_molecules: int
    n_actives: int


def roc_curve_points(labels: npt.ArrayLike, scores: npt.ArrayLike) -> RocCurve:
    """Corners of the ROC curve; no points at all where actives or inactives are missing."""
    ranking = ranking_of(labels, scores)
    if not ranking.has_both_classes:
        return RocCurve(np.empty(0), np.empty(0))
    found, screened = _corners(ranking)
    return RocCurve((screened - found) / (screened - found)[-1], found / found[-1])


def enrichment_curve(labels: npt.ArrayLike, scores: npt.ArrayLike) -> EnrichmentCurve:
    """Corners of the curve of actives found against molecules screened; none where a class is missing."""
    ranking = ranking_of(labels, scores)
    n, n_actives = ranking.n_molecules, ranking.n_actives
    if not ranking.has_both_classes:
        return EnrichmentCurve(np.empty(0), np.empty(0), n, n_actives)
    found, screened = _corners(ranking)
    return EnrichmentCurve(screened / n, found / n_actives, n, n_actives)


def _corners(ranking: Ranking) -> tuple[FloatArray, FloatArray]:
    """Actives and molecules down to each corner of the curve, from none to all."""
    found = np.concatenate([[0.0], ranking.found])
    screened = np.concatenate([[0.0], ranking.screened])
    up, along = np.diff(found), np.diff(screened)
    # Counts are whole numbers, so two steps have exactly the same direction or do not.
    turns = np.concatenate([[True], up[1:] * along[:-1] != up[:-1] * along[1:], [True]])
    return found[turns], screened[turns]


# Whether probabilities mean what they say.

Binning = Literal["uniform", "quantile"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predicted and observed shares of actives; one entry for each bin that holds molecules."""

    mean_predicted: FloatArray  # rising
    observed: FloatArray
    count: npt.NDArray[np.int64]
    low: FloatArray  # 95 % interval of the observed share
    high: FloatArray

    @property
    def expected_error(self) -> float:
        """Mean gap between predicted and observed shares; see `expected_calibration_error`."""
        if not len(self.count):
            return math.nan
        return float(np.average(np.abs(self.observed - self.mean_predicted), weights=self.count))


def reliability_curve(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, n_bins: int = 10, binning: Binning = "uniform"
) -> Reliability:
    """Share of actives among molecules of similar probability; bins without molecules are left out."""
    if n_bins < 1:
        raise UsageError(f"a reliability curve needs at least one bin (got {n_bins})")
    if binning not in get_args(Binning):
        raise UnknownNameError("binning", binning, get_args(Binning))
    active, predicted = measured(labels, probabilities, "probability")
    # A probability on an edge belongs to the bin below, as in scikit-learn.
    which = np.searchsorted(_inner_edges(predicted, n_bins, binning), predicted, side="left")
    count = np.bincount(which, minlength=n_bins)
    filled = count > 0
    n = count[filled]
    observed = np.bincount(which, active, minlength=n_bins)[filled] / n
    # Wilson, J. Am. Stat. Assoc. 1927, 22, 209-212.
    low, high = wilson_limits(observed, n)
    mean = np.bincount(which, predicted, minlength=n_bins)[filled] / n
    return Reliability(mean, observed, n.astype(np.int64), low, high)


def expected_calibration_error(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, n_bins: int = 10, binning: Binning = "uniform"
) -> float:
    """Mean gap between predicted and observed shares of actives, weighted by molecules; NaN without any."""
    # Guo et al., On Calibration of Modern Neural Networks, ICML 2017. Where actives are rare it is small for
    # any model that predicts small probabilities: read it together with the curve.
    return reliability_curve(labels, probabilities, n_bins, binning).expected_error


def _inner_edges(predicted: FloatArray, n_bins: int, binning: Binning) -> FloatArray:
    if binning == "uniform" or not len(predicted):
        return np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    # The last molecule of each bin but the last; in whole numbers, so that rounding moves no molecule.
    last = (np.arange(1, n_bins) * len(predicted) + n_bins - 1) // n_bins - 1
    return np.sort(predicted)[last]
