"""The ledger of a score: what it is made of, from the baseline's score to the molecule's, entry by entry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from molig.attribution.targets import Target
from molig.depiction.waterfall import Waterfall, draw_waterfall
from molig.errors import UnknownNameError, UsageError
from molig.features.environments import block_of

if TYPE_CHECKING:
    from molig.attribution.explanation import Explanation

TYPES, GROUPS = "types", "groups"
WAYS = (TYPES, GROUPS)
"""Ways to divide a score: by types of atoms and bonds, or by functional groups and ring systems."""


@dataclass(frozen=True)
class Entry:
    """One line of a ledger.

    Parameters
    ----------
    part : str
        "atoms", "bonded pairs", "non-bonded pairs", "substructures", "absent substructures", "groups",
        "size and shape" (against a reference) or "residual".
    name : str
        Which of them: "aromatic C atoms", "double bonds", "nitro"; the part itself where it is not divided.
    score : float
        What it contributes, in the unit of the score.
    """

    part: str
    name: str
    score: float


@dataclass(frozen=True)
class Ledger:
    """How a score adds up: ``start`` and all entries together are ``end``.

    Parameters
    ----------
    title : str
        The molecule's name, or how many molecules this is the mean of.
    task, target : str
        What was explained.
    start_name : str
        What the score is counted from.
    start, end : float
        F(x') and F(x), or their means.
    entries : tuple of Entry
        In the order of their parts, the largest first; the residual comes last.
    n_molecules : int
        How many molecules it is the mean of.

    Examples
    --------
    >>> import molig
    >>> why = molig.explain("tox21-w2n2-simple", "CC(=O)Oc1ccccc1C(=O)O", task="SR-ARE")
    >>> sorted(entry.name for entry in why.ledger("groups").entries)
    ['acetate ester', 'benzene', 'carboxylic acid', 'residual']
    >>> ledger = why.ledger()
    >>> abs(ledger.start + sum(entry.score for entry in ledger.entries) - ledger.end) < 1e-12
    True
    """

    title: str
    task: str
    target: str
    start_name: str
    start: float
    end: float
    entries: tuple[Entry, ...]
    n_molecules: int = 1

    @property
    def waterfall(self) -> Waterfall:
        """The same to be drawn."""
        return Waterfall(
            f"{self.title} · {self.task}",
            self.start_name,
            self.start,
            self.end,
            [(entry.name, entry.score) for entry in self.entries],
            self.task if self.target == Target.VALUE.value else self.target,
        )

    def to_svg(self, **options: Any) -> str:
        """Waterfall as SVG; the options are those of `molig.depiction.draw_waterfall`."""
        return draw_waterfall(self.waterfall, **options).decode()

    def to_png(self, **options: Any) -> bytes:
        """Waterfall as PNG; the options are those of `molig.depiction.draw_waterfall`."""
        return draw_waterfall(self.waterfall, kind="png", **options)

    def _repr_html_(self) -> str:
        svg = self.to_svg()
        return svg[svg.index("<svg") :]

    def to_frame(self) -> pd.DataFrame:
        """A row per entry, first the start and last the end.

        Returns
        -------
        DataFrame
            Columns ``id, task, target, part, name, score, total``; ``total`` is the sum so far.
        """
        rows, total = [("start", self.start_name, self.start, self.start)], [self.start]
        for entry in self.entries:
            total.append(entry.score)
            rows.append((entry.part, entry.name, entry.score, math.fsum(total)))
        rows.append(("end", "score", self.end, self.end))
        frame = pd.DataFrame(rows, columns=["part", "name", "score", "total"])
        for place, column in enumerate(("title", "task", "target")):
            frame.insert(place, {"title": "id"}.get(column, column), getattr(self, column))
        return frame


def ledger_of(explanations: Sequence[Explanation], by: str = TYPES) -> Ledger:
    """Ledger of one explanation, or the mean ledger of several.

    Parameters
    ----------
    explanations : sequence of Explanation
        All of one task and target.
    by : {"types", "groups"}
        Atoms by element and aromaticity, bonded pairs by the type of the bond, all other pairs, and of a
        committee its blocks of substructures; or everything that atoms bear (`Explanation.atom_scores`) by
        functional groups and ring systems, as `molig.molecules.groups.named_groups` divides a molecule.

    Returns
    -------
    Ledger
        What a molecule does not have counts as 0 in the mean.

    Raises
    ------
    UsageError
        If there is no explanation, or they are of several tasks or targets.
    UnknownNameError
        For another ``by``.
    """
    if by not in WAYS:
        raise UnknownNameError("way to divide a score", by, WAYS)
    if not explanations:
        raise UsageError("no explanations: a ledger needs at least one")
    asked = sorted({(each.task, each.target) for each in explanations})
    if len(asked) > 1:
        named = " and ".join(f"{task} ({target})" for task, target in asked[:2])
        raise UsageError(f"one ledger is of one task and target (got {named})")
    n = len(explanations)
    sums: dict[tuple[str, str], list[float]] = {}
    for explanation in explanations:
        for entry in _by_types(explanation) if by == TYPES else _by_groups(explanation):
            sums.setdefault((entry.part, entry.name), []).append(entry.score)
    entries = [Entry(*key, math.fsum(scores) / n) for key, scores in sums.items()]
    first = explanations[0]
    start = math.fsum(each.start for each in explanations) / n
    end = math.fsum(each.score for each in explanations) / n
    # What is left closes the sum to the last digit.
    residual = math.fsum([end, -start, *(-entry.score for entry in entries)])
    baselines = {each.start_name for each in explanations}
    return Ledger(
        title=(first.id or first.smiles) if n == 1 else f"mean of {n:,} molecules",
        task=first.task,
        target=first.target,
        start_name=baselines.pop() if len(baselines) == 1 else "baseline",
        start=start,
        end=end,
        entries=(*_ordered(entries), Entry("residual", "residual", residual)),
        n_molecules=n,
    )


def _ordered(entries: Sequence[Entry]) -> list[Entry]:
    """Parts in the order in which they came, in each the largest entry first."""
    place = {part: number for number, part in enumerate(dict.fromkeys(entry.part for entry in entries))}
    return sorted(entries, key=lambda entry: (place[entry.part], -abs(entry.score), entry.name))


def _by_groups(explanation: Explanation) -> Iterable[Entry]:
    for group in explanation.groups:
        yield Entry("groups", group.name, group.score)
    yield from _undivided(explanation)


def _by_types(explanation: Explanation) -> Iterable[Entry]:
    atoms = explanation.mol.GetAtomWithIdx
    for index, score in enumerate(explanation.own_atom_scores.tolist()):
        atom = atoms(index)
        kind = "aromatic " if atom.GetIsAromatic() else ""
        yield Entry("atoms", f"{kind}{atom.GetSymbol()} atoms", score)
    bonded = explanation.bonded_pairs
    ends, scores = explanation.graph.pair_atoms, explanation.pair_scores
    for (i, j), score in zip(ends[bonded].tolist(), scores[bonded].tolist(), strict=True):
        kind = str(explanation.mol.GetBondBetweenAtoms(i, j).GetBondType()).lower()
        yield Entry("bonded pairs", f"{kind} bonds", score)
    if (~bonded).any():
        yield Entry("non-bonded pairs", "non-bonded pairs", math.fsum(scores[~bonded].tolist()))
    held, blocks = explanation.graph.environments, explanation.schema.environment_blocks
    if held is not None and len(explanation.environment_attributions):
        for key, score in zip(held.ids.tolist(), explanation.environment_attributions.tolist(), strict=True):
            yield Entry("substructures", block_of(key, blocks).name.replace("_", " "), score)
    yield from _undivided(explanation)


def _undivided(explanation: Explanation) -> Iterable[Entry]:
    """What no atom bears."""
    if explanation.absent:
        yield Entry("absent substructures", "absent substructures", explanation.absent_score)
    if explanation.reference:
        yield Entry("size and shape", "size and shape", explanation.size_and_shape)
