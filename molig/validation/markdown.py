"""Results of an evaluation as Markdown, for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from molig.files import made_by
from molig.ranking import METRICS
from molig.validation.baselines import BASELINES
from molig.validation.curves import pooled_reliability
from molig.validation.methods import NETWORK
from molig.validation.protocol import Evaluation
from molig.validation.results import FIGURES, TaskFigures

_TITLES = {metric.name: metric.title for metric in METRICS}


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


def evaluation_markdown(evaluation: Evaluation, title: str, command: str = "") -> str:
    """Tables for people: methods, sign tests, tasks, and what to know about the data.

    Parameters
    ----------
    evaluation : Evaluation
        The results.
    title : str
        What was evaluated.
    command : str
        The command that was given, if any.

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
        f"task{'s' if len(plan.data.tasks) > 1 else ''}. {_averages(evaluation)}In "
        "brackets: 95 % bootstrap intervals over molecules. BEDROC with alpha 20; EF: enrichment factor of "
        "the first part of the ranking; tied molecules count in expectation over their orders.",
        "",
        *_methods_table(evaluation),
        "",
        *_sign_table(evaluation),
        *_neutral_note(evaluation),
        *_tasks_table(evaluation),
        *_reliability_table(evaluation),
        *_notes(evaluation),
        made_by(command, plan.recipe.evaluation.seed),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _averages(evaluation: Evaluation) -> str:
    """What the first table's figures are means and medians of."""
    over_folds = "Per task the mean over folds" if len(evaluation.plan.parts) > 1 else ""
    over_tasks = "the median over tasks" if len(evaluation.plan.data.tasks) > 1 else ""
    words = "; here ".join(part for part in (over_folds, over_tasks) if part)
    return f"{words[0].upper()}{words[1:]}. " if words else ""


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
    # One task can be won or lost, but says nothing about the next.
    if not evaluation.comparisons or len(evaluation.plan.data.tasks) < 2:
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
        f"Zero baseline: probability at most 0.02 for {_floored(share)} % of the test molecules"
        + (f" or more in every task (fewest: {task})." if len(network.neutral) > 1 else "."),
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


def _reliability_table(evaluation: Evaluation) -> list[str]:
    """What became of the molecules of every tenth of the probabilities."""
    errors, rows = [], []
    for name, folds in evaluation.scores.items():
        found = pooled_reliability(folds)
        if found is None:
            continue
        errors.append(f"{method_title(name)} {found.expected_error:.3f}")
        rows += [
            [method_title(name), f"{predicted:.3f}", f"{observed:.3f}", str(n)]
            for predicted, observed, n in zip(found.mean_predicted, found.observed, found.count, strict=True)
        ]
    if not rows:
        return []
    about = (
        f"All tasks and folds together, in ten bins of the probability. Expected calibration error: "
        f"{', '.join(errors)}."
    )
    header = ["method", "mean probability", "share of actives", "measurements"]
    return ["## Reliability", "", about, "", *_table(header, rows), ""]


def _notes(evaluation: Evaluation) -> list[str]:
    plan = evaluation.plan
    notes = list(plan.problems())
    if plan.data.rejections:
        notes.append(f"{len(plan.data.rejections)} rows of the table could not be used")
    if plan.data.conflicts and str(plan.data.conflicts):
        notes.append(str(plan.data.conflicts))
    if copies := plan.copies_note():
        notes.append(copies)
    return ["## Notes", "", *(f"- {note}" for note in notes), ""] if notes else []


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


def _floored(share: float) -> str:
    """Per cent with two decimals; 100.00 means all."""
    return f"{math.floor(share * 10_000) / 100:.2f}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
