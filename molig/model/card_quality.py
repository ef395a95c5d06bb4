"""The tables of a model card: held-out quality, cross-validation, zero baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from molig.model.card_text import shown, table
from molig.model.info import ModelInfo, Objective
from molig.model.sections import (
    BaselineScore,
    BaselineValue,
    CrossValidation,
    RegressionMetrics,
    TaskMetrics,
)

Metrics = Mapping[str, TaskMetrics | RegressionMetrics]


class _Figure(NamedTuple):
    """A column of the tables: field, heading, format, and whether its interval is shown."""

    name: str
    heading: str
    form: str = ".3f"
    interval: bool = False


_SCREENING = (
    _Figure("roc_auc", "ROC-AUC", interval=True),
    _Figure("pr_auc", "PR-AUC"),
    _Figure("bedroc", "BEDROC", interval=True),
    _Figure("ef_0_5", "EF 0.5 %", ".1f"),
    _Figure("ef_1", "EF 1 %", ".1f"),
    _Figure("ef_5", "EF 5 %", ".1f"),
    _Figure("brier", "Brier"),
)
_REGRESSION = (_Figure("r2", "R2"), _Figure("rmse", "RMSE", ".4g"), _Figure("spearman", "Spearman"))
_OF_UNITS = {"rmse"}
_MANY_TIES = 0.005


def quality_sections(info: ModelInfo) -> list[str]:
    """The held-out part in full, and one line about the validation part if that is another one."""
    part = info.held_out
    if part is None:
        return []
    regression = info.objective is Objective.REGRESSION
    figures = [f for f in (_REGRESSION if regression else _SCREENING) if _is_known(info.metrics[part], f)]
    text = [
        f"## Quality on the {part} part",
        _about(info, part),
        _metrics_table(info, part, figures),
        *_notes(info, part, figures),
    ]
    return ["\n\n".join(text)]


def _about(info: ModelInfo, part: str) -> str:
    regression = info.objective is Objective.REGRESSION
    figure, name = ("r2", "R2") if regression else ("roc_auc", "ROC-AUC")
    median = info.median_figure(part, figure)
    lines = []
    if median is None:
        lines.append("No task has different values." if regression else "No task has both classes.")
    else:
        lines.append(f"Median {name} {median:.3f}.")
    if part == "validation":
        lines.append("The epoch was chosen on this part, which flatters the figures.")
    elif (chosen_on := info.median_figure("validation", figure)) is not None:
        lines.append(f"On the validation part, which chose the epoch: {chosen_on:.3f}.")
    return " ".join(lines)


def _is_known(metrics: Metrics, figure: _Figure) -> bool:
    """Whether a column has anything to show; the first two always have a place."""
    first = figure.name in ("roc_auc", "pr_auc", "r2", "rmse", "spearman")
    return first or any(getattr(task, figure.name, None) is not None for task in metrics.values())


def _metrics_table(info: ModelInfo, part: str, figures: list[_Figure]) -> str:
    regression = info.objective is Objective.REGRESSION
    counts = ["molecules"] if regression else ["actives", "inactives"]
    rows = [_metrics_row(task, m, figures) for task, m in info.metrics[part].items()]
    if len(rows) > 1:
        medians = [
            "" if f.name in _OF_UNITS else shown(info.median_figure(part, f.name), f.form) for f in figures
        ]
        rows.append(["**median**", *medians, *[""] * len(counts)])
    return table(["task", *(f.heading for f in figures), *counts], rows)


def _metrics_row(task: str, metrics: TaskMetrics | RegressionMetrics, figures: list[_Figure]) -> list[str]:
    cells = [shown(getattr(metrics, f.name, None), f.form) for f in figures]
    if isinstance(metrics, RegressionMetrics):
        return [task, *cells, str(metrics.n)]
    for i, figure in enumerate(figures):
        ends = metrics.intervals.get(figure.name)
        if ends and figure.interval:
            cells[i] += f" [{ends[0]:{figure.form}}, {ends[1]:{figure.form}}]"
    return [task, *cells, str(metrics.n_actives), str(metrics.n_inactives)]


def _notes(info: ModelInfo, part: str, figures: list[_Figure]) -> list[str]:
    """What the columns mean, as far as they are there."""
    tasks = [m for m in info.metrics[part].values() if isinstance(m, TaskMetrics)]
    notes = []
    if any(m.intervals for m in tasks):
        notes.append("In brackets: 95 % bootstrap intervals over the molecules of this part.")
    if any(f.name == "bedroc" for f in figures):
        notes.append(
            "BEDROC has alpha 20; EF x % is how many times more actives the best x % hold than chance "
            "would give; ties count in expectation."
        )
    ties = max((m.tie_fraction or 0 for m in tasks), default=0)
    if ties > _MANY_TIES:
        notes.append(f"Up to {100 * ties:.1f} % of the molecules share their score with another.")
    return [" ".join(notes)] if notes else []


def cross_validation_section(found: CrossValidation | None) -> list[str]:
    """Quality of the recipe over folds, and the comparison to simple methods."""
    if found is None:
        return []
    known = {name for task in found.tasks.values() for name, value in task.items() if value is not None}
    figures = [f for f in (*_SCREENING, *_REGRESSION) if f.name in known]
    rows = [[task, *(shown(m.get(f.name), f.form) for f in figures)] for task, m in found.tasks.items()]
    if len(rows) > 1:
        medians = ["" if f.name in _OF_UNITS else shown(found.medians.get(f.name), f.form) for f in figures]
        rows.append(["**median**", *medians])
    source = f" Full results: `{found.source}`." if found.source else ""
    how = (
        f"Means over {found.folds} {found.scheme} folds (seed {found.seed}) of networks"
        if found.folds > 1
        else f"Test part of the {found.scheme} split, scored by a network"
    )
    parts = [
        f"## {'Cross-validation' if found.folds > 1 else 'Evaluation of the recipe'}\n\n{how} trained by the "
        f"same recipe, not of these weights.{source}",
        table(["task", *(f.heading for f in figures)], rows),
    ]
    if found.baselines:
        others = [
            [name, f"{b.median_auc:.3f}", str(b.wins), str(b.losses), f"{b.p_value:.2g}"]
            for name, b in found.baselines.items()
        ]
        parts += [
            "Other methods on the same folds; wins are tasks in which this model has the higher ROC-AUC, "
            "p is that of a two-sided sign test.",
            table(["method", "median ROC-AUC", "wins", "losses", "p"], others),
        ]
    return ["\n\n".join(parts)]


def baseline_section(info: ModelInfo) -> list[str]:
    """Score of the zero baseline, which attributions start from."""
    if not info.baseline:
        return []
    if info.objective is Objective.REGRESSION:
        what, header = "Value", ["task", "median", "farthest", "neutral value", "molecules near it"]
    else:
        what, header = "Probability", ["task", "median", "largest", "molecules at most 0.02"]
    text = [
        "## Baseline",
        f"{what} when all atom and pair features are zero and the graph stays; attributions add up to "
        "the score minus this.",
        table(header, [_baseline_row(task, b) for task, b in info.baseline.items()]),
    ]
    if info.objective is Objective.REGRESSION:
        text.append("Near: within a tenth of the standard deviation of the training labels.")
    return ["\n\n".join(text)]


def _baseline_row(task: str, baseline: BaselineScore | BaselineValue) -> list[str]:
    share = f"{100 * baseline.share_neutral:.1f} %"
    if isinstance(baseline, BaselineValue):
        values = [baseline.median, baseline.farthest, baseline.neutral]
        return [task, *(f"{v:.4g}" for v in values), share]
    return [task, f"{baseline.median:.4f}", f"{baseline.max:.4f}", share]
