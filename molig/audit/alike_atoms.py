"""Pairs of atoms in different surroundings, and whether their attributions differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from molig.attribution import Explanation
from molig.audit.environments import LEVELS, attribution_colors, environments, pairs_by_level, surroundings

FloatArray = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

IDENTICAL = 1e-4
"""Difference, as a share of a molecule's largest attribution, that rounding in single precision explains."""
INVISIBLE = 1e-3
"""Difference, as a share of the largest attribution, that no reader of a picture or a table sees."""
UNSEEN, UNUSED = 0.5, 0.5
"""Share, of the pairs that only their neighbours' types tell apart, that cannot be or are not told apart."""
LEAST_SHARE, ERROR_SHARE = 0.01, 0.05
"""Share of those pairs, among all with other neighbours, that is worth a warning, and that is an error."""
LEAST_PAIRS = 5
"""Pairs from which on coincidence of a few weights is no explanation."""
NEIGHBOURS = LEVELS.index("radius 1")
"""Level of pairs that are alike in their own bonds and differ in what they are bonded to."""

MOST_ENVIRONMENTS = 10
"""Kinds of pairs that are listed."""

_SMALLEST = 1e-9  # largest attribution of a molecule below which there is nothing to compare


@dataclass(frozen=True)
class AlikePairs:
    """Pairs of atoms of one molecule that first differ in their neighbours, and how they fare."""

    explanations: Mapping[str, Explanation]
    pairs: Index  # (2, n): alike in own bonds, different at radius 1, told apart by neighbours' types only
    blind: Flags  # the architecture cannot tell them apart
    gaps: FloatArray  # (n_tasks, n): differences; NaN where the explanation is flat


@dataclass
class Tally:
    """Numbers of pairs by level, and of (pair, task)."""

    pairs: Index = field(default_factory=lambda: np.zeros(len(LEVELS), dtype=np.int64))
    blind: Index = field(default_factory=lambda: np.zeros(len(LEVELS), dtype=np.int64))
    asked: Index = field(default_factory=lambda: np.zeros(len(LEVELS), dtype=np.int64))
    identical: Index = field(default_factory=lambda: np.zeros(len(LEVELS), dtype=np.int64))
    unused: Index = field(default_factory=lambda: np.zeros(len(LEVELS), dtype=np.int64))
    flat: int = 0

    def add(self, level: Index, blind: Flags, gaps: FloatArray) -> None:
        """Count the pairs of a molecule that differ at some level."""
        known = np.isfinite(gaps)
        self.flat += int((~known.any(axis=1)).sum()) if gaps.shape[1] else 0
        identical = known & (gaps <= IDENTICAL)
        self.pairs += _by_level(level)
        self.blind += _by_level(level, blind)
        self.asked += _by_level(level, known)
        self.identical += _by_level(level, identical)
        self.unused += _by_level(level, identical & ~blind)

    def table(self) -> dict[str, dict[str, float | int | None]]:
        """What to report, by level."""
        rows: dict[str, dict[str, float | int | None]] = {}
        for i, name in enumerate(LEVELS):
            rows[name] = {
                "pairs": int(self.pairs[i]),
                "share_identical": share_of(self.identical[i], self.asked[i]),
                "share_architecture_cannot_tell_apart": share_of(self.blind[i], self.pairs[i]),
                "share_identical_though_it_could": share_of(self.unused[i], self.asked[i]),
            }
        return rows


def study_pairs(explanations: Mapping[str, Explanation], n_modules: int, tally: Tally) -> AlikePairs:
    """Count the pairs of a molecule, and keep those that only neighbours' types tell apart."""
    one = next(iter(explanations.values()))
    pairs, level = pairs_by_level(environments(one.mol))
    colors = attribution_colors(one.graph, n_modules)
    blind = colors[pairs[0]] == colors[pairs[1]]
    gaps = np.array([_gaps(explanation, pairs) for explanation in explanations.values()])
    differ = level < len(LEVELS)
    tally.add(level[differ], blind[differ], gaps[:, differ])
    # One module sees an atom and its pairs: what it cannot tell apart differs in the atoms around only.
    near = attribution_colors(one.graph, 1)
    kept = (level == NEIGHBOURS) & (near[pairs[0]] == near[pairs[1]])
    return AlikePairs(explanations, pairs[:, kept], blind[kept], gaps[:, kept])


def _gaps(explanation: Explanation, pairs: Index) -> FloatArray:
    """Largest difference of any entry between two atoms, as a share of the largest attribution."""
    scores = explanation.atom_attributions
    largest = max(np.abs(scores).max(initial=0.0), np.abs(explanation.pair_attributions).max(initial=0.0))
    if not largest > _SMALLEST:
        return np.full(pairs.shape[1], np.nan)
    gaps = np.abs(scores[pairs[0]] - scores[pairs[1]]).max(axis=1, initial=0.0) / largest
    return np.asarray(gaps, dtype=np.float64)


