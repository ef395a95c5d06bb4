"""Shares that were counted, and what is certain about them."""

from __future__ import annotations

from scipy.stats import beta

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
