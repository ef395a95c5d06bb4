"""Bootstrap intervals of the figures of a ranking."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from molig.errors import UsageError
from molig.ranking.groups import FloatArray, Ranking, ranking_of
from molig.ranking.quality import KERNELS

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
