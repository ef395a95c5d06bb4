"""How much attribution lies on features that no training molecule had."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.attribution import Explanation
from molig.audit.block_places import block_places
from molig.audit.subject import AuditSubject
from molig.features import MolGraph
from molig.model import Applicability

NOTICEABLE = 0.05
"""Share of a molecule's attribution, in amount, on features that were never trained."""


@dataclass(frozen=True)
class CarriedByUnseen:
    """Attribution on features that were never trained."""

    shares: dict[tuple[int, str], float]  # place in the explained sample and task
    columns: dict[str, float]  # column to its largest share in a molecule

    @property
    def noticeable(self) -> dict[int, tuple[float, str]]:
        """Place in the explained sample to the largest share, and its task."""
        found: dict[int, tuple[float, str]] = {}
        for (place, task), share in self.shares.items():
            if share > NOTICEABLE and share > found.get(place, (0.0, ""))[0]:
                found[place] = share, task
        return found


def carried_by_unseen(subject: AuditSubject, known: Applicability) -> CarriedByUnseen:
    """Shares of the attributions of all explained molecules; flat scores are left out."""
    shares: dict[tuple[int, str], float] = {}
    columns: dict[str, float] = {}
    for place, by_task in enumerate(subject.explanations):
        for task, explanation in by_task.items():
            masks = known.unseen_entries(explanation.graph)
            if not any(mask.any() for mask in masks):
                break
            amounts = [np.abs(explanation.atom_attributions), np.abs(explanation.pair_attributions)]
            total = float(sum(amount.sum() for amount in amounts))
            on_unseen = float(sum(a[m].sum() for a, m in zip(amounts, masks, strict=True)))
            if total <= 0 or abs(explanation.score - explanation.baseline_score) < _floor(subject, task):
                continue
            shares[place, task] = on_unseen / total
            for name, amount in _by_column(explanation, masks).items():
                columns[name] = max(columns.get(name, 0.0), amount / total)
    return CarriedByUnseen(shares, dict(sorted(columns.items(), key=lambda item: -item[1])))


def _floor(subject: AuditSubject, task: str) -> float:
    """Scores that hardly leave the baseline have nothing to be explained."""
    if not subject.is_regression:
        return 0.01
    return 0.01 * float(subject.logits[:, subject.column(task)].std())


def _by_column(explanation: Explanation, masks: tuple[npt.NDArray[np.bool_], ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    graph: MolGraph = explanation.graph
    sides = (
        ("atom", graph.atom_codes, explanation.atom_attributions, masks[0]),
        ("pair", graph.pair_codes, explanation.pair_attributions, masks[1]),
    )
    for level, codes, amounts, mask in sides:
        sizes = np.where(mask, np.abs(amounts), 0.0)
        for place in block_places(explanation.schema, level):
            block, own = place.block, sizes[:, place.entries]
            if place.is_categorical:
                code, unseen = codes[:, place.stored.start], mask[:, place.entries.start]
                for row in np.flatnonzero(unseen & (code >= 0)):
                    name = f"{level}.{block.name} = {block.columns[code[row]]}"
                    found[name] = found.get(name, 0.0) + float(own[row, 0])
                continue
            for column, amount in zip(block.columns, own.sum(axis=0).tolist(), strict=True):
                if amount > 0:
                    name = f"{level}.{block.name}: {column}"
                    found[name] = found.get(name, 0.0) + amount
    return found


def touched_atoms(explanation: Explanation, known: Applicability) -> list[int]:
    """Atoms whose own features or pairs carry attribution on what was never trained."""
    atoms, pairs = known.unseen_entries(explanation.graph)
    ends = explanation.graph.pair_atoms[(pairs & (explanation.pair_attributions != 0)).any(axis=1)]
    own = np.flatnonzero((atoms & (explanation.atom_attributions != 0)).any(axis=1))
    return sorted({*own.tolist(), *ends.ravel().tolist()})
