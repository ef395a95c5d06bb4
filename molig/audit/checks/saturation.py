"""Saturation: actives whose score no longer changes with their features, so that gradients say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from molig.attribution import Explainer, MoleculeCurves, molecule_curves
from molig.audit.figures import ORANGE, draw
from molig.audit.findings import (
    MOST_EXAMPLES,
    Evidence,
    Example,
    Figure,
    Finding,
    NotApplicable,
    Outcome,
    Severity,
    explained_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, Index, networks_of, probabilities

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "saturation"

EXPLAINED = 0.1
"""Share of the score's change below which a gradient is called saturated."""
SMALLEST_CHANGE = 0.01
"""Smallest change of the score from the baseline that shares are taken of, the floor of `Explainer`."""
KNOWN_SHARE = 0.1
"""Share of saturated actives from which on it is worth knowing; most trained models have more."""
BOUND = float(24 * np.log(2))
"""Logit beyond which a probability is 0 or 1 to single precision, 17: its gradient is lost, too."""
ALLOWED_AT_BOUND = 0.5
"""Share of actives that may be there. In the bundled models none is; of small models that were trained on
simple patterns, and put nearly all actives above 0.99, less than a tenth."""
FEWEST, MOST = 10, 100
"""Actives of a task: of fewer nothing is concluded, of more a sample is measured."""
MOST_CURVES = 25

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Task:
    """Actives of one task that were measured, and those whose score changes."""

    name: str
    molecules: Index
    share: FloatArray  # of the change of the score that the gradient explains; only where it changes
    logit_share: FloatArray
    logits: FloatArray  # of all molecules measured
    changing: Index  # molecules that have a share

    def numbers(self) -> dict[str, float]:
        return {
            "actives": len(self.molecules),
            "with_changing_score": len(self.share),
            "under_10_percent": _mean(self.share < EXPLAINED),
            "within_10_percent": _mean(np.abs(self.share) < EXPLAINED),
            "at_bound": self.at_bound,
            "logit_within_10_percent": _mean(np.abs(self.logit_share) < EXPLAINED),
            "median_share": float(np.median(self.share)) if len(self.share) else float("nan"),
            "median_score": float(np.median(probabilities(self.logits))),
        }

    @property
    def at_bound(self) -> float:
        return _mean(np.abs(self.logits) > BOUND)

    @property
    def is_flat(self) -> bool:
        return len(self.logits) >= FEWEST and self.at_bound >= ALLOWED_AT_BOUND


