"""Everything about the input columns of a model that findings are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from molig.audit.columns import LEVELS, ColumnTable, Credit
from molig.audit.subject import AuditSubject, FloatArray
from molig.features.schema import Column

FEWEST_MOLECULES, FEWEST_ROWS, FEWEST_WITH = 20, 10, 5
"""Molecules from which on constant and equal columns are no chance, and rows and molecules that a column must
occur in before anything is said about it."""

Place = tuple[str, int]
"""Level, and column within it."""


@dataclass(frozen=True)
class ColumnStudy:
    """Values, weights and attributions of all input columns of a model.

    Parameters
    ----------
    subject : AuditSubject
        Model and molecules.
    tables : dict of str to ColumnTable
        Values over all molecules, by level.
    credits : dict of str to dict of str to Credit
        Attributions in the explained molecules, by task and level.
    weights : dict of str to array of float
        Largest |weight| that reads each column, by level.
    """

    subject: AuditSubject
    tables: dict[str, ColumnTable]
    credits: dict[str, dict[str, Credit]]
    weights: dict[str, FloatArray]

    def column(self, place: Place) -> Column:
        """Say what a column is.

        Parameters
        ----------
        place : (str, int)
            Level and column.
        """
        return self.tables[place[0]].columns[place[1]]

    def names(self, places: Sequence[Place]) -> list[str]:
        """Names of columns.

        Parameters
        ----------
        places : sequence of (str, int)
            Level and column of each.
        """
        return [str(self.column(place)) for place in places]

    @cached_property
    def places(self) -> list[Place]:
        """All columns."""
        return [(level, i) for level in LEVELS for i in range(len(self.tables[level].columns))]

    @cached_property
    def shares(self) -> dict[str, dict[str, FloatArray]]:
        """Share of each column in all |attribution| of a task, by task and level."""
        found = {}
        for task, levels in self.credits.items():
            total = sum(float(credit.absolute.sum()) for credit in levels.values())
            found[task] = {level: credit.absolute / (total or 1.0) for level, credit in levels.items()}
        return found

    def share(self, places: Sequence[Place]) -> float:
        """Share of all |attribution| that columns absorb, mean over the tasks.

        Parameters
        ----------
        places : sequence of (str, int)
            Level and column of each.
        """
        return float(np.mean(list(self.share_by_task(places).values())))

    def share_by_task(self, places: Sequence[Place]) -> dict[str, float]:
        """Share of all |attribution| that columns absorb, by task.

        Parameters
        ----------
        places : sequence of (str, int)
            Level and column of each.
        """
        return {task: float(sum(by[level][i] for level, i in places)) for task, by in self.shares.items()}

    def uses(self, place: Place) -> float:
        """Occurrences of a column in the explained molecules.

        Parameters
        ----------
        place : (str, int)
            Level and column.
        """
        level, i = place
        return float(next(iter(self.credits.values()))[level].uses[i])

    def per_use(self, places: Sequence[Place]) -> float:
        """Share of |attribution| per occurrence of some columns.

        Parameters
        ----------
        places : sequence of (str, int)
            Level and column of each.
        """
        uses = sum(self.uses(place) for place in places)
        return self.share(places) / uses if uses else 0.0

    @cached_property
    def occurring(self) -> list[Place]:
        """Columns that occur often enough to say something about them."""
        tables = self.tables
        return [
            (level, i)
            for level, i in self.places
            if tables[level].active[i] >= FEWEST_ROWS and tables[level].molecules_with(i) >= FEWEST_WITH
        ]

    @cached_property
    def constant(self) -> list[Place]:
        """Columns that hold one value, not zero, in all molecules."""
        many = len(self.subject.molecules) >= FEWEST_MOLECULES
        return [
            (level, i)
            for level, i in self.places
            if self.tables[level].constant[i] and (many or self.always_on((level, i)))
        ]

    def always_on(self, place: Place) -> bool:
        """Whether a column is on whatever the molecule: a distance within reach of every pair seen.

        Parameters
        ----------
        place : (str, int)
            Level and column.
        """
        schema, column = self.subject.model.schema, self.column(place)
        limit = schema.max_pair_distance
        if column.block == "distance_within":
            return limit is not None and int(column.name.removeprefix("<=")) >= limit
        return column.block == "distance" and limit == 1

    def other_slots(self) -> dict[Place, dict[str, float]]:
        """Share, and excess over ordinary columns of the block, of each slot for other values that occurs."""
        found = {}
        for place in self.occurring:
            level, block = place[0], self.column(place).block
            if not self.column(place).is_other:
                continue
            ordinary = [
                p for p in self.places if p[0] == level and self.column(p).block == block and p != place
            ]
            usual = self.per_use(ordinary)
            usual_weight = (
                float(np.median([self.weights[level][i] for _, i in ordinary])) if ordinary else 0.0
            )
            found[place] = {
                "share": self.share([place]),
                "uses": self.uses(place),
                "excess": self.per_use([place]) / usual if usual else 0.0,
                "weight_excess": float(self.weights[level][place[1]]) / usual_weight if usual_weight else 0.0,
            }
        return found
