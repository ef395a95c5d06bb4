"""Results of an evaluation as files: JSON, Markdown, figures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import rdkit
import sklearn
import torch

from molig.ranking import METRICS, draw_enrichment, draw_reliability, draw_roc, save_figure
from molig.screening import write_whole
from molig.validation.baselines import BASELINES
from molig.validation.curves import mean_enrichment, mean_roc, pooled_reliability
from molig.validation.methods import NETWORK
from molig.validation.protocol import Evaluation
from molig.validation.results import FIGURES, MethodFigures, TaskFigures
from molig.version import __version__

RESULTS_FILE = "evaluation.json"
REPORT_FILE = "evaluation.md"

_TITLES = {metric.name: metric.title for metric in METRICS}


def write_evaluation(evaluation: Evaluation, output: Path, *, title: str) -> list[Path]:
    """Write ``evaluation.json``, ``evaluation.md`` and the figures (SVG and PNG).

    Parameters
    ----------
    evaluation : Evaluation
        The results.
    output : Path
        Directory to write to.
    title : str
        What was evaluated, such as the recipe's name.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    results, report = output / RESULTS_FILE, output / REPORT_FILE
    write_whole(results, evaluation_json(evaluation, title).encode())
    write_whole(report, evaluation_markdown(evaluation, title).encode())
    return [results, report, *_figures(evaluation, output, title)]


def method_title(name: str) -> str:
    """What tables and figures call a method.

    Parameters
    ----------
    name : str
        Name of the network or of a baseline.

    Returns
    -------
    str
    """
    return BASELINES[name].title if name in BASELINES else name


def evaluation_json(evaluation: Evaluation, title: str) -> str:
    """All figures as JSON; what is not defined is null.

    Parameters
    ----------
    evaluation : Evaluation
        The results.
    title : str
        What was evaluated.

    Returns
    -------
    str
    """
    plan = evaluation.plan
    conflicts = plan.data.conflicts
    content = {
        "format": "molig-evaluation",
        "title": title,
        "molig_version": __version__,
        "versions": {
            "torch": torch.__version__,
            "rdkit": rdkit.__version__,
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
        },
        "table": {"file": plan.source, "sha256": plan.digest},
        "recipe": plan.recipe.model_dump(mode="json", exclude_none=True),
        "molecules": {
            "used": len(plan.data),
            "rejected": len(plan.data.rejections),
            "copies_in_train": plan.copies_in_train(),
            "label_conflicts": conflicts.to_dict() if conflicts else None,
            "parts": [
                {part: int((parts == part).sum()) for part in ("train", "validation", "test")}
                for parts in plan.parts
            ],
        },
        "problems": plan.problems(),
        "methods": {name: _method(figures) for name, figures in evaluation.figures.items()},
        "sign_tests": [
            {"against": c.against, "figure": c.figure, **asdict(c.test)} for c in evaluation.comparisons
        ],
    }
    return json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"


