"""What an evaluation found: figures per method and task, over folds, with intervals and tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from molig.evaluation.methods import FoldScores
from molig.stats import (
    RankingQuality,
    SignTest,
    bootstrap_samples,
    percentile_interval,
    ranking_quality,
    sign_test,
)
from molig.training.run import NEUTRAL_PROBABILITY

FIGURES = ("roc_auc", "pr_auc", "bedroc", "ef_0_5", "ef_1", "ef_5", "tie_fraction", "brier")
"""Figures of every task, by name."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class TaskFigures:
    """Figures of one method in one task.

    Parameters
    ----------
    means : dict of str to float
        Figure to its mean over the folds where it is defined; NaN if it is nowhere.
    by_fold : dict of str to list of float
        Figure to its value in every fold; NaN where it is not defined.
    intervals : dict of str to (float, float)
        95 % bootstrap intervals of the means, where there are any: molecules of every fold are resampled.
    n_actives, n_inactives : int
        Test molecules of all folds.
    """

    means: dict[str, float]
    by_fold: dict[str, list[float]]
    intervals: dict[str, Interval]
    n_actives: int
    n_inactives: int


@dataclass(frozen=True)
class MethodFigures:
    """Figures of one method.

    Parameters
    ----------
    name : str
        The method.
    tasks : dict of str to TaskFigures
        Task to figures.
    medians : dict of str to float
        Median over tasks of every figure's mean.
    median_intervals : dict of str to (float, float)
        95 % bootstrap intervals of the medians.
    neutral : dict of str to float
        Task to the share of test molecules whose zero baseline has a probability of at most 0.02; networks
        only.
    seconds : float
        Time of training and scoring in all folds.
    """

    name: str
    tasks: dict[str, TaskFigures]
    medians: dict[str, float]
    median_intervals: dict[str, Interval]
    neutral: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """Sign test of the network against another method over tasks, for one figure.

    Parameters
    ----------
    against : str
        The other method.
    figure : str
        Name of the figure.
    test : SignTest
        Tasks won and lost by the network.
    """

    against: str
    figure: str
    test: SignTest


def method_figures(
    name: str,
    folds: Sequence[FoldScores],
    tasks: Sequence[str],
    *,
    seed: int = 0,
    n_resamples: int = 1000,
) -> MethodFigures:
    """Judge the scores of a method.

    Parameters
    ----------
    name : str
        The method.
    folds : sequence of FoldScores
        Its scores on every fold.
    tasks : sequence of str
        Names of the columns.
    seed : int
        Seed of the bootstrap.
    n_resamples : int
        Bootstrap samples.

    Returns
    -------
    MethodFigures
    """
    found: dict[str, TaskFigures] = {}
    samples: dict[str, list[npt.NDArray[np.float64]]] = {}
    for column, task in enumerate(tasks):
        figures, sampled = _task_figures(folds, column, seed, n_resamples)
        found[task] = figures
        for figure, values in sampled.items():
            samples.setdefault(figure, []).append(values)
    medians = {figure: _median([t.means[figure] for t in found.values()]) for figure in FIGURES}
    intervals = {
        figure: percentile_interval(np.nanmedian(np.stack(values), axis=0))
        for figure, values in samples.items()
        if not math.isnan(medians[figure])
    }
    return MethodFigures(
        name, found, medians, intervals, _neutral(folds, tasks), sum(fold.seconds for fold in folds)
    )


def compare(network: MethodFigures, others: Sequence[MethodFigures]) -> list[Comparison]:
    """Sign tests of the network against the other methods, for ROC-AUC, PR-AUC, BEDROC and EF 1 %.

    Parameters
    ----------
    network : MethodFigures
        Figures of the network.
    others : sequence of MethodFigures
        Those of the other methods, in the same tasks.

    Returns
    -------
    list of Comparison
        Method by method.
    """
    return [
        Comparison(other.name, figure, sign_test(_means(network, figure), _means(other, figure)))
        for other in others
        for figure in ("roc_auc", "pr_auc", "bedroc", "ef_1")
    ]


def _means(method: MethodFigures, figure: str) -> list[float]:
    return [task.means[figure] for task in method.tasks.values()]


def _task_figures(
    folds: Sequence[FoldScores], column: int, seed: int, n_resamples: int
) -> tuple[TaskFigures, Mapping[str, npt.NDArray[np.float64]]]:
    qualities = [_quality(fold, column) for fold in folds]
    by_fold = {name: [float(getattr(q, name)) for q in qualities] for name in FIGURES}
    means = {name: _mean(values) for name, values in by_fold.items()}
    sampled = _sampled_means(folds, column, seed, n_resamples)
    intervals = {
        name: percentile_interval(values) for name, values in sampled.items() if not math.isnan(means[name])
    }
    figures = TaskFigures(
        means,
        by_fold,
        intervals,
        n_actives=sum(q.n_actives for q in qualities),
        n_inactives=sum(q.n_inactives for q in qualities),
    )
    return figures, sampled


def _quality(fold: FoldScores, column: int) -> RankingQuality:
    labels, scores = fold.labels[:, column], fold.scores[:, column]
    known = ~np.isnan(labels)
    if np.isnan(scores[known]).any():
        # A method that had nothing to learn in this task has no figures in it.
        counts = {"n_actives": int((labels == 1).sum()), "n_inactives": int((labels == 0).sum())}
        undefined = {f.name: math.nan for f in fields(RankingQuality) if f.name not in counts}
        return RankingQuality(**undefined, **counts)  # type: ignore[arg-type]
    probabilities = None if fold.probabilities is None else fold.probabilities[known, column]
    return ranking_quality(labels[known], scores[known], probabilities)


def _sampled_means(
    folds: Sequence[FoldScores], column: int, seed: int, n_resamples: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Bootstrap samples of the mean over folds, every fold drawn with a seed of its own."""
    found: dict[str, list[npt.NDArray[np.float64]]] = {}
    for number, fold in enumerate(folds):
        labels, scores = fold.labels[:, column], fold.scores[:, column]
        known = ~np.isnan(labels)
        if np.isnan(scores[known]).any():
            continue
        drawn = bootstrap_samples(
            labels[known], scores[known], n_resamples=n_resamples, seed=seed * 1000 + number
        )
        for name, values in drawn.items():
            if not np.isnan(values).all():
                found.setdefault(name, []).append(values)
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def _neutral(folds: Sequence[FoldScores], tasks: Sequence[str]) -> dict[str, float]:
    at_zero = [fold.baseline for fold in folds if fold.baseline is not None]
    if not at_zero:
        return {}
    shares = (np.concatenate(at_zero) <= NEUTRAL_PROBABILITY).mean(axis=0)
    return {task: float(share) for task, share in zip(tasks, shares, strict=True)}


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return float(np.mean(known)) if known else math.nan


def _median(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return float(np.median(known)) if known else math.nan
