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
from molig.audit.intervals import bootstrap_median, wilson
from molig.audit.stability_partners import rank_correlation
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


def by_common_share(cliffs: list[Cliff], rng: np.random.Generator) -> dict[str, Any]:
    """Agreement of attributions by the share of the molecules that is common."""
    found: dict[str, Any] = {}
    for low, high in pairwise(_BINS):
        inside = [c for c in cliffs if low <= c.common.share < high or (high == 1.0 == c.common.share)]
        if not inside:
            continue
        group = CliffGroup("", inside, 1.96)
        correlations, same, total = [], 0, 0
        for cliff in inside:
            first, second = cliff.common_atoms()
            correlation = rank_correlation(first, second)
            if np.isfinite(correlation):
                correlations.append(correlation)
            same += int((first * second > 0).sum())
            total += int((first * second != 0).sum())
        found[f"{low:.1f}-{high:.1f}"] = {
            "pairs": len(inside),
            "direction": group.share("direction"),
            "rank_correlation": float(np.median(correlations)) if correlations else None,
            "rank_correlation_interval": bootstrap_median(correlations, rng) if correlations else None,
            "same_sign": same / total if total else None,
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

    def agreement(axes: Any) -> None:
        known = {k: v for k, v in shares.items() if v["rank_correlation"] is not None}
        for place, item in enumerate(known.values()):
            axes.plot([place] * 2, item["rank_correlation_interval"], color="#0072B2", linewidth=1.2)
            axes.plot([place], [item["rank_correlation"]], "o", color="#0072B2", markersize=4)
        axes.set_xticks(range(len(known)), [f"{k}\n({v['pairs']})" for k, v in known.items()], fontsize=8)
        axes.set_xlabel("common substructure, share of the larger molecule (pairs)")
        axes.set_ylabel("rank correlation")

    size = (5.2, max(1.8, 1.1 + 0.3 * len(groups)))
    return [
        draw("Pairs of similar molecules: direction", directions, size),
        draw("Agreement about the atoms that both have", agreement),
    ]