def evaluation_markdown(evaluation: Evaluation, title: str) -> str:
    """Tables for people: methods, sign tests, tasks, and what to know about the data.

    Parameters
    ----------
    evaluation : Evaluation
        The results.
    title : str
        What was evaluated.

    Returns
    -------
    str
    """
    plan = evaluation.plan
    n_folds, kind = len(plan.parts), plan.recipe.split.kind.value
    how = f"{n_folds}-fold {kind} cross-validation" if n_folds > 1 else f"{kind} split"
    lines = [
        f"# {title}",
        "",
        f"{how} of `{plan.source}`: {len(plan.data):,} molecules, {len(plan.data.tasks)} "
        f"task{'s' if len(plan.data.tasks) > 1 else ''}. Per task the mean over folds; here the median over "
        "tasks. In brackets: 95 % bootstrap intervals over molecules. BEDROC with alpha 20; EF: enrichment "
        "factor of the first part of the ranking; tied molecules count in expectation over their orders.",
        "",
        *_methods_table(evaluation),
        "",
        *_sign_table(evaluation),
        *_neutral_note(evaluation),
        *_tasks_table(evaluation),
        *_notes(evaluation),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _methods_table(evaluation: Evaluation) -> list[str]:
    names = list(FIGURES)
    header = ["method", *(_TITLES[name] for name in names), "processor time"]
    rows = [
        [
            method_title(name),
            *(_cell(figures.medians, figures.median_intervals, figure) for figure in names),
            _duration(figures.seconds),
        ]
        for name, figures in evaluation.figures.items()
    ]
    return _table(header, rows)


def _sign_table(evaluation: Evaluation) -> list[str]:
    if not evaluation.comparisons:
        return []
    rows = [
        [
            method_title(c.against),
            _TITLES[c.figure],
            str(c.test.wins),
            str(c.test.losses),
            str(c.test.ties),
            f"{c.test.p_value:.3g}",
        ]
        for c in evaluation.comparisons
    ]
    header = ["molig against", "figure", "tasks won", "lost", "equal", "p (sign test, two-sided)"]
    return [*_table(header, rows), ""]


def _neutral_note(evaluation: Evaluation) -> list[str]:
    network = evaluation.figures.get(NETWORK)
    if network is None or not network.neutral:
        return []
    task, share = min(network.neutral.items(), key=lambda item: item[1])
    return [
        f"Zero baseline: probability at most 0.02 for {100 * share:.2f} % of the test molecules or more in "
        f"every task (fewest: {task}).",
        "",
    ]


def _tasks_table(evaluation: Evaluation) -> list[str]:
    methods = list(evaluation.figures.values())
    header = ["task", "actives", "inactives"]
    header += [f"{method_title(m.name)}: {_TITLES[f]}" for m in methods for f in ("roc_auc", "ef_1")]
    rows = []
    for task in evaluation.plan.data.tasks:
        first = methods[0].tasks[task]
        cells = [_task_cell(m.tasks[task], figure) for m in methods for figure in ("roc_auc", "ef_1")]
        rows.append([task, str(first.n_actives), str(first.n_inactives), *cells])
    return ["## Tasks", "", *_table(header, rows), ""]


def _notes(evaluation: Evaluation) -> list[str]:
    plan = evaluation.plan
    notes = list(plan.problems())
    if plan.data.rejections:
        notes.append(f"{len(plan.data.rejections)} rows of the table could not be used")
    if plan.data.conflicts and str(plan.data.conflicts):
        notes.append(str(plan.data.conflicts))
    copies = plan.copies_in_train()
    if copies:
        notes.append(f"{copies} test molecules have a copy in the training part, as the table parts them")
    return ["## Notes", "", *(f"- {note}" for note in notes)] if notes else []


def _figures(evaluation: Evaluation, output: Path, title: str) -> list[Path]:
    # Methods that state no probabilities come last, so that a method has one colour in all figures.
    by_place = sorted(evaluation.scores.items(), key=lambda item: item[1][0].probabilities is None)
    scores = {method_title(name): folds for name, folds in by_place}
    n_tasks, n_folds = len(evaluation.plan.data.tasks), len(evaluation.plan.parts)
    many = n_tasks * n_folds > 1
    subtitle = f"mean over {n_tasks} tasks and {n_folds} folds" if many else ""
    reliability = {name: curve for name, f in scores.items() if (curve := pooled_reliability(f)) is not None}
    drawn = {
        "roc": draw_roc({name: mean_roc(folds) for name, folds in scores.items()}, title, subtitle),
        "enrichment": draw_enrichment(
            {name: mean_enrichment(folds) for name, folds in scores.items()}, title, subtitle
        ),
    }
    if reliability:
        drawn["reliability"] = draw_reliability(
            reliability, title, "all tasks and folds together" if many else ""
        )
    paths = [output / f"{name}.{suffix}" for name in drawn for suffix in ("svg", "png")]
    for path in paths:
        save_figure(drawn[path.stem], path)
    return paths


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _cell(values: dict[str, float], intervals: dict[str, tuple[float, float]], name: str) -> str:
    value = values[name]
    if math.isnan(value):
        return "n/a"
    digits = 1 if name.startswith("ef_") else 3
    text = f"{value:.{digits}f}"
    if name in intervals:
        low, high = intervals[name]
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return text


def _task_cell(figures: TaskFigures, name: str) -> str:
    return _cell(figures.means, figures.intervals if name == "roc_auc" else {}, name)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _method(figures: MethodFigures) -> dict[str, Any]:
    return {
        "title": method_title(figures.name),
        "medians": figures.medians,
        "median_intervals": figures.median_intervals,
        "share_neutral": figures.neutral,
        "processor_seconds": round(figures.seconds, 1),
        "tasks": {name: asdict(task) for name, task in figures.tasks.items()},
    }


def _plain(value: Any) -> Any:
    """The same with null for NaN, and enumerations as their text."""
    if isinstance(value, float):
        # Significant digits: a learning rate of the recipe or a p-value may be very small.
        return None if math.isnan(value) else float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
