"""The zero baseline: neutral or not, and whether it depends on the size of the molecule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.audit.figures import histogram
from molig.audit.findings import (
    MOST_EXAMPLES,
    Evidence,
    Example,
    Finding,
    NotApplicable,
    Outcome,
    Severity,
    marked_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, networks_of, probabilities
from molig.model import BaselineValue
from molig.stats.intervals import spearman

NAME = "baseline"

NEUTRAL_PROBABILITY = 0.02
ALLOWED_SHARE = 0.001
"""Share of the molecules whose baseline may be above the neutral probability."""
ALLOWED_OF_FITTED = 0.5
"""The same of a baseline that was fitted to a network that never saw one."""
SIZE_CORRELATION, SIZE_SPREAD = 0.8, 0.5
"""Rank correlation with size, and standard deviation of the logit (of values: in standard deviations of the
scores), above which a baseline depends on size."""
SIZES, NEAR = (10, 25, 50), 0.2
"""Numbers of atoms at which baselines are stated, from molecules within this share of them."""


@dataclass(frozen=True)
class _Task:
    """The baselines of one task."""

    name: str
    values: FloatArray  # probabilities, or values of a regression
    logits: FloatArray
    target: float | None  # value that is neutral; None where it was not recorded
    not_neutral: float  # share of molecules; NaN where it is not known what is neutral
    size: float  # rank correlation with the number of atoms
    spread: float  # standard deviation of the logit, or of values in units of the spread of the scores
    distance: dict[str, float]  # of values: from the mean score, in standard deviations of the scores
    at_sizes: dict[str, float]  # medians of molecules of about so many atoms; NaN where there are none

    def numbers(self) -> dict[str, float]:
        return {
            **self.at_sizes,
            **self.distance,
            "median": float(np.median(self.values)),
            "min": float(self.values.min()),
            "max": float(self.values.max()),
            "logit_sd": float(self.logits.std()),
            "share_not_neutral": self.not_neutral,
            "rank_correlation_with_size": self.size,
        }

    @property
    def depends_on_size(self) -> bool:
        return bool(abs(self.size) > SIZE_CORRELATION and self.spread > SIZE_SPREAD)


@dataclass(frozen=True)
class _Kind:
    """One of the baselines that are judged."""

    name: str
    compared: bool  # whether explanations compare with it unless told otherwise
    allowed: float  # share of the molecules whose baseline may be above the neutral probability
    tasks: list[_Task]

    @property
    def not_neutral(self) -> list[_Task]:
        return [task for task in self.tasks if task.not_neutral > self.allowed]

    @property
    def sized(self) -> list[_Task]:
        return [task for task in self.tasks if task.depends_on_size and task not in self.not_neutral]


@register(NAME, title="Zero baseline", question="Does a molecule without features score as inactive?")
def check(subject: AuditSubject) -> Outcome:
    """Score every molecule's graph without features, and with those of a fitted baseline."""
    if not networks_of(subject.model):
        raise NotApplicable(
            "the model is compared with a background of molecules, not with one without features"
        )
    fitted = subject.fitted_baseline_logits
    zero = _Kind("zero", fitted is None, ALLOWED_SHARE, _measured(subject, subject.baseline_logits))
    kinds = [zero]
    if fitted is not None:
        kinds.append(_Kind("neutral", True, ALLOWED_OF_FITTED, _measured(subject, fitted)))
    findings = []
    for kind in kinds:
        findings += [_not_neutral(subject, kind)] if kind.not_neutral else []
        findings += [_sized(subject, kind)] if kind.sized else []
    name = "value" if subject.is_regression else "probability"
    figures = [
        histogram(
            {task.name: task.values for task in kind.tasks},
            f"{kind.name.capitalize()} baseline of every molecule",
            f"{name} at the baseline",
        )
        for kind in kinds
    ]
    unknown = [task.name for task in zero.tasks if task.target is None]
    remark = f"No neutral value recorded for {', '.join(unknown)}: not judged." if unknown else ""
    if fitted is not None:
        remark += (
            " Explanations of this model compare with a neutral baseline, fitted for each task, unless told "
            "otherwise; columns that begin with neutral are of it."
        )
    measured = {task.name: task.numbers() for task in zero.tasks}
    for task in kinds[-1].tasks if fitted is not None else ():
        measured[task.name] |= {f"neutral_{name}": value for name, value in task.numbers().items()}
    return Outcome(findings, measured, figures, remark.strip())


def _measured(subject: AuditSubject, logits: FloatArray) -> list[_Task]:
    return [_measure(subject, task, logits[:, subject.column(task)]) for task in subject.tasks]


