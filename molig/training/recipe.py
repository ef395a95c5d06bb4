"""Recipes: every choice of a training run, in one TOML file."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, ValidationError, model_validator

from molig.errors import UnknownNameError, UsageError
from molig.features import FeatureSchema, preset
from molig.model import MoleculePolicy, Objective
from molig.network import NetworkConfig


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureRecipe(_Section):
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


class SplitRecipe(_Section):
    """How the table is divided; copies of a molecule stay together unless the table itself parts them.

    Parameters
    ----------
    kind : {"stratified", "random", "scaffold", "given"}
        ``stratified`` deals the actives of the rare tasks evenly, or for a regression the tenths of the
        rare tasks' values, ``scaffold`` keeps Murcko scaffolds together, the rare ones in validation and
        test, ``given`` takes the parts that a column of the table names.
    column : str
        For ``given``: column with ``train``, ``validation`` or ``test`` in every row.
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


class NeutralRecipe(_Section):
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


class OptimizationRecipe(_Section):
    """How the weights are found.

    Parameters
    ----------
    epochs : int
        Passes over the training molecules; also the length of the learning-rate cycle.
    batch_size : int
        Molecules per step.
    learning_rate : float
        Peak of the one-cycle schedule of AdamW.
    weight_decay : float
        Decoupled weight decay.
    gradient_clip : float
        Largest gradient norm.
    patience : int
        Epochs without a better validation score after which training stops.
    seed : int
        Seed of weights, order and dropout.
    """

    epochs: int = Field(default=40, ge=1)
    batch_size: int = Field(default=96, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    gradient_clip: float = Field(default=5.0, gt=0)
    patience: int = Field(default=20, ge=1)
    seed: int = 0


class Recipe(_Section):
    """All choices of a training run.

    Parameters
    ----------
    objective : {"classification", "regression"}
        Whether labels are classes (1, 0) or values (any number).
    molecules, features, network, split, optimization, neutral : section
        See the classes of the sections.
    weights_dtype : {"float16", "float32"}
        Precision in which the weights are stored.

    Examples
    --------
    >>> Recipe().network.n_modules
    2
    """

    objective: Objective = Objective.CLASSIFICATION
    molecules: MoleculePolicy = MoleculePolicy()
    features: FeatureRecipe = FeatureRecipe()
    network: NetworkConfig = NetworkConfig()
    split: SplitRecipe = SplitRecipe()
    optimization: OptimizationRecipe = OptimizationRecipe()
    neutral: NeutralRecipe = NeutralRecipe()
    weights_dtype: Literal["float16", "float32"] = "float32"


def read_recipe(path: str | Path) -> Recipe:
    """Read a TOML recipe; what it leaves out takes its default.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Recipe

    Raises
    ------
    UsageError
        If the file cannot be read, is not TOML, or has an unknown key or an impossible value (named).
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as err:
        raise UsageError(f"cannot read the recipe {path}: {err}") from err
    except tomllib.TOMLDecodeError as err:
        raise UsageError(f"the recipe {path} is not valid TOML: {err}") from err
    return parse_recipe(data, str(path))


def parse_recipe(data: dict[str, Any], source: str = "recipe") -> Recipe:
    """Check plain data and make a `Recipe` of it; see `read_recipe` for the errors."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as err:
        first = err.errors()[0]
        where = [str(part) for part in first["loc"]]
        if first["type"] == "extra_forbidden":
            unknown = UnknownNameError("key", ".".join(where), _valid_keys(where[:-1]))
            raise UsageError(f"{source}: {unknown}") from err
        raise UsageError(f"{source}: {'.'.join(where)}: {first['msg']} (got {first['input']!r})") from err


def write_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write a recipe as TOML, with every value spelled out.

    Parameters
    ----------
    recipe : Recipe
        The choices.
    path : str or Path
        The file to write.
    """
    Path(path).write_text(tomli_w.dumps(recipe.model_dump(mode="json")), encoding="utf-8")


def _valid_keys(section: list[str]) -> list[str]:
    fields = Recipe.model_fields
    prefix = ""
    for name in section:
        annotation = fields[name].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        fields, prefix = annotation.model_fields, f"{prefix}{name}."
    return [prefix + name for name in fields]
