"""The ablation test: the drop of the score when the atoms said to matter are removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.errors import UsageError
from molig.evaluation.bootstrap import Resampling, ratio_estimate

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ScoreWithout = Callable[[int, list[IntArray]], npt.ArrayLike]

RANDOM = "random"
COLUMNS = ["ranking", "removed", "drop", "low", "high", "n_molecules"]


@dataclass(frozen=True)
class AblationPlan:
    """How many atoms to remove, and what to compare with.

    Parameters
    ----------
    counts : sequence of int
        Numbers of atoms to remove. Molecules with fewer atoms do not count at that number.
    fractions : sequence of float, optional
        Remove these shares of the atoms instead, rounded up to whole atoms.
    random_repeats : int
        Random orders per molecule, averaged; 0 leaves the random ranking out.
    resampling : Resampling
        How intervals are made. Its seed also seeds the random orders and the order of tied atoms.

    Raises
    ------
    UsageError
        If there is nothing to remove, or a number makes no sense.

    Examples
    --------
    >>> AblationPlan(counts=(1, 2)).random_repeats
    10
    """

    counts: Sequence[int] = tuple(range(1, 11))
    fractions: Sequence[float] | None = None
    random_repeats: int = 10
    resampling: Resampling = field(default_factory=Resampling)

    def __post_init__(self) -> None:
        steps = self.steps
        if not len(steps):
            raise UsageError("an ablation needs at least one number of atoms to remove")
        if self.fractions is not None and not all(0 < share <= 1 for share in self.fractions):
            raise UsageError(
                f"shares of removed atoms must lie above 0 and up to 1 (got {list(self.fractions)})"
            )
        if self.fractions is None and not all(count >= 1 for count in self.counts):
            raise UsageError(f"numbers of removed atoms must be at least 1 (got {list(self.counts)})")
        if self.random_repeats < 0:
            raise UsageError(f"random orders per molecule cannot be negative (got {self.random_repeats})")

    @property
    def steps(self) -> Sequence[float]:
        """What the column "removed" of the result holds."""
        return self.counts if self.fractions is None else self.fractions

    def removed(self, n_atoms: int) -> list[int | None]:
        """Atoms to remove from a molecule at each step; None where it has too few."""
        if self.fractions is None:
            return [count if count <= n_atoms else None for count in self.counts]
        # Away from the noise of float: 0.1 of 20 atoms are 2, not 3.
        return [int(np.ceil(round(share * n_atoms, 9))) for share in self.fractions]


def drop_curves(
    score_without: ScoreWithout,
    rankings: Mapping[str, Sequence[FloatArray]],
    plan: AblationPlan | None = None,
) -> pd.DataFrame:
    """Drop of the score when the best-ranked atoms are removed, per ranking.

    Parameters
    ----------
    score_without : callable
        ``(molecule, atom_sets) -> scores``: the molecule's number (counted from 0) and a list of integer
        arrays; returns the score without the atoms of each array, shape (len(atom_sets),). The first array is
        empty: the whole molecule. Equal sets are asked for once.
    rankings : mapping of str to sequence of array of float, shape (n_atoms,)
        Per method the atom scores of every molecule. The highest go first, tied ones in random order.
    plan : AblationPlan, optional
        How many atoms to remove, random orders, and intervals.

    Returns
    -------
    DataFrame
        One row per ranking (the given ones, then "random") and step: mean drop over molecules, its interval
        and the number of molecules. Columns ranking, removed, drop, low, high, n_molecules.

    Raises
    ------
    UsageError
        If the rankings do not cover the same molecules and atoms, hold values that are not finite, or
        `score_without` returns another number of scores or such that are not finite.

    Examples
    --------
    >>> weights = np.array([3.0, 1.0, 0.0])
    >>> def score_without(molecule, atom_sets):
    ...     return [weights.sum() - weights[atoms].sum() for atoms in atom_sets]
    >>> drop_curves(score_without, {"right": [weights]}, AblationPlan(counts=(1, 2)))["drop"].tolist()[:2]
    [3.0, 4.0]
    """
    plan = plan or AblationPlan()
    sizes = _sizes(rankings)
    names = [*rankings, *([RANDOM] if plan.random_repeats else [])]
    drops = np.full((len(names), len(plan.steps), len(sizes)), np.nan)
    for molecule, n_atoms in enumerate(sizes):
        rng = np.random.default_rng([plan.resampling.seed, molecule])
        orders = [[_order(scores[molecule], rng)] for scores in rankings.values()]
        if plan.random_repeats:
            orders.append([rng.permutation(n_atoms) for _ in range(plan.random_repeats)])
        drops[:, :, molecule] = _drops(score_without, molecule, orders, plan.removed(n_atoms))
    rows = []
    for name, curve in zip(names, drops, strict=True):
        for step, values in zip(plan.steps, curve, strict=True):
            known = ~np.isnan(values)
            found = ratio_estimate(np.where(known, values, 0.0), known.astype(float), plan.resampling)
            rows.append((name, step, found.value, found.low, found.high, found.n_molecules))
    return pd.DataFrame(rows, columns=COLUMNS)


def _order(scores: FloatArray, rng: np.random.Generator) -> IntArray:
    """Atoms from the highest score down, tied ones in random order."""
    return np.lexsort((rng.random(len(scores)), -np.asarray(scores, dtype=float)))


def _drops(
    score_without: ScoreWithout, molecule: int, orders: list[list[IntArray]], removed: list[int | None]
) -> FloatArray:
    """Mean drop over the orders of each ranking at each step; NaN where the molecule is too small."""
    place: dict[tuple[int, ...], int] = {(): 0}

    def place_of(order: IntArray, count: int) -> int:
        return place.setdefault(tuple(sorted(order[:count].tolist())), len(place))

    wanted = [
        [None if count is None else [place_of(order, count) for order in repeats] for count in removed]
        for repeats in orders
    ]
    atom_sets = [np.array(atoms, dtype=np.int64) for atoms in place]
    scores = np.asarray(score_without(molecule, atom_sets), dtype=float)
    if scores.shape != (len(atom_sets),) or not np.isfinite(scores).all():
        raise UsageError(
            f"molecule {molecule} (counted from 0): expected {len(atom_sets)} finite scores "
            f"(got shape {scores.shape}, {int((~np.isfinite(scores)).sum())} of them not finite)"
        )
    return np.array(
        [
            [np.nan if places is None else scores[0] - scores[places].mean() for places in steps]
            for steps in wanted
        ]
    )


def _sizes(rankings: Mapping[str, Sequence[FloatArray]]) -> list[int]:
    """Atoms of each molecule, once all rankings agree on them."""
    if not rankings:
        raise UsageError("an ablation needs at least one ranking of the atoms")
    if RANDOM in rankings:
        raise UsageError(f"the name {RANDOM!r} is taken by the random ranking; call yours otherwise")
    first, *others = rankings
    sizes = [len(scores) for scores in rankings[first]]
    for name in others:
        found = [len(scores) for scores in rankings[name]]
        if found != sizes:
            where = next(
                (i for i, pair in enumerate(zip(sizes, found, strict=False)) if pair[0] != pair[1]), None
            )
            place = (
                f"{len(found)} molecules" if where is None else f"{found[where]} atoms in molecule {where}"
            )
            wanted = f"{len(sizes)}" if where is None else f"{sizes[where]}"
            raise UsageError(f"ranking {name!r} has {place}, ranking {first!r} has {wanted}")
    for name, ranking in rankings.items():
        for molecule, scores in enumerate(ranking):
            if not np.isfinite(scores).all():
                raise UsageError(f"ranking {name!r} has a score that is not finite in molecule {molecule}")
    return sizes
