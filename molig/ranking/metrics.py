"""How well scores put actives before inactives, with ties counted in expectation.

A method gains and loses nothing from scores that do not distinguish molecules, and the order in which
molecules are listed plays no part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy.typing as npt

from molig.ranking.groups import FloatArray, Ranking, ranking_of
from molig.ranking.kernels import (
    DEFAULT_ALPHA,
    average_precision,
    bedroc_of,
    check_alpha,
    enrichment,
    roc_area,
    top_count,
)


def roc_auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve: the chance that an active scores above an inactive.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    scores : array_like of float, shape (n,)
        Any monotonic score, high for the likely actives; a tie counts one half.

    Returns
    -------
    float
        From 0 to 1, 0.5 for a random order; NaN where actives or inactives are missing.

    Raises
    ------
    UsageError
        If the shapes differ, a label is not 0, 1 or NaN, or the score of a measured molecule is not finite.

    Examples
    --------
    >>> roc_auc([1, 0, 1, 0], [0.9, 0.2, 0.5, 0.5])
    0.875
    """
    return _figure(roc_area, ranking_of(labels, scores))


def pr_auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the precision-recall curve, as average precision.

    The mean over the actives of the precision among all molecules that score at least as high; tied molecules
    enter together, as a threshold cannot part them.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    scores : array_like of float, shape (n,)
        Any monotonic score, high for the likely actives.

    Returns
    -------
    float
        From 0 to 1, about the share of actives for a random order; NaN where actives or inactives are
        missing.

    Raises
    ------
    UsageError
        As `roc_auc`.

    References
    ----------
    The same figure as ``sklearn.metrics.average_precision_score``: steps, no interpolation.

    Examples
    --------
    >>> pr_auc([1, 0, 1], [3.0, 2.0, 1.0]) == (1 + 2 / 3) / 2
    True
    """
    return _figure(average_precision, ranking_of(labels, scores))


def bedroc(labels: npt.ArrayLike, scores: npt.ArrayLike, alpha: float = DEFAULT_ALPHA) -> float:
    """Boltzmann-enhanced discrimination of ROC: early recognition, from 0 (actives last) to 1 (first).

    An active at rank r of N counts exp(-alpha r / N); tied molecules count the mean of their ranks' weights,
    which is the mean over all their orders.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    scores : array_like of float, shape (n,)
        Any monotonic score, high for the likely actives.
    alpha : float
        How early recognition must be: with 20, the first 8 % of the ranks carry 80 % of the weight.

    Returns
    -------
    float
        NaN where actives or inactives are missing. It depends on the share of actives, so compare within one
        set only.

    Raises
    ------
    UsageError
        As `roc_auc`, or if alpha is not above 0.

    References
    ----------
    Truchon & Bayly, J. Chem. Inf. Model. 2007, 47, 488-508, doi:10.1021/ci600426e.

    Examples
    --------
    >>> bedroc([1, 1, 0, 0, 0], [5, 4, 3, 2, 1]), bedroc([0, 0, 0, 1, 1], [5, 4, 3, 2, 1])
    (1.0, 0.0)
    """
    check_alpha(alpha)
    return _figure(lambda ranking: bedroc_of(ranking, alpha), ranking_of(labels, scores))


def enrichment_factor(labels: npt.ArrayLike, scores: npt.ArrayLike, fraction: float) -> float:
    """How many times more actives the top of the ranking holds than a random choice of that size.

    Of molecules tied over the end of the top, as many count as have room, with their share of actives: the
    mean over all their orders. With all scores equal the factor is 1.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    scores : array_like of float, shape (n,)
        Any monotonic score, high for the likely actives.
    fraction : float
        Size of the top, above 0 and at most 1: the first ceil(fraction * n) molecules.

    Returns
    -------
    float
        At most 1 / fraction and at most n / n_actives; NaN where actives or inactives are missing.

    Raises
    ------
    UsageError
        As `roc_auc`, or if the fraction is not in (0, 1].

    Examples
    --------
    >>> enrichment_factor([1, 0, 0, 0], [4.0, 3.0, 2.0, 1.0], 0.25)
    4.0
    >>> enrichment_factor([1, 0, 0, 0], [1.0, 1.0, 1.0, 1.0], 0.25)
    1.0
    """
    top_count(1, fraction)
    return _figure(lambda ranking: enrichment(ranking, fraction), ranking_of(labels, scores))


def tie_fraction(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Share of the measured molecules whose score another measured molecule has as well.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    scores : array_like of float, shape (n,)
        Scores; only equal numbers are ties.

    Returns
    -------
    float
        From 0 to 1; NaN where nothing was measured.

    Raises
    ------
    UsageError
        As `roc_auc`.

    Examples
    --------
    >>> tie_fraction([1, 0, 0, 1], [0.5, 0.5, 0.1, 0.7])
    0.5
    """
    return tied_share(ranking_of(labels, scores))


def tied_share(ranking: Ranking) -> float:
    """`tie_fraction` of a ranking."""
    sizes = ranking.sizes
    return float(sizes[sizes > 1].sum() / sizes.sum()) if sizes.size else float("nan")


def _figure(kernel: Callable[[Ranking], FloatArray], ranking: Ranking) -> float:
    return float(kernel(ranking)) if ranking.has_both_classes else float("nan")
