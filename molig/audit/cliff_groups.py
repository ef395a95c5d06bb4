"""Cliffs of a task, or of all: shares of pairs in which scores and attributions have the right sign."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import binomtest

from molig.audit.cliffs import Cliff
from molig.audit.figures import draw
from molig.audit.findings import Figure
from molig.audit.intervals import Estimate, bootstrap_median, bootstrap_share, spearman, wilson
from molig.audit.subject import FloatArray

CERTAIN = 0.01
"""Chance by which a difference between scores and attributions must not be luck."""
Z_TASK = 2.5758
"""99 % intervals for single tasks, of which there are many."""
_BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class CliffGroup:
    """The cliffs of one task, or of all."""

    name: str
    cliffs: list[Cliff]
    z: float

    def share(self, measure: str) -> tuple[float, float, float]:
        """Share and its interval; ties count as half."""
        values = self.values(measure)
        n = len(values)
        return (float(values.mean()) if n else float("nan"), *wilson(float(values.sum()), n, self.z))

    def values(self, measure: str) -> FloatArray:
        """A measure of every cliff that has it: 1 right, 0 wrong, 0.5 tied."""
        values = np.array([getattr(cliff, measure)() for cliff in self.cliffs], dtype=float)
        return np.asarray(values[np.isfinite(values)])

    def numbers(self) -> dict[str, Any]:
        """What to report."""
        names = {
            "direction": "attribution_has_sign_of_activity",
            "ordered": "score_has_sign_of_activity",
            "faithful": "attribution_has_sign_of_score",
        }
        found: dict[str, Any] = {"pairs": len(self.cliffs)}
        for measure, name in names.items():
            found[name] = dict(zip(("share", "low", "high"), self.share(measure), strict=True))
        return found

    @property
    def worse_than_scores(self) -> bool:
        """Whether attributions go wrong significantly more often than scores (sign test over pairs)."""
        difference = self.values("ordered") - self.values("direction")
        lost, won = int((difference > 0).sum()), int((difference < 0).sum())
        return bool(lost + won and binomtest(lost, lost + won, alternative="greater").pvalue < CERTAIN)


@dataclass(frozen=True)
class CommonAtoms:
    """How far attributions of the atoms that two similar molecules share agree.

    Parameters
    ----------
    same_sign : Estimate
        Share of the matched atoms with the same sign in both molecules.
    strong : Estimate
        The same of atoms that matter in both.
    n_strong : int
        How many such atoms there are.
    """

    same_sign: Estimate
    strong: Estimate
    n_strong: int

    def numbers(self) -> dict[str, Any]:
        """What to report; no share without atoms."""
        shares = {"same_sign": self.same_sign, "same_sign_of_strong_atoms": self.strong}
        found: dict[str, Any] = {
            name: None if np.isnan(one.value) else [one.value, one.low, one.high]
            for name, one in shares.items()
        }
        return found | {"strong_atoms": self.n_strong}


def common_atoms(cliffs: list[Cliff], rng: np.random.Generator) -> CommonAtoms:
    """Count common atoms whose attributions have the same sign; intervals by resampling pairs.

    Parameters
    ----------
    cliffs : list of Cliff
        The pairs.
    rng : Generator
        Draws the samples.

    Returns
    -------
    CommonAtoms
    """
    every = np.array([cliff.same_sign() for cliff in cliffs], dtype=np.int64).reshape(-1, 2)
    strong = np.array([cliff.same_sign(strong=True) for cliff in cliffs], dtype=np.int64).reshape(-1, 2)
    return CommonAtoms(
        bootstrap_share(every[:, 0], every[:, 1], rng),
        bootstrap_share(strong[:, 0], strong[:, 1], rng),
        int(strong[:, 1].sum()),
    )


def by_common_share(cliffs: list[Cliff], rng: np.random.Generator) -> dict[str, Any]:
    """Agreement of attributions by the share of the molecules that is common.

    Parameters
    ----------
    cliffs : list of Cliff
        The pairs.
    rng : Generator
        Draws the samples of the intervals.

    Returns
    -------
    dict
        By bin, such as ``"0.8-0.9"``: number of pairs, and shares and a median, each with its interval.
    """
    found: dict[str, Any] = {}
    (signs,) = rng.spawn(1)
    for low, high in pairwise(_BINS):
        inside = [c for c in cliffs if low <= c.common.share < high or (high == 1.0 == c.common.share)]
        if not inside:
            continue
        correlations = [spearman(*cliff.common_atoms()) for cliff in inside]
        known = [value for value in correlations if np.isfinite(value)]
        found[f"{low:.1f}-{high:.1f}"] = {
            "pairs": len(inside),
            "direction": list(CliffGroup("", inside, 1.96).share("direction")),
            "rank_correlation": [float(np.median(known)), *bootstrap_median(known, rng)] if known else None,
            **common_atoms(inside, signs).numbers(),
        }
    return found


def cliff_figures(groups: list[CliffGroup], shares: dict[str, Any]) -> list[Figure]:
    """Shares by task, and agreement by the common share."""

    def directions(axes: Any) -> None:
        for row, group in enumerate(groups):
            for offset, measure, colour in ((-0.15, "direction", "#0072B2"), (0.15, "ordered", "#D55E00")):
                share, low, high = group.share(measure)
                axes.plot([low, high], [row + offset] * 2, color=colour, linewidth=1.2)
                axes.plot([share], [row + offset], "o", color=colour, markersize=4)
        axes.set_yticks(range(len(groups)), [f"{g.name} ({len(g.cliffs)})" for g in groups], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.axvline(0.5, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_xlabel("share of pairs with the sign of activity: blue attribution, orange score")

    size = (5.2, max(1.8, 1.1 + 0.3 * len(groups)))
    return [
        draw("Pairs of similar molecules: direction", directions, size),
        draw("Agreement by what both molecules have", lambda axes: _agreement(axes, shares)),
    ]


_AGREEMENT = {
    "direction": ("#0072B2", "pairs: what differs has the sign of activity"),
    "same_sign": ("#009E73", "common atoms: same sign"),
    "rank_correlation": ("#D55E00", "common atoms: rank correlation, median"),
}


def _agreement(axes: Any, shares: dict[str, Any]) -> None:
    for offset, (measure, (colour, label)) in zip((-0.15, 0.0, 0.15), _AGREEMENT.items(), strict=True):
        known = [
            (place + offset, item[measure]) for place, item in enumerate(shares.values()) if item[measure]
        ]
        for place, (_, low, high) in known:
            axes.plot([place] * 2, [low, high], color=colour, linewidth=1.2)
        at = [place for place, _ in known]
        axes.plot(at, [values[0] for _, values in known], "o", color=colour, markersize=4, label=label)
    axes.axhline(0.5, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_xticks(range(len(shares)), [f"{k}\n({v['pairs']})" for k, v in shares.items()], fontsize=8)
    axes.set_xlabel("common substructure, share of the larger molecule (pairs)")
    axes.set_ylim(top=1.45)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    axes.legend(frameon=False, fontsize=7.5, loc="upper left")
