"""Recipes: every choice of a training run, in one TOML file."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, get_args

import tomli_w
from pydantic import BaseModel, ValidationError, model_validator

from molig.errors import UnknownNameError, UsageError
from molig.model import MoleculePolicy, Objective
from molig.network import NetworkConfig
from molig.training.sections import (
    AuxiliaryRecipe,
    DataRecipe,
    EvaluationRecipe,
    FeatureRecipe,
    NeutralRecipe,
    OptimizationRecipe,
    Section,
    SplitRecipe,
)


class Recipe(Section):
    """All choices of a training run.

    Parameters
    ----------
    objective : {"classification", "regression"}
        Whether labels are classes (1, 0) or values (any number).
    data, molecules, features, network, split, optimization, neutral, evaluation : section
        See the classes of the sections.
    auxiliary : tuple of section
        Other tables whose tasks the network learns along; a classification only.
    weights_dtype : {"float16", "float32"}
        Precision in which the weights are stored.

    Examples
    --------
    >>> Recipe().network.n_modules
    2
    """

    objective: Objective = Objective.CLASSIFICATION
    data: DataRecipe = DataRecipe()
    molecules: MoleculePolicy = MoleculePolicy()
    features: FeatureRecipe = FeatureRecipe()
    network: NetworkConfig = NetworkConfig()
    split: SplitRecipe = SplitRecipe()
    optimization: OptimizationRecipe = OptimizationRecipe()
    neutral: NeutralRecipe = NeutralRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()
    auxiliary: tuple[AuxiliaryRecipe, ...] = ()
    weights_dtype: Literal["float16", "float32"] = "float32"

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> Self:
        if self.objective is Objective.REGRESSION and self.optimization.inactives_per_epoch is not None:
            raise ValueError("optimization.inactives_per_epoch is for classes; a regression has no inactives")
        if self.objective is Objective.REGRESSION and self.auxiliary:
            raise ValueError("auxiliary tables are for classes; a regression takes none")
        if len({auxiliary.name for auxiliary in self.auxiliary}) < len(self.auxiliary):
            raise ValueError("an auxiliary table is named twice")
        if self.data.name and self.data.name in {auxiliary.name for auxiliary in self.auxiliary}:
            raise ValueError(f"{self.data.name} is the table itself; name other tables as auxiliary")
        return self


def bundled_recipes() -> dict[str, Path]:
    """Names and files of the recipes that come with molig.

    Examples
    --------
    >>> "tox21-w2n2-simple" in bundled_recipes()
    True
    """
    folder = Path(str(resources.files("molig.training"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_recipe(path_or_name: str | Path) -> Path:
    """Find the file of a recipe.

    Parameters
    ----------
    path_or_name : str or Path
        A TOML file, or the name of a bundled recipe.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If there is no such file or bundled recipe; the nearest name is told.
    """
    path, bundled = Path(path_or_name), bundled_recipes()
    if path.is_file():
        return path
    if str(path_or_name) in bundled:
        return bundled[str(path_or_name)]
    if len(path.parts) > 1 or path.suffix:
        raise UsageError(f"cannot read the recipe {path}: there is no such file")
    raise UnknownNameError("recipe", str(path_or_name), bundled)


def read_recipe(path: str | Path) -> Recipe:
    """Read a TOML recipe; what it leaves out takes its default.

    Parameters
    ----------
    path : str or Path
        The file, or the name of a bundled recipe.

    Returns
    -------
    Recipe

    Raises
    ------
    UsageError
        If the file cannot be read, is not TOML, or has an unknown key or an impossible value (named).
    """
    path = find_recipe(path)
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
        # The place in a list of sections says less than the name of the key.
        where = [part for part in first["loc"] if isinstance(part, str)]
        if first["type"] == "extra_forbidden":
            unknown = UnknownNameError("key", ".".join(where), _valid_keys(where[:-1]))
            raise UsageError(f"{source}: {unknown}") from err
        if first["type"] == "value_error":
            # What contradicts itself is a whole section, or the whole recipe: too long to be repeated.
            raise UsageError(": ".join([source, *where[:1], str(first["ctx"]["error"])])) from err
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
    Path(path).write_text(tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True)), encoding="utf-8")


def _valid_keys(section: list[str]) -> list[str]:
    fields = Recipe.model_fields
    prefix = ""
    for name in section:
        annotation = fields[name].annotation
        annotation = next(iter(get_args(annotation)), annotation)  # of a list of sections, the section
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        fields, prefix = annotation.model_fields, f"{prefix}{name}."
    return [prefix + name for name in fields]
