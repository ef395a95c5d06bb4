"""Whether one method wins more often than another over tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.errors import UsageError


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
