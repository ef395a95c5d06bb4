"""Results of an evaluation as files: JSON, Markdown, figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from molig.evaluation.baselines import baseline_title
from molig.evaluation.criteria import VALUES, Criteria, Interval
from molig.evaluation.figures import Comparison, MethodFigures, TaskFigures
from molig.evaluation.methods import NETWORK, FoldScores
from molig.evaluation.run import Evaluation
from molig.files import json_text, made_by, markdown_table, versions, write_whole
from molig.stats.curves import (
    EnrichmentCurve,
    Reliability,
    RocCurve,
    enrichment_curve,
    reliability_curve,
    roc_curve_points,
)
from molig.stats.plots import draw_enrichment, draw_reliability, draw_roc, save_figure
from molig.stats.ranking import FloatArray
from molig.text import legible_markdown
from molig.version import __version__

RESULTS_FILE = "evaluation.json"
REPORT_FILE = "evaluation.md"


def write_evaluation(evaluation: Evaluation, output: Path, *, title: str, command: str = "") -> list[Path]:
    """Write ``evaluation.json``, ``evaluation.md`` and the figures (SVG and PNG).

    Parameters
    ----------
    evaluation : Evaluation
        The results.
    output : Path
        Directory to write to.
    title : str
        What was evaluated, such as the recipe's name.
    command : str
        The command that was given, if any.

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
    write_whole(results, evaluation_json(evaluation, title, command))
    write_whole(report, evaluation_markdown(evaluation, title, command))
    return [results, report, *_figures(evaluation, output, title)]


def evaluation_json(evaluation: Evaluation, title: str, command: str = "") -> str:
    """All figures as JSON; what is not defined is null."""
    plan = evaluation.plan
    conflicts = plan.data.conflicts
    content = {
        "format": "molig-evaluation",
        "title": title,
        "molig_version": __version__,
        "versions": versions(),
        "command": command,
        "seed": plan.recipe.evaluation.seed,
        "table": {"file": plan.source, "sha256": plan.digest},
        "recipe": plan.recipe.model_dump(mode="json", exclude_none=True),
        "molecules": {
            "used": len(plan.data),
            "rejected": len(plan.data.rejections),
            "copies_in_train": plan.copies_in_train(),
            "copies_in_train_or_validation": plan.copies_outside_test(),
            "label_conflicts": conflicts.to_dict() if conflicts else None,
            "parts": [
                {part: int((parts == part).sum()) for part in ("train", "validation", "test")}
                for parts in plan.parts
            ],
        },
        "problems": plan.problems(),
        "methods": {
            name: _method(figures, evaluation.criteria)
            | {
                "share_neutral": figures.neutral,
                "reliability": _reliability(evaluation.scores[name]),
                "processor_seconds": round(figures.seconds, 1),
            }
            for name, figures in evaluation.figures.items()
        },
        "sign_tests": sign_tests_json(evaluation.comparisons),
        "subset": _subset_json(evaluation),
    }
    return json_text(content)


