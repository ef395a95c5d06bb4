"""Numerical integration: do the attributions add up to the score, and are they finite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from molig.attribution import Explanation
from molig.audit.figures import histogram
from molig.audit.findings import (
    MOST_EXAMPLES,
    Evidence,
    Example,
    Figure,
    Finding,
    Outcome,
    Severity,
    scored_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, probabilities
from molig.features import PackedGraphs
from molig.model.relaxed import Member
from molig.stats.intervals import surely_above

NAME = "integration"

FLOOR = 0.01
"""Smallest change of the score that residuals are measured by, the default of `Explainer`."""
ALLOWED_SHARE = 0.001
"""Share of explanations that may fail to converge before explanations of the model are called misleading."""
RECOMPUTED, EXACT_TOLERANCE = 10, 0.001
"""Explanations that are recomputed in double precision, and their tolerance."""
ALLOWED_DIFFERENCE, USUAL_DIFFERENCE = 0.1, 0.25
"""Difference to the exact attributions, of the largest one, that is worth knowing (twice what the tolerance
promises), and that half of the recomputed explanations may have at most."""
ALLOWED_ROUNDING, MISLEADING_ROUNDING = 0.01, 0.1
"""Difference of a probability, or of a value in its standard deviations, between single and double precision
that may mislead, and that does. In the bundled models it is below 0.0001."""

MIDPOINTS, ALLOWED_OF_MIDPOINTS = 400, 0.02
"""Points of a path that the closed form of a committee's members is compared with, and the
difference, of the largest attribution, that the midpoints themselves may be wrong by."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Integrals:
    """All explanations of the sample, flat, and how their integrals went."""

    explanations: Sequence[Explanation]
    finite: Flags
    residual: FloatArray  # of the change of the score; NaN where not finite
    failed: Flags  # finite, not converged
    evaluations: FloatArray

    @classmethod
    def of(cls, explanations: Sequence[Explanation]) -> _Integrals:
        finite = np.array([_is_finite(why) for why in explanations], dtype=bool)
        residual = np.array(
            [relative_residual(why) if ok else np.nan for why, ok in zip(explanations, finite, strict=True)]
        )
        failed = finite & ~np.array([why.converged for why in explanations], dtype=bool)
        evaluations = np.array([why.n_evaluations for why in explanations], dtype=np.float64)
        return cls(explanations, finite, residual, failed, evaluations)

    def numbers(self) -> dict[str, float]:
        known = self.residual[self.finite]
        median, high, most = np.percentile(known, [50, 99, 100]) if len(known) else (np.nan,) * 3
        return {
            "explanations": len(self.explanations),
            "not_finite": int((~self.finite).sum()),
            "not_converged": int(self.failed.sum()),
            "residual_median": float(median),
            "residual_99_percent": float(high),
            "residual_max": float(most),
            "evaluations_median": float(np.median(self.evaluations)),
            "evaluations_max": float(self.evaluations.max()),
        }


@register(
    NAME,
    title="Numerical integration",
    question="Do the attributions add up to the score, at the default tolerance?",
)
def check(subject: AuditSubject) -> Outcome:
    """Look at the residuals of all explanations, and recompute some exactly."""
    integrals = _Integrals.of([why for by_task in subject.explanations for why in by_task.values()])
    findings = []
    if not integrals.finite.all():
        findings.append(_not_finite(integrals))
    if integrals.failed.any():
        findings.append(_not_converged(integrals))
    rounding = _rounding(subject)
    if rounding > ALLOWED_ROUNDING:
        findings.append(_rounded(rounding))
    # Where scores themselves are rounded away, exact attributions say nothing more, and take long.
    differences = [] if rounding > ALLOWED_ROUNDING else _recompute(subject, integrals)
    if differences and max(differences) > ALLOWED_DIFFERENCE:
        findings.append(_inexact(differences))
    exact = {
        "rounding_of_scores": rounding,
        "recomputed": len(differences),
        "largest_difference_to_exact": max(differences, default=float("nan")),
    }
    closed = _closed_form_differences(subject) if subject.is_committee else {}
    if closed and max(closed.values()) > ALLOWED_OF_MIDPOINTS:
        findings.append(_wrong_closed_form(closed))
    if closed:
        exact["largest_difference_of_closed_form_to_midpoints"] = max(closed.values())
    remark = (
        f"{len(integrals.explanations)} explanations of {len(subject.sample)} molecules; "
        f"{len(differences)} of them also in double precision at a tenth of the tolerance."
    )
    if closed:
        remark += (
            " The shares of substructures in the scores of environment networks and kernel machines have a "
            f"closed form, compared on {len(closed)} paths with {MIDPOINTS} midpoints."
        )
    if subject.has_forest:
        remark += " The forest's shares are Shapley values, not integrals; residuals show that they add up."
    return Outcome(findings, integrals.numbers() | exact, [_figure(integrals)], remark)


