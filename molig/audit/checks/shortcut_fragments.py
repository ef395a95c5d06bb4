"""Shortcut fragments: high attribution without activity wherever they occur, and the reverse."""

from __future__ import annotations

from typing import Any

import numpy as np

from molig.audit.enrichment import adjusted
from molig.audit.figures import draw
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
from molig.audit.fragment_study import (
    FALSE_DISCOVERY,
    FEWEST,
    BoolArray,
    FragmentOnTask,
    TaskLabels,
    study_fragment,
)
from molig.audit.fragments import find_fragments
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray

NAME = "shortcut-fragments"

_SAME = 0.6
"""Overlap of the molecules of two fragments (Jaccard) from which only the stronger one is listed."""
_MOST_LISTED = 12
_MOST_VECTOR = 300  # points of a group that are drawn one by one; of more, a picture of them takes less room


@register(
    NAME,
    title="Shortcut fragments",
    question="Do the fragments that attract attribution separate actives from inactives, and the reverse?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare the attribution of fragments with their enrichment among actives; see `Outcome`."""
    subject.require_labels()
    fragments = find_fragments([molecule.mol for molecule in subject.molecules], FEWEST)
    where = {int(molecule): place for place, molecule in enumerate(subject.sample)}
    pairs = [
        pair
        for task in subject.tasks
        if (labels := TaskLabels.of(subject, task)) is not None
        for fragment in fragments
        if (pair := study_fragment(subject, labels, fragment, where)) is not None
    ]
    if not pairs:
        raise NotApplicable(
            f"no fragment occurs in {FEWEST} molecules with labels of both classes, and {FEWEST} explained"
        )
    label_q, excess_q = adjusted([p.label_p for p in pairs]), adjusted([p.excess_p for p in pairs])
    shortcuts = [pair for pair, q in zip(pairs, excess_q, strict=True) if pair.is_shortcut(q)]
    overlooked = [pair for pair, q in zip(pairs, label_q, strict=True) if pair.is_overlooked(q)]
    findings = []
    if shortcuts:
        findings.append(_shortcut(subject, shortcuts))
    if overlooked:
        findings.append(_overlooked(subject, overlooked))
    return Outcome(
        findings,
        _measured(pairs, shortcuts, overlooked, label_q),
        [_figure(pairs, shortcuts, overlooked)],
        f"{len({pair.fragment.name for pair in pairs})} fragments in at least {FEWEST} molecules; "
        f"attributions of {len(subject.sample)} molecules, enrichment among all {len(subject.molecules)}; "
        f"false discovery rate {FALSE_DISCOVERY:.0%} over {len(pairs)} pairs of fragment and task.",
    )


def _distinct(pairs: list[FragmentOnTask]) -> list[FragmentOnTask]:
    """The strongest pairs, without fragments of nearly the same molecules, such as nitro and nitrobenzene."""
    kept: list[FragmentOnTask] = []
    for pair in pairs:
        same = [other for other in kept if other.task == pair.task]
        if all(_overlap(pair.presence, other.presence) < _SAME for other in same):
            kept.append(pair)
    return kept


def _overlap(first: BoolArray, second: BoolArray) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def _shortcut(subject: AuditSubject, pairs: list[FragmentOnTask]) -> Finding:
    listed = _distinct(sorted(pairs, key=lambda pair: -(pair.score.low / pair.label.high)))
    worst = listed[0]
    tasks = sorted({pair.task for pair in pairs}, key=subject.model.tasks.index)
    return Finding(
        NAME,
        Severity.ERROR if any(pair.decides for pair in pairs) else Severity.WARNING,
        f"{_count(listed)} raise the score wherever they occur, though the labels do not bear it out, on "
        f"{len(tasks)} of {len(subject.tasks)} tasks: on {worst.task}, molecules with {worst.fragment.name} "
        f"score {worst.scored[0]:.2f} on average, others {worst.scored[1]:.2f}; active are "
        f"{worst.active[0]:.0%} and {worst.active[1]:.0%} (odds ratio {worst.label.value:.2g}, "
        f"{worst.label.low:.2g} to {worst.label.high:.2g}).",
        Evidence(
            _listed(listed, tasks),
            [pair.fragment.name for pair in listed[:_MOST_LISTED]],
            _examples(subject, worst, high=True),
        ),
        "Do not take these fragments for what makes a molecule active. Look for the reason in the training "
        "data (one series, one source, one assay), add inactives that have the fragment, and train again.",
    )


def _overlooked(subject: AuditSubject, pairs: list[FragmentOnTask]) -> Finding:
    listed = _distinct(sorted(pairs, key=lambda pair: -(pair.label.low / pair.score.high)))
    worst = listed[0]
    tasks = sorted({pair.task for pair in pairs}, key=subject.model.tasks.index)
    return Finding(
        NAME,
        Severity.WARNING,
        f"{_count(listed)} separate actives from inactives, yet get no attribution, on {len(tasks)} of "
        f"{len(subject.tasks)} tasks: on {worst.task}, {worst.active[0]:.0%} of the molecules with "
        f"{worst.fragment.name} are active, {worst.active[1]:.0%} of the others (odds ratio "
        f"{worst.label.value:.2g}, {worst.label.low:.2g} to {worst.label.high:.2g}); their mean scores are "
        f"{worst.scored[0]:.2f} and {worst.scored[1]:.2f}.",
        Evidence(
            _listed(listed, tasks),
            [pair.fragment.name for pair in listed[:_MOST_LISTED]],
            _examples(subject, worst, high=False),
        ),
        "The model does not use what these labels show. Check whether its features can tell the fragment "
        "from others, and whether its training data had such molecules.",
    )


def _count(pairs: list[FragmentOnTask]) -> str:
    return f"Fragments ({len({pair.fragment.name for pair in pairs})} in all)"


def _listed(pairs: list[FragmentOnTask], tasks: list[str]) -> dict[str, Any]:
    return {"tasks": tasks, "fragments": [pair.numbers() for pair in pairs[:_MOST_LISTED]]}


def _examples(subject: AuditSubject, pair: FragmentOnTask, *, high: bool) -> list[Example]:
    """Explained molecules with the fragment: inactives of high score, or actives of low score."""
    labels = subject.require_labels()[:, subject.column(pair.task)]
    rows = [int(subject.sample[place]) for place in pair.attributed.places]
    known = [(row, place) for row, place in zip(rows, pair.attributed.places, strict=True)]
    values = labels[np.isfinite(labels)]
    middle = float(np.median(values)) if subject.is_regression else 0.5
    wrong = [
        (row, place)
        for row, place in known
        if np.isfinite(labels[row]) and bool(labels[row] <= middle) == high
    ]
    scores = subject.scores[:, subject.column(pair.task)]
    wrong.sort(key=lambda item: -scores[item[0]] if high else scores[item[0]])
    return [
        explained_example(
            subject.explanations[place][pair.task],
            f"has {pair.fragment.name}; label {labels[row]:g}, score {scores[row]:.3f}",
        )
        for row, place in wrong[:MOST_EXAMPLES]
    ]


def _measured(
    pairs: list[FragmentOnTask],
    shortcuts: list[FragmentOnTask],
    overlooked: list[FragmentOnTask],
    label_q: FloatArray,
) -> dict[str, Any]:
    extreme = sorted(pairs, key=lambda pair: -(pair.score.low / pair.label.high))[:3]
    unseen = sorted(pairs, key=lambda pair: -(pair.label.low / pair.score.high))[:3]
    return {
        "fragments": len({pair.fragment.name for pair in pairs}),
        "pairs": len(pairs),
        "separating_by_labels": int((label_q < FALSE_DISCOVERY).sum()),
        "shortcuts": len(shortcuts),
        "overlooked": len(overlooked),
        "median_excess": float(np.median([pair.excess for pair in pairs])),
        "nearest_to_shortcut": [pair.numbers() for pair in extreme],
        "nearest_to_overlooked": [pair.numbers() for pair in unseen],
    }


def _figure(
    pairs: list[FragmentOnTask], shortcuts: list[FragmentOnTask], overlooked: list[FragmentOnTask]
) -> Figure:
    """Attribution of every fragment against its enrichment; those found in colour."""
    found = {id(pair) for pair in (*shortcuts, *overlooked)}
    groups = {"others": ([p for p in pairs if id(p) not in found], "#999999", 5)}
    groups |= {"shortcuts": (shortcuts, "#D55E00", 16), "overlooked": (overlooked, "#0072B2", 16)}

    def fill(axes: Any) -> None:
        for name, (group, color, size) in groups.items():
            if group:
                axes.scatter(
                    [pair.label.value for pair in group],
                    [pair.excess for pair in group],
                    s=size,
                    color=color,
                    linewidths=0,
                    alpha=0.7,
                    label=name,
                    rasterized=len(group) > _MOST_VECTOR,
                )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, place: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, place: "")
        axes.axvline(1, color="#555555", linewidth=0.8)
        axes.axhline(0, color="#555555", linewidth=0.8)
        axes.set_xlabel("odds ratio of the labels")
        axes.set_ylabel("excess attribution of its atoms")
        axes.legend(frameon=False, fontsize=8)

    return draw("Fragments: attribution against enrichment", fill)
