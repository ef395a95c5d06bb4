"""Pictures of rankings: ROC, enrichment and reliability, several methods in one figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from molig.ranking.calibration import Reliability
from molig.ranking.curves import EnrichmentCurve, RocCurve
from molig.ranking.drawing import (
    LEGEND,
    REFERENCE,
    count_axis,
    in_legend,
    log_percent_axis,
    new_figure,
    pen,
    percent_axis,
)
from molig.ranking.groups import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
_SQUARE, _WIDE, _TALL = (4.6, 4.3), (5.6, 3.8), (4.6, 5.7)
_SMALLEST_SHARE = 0.001
_POINTS_PER_AXIS = 600


def draw_roc(curves: Mapping[str, RocCurve], title: str, subtitle: str = "") -> Figure:
    """Draw ROC curves, with the area under each in the legend.

    Parameters
    ----------
    curves : mapping of str to RocCurve
        Curve of each method by its name; the first is drawn boldest, on top.
    title, subtitle : str
        Words above the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Not tied to any window; `save_figure` writes it.

    Raises
    ------
    UsageError
        If there is no curve.

    Examples
    --------
    >>> from molig.ranking import roc_curve_points
    >>> figure = draw_roc({"molig": roc_curve_points([1, 0, 1], [3.0, 2.0, 1.0])}, "Three molecules")
    >>> len(figure.axes)
    1
    """
    with new_figure(curves, (title, subtitle), _SQUARE, len(curves) + 1) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], **REFERENCE)
        for place, (name, curve) in enumerate(curves.items()):
            label = in_legend(name, curve.area)
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, **pen(place))
        percent_axis(axes, "x", "inactives found (false positive rate)")
        percent_axis(axes, "y", "actives found (true positive rate)")
        axes.set_aspect("equal", anchor="N")
        figure.legend(title="Area under the curve", **LEGEND)
    return figure


def draw_enrichment(curves: Mapping[str, EnrichmentCurve], title: str, subtitle: str = "") -> Figure:
    """Draw enrichment curves on a logarithmic axis, from 0.1 % of the molecules to all.

    Parameters
    ----------
    curves : mapping of str to EnrichmentCurve
        Curve of each method by its name; the first is drawn boldest, on top.
    title, subtitle : str
        Words above the figure.

    Returns
    -------
    matplotlib.figure.Figure
        With the random order and, where all curves are of one set, the best possible order for comparison.

    Raises
    ------
    UsageError
        If there is no curve.

    Examples
    --------
    >>> from molig.ranking import enrichment_curve
    >>> figure = draw_enrichment({"molig": enrichment_curve([1, 0, 1], [3.0, 2.0, 1.0])}, "Three molecules")
    >>> figure.axes[0].get_xscale()
    'log'
    """
    with new_figure(curves, (title, subtitle), _WIDE, (len(curves) + 3) // 2) as figure:
        axes = figure.subplots()
        left = _first_share(curves)
        for place, (name, curve) in enumerate(curves.items()):
            if len(curve.screened):
                axes.plot(*_on_log_axis(curve, left), label=in_legend(name), **pen(place))
        _draw_references(axes, curves, left)
        log_percent_axis(axes, left, "molecules screened, best first")
        percent_axis(axes, "y", "actives found")
        figure.legend(ncols=2, **LEGEND)
    return figure


def draw_reliability(curves: Mapping[str, Reliability], title: str, subtitle: str = "") -> Figure:
    """Draw observed against predicted shares of actives, and below how many molecules each point stands for.

    Parameters
    ----------
    curves : mapping of str to Reliability
        Curve of each method by its name; the first is drawn on top.
    title, subtitle : str
        Words above the figure.

    Returns
    -------
    matplotlib.figure.Figure
        With 95 % intervals, and the expected calibration error of each method in the legend.

    Raises
    ------
    UsageError
        If there is no curve.

    Examples
    --------
    >>> from molig.ranking import reliability_curve
    >>> figure = draw_reliability({"molig": reliability_curve([1, 0], [0.8, 0.1])}, "Two molecules")
    >>> len(figure.axes)
    2
    """
    with new_figure(curves, (title, subtitle), _TALL, len(curves) + 1) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
        upper.plot([0, 1], [0, 1], **REFERENCE)
        for place, (name, curve) in enumerate(curves.items()):
            marked = pen(place, marked=True)
            label = in_legend(name, curve.expected_error)
            reach = np.stack([curve.observed - curve.low, curve.high - curve.observed])
            upper.errorbar(
                curve.mean_predicted, curve.observed, reach, label=label, elinewidth=0.9, capsize=2, **marked
            )
            lower.plot(curve.mean_predicted, curve.count, **marked)
        percent_axis(upper, "y", "actives observed")
        count_axis(lower, "molecules")
        percent_axis(lower, "x", "predicted probability of being active")
        upper.tick_params(labelbottom=False)
        title = "Expected calibration error"
        figure.legend(*upper.get_legend_handles_labels(), title=title, **LEGEND)
    return figure


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
