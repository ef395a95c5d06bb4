"""The zero baseline: neutral or not, and whether it depends on the size of the molecule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from molig.audit.figures import histogram
from molig.audit.findings import Evidence, Finding, Outcome, Severity
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, probabilities
from molig.model import BaselineValue

NAME = "baseline"

NEUTRAL_PROBABILITY = 0.02
ALLOWED_SHARE = 0.001
"""Share of the molecules whose baseline may be above the neutral probability."""
SIZE_CORRELATION, SIZE_SPREAD = 0.8, 0.5
"""Rank correlation with size, and standard deviation of the logit, above which a baseline depends on size."""
_ADVICE = (
    "Train with zero-feature copies of molecules as inactives (section [neutral] of the recipe), or explain "
    "against another baseline; until then attributions say what distinguishes a molecule from an empty one "
    "that the model takes for active."
)


@dataclass(frozen=True)
class _Task:
    """The baselines of one task."""

    name: str
    values: FloatArray  # probabilities, or values of a regression
    logits: FloatArray
    not_neutral: float  # share of molecules
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
    """Score every molecule's graph without features; see `Outcome`."""
    tasks = [_measure(subject, task) for task in subject.tasks]
    bad = [task for task in tasks if task.not_neutral > ALLOWED_SHARE]
    findings = [_not_neutral(subject, bad)] if bad else []
    sized = [task for task in tasks if task.depends_on_size and task not in bad]
    if sized:
        findings.append(_sized(sized))
    name = "value" if subject.is_regression else "probability"
    figure = histogram(
        {task.name: task.values for task in tasks},
        "Zero baseline of every molecule",
        f"{name} at the baseline",
    )
    return Outcome(findings, {task.name: task.numbers() for task in tasks}, [figure])


def _measure(subject: AuditSubject, task: str) -> _Task:
    logits = subject.baseline_logits[:, subject.column(task)]
    if subject.is_regression:
        known = subject.model.info.baseline.get(task)
        target = known.neutral if isinstance(known, BaselineValue) else 0.0
        allowed = known.tolerance if isinstance(known, BaselineValue) else float("inf")
        values, outside = logits, np.abs(logits - target) > allowed
    else:
        values = probabilities(logits)
        outside = values > NEUTRAL_PROBABILITY
    sizes = subject.graphs.atom_counts
    varied = np.ptp(sizes) > 0 and np.ptp(logits) > 1e-6
    size = float(spearmanr(sizes, logits).statistic) if varied else 0.0
    return _Task(task, values, logits, float(outside.mean()), size)


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
        Evidence({task.name: task.numbers() for task in tasks}),
        _ADVICE,
    )


def _sized(tasks: list[_Task]) -> Finding:
    worst = max(tasks, key=lambda task: abs(task.size))
    return Finding(
        NAME,
        Severity.WARNING,
        f"The zero baseline depends on the size of the molecule on {len(tasks)} tasks: on {worst.name} its "
        f"rank correlation with the number of atoms is {worst.size:+.2f} (standard deviation of the logit "
        f"{worst.logits.std():.2f}).",
        Evidence({task.name: task.numbers() for task in tasks}),
        "The graph stays when features are set to zero, so part of every score is explained by nothing but "
        "size. Raise the number or weight of the zero copies in training.",
    )
