"""The tables of a model card: held-out quality and zero baseline."""

from __future__ import annotations

from collections.abc import Mapping

from molig.model.card_figures import OF_UNITS, REGRESSION, SCREENING, Figure
from molig.model.card_text import shown, table
from molig.model.info import ModelInfo, Objective
from molig.model.sections import (
    BaselineScore,
    BaselineValue,
    RegressionMetrics,
    TaskMetrics,
)

Metrics = Mapping[str, TaskMetrics | RegressionMetrics]


_MANY_TIES = 0.005
_ON_VALIDATION = {
    "best": "The epoch was chosen on this part, which flatters the figures.",
    "last": "The last epoch was kept; training only watched this part.",
    None: "The epoch may have been chosen on this part, which would flatter the figures.",
}
_ROLE_OF_VALIDATION = {"best": ", which chose the epoch", "last": ", which training only watched", None: ""}


def quality_sections(info: ModelInfo) -> list[str]:
    """The held-out part in full, and one line about the validation part if that is another one."""
    part = info.held_out
    if part is None:
        return []
    regression = info.objective is Objective.REGRESSION
    figures = [f for f in (REGRESSION if regression else SCREENING) if _is_known(info.metrics[part], f)]
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
    keep = info.training.keep if info.training else None
    if part == "validation":
        lines.append(_ON_VALIDATION[keep])
    elif (watched := info.median_figure("validation", figure)) is not None:
        lines.append(f"On the validation part{_ROLE_OF_VALIDATION[keep]}: {watched:.3f}.")
    return " ".join(lines)


def _is_known(metrics: Metrics, figure: Figure) -> bool:
    """Whether a column has anything to show; the first two always have a place."""
    first = figure.name in ("roc_auc", "pr_auc", "r2", "rmse", "spearman")
    return first or any(getattr(task, figure.name, None) is not None for task in metrics.values())


def _metrics_table(info: ModelInfo, part: str, figures: list[Figure]) -> str:
    regression = info.objective is Objective.REGRESSION
    counts = ["molecules"] if regression else ["actives", "inactives"]
    rows = [_metrics_row(task, m, figures) for task, m in info.metrics[part].items()]
    if len(rows) > 1:
        medians = [
            "" if f.name in OF_UNITS else shown(info.median_figure(part, f.name), f.form) for f in figures
        ]
        rows.append(["**median**", *medians, *[""] * len(counts)])
    return table(["task", *(f.heading for f in figures), *counts], rows)


def _metrics_row(task: str, metrics: TaskMetrics | RegressionMetrics, figures: list[Figure]) -> list[str]:
    cells = [shown(getattr(metrics, f.name, None), f.form) for f in figures]
    if isinstance(metrics, RegressionMetrics):
        return [task, *cells, str(metrics.n)]
    for i, figure in enumerate(figures):
        ends = metrics.intervals.get(figure.name)
        if ends and figure.interval:
            cells[i] += f" [{ends[0]:{figure.form}}, {ends[1]:{figure.form}}]"
    return [task, *cells, str(metrics.n_actives), str(metrics.n_inactives)]


def _notes(info: ModelInfo, part: str, figures: list[Figure]) -> list[str]:
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
