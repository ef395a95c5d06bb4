"""What the catalogue knows of a table that is a public data set: its label columns, and classes or values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from molig.datasets.places import dataset_of
from molig.errors import UnknownNameError
from molig.model import Objective
from molig.training.recipe import (
    OPTIONS,
    LabelledTable,
    Recipe,
    parse_recipe,
    read_recipe,
    read_recipe_and_table,
)


def read_recipe_and_known_table(
    recipe: str | Path,
    *,
    source: Path | None = None,
    targets: Sequence[str] = (),
    smiles_column: str | None = None,
    delimiter: str | None = None,
) -> tuple[Recipe, LabelledTable]:
    """As `read_recipe_and_table`; where nobody names label columns, a public data set has its own."""
    known = dataset_of(source) if source else None
    if known and not targets and not read_recipe(recipe).data.targets:
        targets = known.targets
    return read_recipe_and_table(
        recipe, source=source, targets=targets, smiles_column=smiles_column, delimiter=delimiter
    )


def with_objective(recipe: Recipe, table: LabelledTable, objective: str | None = None) -> Recipe:
    """The recipe with the objective that a command line states, or else that the labels of a public set need.

    What the recipe itself states, and a cut, which makes classes, go before the latter. Raises UsageError.
    """
    known = [known.value for known in Objective]
    if objective is not None and objective not in known:
        raise UnknownNameError("value of --objective", objective, known)
    if objective is None and "objective" not in recipe.model_fields_set and not recipe.data.cut:
        public = dataset_of(table.source)
        if public and set(table.targets) <= set(public.numbers):
            objective = Objective.REGRESSION.value
    if objective in (None, recipe.objective):
        return recipe
    plain = recipe.model_dump(mode="json", exclude_none=True)
    return parse_recipe(plain | {"objective": objective}, OPTIONS)


def mixed_targets(table: LabelledTable) -> str:
    """A sentence on a public table whose rows are of many targets; empty for any other."""
    known = dataset_of(table.source)
    if known is None or not known.is_long:
        return ""
    each = known.members_column
    return (
        f"{known.name} has rows of {len(known.members)} targets, and one model of all mixes their values: "
        f"train on a table with the rows of one (column {each}), or judge all of them with molig evaluate "
        f"--each-value-of {each}"
    )
