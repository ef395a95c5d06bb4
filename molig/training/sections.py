"""Sections of a recipe."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, model_validator

from molig.datasets import datasets
from molig.errors import UnknownNameError
from molig.features import FeatureSchema, preset


class Section(BaseModel):
    """A section of a recipe: unknown keys are refused, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConflictPolicy(StrEnum):
    """What to do where copies of a molecule have different labels in a task."""

    KEEP = "keep"
    """Every row keeps its label."""

    MAJORITY = "majority"
    """All copies get the commoner label; at a tie the task counts as not measured for them."""

    DROP = "drop"
    """The task counts as not measured for all of them."""


class DataRecipe(Section):
    """Which table; a command line may say otherwise.

    Parameters
    ----------
    name : str
        Name of a public data set (``molig data list``), or empty.
    file : str
        Path of a table, seen from the recipe's directory, or empty.
    targets : tuple of str
        Label columns; default those of the data set.
    smiles_column : str, optional
        Where to find the SMILES, if not under a usual name.
    conflicts : {"keep", "majority", "drop"}
        What to do where copies of a molecule, by SMILES after standardisation, have different labels.
    """

    name: str = ""
    file: str = ""
    targets: tuple[str, ...] = ()
    smiles_column: str | None = None
    conflicts: ConflictPolicy = ConflictPolicy.KEEP

    @model_validator(mode="after")
    def _names_one_table(self) -> Self:
        if self.name and self.file:
            raise ValueError("data.name and data.file exclude each other")
        return self


class AuxiliaryRecipe(Section):
    """A public data set whose tasks the network learns along; the finished model does not have them.

    Parameters
    ----------
    name : str
        Name of the data set (``molig data list``).
    targets : tuple of str
        Label columns; default those of the data set.
    inactives_per_epoch : int, optional
        Molecules without any active label that an epoch sees, beside all actives. Default all.
    """

    name: str
    targets: tuple[str, ...] = ()
    inactives_per_epoch: PositiveInt | None = None

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.name not in datasets():
            raise ValueError(str(UnknownNameError("data set", self.name, datasets())))
        return self

    def columns(self) -> tuple[str, ...]:
        """Label columns."""
        return self.targets or datasets()[self.name].targets


class EvaluationRecipe(Section):
    """How ``molig evaluate`` judges the recipe.

    Parameters
    ----------
    folds : int
        Folds of a cross-validation dealt in the way of ``split.kind``; 1 evaluates the split itself once.
    seed : int
        Seed of the folds, of the baselines and of the bootstrap.
    baselines : tuple of str
        Simple methods to run in the same folds.
    """

    folds: int = Field(default=5, ge=1, le=100)
    seed: int = 0
    baselines: tuple[str, ...] = ("random-forest", "logistic-regression", "nearest-active")


class FeatureRecipe(Section):
    """Which features.

    Parameters
    ----------
    preset : {"simple", "full"}
        Feature set of the paper.
    max_pair_distance : int or "unlimited"
        The y of WxNy.
    distance : {"one-hot", "cumulative"}
        Coding of the graph distance.
    """

    preset: Literal["simple", "full"] = "simple"
    max_pair_distance: PositiveInt | Literal["unlimited"] = 2
    distance: Literal["one-hot", "cumulative"] = "one-hot"

    def schema_(self) -> FeatureSchema:
        """The schema that these choices make."""
        limit = None if self.max_pair_distance == "unlimited" else self.max_pair_distance
        return preset(self.preset, max_pair_distance=limit, distance=self.distance)


class SplitKind(StrEnum):
    """How molecules are dealt to training, validation and test."""

    RANDOM = "random"
    STRATIFIED = "stratified"
    SCAFFOLD = "scaffold"
    GIVEN = "given"


class SplitRecipe(Section):
    """How the table is divided; copies of a molecule stay together unless the table itself parts them.

    Parameters
    ----------
    kind : {"stratified", "random", "scaffold", "given"}
        ``stratified`` deals the actives of the rare tasks evenly, or for a regression the tenths of the
        rare tasks' values, ``scaffold`` keeps Murcko scaffolds together, the rare ones in validation and
        test, ``given`` takes the parts that a column of the table names.
    column : str
        For ``given``: column with ``train``, ``validation`` (or ``valid``, ``val``) or ``test`` in every row.
    validation, test : float
        Shares of the molecules. For ``given`` only ``validation`` counts, and only where the column names
        no validation rows: that share of the training molecules is then drawn for it.
    seed : int
        Seed of the random choice.
    """

    kind: SplitKind = SplitKind.STRATIFIED
    column: str = Field(default="split", min_length=1)
    validation: float = Field(default=0.1, gt=0, lt=1)
    test: float = Field(default=0.1, ge=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _leaves_molecules_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave molecules for training")
        return self


class NeutralRecipe(Section):
    """The term that keeps the zero baseline neutral.

    Parameters
    ----------
    copies : int
        Zero-feature copies of training molecules per step; 0 turns the term off.
    weight : float
        Weight of the squared distance of their outputs from the target; for a regression in units of the
        standard deviation of the training labels.
    logit : float
        Logit that the zero baseline of a classification is drawn to; -4.6 is a probability of 0.01.
    value : float
        Value, in the unit of the labels, that the zero baseline of a regression is drawn to, for all tasks.
    """

    copies: int = Field(default=32, ge=0)
    weight: float = Field(default=0.1, ge=0)
    logit: float = -4.6
    value: FiniteFloat = 0.0


class OptimizationRecipe(Section):
    """How the weights are found.

    Parameters
    ----------
    epochs : int
        Passes over the training molecules; also the length of the learning-rate cycle.
    batch_size : int
        Molecules per step.
    learning_rate : float
        Peak of the one-cycle schedule of AdamW.
    warm_up : float
        Share of the steps in which the learning rate rises to its peak.
    weight_decay : float
        Decoupled weight decay.
    gradient_clip : float
        Largest gradient norm.
    patience : int
        Epochs without a better validation score after which training stops.
    weight_average : float
        Decay of the moving average of the weights, which is what is judged and kept; 0 keeps the weights
        of the steps themselves.
    keep : {"best", "last"}
        Which epoch's weights: those of the best validation score, or the last ones. A validation part with
        a handful of actives per task cannot tell which epoch is best.
    inactives_per_epoch : int, optional
        Molecules without any active label that an epoch sees, drawn anew for each, beside all actives. For
        tables where actives are rare. Default all.
    positive_weight : float
        Exponent of the ratio of inactives to actives in the weight of an active: 1 lets both classes weigh
        the same, 0 every molecule.
    seed : int
        Seed of weights, order and dropout.
    """

    epochs: int = Field(default=40, ge=1)
    batch_size: int = Field(default=96, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    warm_up: float = Field(default=0.15, gt=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    gradient_clip: float = Field(default=5.0, gt=0)
    patience: int = Field(default=20, ge=1)
    weight_average: float = Field(default=0.0, ge=0, lt=1)
    keep: Literal["best", "last"] = "best"
    inactives_per_epoch: PositiveInt | None = None
    positive_weight: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0
