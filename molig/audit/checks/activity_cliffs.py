"""Whether attribution explains why similar molecules differ in activity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from molig.audit.cliff_findings import ENOUGH, NAME, judge_cliffs
from molig.audit.cliff_groups import Z_TASK, CliffGroup, by_common_share, cliff_figures, common_atoms
from molig.audit.cliffs import MOST_ATOMS, Cliff, Overlap, Searches
from molig.audit.findings import NotApplicable, Outcome
from molig.audit.pairs import similar_pairs
from molig.audit.registry import register
from molig.audit.subject import ActivityPair, AuditSubject, FloatArray, explain_molecules
from molig.molecules import Molecule, Record

SIMILAR = 0.6
"""Tanimoto similarity from which molecules of different activity make a cliff."""
PAIRS_PER_TASK, PAIRS = 60, 300
"""Pairs compared of a task, and of all tasks together; of more, a sample drawn with the seed. Of a
single task half as many as of all, and of many tasks enough of each."""


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
    most = _most_per_task(len({pair.task for pair in pairs}))
    chosen = _sample(subject, pairs, most)
    searches = Searches()
    cliffs = _cliffs(subject, chosen, searches)
    groups = [CliffGroup(t, [c for c in cliffs if c.pair.task == t], Z_TASK) for t in subject.tasks]
    groups = [group for group in groups if group.cliffs]
    everything = CliffGroup("all tasks", cliffs, 1.96)
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


def _pairs_of_labels(subject: AuditSubject) -> list[ActivityPair]:
    columns = [subject.column(task) for task in subject.tasks]
    values = subject.require_labels()[:, columns]
    labelled = np.flatnonzero(np.isfinite(values).any(axis=1))
    values = values[labelled]
    least = np.array([_least_difference(column, subject.is_regression) for column in values.T])
    mols = [subject.molecules[int(i)].mol for i in labelled]
    found = []
    places = similar_pairs(mols, values, least, SIMILAR)
    for task, column, pairs in zip(subject.tasks, values.T, places, strict=True):
        for i, j in pairs:
            texts = [subject.molecules[int(labelled[place])].smiles for place in (i, j)]
            found.append(ActivityPair(texts[0], texts[1], float(column[i] - column[j]), task))
    return found


def _least_difference(values: FloatArray, regression: bool) -> float:
    """1 for classes, the spread of values; infinite where nothing differs."""
    known = values[np.isfinite(values)]
    spread = float(known.std()) if len(known) > 1 else 0.0
    if spread == 0:
        return np.inf
    return spread if regression else 1.0


def _most_per_task(n_tasks: int) -> int:
    """Pairs compared of each of so many tasks that have any."""
    return PAIRS // 2 if n_tasks == 1 else min(PAIRS_PER_TASK, max(ENOUGH, PAIRS // n_tasks))


def _sample(subject: AuditSubject, pairs: Sequence[ActivityPair], most: int) -> list[ActivityPair]:
    """Of each task as many, in an order that does not depend on the other tasks."""
    rng = subject.rng(NAME)
    chosen: list[ActivityPair] = []
    for task in subject.tasks:
        own = [pair for pair in pairs if pair.task == task]
        if not own:
            continue
        kept = np.sort(rng.permutation(len(own))[:most])
        chosen += [own[i] for i in kept]
    return chosen


def _cliffs(subject: AuditSubject, pairs: Sequence[ActivityPair], searches: Searches) -> list[Cliff]:
    found = []
    for task in subject.tasks:
        own = [pair for pair in pairs if pair.task == task]
        texts = dict.fromkeys(text for pair in own for text in (pair.first, pair.second))
        records = [Record(row, str(row), text) for row, text in enumerate(texts, start=1)]
        molecules = {m.smiles: m for m in subject.model.parser.parse_many(records)[0]}
        matched = [(pair, _matched(molecules, pair, searches)) for pair in own]
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


def _matched(molecules: dict[str, Molecule], pair: ActivityPair, searches: Searches) -> Overlap | None:
    """What the molecules of a pair share; None if one cannot be used or nothing differs."""
    first, second = molecules.get(pair.first), molecules.get(pair.second)
    if first is None or second is None:
        return None
    common = searches.overlap(first.mol, second.mol)
    whole = first.mol.GetNumAtoms() == second.mol.GetNumAtoms()
    return None if common is None or (common.share == 1.0 and whole) else common