class CriticalPairs:
    """Pairs of all molecules that only the types of their neighbours tell apart.

    Parameters
    ----------
    molecules : list of AlikePairs
        With such pairs.
    tasks : tuple of str
        Tasks audited.
    n_differing : int
        Pairs that first differ in their neighbours, however the network could tell them apart.
    """

    def __init__(self, molecules: list[AlikePairs], tasks: tuple[str, ...], n_differing: int) -> None:
        self.molecules, self.tasks, self.n_differing = molecules, tasks, n_differing
        none = [np.zeros((len(tasks), 0))]
        self.blind = np.concatenate([np.zeros(0, dtype=bool), *(m.blind for m in molecules)])
        self.gaps = np.concatenate([*none, *(m.gaps for m in molecules)], axis=1)

    @property
    def share(self) -> float:
        """Among all pairs that first differ in their neighbours."""
        return len(self.blind) / self.n_differing

    @property
    def unseen(self) -> bool:
        """Whether the architecture is blind to neighbours' types, and attributions show it."""
        if not len(self.blind) or self.share < LEAST_SHARE or self.blind.mean() < UNSEEN:
            return False
        gaps = self.gaps[:, self.blind]
        known = np.isfinite(gaps)
        return bool(known.any() and (gaps[known] <= IDENTICAL).mean() >= UNSEEN)

    @property
    def tasks_unused(self) -> list[str]:
        """Tasks on which pairs that the network could tell apart get the same attributions."""
        if self.share < LEAST_SHARE:
            return []
        shares = self.invisible_by_task
        return [task for task, share in shares.items() if share is not None and share >= UNUSED]

    @property
    def invisible_by_task(self) -> dict[str, float | None]:
        """Share, of the pairs that the network could tell apart, without a visible difference."""
        found: dict[str, float | None] = {}
        for task, gaps in zip(self.tasks, self.gaps[:, ~self.blind], strict=True):
            known = gaps[np.isfinite(gaps)]
            enough = len(known) >= LEAST_PAIRS
            found[task] = float((known <= INVISIBLE).mean()) if enough else None
        return found

    def affected(self, most: float, *, blind: bool) -> list[tuple[AlikePairs, Flags]]:
        """Molecules with pairs closer than ``most`` on every task where anything is attributed."""
        found = []
        for molecule in self.molecules:
            known = np.isfinite(molecule.gaps)
            close = ((molecule.gaps <= most) | ~known).all(axis=0) & known.any(axis=0)
            close &= molecule.blind == blind
            if close.any():
                found.append((molecule, close))
        return found

    def identical(self) -> list[tuple[AlikePairs, Flags]]:
        """Molecules with pairs that are identical, whether or not the architecture could tell them apart."""
        return [*self.affected(IDENTICAL, blind=True), *self.affected(IDENTICAL, blind=False)]

    def numbers(self) -> dict[str, object]:
        """What to report."""
        known = self.gaps[np.isfinite(self.gaps)]
        return {
            "pairs": len(self.blind),
            "share_of_pairs_with_other_neighbours": self.share,
            "share_architecture_cannot_tell_apart": share_of(self.blind.sum(), len(self.blind)),
            "share_identical": share_of((known <= IDENTICAL).sum(), len(known)),
            "share_without_visible_difference_though_it_could": self.invisible_by_task,
        }


def environments_of(affected: list[tuple[AlikePairs, Flags]]) -> dict[str, int]:
    """Count pairs by what their two atoms are and are bonded to; the most frequent kinds first.

    Parameters
    ----------
    affected : list of (AlikePairs, array of bool)
        Molecules, and which of their pairs to count; see `CriticalPairs.affected`.

    Returns
    -------
    dict of str to int
        At most `MOST_ENVIRONMENTS` texts such as ``"C bonded to C,N | C bonded to C,O"`` (the two atoms in
        alphabetical order) with their numbers of pairs.
    """
    found: Counter[str] = Counter()
    for molecule, chosen in affected:
        texts = surroundings(next(iter(molecule.explanations.values())).mol)
        found.update(" | ".join(sorted((texts[i], texts[j]))) for i, j in molecule.pairs[:, chosen].T)
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:MOST_ENVIRONMENTS])


def _by_level(level: Index, chosen: Flags | None = None) -> Index:
    """Number of pairs, or of (task, pair) chosen, by level."""
    weights = None if chosen is None else np.atleast_2d(chosen).sum(axis=0)
    return np.bincount(level, weights, len(LEVELS)).astype(np.int64)


def share_of(part: float, whole: float) -> float | None:
    """One number as a share of another; None of nothing."""
    return float(part / whole) if whole else None
