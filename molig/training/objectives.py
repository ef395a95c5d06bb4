"""What a network is trained for: loss, unit of its outputs, target of the neutral baseline, and quality."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from molig.errors import InputError
from molig.model import Objective
from molig.network import WeaveNet
from molig.training.metrics import all_regression_metrics, all_task_metrics, median_auc, median_r2
from molig.training.recipe import Recipe

FloatArray = npt.NDArray[np.float64]

_LARGEST = 1e30
_RESOLUTION = 1e-2


class Criterion(Protocol):
    """What the training loop asks of an objective.

    Attributes
    ----------
    name : str
        Name of the quality, for the history of a run.
    neutral : Tensor or float
        Output that the zero baseline is drawn to: one for all tasks, or shape (n_tasks,).
    """

    name: str

    @property
    def neutral(self) -> Tensor | float:
        """Output that the zero baseline is drawn to."""

    def encode(self, labels: FloatArray) -> FloatArray:
        """Labels in the unit of the network's outputs, shape (n_mols, n_tasks)."""

    def loss(self, outputs: Tensor, encoded: Tensor) -> Tensor:
        """Scalar loss, averaged over the labels that were measured."""

    def quality(self, labels: FloatArray, outputs: FloatArray, tasks: Sequence[str]) -> float:
        """Figure to choose the best epoch by, larger is better; NaN if nothing can be told."""

    def finished(self, network: WeaveNet) -> WeaveNet:
        """The network whose outputs are what a model states: logits, or values in the labels' unit."""


def make_criterion(
    recipe: Recipe,
    labels: FloatArray,
    tasks: Sequence[str],
    device: torch.device,
    seen: FloatArray | None = None,
) -> Criterion:
    """Criterion of a recipe's objective.

    Parameters
    ----------
    recipe : Recipe
        Objective and neutral term.
    labels : array of float, shape (n_mols, n_tasks)
        Labels of the **training part**: class weights and standardisation come from them.
    tasks : sequence of str
        Names of the tasks, for messages.
    device : torch.device
        Where the network is.
    seen : array of float, shape (n_mols,), optional
        How often an epoch sees each molecule, on average; default once.

    Returns
    -------
    Criterion

    Raises
    ------
    InputError
        If the labels of a regression task cannot be standardised.
    """
    if recipe.objective is Objective.REGRESSION:
        mean, sd = standardisation(labels, tasks)
        return RegressionCriterion(mean, sd, recipe.neutral.value, device)
    weights = class_weights(labels, seen) ** recipe.optimization.positive_weight
    return ClassificationCriterion(weights.to(device), recipe.neutral.logit)


class ClassificationCriterion:
    """Cross-entropy of logits, both classes of a task weighing the same; quality is the median ROC-AUC.

    Parameters
    ----------
    positive_weight : Tensor, shape (n_tasks,)
        Weight of the actives.
    neutral : float
        Logit that the zero baseline is drawn to.
    """

    name = "auc"

    def __init__(self, positive_weight: Tensor, neutral: float) -> None:
        self.positive_weight = positive_weight
        self.neutral: Tensor | float = neutral

    def encode(self, labels: FloatArray) -> FloatArray:
        """Labels are 0, 1 and NaN already."""
        return labels

    def loss(self, outputs: Tensor, encoded: Tensor) -> Tensor:
        """See `masked_loss`."""
        return masked_loss(outputs, encoded, self.positive_weight)

    def quality(self, labels: FloatArray, outputs: FloatArray, tasks: Sequence[str]) -> float:
        """Median ROC-AUC."""
        return median_auc(all_task_metrics(labels, outputs, tasks))

    def finished(self, network: WeaveNet) -> WeaveNet:
        """The network itself: its outputs are logits."""
        return network


