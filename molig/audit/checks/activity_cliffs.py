"""Whether attribution explains why similar molecules differ in activity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from scipy.stats import binomtest

from molig.attribution import Explanation
from molig.audit.figures import BLUE, DASHED, GREEN, ORANGE, draw
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
from molig.audit.subject import ActivityPair, AuditSubject, FloatArray, explain_molecules
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import ScoringModel
from molig.molecules import Molecule, Record, read_records
from molig.series.comparison import changed_attribution
from molig.series.matching import MOST_ATOMS, Overlap, Searches, with_rings
from molig.stats.intervals import Estimate, bootstrap_median, bootstrap_share, spearman, wilson

NAME = "activity-cliffs"

SIMILAR = 0.6
"""Tanimoto similarity from which molecules of different activity make a cliff."""
PAIRS_PER_TASK, PAIRS = 60, 300
"""Pairs compared of a task, and of all tasks together; of more, a sample drawn with the seed. Of a
single task half as many as of all, and of many tasks enough of each."""
ENOUGH = 25
"""Pairs below which a share says nothing: its 95 % interval is wider than 0.36."""
CHANCE = 0.5
"""Share of pairs in the right order by chance alone."""
UNTOLD = 0.65
"""Scores, or attributions, whose interval stays below this share of pairs in the right order are of no use
for close analogues; a wider one proves nothing either way."""
CERTAIN = 0.01
"""Chance by which a difference between scores and attributions must not be luck."""
Z_ALL, Z_TASK = 1.96, 2.5758
"""95 % intervals for all pairs together; 99 % for single tasks, of which there are many."""
CARRIED = 0.85
"""Attributions of similar molecules disagree if, in half of the pairs whose scores differ, surely more than
this share of the difference is attributed to atoms that both molecules have. In sound models it is 0 to 0.75,
with partial charges, which spread what a neighbour is, to 0.85. Signs of common atoms are reported, not
judged: a molecule whose score hardly leaves the baseline has small attributions of either sign everywhere."""
DIFFERENT = 0.1
"""Difference of scores, in units, from which it is asked which atoms it was attributed to."""
STRONG = 0.25
"""An atom matters whose attribution is at least this share of its molecule's largest."""
TIE = 1e-3
"""Differences below this share of the unit (1 for probabilities) have no direction."""
SLIGHT = 0.05
"""Nor has attribution that accounts for less than this share of the difference of scores."""

_BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # shares of the common substructure
_N_BITS, _BLOCK = 2048, 512  # of fingerprints; rows of the similarity matrix held at a time


