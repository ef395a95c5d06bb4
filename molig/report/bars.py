"""Signed shares as horizontal bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One line of a ledger: its name, its value in words, and its bar in percent of the track's width."""

    name: str
    value: str
    negative: bool
    start: float
    length: float
    axis: float


def bars(ledger: Sequence[tuple[str, float]]) -> list[Bar]:
    """Lay out the bars of a ledger on one common axis.

    Parameters
    ----------
    ledger : sequence of (str, float)
        Names and shares in percent.

    Returns
    -------
    list of Bar
        In the same order. A share that is not finite has no bar and reads "n/a".

    Examples
    --------
    >>> [(bar.value, bar.start, bar.length) for bar in bars([("atoms", 150.0), ("pairs", -50.0)])]
    [('150.0 %', 25.0, 75.0), ('−50.0 %', 0.0, 25.0)]
    """
    finite = [share for _, share in ledger if math.isfinite(share)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    span = high - low or 1.0
    axis = round(-100 * low / span, 2)
    found = []
    for name, share in ledger:
        if not math.isfinite(share):
            found.append(Bar(name, "n/a", False, axis, 0.0, axis))
            continue
        length = round(100 * abs(share) / span, 2)
        start = round(axis - length, 2) if share < 0 else axis
        found.append(Bar(name, _percent(share), share < 0, max(start, 0.0), length, axis))
    return found


def _percent(share: float) -> str:
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{round(share, 1) + 0.0:.1f} %".replace("-", "−")
