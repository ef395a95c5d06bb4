"""Recipes of benchmark runs: how a model is trained on a set, and how it is explained."""

from __future__ import annotations

from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from molig.attribution import Target
from molig.attribution.baselines import resolve_baselines
from molig.benchmark.ground_truth import GroundTruthSet, ground_truth_sets
from molig.errors import UnknownNameError, UsageError
from molig.molecules import Hydrogens
from molig.training import Recipe, parse_recipe
from molig.training.recipe import SplitKind, read_toml

_SECTION = "attribution"
_SPLIT_COLUMN = "split"


class Projection(StrEnum):
    """How the scores of features become scores of atoms."""

    ALL = "all"
    """An atom's own features and half of each of its pairs."""

    BONDED = "bonded"
    """An atom's own features and half of each of its bonded pairs; the other pairs are left out."""

    OWN = "own"
    """An atom's own features; all pairs are left out."""


class AttributionOptions(BaseModel):
    """How the trained model is explained: the section ``[attribution]`` of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # By default the probability, or the value that a regression predicts.
    target: Literal["probability", "logit", "value"] | None = None
    # Methods that take whole atoms away need none.
    projection: Projection = Projection.ALL
    # Whether the atoms of a ring have its mean score; see `share_rings`.
    rings: bool = False
    baseline: str = "zero"
    averaged_baselines: tuple[str, ...] = Field(default=("zero", "uniform", "carbon"), min_length=1)
    tol: float = Field(default=0.01, gt=0)
    # Seeds of the members count up from the recipe's; atom scores and predictions are averaged.
    members: PositiveInt = 1
    # Atom scores that differ by at most this share of the largest one are made equal; see `merge_ties`.
    ties: float = Field(default=1e-5, ge=0)


class BenchmarkRecipe(BaseModel):
    """All choices of a benchmark run on one set, so that it can be repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: Recipe
    attribution: AttributionOptions = AttributionOptions()

    @model_validator(mode="after")
    def _keeps_the_published_split(self) -> Self:
        split = self.training.split
        if split.kind is not SplitKind.GIVEN or split.column != _SPLIT_COLUMN:
            raise ValueError(
                f'[split] must have kind = "given" and column = "{_SPLIT_COLUMN}", so that no test molecule '
                f"is trained on (got kind = {split.kind.value!r}, column = {split.column!r})"
            )
        return self

    def member(self, index: int) -> Recipe:
        """Training recipe of a member, from 0: the seeds of weights and trees count up, the split stays."""
        options, forest = self.training.optimization, self.training.forest
        return self.training.model_copy(
            update={
                "optimization": options.model_copy(update={"seed": options.seed + index}),
                "forest": forest.model_copy(update={"seed": forest.seed + index}),
            }
        )

    def check_fits(self, what: GroundTruthSet) -> None:
        """Refuse a set of another objective, with hydrogens that the model lacks, or a target it has not."""
        if self.training.objective is not what.objective:
            raise UsageError(
                f"the recipe is for a {self.training.objective.value}, but {what.name} is a "
                f'{what.objective.value}; write objective = "{what.objective.value}"'
            )
        explicit = self.training.molecules.hydrogens is Hydrogens.EXPLICIT
        if what.hydrogens is Hydrogens.EXPLICIT and not explicit:
            raise UsageError(
                f"the truth of {what.name} covers hydrogen atoms; write "
                '[molecules] hydrogens = "explicit" in the recipe'
            )
        options, schema = self.attribution, self.training.features.schema_()
        Target.of(options.target, what.objective)
        for baselines in (options.baseline, options.averaged_baselines):
            resolve_baselines(baselines, schema)


def read_benchmark_recipe(path: str | Path) -> BenchmarkRecipe:
    """Read a training recipe with one more section, ``[attribution]``."""
    recipe = _parsed(read_toml(Path(path)), str(path))
    return recipe.model_copy(update={"training": recipe.training.read_in(Path(path).parent)})


def default_benchmark_recipe(what: GroundTruthSet | str) -> BenchmarkRecipe:
    """The recipe that comes with molig for a set, or for the published set of a name."""
    if isinstance(what, str):
        if what not in ground_truth_sets():
            raise UnknownNameError("ground-truth set", what, ground_truth_sets())
        what = ground_truth_sets()[what]
    file = resources.files("molig.benchmark") / "recipes" / f"{what.recipe or what.name}.toml"
    recipe = read_benchmark_recipe(Path(str(file)))
    if what.hydrogens is recipe.training.molecules.hydrogens:
        return recipe
    molecules = recipe.training.molecules.model_copy(update={"hydrogens": what.hydrogens})
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"molecules": molecules})})


def _parsed(data: dict[str, Any], source: str) -> BenchmarkRecipe:
    training = parse_recipe({key: value for key, value in data.items() if key != _SECTION}, source)
    try:
        return BenchmarkRecipe.model_validate({"training": training, _SECTION: data.get(_SECTION, {})})
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            valid = [f"{_SECTION}.{key}" for key in AttributionOptions.model_fields]
            raise UsageError(f"{source}: {UnknownNameError('key', where, valid)}") from err
        if not where:
            raise UsageError(f"{source}: {first['msg'].removeprefix('Value error, ')}") from err
        raise UsageError(f"{source}: {where}: {first['msg']} (got {first['input']!r})") from err
