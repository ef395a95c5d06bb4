"""Bootstrap intervals of the figures of a ranking."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, spearmanr

from molig.errors import UsageError
from molig.stats.ranking import KERNELS, FloatArray, Ranking, ranking_of

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
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    scores : array_like of float, shape (n,)
        Any monotonic score, high for the likely actives.
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
    """Limits that hold the middle of bootstrap samples.

    Parameters
    ----------
    samples : array of float, shape (n_resamples,)
        One figure of every sample; see `bootstrap_samples`.
    level : float
        Share of the samples between the limits, between 0 and 1.

    Returns
    -------
    (float, float)
        Lower and upper limit; NaN where a sample is.

    Raises
    ------
    UsageError
        If the level is not between 0 and 1.

    Examples
    --------
    >>> percentile_interval(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    _check_level(level)
    tail = (1 - level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_samples(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, n_resamples: int = 1000, seed: int = 0
) -> dict[str, FloatArray]:
    """Figures of resampled molecules; see `bootstrap_intervals`.

    Samples of several parts, each drawn with a seed of its own, may be averaged: the interval of the mean
    over folds comes from these averages.

    Parameters
    ----------
    labels, scores, n_resamples, seed
        As for `bootstrap_intervals`.

    Returns
    -------
    dict of str to array, shape (n_resamples,)
        The figures of every sample; NaN where actives or inactives are missing.

    Raises
    ------
    UsageError
        As `bootstrap_intervals`.

    Examples
    --------
    >>> samples = bootstrap_samples([1, 1, 0, 0], [4.0, 3.0, 2.0, 1.0], n_resamples=3)
    >>> samples["roc_auc"].tolist()
    [1.0, 1.0, 1.0]
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
    """Outcome of a sign test.

    Parameters
    ----------
    wins, losses, ties : int
        Pairs where the first is larger, smaller, equal.
    p_value : float
        Chance of an outcome at least as uneven, were wins and losses equally likely.

    Examples
    --------
    >>> sign_test([0.8, 0.9, 0.7], [0.7, 0.8, 0.6])
    SignTest(wins=3, losses=0, ties=0, p_value=0.25)
    """

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
    return SignTest(wins, losses, int(known.sum()) - wins - losses, _two_sided(wins, losses))


def _two_sided(wins: int, losses: int) -> float:
    """Binomial tail of the rarer outcome, doubled; whole numbers, so it is exact up to the last division."""
    n = wins + losses
    outcomes = sum(math.comb(n, k) for k in range(min(wins, losses) + 1))
    return float(min(1.0, 2 * outcomes / 2**n))


# Estimates and their intervals: of shares, medians and rank correlations.

Z95 = 1.959963984540054
"""Standard deviations of the normal distribution, either side, that hold 95 % of it."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval.

    Parameters
    ----------
    value, low, high : float
        Estimate, lower and upper limit.
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {"value": self.value, "low": self.low, "high": self.high}


def spearman(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Spearman's rank correlation.

    Parameters
    ----------
    x, y : array-like of float, shape (n,)
        Two variables.

    Returns
    -------
    float
        NaN where one of them does not vary.

    Examples
    --------
    >>> round(spearman([1, 2, 3], [3, 2, 1]), 6), spearman([1, 1], [1, 2])
    (-1.0, nan)
    """
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return float("nan")
    return float(np.clip(spearmanr(left, right).statistic, -1, 1))


def rank_correlation(x: npt.ArrayLike, y: npt.ArrayLike) -> Estimate:
    """Spearman's rank correlation, with an interval by Fisher's transformation.

    The standard error is that of Bonett and Wright 2000 (doi:10.1007/BF02294183).

    Parameters
    ----------
    x, y : array-like of float, shape (n,)
        Two variables.

    Returns
    -------
    Estimate
        0 if a variable does not vary; limits of -1 and 1 for fewer than 4 pairs.

    Examples
    --------
    >>> round(rank_correlation(range(50), range(50)).value, 6)
    1.0
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


def wilson(hits: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Interval of a share: Wilson's score interval (J. Am. Stat. Assoc. 1927, 22, 209-212).

    Parameters
    ----------
    hits : float
        How often; a tie may count as half.
    n : int
        Out of how many.
    z : float
        Standard deviations of the normal distribution; 1.96 for 95 %.

    Returns
    -------
    (float, float)
        (0, 1) for none.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(8, 10)]
    [0.49, 0.943]
    """
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def bootstrap_share(
    hits: npt.ArrayLike, totals: npt.ArrayLike, rng: np.random.Generator, n_resamples: int = 500
) -> Estimate:
    """Share of things that come in groups, such as atoms of molecules, with a 95 % percentile interval.

    Groups are resampled, not things: those of a group are alike, and tell less than as many others.

    Parameters
    ----------
    hits, totals : array-like of int, shape (n_groups,)
        How many, of how many, in each group.
    rng : Generator
        Draws the samples.
    n_resamples : int
        How many.

    Returns
    -------
    Estimate
        NaN, from 0 to 1, if there is nothing to count.

    Examples
    --------
    >>> bootstrap_share([3, 6, 0], [4, 8, 0], np.random.default_rng(0))
    Estimate(value=0.75, low=0.75, high=0.75)
    """
    counted = np.asarray(totals) > 0
    some, every = np.asarray(hits)[counted], np.asarray(totals)[counted]
    if not len(every):
        return Estimate(float("nan"), 0.0, 1.0)
    drawn = rng.integers(len(every), size=(n_resamples, len(every)))
    low, high = np.quantile(some[drawn].sum(axis=1) / every[drawn].sum(axis=1), [0.025, 0.975])
    return Estimate(float(some.sum() / every.sum()), float(low), float(high))


def bootstrap_median(
    values: npt.ArrayLike, rng: np.random.Generator, n_resamples: int = 500
) -> tuple[float, float]:
    """95 % percentile interval of a median over resampled values.

    Parameters
    ----------
    values : array-like of float
        At least one.
    rng : Generator
        Draws the samples.
    n_resamples : int
        How many.

    Returns
    -------
    (float, float)
    """
    given = np.asarray(values, dtype=float)
    drawn = np.median(given[rng.integers(len(given), size=(n_resamples, len(given)))], axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


# Shares that were counted, and what is certain about them.

_TAIL = 0.025


def surely_above(count: int, n: int, share: float) -> bool:
    """Whether a true share is above a bound with 97.5 % confidence (Clopper and Pearson 1934).

    Parameters
    ----------
    count, n : int
        How many of how many.
    share : float
        The bound.

    Returns
    -------
    bool

    Examples
    --------
    >>> surely_above(1, 5, 0.001), surely_above(1, 2000, 0.001)
    (True, False)
    """
    return count > 0 and float(beta.ppf(_TAIL, count, n - count + 1)) > share
