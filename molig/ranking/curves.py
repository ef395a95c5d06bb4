"""The curves of a ranking: ROC and enrichment. A group of ties is one straight segment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.ranking.groups import FloatArray, Ranking, ranking_of


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Corners of a ROC curve, from (0, 0) to (1, 1).

    Parameters
    ----------
    false_positive_rate : array of float, shape (n_corners,)
        Share of the inactives down to each corner.
    true_positive_rate : array of float, shape (n_corners,)
        Share of the actives down to each corner.

    Examples
    --------
    >>> roc_curve_points([1, 0], [2.0, 1.0]).area
    1.0
    """

    false_positive_rate: FloatArray
    true_positive_rate: FloatArray

    @property
    def area(self) -> float:
        """Area under the curve, equal to `roc_auc`; NaN for an empty curve."""
        x, y = self.false_positive_rate, self.true_positive_rate
        return float(np.diff(x) @ (y[1:] + y[:-1]) / 2) if len(x) else float("nan")


@dataclass(frozen=True, eq=False)
class EnrichmentCurve:
    """Corners of an enrichment curve, from (0, 0) to (1, 1).

    Parameters
    ----------
    screened : array of float, shape (n_corners,)
        Share of all molecules down to each corner.
    found : array of float, shape (n_corners,)
        Share of the actives among them.
    n_molecules, n_actives : int
        Of the whole ranking.

    Examples
    --------
    >>> enrichment_curve([1, 0, 0, 0], [4.0, 3.0, 2.0, 1.0]).screened
    array([0.  , 0.25, 1.  ])
    """

    screened: FloatArray
    found: FloatArray
    n_molecules: int
    n_actives: int


def roc_curve_points(labels: npt.ArrayLike, scores: npt.ArrayLike) -> RocCurve:
    """Corners of the ROC curve.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    scores : array_like of float, shape (n,)
        Any monotonic score, high for the likely actives.

    Returns
    -------
    RocCurve
        Points on a straight line between their neighbours are left out; no points at all where actives or
        inactives are missing.

    Raises
    ------
    UsageError
        As `roc_auc`.

    Examples
    --------
    >>> roc_curve_points([1, 0, 1], [1.0, 1.0, 1.0]).true_positive_rate
    array([0., 1.])
    """
    ranking = ranking_of(labels, scores)
    if not ranking.has_both_classes:
        return RocCurve(np.empty(0), np.empty(0))
    found, screened = _corners(ranking)
    return RocCurve((screened - found) / (screened - found)[-1], found / found[-1])


def enrichment_curve(labels: npt.ArrayLike, scores: npt.ArrayLike) -> EnrichmentCurve:
    """Corners of the enrichment curve: actives found against molecules screened, best first.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    scores : array_like of float, shape (n,)
        Any monotonic score, high for the likely actives.

    Returns
    -------
    EnrichmentCurve
        Points on a straight line between their neighbours are left out; no points at all where actives or
        inactives are missing.

    Raises
    ------
    UsageError
        As `roc_auc`.

    Examples
    --------
    >>> enrichment_curve([1, 0, 0, 1], [4.0, 3.0, 2.0, 1.0]).found
    array([0. , 0.5, 0.5, 1. ])
    """
    ranking = ranking_of(labels, scores)
    n, n_actives = ranking.n_molecules, ranking.n_actives
    if not ranking.has_both_classes:
        return EnrichmentCurve(np.empty(0), np.empty(0), n, n_actives)
    found, screened = _corners(ranking)
    return EnrichmentCurve(screened / n, found / n_actives, n, n_actives)


def _corners(ranking: Ranking) -> tuple[FloatArray, FloatArray]:
    """Actives and molecules down to each corner of the curve, from none to all."""
    found = np.concatenate([[0.0], ranking.found])
    screened = np.concatenate([[0.0], ranking.screened])
    up, along = np.diff(found), np.diff(screened)
    # Counts are whole numbers, so two steps have exactly the same direction or do not.
    turns = np.concatenate([[True], up[1:] * along[:-1] != up[:-1] * along[1:], [True]])
    return found[turns], screened[turns]
