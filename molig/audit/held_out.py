"""The molecules that a model's training held out, to audit it with."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from molig.audit.inputs import LabelledFile
from molig.errors import InputError, UsageError
from molig.model import find_model
from molig.training import read_recipe
from molig.validation import table_of_model

_SPLIT, _RECIPE = "split.csv", "recipe.toml"


def held_out_file(model: str | Path, source: Path | None = None) -> tuple[LabelledFile, str]:
    """Find the test part (else the validation part) of the table that a model was trained with.

    Parameters
    ----------
    model : str or Path
        Directory of the model, or the name of a bundled one.
    source : Path, optional
        The table, if not where the model's recipe says.

    Returns
    -------
    file : LabelledFile
        The table, restricted to the held-out rows.
    part : str
        ``"test"`` or ``"validation"``.

    Raises
    ------
    UsageError
        If the model's directory does not tell what was held out or of which table, or the table is not there.
    InputError
        If the split is damaged, or a public data set is not there yet.
    """
    folder = find_model(model)
    if not (folder / _SPLIT).is_file() or not (folder / _RECIPE).is_file():
        raise UsageError(
            f"{folder.name} does not tell what its training held out ({_SPLIT}, {_RECIPE}): give molecules "
            "with --input"
        )
    try:
        split = pd.read_csv(folder / _SPLIT)
        part = "test" if (split["part"] == "test").any() else "validation"
        rows = frozenset(int(row) for row in split.loc[split["part"] == part, "row"])
    except (KeyError, ValueError) as err:
        raise InputError(f"{folder / _SPLIT} is damaged: {err}") from err
    if not rows:
        raise UsageError(f"{folder.name} held out no molecules in training: give some with --input")
    recipe = read_recipe(folder / _RECIPE)
    table = source or _table(folder)
    return LabelledFile(table, smiles_column=recipe.data.smiles_column, rows=rows), part


def _table(folder: Path) -> Path:
    """The table that the recipe names; where there is none, training's advice is no help for an audit."""
    recipe = read_recipe(folder / _RECIPE)
    if not recipe.data.name and not recipe.data.file:
        raise UsageError(
            f"{folder.name} does not tell which table it was trained with, so what was held out cannot be "
            f"found: give molecules with --input, or name the table as file in [data] of {folder / _RECIPE}"
        )
    try:
        return table_of_model(folder)
    except UsageError as err:
        raise UsageError(
            f"{folder / _RECIPE} names {recipe.data.name or recipe.data.file} as the table that "
            f"{folder.name} was trained with, but there is none: put it there to audit what was held out of "
            "it, or give molecules with --input"
        ) from err
