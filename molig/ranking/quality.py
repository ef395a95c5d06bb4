"""All figures of one ranking, and what they are called."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy.typing as npt

from molig.ranking.calibration import brier_score
from molig.ranking.groups import FloatArray, Ranking, ranking_of
from molig.ranking.kernels import DEFAULT_ALPHA, average_precision, bedroc_of, enrichment, roc_area
from molig.ranking.metrics import tied_share

KERNELS: dict[str, Callable[[Ranking], FloatArray]] = {
    "roc_auc": roc_area,
    "pr_auc": average_precision,
    "bedroc": lambda ranking: bedroc_of(ranking, DEFAULT_ALPHA),
    "ef_0_5": lambda ranking: enrichment(ranking, 0.005),
    "ef_1": lambda ranking: enrichment(ranking, 0.01),
    "ef_5": lambda ranking: enrichment(ranking, 0.05),
}
"""The figures that have a bootstrap interval, by name."""


@dataclass(frozen=True)
class RankingMetric:
    """Name of a figure, and how to read it.

    Parameters
    ----------
    name : str
        Field of `RankingQuality`.
    title : str
        What tables call it.
    larger_is_better : bool
        Whether a better ranking has more of it.

    Examples
    --------
    >>> [metric.title for metric in METRICS if not metric.larger_is_better]
    ['Tie fraction', 'Brier score']
    """

    name: str
    title: str
    larger_is_better: bool


METRICS = (
    RankingMetric("roc_auc", "ROC-AUC", True),
    RankingMetric("pr_auc", "PR-AUC", True),
    RankingMetric("bedroc", "BEDROC", True),
    RankingMetric("ef_0_5", "EF 0.5 %", True),
    RankingMetric("ef_1", "EF 1 %", True),
    RankingMetric("ef_5", "EF 5 %", True),
    RankingMetric("tie_fraction", "Tie fraction", False),
    RankingMetric("brier", "Brier score", False),
)
"""The figures of `RankingQuality` in the order of tables."""


@dataclass(frozen=True)
class RankingQuality:
    """All figures of one ranking; NaN where one is not defined.

    Parameters
    ----------
    roc_auc, pr_auc, bedroc : float
        See the functions of these names; BEDROC with alpha 20.
    ef_0_5, ef_1, ef_5 : float
        Enrichment factors of the first 0.5, 1 and 5 %.
    tie_fraction : float
        Share of molecules whose score is not their own.
    brier : float
        Mean squared error of the probabilities; NaN where there were none.
    n_actives, n_inactives : int
        Measured molecules.

    Examples
    --------
    >>> ranking_quality([1, 0, 0, float("nan")], [0.9, 0.3, 0.2, 0.8]).n_inactives
    2
    """

    roc_auc: float
    pr_auc: float
    bedroc: float
    ef_0_5: float
    ef_1: float
    ef_5: float
    tie_fraction: float
    brier: float
    n_actives: int
    n_inactives: int


def ranking_quality(
    labels: npt.ArrayLike, scores: npt.ArrayLike, probabilities: npt.ArrayLike | None = None
) -> RankingQuality:
    """Judge one ranking by all figures, sorting once.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    scores : array_like of float, shape (n,)
        Any monotonic score, high for the likely actives.
    probabilities : array_like of float, shape (n,), optional
        Of being active, for the Brier score.

    Returns
    -------
    RankingQuality
        The figures.

    Raises
    ------
    UsageError
        As `roc_auc`, or if a probability is not from 0 to 1.

    Examples
    --------
    >>> found = ranking_quality([1, 0, 0, 0], [2.0, 1.0, 1.0, 0.0], [0.5, 0.0, 0.0, 0.5])
    >>> found.roc_auc, found.ef_1, found.tie_fraction, found.brier
    (1.0, 4.0, 0.5, 0.125)
    """
    ranking = ranking_of(labels, scores)
    defined = ranking.has_both_classes
    figures = {name: float(kernel(ranking)) if defined else math.nan for name, kernel in KERNELS.items()}
    return RankingQuality(
        **figures,
        tie_fraction=tied_share(ranking),
        brier=math.nan if probabilities is None else brier_score(labels, probabilities),
        n_actives=ranking.n_actives,
        n_inactives=ranking.n_molecules - ranking.n_actives,
    )
