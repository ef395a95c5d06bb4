"""The figure of saturation: scores and attribution rates on the way from the baseline to the molecules."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from molig.attribution import MoleculeCurves
from molig.depiction.text import legible
from molig.errors import UsageError

FloatArray = npt.NDArray[np.float64]

# Blue and vermilion of Okabe and Ito, which readers of any colour vision tell apart.
_ONE, _MEDIAN, _GREY = "#0072B2", "#D55E00", "#555555"
_STYLE: Any = {  # the stubs name every key, and differ between versions
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica", "sans-serif"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.xmargin": 0.02,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "molig",
    "savefig.dpi": 160,
}
# Inches.
_WIDTH, _HEIGHT, _HEAD, _LINE, _MARGIN = 9.0, 3.5, 0.38, 0.19, 0.1
_LINE_LENGTH = 122
_COLORS_OF_PNG = 256
_NO_DATE = {"svg": {"Date": None, "Creator": "molig"}, "png": {"Software": None}}


def draw_saturation(
    curves: Sequence[MoleculeCurves], file_format: str, *, title: str, subtitle: str = ""
) -> bytes:
    """Draw curves of molecules: scores on the left, attribution rates on the right, medians bold.

    Parameters
    ----------
    curves : sequence of MoleculeCurves
        At least one; all of one task and target, and on the same points.
    file_format : {"svg", "png"}
        Format of the picture.
    title, subtitle : str
        Words above the figure.

    Returns
    -------
    bytes
        The picture; the same input gives the same bytes.

    Raises
    ------
    UsageError
        If there is no curve, or the curves do not belong together.
    """
    _check(curves)
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A task may be named in a script that the typeface lacks; the reader's may have it.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure = _figure(legible(title), textwrap.wrap(legible(subtitle), _LINE_LENGTH))
        left, right = figure.subplots(1, 2)
        _draw_scores(left, curves)
        _draw_rates(right, curves)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=file_format, metadata=_NO_DATE[file_format])
    return buffer.getvalue() if file_format == "svg" else _smaller(buffer)


def _check(curves: Sequence[MoleculeCurves]) -> None:
    if not curves:
        raise UsageError("there is no curve to draw")
    first = curves[0]
    for one in curves:
        if (one.task, one.target, one.share) != (first.task, first.target, first.share):
            raise UsageError(
                f"curves of one figure must be of one task and target: {first.task} {first.target} "
                f"and {one.task} {one.target}"
            )
        if not np.array_equal(one.at, first.at):
            raise UsageError("curves of one figure must have the same points a")


def _figure(title: str, lines: Sequence[str]) -> Figure:
    """An empty figure with a title and small print, left-aligned."""
    head = _HEAD + _LINE * len(lines)
    height = _HEIGHT + head
    figure = Figure(
        figsize=(_WIDTH, height), layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - head / height))
    )
    x = _MARGIN / _WIDTH
    figure.text(x, 1 - _MARGIN / height, title, va="top", fontsize=11, weight="bold")
    for i, line in enumerate(lines):
        figure.text(x, 1 - (_HEAD + i * _LINE) / height, line, va="top", fontsize=8.5, color=_GREY)
    return figure


def _draw_scores(axes: Axes, curves: Sequence[MoleculeCurves]) -> None:
    first = curves[0]
    _draw_lines(axes, first.at, np.array([one.scores for one in curves]))
    axes.set_ylabel(f"{first.target} of {legible(first.task)}")
    if first.target == "probability":
        axes.set_ylim(-0.02, 1.02)
    reached = _median([one.reached_at for one in curves])
    note = ""
    if math.isfinite(reached):
        axes.axvline(reached, color=_GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        note = f"{first.share:.0%} of the change at a = {reached:.2f}{_of_median(curves)}"
    _name(axes, "Score F(a)", note)
    if len(curves) > 1:
        axes.legend(loc="best", frameon=False, handlelength=1.6)


def _draw_rates(axes: Axes, curves: Sequence[MoleculeCurves]) -> None:
    _draw_lines(axes, curves[0].at, np.array([one.rates for one in curves]))
    axes.axhline(0, color=_GREY, linewidth=0.8, zorder=1)
    axes.set_ylabel(f"attribution rate ({curves[0].target} per a)")
    share = _median([one.gradient_share for one in curves])
    known = math.isfinite(share)
    note = f"gradient × input = {share:.0%} of the change{_of_median(curves)}" if known else ""
    _name(axes, "Rate dF/da", note)


def _name(axes: Axes, name: str, note: str) -> None:
    """Write a name above the left end of the axes and a note above the right end."""
    axes.set_title(name, loc="left")
    axes.set_title(note, loc="right", fontsize=8.5, color=_GREY)


def _draw_lines(axes: Axes, at: FloatArray, lines: FloatArray) -> None:
    """Every molecule thin, the median at each point bold."""
    if len(lines) > 1:
        thin, *_ = axes.plot(at, lines.T, color=_ONE, linewidth=0.8, alpha=0.45)
        thin.set_label("one molecule")
        axes.plot(at, np.median(lines, axis=0), color=_MEDIAN, linewidth=2.4, label="median")
    else:
        axes.plot(at, lines[0], color=_ONE, linewidth=2)
    axes.set_xlabel("a, from the baseline (0) to the molecule (1)")
    axes.set_xlim(-0.01, 1.01)


def _smaller(png: io.BytesIO) -> bytes:
    """The same picture with a palette: a few colours, a third of the size."""
    with Image.open(png) as image:
        indexed = image.convert("RGB").quantize(_COLORS_OF_PNG, method=Image.Quantize.MEDIANCUT)
        dpi = image.info["dpi"]
    buffer = io.BytesIO()
    indexed.save(buffer, format="PNG", optimize=True, dpi=dpi)
    return buffer.getvalue()


def _of_median(curves: Sequence[MoleculeCurves]) -> str:
    return " (median)" if len(curves) > 1 else ""


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan
