"""Whether attribution explains why similar molecules differ in activity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from molig.audit.cliff_groups import Z_TASK, CliffGroup, by_common_share, cliff_figures
from molig.audit.cliffs import MOST_ATOMS, Cliff, overlap
from molig.audit.examples import MOST_EXAMPLES, explained_example
from molig.audit.findings import Evidence, Example, Finding, NotApplicable, Outcome, Severity
from molig.audit.pairs import similar_pairs
from molig.audit.registry import register
from molig.audit.settings import ActivityPair
from molig.audit.subject import AuditSubject, explain_molecules
from molig.molecules import Molecule, Record

NAME = "activity-cliffs"

SIMILAR = 0.6
"""Tanimoto similarity from which molecules of different activity make a cliff."""
PAIRS_PER_TASK, PAIRS = 60, 300
"""Pairs compared of a task, and of all tasks together; of more, a sample drawn with the seed."""
ENOUGH = 25
"""Pairs below which a share tells nothing: its 95 % interval is wider than 0.36."""
UNTOLD = 0.65
"""Scores, or attributions, whose interval stays below this share of pairs in the right order are of no use
for close analogues; a wider one proves nothing either way."""


@register(
    NAME,
    title="Activity cliffs",
    question="Where similar molecules differ in activity, does attribution point at what differs?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare attributions within pairs of similar molecules; see `Outcome`."""
    given = subject.settings.pairs
    pairs = [p for p in given if p.task in subject.tasks] if given else _pairs_of_labels(subject)
    if not pairs:
        where = "among those given for the audited tasks" if given else "among the labelled molecules"
        raise NotApplicable(f"there is no pair of similar molecules with different activity {where}")
    chosen = _sample(subject, pairs)
    cliffs = _cliffs(subject, chosen)
    groups = [CliffGroup(t, [c for c in cliffs if c.pair.task == t], Z_TASK) for t in subject.tasks]
    groups = [group for group in groups if group.cliffs]
    everything = CliffGroup("all tasks", cliffs, 1.96)
    findings = _judge(everything, groups)
    measured = {group.name: group.numbers() for group in [everything, *groups]}
    shares = by_common_share(cliffs, subject.rng(NAME))
    measured["common atoms by MCS share"] = shares
    source = "given" if given else f"found in the labels (similarity at least {SIMILAR})"
    remark = (
        f"{len(pairs)} pairs {source}; {len(cliffs)} compared of {len(chosen)} drawn with "
        f"seed {subject.settings.seed} (at most {PAIRS_PER_TASK} per task); left out are pairs of which "
        f"a molecule "
        f"cannot be used or has more than {MOST_ATOMS} atoms, or whose common part takes too long to find or "
        "is everything."
    )
    return Outcome(findings, measured, cliff_figures(groups, shares), remark)


def _pairs_of_labels(subject: AuditSubject) -> list[ActivityPair]:
    labels = subject.require_labels()
    found = []
    for task in subject.tasks:
        values = labels[:, subject.column(task)]
        known = np.flatnonzero(np.isfinite(values))
        spread = float(values[known].std()) if len(known) > 1 else 0.0
        if spread == 0:
            continue
        least = spread if subject.is_regression else 1.0
        mols = [subject.molecules[int(i)].mol for i in known]
        for i, j in similar_pairs(mols, values[known], least, SIMILAR):
            first, second = int(known[i]), int(known[j])
            texts = subject.molecules[first].smiles, subject.molecules[second].smiles
            found.append(ActivityPair(*texts, float(values[first] - values[second]), task))
    return found


