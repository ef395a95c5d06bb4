"""Long range: labels that depend on how far groups are apart, which networks of neighbours cannot see.

A network that passes messages a few bonds far, or reads pairs of near atoms, knows which groups a molecule
has but not their distance. Where activity asks for two groups at a distance, as in a pharmacophore, such a
network ranks by what happens to go with it, and its attributions show these proxies. Labels show that they
are of this kind: a yardstick that also counts pairs of groups at a distance ranks them better than one that
counts surroundings only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import GetFeatureInvariants
from scipy.stats import rankdata

from molig.audit.checks.size_shortcut import FEWEST, predict_classes, predict_values, resampled
from molig.audit.figures import bars
from molig.audit.findings import (
    Evidence,
    Example,
    Figure,
    Finding,
    NotApplicable,
    Outcome,
    Severity,
    scored_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, Index
from molig.evaluation.fingerprints import morgan_counts
from molig.stats import roc_auc
from molig.stats.intervals import Estimate, spearman

NAME = "long-range"

NEAREST, FARTHEST = 5, 14
"""Bonds between two groups that count as far apart; circular environments of radius 2 span four."""
GAINS = 0.05
"""ROC-AUC (or rank correlation) that distances must add before labels count as depending on them."""
SURE = 0.02
"""What they must add with 97.5 % confidence."""
LACKS = 0.03
"""By so much the model must fall short of the yardstick with distances, with 97.5 % confidence above 0."""
MOST_FITTED = 1000
"""Molecules that the yardsticks are fitted on, for each task; of more, a sample."""

_FEWEST_OF_CLASS = 20
_COLUMNS = 1024
_MIN_SHARE = 0.02  # of the molecules that have what a column counts
_EXAMPLES = 3
# Bits of RDKit's feature invariants (Gobbi and Poppinger 1998), lowest first.
_GROUPS = ("donor", "acceptor", "aromatic atom", "halogen", "base", "acid")


@register(
    NAME,
    title="Groups at a distance",
    question="Do the labels depend on how far groups are apart, and does the model know it?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare the model with yardsticks that count surroundings, without and with distances."""
    labels = subject.require_labels()
    rng = subject.rng(NAME)
    chosen = _drawn(labels, rng, actives_first=not subject.is_regression)
    mols = [_with_rings(subject.molecules[i].mol) for i in chosen]
    near, far = surroundings(mols), distances(mols)
    studied = [_study(subject, task, Drawn(chosen, near, far), rng) for task in subject.tasks]
    tasks = [task for task in studied if task is not None]
    if not tasks:
        raise NotApplicable(f"no task has {_needed(subject)} among the {len(chosen)} molecules drawn")
    missed = [task for task in tasks if task.is_missed]
    return Outcome(
        [_finding(subject, missed)] if missed else [],
        {task.name: task.numbers() for task in tasks},
        [_figure(subject, tasks)],
        f"Yardsticks: gradient boosting on counts of circular environments of radius 2, without and with "
        f"pairs of groups {NEAREST} to {FARTHEST} bonds apart; cross-validated predictions of up to "
        f"{len(chosen)} molecules.",
    )


