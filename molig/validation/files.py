"""Results of an evaluation as files: JSON, Markdown, figures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from molig.files import json_text, versions
from molig.ranking import Reliability, draw_enrichment, draw_reliability, draw_roc, save_figure
from molig.screening import write_whole
from molig.validation.curves import mean_enrichment, mean_roc, pooled_reliability
from molig.validation.markdown import evaluation_markdown, method_title
from molig.validation.protocol import Evaluation
from molig.validation.results import MethodFigures
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
    write_whole(results, evaluation_json(evaluation, title, command).encode())
    write_whole(report, evaluation_markdown(evaluation, title, command).encode())
    return [results, report, *_figures(evaluation, output, title)]


def evaluation_json(evaluation: Evaluation, title: str, command: str = "") -> str:
    """All figures as JSON; what is not defined is null.

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
            name: _method(figures, pooled_reliability(evaluation.scores[name]))
            for name, figures in evaluation.figures.items()
        },
        "sign_tests": [
            {"against": c.against, "figure": c.figure, **asdict(c.test)} for c in evaluation.comparisons
        ],
    }
    return json_text(content)


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


def _method(figures: MethodFigures, reliability: Reliability | None) -> dict[str, Any]:
    return {
        "title": method_title(figures.name),
        "medians": figures.medians,
        "median_intervals": figures.median_intervals,
        "share_neutral": figures.neutral,
        "reliability": None if reliability is None else _reliability(reliability),
        "processor_seconds": round(figures.seconds, 1),
        "tasks": {name: asdict(task) for name, task in figures.tasks.items()},
    }


def _reliability(found: Reliability) -> dict[str, Any]:
    """Bins of all tasks and folds together, as in the figure."""
    bins = zip(found.mean_predicted, found.observed, found.count, strict=True)
    return {
        "expected_calibration_error": found.expected_error,
        "bins": [{"mean_predicted": float(p), "observed": float(o), "n": int(n)} for p, o, n in bins],
    }
