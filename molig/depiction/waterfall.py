"""Waterfalls: how a score adds up, from where it starts to where it ends, step by step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from molig.depiction.numbers import decimals
from molig.depiction.panel import PALETTES, PanelError, hex_color
from molig.errors import UnknownNameError
from molig.stats.plots import GREY, one_line, picture, plot_style, titled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Inches: width of a figure, height of a line, and what a heading takes.
_WIDTH, _LINE_HEIGHT, _HEADING = 5.6, 0.23, 0.55
_MOST_STEPS = 14
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Waterfall:
    """Steps from a start to an end.

    Parameters
    ----------
    title : str
        Of what.
    start_name : str
        What it starts from.
    start, end : float
        Where it starts and ends: ``start`` and all steps together are ``end``.
    steps : sequence of (str, float)
        Names and contributions, in their order.
    unit : str
        What the numbers are.

    Raises
    ------
    PanelError
        When the steps do not lead from the start to the end, or a number is not finite.
    """

    title: str
    start_name: str
    start: float
    end: float
    steps: Sequence[tuple[str, float]]
    unit: str = ""

    def __post_init__(self) -> None:
        numbers = [self.start, self.end, *(value for _, value in self.steps)]
        if not all(map(math.isfinite, numbers)):
            raise PanelError("steps: expected finite numbers")
        gap = math.fsum([self.start, *(value for _, value in self.steps), -self.end])
        if abs(gap) > 1e-9 * max(map(abs, numbers), default=1.0):
            raise PanelError(f"steps: expected to lead from start to end (they miss it by {gap:.2g})")


def draw_waterfall(
    waterfalls: Waterfall | Sequence[Waterfall],
    *,
    kind: str = "svg",
    palette: str = "red-blue",
    note: str = "",
) -> bytes:
    """Draw waterfalls one below the other, on scales of their own.

    Parameters
    ----------
    waterfalls : Waterfall or sequence of Waterfall
        Steps beyond the fourteen largest are drawn as one.
    kind : {"svg", "png"}
        Format.
    palette : str
        As in `molig.depiction.draw_svg`.
    note : str
        A line of small print.

    Returns
    -------
    bytes
        The file. The same input gives the same bytes.

    Examples
    --------
    >>> steps = [("nitro", 0.5), ("benzene", -0.1)]
    >>> draw_waterfall(Waterfall("nitrobenzene", "zero baseline", 0.1, 0.5, steps, "probability"))[:5]
    b'<?xml'
    """
    shown = [waterfalls] if isinstance(waterfalls, Waterfall) else list(waterfalls)
    if not shown:
        raise PanelError("waterfalls: expected at least one (got none)")
    if palette not in PALETTES:
        raise UnknownNameError("palette", palette, PALETTES)
    lines = [_lines(one) for one in shown]
    heights = [_LINE_HEIGHT * (len(each) + 2) + _HEADING for each in lines]
    with plot_style():
        title = one_line(shown[0].title) if len(shown) == 1 else f"{len(shown)} ledgers"
        figure = titled_figure(f"What adds up to the score: {title}", note, (_WIDTH, sum(heights)))
        grid = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)
        for axes, one, steps in zip(grid.flat, shown, lines, strict=True):
            _draw(axes, one, steps, palette)
            if len(shown) > 1:
                axes.set_title(one_line(one.title)[:70], fontsize=9.5, loc="left", weight="bold")
    return picture(figure, kind)


def _lines(one: Waterfall) -> list[tuple[str, float]]:
    """The largest steps in their order, and all others as one."""
    largest = sorted(one.steps, key=lambda step: -abs(step[1]))
    if len(largest) <= _MOST_STEPS:
        return list(one.steps)
    kept = set(map(id, largest[: _MOST_STEPS - 1]))
    rest = [value for step in one.steps if id(step) not in kept for value in step[1:]]
    return [*(s for s in one.steps if id(s) in kept), (f"{len(rest)} smaller ones", math.fsum(rest))]


def _draw(axes: Axes, one: Waterfall, steps: list[tuple[str, float]], palette: str) -> None:
    colors = PALETTES[palette]
    digits = decimals(max([abs(one.end - one.start), *(abs(value) for _, value in steps)]), 3)
    names = [one.start_name, *(name for name, _ in steps), "score"]
    totals = [one.start]
    for _, value in steps:
        totals.append(totals[-1] + value)
    low, high = min(0.0, *totals), max(0.0, *totals)
    gap = 0.012 * (high - low or 1.0)
    small: Any = {"va": "center", "fontsize": 8}
    for row, (_, value) in enumerate(steps, start=1):
        before, after = totals[row - 1], totals[row]
        shade = colors.positive if value > 0 else colors.negative
        look: Any = {"color": hex_color(shade), "edgecolor": "white", "hatch": "" if value > 0 else "////"}
        axes.barh(row, value, left=before, height=0.62, linewidth=0, **look)
        axes.plot([after, after], [row - 0.31, row + 1.31], color=GREY, linewidth=0.6)
        axes.text(max(before, after) + gap, row, _text(f"{value:+z.{digits}f}"), **small)
    for row, total in ((0, one.start), (len(names) - 1, one.end)):
        axes.barh(row, total, height=0.62, color="#9AA0A6")
        axes.text(max(total, 0.0) + gap, row, _text(f"{total:.{digits}f}"), **small)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(range(len(names)), [one_line(name)[:_LONGEST_NAME] for name in names], fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(low - 0.02 * (high - low), high + 0.16 * (high - low or 1.0))
    axes.set_xlabel(one_line(one.unit), fontsize=8.5)
    axes.tick_params(axis="y", length=0)


def _text(number: str) -> str:
    return number.replace("-", "−")
