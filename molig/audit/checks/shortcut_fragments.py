"""Shortcut fragments: high attribution without activity wherever they occur, and the reverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from molig.attribution import Explanation
from molig.audit.enrichment import (
    Odds,
    adjusted,
    fisher_p,
    higher_p,
    label_odds,
    score_odds,
)
from molig.audit.examples import MOST_EXAMPLES, explained_example
from molig.audit.figures import draw
from molig.audit.findings import Evidence, Example, Figure, Finding, NotApplicable, Outcome, Severity
from molig.audit.fragments import Fragment, find_fragments
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray

NAME = "shortcut-fragments"

FEWEST = 10
"""Molecules with a fragment, of those with labels and of those explained, below which it is left out."""
FALSE_DISCOVERY = 0.01
"""Rate of false discoveries, over all fragments and tasks."""
NO_EFFECT = 3.0
"""Odds ratio below which a fragment separates neither actives from inactives nor high from low scores."""
RAISES = 1.5
"""Lower end of the score's odds ratio from which a fragment raises the score to speak of."""
MARGIN = 1.3
"""Lower end of the score's odds ratio, over the upper end of the labels', where the score exaggerates."""
STANDS_OUT, EVERYWHERE = 0.25, 0.6
"""A fragment attracts attribution if its atoms have more than the other atoms of the same molecule by this
much, in units of the molecule's mean |attribution| (median), in this share of the molecules."""
UNEXPLAINED = 0.25
"""A fragment is ignored if its atoms get less than this share of the difference between the labels."""
DOMINATES, DOMINANT_ODDS = 0.5, 10.0
"""Share of the positive attribution, and odds ratio of the score, from which a shortcut decides the score."""
_SAME = 0.6
"""Overlap of the molecules of two fragments (Jaccard) from which only the stronger one is listed."""
_MOST_LISTED = 12

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Attributed:
    """What the atoms of a fragment get in each explained molecule that has it."""

    places: list[int]  # among the explained molecules
    excess: FloatArray  # mean of its atoms minus mean of the others, in mean |attribution|
    sums: FloatArray  # of its atoms
    share: FloatArray  # of the molecule's positive attribution


@dataclass(frozen=True)
class _Pair:
    """A fragment and a task."""

    fragment: Fragment
    task: str
    n_with: int
    active: tuple[float, float]  # share of actives with it, without it
    scored: tuple[float, float]  # mean score with it, without it
    label: Odds
    score: Odds
    called: Odds  # of being among as many best scores as there are actives
    attributed: _Attributed
    label_p: float
    excess_p: float
    presence: BoolArray
    scale: float  # of attributions: 1 for probabilities, the quartile range of a regression's values

    @property
    def excess(self) -> float:
        return float(np.median(self.attributed.excess))

    @property
    def positive(self) -> float:
        return float(np.mean(self.attributed.excess > 0))

    @property
    def share(self) -> float:
        return float(np.median(self.attributed.share))

    @property
    def explained(self) -> float:
        """Attribution of its atoms (median), in units of the difference that it makes by the labels."""
        difference = max(self.active[0] - self.active[1], 1e-9) * self.scale
        return float(np.median(self.attributed.sums)) / difference

    def is_shortcut(self, q: float) -> bool:
        attracts = q < FALSE_DISCOVERY and self.excess >= STANDS_OUT and self.positive >= EVERYWHERE
        raises = self.score.low > max(RAISES, MARGIN * self.label.high)
        return attracts and raises and self.label.high < NO_EFFECT

    def is_overlooked(self, q: float) -> bool:
        separates = q < FALSE_DISCOVERY and self.label.low >= NO_EFFECT
        by_score = max(self.score.high, self.called.high)
        # Less than half of the logarithm: a score that hardly notices what decides the labels.
        ignored = by_score < max(NO_EFFECT, self.label.low**0.5)
        return separates and ignored and self.explained < UNEXPLAINED

    @property
    def decides(self) -> bool:
        return self.share >= DOMINATES and self.score.low >= DOMINANT_ODDS

    def numbers(self) -> dict[str, Any]:
        return {
            "fragment": self.fragment.name,
            "task": self.task,
            "molecules_with": self.n_with,
            "explained_with": len(self.attributed.places),
            "active_with": self.active[0],
            "active_without": self.active[1],
            "label_odds_ratio": self.label.to_dict(),
            "score_with": self.scored[0],
            "score_without": self.scored[1],
            "score_odds_ratio": self.score.to_dict(),
            "top_scores_odds_ratio": self.called.to_dict(),
            "attribution_excess": self.excess,
            "share_of_molecules_with_excess": self.positive,
            "median_attribution": float(np.median(self.attributed.sums)),
            "share_of_positive_attribution": self.share,
        }


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
        for fragment in fragments
        if (pair := _pair(subject, task, fragment, where)) is not None
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


