"""What a trained model is measured by: quality on a part of the split, and its zero baseline."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molig.features import PackedGraphs
from molig.model import (
    BaselineScore,
    BaselineValue,
    Objective,
    RegressionMetrics,
    ScreeningModel,
    TaskMetrics,
)
from molig.training.metrics import all_regression_metrics, screening_metrics

FloatArray = npt.NDArray[np.float64]

NEUTRAL_PROBABILITY = 0.02
"""A baseline probability up to here counts as neutral."""

NEUTRAL_SHARE_OF_SD = 0.1
"""A baseline value within this share of the labels' standard deviation of its target counts as neutral."""


def quality(
    model: ScreeningModel, graphs: PackedGraphs, labels: FloatArray, *, n_resamples: int = 1000
) -> dict[str, TaskMetrics | RegressionMetrics]:
    """Figures of every task, as they belong to the model's objective, of a finished model.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    graphs : PackedGraphs
        Molecules.
    labels : array of float, shape (n_mols, n_tasks)
        Their labels; NaN not measured.
    n_resamples : int
        Bootstrap samples for the intervals of a classification.

    Returns
    -------
    dict
        Task to figures.
    """
    outputs = model.logits(graphs)
    if model.objective is Objective.REGRESSION:
        return {**all_regression_metrics(labels, outputs, model.tasks)}
    probabilities = _probabilities(outputs)
    return {
        task: screening_metrics(labels[:, i], outputs[:, i], probabilities[:, i], n_resamples=n_resamples)
        for i, task in enumerate(model.tasks)
    }


def baseline_scores(model: ScreeningModel, graphs: PackedGraphs) -> dict[str, BaselineScore]:
    """Probabilities of zero features on the graphs of molecules, per task."""
    scores = _probabilities(_at_zero(model, graphs))
    return {
        task: BaselineScore(
            median=float(np.median(scores[:, i])),
            max=float(scores[:, i].max()),
            share_neutral=float((scores[:, i] <= NEUTRAL_PROBABILITY).mean()),
        )
        for i, task in enumerate(model.tasks)
    }


def baseline_values(
    model: ScreeningModel, graphs: PackedGraphs, neutral: float, sd: FloatArray
) -> dict[str, BaselineValue]:
    """Values of zero features on the graphs of molecules, per task.

    Parameters
    ----------
    model : ScreeningModel
        A regression.
    graphs : PackedGraphs
        Molecules.
    neutral : float
        Value that training drew the baseline to.
    sd : array of float, shape (n_tasks,)
        Standard deviation of the training labels.

    Returns
    -------
    dict
        Task to figures.
    """
    values = _at_zero(model, graphs)
    found = {}
    for i, task in enumerate(model.tasks):
        away, tolerance = np.abs(values[:, i] - neutral), NEUTRAL_SHARE_OF_SD * float(sd[i])
        found[task] = BaselineValue(
            median=float(np.median(values[:, i])),
            farthest=float(values[away.argmax(), i]),
            share_neutral=float((away <= tolerance).mean()),
            neutral=neutral,
            tolerance=tolerance,
        )
    return found


def _at_zero(model: ScreeningModel, graphs: PackedGraphs) -> FloatArray:
    return model.logits(graphs, np.zeros(len(graphs), dtype=np.float32))


def _probabilities(logits: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-logits)))
