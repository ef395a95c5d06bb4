"""Labels and parts of the split, as the rows of a table state them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molig.errors import InputError
from molig.model import Objective
from molig.molecules import Record

FloatArray = npt.NDArray[np.float64]

PARTS = ("train", "validation", "test")
"""Parts of a split."""

_SYNONYMS = {"valid": "validation", "val": "validation"}
_MISSING = {"", "nan", "na", "null", "none"}
_MOST_ODD = 0.1


class LabelReader:
    """Reads the labels of records, and notices where values are taken for classes.

    Parameters
    ----------
    targets : sequence of str
        Label columns.
    objective : Objective
        Whether labels are classes or values.
    split_column : str, optional
        Column with the part of every row.
    """

    def __init__(self, targets: Sequence[str], objective: Objective, split_column: str | None = None) -> None:
        self.targets, self.objective, self.split_column = targets, objective, split_column
        self._n_labelled = self._n_values = 0
        self._first_value = ""

    def labels(self, record: Record) -> tuple[list[float], str | None]:
        """Labels of a row, NaN where not measured, and what is wrong with them, if anything."""
        labels = []
        for target in self.targets:
            label, problem = self._label(target, record)
            if problem:
                return [], problem
            labels.append(label)
        if all(math.isnan(v) for v in labels):
            return [], "no label in any target column"
        self._n_labelled += 1
        return labels, None

    def _label(self, target: str, record: Record) -> tuple[float, str | None]:
        raw = record.fields.get(target)
        value = _number(raw)
        if self.objective is Objective.REGRESSION:
            if value is None or math.isinf(value):
                return math.nan, f"label {target} = {raw!r} is neither a finite number nor empty"
            return value, None
        if value is None or not (math.isnan(value) or value in (0.0, 1.0)):
            if value is not None and math.isfinite(value):
                self._n_values += 1
                self._first_value = self._first_value or f"row {record.row}: {target} = {raw!r}"
            return math.nan, f"label {target} = {raw!r} is neither 0, 1 nor empty"
        return value, None

    def part(self, record: Record) -> str:
        """Part of a row; empty if there is no such column, or the row could not be read.

        Raises
        ------
        InputError
            Naming row and value, if it is none of `PARTS`.
        """
        if self.split_column is None or record.problem is not None:
            return ""
        raw = record.fields.get(self.split_column)
        part = "" if raw is None else str(raw).strip().casefold()
        part = _SYNONYMS.get(part, part)
        if part not in PARTS:
            raise InputError(
                f"row {record.row}: column {self.split_column!r} says {raw!r}; a given split needs "
                f"{', '.join(PARTS[:-1])} or {PARTS[-1]} in every row"
            )
        return part

    def check_values(self, source: str | Path) -> None:
        """Refuse values where classes are asked for: a few odd rows are rejected, many mean a mistake.

        Raises
        ------
        InputError
            If more than a tenth of the labelled rows have a number other than 0 and 1.
        """
        if self._n_values > _MOST_ODD * (self._n_values + self._n_labelled):
            raise InputError(
                f"{source}: {self._n_values} rows have numbers other than 0 and 1 as labels "
                f"(first: {self._first_value}); "
                'to predict values write objective = "regression" in a recipe, to predict classes code them '
                "as 1 and 0"
            )


def check_variety(source: str | Path, labels: FloatArray, tasks: Sequence[str], objective: Objective) -> None:
    """Refuse tasks that have nothing to learn.

    Parameters
    ----------
    source : str or Path
        The table, for messages.
    labels : array of float, shape (n_mols, n_tasks)
        Labels of the usable rows; NaN not measured.
    tasks : sequence of str
        Names of the columns.
    objective : Objective
        Whether labels are classes or values.

    Raises
    ------
    InputError
        If a task has one class only, or one value only.
    """
    for column, task in enumerate(tasks):
        known = labels[~np.isnan(labels[:, column]), column]
        if objective is Objective.REGRESSION:
            if len(np.unique(known)) < 2:
                seen = f"only the value {known[0]:g}" if len(known) else "no value"
                raise InputError(
                    f"{source}: target {task!r} has {seen} among the usable rows; a regression needs "
                    "different values: leave it out or add data"
                )
            continue
        actives, inactives = int((known == 1).sum()), int((known == 0).sum())
        if not actives or not inactives:
            raise InputError(
                f"{source}: target {task!r} has {actives} actives and {inactives} inactives among the usable "
                "rows; a task needs both classes: leave it out or add data"
            )


def _number(value: Any) -> float | None:
    """Label as a number, NaN if missing, None if it is no number at all."""
    if value is None or str(value).strip().lower() in _MISSING:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