def _pair(subject: AuditSubject, task: str, fragment: Fragment, where: dict[int, int]) -> _Pair | None:
    """Measure a fragment on a task; None where it is too rare, or labels are missing."""
    labels = subject.require_labels()[:, subject.column(task)]
    known = np.isfinite(labels)
    presence = fragment.presence(len(labels))
    has = presence[known]
    if min(has.sum(), (~has).sum()) < FEWEST:
        return None
    active, scores = _classes(subject, labels[known], subject.scores[known, subject.column(task)])
    if active.all() or not active.any():
        return None
    attributed = _attributed(subject.explanations, task, fragment, where)
    if len(attributed.places) < FEWEST:
        return None
    return _Pair(
        fragment,
        task,
        int(has.sum()),
        (float(active[has].mean()), float(active[~has].mean())),
        (float(scores[has].mean()), float(scores[~has].mean())),
        label_odds(has, active),
        score_odds(has, scores),
        label_odds(has, _best(scores, int(active.sum()))),
        attributed,
        fisher_p(has, active),
        higher_p(attributed.excess),
        presence,
        _scale(subject, task),
    )


def _scale(subject: AuditSubject, task: str) -> float:
    if not subject.is_regression:
        return 1.0
    low, high = np.quantile(subject.scores[:, subject.column(task)], [0.25, 0.75])
    return max(float(high - low), 1e-9)