@register(
    NAME,
    title="Saturation",
    question="Does the score of actives still change with their features, or has it levelled off?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare gradients at the actives with the change of their score."""
    if subject.is_regression:
        raise NotApplicable("a regression has no actives, and its values no bound to level off at")
    if not networks_of(subject.model):
        raise NotApplicable("the model has no gradient that could level off")
    rng = subject.rng(NAME)
    labelled = subject.labels is not None and bool((subject.labels == 1).any())
    tasks = []
    for task in subject.tasks:
        actives = np.flatnonzero(_actives(subject, task, labelled))
        if len(actives):
            tasks.append(_measure(subject, task, np.sort(rng.permutation(actives)[:MOST])))
    if not tasks:
        raise NotApplicable("no molecule is active" + ("" if labelled else ", or predicted above 0.5"))
    findings = []
    flat = [task for task in tasks if task.is_flat]
    if flat:
        findings.append(_flat(subject, flat, len(tasks)))
    pooled = _pooled(tasks)
    known = pooled["with_changing_score"] >= FEWEST and pooled["under_10_percent"] >= KNOWN_SHARE
    if known and len(flat) < len(tasks):
        findings.append(_saturated(subject, tasks, pooled))
    chosen = max(tasks, key=lambda task: len(task.share))
    remark = (
        f"Actives {'by label' if labelled else 'by a score above 0.5'}, at most {MOST} per task; curves of "
        f"{chosen.name}."
    )
    if subject.has_forest:
        remark += (
            " The committee's forest moves in steps and has no gradient: its part of the score counts as "
            "levelled off."
        )
    measured = {"all": pooled, **{task.name: task.numbers() for task in tasks}}
    return Outcome(findings, measured, [_curves(subject, chosen)], remark)


def _actives(subject: AuditSubject, task: str, labelled: bool) -> Flags:
    column = subject.column(task)
    if labelled and subject.labels is not None:
        return np.asarray(subject.labels[:, column] == 1)
    return np.asarray(subject.scores[:, column] > 0.5)


def _measure(subject: AuditSubject, task: str, molecules: Index) -> _Task:
    column = subject.column(task)
    graphs = subject.graphs.select(molecules)
    everything = np.arange(len(molecules))
    at_end = subject.model.relax(graphs).densities(
        everything, np.ones(len(molecules)), np.full(len(molecules), column)
    )
    gradient = np.array([a.sum() + p.sum() for a, p in zip(at_end.atoms, at_end.pairs, strict=True)])
    if at_end.environments:
        gradient += [rows.sum() for rows in at_end.environments]
    share, logit_share = gradient_shares(gradient, at_end.values, subject.baseline_logits[molecules, column])
    usable = np.isfinite(share)
    return _Task(
        task,
        molecules,
        share[usable],
        logit_share[usable & np.isfinite(logit_share)],
        at_end.values,
        molecules[usable],
    )


def gradient_shares(
    gradient: FloatArray, logits: FloatArray, baselines: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Shares of the change of probability and of logit that gradient x input at the molecule explains."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        change = probabilities(logits) - probabilities(baselines)
        odds = np.exp(-np.abs(logits))  # p (1 - p) without loss of digits where p is close to 1
        share = gradient * odds / (1 + odds) ** 2 / change
        logit_share = gradient / (logits - baselines)
    usable = np.isfinite(share + logit_share) & (np.abs(change) >= SMALLEST_CHANGE)
    return np.where(usable, share, np.nan), np.where(usable, logit_share, np.nan)


def _flat(subject: AuditSubject, flat: Sequence[_Task], n_tasks: int) -> Finding:
    worst = max(flat, key=lambda task: task.at_bound)
    order = np.argsort(-np.abs(worst.logits), kind="stable")
    notes = {int(worst.molecules[i]): f"logit {worst.logits[i]:+.1f}" for i in order}
    return Finding(
        NAME,
        Severity.WARNING,
        f"Most actives score 0 or 1 to the last digit on {len(flat)} of {n_tasks} tasks "
        f"({worst.at_bound:.0%} of those of {worst.name}): no feature seems to matter any more, and they "
        "cannot be ranked.",
        Evidence({task.name: task.numbers() for task in flat}, molecules=_examples(subject, worst, notes)),
        "Gradients, occlusion and single substitutions show nothing for such molecules. Train with weight "
        "decay or fewer epochs, or calibrate the model; explain the logit instead of the probability.",
    )


def _saturated(subject: AuditSubject, tasks: Sequence[_Task], pooled: dict[str, float]) -> Finding:
    worst = max(tasks, key=lambda task: int((task.share < EXPLAINED).sum()))
    notes = {
        int(worst.changing[i]): f"the gradient explains {worst.share[i]:.1%} of the score"
        for i in np.argsort(np.abs(worst.share), kind="stable")
        if worst.share[i] < EXPLAINED
    }
    return Finding(
        NAME,
        Severity.INFO,
        f"For {pooled['under_10_percent']:.0%} of the actives the plain gradient explains under "
        f"{EXPLAINED:.0%} of the score (for {pooled['within_10_percent']:.0%} it is nearly zero, for the "
        "others it points the other way).",
        Evidence(
            {task.name: task.numbers()["under_10_percent"] for task in tasks if len(task.share)},
            molecules=_examples(subject, worst, notes),
        ),
        "Nothing to repair: the score levels off, as most networks' do"
        f"{', and a forest has no gradient' if subject.has_forest else ''}. Use integrated gradients, not "
        "plain gradients, for this model.",
    )


def _examples(subject: AuditSubject, task: _Task, notes: dict[int, str]) -> list[Example]:
    """The first of these molecules that are explained anyway; explanations hold where gradients do not."""
    where = {int(molecule): place for place, molecule in enumerate(subject.sample)}
    shown = [molecule for molecule in notes if molecule in where][:MOST_EXAMPLES]
    column = subject.column(task.name)
    return [
        explained_example(
            subject.explanations[where[molecule]][task.name],
            f"{task.name}: score {subject.scores[molecule, column]:.3f}, {notes[molecule]}",
        )
        for molecule in shown
    ]


def _pooled(tasks: Sequence[_Task]) -> dict[str, float]:
    share = np.concatenate([task.share for task in tasks])
    return {
        "with_changing_score": len(share),
        "under_10_percent": _mean(share < EXPLAINED),
        "within_10_percent": _mean(np.abs(share) < EXPLAINED),
        "at_bound": _mean(np.abs(np.concatenate([task.logits for task in tasks])) > BOUND),
    }


def _curves(subject: AuditSubject, task: _Task) -> Figure:
    molecules = [subject.molecules[i] for i in task.molecules[:MOST_CURVES]]
    measured = molecule_curves(Explainer(subject.model, task=task.name), molecules, at=np.linspace(0, 1, 26))
    curves = [one for one in measured if isinstance(one, MoleculeCurves)]

    def fill(axes: Axes) -> None:
        for one in curves:
            axes.plot(one.at, one.scores, color=ORANGE, alpha=0.45, linewidth=0.9)
        axes.set_xlabel("share of the features, from the baseline (0) to the molecule (1)")
        axes.set_ylabel("probability")
        axes.set_ylim(-0.02, 1.02)

    return draw(f"{task.name}: score of {len(curves)} actives on their way", fill)


def _mean(flags: npt.NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0
