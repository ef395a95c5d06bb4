"""Figures of an evaluation: per method and task, over folds, with intervals and tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.evaluation.criteria import RANKING, Criteria, Interval, Quality, Samples
from molig.evaluation.methods import FoldScores
from molig.stats import sign_test
from molig.stats.intervals import SignTest, percentile_interval
from molig.training.run import NEUTRAL_PROBABILITY


@dataclass(frozen=True)
class TaskFigures:
    """Figures of one method in one task, of every fold and on average."""

    by_fold: list[Quality]
    # Over the folds where a figure is defined; molecules of all folds, and intervals from resampling each.
    mean: Quality


@dataclass(frozen=True)
class MethodFigures:
    """Figures of one method."""

    name: str
    tasks: dict[str, TaskFigures]
    # Over tasks, of the means over folds.
    medians: dict[str, float | None]
    median_intervals: dict[str, Interval]
    # Task to the share of test molecules with a neutral zero baseline; of networks only.
    neutral: dict[str, float]
    # Of training and scoring in all folds.
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """Sign test of the network against another method over tasks, for one figure; a win is the better one."""

    against: str
    figure: str
    test: SignTest


def method_figures(
    name: str,
    folds: Sequence[FoldScores],
    tasks: Sequence[str],
    *,
    criteria: Criteria = RANKING,
    seed: int = 0,
    n_resamples: int = 1000,
) -> MethodFigures:
    """Judge the scores of a method on every fold."""
    figures: dict[str, TaskFigures] = {}
    samples: dict[str, list[npt.NDArray[np.float64]]] = {}
    for column, task in enumerate(tasks):
        figures[task], sampled = _task_figures(folds, column, criteria, seed, n_resamples)
        for figure, values in sampled.items():
            samples.setdefault(figure, []).append(values)
    means = [task.mean.figures() for task in figures.values()]
    medians = {figure: _of_known(np.median, (mean[figure] for mean in means)) for figure in criteria.figures}
    intervals = {
        figure: _interval(_medians(values))
        for figure, values in samples.items()
        if medians[figure] is not None
    }
    seconds = sum(fold.seconds for fold in folds)
    return MethodFigures(name, figures, medians, intervals, _neutral(folds, tasks), seconds)


def compare(
    network: MethodFigures, others: Sequence[MethodFigures], criteria: Criteria = RANKING
) -> list[Comparison]:
    """Sign tests of the network against the other methods in the same tasks, for the principal figures."""

    def means(method: MethodFigures, figure: str) -> list[float]:
        sign = -1 if criteria.figures[figure].less_is_better else 1
        values = [getattr(task.mean, figure) for task in method.tasks.values()]
        return [math.nan if value is None else sign * value for value in values]

    return [
        Comparison(other.name, figure, sign_test(means(network, figure), means(other, figure)))
        for other in others
        for figure in criteria.principal
    ]


def _task_figures(
    folds: Sequence[FoldScores], column: int, criteria: Criteria, seed: int, n_resamples: int
) -> tuple[TaskFigures, Samples]:
    by_fold = [_quality(fold, column, criteria) for fold in folds]
    means = {
        name: _of_known(np.mean, (getattr(quality, name) for quality in by_fold)) for name in criteria.figures
    }
    samples = _sampled_means(folds, column, criteria, seed, n_resamples)
    intervals = {name: _interval(values) for name, values in samples.items() if means[name] is not None}
    return TaskFigures(by_fold, criteria.together(by_fold, means, intervals)), samples


def _quality(fold: FoldScores, column: int, criteria: Criteria) -> Quality:
    labels, scores = fold.labels[:, column], fold.scores[:, column]
    known = ~np.isnan(labels)
    probabilities = None if fold.probabilities is None else fold.probabilities[known, column]
    # A method that had nothing to learn in a task has no figures in it.
    return criteria.quality(labels[known], scores[known], probabilities)


def _sampled_means(
    folds: Sequence[FoldScores], column: int, criteria: Criteria, seed: int, n_resamples: int
) -> Samples:
    """Bootstrap samples of the mean over folds, every fold drawn with a seed of its own."""
    samples: dict[str, list[npt.NDArray[np.float64]]] = {}
    for number, fold in enumerate(folds):
        labels, scores = fold.labels[:, column], fold.scores[:, column]
        known = ~np.isnan(labels)
        if np.isnan(scores[known]).any():
            continue
        drawn = criteria.samples(labels[known], scores[known], n_resamples, seed * 1000 + number)
        for name, values in drawn.items():
            if not np.isnan(values).all():
                samples.setdefault(name, []).append(values)
    means = {name: np.mean(values, axis=0) for name, values in samples.items()}
    return {name: values for name, values in means.items() if not np.isnan(values).all()}


def _medians(of_tasks: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Median over tasks of every sample, NaN where no task has the figure."""
    values = np.stack(of_tasks)
    known = ~np.isnan(values).all(axis=0)
    medians = np.full(values.shape[1], math.nan)
    medians[known] = np.nanmedian(values[:, known], axis=0)
    return medians


def _interval(samples: npt.NDArray[np.float64]) -> Interval:
    """Interval of the samples where the figure is defined."""
    return percentile_interval(samples[~np.isnan(samples)])


def _neutral(folds: Sequence[FoldScores], tasks: Sequence[str]) -> dict[str, float]:
    at_zero = [fold.baseline for fold in folds if fold.baseline is not None]
    if not at_zero:
        return {}
    shares = (np.concatenate(at_zero) <= NEUTRAL_PROBABILITY).mean(axis=0)
    return {task: float(share) for task, share in zip(tasks, shares, strict=True)}


def _of_known(average: Callable[[list[float]], object], values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(average(known)) if known else None  # type: ignore[arg-type]
