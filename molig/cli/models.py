"""`molig models`: what can be named after -m."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import print_table

if TYPE_CHECKING:
    from molig.model import ModelInfo

_TASKS_NAMED = 3


def models(
    model: Annotated[
        str | None, typer.Argument(help="Say more about one model: a bundled one, or a directory.")
    ] = None,
) -> None:
    """List the bundled models, or describe one."""
    if model is not None:
        _describe(model)
        return
    from molig.model import bundled_models, load_info

    rows = []
    for name, directory in bundled_models().items():
        info = load_info(directory)
        date = info.training.date if info.training else "n/a"
        rows.append(
            [
                name,
                _predicts(info),
                _tasks(info.tasks),
                _members(info),
                _quality(info),
                date,
                _size(directory),
            ]
        )
    header = ["model", "predicts", "tasks", "members", "held-out median", "trained", "size"]
    print_table(header, rows, whole=["model"])


def _describe(name: str) -> None:
    """Print what a model predicts, how well, and who its members are."""
    from molig.model import load_info
    from molig.model.files import find_model

    directory = find_model(name)
    info = load_info(directory)
    facts = [["predicts", _predicts(info)], ["score", _score(info)], ["members", _members(info)]]
    if info.training is not None:
        known = info.training
        facts.append(["trained on", f"{known.n_train:,} molecules of {known.data_file}, {known.date}"])
    facts += [["held-out median", _quality(info)], ["size", _size(directory)], ["directory", str(directory)]]
    print_table(["", info.name], facts, whole=[""])
    if info.committee is not None:
        columns = list(dict.fromkeys(name for member in info.committee.members for name in member.figures))
        rows = [
            [
                member.name,
                f"{sum(member.weights) / len(member.weights):.2f}",
                f"{member.n_columns:,}" if member.n_columns else "",
                *(_number(column, member.figures.get(column)) for column in columns),
            ]
            for member in info.committee.members
        ]
        print_table(["member", "weight", "substructures", *map(_heading, columns)], rows, whole=["member"])
    metrics = info.metrics.get(info.held_out or "", {})
    figures = [
        name
        for name in (
            "roc_auc",
            "pr_auc",
            "bedroc",
            "ef_1",
            "n_actives",
            "n_inactives",
            "r2",
            "rmse",
            "spearman",
            "n",
        )
        if any(getattr(task, name, None) is not None for task in metrics.values())
    ]
    rows = [
        [task, *(_number(name, getattr(of, name, None)) for name in figures)] for task, of in metrics.items()
    ]
    if rows:
        print_table([f"task ({info.held_out} part)", *map(_heading, figures)], rows)


def _heading(figure: str) -> str:
    from molig.stats.ranking import FIGURES

    known = {"n_actives": "actives", "n_inactives": "inactives", "n": "molecules", "rmse": "RMSE", "r2": "R2"}
    return FIGURES[figure].title if figure in FIGURES else known.get(figure, figure.capitalize())


def _number(figure: str, value: float | None) -> str:
    from molig.stats.ranking import FIGURES

    if value is None:
        return "n/a"
    decimals = FIGURES[figure].decimals if figure in FIGURES else 3
    return f"{value:,}" if isinstance(value, int) else f"{value:.{decimals}f}"


def _predicts(info: ModelInfo) -> str:
    """What was measured, in the words of the data's title, or as far as the table tells it."""
    if info.training is None:
        return "n/a"
    return info.training.data_source.split(";")[0] or f"labels of {info.training.data_file}"


def _score(info: ModelInfo) -> str:
    from molig.model import Objective

    if info.objective is Objective.REGRESSION:
        return "values in the unit of the labels"
    return info.meaning_of_score or "from 0 to 1, for ranking: no calibrated probability"


def _members(info: ModelInfo) -> str:
    return ", ".join(m.name for m in info.committee.members) if info.committee else "weave alone"


def _size(directory: Path) -> str:
    """Of the files that a model is read from."""
    from molig.model.domain import APPLICABILITY_FILE
    from molig.model.files import INFO_FILE, MEMBERS_FILE, WEIGHTS_FILE

    files = (directory / name for name in (INFO_FILE, WEIGHTS_FILE, MEMBERS_FILE, APPLICABILITY_FILE))
    return f"{sum(file.stat().st_size for file in files if file.exists()) / 1e6:.1f} MB"


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
    if part is None or median is None:
        return "n/a"
    early = info.median_figure(part, "ef_1")
    # Such a figure may be flattered: the part may have chosen the epoch.
    where = " (validation)" if part == "validation" else ""
    return f"{title} {median:.3f}" + (f", EF 1 % {early:.1f}" if early is not None else "") + where