def _measure(subject: AuditSubject, task: str, logits: FloatArray) -> _Task:
    values = logits if subject.is_regression else probabilities(logits)
    known = subject.info.baseline.get(task) if subject.info else None
    if not subject.is_regression:
        target, not_neutral = 0.0, float((values > NEUTRAL_PROBABILITY).mean())
    elif isinstance(known, BaselineValue):
        target, not_neutral = known.neutral, float((np.abs(values - known.neutral) > known.tolerance).mean())
    else:
        target, not_neutral = None, float("nan")
    sizes = subject.graphs.atom_counts
    varied = np.ptp(sizes) > 0 and np.ptp(logits) > 1e-6  # else rounding alone would be ranked
    size = spearman(sizes, logits) if varied else 0.0
    spread = float(logits.std()) / max(subject.unit(task), 1e-12)
    near = {f"median_at_{n}_atoms": values[np.abs(sizes - n) <= NEAR * n] for n in SIZES}
    at_sizes = {name: float(np.median(held)) if len(held) else float("nan") for name, held in near.items()}
    scores = subject.scores[:, subject.column(task)]
    sds = float(np.median(values) - scores.mean()) / max(subject.unit(task), 1e-12)
    distance = {"standard_deviations_from_mean_score": sds} if subject.is_regression else {}
    return _Task(task, values, logits, target, not_neutral, size, spread, distance, at_sizes)


def _not_neutral(subject: AuditSubject, kind: _Kind) -> Finding:
    tasks = kind.not_neutral
    worst = max(tasks, key=lambda task: (task.not_neutral, float(np.median(task.values))))
    n_sized = sum(task.depends_on_size for task in tasks)
    sized = f" On {n_sized} of these tasks it also depends on the size of the molecule." if n_sized else ""
    what = (
        "is far from the value it was trained to"
        if subject.is_regression
        else f"scores above {NEUTRAL_PROBABILITY}"
    )
    return Finding(
        NAME,
        Severity.ERROR if kind.name == "zero" and kind.compared else Severity.WARNING,
        f"The {kind.name} baseline {what} on {len(tasks)} of {len(subject.tasks)} tasks: worst on "
        f"{worst.name}, for {worst.not_neutral:.1%} of the molecules (median {np.median(worst.values):.3g})."
        f"{sized}",
        Evidence({task.name: task.numbers() for task in tasks}, molecules=_farthest(subject, worst)),
        _advice(subject, kind),
    )


def _advice(subject: AuditSubject, kind: _Kind) -> str:
    if not kind.compared:
        return (
            "The model was not trained to be neutral without features, so explanations compare with a fitted "
            "baseline. Do not ask for the zero one (--baseline zero): attributions would say what "
            "distinguishes a molecule from an empty one that the model takes for active."
        )
    if kind.name != "zero":
        return (
            "No features that are the same for all atoms and bonds make the model say next to nothing about "
            "these tasks. Part of each score lies in the baseline: read it beside the attributions, or "
            "compare with a compound of your own (--baseline compound:SMILES)."
        )
    first = (
        "Train with zero-feature copies of molecules as inactives (section [neutral] of the recipe), or "
        if subject.info
        else ""
    )
    return (
        f"{first}{'explain' if first else 'Explain'} against another baseline; until then attributions say "
        "what distinguishes a molecule from an empty one that the model takes for active."
    )


def _sized(subject: AuditSubject, kind: _Kind) -> Finding:
    tasks = kind.sized
    worst = max(tasks, key=lambda task: abs(task.size))
    advice = (
        "Raise the number or weight of the zero copies in training."
        if subject.info
        else "Do not ask for this baseline."
        if not kind.compared
        else "Compare with a compound of about the molecule's size (--baseline compound:SMILES)."
    )
    return Finding(
        NAME,
        Severity.WARNING,
        f"The {kind.name} baseline depends on the size of the molecule on {len(tasks)} tasks: on "
        f"{worst.name} its rank correlation with the number of atoms is {worst.size:+.2f} (standard "
        f"deviation of the {'value' if subject.is_regression else 'logit'} {worst.logits.std():.2f}).",
        Evidence({task.name: task.numbers() for task in tasks}, molecules=_extreme(subject, worst)),
        f"The graph stays when features are replaced, so part of every score is explained by nothing but "
        f"size. {advice}",
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
            f"{task.name}: {task.values[i]:.3g} at the baseline; {subject.graphs.atom_counts[i]} atoms",
        )
        for i in places[:MOST_EXAMPLES].tolist()
    ]
