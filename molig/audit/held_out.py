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
        If the model's directory does not tell what was held out, or its table is not there.
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
    table = source or table_of_model(model)
    return LabelledFile(table, smiles_column=recipe.data.smiles_column, rows=rows), part