def _sample(subject: AuditSubject, pairs: Sequence[ActivityPair]) -> list[ActivityPair]:
    """Of each task as many, in an order that does not depend on the other tasks."""
    rng = subject.rng(NAME)
    tasks = [task for task in subject.tasks if any(pair.task == task for pair in pairs)]
    most = min(PAIRS_PER_TASK, max(ENOUGH, PAIRS // len(tasks)))
    if len(tasks) == 1:
        most = PAIRS // 2
    chosen: list[ActivityPair] = []
    for task in tasks:
        own = [pair for pair in pairs if pair.task == task]
        kept = np.sort(rng.permutation(len(own))[:most])
        chosen += [own[i] for i in kept]
    return chosen


def _cliffs(subject: AuditSubject, pairs: Sequence[ActivityPair]) -> list[Cliff]:
    found = []
    for task in subject.tasks:
        own = [pair for pair in pairs if pair.task == task]
        texts = dict.fromkeys(text for pair in own for text in (pair.first, pair.second))
        records = [Record(row, str(row), text) for row, text in enumerate(texts, start=1)]
        molecules = {m.smiles: m for m in subject.model.parser.parse_many(records)[0]}
        matched = [(pair, _matched(molecules, pair)) for pair in own]
        used = [pair for pair, common in matched if common is not None]
        needed = list(dict.fromkeys(text for pair in used for text in (pair.first, pair.second)))
        explained = explain_molecules(subject.model, [molecules[text] for text in needed], [task])
        by_text = {text: one[task] for text, one in zip(needed, explained, strict=True)}
        unit = float(subject.logits[:, subject.column(task)].std()) if subject.is_regression else 1.0
        found += [
            Cliff(pair, (by_text[pair.first], by_text[pair.second]), common, unit)
            for pair, common in matched
            if common is not None
        ]
    return found


def _matched(molecules: dict[str, Molecule], pair: ActivityPair) -> Any:
    """What the molecules of a pair share; None if one cannot be used or nothing differs."""
    first, second = molecules.get(pair.first), molecules.get(pair.second)
    if first is None or second is None:
        return None
    common = overlap(first.mol, second.mol)
    whole = first.mol.GetNumAtoms() == second.mol.GetNumAtoms()
    return None if common is None or (common.share == 1.0 and whole) else common


def _judge(everything: CliffGroup, groups: list[CliffGroup]) -> list[Finding]:
    if len(everything.cliffs) < ENOUGH:
        return [
            Finding(
                NAME,
                Severity.INFO,
                f"Only {len(everything.cliffs)} pairs of similar molecules differ in activity: too few "
                f"to judge.",
                Evidence(everything.numbers()),
                "Give pairs of your own with --pairs.",
            )
        ]
    judged = [everything, *(group for group in groups if len(group.cliffs) >= ENOUGH)]
    if len(groups) == 1:
        judged = [everything]
    reversed_ = [g for g in judged if g.share("ordered")[2] < 0.5]
    wrong = [
        g
        for g in judged
        if g not in reversed_ and (g.share("direction")[2] < 0.5 or g.share("faithful")[2] < 0.5)
    ]
    lost = [
        g
        for g in judged
        if g not in wrong
        and g.share("ordered")[1] > 0.5
        and g.share("direction")[1] <= 0.5
        and g.worse_than_scores
    ]
    # Where attributions follow the scores, the explanations are true to the model; what is lost is precision.
    blind = [g for g in lost if g.share("faithful")[1] <= 0.5]
    findings = []
    if reversed_:
        findings.append(_reversed(reversed_))
    if wrong:
        findings.append(_wrong(wrong))
    if blind:
        findings.append(_blind(blind))
    elif lost:
        findings.append(_partly(lost))
    _, low, high = everything.share("ordered")
    if not findings and low <= 0.5 and high < UNTOLD:
        findings.append(_unordered(everything))
    return findings


def _evidence(groups: list[CliffGroup]) -> Evidence:
    cliffs = [cliff for cliff in groups[0].cliffs if cliff.direction() == 0.0]
    cliffs.sort(key=lambda cliff: -abs(cliff.attribution_difference))
    return Evidence({group.name: group.numbers() for group in groups}, molecules=_examples(cliffs))


def _examples(cliffs: list[Cliff]) -> list[Example]:
    shown = []
    for number, cliff in enumerate(cliffs[: MOST_EXAMPLES // 2], start=1):
        for which, explanation in zip(("first", "second"), cliff.explained, strict=True):
            note = (
                f"pair {number}, {which}: {cliff.pair.task}, difference of activity "
                f"{cliff.pair.difference:+.3g}, "
                f"of scores {cliff.score_difference:+.3g}, of attribution of what differs "
                f"{cliff.attribution_difference:+.3g}"
            )
            shown.append(explained_example(explanation, note))
    return shown


def _reversed(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    share, low, high = worst.share("ordered")
    return Finding(
        NAME,
        Severity.ERROR,
        f"Among similar molecules the more active one gets the lower score: only {share:.0%} of "
        f"{len(worst.cliffs)} pairs ({worst.name}; interval {low:.0%} to {high:.0%}) are in the right order.",
        _evidence(groups),
        "Look whether labels or the sign of the differences are reversed, or columns of tasks are "
        "swapped; if not, the model is wrong about what makes these molecules active.",
    )


def _wrong(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    share, low, high = worst.share("direction")
    return Finding(
        NAME,
        Severity.ERROR,
        f"Attribution of what differs between similar molecules points the wrong way: it has the sign of the "
        f"difference in activity in only {share:.0%} of {len(worst.cliffs)} pairs ({worst.name}; interval "
        f"{low:.0%} to {high:.0%}).",
        _evidence(groups),
        "Do not use these explanations to choose what to change in a molecule; score the changed molecules.",
    )


def _blind(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    share, low, high = worst.share("direction")
    return Finding(
        NAME,
        Severity.WARNING if worst.share("direction")[2] < UNTOLD else Severity.INFO,
        f"Scores tell similar molecules apart better than attribution of what differs does: scores have the "
        f"sign of the difference in activity in {worst.share('ordered')[0]:.0%} of {len(worst.cliffs)} pairs "
        f"({worst.name}), attribution in {share:.0%} (interval {low:.0%} to {high:.0%}; chance is 50%).",
        _evidence(groups),
        "Attribution lies on atoms that the molecules share; compare whole pairs of explanations, not the "
        "changed atoms only.",
    )


def _partly(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    direction, faithful = worst.share("direction"), worst.share("faithful")
    return Finding(
        NAME,
        Severity.INFO,
        f"Attribution of what differs between similar molecules follows the scores ({faithful[0]:.0%} of "
        f"{len(worst.cliffs)} pairs, {worst.name}), but has the sign of the difference in activity in "
        f"{direction[0]:.0%} only, the scores in {worst.share('ordered')[0]:.0%}.",
        _evidence(groups),
        "Part of what tells such molecules apart is attributed to atoms that they share; to decide between "
        "them, compare their scores.",
    )


def _unordered(group: CliffGroup) -> Finding:
    share, low, high = group.share("ordered")
    return Finding(
        NAME,
        Severity.WARNING,
        f"The model does not tell similar molecules of different activity apart: {share:.0%} of "
        f"{len(group.cliffs)} pairs are in the right order (interval {low:.0%} to {high:.0%}; chance is "
        f"50%).",
        _evidence([group]),
        "Do not use scores or explanations to decide between close analogues.",
    )
