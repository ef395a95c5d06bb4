"""Quality of predictions, per task, where labels may be missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from molig.model import RegressionMetrics, TaskMetrics
from molig.stats import bootstrap_intervals, ranking_quality

FloatArray = npt.NDArray[np.float64]


def task_metrics(labels: FloatArray, scores: FloatArray) -> TaskMetrics:
    """ROC-AUC and PR-AUC of one task; cheap enough for every epoch.

    Parameters
    ----------
    labels : array of float, shape (n,)
        1 active, 0 inactive, NaN not measured.
    scores : array of float, shape (n,)
        Any monotonic score.

    Returns
    -------
    TaskMetrics
        With None for both areas where only one class was measured.
    """
    known = ~np.isnan(labels)
    labels, scores = labels[known], scores[known]
    actives = int(labels.sum())
    areas: tuple[float | None, float | None] = (None, None)
    if 0 < actives < len(labels):
        areas = float(roc_auc_score(labels, scores)), float(average_precision_score(labels, scores))
    return TaskMetrics(
        roc_auc=areas[0], pr_auc=areas[1], n_actives=actives, n_inactives=len(labels) - actives
    )


def screening_metrics(
    labels: FloatArray, scores: FloatArray, probabilities: FloatArray, *, n_resamples: int = 1000
) -> TaskMetrics:
    """All figures of one task with their bootstrap intervals, for a finished model.

    Parameters
    ----------
    labels : array of float, shape (n,)
        1 active, 0 inactive, NaN not measured.
    scores : array of float, shape (n,)
        Any monotonic score.
    probabilities : array of float, shape (n,)
        Of being active.
    n_resamples : int
        Bootstrap samples; 0 leaves out the intervals.

    Returns
    -------
    TaskMetrics
        With None, and no interval, for what cannot be told.

    Examples
    --------
    >>> found = screening_metrics(np.array([1.0, 0, 0, np.nan]), np.array([2.0, 1, 0, 3]), np.full(4, 0.5))
    >>> found.roc_auc, found.brier, found.n_inactives, found.intervals["roc_auc"]
    (1.0, 0.25, 2, (1.0, 1.0))
    """
    found = ranking_quality(labels, scores, probabilities)
    intervals = bootstrap_intervals(labels, scores, n_resamples=n_resamples) if n_resamples else {}
    names = ("roc_auc", "pr_auc", "bedroc", "ef_0_5", "ef_1", "ef_5", "brier", "tie_fraction")
    figures = {name: getattr(found, name) for name in names}
    return TaskMetrics(
        **{name: None if math.isnan(figure) else figure for name, figure in figures.items()},
        n_actives=found.n_actives,
        n_inactives=found.n_inactives,
        intervals={name: ends for name, ends in intervals.items() if not any(map(math.isnan, ends))},
    )


def regression_metrics(labels: FloatArray, values: FloatArray) -> RegressionMetrics:
    """R2, root mean square error and rank correlation of one task.

    Parameters
    ----------
    labels : array of float, shape (n,)
        Measured values; NaN not measured.
    values : array of float, shape (n,)
        Predictions in the same unit.

    Returns
    -------
    RegressionMetrics
        With None for what cannot be told, such as R2 where all labels are equal.

    Examples
    --------
    >>> found = regression_metrics(np.array([1.0, 2.0, 3.0, np.nan]), np.array([1.0, 2.0, 4.0, 9.0]))
    >>> found.r2, found.spearman, found.n
    (0.5, 1.0, 3)
    """
    known = ~np.isnan(labels)
    labels, values = labels[known], values[known]
    varied = len(labels) > 0 and labels.min() < labels.max()
    ranked = varied and values.min() < values.max()
    return RegressionMetrics(
        r2=float(r2_score(labels, values)) if varied else None,
        rmse=float(np.sqrt(np.mean((labels - values) ** 2))) if len(labels) else None,
        spearman=_rank_correlation(labels, values) if ranked else None,
        n=len(labels),
    )


def all_task_metrics(labels: FloatArray, scores: FloatArray, tasks: Sequence[str]) -> dict[str, TaskMetrics]:
    """`task_metrics` of every task; arrays of shape (n, n_tasks)."""
    return {task: task_metrics(labels[:, i], scores[:, i]) for i, task in enumerate(tasks)}


def all_regression_metrics(
    labels: FloatArray, values: FloatArray, tasks: Sequence[str]
) -> dict[str, RegressionMetrics]:
    """`regression_metrics` of every task; arrays of shape (n, n_tasks)."""
    return {task: regression_metrics(labels[:, i], values[:, i]) for i, task in enumerate(tasks)}


def median_auc(metrics: Mapping[str, TaskMetrics]) -> float:
    """Median over tasks of the ROC-AUC; NaN if no task has both classes."""
    return _median([m.roc_auc for m in metrics.values()])


def median_r2(metrics: Mapping[str, RegressionMetrics]) -> float:
    """Median over tasks of the R2; NaN if no task has different values."""
    return _median([m.r2 for m in metrics.values()])


def _median(figures: Sequence[float | None]) -> float:
    known = [figure for figure in figures if figure is not None]
    return float(np.median(known)) if known else float("nan")


def _rank_correlation(labels: FloatArray, values: FloatArray) -> float:
    """Spearman's rho: Pearson's correlation of the ranks, equal values sharing their mean rank."""
    ranks = [pd.Series(a).rank() for a in (labels, values)]
    return float(ranks[0].corr(ranks[1]))
