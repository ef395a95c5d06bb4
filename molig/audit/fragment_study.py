"""A fragment on a task: attribution of its atoms, and odds of its molecules by labels and by scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from molig.attribution import Explanation
from molig.audit.enrichment import (
    fisher_p,
    higher_p,
    label_odds,
    score_odds,
)
from molig.audit.fragments import Fragment
from molig.audit.intervals import Estimate
from molig.audit.subject import AuditSubject, FloatArray

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


BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Attributed:
    """What the atoms of a fragment get in each explained molecule that has it."""

    places: list[int]  # among the explained molecules
    excess: FloatArray  # mean of its atoms minus mean of the others, in mean |attribution|
    sums: FloatArray  # of its atoms
    share: FloatArray  # of the molecule's positive attribution


@dataclass(frozen=True, eq=False)
class FragmentOnTask:
    """A fragment and a task."""

    fragment: Fragment
    task: str
    n_with: int
    active: tuple[float, float]  # share of actives with it, without it
    scored: tuple[float, float]  # mean score with it, without it
    label: Estimate
    score: Estimate
    called: Estimate  # of being among as many best scores as there are actives
    attributed: Attributed
    label_p: float
    excess_p: float
    presence: BoolArray
    scale: float  # of attributions: 1 for probabilities, the quartile range of a regression's values

    @property
    def excess(self) -> float:
        """Attribution of its atoms above that of the others (median)."""
        return float(np.median(self.attributed.excess))

    @property
    def positive(self) -> float:
        """Share of the molecules in which its atoms have more than the others."""
        return float(np.mean(self.attributed.excess > 0))

    @property
    def share(self) -> float:
        """Share of the molecule's positive attribution (median)."""
        return float(np.median(self.attributed.share))

    @property
    def explained(self) -> float:
        """Attribution of its atoms (median), in units of the difference that it makes by the labels."""
        difference = max(self.active[0] - self.active[1], 1e-9) * self.scale
        return float(np.median(self.attributed.sums)) / difference

    def is_shortcut(self, q: float) -> bool:
        """Whether it attracts attribution and raises scores without reason, at this false discovery rate."""
        attracts = q < FALSE_DISCOVERY and self.excess >= STANDS_OUT and self.positive >= EVERYWHERE
        raises = self.score.low > max(RAISES, MARGIN * self.label.high)
        return attracts and raises and self.label.high < NO_EFFECT

    def is_overlooked(self, q: float) -> bool:
        """Whether it separates the labels and the model ignores it, at this false discovery rate."""
        separates = q < FALSE_DISCOVERY and self.label.low >= NO_EFFECT
        by_score = max(self.score.high, self.called.high)
        # Less than half of the logarithm: a score that hardly notices what decides the labels.
        ignored = by_score < max(NO_EFFECT, self.label.low**0.5)
        return separates and ignored and self.explained < UNEXPLAINED

    @property
    def decides(self) -> bool:
        """Whether it decides the score."""
        return self.share >= DOMINATES and self.score.low >= DOMINANT_ODDS

    def numbers(self) -> dict[str, Any]:
        """What to report."""
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


@dataclass(frozen=True, eq=False)
class TaskLabels:
    """Labels and scores of one task, the same for all fragments."""

    task: str
    known: BoolArray  # of all molecules, those with a label; the other arrays are of these only
    active: BoolArray
    scores: FloatArray
    best: BoolArray  # as many best scores as there are actives
    scale: float

    @classmethod
    def of(cls, subject: AuditSubject, task: str) -> TaskLabels | None:
        """Labels of a task; None where they are all of one class."""
        labels = subject.require_labels()[:, subject.column(task)]
        known = np.isfinite(labels)
        if not known.any():
            return None
        active, scores = _classes(subject, labels[known], subject.scores[known, subject.column(task)])
        if active.all() or not active.any():
            return None
        return cls(task, known, active, scores, _best(scores, int(active.sum())), _scale(subject, task))


def study_fragment(
    subject: AuditSubject, labels: TaskLabels, fragment: Fragment, where: dict[int, int]
) -> FragmentOnTask | None:
    """Measure a fragment on a task; None where it is too rare."""
    presence = fragment.presence(len(labels.known))
    has, active, scores = presence[labels.known], labels.active, labels.scores
    if min(has.sum(), (~has).sum()) < FEWEST:
        return None
    attributed = _attributed(subject.explanations, labels.task, fragment, where)
    if len(attributed.places) < FEWEST:
        return None
    return FragmentOnTask(
        fragment,
        labels.task,
        int(has.sum()),
        (float(active[has].mean()), float(active[~has].mean())),
        (float(scores[has].mean()), float(scores[~has].mean())),
        label_odds(has, active),
        score_odds(has, scores),
        label_odds(has, labels.best),
        attributed,
        fisher_p(has, active),
        higher_p(attributed.excess),
        presence,
        labels.scale,
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
) -> Attributed:
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
    return Attributed([row[0] for row in rows], table[:, 0], table[:, 1], table[:, 2])