@register(
    NAME,
    title="Activity cliffs",
    question="Where similar molecules differ in activity, does attribution point at what differs?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare attributions within pairs of similar molecules."""
    given = subject.settings.pairs
    pairs = [p for p in given if p.task in subject.tasks] if given else _pairs_of_labels(subject)
    if not pairs:
        where = "among those given for the audited tasks" if given else "among the labelled molecules"
        raise NotApplicable(f"there is no pair of similar molecules with different activity {where}")
    most = _most_per_task(len({pair.task for pair in pairs}))
    chosen = _sample(subject, pairs, most)
    searches = Searches()
    cliffs = [
        cliff
        for task in subject.tasks
        for cliff in _cliffs(subject, task, [pair for pair in chosen if pair.task == task], searches)
    ]
    groups = [CliffGroup(t, [c for c in cliffs if c.pair.task == t], Z_TASK) for t in subject.tasks]
    groups = [group for group in groups if group.cliffs]
    everything = CliffGroup("all tasks", cliffs, Z_ALL)
    common = common_atoms(cliffs, subject.rng(f"{NAME}: common atoms"))
    shares = by_common_share(cliffs, subject.rng(NAME))
    measured = {
        "sign_of_differences": {group.name: group.numbers() for group in [everything, *groups]},
        "common_atoms": common.numbers(),
        "by_share_of_common_substructure": shares,
    }
    source = "given" if given else f"found in the labels (similarity at least {SIMILAR})"
    remark = (
        f"{len(pairs)} pairs {source}; {len(cliffs)} compared of {len(chosen)} drawn with seed "
        f"{subject.settings.seed} (at most {most} per task). Left out are pairs of which a molecule cannot "
        f"be used or has more than {MOST_ATOMS} atoms, or whose common part is nothing or everything; and "
        f"{searches}."
    )
    return Outcome(judge_cliffs(everything, groups, common), measured, cliff_figures(groups, shares), remark)


# What to say: of all pairs together and of every task with enough of them, the first rule that applies.


@dataclass(frozen=True)
class Rule:
    """A way in which scores or attributions of similar molecules go wrong."""

    applies: Callable[[CliffGroup], bool]
    severity: Severity
    summary: str  # formatted with the first group
    advice: str
    is_thin: Callable[[CliffGroup], bool] = lambda group: False  # evidence for no more than information

    def finding(self, groups: list[CliffGroup]) -> Finding:
        """One finding about all groups that the rule applies to, led by the first."""
        severity = Severity.INFO if self.is_thin(groups[0]) else self.severity
        return Finding(NAME, severity, self.summary.format(group=groups[0]), _evidence(groups), self.advice)


REVERSED = Rule(
    lambda group: group.ordered.high < CHANCE,
    Severity.ERROR,
    "Among similar molecules the more active one gets the lower score: only {group.ordered.value:.0%} of "
    "{group.n} pairs ({group.name}; interval {group.ordered.low:.0%} to {group.ordered.high:.0%}) are in the "
    "right order.",
    "Check whether labels or the sign of the differences are reversed, or columns of tasks swapped; if "
    "not, the model is wrong about what makes these molecules active.",
)
WRONG = Rule(
    lambda group: group.direction.high < CHANCE or group.faithful.high < CHANCE,
    Severity.ERROR,
    "Attribution of what differs between similar molecules points the wrong way: it has the sign of the "
    "difference in activity in only {group.direction.value:.0%} of {group.n} pairs ({group.name}; interval "
    "{group.direction.low:.0%} to {group.direction.high:.0%}).",
    "Do not use these explanations to choose what to change in a molecule; score the changed molecules.",
)
BLIND = Rule(
    lambda group: group.loses_order and group.faithful.low <= CHANCE,
    Severity.WARNING,
    "Scores tell similar molecules apart better than attribution of what differs does: scores have the sign "
    "of the difference in activity in {group.ordered.value:.0%} of {group.n} pairs ({group.name}), "
    "attribution in {group.direction.value:.0%} (interval {group.direction.low:.0%} to "
    "{group.direction.high:.0%}; chance is 50%).",
    "Attribution lies on atoms that the molecules share; compare whole pairs of explanations, not the "
    "changed atoms only.",
    is_thin=lambda group: group.direction.high >= UNTOLD,
)
# Where attributions follow the scores, the explanations are true to the model; what is lost is precision.
PARTLY = Rule(
    lambda group: group.loses_order,
    Severity.INFO,
    "Attribution of what differs between similar molecules follows the scores ({group.faithful.value:.0%} of "
    "{group.n} pairs, {group.name}), but has the sign of the difference in activity in "
    "{group.direction.value:.0%} only, the scores in {group.ordered.value:.0%}.",
    "Part of what distinguishes such molecules is attributed to atoms that they share; to decide between "
    "them, compare their scores.",
)
UNORDERED = Rule(
    lambda group: group.ordered.low <= CHANCE and group.ordered.high < UNTOLD,
    Severity.WARNING,
    "The model does not tell similar molecules of different activity apart: {group.ordered.value:.0%} of "
    "{group.n} pairs are in the right order (interval {group.ordered.low:.0%} to {group.ordered.high:.0%}; "
    "chance is 50%).",
    "Do not use scores or explanations to decide between close analogues.",
)


def judge_cliffs(everything: CliffGroup, groups: list[CliffGroup], common: CommonAtoms) -> list[Finding]:
    """Judge scores and attributions of all pairs and of those of each task, and those of common atoms."""
    if everything.n < ENOUGH:
        text = f"Only {everything.n} pairs of similar molecules differ in activity: too few to judge."
        evidence = Evidence(everything.numbers())
        return [Finding(NAME, Severity.INFO, text, evidence, "Give pairs of your own with --pairs.")]
    judged = [everything, *(group for group in groups if len(groups) > 1 and group.n >= ENOUGH)]
    caught: dict[Rule, list[CliffGroup]] = {rule: [] for rule in (REVERSED, WRONG, BLIND, PARTLY)}
    for group in judged:
        rule = next((rule for rule in caught if rule.applies(group)), None)
        if rule:
            caught[rule].append(group)
    if caught[BLIND]:
        caught[PARTLY] = []  # the milder one of the two goes without saying
    findings = [rule.finding(wrong) for rule, wrong in caught.items() if wrong]
    if not findings and UNORDERED.applies(everything):
        findings.append(UNORDERED.finding([everything]))
    if common.n_carried >= ENOUGH and common.carried.low > CARRIED:
        findings.append(_disagreeing(everything, common))
    return findings


def _disagreeing(everything: CliffGroup, common: CommonAtoms) -> Finding:
    carried = common.carried
    cliffs = sorted(everything.cliffs, key=lambda cliff: -_opposed(cliff))
    return Finding(
        NAME,
        Severity.WARNING,
        f"Attributions of the atoms that similar molecules share disagree: where scores differ, "
        f"{carried.value:.0%} of the difference (median of {common.n_carried} pairs; interval "
        f"{carried.low:.0%} to {carried.high:.0%}) is attributed to atoms that both molecules have, not to "
        "what is changed.",
        Evidence({"common_atoms": common.numbers()}, molecules=_examples([c for c in cliffs if _opposed(c)])),
        "What an atom is said to do changes with parts of the molecule that are far from it. Do not carry "
        "explanations over from one molecule to its analogues, and look for features that have the same "
        "value on every atom of a molecule.",
    )


def _opposed(cliff: Cliff) -> float:
    """Share of the difference of scores attributed to common atoms; 0 where scores do not differ."""
    return cliff.carried_by_common if cliff.scores_differ else 0.0


def _evidence(groups: list[CliffGroup]) -> Evidence:
    cliffs = [cliff for cliff in groups[0].cliffs if cliff.direction == 0]
    cliffs.sort(key=lambda cliff: -abs(cliff.attribution_difference))
    return Evidence({group.name: group.numbers() for group in groups}, molecules=_examples(cliffs))


def _examples(cliffs: list[Cliff]) -> list[Example]:
    shown = []
    for number, cliff in enumerate(cliffs[: MOST_EXAMPLES // 2], start=1):
        for which, explanation in zip(("first", "second"), cliff.explained, strict=True):
            note = (
                f"pair {number}, {which}: {cliff.pair.task}, difference of activity "
                f"{cliff.pair.difference:+.3g}, of scores {cliff.score_difference:+.3g}, of attribution of "
                f"what differs {cliff.attribution_difference:+.3g}"
            )
            shown.append(explained_example(explanation, note))
    return shown


# Shares of pairs, and of the atoms that their molecules have in common.


@dataclass(frozen=True)
class CliffGroup:
    """The pairs of one task, or of all: shares that have the right sign, ties counting as half."""

    name: str
    cliffs: list[Cliff]
    z: float  # standard deviations either side of the intervals

    @property
    def n(self) -> int:
        """How many pairs."""
        return len(self.cliffs)

    @cached_property
    def direction(self) -> Estimate:
        """Attribution of what differs has the sign of the difference in activity."""
        return self._share([cliff.direction for cliff in self.cliffs])

    @cached_property
    def ordered(self) -> Estimate:
        """The difference of scores has the sign of the difference in activity."""
        return self._share([cliff.ordered for cliff in self.cliffs])

    @cached_property
    def faithful(self) -> Estimate:
        """Attribution of what differs has the sign of the difference of scores, where there is one."""
        return self._share([cliff.faithful for cliff in self.cliffs])

    @property
    def loses_order(self) -> bool:
        """Whether scores surely order the pairs, and attributions do not and err significantly more often."""
        if self.ordered.low <= CHANCE or self.direction.low > CHANCE:
            return False
        difference = np.array([cliff.ordered - cliff.direction for cliff in self.cliffs])
        lost, won = int((difference > 0).sum()), int((difference < 0).sum())
        return bool(lost + won and binomtest(lost, lost + won, alternative="greater").pvalue < CERTAIN)

    def numbers(self) -> dict[str, Any]:
        """What to report."""
        shares = {
            "attribution_has_sign_of_activity": self.direction,
            "score_has_sign_of_activity": self.ordered,
            "attribution_has_sign_of_score": self.faithful,
        }
        return {"pairs": self.n} | {
            name: {"share": one.value, "low": one.low, "high": one.high} for name, one in shares.items()
        }

    def _share(self, right: list[float]) -> Estimate:
        values = np.array(right, dtype=float)
        values = values[np.isfinite(values)]
        n = len(values)
        return Estimate(float(values.mean()) if n else math.nan, *wilson(float(values.sum()), n, self.z))


@dataclass(frozen=True)
class CommonAtoms:
    """How far attributions of the atoms that two similar molecules share agree."""

    same_sign: Estimate  # share of the matched atoms with the same sign in both molecules
    strong: Estimate  # the same of atoms that matter in both
    n_strong: int
    carried: Estimate  # median share of the difference of scores that is attributed to common atoms
    n_carried: int  # pairs whose scores differ

    def numbers(self) -> dict[str, Any]:
        """What to report; no share without atoms."""
        return {
            "same_sign": _listed(self.same_sign),
            "same_sign_of_strong_atoms": _listed(self.strong),
            "share_of_score_difference": _listed(self.carried),
            "strong_atoms": self.n_strong,
            "pairs_of_different_scores": self.n_carried,
        }


def _listed(one: Estimate) -> list[float] | None:
    return None if math.isnan(one.value) else [one.value, one.low, one.high]


def common_atoms(cliffs: list[Cliff], rng: np.random.Generator) -> CommonAtoms:
    """Count common atoms whose attributions have the same sign; intervals by resampling pairs."""
    every = np.array([cliff.same_sign() for cliff in cliffs], dtype=np.int64).reshape(-1, 2)
    strong = np.array([cliff.same_sign(strong=True) for cliff in cliffs], dtype=np.int64).reshape(-1, 2)
    of_every, of_strong = (bootstrap_share(one[:, 0], one[:, 1], rng) for one in (every, strong))
    carried = [cliff.carried_by_common for cliff in cliffs if cliff.scores_differ]
    median = (float(np.median(carried)), *bootstrap_median(carried, rng)) if carried else (math.nan,) * 3
    return CommonAtoms(of_every, of_strong, int(strong[:, 1].sum()), Estimate(*median), len(carried))


def by_common_share(cliffs: list[Cliff], rng: np.random.Generator) -> dict[str, Any]:
    """Agreement of attributions by bins, such as ``"0.8-0.9"``, of the share that both molecules have."""
    bins: dict[str, Any] = {}
    (signs,) = rng.spawn(1)
    for low, high in pairwise(_BINS):
        inside = [c for c in cliffs if low <= c.common.share < high or (high == 1.0 == c.common.share)]
        if not inside:
            continue
        correlations = [spearman(*cliff.common_atoms()) for cliff in inside]
        known = [value for value in correlations if np.isfinite(value)]
        bins[f"{low:.1f}-{high:.1f}"] = {
            "pairs": len(inside),
            "direction": _listed(CliffGroup("", inside, Z_ALL).direction),
            "rank_correlation": [float(np.median(known)), *bootstrap_median(known, rng)] if known else None,
            **common_atoms(inside, signs).numbers(),
        }
    return bins


def cliff_figures(groups: list[CliffGroup], shares: dict[str, Any]) -> list[Figure]:
    """Shares by task, and agreement by the common share."""

    def directions(axes: Any) -> None:
        for row, group in enumerate(groups):
            for at, one, color in (
                (row - 0.15, group.direction, BLUE),
                (row + 0.15, group.ordered, ORANGE),
            ):
                axes.plot([one.low, one.high], [at, at], color=color, linewidth=1.2)
                axes.plot([one.value], [at], "o", color=color, markersize=4)
        axes.set_yticks(range(len(groups)), [f"{g.name} ({g.n})" for g in groups], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.axvline(CHANCE, **DASHED)
        axes.set_xlabel("share of pairs with the sign of activity: blue attribution, orange score")

    size = (5.2, max(1.8, 1.1 + 0.3 * len(groups)))
    return [
        draw("Pairs of similar molecules: direction", directions, size),
        draw("Agreement by what both molecules have", lambda axes: _agreement(axes, shares)),
    ]


_AGREEMENT = {
    "direction": (BLUE, "pairs: what differs has the sign of activity"),
    "same_sign": (GREEN, "common atoms: same sign"),
    "rank_correlation": (ORANGE, "common atoms: rank correlation, median"),
}


def _agreement(axes: Any, shares: dict[str, Any]) -> None:
    for offset, (measure, (color, label)) in zip((-0.15, 0.0, 0.15), _AGREEMENT.items(), strict=True):
        known = [
            (place + offset, item[measure]) for place, item in enumerate(shares.values()) if item[measure]
        ]
        for place, (_, low, high) in known:
            axes.plot([place] * 2, [low, high], color=color, linewidth=1.2)
        at = [place for place, _ in known]
        axes.plot(at, [values[0] for _, values in known], "o", color=color, markersize=4, label=label)
    axes.axhline(CHANCE, **DASHED)
    axes.set_xticks(range(len(shares)), [f"{k}\n({v['pairs']})" for k, v in shares.items()], fontsize=8)
    axes.set_xlabel("common substructure, share of the larger molecule (pairs)")
    axes.set_ylim(top=1.45)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    axes.legend(frameon=False, fontsize=7.5, loc="upper left")


# One pair: what its molecules share, and how attribution is divided between that and what differs.


@dataclass(frozen=True)
class Cliff:
    """A pair of molecules, explained and compared; signs are 1 right, 0 wrong, 0.5 without a direction."""

    pair: ActivityPair
    explained: tuple[Explanation, Explanation]
    common: Overlap
    unit: float  # of scores: 1 for probabilities, the spread of values of a regression

    @cached_property
    def attribution_difference(self) -> float:
        """Attribution of what is changed in the first molecule minus that in the second."""
        changed = [
            changed_attribution(one, np.setdiff1d(np.arange(one.mol.GetNumAtoms()), common))
            for one, common in zip(self.explained, (self.common.first, self.common.second), strict=True)
        ]
        return changed[0] - changed[1]

    @property
    def score_difference(self) -> float:
        """Score of the first molecule minus that of the second."""
        return self.explained[0].score - self.explained[1].score

    @property
    def scores_differ(self) -> bool:
        """Whether there is a difference of scores to be attributed."""
        return abs(self.score_difference) >= DIFFERENT * self.unit

    @property
    def carried_by_common(self) -> float:
        """Share of the difference of scores that is attributed to what both molecules have."""
        return 1 - self.attribution_difference / self.score_difference

    @property
    def direction(self) -> float:
        """Whether attribution of what differs has the sign of the difference in activity."""
        return _agree(self.attribution_difference, self.pair.difference, self._least)

    @property
    def ordered(self) -> float:
        """Whether the difference of scores has it."""
        return _agree(self.score_difference, self.pair.difference, TIE * self.unit)

    @property
    def faithful(self) -> float:
        """Whether attribution of what differs has the sign of that of scores; NaN where they are equal."""
        if abs(self.score_difference) < TIE * self.unit:
            return math.nan
        return _agree(self.attribution_difference, self.score_difference, self._least)

    @property
    def _least(self) -> float:
        return max(TIE * self.unit, SLIGHT * abs(self.score_difference))

    def common_atoms(self) -> tuple[FloatArray, FloatArray]:
        """Scores of the matched atoms in both molecules."""
        first, second = self.explained
        return first.atom_scores[self.common.first], second.atom_scores[self.common.second]

    def same_sign(self, *, strong: bool = False) -> tuple[int, int]:
        """Matched atoms (those that matter in both) of one sign in both molecules, of those with a sign."""
        first, second = self.common_atoms()
        counted = first * second != 0
        if strong:
            for scores, explanation in zip((first, second), self.explained, strict=True):
                counted &= np.abs(scores) >= STRONG * np.abs(explanation.atom_scores).max(initial=0.0)
        return int((counted & (first * second > 0)).sum()), int(counted.sum())


def _agree(value: float, truth: float, least: float) -> float:
    return 0.5 if abs(value) < least else float((value > 0) == (truth > 0))


def _cliffs(
    subject: AuditSubject, task: str, pairs: Sequence[ActivityPair], searches: Searches
) -> list[Cliff]:
    """Match and explain the pairs of a task whose molecules can be used and differ in something."""
    texts = dict.fromkeys(text for pair in pairs for text in (pair.first, pair.second))
    records = [Record(row, str(row), text) for row, text in enumerate(texts, start=1)]
    molecules = {m.smiles: m for m in subject.model.parser.parse_many(records)[0]}
    matched = [(pair, common) for pair in pairs if (common := _matched(molecules, pair, searches))]
    needed = list(dict.fromkeys(text for pair, _ in matched for text in (pair.first, pair.second)))
    explained = explain_molecules(subject.model, [molecules[text] for text in needed], [task])
    by_text = {text: one[task] for text, one in zip(needed, explained, strict=True)}
    unit = subject.unit(task)
    return [
        Cliff(pair, (by_text[pair.first], by_text[pair.second]), common, unit) for pair, common in matched
    ]


def _matched(molecules: dict[str, Molecule], pair: ActivityPair, searches: Searches) -> Overlap | None:
    """What the molecules of a pair share; None if one cannot be used or nothing differs."""
    first, second = molecules.get(pair.first), molecules.get(pair.second)
    if first is None or second is None:
        return None
    common = searches.overlap(first.mol, second.mol)
    whole = first.mol.GetNumAtoms() == second.mol.GetNumAtoms()
    return None if common is None or (common.share == 1.0 and whole) else common


# Pairs of similar molecules with different activities: from labels, or from a file.


def _pairs_of_labels(subject: AuditSubject) -> list[ActivityPair]:
    columns = [subject.column(task) for task in subject.tasks]
    values = subject.require_labels()[:, columns]
    labelled = np.flatnonzero(np.isfinite(values).any(axis=1))
    values = values[labelled]
    least = np.array([_least_difference(column, subject.is_regression) for column in values.T])
    molecules = [subject.molecules[int(i)] for i in labelled]
    places = similar_pairs([molecule.mol for molecule in molecules], values, least, SIMILAR)
    return [
        ActivityPair(molecules[i].smiles, molecules[j].smiles, float(column[i] - column[j]), task)
        for task, column, pairs in zip(subject.tasks, values.T, places, strict=True)
        for i, j in pairs
    ]


def _least_difference(values: FloatArray, regression: bool) -> float:
    """1 for classes, the spread of values; infinite where nothing differs."""
    known = values[np.isfinite(values)]
    spread = float(known.std()) if len(known) > 1 else 0.0
    if spread == 0:
        return np.inf
    return spread if regression else 1.0


def similar_pairs(
    mols: list[Chem.Mol], values: FloatArray, least: FloatArray, threshold: float
) -> list[list[tuple[int, int]]]:
    """Similar molecules whose values, shape (n_mols, n_columns), differ, the higher first, by column.

    Identical fingerprints (Morgan, radius 2) show nothing that could be the cause, so they make no pair.
    """
    pairs: list[list[tuple[int, int]]] = [[] for _ in least]
    if len(mols) < 2:
        return pairs
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=_N_BITS)
    bits = np.array([generator.GetFingerprintAsNumPy(with_rings(mol)) for mol in mols], dtype=np.float32)
    sizes = bits.sum(axis=1)
    for start in range(0, len(mols), _BLOCK):
        shared = bits[start : start + _BLOCK] @ bits.T
        either = sizes[start : start + _BLOCK, None] + sizes[None] - shared
        similarity = shared / np.maximum(either, 1)
        rows, columns = np.nonzero((similarity >= threshold) & (similarity < 1))
        rows += start
        for place, column in enumerate(values.T):
            # NaN, a value that is not known, makes no pair.
            wanted = column[rows] - column[columns] >= least[place]
            pairs[place] += zip(rows[wanted].tolist(), columns[wanted].tolist(), strict=True)
    return pairs


def _most_per_task(n_tasks: int) -> int:
    """Pairs compared of each of so many tasks that have any."""
    return PAIRS // 2 if n_tasks == 1 else min(PAIRS_PER_TASK, max(ENOUGH, PAIRS // n_tasks))


def _sample(subject: AuditSubject, pairs: Sequence[ActivityPair], most: int) -> list[ActivityPair]:
    """Of each task as many, in an order that does not depend on the other tasks."""
    rng = subject.rng(NAME)
    chosen: list[ActivityPair] = []
    for task in subject.tasks:
        own = [pair for pair in pairs if pair.task == task]
        if own:
            chosen += [own[i] for i in np.sort(rng.permutation(len(own))[:most])]
    return chosen


FIRST, SECOND, DIFFERENCE, TASK = "smiles_a", "smiles_b", "difference", "task"
"""Columns of a file of pairs."""


def read_pairs(path: str | Path, model: ScoringModel) -> list[ActivityPair]:
    """Pairs of a table with ``smiles_a``, ``smiles_b``, ``difference`` (first minus second), ``task``."""
    columns = [SECOND, DIFFERENCE, TASK]
    try:
        records = read_records(path, smiles_column=FIRST, columns=columns)
    except UnknownNameError as error:
        if error.kind != "column" or error.name != TASK:
            raise
        if len(model.tasks) > 1:
            raise UsageError(
                f"{path}: model {model.name!r} has {len(model.tasks)} tasks; name the one that each pair is "
                f"about in a column {TASK!r}"
            ) from error
        records = read_records(path, smiles_column=FIRST, columns=columns[:2])
    return [_pair(path, model, record) for record in records]


def _pair(path: str | Path, model: ScoringModel, record: Record) -> ActivityPair:
    where = f"{path}, row {record.row}"
    if record.problem:
        raise InputError(f"{where}: {record.problem}")
    second = _text(record.fields.get(SECOND))
    for column, smiles in ((FIRST, record.smiles), (SECOND, second)):
        for rejection in model.parser.parse_many([Record(record.row, record.id, smiles)])[1]:
            raise InputError(f"{where}: {column} {smiles!r} cannot be used: {rejection.reason}")
    text = _text(record.fields.get(DIFFERENCE))
    try:
        difference = float(text)
    except ValueError:
        difference = math.nan
    if not math.isfinite(difference) or difference == 0:
        raise InputError(f"{where}: {DIFFERENCE} is {text!r}; expected a number other than 0")
    task = _text(record.fields.get(TASK)) or (model.tasks[0] if len(model.tasks) == 1 else "")
    if task not in model.tasks:
        raise InputError(f"{where}: {UnknownNameError('task', task, model.tasks)}")
    return ActivityPair(record.smiles, second, difference, task)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