def _classes(subject: AuditSubject, labels: FloatArray, scores: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Actives and probabilities; of a regression, whether values and predictions are above their medians."""
    if subject.is_regression:
        return labels > np.median(labels), (scores > np.median(scores)).astype(np.float64)
    return labels == 1, scores


def _best(scores: FloatArray, n: int) -> BoolArray:
    """Which molecules have the ``n`` best scores; of equal ones the first."""
    found = np.zeros(len(scores), dtype=bool)
    found[np.argsort(-scores, kind="stable")[:n]] = True
    return found


def _attributed(
    explanations: Sequence[dict[str, Explanation]], task: str, fragment: Fragment, where: dict[int, int]
) -> _Attributed:
    rows = []
    for molecule, atoms in fragment.atoms.items():
        place = where.get(molecule)
        if place is None:
            continue
        scores = explanations[place][task].atom_scores
        mean = float(np.abs(scores).mean())
        if len(atoms) == len(scores) or mean == 0:
            continue
        inside, outside = scores[atoms], np.delete(scores, atoms)
        positive = float(np.maximum(scores, 0).sum())
        share = float(inside.sum()) / positive if positive else 0.0
        rows.append((place, (inside.mean() - outside.mean()) / mean, float(inside.sum()), share))
    table = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), 3)
    return _Attributed([row[0] for row in rows], table[:, 0], table[:, 1], table[:, 2])


def _distinct(pairs: list[_Pair]) -> list[_Pair]:
    """The strongest pairs, without fragments of nearly the same molecules, such as nitro and nitrobenzene."""
    kept: list[_Pair] = []
    for pair in pairs:
        same = [other for other in kept if other.task == pair.task]
        if all(_overlap(pair.presence, other.presence) < _SAME for other in same):
            kept.append(pair)
    return kept


def _overlap(first: BoolArray, second: BoolArray) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def _shortcut(subject: AuditSubject, pairs: list[_Pair]) -> Finding:
    listed = _distinct(sorted(pairs, key=lambda pair: -(pair.score.low / pair.label.high)))
    worst = listed[0]
    tasks = sorted({pair.task for pair in pairs}, key=subject.model.tasks.index)
    return Finding(
        NAME,
        Severity.ERROR if any(pair.decides for pair in pairs) else Severity.WARNING,
        f"{_count(listed)} raise the score wherever they occur, though the labels do not bear it out, on "
        f"{len(tasks)} of {len(subject.tasks)} tasks: on {worst.task}, molecules with {worst.fragment.name} "
        f"score {worst.scored[0]:.2f} on average, others {worst.scored[1]:.2f}; active are "
        f"{worst.active[0]:.0%} and {worst.active[1]:.0%} (odds ratio {worst.label.ratio:.2g}, "
        f"{worst.label.low:.2g} to {worst.label.high:.2g}).",
        Evidence(
            _listed(listed, tasks),
            [pair.fragment.name for pair in listed[:_MOST_LISTED]],
            _examples(subject, worst, high=True),
        ),
        "Do not take these fragments for what makes a molecule active. Look for the reason in the training "
        "data (one series, one source, one assay), add inactives that have the fragment, and train again.",
    )


def _overlooked(subject: AuditSubject, pairs: list[_Pair]) -> Finding:
    listed = _distinct(sorted(pairs, key=lambda pair: -(pair.label.low / pair.score.high)))
    worst = listed[0]
    tasks = sorted({pair.task for pair in pairs}, key=subject.model.tasks.index)
    return Finding(
        NAME,
        Severity.WARNING,
        f"{_count(listed)} separate actives from inactives, yet get no attribution, on {len(tasks)} of "
        f"{len(subject.tasks)} tasks: on {worst.task}, {worst.active[0]:.0%} of the molecules with "
        f"{worst.fragment.name} are active, {worst.active[1]:.0%} of the others (odds ratio "
        f"{worst.label.ratio:.2g}, {worst.label.low:.2g} to {worst.label.high:.2g}); their mean scores are "
        f"{worst.scored[0]:.2f} and {worst.scored[1]:.2f}.",
        Evidence(
            _listed(listed, tasks),
            [pair.fragment.name for pair in listed[:_MOST_LISTED]],
            _examples(subject, worst, high=False),
        ),
        "The model does not use what these labels show. Check whether its features can tell the fragment "
        "from others, and whether its training data had such molecules.",
    )


def _count(pairs: list[_Pair]) -> str:
    return f"Fragments ({len({pair.fragment.name for pair in pairs})} in all)"


def _listed(pairs: list[_Pair], tasks: list[str]) -> dict[str, Any]:
    return {"tasks": tasks, "fragments": [pair.numbers() for pair in pairs[:_MOST_LISTED]]}


def _examples(subject: AuditSubject, pair: _Pair, *, high: bool) -> list[Example]:
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
    pairs: list[_Pair], shortcuts: list[_Pair], overlooked: list[_Pair], label_q: FloatArray
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


def _figure(pairs: list[_Pair], shortcuts: list[_Pair], overlooked: list[_Pair]) -> Figure:
    """Attribution of every fragment against its enrichment; those found in colour."""
    groups = {"others": ([p for p in pairs if p not in shortcuts and p not in overlooked], "#999999", 5)}
    groups |= {"shortcuts": (shortcuts, "#D55E00", 16), "overlooked": (overlooked, "#0072B2", 16)}

    def fill(axes: Any) -> None:
        for name, (group, color, size) in groups.items():
            if group:
                axes.scatter(
                    [pair.label.ratio for pair in group][:300],
                    [pair.excess for pair in group][:300],
                    s=size,
                    color=color,
                    linewidths=0,
                    alpha=0.7,
                    label=name,
                )
        axes.set_xscale("log")
        axes.axvline(1, color="#555555", linewidth=0.8)
        axes.axhline(0, color="#555555", linewidth=0.8)
        axes.set_xlabel("odds ratio of the labels")
        axes.set_ylabel("excess attribution of its atoms")
        axes.legend(frameon=False, fontsize=8)

    return draw("Fragments: attribution against enrichment", fill)