def relative_residual(why: Explanation) -> float:
    """Completeness residual as a share of the change of the score."""
    return abs(why.residual) / max(abs(why.score - why.baseline_score), FLOOR)


def _is_finite(why: Explanation) -> bool:
    scalars = np.isfinite([why.score, why.baseline_score, why.residual]).all()
    return bool(scalars and all(np.isfinite(part).all() for part in _attributions(why)))


def _attributions(why: Explanation) -> tuple[FloatArray, ...]:
    return why.atom_attributions, why.pair_attributions, why.environment_attributions


def _rounding(subject: AuditSubject) -> float:
    """Largest difference between scores, or baselines, in single and in double precision."""
    graphs = subject.graphs.select(subject.sample)
    columns = [subject.column(task) for task in subject.tasks]
    double = subject.model.double()
    largest = 0.0
    for scale, single in ((1.0, subject.logits), (0.0, subject.baseline_logits)):
        own = single[subject.sample][:, columns]
        exact = double.logits(graphs, np.full(len(graphs), scale))[:, columns]
        if subject.is_regression:
            spread = np.maximum([subject.unit(task) for task in subject.tasks], FLOOR)
            differences = np.abs(own - exact) / spread
        else:
            differences = np.abs(probabilities(own) - probabilities(exact))
        largest = max(largest, float(np.max(differences, initial=0.0, where=np.isfinite(differences))))
    return largest


