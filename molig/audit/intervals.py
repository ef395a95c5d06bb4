"""Estimates and their intervals: of shares, medians and rank correlations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

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