def _drawn(labels: FloatArray, rng: np.random.Generator, *, actives_first: bool) -> Index:
    """Molecules for the yardsticks; where actives are few, all of them, and at most half of the whole."""
    order = rng.permutation(len(labels))
    if actives_first:
        is_active = (labels[order] == 1).any(axis=1)
        actives = order[is_active][: MOST_FITTED // 2]
        order = np.concatenate([actives, order[~is_active], order[is_active][len(actives) :]])
    return np.sort(order[:MOST_FITTED])


def _needed(subject: AuditSubject) -> str:
    return f"{FEWEST} labels" if subject.is_regression else f"{_FEWEST_OF_CLASS} labels of both classes"


class Drawn(NamedTuple):
    """Molecules that the yardsticks are fitted on, and what these know of them."""

    places: Index
    near: FloatArray
    far: FloatArray


@dataclass(frozen=True)
class TaskAtDistance:
    """How well model and yardsticks rank the labels of a task: ROC-AUC, or Spearman's correlation."""

    name: str
    model: float
    near: float
    far: float
    gain: Estimate  # of the yardstick with distances over the one without
    lack: Estimate  # of the model behind the yardstick with distances
    pair: str  # the far pair that tells the labels best by itself
    examples: Index  # molecules that the yardstick with distances ranks right, and the model worst
    predicted: FloatArray  # its ranks of them, from 0 to 1

    @property
    def is_distant(self) -> bool:
        """Whether labels depend on distances."""
        return self.gain.value >= GAINS and self.gain.low >= SURE

    @property
    def is_missed(self) -> bool:
        """Whether, besides, the model does not know them."""
        return self.is_distant and self.lack.value >= LACKS and self.lack.low > 0

    def numbers(self) -> dict[str, Any]:
        """What to report."""
        return {
            "model": self.model,
            "surroundings": self.near,
            "with_distances": self.far,
            "gain_of_distances": self.gain.to_dict(),
            "model_lacks": self.lack.to_dict(),
            "pair": self.pair,
        }


def _study(subject: AuditSubject, task: str, drawn: Drawn, rng: np.random.Generator) -> TaskAtDistance | None:
    """Fit both yardsticks to a task; None without enough labels."""
    column = subject.column(task)
    labels = subject.require_labels()[drawn.places, column]
    known = np.isfinite(labels)
    places, near, far = (each[known] for each in drawn)
    values, scores = labels[known], subject.logits[places, column]
    if subject.is_regression:
        if len(values) < FEWEST or np.ptp(values) == 0:
            return None
        strata = np.zeros(len(values))
    else:
        if min(np.sum(values == 1), np.sum(values == 0)) < _FEWEST_OF_CLASS:
            return None
        strata = values
    predict = predict_values if subject.is_regression else predict_classes
    figure = spearman if subject.is_regression else roc_auc
    seed = int(rng.integers(2**31))
    common = near[:, np.count_nonzero(near, axis=0) >= _MIN_SHARE * len(near)]
    by_near = predict(common, values, seed)
    by_far = predict(np.hstack([common, far]), values, seed)
    samples = resampled(
        lambda at: np.array([figure(values[at], given[at]) for given in (scores, by_near, by_far)]),
        strata,
        rng,
    )
    model, of_near, of_far = (figure(values, given) for given in (scores, by_near, by_far))
    wrong = np.abs(_ranks(scores) - _ranks(values)) - np.abs(_ranks(by_far) - _ranks(values))
    shown = np.argsort(-wrong, kind="stable")[:_EXAMPLES]
    return TaskAtDistance(
        task,
        model,
        of_near,
        of_far,
        _difference(of_far - of_near, samples[:, 2] - samples[:, 1]),
        _difference(of_far - model, samples[:, 2] - samples[:, 0]),
        _telling(far, values),
        places[shown],
        _ranks(by_far)[shown],
    )


def _difference(value: float, drawn: FloatArray) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return Estimate(float(value), float(low), float(high))


def _ranks(values: FloatArray) -> FloatArray:
    return np.asarray((rankdata(values) - 1) / max(len(values) - 1, 1))


def _telling(far: FloatArray, values: FloatArray) -> str:
    """The pair whose number correlates most with the labels."""
    strength = [abs(spearman(column, values)) if np.ptp(column) else 0.0 for column in far.T]
    return PAIRS[int(np.argmax(strength))]


def _finding(subject: AuditSubject, tasks: Sequence[TaskAtDistance]) -> Finding:
    task = max(tasks, key=lambda task: task.gain.low)
    measure = "rank correlation" if subject.is_regression else "ROC-AUC"
    return Finding(
        NAME,
        Severity.WARNING,
        f"The labels depend on how far groups are apart, and the model does not know it, on {len(tasks)} of "
        f"{len(subject.tasks)} tasks: on {task.name} counts of surroundings rank the labels with {measure} "
        f"{task.near:.3f}, together with distances of groups {task.far:.3f} "
        f"(+{task.gain.value:.3f}, {task.gain.low:.3f} to {task.gain.high:.3f}), the model with "
        f"{task.model:.3f}. The most telling pair: {task.pair}.",
        Evidence({task.name: task.numbers() for task in tasks}, molecules=_examples(subject, task)),
        "The score rests on proxies: on groups that often go with the distance, since the distance itself is "
        "out of the network's sight. Attributions show what the score rests on, which is not what "
        "makes molecules active. Use features that know distances, such as pairs of atoms far apart.",
    )


def _examples(subject: AuditSubject, task: TaskAtDistance) -> list[Example]:
    column = subject.column(task.name)
    labels = subject.require_labels()
    return [
        scored_example(
            subject.molecules[i],
            np.zeros(subject.molecules[i].mol.GetNumAtoms()),
            f"label {labels[i, column]:.4g}, score {subject.scores[i, column]:.3f}; the yardstick with "
            f"distances puts it above {rank:.0%} of the molecules",
        )
        for i, rank in zip(task.examples.tolist(), task.predicted.tolist(), strict=True)
    ]


def _figure(subject: AuditSubject, tasks: Sequence[TaskAtDistance]) -> Figure:
    lengths: dict[str, float] = {}
    for task in sorted(tasks, key=lambda task: -task.gain.value)[:8]:
        lengths |= {
            f"{task.name}: model": task.model,
            f"{task.name}: surroundings": task.near,
            f"{task.name}: with distances": task.far,
        }
    measure, chance = ("rank correlation", None) if subject.is_regression else ("ROC-AUC", 0.5)
    return bars(lengths, "Model, and what surroundings and distances tell", measure, reference=chance)


# What yardsticks know of molecules.


def _with_rings(mol: Chem.Mol) -> Chem.Mol:
    """A copy whose rings are known, which groups are told by."""
    copied = Chem.Mol(mol)
    Chem.GetSymmSSSR(copied)
    return copied


def surroundings(mols: Sequence[Chem.Mol]) -> FloatArray:
    """Counts of circular environments of radius 2, folded; shape (n_mols, 1024)."""
    return np.asarray(morgan_counts(mols, columns=_COLUMNS).astype(np.float64).toarray())


_OF_GROUPS = tuple(combinations_with_replacement(range(len(_GROUPS)), 2))
PAIRS = tuple(
    f"{_GROUPS[one]} and {_GROUPS[other]}, {distance} bonds apart"
    for distance in range(NEAREST, FARTHEST + 1)
    for one, other in _OF_GROUPS
)
"""Names of the columns of `distances`."""


def distances(mols: Sequence[Chem.Mol]) -> FloatArray:
    """Numbers of pairs of groups, by kinds of groups and bonds between them; shape (n_mols, n_pairs)."""
    first, second = np.array(_OF_GROUPS).T
    same = np.where(first == second, 0.5, 1.0)
    rows = np.zeros((len(mols), FARTHEST - NEAREST + 1, len(_OF_GROUPS)))
    for mol, row in zip(mols, rows, strict=True):
        bits = np.array(GetFeatureInvariants(mol), dtype=np.int64)
        groups = ((bits[None] >> np.arange(len(_GROUPS))[:, None]) & 1).astype(np.float64)
        apart = Chem.GetDistanceMatrix(mol)
        for place, distance in enumerate(range(NEAREST, FARTHEST + 1)):
            counts = groups @ (apart == distance) @ groups.T
            row[place] = counts[first, second] * same
    return rows.reshape(len(mols), -1)
