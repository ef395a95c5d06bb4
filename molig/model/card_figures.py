"""The columns that tables of figures on a model card have."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """A column of the tables: field, heading, format, and whether its interval is shown."""

    name: str
    heading: str
    form: str = ".3f"
    interval: bool = False


SCREENING = (
    Figure("roc_auc", "ROC-AUC", interval=True),
    Figure("pr_auc", "PR-AUC", interval=True),
    Figure("bedroc", "BEDROC", interval=True),
    Figure("ef_0_5", "EF 0.5 %", ".1f"),
    Figure("ef_1", "EF 1 %", ".1f", interval=True),
    Figure("ef_5", "EF 5 %", ".1f"),
    Figure("brier", "Brier"),
)
"""Of rankings, in the order of the tables."""

REGRESSION = (Figure("r2", "R2"), Figure("rmse", "RMSE", ".4g"), Figure("spearman", "Spearman"))
"""Of values, in the order of the tables."""

OF_UNITS = frozenset({"rmse"})
"""Figures in the unit of a task, which have no median over tasks."""
