"""Intervals and tests: bootstrap of ranking figures, sign test, estimates of shares and correlations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.deferred import deferred
from molig.errors import UsageError
from molig.stats.ranking import KERNELS, FloatArray, Ranking, ranking_of

scipy_stats = deferred("scipy.stats")

# Bounds the memory of a block of resamples to some ten arrays of 4 MB.
_CELLS_PER_BLOCK = 500_000
# A multinomial draw costs about this many draws of single molecules, for each group.
_GROUP_COST = 7


def bootstrap_intervals(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals over resampled molecules, as many actives and inactives as there are.

    Parameters
    ----------
    labels, scores : array_like of float, shape (n,)
        As of `roc_auc`.
    n_resamples : int
        Number of bootstrap samples. Actives and inactives are drawn separately, with replacement.
    seed : int
        Of the random numbers.
    level : float
        Share of the samples within an interval, between 0 and 1.

    Returns
    -------
    dict of str to (float, float)
        Lower and upper limit of roc_auc, pr_auc, bedroc, ef_0_5, ef_1 and ef_5; NaN where actives or
        inactives are missing. The model is taken as given: other training data would move the figures
        further.

    Raises
    ------
    UsageError
        As `roc_auc`, or if there are no resamples or the level is not between 0 and 1.

    Examples
    --------
    >>> intervals = bootstrap_intervals([1, 1, 0, 0], [4.0, 3.0, 2.0, 1.0], n_resamples=100)
    >>> intervals["roc_auc"]
    (1.0, 1.0)
    """
    _check_level(level)
    samples = bootstrap_samples(labels, scores, n_resamples=n_resamples, seed=seed)
    return {name: percentile_interval(values, level) for name, values in samples.items()}


def percentile_interval(samples: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Limits of the middle of samples of one figure, shape (n_resamples,); NaN where a sample is."""
    _check_level(level)
    tail = (1 - level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_samples(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, n_resamples: int = 1000, seed: int = 0
) -> dict[str, FloatArray]:
    """Figures of resampled molecules, arrays of shape (n_resamples,); NaN where they are not defined.

    Samples of several folds, each drawn with a seed of its own, may be averaged: the interval of the mean
    over folds comes from these averages.
    """
    if n_resamples < 1:
        raise UsageError(f"the number of bootstrap samples must be at least 1 (got {n_resamples})")
    ranking = ranking_of(labels, scores)
    if not ranking.has_both_classes:
        return {name: np.full(n_resamples, math.nan) for name in KERNELS}
    blocks = _resamples(ranking.condensed(), n_resamples, np.random.default_rng(seed))
    rows = [np.stack([kernel(block) for kernel in KERNELS.values()]) for block in blocks]
    return dict(zip(KERNELS, np.concatenate(rows, axis=1), strict=True))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UsageError(f"the level of an interval must lie between 0 and 1 (got {level})")


def _resamples(ranking: Ranking, n_resamples: int, rng: np.random.Generator) -> Iterator[Ranking]:
    """Resampled rankings, in blocks that fit in memory; a molecule drawn twice ties with itself."""
    actives = ranking.actives.astype(np.int64)
    inactives = ranking.sizes.astype(np.int64) - actives
    per_block = max(1, _CELLS_PER_BLOCK // len(actives))
    for start in range(0, n_resamples, per_block):
        size = min(per_block, n_resamples - start)
        drawn = _drawn(actives, size, rng)
        yield Ranking(drawn, drawn + _drawn(inactives, size, rng))


def _drawn(counts: npt.NDArray[np.int64], size: int, rng: np.random.Generator) -> FloatArray:
    """How often each group is drawn when as many molecules are drawn as there are; shape (size, n_groups).

    Both ways have the same distribution; which is cheaper depends on the molecules per group.
    """
    n = int(counts.sum())
    if n > _GROUP_COST * len(counts):
        return rng.multinomial(n, counts / n, size=size).astype(np.float64)
    group = np.repeat(np.arange(len(counts)), counts)
    drawn = np.empty((size, len(counts)))
    for row in drawn:
        row[:] = np.bincount(group[rng.integers(0, n, size=n)], minlength=len(counts))
    return drawn


# Whether one method wins more often than another over tasks.


@dataclass(frozen=True)
class SignTest:
    """Pairs in which the first is larger, smaller and equal, and the two-sided p-value."""

    wins: int
    losses: int
    ties: int
    p_value: float


def sign_test(first: npt.ArrayLike, second: npt.ArrayLike) -> SignTest:
    """Exact two-sided sign test of paired figures, such as the ROC-AUC of two methods on the same tasks.

    Parameters
    ----------
    first, second : array_like of float, shape (n_tasks,)
        The same figure of both methods; pairs with a NaN are left out.

    Returns
    -------
    SignTest
        Ties do not count towards the p-value, which is 1 where nothing is won or lost.

    Raises
    ------
    UsageError
        If there are not as many figures of the first as of the second.

    References
    ----------
    Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, J. Mach. Learn. Res. 2006, 7,
    1-30.

    Examples
    --------
    >>> sign_test([3, 2, 2, float("nan")], [1, 2, 3, 0])
    SignTest(wins=1, losses=1, ties=1, p_value=1.0)
    """
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise UsageError(
            f"a sign test needs one figure per task of both methods (got shapes {left.shape}, {right.shape})"
        )
    known = ~(np.isnan(left) | np.isnan(right))
    wins, losses = int((left > right)[known].sum()), int((left < right)[known].sum())
    n = wins + losses
    p_value = float(scipy_stats.binomtest(wins, n).pvalue) if n else 1.0
    return SignTest(wins, losses, int(known.sum()) - n, p_value)


# Estimates and their intervals: of shares, medians and rank correlations.

# Standard deviations of the normal distribution, either side, that hold 95 % of it.
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {"value": self.value, "low": self.low, "high": self.high}


def spearman(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Spearman's rank correlation; NaN where a variable does not vary, of which scipy would warn."""
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return math.nan
    # Rounding may step over the ends.
    return float(np.clip(scipy_stats.spearmanr(left, right).statistic, -1, 1))


def rank_correlation(x: npt.ArrayLike, y: npt.ArrayLike) -> Estimate:
    """Spearman's rank correlation, with an interval by Fisher's transformation.

    Without variation it is 0, and nothing is known about it. The standard error is that of Bonett and Wright
    2000 (doi:10.1007/BF02294183).
    """
    rho, n = spearman(x, y), len(np.asarray(x))
    if math.isnan(rho):
        return Estimate(0.0, -1.0, 1.0)
    if n < 4:
        return Estimate(rho, -1.0, 1.0)
    if abs(rho) == 1:
        return Estimate(rho, rho, rho)
    half = Z95 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return Estimate(rho, math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half))


