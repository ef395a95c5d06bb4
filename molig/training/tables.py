"""Which table a recipe is trained on or judged with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from molig.datasets import datasets, find_dataset
from molig.errors import UnknownNameError, UsageError
from molig.training.recipe import Recipe, find_recipe, read_recipe


@dataclass(frozen=True)
class LabelledTable:
    """A table with SMILES and labels.

    Parameters
    ----------
    source : Path
        The file.
    targets : tuple of str
        Label columns.
    smiles_column : str, optional
        Where to find the SMILES, if not under a usual name.
    """

    source: Path
    targets: tuple[str, ...]
    smiles_column: str | None = None


def locate_table(
    recipe: Recipe,
    recipe_file: Path | None = None,
    *,
    source: Path | None = None,
    targets: Sequence[str] = (),
    smiles_column: str | None = None,
) -> LabelledTable:
    """Find the table of a recipe; what is given beside the recipe comes first.

    Parameters
    ----------
    recipe : Recipe
        Its ``data`` section may name a public data set or a file, and the label columns.
    recipe_file : Path, optional
        Where the recipe was read from: a relative ``data.file`` is seen from its directory.
    source : Path, optional
        Table to take instead of the recipe's.
    targets : sequence of str
        Label columns to take instead of the recipe's.
    smiles_column : str, optional
        Where to find the SMILES, if not where the recipe says.

    Returns
    -------
    LabelledTable

    Raises
    ------
    UsageError
        If no table or no label column is named, or a public data set is unknown.
    InputError
        If the table of a public data set is not there yet.
    """
    data = recipe.data
    known = datasets()
    if data.name and data.name not in known:
        raise UnknownNameError("data set", data.name, known)
    if source is None:
        if data.name:
            source = find_dataset(data.name)
        elif data.file:
            source = (recipe_file.parent if recipe_file else Path()) / data.file
        else:
            raise UsageError(
                "no table: give one with --input, or name it in the [data] section of the recipe"
            )
    columns = tuple(targets) or data.targets or (known[data.name].targets if data.name else ())
    if not columns:
        raise UsageError(
            "no label column: name some with --target, or as targets in the [data] section of the recipe"
        )
    return LabelledTable(source, columns, smiles_column or data.smiles_column)


def read_recipe_and_table(
    recipe: str | Path,
    *,
    source: Path | None = None,
    targets: Sequence[str] = (),
    smiles_column: str | None = None,
) -> tuple[Recipe, LabelledTable]:
    """Read a recipe, by file or name, and find its table; see `read_recipe` and `locate_table`."""
    path = find_recipe(recipe)
    found = read_recipe(path)
    return found, locate_table(found, path, source=source, targets=targets, smiles_column=smiles_column)


def public_data(recipe: Recipe, source: Path) -> tuple[str, str]:
    """Source and licence of a recipe's public data set; empty if the table is another one.

    Parameters
    ----------
    recipe : Recipe
        May name a public data set.
    source : Path
        The table that is used.

    Returns
    -------
    source, licence : str
    """
    known = datasets().get(recipe.data.name)
    if known is None or source.name != known.file:
        return "", ""
    return "; ".join([known.title, *known.citation]), known.licence
