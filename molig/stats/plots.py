"""Plots: the style of all figures of molig, and those that judge rankings by ROC, enrichment and reliability.

Matplotlib is imported where it draws: loading it takes half a second, which `molig --help` need not wait for.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from molig.errors import OutputError, UsageError
from molig.stats.curves import EnrichmentCurve, Reliability, RocCurve
from molig.stats.ranking import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Okabe and Ito's colours, which readers of any colour vision tell apart; in grey print, dashes do.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#555555"
_PALE = "#E3E3E3"
_DASHES: tuple[Any, ...] = ("-", (0, (6, 1.5)), (0, (3, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (1.2, 1.2)))
_MARKERS = "osD^vPX"
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica", "sans-serif"],
    "font.size": 9.5,
    "legend.fontsize": 8.5,
    "legend.title_fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "xtick.color": GREY,
    "ytick.color": GREY,
    # Names come from users: a $ in them begins no formula.
    "text.parse_math": False,
    # Words stay words, which can be searched and read aloud.
    "svg.fonttype": "none",
    # Matplotlib draws identifiers at random otherwise; equal figures shall be equal files.
    "svg.hashsalt": "molig",
    "savefig.dpi": 160,
}
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "molig"},
    "png": {"Software": None},
}
# Inches: margin, title, each line of small print, each row of a legend. Letters of small print per inch.
_MARGIN, _HEAD, _LINE, _ROW, _LETTERS = 0.1, 0.36, 0.17, 0.18, 14
_LONGEST_NAME = 48

# Line that no method has drawn.
REFERENCE: Any = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 1}
_LEGEND: Any = {
    "loc": "outside lower center",
    "frameon": False,
    "handlelength": 2.6,
    "borderaxespad": 0.2,
    "alignment": "left",
}


# What every picture of molig needs: one style, a titled figure, and its bytes.


@contextmanager
def plot_style(changes: Mapping[str, Any] = MappingProxyType({})) -> Iterator[None]:
    """The common style with changes of matplotlib's rcParams, while a figure is drawn or written."""
    import matplotlib as mpl  # noqa: PLC0415

    style: Any = _STYLE | dict(changes)  # the stubs name every key, and differ between versions
    with mpl.rc_context(style), warnings.catch_warnings():
        # A name may be written in a script that the typeface lacks; the reader's may have it.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def titled_figure(title: str, small_print: str, size: tuple[float, float], legend_rows: int = 0) -> Figure:
    """An empty figure below a title and wrapped small print; `size` in inches is that of the axes."""
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    lines = textwrap.wrap(one_line(small_print), round(size[0] * _LETTERS))
    head = _HEAD + _LINE * len(lines)
    width, height = size[0], size[1] + head + _ROW * legend_rows
    figure = Figure((width, height), layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - head / height)))
    x = _MARGIN / width
    figure.text(x, 1 - _MARGIN / height, one_line(title), va="top", fontsize=11, weight="bold")
    for i, line in enumerate(lines):
        figure.text(x, 1 - (_HEAD + i * _LINE) / height, line, va="top", fontsize=8.5, color=GREY)
    return figure


def picture(figure: Figure, kind: str, changes: Mapping[str, Any] = MappingProxyType({})) -> bytes:
    """A figure as the bytes of an "svg" or "png"; the same figure gives the same ones."""
    buffer = io.BytesIO()
    with plot_style(changes):
        figure.savefig(buffer, format=kind, metadata=_METADATA[kind])
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as SVG or PNG; the same figure gives the same bytes."""
    kind = Path(path).suffix.lower()[1:]
    if kind not in _METADATA:
        raise UsageError(f"a figure is written as .svg or .png (got {Path(path).name})")
    content = picture(figure, kind)
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise OutputError(f"cannot write the figure {path}: {error.strerror or error}") from error


def one_line(text: str) -> str:
    """Text on one line, without characters that SVG cannot hold."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


def in_legend(name: str, figure: float | None = None) -> str:
    """Name of a series and a figure of it; a leading _ would hide the name, so it is dropped."""
    text = one_line(name).lstrip("_")
    if len(text) > _LONGEST_NAME:
        text = text[: _LONGEST_NAME - 1] + "…"
    return text if figure is None else f"{figure:.3f}  {text}"


# Judging rankings: ROC, enrichment and reliability.

# Inches.
_SQUARE, _WIDE, _TALL = (4.6, 4.3), (5.6, 3.8), (4.6, 5.7)
_SMALLEST_SHARE = 0.001
_POINTS_PER_AXIS = 600


def draw_roc(curves: Mapping[str, RocCurve], title: str, subtitle: str = "") -> Figure:
    """Draw ROC curves, with the area under each in the legend."""
    _check(curves)
    with plot_style():
        figure = titled_figure(title, subtitle, _SQUARE, len(curves) + 1)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], **REFERENCE)
        for place, (name, curve) in enumerate(curves.items()):
            label = in_legend(name, curve.area)
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, **_pen(place))
        _percent_axis(axes, "x", "inactives found (false positive rate)")
        _percent_axis(axes, "y", "actives found (true positive rate)")
        axes.set_aspect("equal", anchor="N")
        figure.legend(title="Area under the curve", **_LEGEND)
    return figure


