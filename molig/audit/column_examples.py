"""Explained molecules that show what a finding about input columns means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from molig.attribution import Explanation
from molig.audit.column_study import ColumnStudy, Place
from molig.audit.columns import (
    LEVELS,
    atom_scores_of,
    column_table,
)
from molig.audit.findings import MOST_EXAMPLES, Example, marked_example, scored_example
from molig.features import pack


def absorbing(study: ColumnStudy, places: Sequence[Place]) -> list[Example]:
    """Molecules with what the columns alone contribute to each atom."""
    chosen = {level: [i for where, i in places if where == level] for level in LEVELS}
    task = max(study.share_by_task(places).items(), key=lambda item: item[1])[0]
    whys = [by[task] for by in study.subject.explanations if np.isfinite(by[task].atom_scores).all()]
    shown = sorted(whys, key=lambda why: -abs(why.score - why.baseline_score))[: MOST_EXAMPLES // 2]
    examples = []
    for why in shown:
        scores = atom_scores_of(why, chosen)
        note = f"{task}: {scores.sum():+.2f} of {why.score - why.baseline_score:+.2f} come from these columns"
        examples.append(scored_example(why, scores, note))
    return examples


def occurrences(study: ColumnStudy, place: Place) -> list[Example]:
    """Explained molecules that have a column, with the atoms that have it."""
    level, i = place
    found: list[Example] = []
    for by_task in study.subject.explanations:
        why: Explanation = next(iter(by_task.values()))
        has = np.flatnonzero(column_table(pack([why.graph]), why.schema, level).values[:, i])
        if not len(has):
            continue
        atoms = has if level == "atom" else np.unique(why.graph.pair_atoms[has])
        found.append(marked_example(why, atoms.tolist(), f"{study.column(place)}"))
        if len(found) == MOST_EXAMPLES // 2:
            break
    return found
