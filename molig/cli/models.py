"""`molig models`: what can be named after -m."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molig.cli.console import print_table

if TYPE_CHECKING:
    from molig.model import ModelInfo

_TASKS_NAMED = 3


def models() -> None:
    """List the bundled models."""
    from molig.model import bundled_models, load_info

    rows = []
    for name, directory in bundled_models().items():
        info = load_info(directory)
        date = info.training.date if info.training else "n/a"
        rows.append([name, _tasks(info.tasks), _quality(info), date])
    print_table(["model", "tasks", "held-out median", "trained"], rows, whole=["model"])


def _tasks(tasks: tuple[str, ...]) -> str:
    """The names, or the number and the first of them."""
    if len(tasks) <= _TASKS_NAMED:
        return ", ".join(tasks)
    return f"{len(tasks)}: {', '.join(tasks[:_TASKS_NAMED])}, ..."


def _quality(info: ModelInfo) -> str:
    from molig.model import Objective

    part, figure, title = info.held_out, "roc_auc", "ROC-AUC"
    if info.objective is Objective.REGRESSION:
        figure, title = "r2", "R2"
    median = info.median_figure(part, figure) if part else None
    if median is None:
        return "n/a"
    # Such a figure may be flattered: the part may have chosen the epoch.
    return f"{title} {median:.3f}" + (" (validation)" if part == "validation" else "")
