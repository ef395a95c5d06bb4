"""The ablation test as a picture."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
from markupsafe import escape

from molig.evaluation.ablation import RANDOM

_WIDTH, _HEIGHT = 560, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 36, 48
# Told apart by readers who cannot tell red from green, and in grey print.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
_GREY = "#777777"
_TICKS = 5


def draw_drop_curves(frame: pd.DataFrame, title: str, score: str = "score") -> str:
    """Draw drop curves with their intervals.

    Parameters
    ----------
    frame : DataFrame
        As `drop_curves` returns it.
    title : str
        Heading.
    score : str
        What drops, for the axis.

    Returns
    -------
    str
        An SVG.

    Examples
    --------
    >>> row = ("IG", 1, 0.5, 0.4, 0.6, 20)
    >>> columns = ["ranking", "removed", "drop", "low", "high", "n_molecules"]
    >>> draw_drop_curves(pd.DataFrame([row], columns=columns), "phenols")[:4]
    '<svg'
    """
    known = frame.dropna(subset=["drop"])
    x = _scale(known["removed"].min(), known["removed"].max(), _LEFT, _WIDTH - _RIGHT)
    bottom, top = min(0.0, known["low"].min()), max(0.0, known["high"].max())
    y = _scale(bottom, top, _HEIGHT - _BOTTOM, _TOP)
    parts = [_axes(sorted(set(known["removed"])), (bottom, top), x, y)]
    parts += [_text(_LEFT, 20, title, "start", 14)]
    parts += [_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, "atoms removed")]
    parts += [
        f'<g transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2:.1f}) rotate(-90)">'
        f"{_text(0, 0, f'mean drop of the {score}')}</g>"
    ]
    for place, (name, curve) in enumerate(known.groupby("ranking", sort=False)):
        parts.append(_curve(str(name), curve, place, (x, y)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


Scale = Callable[[float], float]


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    """From data to pixels; a range of one value lies in the middle."""
    if not high > low:
        return lambda value: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _axes(steps: list[float], limits: tuple[float, float], x: Scale, y: Scale) -> str:
    right = _WIDTH - _RIGHT
    parts = []
    bottom, top = limits
    for value in _ticks(bottom, top):
        parts.append(
            f'<line x1="{_LEFT}" y1="{y(value):.1f}" x2="{right}" y2="{y(value):.1f}" stroke="#e4e4e4"/>'
            + _text(_LEFT - 8, y(value) + 4, f"{value:.3g}", "end", 11)
        )
    parts += [_text(x(step), _HEIGHT - _BOTTOM + 18, f"{step:g}", "middle", 11) for step in steps]
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within a range, about `_TICKS` of them."""
    rough = (high - low) / _TICKS
    if not rough > 0:
        return [low]
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _curve(name: str, curve: pd.DataFrame, place: int, scales: tuple[Scale, Scale]) -> str:
    x, y = scales
    grey = name == RANDOM
    colour = _GREY if grey else _COLOURS[place % len(_COLOURS)]
    dash = ' stroke-dasharray="5 4"' if grey else ""
    at = [x(float(step)) for step in curve["removed"]]
    middle, low, high = (
        [f"{px:.1f},{y(float(v)):.1f}" for px, v in zip(at, curve[column], strict=True)]
        for column in ("drop", "low", "high")
    )
    row = _TOP + 12 + 20 * place
    start = _WIDTH - _RIGHT + 12
    return (
        f'<polygon points="{" ".join([*low, *reversed(high)])}" fill="{colour}" opacity="0.15"/>'
        f'<polyline points="{" ".join(middle)}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        f'<line x1="{start}" y1="{row - 4}" x2="{start + 20}" y2="{row - 4}" stroke="{colour}" '
        f'stroke-width="2"{dash}/>' + _text(start + 26, row, name.replace("_", " "), "start", 11)
    )


def _text(x: float, y: float, words: str, anchor: str = "middle", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'
