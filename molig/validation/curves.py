"""Curves of a method over all tasks and folds, for figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from molig.ranking import (
    EnrichmentCurve,
    Reliability,
    RocCurve,
    enrichment_curve,
    reliability_curve,
    roc_curve_points,
)
from molig.validation.predictions import FoldScores

FloatArray = npt.NDArray[np.float64]

_POINTS = 401


def mean_roc(folds: Sequence[FoldScores]) -> RocCurve:
    """Mean of the ROC curves of all tasks and folds, at equal shares of the inactives.

    Parameters
    ----------
    folds : sequence of FoldScores
        Scores of a method.

    Returns
    -------
    RocCurve
        The single curve itself where there is one only; no points where there is none.
    """
    curves = [c for c in (roc_curve_points(*pair) for pair in _rankings(folds)) if _has_points(c)]
    if len(curves) == 1:
        return curves[0]
    if not curves:
        return RocCurve(np.empty(0), np.empty(0))
    # Denser at the left, where screeners look.
    share = np.concatenate([[0], np.geomspace(1e-4, 1, _POINTS)])
    # The step at a share of 0 is kept: the curve rises there before the first inactive.
    heights = [np.interp(share, c.false_positive_rate, c.true_positive_rate) for c in curves]
    height = np.mean(heights, axis=0)
    return RocCurve(np.concatenate([[0.0], share]), np.concatenate([[0.0], height]))


def mean_enrichment(folds: Sequence[FoldScores]) -> EnrichmentCurve:
    """Mean of the enrichment curves of all tasks and folds, at equal shares of the molecules.

    Parameters
    ----------
    folds : sequence of FoldScores
        Scores of a method.

    Returns
    -------
    EnrichmentCurve
        The single curve itself where there is one only. A mean states the mean number of molecules and no
        actives, since no one order is the best possible for all.
    """
    curves = [c for c in (enrichment_curve(*pair) for pair in _rankings(folds)) if len(c.screened)]
    if len(curves) == 1:
        return curves[0]
    if not curves:
        return EnrichmentCurve(np.empty(0), np.empty(0), 0, 0)
    n_molecules = round(float(np.mean([c.n_molecules for c in curves])))
    share = np.concatenate([[0], np.geomspace(min(1e-3, 1 / n_molecules), 1, _POINTS)])
    found = np.mean([np.interp(share, c.screened, c.found) for c in curves], axis=0)
    return EnrichmentCurve(share, found, n_molecules, 0)


def pooled_reliability(folds: Sequence[FoldScores]) -> Reliability | None:
    """Reliability of the probabilities of all tasks and folds together; None if the method states none."""
    pairs = [
        (fold.labels.ravel(), fold.probabilities.ravel()) for fold in folds if fold.probabilities is not None
    ]
    if not pairs:
        return None
    labels, probabilities = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    known = ~(np.isnan(labels) | np.isnan(probabilities))
    return reliability_curve(labels[known], probabilities[known]) if known.any() else None


def _rankings(folds: Sequence[FoldScores]) -> Iterator[tuple[FloatArray, FloatArray]]:
    for fold in folds:
        for labels, scores in zip(fold.labels.T, fold.scores.T, strict=True):
            known = ~np.isnan(labels)
            if not np.isnan(scores[known]).any():
                yield labels[known], scores[known]


def _has_points(curve: RocCurve) -> bool:
    return len(curve.true_positive_rate) > 0