def sign_tests_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Sign tests as plain data."""
    return [{"against": c.against, "figure": c.figure, **asdict(c.test)} for c in comparisons]


def _subset_json(evaluation: Evaluation) -> dict[str, Any] | None:
    if evaluation.subset is None or evaluation.plan.subset is None:
        return None
    return {
        "column": evaluation.plan.subset.column,
        "methods": {
            name: _method(figures, evaluation.criteria) for name, figures in evaluation.subset.figures.items()
        },
        "sign_tests": sign_tests_json(evaluation.subset.comparisons),
    }


def _figures(evaluation: Evaluation, output: Path, title: str) -> list[Path]:
    if evaluation.criteria is VALUES:
        return []
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


def _method(figures: MethodFigures, criteria: Criteria) -> dict[str, Any]:
    return {
        "title": method_title(figures.name),
        "medians": figures.medians,
        "median_intervals": figures.median_intervals,
        "tasks": {name: _task(task, criteria) for name, task in figures.tasks.items()},
    }


def _task(figures: TaskFigures, criteria: Criteria) -> dict[str, Any]:
    return {
        "means": figures.mean.figures(),
        "by_fold": {
            name: [getattr(quality, name) for quality in figures.by_fold] for name in criteria.figures
        },
        "intervals": figures.mean.intervals,
        **criteria.counts(figures.mean),
    }


def _reliability(folds: Sequence[FoldScores]) -> dict[str, Any] | None:
    """Bins of all tasks and folds together, as in the figure."""
    curve = pooled_reliability(folds)
    if curve is None:
        return None
    bins = zip(curve.mean_predicted, curve.observed, curve.count, strict=True)
    return {
        "expected_calibration_error": curve.expected_error,
        "bins": [{"mean_predicted": float(p), "observed": float(o), "n": int(n)} for p, o, n in bins],
    }


# The report for people.


def method_title(name: str) -> str:
    """What tables and figures call a method."""
    return baseline_title(name) or name


def evaluation_markdown(evaluation: Evaluation, title: str, command: str = "") -> str:
    """Tables for people: methods, sign tests, tasks, and what to know about the data."""
    plan = evaluation.plan
    n_folds, kind = len(plan.parts), plan.scheme
    how = f"{n_folds}-fold {kind} cross-validation" if n_folds > 1 else f"{kind} split"
    lines = [
        f"# {title}",
        "",
        f"{how} of `{plan.source}`: {len(plan.data):,} molecules, {len(plan.data.tasks)} "
        f"task{'s' if len(plan.data.tasks) > 1 else ''}. {_averages(evaluation)}In "
        f"brackets: 95 % bootstrap intervals over molecules. {evaluation.criteria.about}",
        "",
        *methods_table(evaluation.figures, evaluation.criteria),
        "",
        *sign_table(evaluation.comparisons, evaluation.criteria, len(plan.data.tasks)),
        *_neutral_note(evaluation),
        *_subset_tables(evaluation),
        "## Tasks",
        "",
        *tasks_table(evaluation.figures, evaluation.criteria),
        *_reliability_table(evaluation),
        *_notes(evaluation),
        made_by(command, plan.recipe.evaluation.seed),
    ]
    return legible_markdown("\n".join(lines).rstrip() + "\n")


def _averages(evaluation: Evaluation) -> str:
    """What the first table's figures are means and medians of."""
    over_folds = "Per task the mean over folds" if len(evaluation.plan.parts) > 1 else ""
    over_tasks = "the median over tasks" if len(evaluation.plan.data.tasks) > 1 else ""
    words = "; here ".join(part for part in (over_folds, over_tasks) if part)
    return f"{words[0].upper()}{words[1:]}. " if words else ""


def methods_table(methods: Mapping[str, MethodFigures], criteria: Criteria) -> list[str]:
    """One line per method, with all figures."""
    timed = any(figures.seconds for figures in methods.values())
    header = ["method", *(figure.title for figure in criteria.figures.values())]
    rows = []
    for of in methods.values():
        cells = [cell(criteria, name, value, of.median_intervals) for name, value in of.medians.items()]
        rows.append([method_title(of.name), *cells, *([_duration(of.seconds)] if timed else [])])
    return markdown_table([*header, *(["processor time"] if timed else [])], rows, "lr")


def sign_table(
    comparisons: Sequence[Comparison], criteria: Criteria, n_tasks: int, what: str = "tasks"
) -> list[str]:
    """One line per method and figure; nothing for one task."""
    # One task can be won or lost, but says nothing about the next.
    if not comparisons or n_tasks < 2:
        return []
    rows = [
        [
            method_title(c.against),
            criteria.figures[c.figure].title,
            str(c.test.wins),
            str(c.test.losses),
            str(c.test.ties),
            f"{c.test.p_value:.3g}",
        ]
        for c in comparisons
    ]
    header = ["molig against", "figure", f"{what} won", "lost", "equal", "p (sign test, two-sided)"]
    return [*markdown_table(header, rows, "lr"), ""]


def _subset_tables(evaluation: Evaluation) -> list[str]:
    """The same of the marked molecules."""
    subset, marked = evaluation.subset, evaluation.plan.subset
    if subset is None or marked is None:
        return []
    rows = np.concatenate([fold.rows for fold in next(iter(evaluation.scores.values()))])
    n = int(np.isin(rows, marked.rows).sum())
    return [
        f"## Where `{marked.column}` is true",
        "",
        f"{n:,} test molecules.",
        "",
        *methods_table(subset.figures, evaluation.criteria),
        "",
        *sign_table(subset.comparisons, evaluation.criteria, len(evaluation.plan.data.tasks)),
    ]


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


def tasks_table(methods: Mapping[str, MethodFigures], criteria: Criteria, what: str = "task") -> list[str]:
    """One line per task, with the molecules measured and two figures of every method."""
    first = next(iter(methods.values()))
    counts = {task: criteria.counts(figures.mean) for task, figures in first.tasks.items()}
    header = [what, *(name.removeprefix("n_") for name in next(iter(counts.values())))]
    header += [
        f"{method_title(m.name)}: {criteria.figures[f].title}"
        for m in methods.values()
        for f in criteria.in_tasks
    ]
    rows = [
        [
            task,
            *map(str, counts[task].values()),
            *(_task_cell(criteria, m.tasks[task], f) for m in methods.values() for f in criteria.in_tasks),
        ]
        for task in first.tasks
    ]
    return [*markdown_table(header, rows, "lr"), ""]