def wilson_limits(
    share: npt.ArrayLike, n: npt.ArrayLike, z: float = Z95
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Wilson's score interval of shares of n > 0: the values that a score test would not reject.

    J. Am. Stat. Assoc. 1927, 22, 209-212.
    """
    p, count = np.asarray(share, dtype=np.float64), np.asarray(n, dtype=np.float64)
    scale = 1 + z**2 / count
    middle = (p + z**2 / (2 * count)) / scale
    half = z * np.sqrt(p * (1 - p) / count + (z / (2 * count)) ** 2) / scale
    # Rounding may step over the ends, which belong to shares of 0 and 1.
    return np.clip(middle - half, 0.0, p), np.clip(middle + half, p, 1.0)


def wilson(hits: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval of one share, of which a tie may count as half a hit; (0, 1) of none."""
    if n == 0:
        return 0.0, 1.0
    low, high = wilson_limits(hits / n, n, z)
    return float(low), float(high)


def bootstrap_share(
    hits: npt.ArrayLike,
    totals: npt.ArrayLike,
    rng: np.random.Generator,
    n_resamples: int = 500,
    level: float = 0.95,
) -> Estimate:
    """Share of things that come in groups, such as atoms of molecules; NaN, from 0 to 1, of none.

    Groups are resampled, not things: those of a group are alike, and say less than as many others.
    """
    counted = np.asarray(totals) > 0
    some, every = np.asarray(hits)[counted], np.asarray(totals)[counted]
    if not len(every):
        return Estimate(math.nan, 0.0, 1.0)
    shares = np.empty(n_resamples)
    per_block = max(1, _CELLS_PER_BLOCK // len(every))
    for start in range(0, n_resamples, per_block):
        drawn = rng.integers(len(every), size=(min(per_block, n_resamples - start), len(every)))
        shares[start : start + len(drawn)] = some[drawn].sum(axis=1) / every[drawn].sum(axis=1)
    return Estimate(float(some.sum() / every.sum()), *percentile_interval(shares, level))


def bootstrap_median(
    values: npt.ArrayLike, rng: np.random.Generator, n_resamples: int = 500
) -> tuple[float, float]:
    """95 % percentile interval of the median of at least one value."""
    given = np.asarray(values, dtype=np.float64)
    drawn = given[rng.integers(len(given), size=(n_resamples, len(given)))]
    return percentile_interval(np.median(drawn, axis=1))


def surely_above(count: int, n: int, share: float) -> bool:
    """Whether a true share is above a bound with 97.5 % confidence (Clopper and Pearson 1934)."""
    return count > 0 and float(scipy_stats.beta.ppf(0.025, count, n - count + 1)) > share


def mean_estimate(values: npt.ArrayLike) -> Estimate:
    """Mean of at least one value, with Student's 95 % interval; of a single one the limits are NaN."""
    given = np.asarray(values, dtype=np.float64)
    mean, n = float(given.mean()), len(given)
    if n < 2:
        return Estimate(mean, math.nan, math.nan)
    half = float(scipy_stats.t.ppf(0.975, n - 1) * given.std(ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - half, mean + half)