def draw_enrichment(curves: Mapping[str, EnrichmentCurve], title: str, subtitle: str = "") -> Figure:
    """Draw enrichment curves on a logarithmic axis, since only the first molecules will be bought."""
    _check(curves)
    with plot_style():
        figure = titled_figure(title, subtitle, _WIDE, (len(curves) + 3) // 2)
        axes = figure.subplots()
        left = _first_share(curves)
        for place, (name, curve) in enumerate(curves.items()):
            if len(curve.screened):
                axes.plot(*_on_log_axis(curve, left), label=in_legend(name), **_pen(place))
        _draw_references(axes, curves, left)
        _log_percent_axis(axes, left, "molecules screened, best first")
        _percent_axis(axes, "y", "actives found")
        figure.legend(ncols=2, **_LEGEND)
    return figure


def draw_reliability(curves: Mapping[str, Reliability], title: str, subtitle: str = "") -> Figure:
    """Draw observed against predicted shares, and below how many molecules each point stands for."""
    _check(curves)
    with plot_style():
        figure = titled_figure(title, subtitle, _TALL, len(curves) + 1)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
        upper.plot([0, 1], [0, 1], **REFERENCE)
        for place, (name, curve) in enumerate(curves.items()):
            marked = _pen(place, marked=True)
            label = in_legend(name, curve.expected_error)
            reach = np.stack([curve.observed - curve.low, curve.high - curve.observed])
            upper.errorbar(
                curve.mean_predicted, curve.observed, reach, label=label, elinewidth=0.9, capsize=2, **marked
            )
            lower.plot(curve.mean_predicted, curve.count, **marked)
        _percent_axis(upper, "y", "actives observed")
        _count_axis(lower, "molecules")
        _percent_axis(lower, "x", "predicted probability of being active")
        upper.tick_params(labelbottom=False)
        title = "Expected calibration error"
        figure.legend(*upper.get_legend_handles_labels(), title=title, **_LEGEND)
    return figure


def _check(curves: Mapping[str, object]) -> None:
    if not curves:
        raise UsageError("there is no curve to draw")


def _first_share(curves: Mapping[str, EnrichmentCurve]) -> float:
    """Where the axis begins: at 0.1 %, or at one molecule of a set so small that this is less than one."""
    return max(_SMALLEST_SHARE, *(1 / max(2, curve.n_molecules) for curve in curves.values()))


def _draw_references(axes: Axes, curves: Mapping[str, EnrichmentCurve], left: float) -> None:
    at = np.geomspace(left, 1.0, _POINTS_PER_AXIS)
    sets = {(curve.n_molecules, curve.n_actives) for curve in curves.values()}
    n_molecules, n_actives = next(iter(sets))
    if len(sets) == 1 and n_actives:
        best = np.minimum(1.0, at * n_molecules / n_actives)
        axes.plot(at, best, label="best possible", **{**REFERENCE, "linestyle": (0, (1, 2))})
    axes.plot(at, at, label="random order", **REFERENCE)


def _on_log_axis(curve: EnrichmentCurve, left: float) -> tuple[FloatArray, FloatArray]:
    """Corners and points between them: what is straight is bent by the logarithm."""
    inner = curve.screened[(curve.screened > left) & (curve.screened < 1)]
    at = np.union1d(np.geomspace(left, 1.0, _POINTS_PER_AXIS), inner)
    return at, np.interp(at, curve.screened, curve.found)


def _pen(place: int, marked: bool = False) -> dict[str, Any]:
    """Line of the method at this place; the first is the one that the figure is about."""
    marker = {"marker": _MARKERS[place % len(_MARKERS)], "markersize": 4} if marked else {}
    return marker | {
        "color": COLORS[place % len(COLORS)],
        "linestyle": _DASHES[place % len(_DASHES)],
        "linewidth": 2.2 if place == 0 else 1.4,
        "zorder": 3 if place == 0 else 2,
    }


def _percent_axis(axes: Axes, which: str, label: str) -> None:
    """An axis from 0 to 100 %."""
    ticks = np.linspace(0, 1, 6)
    axes.set(**{f"{which}lim": (-0.015, 1.015), f"{which}label": label, f"{which}ticks": ticks})
    axes.set(**{f"{which}ticklabels": [f"{tick:.0%}" for tick in ticks]})
    axes.grid(color=_PALE, linewidth=0.7)


def _log_percent_axis(axes: Axes, left: float, label: str) -> None:
    """A logarithmic axis up to 100 %."""
    axes.set_xscale("log")
    ticks = [tick for tick in (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0) if tick >= left]
    axes.set_xticks(ticks, [f"{100 * tick:g}%" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlim=(left, 1.0), xlabel=label)


def _count_axis(axes: Axes, label: str) -> None:
    """A logarithmic axis of whole numbers, upwards."""
    axes.set_yscale("log")
    axes.set(ylabel=label, ylim=(0.7, None))
    axes.yaxis.set_major_formatter(lambda value, place: f"{value:,.0f}")
    axes.yaxis.set_minor_formatter(lambda value, place: "")
