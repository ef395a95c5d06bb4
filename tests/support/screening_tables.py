"""Small tables to evaluate on, and a recipe that is quick."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molig.training import LabelledTable, Recipe, parse_recipe
from support.small_model import TASKS, label, nci_smiles, small_recipe


def quick_recipe(**sections: dict[str, Any]) -> Recipe:
    """Two epochs of a network of a few neurons, two folds and the quickest baseline.

    Parameters
    ----------
    **sections
        Overrules single values of the recipe's sections.
    """
    plain = small_recipe(epochs=2).model_dump(mode="json", exclude_none=True)
    plain["network"]["hidden"] = [8]
    plain["evaluation"] = {"folds": 2, "baselines": ["nearest-active"]}
    for name, values in sections.items():
        plain[name] = (plain[name] | values) if isinstance(values, dict) else values
    return parse_recipe(plain)


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def labelled_rows(n: int = 60) -> list[dict[str, Any]]:
    """NCI compounds with their two classes."""
    return [{"smiles": smiles, **label(smiles)} for smiles in nci_smiles(n)]


def small_table(path: Path, n: int = 60) -> LabelledTable:
    """A table of NCI compounds with two tasks."""
    return LabelledTable(write_table(path, labelled_rows(n)), TASKS)
