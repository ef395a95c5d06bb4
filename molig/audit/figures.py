"""Plots of audits: small, self-contained SVG in one style."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molig.audit.findings import Figure
from molig.stats.plots import COLORS, GREY, picture, plot_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, YELLOW = COLORS[0], COLORS[1], COLORS[2], COLORS[4]
DASHED: Any = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (4, 3))}
"""Line to compare with, such as chance."""

# Smaller than other figures: several stand side by side on a page.
_CHANGES: Any = {"font.size": 9, "xtick.color": "black", "ytick.color": "black", "savefig.dpi": "figure"}
_SIZE = (5.2, 3.1)
_MOST_NAMED = 7
_BINS = 40


def draw(title: str, fill: Callable[[Axes], object], size: tuple[float, float] = _SIZE) -> Figure:
    """Let a function draw into axes below a title; the same contents give the same text."""
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415 - takes long to load

    changes = _CHANGES | {"svg.hashsalt": title}
    with plot_style(changes):
        figure = Canvas(figsize=size, layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold")
        fill(axes)
    text = picture(figure, "svg", changes).decode()
    return Figure(title, text[text.index("<svg") :].strip())


def histogram(
    series: Mapping[str, npt.ArrayLike], title: str, label: str, *, counted: str = "molecules"
) -> Figure:
    """Draw distributions, one outline per series."""
    finite = {name: _finite(values) for name, values in series.items()}
    everything = np.concatenate([*finite.values(), np.empty(0)])
    low, high = (float(everything.min()), float(everything.max())) if len(everything) else (0.0, 1.0)
    margin = max(high - low, 1e-3 * max(abs(high), abs(low)), 1e-9) * 0.02
    edges = np.linspace(low - margin, high + margin, _BINS + 1)

    def fill(axes: Axes) -> None:
        for place, (name, values) in enumerate(finite.items()):
            counts, _ = np.histogram(values, edges)
            axes.stairs(counts, edges, color=COLORS[place % len(COLORS)], label=name, alpha=0.85)
        axes.set_xlabel(label)
        axes.set_ylabel(counted)
        _legend(axes, len(finite))

    return draw(title, fill)


def scatter(
    x: npt.ArrayLike, y: npt.ArrayLike, title: str, labels: tuple[str, str], *, most: int = 2000
) -> Figure:
    """Draw points."""
    left, right = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    chosen = np.unique(np.linspace(0, max(len(left) - 1, 0), min(most, max(len(left), 1))).astype(int))[
        : len(left)
    ]

    def fill(axes: Axes) -> None:
        axes.scatter(left[chosen], right[chosen], s=7, color=BLUE, alpha=0.45, linewidths=0)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])

    return draw(title, fill)


def bars(values: Mapping[str, float], title: str, label: str, *, reference: float | None = None) -> Figure:
    """Draw horizontal bars, from top to bottom in the order given."""
    names, lengths = list(values), [value if np.isfinite(value) else 0.0 for value in values.values()]

    def fill(axes: Axes) -> None:
        places = np.arange(len(names))
        axes.barh(places, lengths, color=[BLUE if v >= 0 else ORANGE for v in lengths], height=0.7)
        axes.set_yticks(places, names, fontsize=8)
        axes.invert_yaxis()
        axes.axvline(0, color=GREY, linewidth=0.8)
        if reference is not None:
            axes.axvline(reference, **DASHED)
        axes.set_xlabel(label)

    return draw(title, fill, (_SIZE[0], max(1.4, 0.9 + 0.2 * len(names))))


def _legend(axes: Axes, n_series: int) -> None:
    """Name the series, unless they are too many to be told apart by colour."""
    if 1 < n_series <= _MOST_NAMED:
        axes.legend(frameon=False, fontsize=8)
    elif n_series > _MOST_NAMED:
        axes.annotate(f"{n_series} tasks", (1, 1), xycoords="axes fraction", ha="right", va="top", fontsize=8)


def _finite(values: npt.ArrayLike | Sequence[float]) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[np.isfinite(array)]
