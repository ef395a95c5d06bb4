"""Quality of a ranking, per task, where labels may be missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from molig.model import TaskMetrics

FloatArray = npt.NDArray[np.float64]


def task_metrics(labels: FloatArray, scores: FloatArray) -> TaskMetrics:
    """ROC-AUC and PR-AUC of one task.

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


def all_task_metrics(labels: FloatArray, scores: FloatArray, tasks: Sequence[str]) -> dict[str, TaskMetrics]:
    """`task_metrics` of every task; arrays of shape (n, n_tasks)."""
    return {task: task_metrics(labels[:, i], scores[:, i]) for i, task in enumerate(tasks)}


def median_auc(metrics: dict[str, TaskMetrics]) -> float:
    """Median over tasks of the ROC-AUC; NaN if no task has both classes."""
    areas = [m.roc_auc for m in metrics.values() if m.roc_auc is not None]
    return float(np.median(areas)) if areas else float("nan")