def _reliability_table(evaluation: Evaluation) -> list[str]:
    """What became of the molecules of every tenth of the probabilities."""
    errors, rows = [], []
    for name, folds in evaluation.scores.items():
        curve = pooled_reliability(folds)
        if curve is None:
            continue
        errors.append(f"{method_title(name)} {curve.expected_error:.3f}")
        rows += [
            [method_title(name), f"{predicted:.3f}", f"{observed:.3f}", str(n)]
            for predicted, observed, n in zip(curve.mean_predicted, curve.observed, curve.count, strict=True)
        ]
    if not rows:
        return []
    about = (
        f"All tasks and folds together, in ten bins of the probability. Expected calibration error: "
        f"{', '.join(errors)}."
    )
    header = ["method", "mean probability", "share of actives", "measurements"]
    return ["## Reliability", "", about, "", *markdown_table(header, rows, "lr"), ""]


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


_NO_INTERVALS: Mapping[str, Interval] = MappingProxyType({})


def cell(
    criteria: Criteria, name: str, value: float | None, intervals: Mapping[str, Interval] = _NO_INTERVALS
) -> str:
    """A figure with its interval, if there is one."""
    if value is None:
        return "n/a"
    decimals = criteria.figures[name].decimals
    text = f"{value:.{decimals}f}"
    if name in intervals:
        low, high = intervals[name]
        text += f" [{low:.{decimals}f}, {high:.{decimals}f}]"
    return text


def _task_cell(criteria: Criteria, figures: TaskFigures, name: str) -> str:
    mean = figures.mean
    with_interval = name == criteria.in_tasks[0]
    return cell(criteria, name, getattr(mean, name), mean.intervals if with_interval else {})


def _floored(share: float) -> str:
    """Per cent with two decimals; 100.00 means all."""
    return f"{math.floor(share * 10_000) / 100:.2f}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


# Curves of a method over all tasks and folds.

_POINTS = 401


def mean_roc(folds: Sequence[FoldScores]) -> RocCurve:
    """Mean of the ROC curves of all tasks and folds, at equal shares of the inactives."""
    curves = [c for c in (roc_curve_points(*pair) for pair in _rankings(folds)) if len(c.true_positive_rate)]
    if len(curves) == 1:
        return curves[0]
    if not curves:
        return RocCurve(np.empty(0), np.empty(0))
    # Denser at the left, where screeners look.
    share = np.concatenate([[0], np.geomspace(1e-4, 1, _POINTS)])
    # The step at a share of 0 is kept: the curve rises there before the first inactive.
    heights = [np.interp(share, c.false_positive_rate, c.true_positive_rate) for c in curves]
    height = np.mean(heights, axis=0)
    return RocCurve(np.concatenate([[0.0], share]), np.concatenate([[0.0], height]))


def mean_enrichment(folds: Sequence[FoldScores]) -> EnrichmentCurve:
    """Mean of the enrichment curves of all tasks and folds, at equal shares of the molecules."""
    curves = [c for c in (enrichment_curve(*pair) for pair in _rankings(folds)) if len(c.screened)]
    if len(curves) == 1:
        return curves[0]
    if not curves:
        return EnrichmentCurve(np.empty(0), np.empty(0), 0, 0)
    n_molecules = round(float(np.mean([c.n_molecules for c in curves])))
    share = np.concatenate([[0], np.geomspace(min(1e-3, 1 / n_molecules), 1, _POINTS)])
    actives = np.mean([np.interp(share, c.screened, c.found) for c in curves], axis=0)
    # No one order is the best possible for all, so a mean states no number of actives.
    return EnrichmentCurve(share, actives, n_molecules, 0)


def pooled_reliability(folds: Sequence[FoldScores]) -> Reliability | None:
    """Reliability of the probabilities of all tasks and folds together; None if the method states none."""
    pairs = [
        (fold.labels.ravel(), fold.probabilities.ravel()) for fold in folds if fold.probabilities is not None
    ]
    if not pairs:
        return None
    labels, probabilities = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    known = ~(np.isnan(labels) | np.isnan(probabilities))
    return reliability_curve(labels[known], probabilities[known]) if known.any() else None


def _rankings(folds: Sequence[FoldScores]) -> Iterator[tuple[FloatArray, FloatArray]]:
    for fold in folds:
        for labels, scores in zip(fold.labels.T, fold.scores.T, strict=True):
            known = ~np.isnan(labels)
            if not np.isnan(scores[known]).any():
                yield labels[known], scores[known]
