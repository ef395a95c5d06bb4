"""Intervals of shares and medians."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_Z = 1.959963984540054


def wilson(hits: float, n: int, z: float = _Z) -> tuple[float, float]:
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