class RegressionCriterion:
    """Mean squared error of standardised values; quality is the median R2.

    The squared error, not a robust one: its minimum is the mean of the labels at a structure, which is what
    R2 measures, and standardisation already makes tasks of any unit weigh the same. Outliers of a
    measurement are bounded by the clipping of gradients.

    Parameters
    ----------
    mean, sd : array of float, shape (n_tasks,)
        Mean and standard deviation of the training labels.
    neutral_value : float
        Value, in the labels' unit, that the zero baseline is drawn to.
    device : torch.device
        Where the network is.
    """

    name = "r2"

    def __init__(self, mean: FloatArray, sd: FloatArray, neutral_value: float, device: torch.device) -> None:
        self.mean, self.sd = mean, sd
        target = self.encode(np.full(len(mean), neutral_value))
        self.neutral: Tensor | float = torch.from_numpy(target).to(device, torch.float32)

    def encode(self, labels: FloatArray) -> FloatArray:
        """Distance from the mean in standard deviations."""
        return np.asarray((labels - self.mean) / self.sd)

    def loss(self, outputs: Tensor, encoded: Tensor) -> Tensor:
        """See `masked_squared_error`."""
        return masked_squared_error(outputs, encoded)

    def quality(self, labels: FloatArray, outputs: FloatArray, tasks: Sequence[str]) -> float:
        """Median R2."""
        return median_r2(all_regression_metrics(labels, outputs * self.sd + self.mean, tasks))

    def finished(self, network: WeaveNet) -> WeaveNet:
        """Copy whose last layer gives values in the labels' unit: W' = sd W, b' = sd b + mean."""
        whole = copy.deepcopy(network)
        last = cast(nn.Linear, whole.head[-1])
        mean, sd = (torch.from_numpy(a).to(last.weight.device) for a in (self.mean, self.sd))
        with torch.no_grad():
            last.weight.copy_(last.weight.double() * sd[:, None])
            last.bias.copy_(last.bias.double() * sd + mean)
        return whole


def standardisation(labels: FloatArray, tasks: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each task's measured labels.

    Parameters
    ----------
    labels : array of float, shape (n_mols, n_tasks)
        Finite values; NaN not measured.
    tasks : sequence of str
        Names of the tasks, for messages.

    Returns
    -------
    mean, sd : array of float, shape (n_tasks,)

    Raises
    ------
    InputError
        If a task has no two different labels, or labels that single precision cannot tell apart.

    Examples
    --------
    >>> mean, sd = standardisation(np.array([[1.0], [3.0], [np.nan]]), ["logP"])
    >>> float(mean[0]), float(sd[0])
    (2.0, 1.0)
    """
    found = []
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
        found.append((known.mean(), known.std()))
    mean, sd = np.array(found, dtype=np.float64).T
    return mean, sd


def class_weights(labels: FloatArray, seen: FloatArray | None = None) -> Tensor:
    """Weight of an active so that actives and inactives of a task weigh the same, shape (n_tasks,).

    Parameters
    ----------
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, NaN not measured.
    seen : array of float, shape (n_mols,), optional
        How often an epoch sees each molecule, on average; default once.
    """
    often = np.ones(len(labels)) if seen is None else seen
    actives, inactives = (np.maximum(often @ (labels == value), 1) for value in (1, 0))
    return torch.from_numpy(inactives / actives).to(torch.float32)


def masked_loss(logits: Tensor, labels: Tensor, positive_weight: Tensor) -> Tensor:
    """Weighted cross-entropy, averaged over the labels that were measured.

    Parameters
    ----------
    logits, labels : Tensor, shape (n_mols, n_tasks)
        Labels are 0, 1 or NaN (not measured).
    positive_weight : Tensor, shape (n_tasks,)
        Weight of the actives.

    Returns
    -------
    Tensor, scalar
        0 if nothing was measured.
    """
    known = ~labels.isnan()
    losses = functional.binary_cross_entropy_with_logits(
        logits, labels.nan_to_num(), pos_weight=positive_weight, reduction="none"
    )
    return (losses * known).sum() / known.sum().clamp_min(1)


def masked_squared_error(values: Tensor, labels: Tensor) -> Tensor:
    """Squared error, averaged over the labels that were measured.

    Parameters
    ----------
    values, labels : Tensor, shape (n_mols, n_tasks)
        Labels are any finite number, or NaN (not measured).

    Returns
    -------
    Tensor, scalar
        0 if nothing was measured.
    """
    known = ~labels.isnan()
    return ((values - labels.nan_to_num()).square() * known).sum() / known.sum().clamp_min(1)