def _recompute(subject: AuditSubject, integrals: _Integrals) -> list[float]:
    """Largest differences to exact attributions, as shares of the largest, of those that change most."""
    by_task = {task: place for place, task in enumerate(subject.tasks)}
    n_tasks = len(by_task)
    usable = np.flatnonzero(integrals.finite & ~integrals.failed)
    changes = np.array(
        [
            abs(integrals.explanations[i].score - integrals.explanations[i].baseline_score)
            for i in usable.tolist()
        ]
    )
    chosen: dict[int, int] = {}
    for place in usable[np.argsort(-changes, kind="stable")].tolist():
        chosen.setdefault(place // n_tasks, place)  # one explanation per molecule
    places = list(chosen.values())[: 4 * RECOMPUTED]
    places = sorted(subject.rng(NAME).permutation(places).tolist()[:RECOMPUTED])
    differences = []
    for place in places:
        why = integrals.explanations[place]
        one = replace(subject, settings=replace(subject.settings, tasks=(why.task,)), progress=None)
        exact = one.explain([int(subject.sample[place // n_tasks])], tol=EXACT_TOLERANCE)[0][why.task]
        if _is_finite(exact):
            differences.append(_difference(why, exact))
    return differences


def _closed_form_differences(subject: AuditSubject) -> dict[tuple[int, int], float]:
    """Largest difference of members' shares to midpoints, by molecule and task; forests have no integrals."""
    members = [member for member in subject.members if member.kind != "forest"]
    chosen = np.sort(subject.rng(NAME).permutation(subject.sample)[:RECOMPUTED])
    columns = [subject.column(task) for task in subject.tasks]
    tasks = np.resize(np.array(columns, dtype=np.int64), len(chosen))
    probability = not subject.is_regression
    found: dict[tuple[int, int], float] = {}
    for member in members:
        graphs = subject.graphs.select(chosen)
        own = member.shares(graphs, np.arange(len(chosen)), tasks, probability=probability).shares
        for place, (molecule, task) in enumerate(zip(chosen.tolist(), tasks.tolist(), strict=True)):
            summed = _by_midpoints(member, graphs.select([place]), task, probability=probability)
            largest = max(float(np.abs(summed).max(initial=0.0)), FLOOR * _unit(subject, task))
            difference = float(np.abs(own[place] - summed).max(initial=0.0)) / largest
            found[molecule, task] = max(found.get((molecule, task), 0.0), difference)
    return found


def _unit(subject: AuditSubject, column: int) -> float:
    return max(subject.unit(subject.model.tasks[column]), FLOOR)


def _by_midpoints(member: Member, graph: PackedGraphs, task: int, *, probability: bool) -> FloatArray:
    """Integrated gradients of one molecule's rows by many midpoints."""
    scales = (np.arange(MIDPOINTS) + 0.5) / MIDPOINTS
    copies, tasks = graph.select(np.zeros(MIDPOINTS, dtype=np.int64)), np.full(MIDPOINTS, task)
    rates = np.array(member.rates(copies, scales, tasks))
    if probability:
        score = probabilities(member.along_path(copies, scales)[:, task])
        rates = rates * (score * (1 - score))[:, None]
    return np.asarray(rates.mean(axis=0))


def _wrong_closed_form(differences: dict[tuple[int, int], float]) -> Finding:
    return Finding(
        NAME,
        Severity.ERROR,
        "The shares of substructures in a member's score are not its integrated gradients: "
        f"they differ from sums over the path by up to {max(differences.values()):.0%} of the largest one.",
        Evidence({"differences": sorted(differences.values(), reverse=True)}),
        "Do not read the scores of substructures. Load the model again; if that does not help, report it.",
    )


def _difference(why: Explanation, exact: Explanation) -> float:
    pairs = list(zip(_attributions(why), _attributions(exact), strict=True))
    largest = max(np.abs(reference).max(initial=0.0) for _, reference in pairs)
    difference = max(np.abs(own - reference).max(initial=0.0) for own, reference in pairs)
    return float(difference / max(largest, FLOOR))


def _not_finite(integrals: _Integrals) -> Finding:
    bad = [why for why, ok in zip(integrals.explanations, integrals.finite, strict=True) if not ok]
    return Finding(
        NAME,
        Severity.ERROR,
        f"{len(bad)} of {len(integrals.explanations)} explanations are not numbers: score, baseline or "
        "attributions are infinite or NaN.",
        Evidence({"by_task": _count(bad), **integrals.numbers()}, molecules=_examples(bad, "not finite")),
        "The weights are damaged, or too large for single precision. Load or train the model again; use "
        "neither its scores nor its explanations.",
    )


def _not_converged(integrals: _Integrals) -> Finding:
    bad = [why for why, failed in zip(integrals.explanations, integrals.failed, strict=True) if failed]
    n = len(integrals.explanations)
    often = surely_above(len(bad), n, ALLOWED_SHARE)
    worst = max(bad, key=relative_residual)
    return Finding(
        NAME,
        Severity.ERROR if often else Severity.WARNING,
        f"The attributions of {len(bad)} of {n} explanations are not exact to the tolerance, after up to "
        f"{max(why.n_evaluations for why in bad)} evaluations (largest residual "
        f"{relative_residual(worst):.1%} of the score's change, {worst.id or worst.smiles}, {worst.task}).",
        Evidence(
            {"by_task": _count(bad), **integrals.numbers()},
            molecules=_examples(sorted(bad, key=relative_residual, reverse=True), "residual {:.1%}"),
        ),
        "Do not read single attributions of these molecules. Explain them in double precision and with more "
        "evaluations; if that fails too, the score jumps on the way from the baseline: look for huge "
        "weights, and train with weight decay.",
    )


def _rounded(rounding: float) -> Finding:
    return Finding(
        NAME,
        Severity.ERROR if rounding > MISLEADING_ROUNDING else Severity.WARNING,
        f"Scores depend on rounding: in double precision they differ by up to {rounding:.3g}.",
        Evidence({"largest_difference": rounding}),
        "Numbers inside the network are so large that single precision loses what makes the difference. Look "
        "for huge weights that cancel each other, train with weight decay, or compute in double precision.",
    )


def _inexact(differences: Sequence[float]) -> Finding:
    n_bad = sum(difference > ALLOWED_DIFFERENCE for difference in differences)
    usual = float(np.median(differences)) > USUAL_DIFFERENCE
    return Finding(
        NAME,
        Severity.WARNING if usual else Severity.INFO,
        f"{n_bad} of {len(differences)} explanations that were recomputed in double precision differ by up "
        f"to {max(differences):.0%} of the largest attribution, though the integrals seemed to have "
        "converged.",
        Evidence({"differences": sorted(differences, reverse=True)}),
        "The score rises steeply somewhere on the way from the baseline, and the first points of the "
        "integral miss it. Before reading single attributions, explain with a smaller tolerance (tol = "
        "0.001).",
    )


def _count(bad: Sequence[Explanation]) -> dict[str, int]:
    tasks = [why.task for why in bad]
    return {task: tasks.count(task) for task in dict.fromkeys(tasks)}


def _examples(bad: Sequence[Explanation], note: str) -> list[Example]:
    shown = list({why.smiles: why for why in reversed(bad)}.values())[::-1][:MOST_EXAMPLES]
    return [
        scored_example(
            why,
            np.zeros(why.mol.GetNumAtoms()),
            f"{why.task}: {note.format(relative_residual(why))}, {why.n_evaluations} evaluations",
        )
        for why in shown
    ]


def _figure(integrals: _Integrals) -> Figure:
    known = np.log10(np.maximum(integrals.residual[integrals.finite], 1e-9))
    return histogram(
        {"explanations": known},
        "Completeness residuals",
        "log10 of residual / change of score",
        counted="explanations",
    )
