"""The metric of a set of molecules, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.benchmark.metrics import evaluation_metric
from molig.errors import UsageError
from molig.stats.intervals import bootstrap_share

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap interval.

    Parameters
    ----------
    value : float
        Metric of the set; NaN where no molecule counts.
    low, high : float
        Limits of the interval: percentiles over resampled molecules.
    n_molecules : int
        Molecules that count.

    Examples
    --------
    >>> Estimate(0.929, 0.91, 0.945, 47).n_molecules
    47
    """

    value: float
    low: float
    high: float
    n_molecules: int


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Parameters
    ----------
    n_resamples : int
        Number of bootstrap samples of the molecules.
    level : float
        Share of the samples within the interval.
    seed : int
        Of the random numbers; the same seed draws the same molecules for every method.

    Raises
    ------
    UsageError
        If there are no samples or the level is not between 0 and 1.

    Examples
    --------
    >>> Resampling(seed=7).level
    0.95
    """

    n_resamples: int = 2000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_resamples < 1:
            raise UsageError(f"the number of bootstrap samples must be at least 1 (got {self.n_resamples})")
        if not 0 < self.level < 1:
            raise UsageError(f"the level of an interval must lie between 0 and 1 (got {self.level})")


def evaluate(
    metric: str,
    truths: Sequence[FloatArray],
    scores: Sequence[FloatArray],
    resampling: Resampling | None = None,
) -> Estimate:
    """Judge the atom scores of a set of molecules.

    Parameters
    ----------
    metric : str
        Name of the metric; see `evaluation_metrics`.
    truths : sequence of array of float, shape (n_alternatives, n_atoms)
        Per molecule the valid explanations.
    scores : sequence of array of float, shape (n_atoms,)
        Per molecule the atom scores.
    resampling : Resampling, optional
        How the interval is made.

    Returns
    -------
    Estimate
        Value, interval and number of molecules that count.

    Raises
    ------
    UnknownNameError
        If there is no such metric.
    UsageError
        If there are not as many scores as truths, or those of a molecule do not fit (the message names it).

    Examples
    --------
    >>> truths = [np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[0.0, 0.0]])]
    >>> estimate = evaluate("attribution_auroc", truths, [np.array([2.0, 1.0])] * 3)
    >>> estimate.value, estimate.n_molecules
    (0.5, 2)
    """
    terms = molecule_terms(metric, truths, scores)
    return ratio_estimate(terms[:, 0], terms[:, 1], resampling)


def molecule_terms(metric: str, truths: Sequence[FloatArray], scores: Sequence[FloatArray]) -> FloatArray:
    """Numerator and denominator of each molecule, shape (n_mols, 2); with denominator 0 it does not count."""
    judge = evaluation_metric(metric)
    if len(truths) != len(scores):
        raise UsageError(f"expected atom scores of {len(truths)} molecules (got {len(scores)})")
    terms = np.empty((len(truths), 2))
    for row, (truth, values) in enumerate(zip(truths, scores, strict=True)):
        try:
            terms[row] = judge.terms(truth, values)
        except UsageError as error:
            raise UsageError(f"molecule {row} (counted from 0): {error}") from error
    return terms


def ratio_estimate(
    numerators: FloatArray, denominators: FloatArray, resampling: Resampling | None = None
) -> Estimate:
    """Sum of numerators over sum of denominators, with a percentile interval over molecules."""
    how, n = resampling or Resampling(), int((denominators > 0).sum())
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(how.seed)
    share = bootstrap_share(numerators, denominators, rng, how.n_resamples, how.level)
    return Estimate(share.value, share.low, share.high, n)
