"""Quality of predictions, per task, where labels may be missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score

from molig.model import RegressionMetrics
from molig.model.info import ReliabilityBin, ReliabilityInfo
from molig.stats import RankingQuality, bootstrap_intervals, ranking_quality
from molig.stats.curves import expected_calibration_error, reliability_curve
from molig.stats.intervals import spearman

FloatArray = npt.NDArray[np.float64]


def task_metrics(labels: FloatArray, scores: FloatArray) -> RankingQuality:
    """Areas of one task only, cheap enough for every epoch; arrays of shape (n,), NaN not measured."""
    known = ~np.isnan(labels)
    labels, scores = labels[known], scores[known]
    actives = int(labels.sum())
    areas: tuple[float | None, float | None] = (None, None)
    if 0 < actives < len(labels):
        areas = float(roc_auc_score(labels, scores)), float(average_precision_score(labels, scores))
    return RankingQuality(
        roc_auc=areas[0], pr_auc=areas[1], n_actives=actives, n_inactives=len(labels) - actives
    )


def screening_metrics(
    labels: FloatArray, scores: FloatArray, probabilities: FloatArray, *, n_resamples: int = 1000
) -> RankingQuality:
    """All figures of one task with their bootstrap intervals, if any resamples, for a finished model."""
    quality = ranking_quality(labels, scores, probabilities)
    intervals = bootstrap_intervals(labels, scores, n_resamples=n_resamples) if n_resamples else {}
    defined = {name: ends for name, ends in intervals.items() if not any(map(math.isnan, ends))}
    return quality.model_copy(update={"intervals": defined})


def reliability(labels: FloatArray, probabilities: FloatArray, tasks: Sequence[str]) -> ReliabilityInfo:
    """Scores beside shares of actives, of all tasks together; arrays of shape (n, n_tasks)."""
    curve = reliability_curve(labels.ravel(), probabilities.ravel())
    errors = {
        task: expected_calibration_error(labels[:, i], probabilities[:, i]) for i, task in enumerate(tasks)
    }
    return ReliabilityInfo(
        bins=tuple(
            ReliabilityBin(mean_score=mean, share_active=share, n=n)
            for mean, share, n in zip(
                curve.mean_predicted.tolist(), curve.observed.tolist(), curve.count.tolist(), strict=True
            )
        ),
        expected_error=0.0 if math.isnan(curve.expected_error) else curve.expected_error,
        by_task={task: error for task, error in errors.items() if not math.isnan(error)},
    )


def regression_metrics(labels: FloatArray, values: FloatArray) -> RegressionMetrics:
    """R2, root mean square error and rank correlation of one task; labels are NaN where not measured."""
    known = ~np.isnan(labels)
    labels, values = labels[known], values[known]
    varied = len(labels) > 0 and labels.min() < labels.max()
    rank_correlation = spearman(labels, values)
    return RegressionMetrics(
        r2=float(r2_score(labels, values)) if varied else None,
        rmse=float(np.sqrt(np.mean((labels - values) ** 2))) if len(labels) else None,
        spearman=None if math.isnan(rank_correlation) else rank_correlation,
        n=len(labels),
    )


def all_task_metrics(
    labels: FloatArray, scores: FloatArray, tasks: Sequence[str]
) -> dict[str, RankingQuality]:
    """`task_metrics` of every task; arrays of shape (n, n_tasks)."""
    return {task: task_metrics(labels[:, i], scores[:, i]) for i, task in enumerate(tasks)}


def all_regression_metrics(
    labels: FloatArray, values: FloatArray, tasks: Sequence[str]
) -> dict[str, RegressionMetrics]:
    """`regression_metrics` of every task; arrays of shape (n, n_tasks)."""
    return {task: regression_metrics(labels[:, i], values[:, i]) for i, task in enumerate(tasks)}


def median_figure(metrics: Mapping[str, RankingQuality | RegressionMetrics], figure: str) -> float:
    """Median over the tasks that have the figure; NaN if none has."""
    known = [value for task in metrics.values() if (value := getattr(task, figure)) is not None]
    return float(np.median(known)) if known else math.nan
