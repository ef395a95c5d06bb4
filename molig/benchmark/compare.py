"""Explanation methods side by side, with published figures beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.benchmark.estimates import Resampling, evaluate
from molig.benchmark.ground_truth import GroundTruth
from molig.benchmark.metrics import Part, evaluation_metric, evaluation_metrics
from molig.benchmark.published import published_figures
from molig.errors import UsageError
from molig.files import markdown_table
from molig.model import Objective
from molig.training.metrics import regression_metrics, task_metrics

FloatArray = npt.NDArray[np.float64]

COLUMNS = [
    "task",
    "method",
    "metric",
    "value",
    "low",
    "high",
    "n_molecules",
    "model_metric",
    "model_value",
    "published_best",
    "published_ig",
]
_MODEL_LABELS = {"roc_auc": "AUC", "r2": "R2"}


@dataclass(frozen=True)
class ModelQuality:
    """How well the explained model itself predicts: an explanation cannot be better than what was learned.

    Parameters
    ----------
    metric : str
        ``"roc_auc"`` or ``"r2"``.
    value : float
        On the molecules whose explanations are judged, or their whole part of the set.

    Examples
    --------
    >>> model_quality(Objective.REGRESSION, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    ModelQuality(metric='r2', value=1.0)
    """

    metric: str
    value: float


def model_quality(objective: Objective, targets: FloatArray, predictions: FloatArray) -> ModelQuality:
    """ROC-AUC of a classification model, R2 of a regression model."""
    if np.shape(targets) != np.shape(predictions):
        raise UsageError(f"expected {np.shape(targets)} predictions (got {np.shape(predictions)})")
    if objective is Objective.REGRESSION:
        name, value = "r2", regression_metrics(targets, predictions).r2
    else:
        name, value = "roc_auc", task_metrics(targets, predictions).roc_auc
    return ModelQuality(name, float("nan") if value is None else value)


def compare(
    truth: GroundTruth,
    scores: Mapping[str, Sequence[FloatArray]],
    quality: ModelQuality,
    resampling: Resampling | None = None,
    bond_scores: Mapping[str, Sequence[FloatArray]] | None = None,
) -> pd.DataFrame:
    """Judge several explanation methods on one set, by all metrics of the set.

    Parameters
    ----------
    truth : GroundTruth
        The molecules that were explained, usually ``read_ground_truth(name).part("test")``.
    scores : mapping of str to sequence of array of float, shape (n_atoms,)
        Per method the atom scores of every molecule of `truth`, in its order.
    quality : ModelQuality
        How well the explained model predicts.
    resampling : Resampling, optional
        How intervals are made; every method is judged on the same bootstrap samples.
    bond_scores : mapping of str to sequence of array of float, shape (n_bonds,), optional
        Bond scores of the methods that have them, for metrics of bonds.

    Returns
    -------
    DataFrame
        One row per metric and method: task, method, metric, value, low, high, n_molecules, model_metric,
        model_value, published_best, published_ig (NaN where nothing is published). Frames of several sets can
        be joined with ``pandas.concat``.

    Raises
    ------
    UsageError
        If there is no method, or the scores of a method do not fit the molecules.

    Examples
    --------
    >>> from molig.benchmark import ground_truth_sets
    >>> one = GroundTruth(ground_truth_sets()["N"], ("a",), ("CN",), np.ones(1), np.array(["test"]),
    ...                   (np.array([[0.0, 1.0]]),))
    >>> compare(one, {"IG": [np.array([0.1, 0.9])]}, ModelQuality("r2", 0.98))["value"].tolist()
    [1.0, 1.0]
    """
    if not scores:
        raise UsageError("a comparison needs the atom scores of at least one method")
    task = truth.description.name
    rows = []
    for metric in truth.description.metrics:
        published = published_figures(task, metric)
        beside = (published.best, published.ig) if published else (float("nan"), float("nan"))
        part = evaluation_metric(metric).part
        judged = (bond_scores or {}) if part is Part.BONDS else scores
        for method, values in judged.items():
            try:
                estimate = evaluate(metric, truth.truths_of(part), values, resampling)
            except UsageError as error:
                raise UsageError(f"method {method!r} on {task}: {error}") from error
            numbers = (estimate.value, estimate.low, estimate.high, estimate.n_molecules)
            rows.append((task, method, metric, *numbers, quality.metric, quality.value, *beside))
    return pd.DataFrame(rows, columns=COLUMNS)


def to_markdown(frame: pd.DataFrame, digits: int = 3) -> str:
    """Write a comparison as a Markdown table: methods side by side, published figures beside them."""
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise UsageError(f"a comparison has no column {missing[0]!r}; give a frame that compare returned")
    if frame.duplicated(["task", "metric", "method"]).any():
        again = frame[frame.duplicated(["task", "metric", "method"])].iloc[0]
        raise UsageError(f"two values for {again['method']!r} by {again['metric']} on {again['task']}")
    methods = list(dict.fromkeys(frame["method"]))
    header = ["task", "metric", "molecules", *methods, "model", "published IG", "published best"]
    rows = [
        _cells(str(task), str(metric), group, methods, digits)
        for (task, metric), group in frame.groupby(["task", "metric"], sort=False)
    ]
    return "\n".join(markdown_table(header, rows, "llr")) + "\n"


def _cells(task: str, metric: str, rows: pd.DataFrame, methods: list[str], digits: int) -> list[str]:
    by_method = {str(row["method"]): row for _, row in rows.iterrows()}
    first = rows.iloc[0]
    known = evaluation_metrics()
    values = []
    for method in methods:
        row = by_method.get(method)
        if row is None or math.isnan(row["value"]):
            values.append("")
        else:
            low, high = number(row["low"], digits), number(row["high"], digits)
            values.append(f"{number(row['value'], digits)} [{low}, {high}]")
    model = f"{_MODEL_LABELS.get(first['model_metric'], first['model_metric'])} "
    return [
        task,
        known[metric].label if metric in known else metric,
        "/".join(dict.fromkeys(str(n) for n in rows["n_molecules"])),
        *values,
        (model + number(first["model_value"], digits)).strip(),
        number(first["published_ig"], digits),
        number(first["published_best"], digits),
    ]


def number(value: float, digits: int) -> str:
    """A number with fixed decimals, "" for NaN; never rounded up to a perfect 1."""
    if math.isnan(value):
        return ""
    text = f"{value:.{digits}f}"
    if value < 1 and float(text) == 1:
        text = f"{1 - 10**-digits:.{digits}f}"
    return "0." + "0" * digits if digits and float(text) == 0 else text
