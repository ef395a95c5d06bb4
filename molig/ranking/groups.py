"""Scores and labels as a ranking: groups of tied molecules, best first.

Every metric of this room is a function of how many actives and inactives each group of equal scores holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from molig.errors import UsageError

FloatArray = npt.NDArray[np.float64]

_RULES = {
    "label": "it must be 1 (active), 0 (inactive) or NaN (not measured)",
    "score": "it must be a finite number; to leave the molecule out, label it NaN",
    "probability": "it must lie from 0 to 1",
}


@dataclass(frozen=True, eq=False)
class Ranking:
    """Actives and molecules of each group of equal scores, best group first.

    Parameters
    ----------
    actives : array of float, shape (..., n_groups)
        Actives of each group. Leading dimensions are resamples of the same molecules.
    sizes : array of float, shape (..., n_groups)
        Actives and inactives of each group; a resample may leave a group empty.
    """

    actives: FloatArray
    sizes: FloatArray

    @cached_property
    def found(self) -> FloatArray:
        """Actives down to and including each group."""
        total: FloatArray = np.cumsum(self.actives, axis=-1)
        return total

    @cached_property
    def screened(self) -> FloatArray:
        """Molecules down to and including each group."""
        total: FloatArray = np.cumsum(self.sizes, axis=-1)
        return total

    @property
    def n_actives(self) -> int:
        """Actives of the whole ranking; the same in every resample."""
        return round(float(self.found.flat[-1])) if self.found.size else 0

    @property
    def n_molecules(self) -> int:
        """Molecules of the whole ranking; the same in every resample."""
        return round(float(self.screened.flat[-1])) if self.screened.size else 0

    @property
    def has_both_classes(self) -> bool:
        """Whether there are actives and inactives, without which no metric means anything."""
        return 0 < self.n_actives < self.n_molecules

    def condensed(self) -> Ranking:
        """The same ranking with neighbouring groups of inactives made one.

        No metric tells them apart: precision, recall and rank matter only where there are actives. A
        ranking of few actives shrinks to about twice as many groups as it has actives.
        """
        barren = self.actives == 0
        starts = np.flatnonzero(np.concatenate([[True], ~(barren[1:] & barren[:-1])]))
        return Ranking(np.add.reduceat(self.actives, starts), np.add.reduceat(self.sizes, starts))


def ranking_of(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Ranking:
    """Rank the measured molecules; parameters as of `roc_auc`."""
    active, values = measured(labels, scores, "score")
    if not len(values):
        return Ranking(np.empty(0), np.empty(0))
    order = np.argsort(-values, kind="stable")
    values, active = values[order], active[order]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    sizes = np.diff(np.append(starts, len(values))).astype(np.float64)
    return Ranking(np.add.reduceat(active, starts), sizes)


def measured(
    labels: npt.ArrayLike, values: npt.ArrayLike, what: Literal["score", "probability"]
) -> tuple[FloatArray, FloatArray]:
    """Labels and values of the measured molecules, checked.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured.
    values : array_like of float, shape (n,)
        One number a molecule; where it was not measured, anything.
    what : {"score", "probability"}
        What the values are: scores must be finite, probabilities lie from 0 to 1.

    Returns
    -------
    labels, values : array of float, shape (n_measured,)
        Without the molecules that were not measured.

    Raises
    ------
    UsageError
        If the shapes differ, a label is not 0, 1 or NaN, or a value is not what it must be.
    """
    known, found = _vector(labels, "label"), _vector(values, what)
    if len(known) != len(found):
        raise UsageError(
            f"every molecule needs a label and a {what}: {len(known)} labels, but {len(found)} values"
        )
    kept = ~np.isnan(known)
    _check("label", known, ~kept | (known == 0) | (known == 1))
    fits = np.isfinite(found) if what == "score" else (found >= 0) & (found <= 1)
    _check(what, found, ~kept | fits)
    return known[kept], found[kept]


def _vector(values: npt.ArrayLike, what: str) -> FloatArray:
    try:
        vector: FloatArray = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"every {what} must be a number: {error}") from error
    if vector.ndim != 1:
        raise UsageError(f"expected one {what} per molecule, an array of one dimension (got {vector.ndim})")
    return vector


def _check(what: str, values: FloatArray, right: npt.NDArray[np.bool_]) -> None:
    wrong = np.flatnonzero(~right)
    if len(wrong):
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise UsageError(
            f"{what} of molecule {wrong[0]}, counted from 0, is {values[wrong[0]]:g}{more}; {_RULES[what]}"
        )
