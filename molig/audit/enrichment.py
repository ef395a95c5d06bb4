"""Whether a fragment goes with activity, or with high scores: odds ratios with intervals, and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, fisher_exact, wilcoxon

from molig.audit.intervals import Z95, Estimate

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def label_odds(has: BoolArray, active: BoolArray) -> Estimate:
    """Odds to be active with a fragment, relative to those without it.

    Half a molecule is added to each of the four counts (Haldane, Anscombe); the interval is Woolf's.

    Parameters
    ----------
    has, active : array of bool, shape (n,)
        Which molecules have the fragment, and which are active.

    Returns
    -------
    Estimate
        Odds ratio.

    Examples
    --------
    >>> odds = label_odds(np.array([True] * 10 + [False] * 10), np.array([True, False] * 10))
    >>> odds.value
    1.0
    """
    counts = np.array([(has & active).sum(), (has & ~active).sum(), (~has & active).sum(), 0.0])
    counts[3] = len(has) - counts.sum()
    counts += 0.5
    log = math.log(counts[0] * counts[3] / (counts[1] * counts[2]))
    return _odds(log, math.sqrt((1 / counts).sum()))


def score_odds(has: BoolArray, scores: FloatArray) -> Estimate:
    """Odds of the mean score with a fragment, relative to those without it.

    Half an active and half an inactive molecule are added on either side, as in `label_odds`: scores of
    exactly 0 and 1 give the same estimate as labels.

    Parameters
    ----------
    has : array of bool, shape (n,)
        Which molecules have the fragment.
    scores : array of float, shape (n,)
        Probabilities.

    Returns
    -------
    Estimate
        Odds ratio.

    Examples
    --------
    >>> score_odds(np.array([True, True, False, False]), np.array([0.2, 0.8, 0.8, 0.2])).value
    1.0
    """
    with_it, without = _logit_of_mean(scores[has]), _logit_of_mean(scores[~has])
    return _odds(with_it[0] - without[0], math.hypot(with_it[1], without[1]))


def _logit_of_mean(scores: FloatArray) -> tuple[float, float]:
    """Logit of the mean score, and its standard error by the delta method."""
    padded = np.concatenate([scores, [0.25, 0.75]])
    n = len(scores)
    mean = (scores.sum() + 0.5) / (n + 1)
    return math.log(mean / (1 - mean)), float(padded.std() / math.sqrt(n + 1) / (mean * (1 - mean)))


def _odds(log: float, error: float) -> Estimate:
    return Estimate(math.exp(log), math.exp(log - Z95 * error), math.exp(log + Z95 * error))


def fisher_p(has: BoolArray, active: BoolArray) -> float:
    """Two-sided p of Fisher's exact test of a fragment and activity.

    Parameters
    ----------
    has, active : array of bool, shape (n,)
        Which molecules have the fragment, and which are active.
    """
    both, only_has, only_active = (has & active).sum(), (has & ~active).sum(), (~has & active).sum()
    table = [[both, only_has], [only_active, len(has) - both - only_has - only_active]]
    return float(fisher_exact(table)[1])


def higher_p(values: FloatArray) -> float:
    """One-sided p of Wilcoxon's signed-rank test that values lie above 0; 1 if all are 0.

    Parameters
    ----------
    values : array of float, shape (n,)
        One number per molecule.
    """
    if not np.any(values):
        return 1.0
    return float(wilcoxon(values, alternative="greater", method="approx").pvalue)


def adjusted(p: Sequence[float]) -> FloatArray:
    """p-values adjusted for their number, by Benjamini and Hochberg (1995).

    Parameters
    ----------
    p : sequence of float
        The p-values.

    Returns
    -------
    array of float, shape (n,)
        Rejecting those below a rate keeps the expected share of false rejections below it.
    """
    return np.asarray(false_discovery_control(np.asarray(p, dtype=np.float64)), dtype=np.float64)
