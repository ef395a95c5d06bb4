"""The zero baseline: neutral or not, and whether it depends on the size of the molecule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.audit.figures import histogram
from molig.audit.findings import MOST_EXAMPLES, Evidence, Example, Finding, Outcome, Severity, marked_example
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, probabilities
from molig.model import BaselineValue, ScreeningModel
from molig.stats.intervals import spearman

NAME = "baseline"

NEUTRAL_PROBABILITY = 0.02
ALLOWED_SHARE = 0.001
"""Share of the molecules whose baseline may be above the neutral probability."""
SIZE_CORRELATION, SIZE_SPREAD = 0.8, 0.5
"""Rank correlation with size, and standard deviation of the logit, above which a baseline depends on size."""


@dataclass(frozen=True)
class _Task:
    """The baselines of one task."""

    name: str
    values: FloatArray  # probabilities, or values of a regression
    logits: FloatArray
    target: float | None  # value that is neutral; None where it was not recorded
    not_neutral: float  # share of molecules; NaN where it is not known what is neutral
    size: float  # rank correlation with the number of atoms

    def numbers(self) -> dict[str, float]:
        return {
            "median": float(np.median(self.values)),
            "min": float(self.values.min()),
            "max": float(self.values.max()),
            "logit_sd": float(self.logits.std()),
            "share_not_neutral": self.not_neutral,
            "rank_correlation_with_size": self.size,
        }

    @property
    def depends_on_size(self) -> bool:
        return bool(abs(self.size) > SIZE_CORRELATION and self.logits.std() > SIZE_SPREAD)


@register(NAME, title="Zero baseline", question="Does a molecule without features score as inactive?")
def check(subject: AuditSubject) -> Outcome:
    """Score every molecule's graph without features."""
    tasks = [_measure(subject, task) for task in subject.tasks]
    bad = [task for task in tasks if task.not_neutral > ALLOWED_SHARE]
    findings = [_not_neutral(subject, bad)] if bad else []
    sized = [task for task in tasks if task.depends_on_size and task not in bad]
    if sized:
        findings.append(_sized(subject, sized))
    name = "value" if subject.is_regression else "probability"
    figure = histogram(
        {task.name: task.values for task in tasks},
        "Zero baseline of every molecule",
        f"{name} at the baseline",
    )
    unknown = [task.name for task in tasks if task.target is None]
    remark = f"No neutral value recorded for {', '.join(unknown)}: not judged." if unknown else ""
    return Outcome(findings, {task.name: task.numbers() for task in tasks}, [figure], remark)


def _measure(subject: AuditSubject, task: str) -> _Task:
    logits = subject.baseline_logits[:, subject.column(task)]
    values = logits if subject.is_regression else probabilities(logits)
    model = subject.model
    known = model.info.baseline.get(task) if isinstance(model, ScreeningModel) else None
    if not subject.is_regression:
        target, not_neutral = 0.0, float((values > NEUTRAL_PROBABILITY).mean())
    elif isinstance(known, BaselineValue):
        target, not_neutral = known.neutral, float((np.abs(values - known.neutral) > known.tolerance).mean())
    else:
        target, not_neutral = None, float("nan")
    sizes = subject.graphs.atom_counts
    varied = np.ptp(sizes) > 0 and np.ptp(logits) > 1e-6  # else rounding alone would be ranked
    size = spearman(sizes, logits) if varied else 0.0
    return _Task(task, values, logits, target, not_neutral, size)


def _not_neutral(subject: AuditSubject, tasks: list[_Task]) -> Finding:
    worst = max(tasks, key=lambda task: task.not_neutral)
    what = (
        "is far from the value it was trained to"
        if subject.is_regression
        else f"scores above {NEUTRAL_PROBABILITY}"
    )
    return Finding(
        NAME,
        Severity.ERROR,
        f"The zero baseline {what} on {len(tasks)} of {len(subject.tasks)} tasks: worst on {worst.name}, for "
        f"{worst.not_neutral:.1%} of the molecules (median {np.median(worst.values):.3g}).",
        Evidence({task.name: task.numbers() for task in tasks}, molecules=_farthest(subject, worst)),
        "Train with zero-feature copies of molecules as inactives (section [neutral] of the recipe), or "
        "explain against another baseline; until then attributions say what distinguishes a molecule from "
        "an empty one that the model takes for active.",
    )


def _sized(subject: AuditSubject, tasks: list[_Task]) -> Finding:
    worst = max(tasks, key=lambda task: abs(task.size))
    return Finding(
        NAME,
        Severity.WARNING,
        f"The zero baseline depends on the size of the molecule on {len(tasks)} tasks: on {worst.name} its "
        f"rank correlation with the number of atoms is {worst.size:+.2f} (standard deviation of the logit "
        f"{worst.logits.std():.2f}).",
        Evidence({task.name: task.numbers() for task in tasks}, molecules=_extreme(subject, worst)),
        "The graph stays when features are set to zero, so part of every score is explained by nothing but "
        "size. Raise the number or weight of the zero copies in training.",
    )


def _farthest(subject: AuditSubject, task: _Task) -> list[Example]:
    """Molecules whose baselines are farthest from neutral."""
    return _examples(subject, task, np.argsort(-np.abs(task.values - (task.target or 0.0)), kind="stable"))


def _extreme(subject: AuditSubject, task: _Task) -> list[Example]:
    """Molecules with the highest baselines, and with the lowest."""
    order = np.argsort(-task.logits, kind="stable")
    half = min(MOST_EXAMPLES, len(order)) // 2
    return _examples(subject, task, np.concatenate([order[:half], order[len(order) - half :]]))


def _examples(subject: AuditSubject, task: _Task, places: npt.NDArray[np.int64]) -> list[Example]:
    return [
        marked_example(
            subject.molecules[i],
            (),
            f"{task.name}: {task.values[i]:.3g} without features; {subject.graphs.atom_counts[i]} atoms",
        )
        for i in places[:MOST_EXAMPLES].tolist()
    ]
