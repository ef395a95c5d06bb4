"""Scores in words: with a sign, and as many digits as they need."""

from __future__ import annotations

import math


def number(value: float) -> str:
    """Write a score with its sign and three digits."""
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "−")


def decimals(value: float, digits: int = 2, least: int = 2) -> int:
    """Decimals that show so many digits of a number: at least `least`, and six at most.

    Examples
    --------
    >>> decimals(0.79), decimals(-0.00051)
    (2, 5)
    """
    if not value or not math.isfinite(value):
        return least
    return min(max(least, digits - 1 - math.floor(math.log10(abs(value)))), max(least, 6))
