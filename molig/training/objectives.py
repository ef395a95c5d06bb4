"""What a network is trained for: loss, unit of its outputs, target of the neutral baseline, and quality."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from molig.errors import InputError
from molig.model import Objective
from molig.training.auxiliary import Net
from molig.training.metrics import all_regression_metrics, all_task_metrics, median_figure
from molig.training.recipe import Recipe

FloatArray = npt.NDArray[np.float64]

# Labels must stay finite when squared in single precision, and keep two digits of their spread.
_LARGEST = 1e30
_RESOLUTION = 1e-2


class Criterion(Protocol):
    """What the training loop asks of an objective."""

    name: str

    @property
    def neutral(self) -> Tensor | float:
        """Output that the zero baseline is drawn to."""

    def encode(self, labels: FloatArray) -> FloatArray:
        """Labels in the unit of the network's outputs, shape (n_mols, n_tasks)."""

    def loss(self, outputs: Tensor, encoded: Tensor) -> Tensor:
        """Scalar loss, averaged over the labels that were measured."""

    def quality(self, labels: FloatArray, outputs: FloatArray, tasks: Sequence[str]) -> float:
        """Figure to choose the best epoch by, larger is better; NaN if undefined."""

    def finished(self, network: Net) -> Net:
        """The network with outputs in the unit of a model: logits, or values in the labels' unit."""


def make_criterion(
    recipe: Recipe,
    labels: FloatArray,
    tasks: Sequence[str],
    device: torch.device,
    seen: FloatArray | None = None,
) -> Criterion:
    """Criterion of a recipe's objective; class weights and standardisation come from the training labels.

    `seen` says how often an epoch sees each molecule, on average; once by default.
    """
    if recipe.objective is Objective.REGRESSION:
        mean, sd = standardisation(labels, tasks)
        return RegressionCriterion(mean, sd, neutral_values(recipe, labels), device)
    weights = class_weights(labels, seen) ** recipe.optimization.positive_weight
    return ClassificationCriterion(weights.to(device), recipe.neutral.logit)


def neutral_values(recipe: Recipe, labels: FloatArray) -> FloatArray:
    """Value that the zero baseline of a regression is drawn to, shape (n_tasks,); labels of training."""
    if recipe.neutral.value == "mean":
        return np.asarray(np.nanmean(labels, axis=0))
    return np.full(labels.shape[1], recipe.neutral.value)


class ClassificationCriterion:
    """Cross-entropy of logits, both classes of a task weighing the same; quality is the median ROC-AUC."""

    name = "auc"

    def __init__(self, positive_weight: Tensor, neutral: float) -> None:
        self.positive_weight = positive_weight
        self.neutral: Tensor | float = neutral

    def encode(self, labels: FloatArray) -> FloatArray:
        """Labels are 0, 1 and NaN already."""
        return labels

    def loss(self, outputs: Tensor, encoded: Tensor) -> Tensor:
        """Weighted cross-entropy, averaged over the labels that were measured; 0 if none was."""
        known = ~encoded.isnan()
        losses = functional.binary_cross_entropy_with_logits(
            outputs, encoded.nan_to_num(), pos_weight=self.positive_weight, reduction="none"
        )
        return (losses * known).sum() / known.sum().clamp_min(1)

    def quality(self, labels: FloatArray, outputs: FloatArray, tasks: Sequence[str]) -> float:
        """Median ROC-AUC."""
        return median_figure(all_task_metrics(labels, outputs, tasks), "roc_auc")

    def finished(self, network: Net) -> Net:
        """The network itself: its outputs are logits."""
        return network


class RegressionCriterion:
    """Mean squared error of standardised values; quality is the median R2.

    The squared error, not a robust one: its minimum is the mean of the labels at a structure, which is what
    R2 measures, and standardisation already makes tasks of any unit weigh the same. Outliers of a
    measurement are bounded by the clipping of gradients.
    """

    name = "r2"

    def __init__(self, mean: FloatArray, sd: FloatArray, neutral: FloatArray, device: torch.device) -> None:
        self.mean, self.sd = mean, sd
        target = self.encode(neutral)
        self.neutral: Tensor | float = torch.from_numpy(target).to(device, torch.float32)

    def encode(self, labels: FloatArray) -> FloatArray:
        """Distance from the mean in standard deviations."""
        return np.asarray((labels - self.mean) / self.sd)

    def loss(self, outputs: Tensor, encoded: Tensor) -> Tensor:
        """Squared error, averaged over the labels that were measured; 0 if none was."""
        known = ~encoded.isnan()
        return ((outputs - encoded.nan_to_num()).square() * known).sum() / known.sum().clamp_min(1)

    def quality(self, labels: FloatArray, outputs: FloatArray, tasks: Sequence[str]) -> float:
        """Median R2."""
        values = outputs * self.sd + self.mean
        return median_figure(all_regression_metrics(labels, values, tasks), "r2")

    def finished(self, network: Net) -> Net:
        """Copy whose last layer gives values in the labels' unit: W' = sd W, b' = sd b + mean."""
        whole = copy.deepcopy(network)
        last = whole.last
        mean, sd = (torch.from_numpy(a).to(last.weight.device) for a in (self.mean, self.sd))
        with torch.no_grad():
            last.weight.copy_(last.weight.double() * sd[:, None])
            last.bias.copy_(last.bias.double() * sd + mean)
        return whole


def standardisation(labels: FloatArray, tasks: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each task's measured labels."""
    moments = []
    for column, task in enumerate(tasks):
        known = labels[~np.isnan(labels[:, column]), column]
        if not len(known) or known.min() == known.max():
            seen = f"only the value {known[0]:g}" if len(known) else "no value"
            raise InputError(
                f"target {task!r} has {seen} among the {len(known)} labels of the training part; "
                "a regression needs different values: leave it out or add data"
            )
        largest = float(np.abs(known).max())
        fits = 1 / _LARGEST < largest < _LARGEST
        if not fits or np.spacing(np.float32(largest)) > _RESOLUTION * known.std():
            raise InputError(
                f"target {task!r} has values from {known.min():g} to {known.max():g}, which single-precision "
                "numbers cannot tell apart; subtract a constant from them or give them another unit"
            )
        moments.append((known.mean(), known.std()))
    mean, sd = np.array(moments, dtype=np.float64).T
    return mean, sd


def class_weights(labels: FloatArray, seen: FloatArray | None = None) -> Tensor:
    """Weight of an active so that actives and inactives of a task weigh the same, shape (n_tasks,)."""
    often = np.ones(len(labels)) if seen is None else seen
    actives, inactives = (np.maximum(often @ (labels == value), 1) for value in (1, 0))
    return torch.from_numpy(inactives / actives).to(torch.float32)
