"""Figures of a ranking of molecules: areas, early enrichment, ties, Brier score.

Labels are 1 (active), 0 (inactive) or NaN (not measured); scores are high for the likely actives. All figures
but the Brier score follow from how many actives and inactives each group of equal scores holds. Where
molecules are tied, a figure is its mean over all orders within each group: a method gains and loses nothing
from scores that do not distinguish molecules, and the order in which they are listed plays no part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from molig.errors import UsageError

FloatArray = npt.NDArray[np.float64]

DEFAULT_ALPHA = 20.0

_RULES = {
    "label": "it must be 1 (active), 0 (inactive) or NaN (not measured)",
    "score": "it must be a finite number; to leave the molecule out, label it NaN",
    "probability": "it must lie from 0 to 1",
}


@dataclass(frozen=True, eq=False)
class Ranking:
    """Actives and molecules of each group of equal scores, best group first.

    Arrays have shape (..., n_groups): leading dimensions are resamples of the same molecules, and a resample
    may leave a group empty.
    """

    actives: FloatArray
    sizes: FloatArray  # actives and inactives

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
        """Without actives or inactives no figure is defined."""
        return 0 < self.n_actives < self.n_molecules

    def condensed(self) -> Ranking:
        """The same ranking with neighbouring groups of inactives made one.

        No figure tells them apart: precision, recall and rank matter only where there are actives. A
        ranking of few actives shrinks to about twice as many groups as it has actives.
        """
        barren = self.actives == 0
        starts = np.flatnonzero(np.concatenate([[True], ~(barren[1:] & barren[:-1])]))
        return Ranking(np.add.reduceat(self.actives, starts), np.add.reduceat(self.sizes, starts))


def ranking_of(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Ranking:
    """Rank the measured molecules; labels and scores as of `roc_auc`."""
    active, values = measured(labels, scores, "score")
    if not len(values):
        return Ranking(np.empty(0), np.empty(0))
    order = np.argsort(-values, kind="stable")
    values, active = values[order], active[order]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    sizes = np.diff(np.append(starts, len(values))).astype(np.float64)
    return Ranking(np.add.reduceat(active, starts), sizes)


# Kernels: figures of one ranking, or of a block of resamples at once.
#
# ROC-AUC, BEDROC and hits are sums over actives, so their mean over orders takes the mean weight of the ranks
# that a group occupies. Average precision moves its threshold past whole groups.


def roc_area(ranking: Ranking) -> FloatArray:
    """Share of pairs of an active and an inactive in the right order; a tie is half a pair."""
    n_inactives = ranking.n_molecules - ranking.n_actives
    # Inactives ranked above, and half of those in the same group.
    above = ranking.screened - ranking.found - (ranking.sizes - ranking.actives) / 2
    pairs = _dot(ranking.actives, n_inactives - above)
    return pairs / (ranking.n_actives * n_inactives)


def average_precision(ranking: Ranking) -> FloatArray:
    """Mean over the actives of the precision down to their group."""
    precision = ranking.found / np.maximum(ranking.screened, 1)
    return _dot(ranking.actives, precision) / ranking.n_actives


def bedroc_of(ranking: Ranking, alpha: float) -> FloatArray:
    """Exponentially weighted sum over the actives, scaled to 0 (all last) and 1 (all first)."""
    check_alpha(alpha)
    share = ranking.n_actives / ranking.n_molecules
    weight_down_to = _weight(ranking.screened / ranking.n_molecules, alpha)
    weight = np.diff(weight_down_to, axis=-1, prepend=0.0)
    total = _dot(ranking.actives, weight / np.maximum(ranking.sizes, 1))
    first = _weight(np.float64(share), alpha)
    last = 1 - _weight(np.float64(1 - share), alpha)
    # Rounding may step over the ends.
    scaled: FloatArray = np.clip((total - last) / (first - last), 0.0, 1.0)
    return scaled


def enrichment(ranking: Ranking, fraction: float) -> FloatArray:
    """Share of actives among the first molecules over their share among all."""
    top = top_count(ranking.n_molecules, fraction)
    # The group that holds place `top`; all before it count whole, its own actives in proportion.
    at = (ranking.screened < top).sum(axis=-1, keepdims=True)
    actives, sizes, found, screened = (
        np.take_along_axis(values, at, axis=-1)[..., 0]
        for values in (ranking.actives, ranking.sizes, ranking.found, ranking.screened)
    )
    hits = found - actives * (screened - top) / sizes
    return np.asarray(hits / top / (ranking.n_actives / ranking.n_molecules), dtype=np.float64)


def top_count(n_molecules: int, fraction: float) -> int:
    """Molecules in a top fraction, rounded up; 5 % of 100 is 5, however 0.05 is stored."""
    if not 0 < fraction <= 1:
        raise UsageError(f"the fraction of an enrichment factor must lie in (0, 1] (got {fraction:g})")
    return max(1, math.ceil(round(n_molecules * fraction, 9)))


def check_alpha(alpha: float) -> None:
    """Refuse an exponent that is not a positive number."""
    if not (math.isfinite(alpha) and alpha > 0):
        raise UsageError(f"alpha of BEDROC must be a number above 0 (got {alpha:g})")


def _weight(share: FloatArray | np.float64, alpha: float) -> FloatArray:
    """Part of the whole exponential weight that the first share of the ranks has, exactly."""
    return np.asarray(np.expm1(-alpha * share) / math.expm1(-alpha), dtype=np.float64)


def _dot(left: FloatArray, right: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("...g,...g->...", left, right), dtype=np.float64)


# The registry of figures, and the record of one ranking.


@dataclass(frozen=True)
class RankingFigure:
    """How a figure is computed and shown."""

    title: str
    decimals: int = 3
    # None where a figure has no bootstrap interval.
    kernel: Callable[[Ranking], FloatArray] | None = None
    # By these methods are compared, and these have their interval on model cards.
    principal: bool = False


FIGURES = MappingProxyType(
    {
        "roc_auc": RankingFigure("ROC-AUC", 3, roc_area, principal=True),
        "pr_auc": RankingFigure("PR-AUC", 3, average_precision, principal=True),
        "bedroc": RankingFigure("BEDROC", 3, lambda r: bedroc_of(r, DEFAULT_ALPHA), principal=True),
        "ef_0_5": RankingFigure("EF 0.5 %", 1, lambda r: enrichment(r, 0.005)),
        "ef_1": RankingFigure("EF 1 %", 1, lambda r: enrichment(r, 0.01), principal=True),
        "ef_5": RankingFigure("EF 5 %", 1, lambda r: enrichment(r, 0.05)),
        "tie_fraction": RankingFigure("Tie fraction"),
        "brier": RankingFigure("Brier score"),
    }
)
"""The figures of a ranking by name, in the order of tables."""

KERNELS = {name: figure.kernel for name, figure in FIGURES.items() if figure.kernel}
PRINCIPAL = tuple(name for name, figure in FIGURES.items() if figure.principal)
# Ties say how far to trust a ranking, not how good it is.
OF_MERIT = tuple(name for name in FIGURES if name != "tie_fraction")


class RankingQuality(BaseModel):
    """All figures of one ranking; None where one is not defined or was not measured.

    Parameters
    ----------
    roc_auc, pr_auc : float or None
        Areas under the ROC and the precision-recall curve.
    n_actives, n_inactives : int
        Molecules measured.
    bedroc : float or None
        BEDROC with alpha 20.
    ef_0_5, ef_1, ef_5 : float or None
        Enrichment factors of the first 0.5, 1 and 5 %; 1 is chance.
    brier : float or None
        Mean squared error of the probabilities.
    tie_fraction : float or None
        Share of molecules that share their score with another.
    intervals : dict of str to (float, float)
        Name of a figure above to its 95 % bootstrap interval over molecules.

    Examples
    --------
    >>> ranking_quality([1, 0, 0, float("nan")], [0.9, 0.3, 0.2, 0.8]).n_inactives
    2
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    roc_auc: float | None
    pr_auc: float | None
    n_actives: int
    n_inactives: int
    bedroc: float | None = None
    ef_0_5: float | None = None
    ef_1: float | None = None
    ef_5: float | None = None
    brier: float | None = None
    tie_fraction: float | None = None
    intervals: dict[str, tuple[float, float]] = {}

    def figures(self) -> dict[str, float | None]:
        """Figures by name, in the order of `FIGURES`."""
        return {name: getattr(self, name) for name in FIGURES}


def ranking_quality(
    labels: npt.ArrayLike, scores: npt.ArrayLike, probabilities: npt.ArrayLike | None = None
) -> RankingQuality:
    """Judge one ranking by all figures, sorting once.

    Parameters
    ----------
    labels, scores : array_like of float, shape (n,)
        As of `roc_auc`.
    probabilities : array_like of float, shape (n,), optional
        Of being active, for the Brier score.

    Returns
    -------
    RankingQuality
        Without intervals, which `bootstrap_intervals` makes.

    Raises
    ------
    UsageError
        As `roc_auc`, or if a probability is not from 0 to 1.

    Examples
    --------
    >>> quality = ranking_quality([1, 0, 0, 0], [2.0, 1.0, 1.0, 0.0], [0.5, 0.0, 0.0, 0.5])
    >>> quality.roc_auc, quality.ef_1, quality.tie_fraction, quality.brier
    (1.0, 4.0, 0.5, 0.125)
    """
    ranking = ranking_of(labels, scores)
    figures = {name: _figure(kernel, ranking) for name, kernel in KERNELS.items()}
    figures["tie_fraction"] = tied_share(ranking)
    figures["brier"] = math.nan if probabilities is None else brier_score(labels, probabilities)
    defined: dict[str, Any] = {name: None if math.isnan(value) else value for name, value in figures.items()}
    return RankingQuality(
        **defined, n_actives=ranking.n_actives, n_inactives=ranking.n_molecules - ranking.n_actives
    )


# The figures one by one.


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
    labels, scores : array_like of float, shape (n,)
        As of `roc_auc`.

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
    labels, scores : array_like of float, shape (n,)
        As of `roc_auc`.
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
    labels, scores : array_like of float, shape (n,)
        As of `roc_auc`.
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
    """Share of the measured molecules whose score another has as well: how much of a ranking is chance."""
    return tied_share(ranking_of(labels, scores))


def brier_score(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean squared difference between the probability and the label.

    Parameters
    ----------
    labels : array_like of float, shape (n,)
        1 active, 0 inactive, NaN not measured; those are left out.
    probabilities : array_like of float, shape (n,)
        Of being active.

    Returns
    -------
    float
        From 0 to 1, low is good; p (1 - p) for the constant prediction p = share of actives. NaN where
        nothing was measured.

    Raises
    ------
    UsageError
        If the shapes differ, a label is not 0, 1 or NaN, or the probability of a measured molecule is not
        from 0 to 1.

    Examples
    --------
    >>> brier_score([1, 0], [0.5, 0.0])
    0.125
    """
    active, predicted = measured(labels, probabilities, "probability")
    return float(np.mean((predicted - active) ** 2)) if len(active) else math.nan


def tied_share(ranking: Ranking) -> float:
    """Share of the molecules that stand in a group with others."""
    sizes = ranking.sizes
    return float(sizes[sizes > 1].sum() / sizes.sum()) if sizes.size else float("nan")


def _figure(kernel: Callable[[Ranking], FloatArray], ranking: Ranking) -> float:
    return float(kernel(ranking)) if ranking.has_both_classes else float("nan")


def measured(
    labels: npt.ArrayLike, values: npt.ArrayLike, what: Literal["score", "probability"]
) -> tuple[FloatArray, FloatArray]:
    """Labels and values of the measured molecules, checked; both of shape (n_measured,)."""
    known, given = _vector(labels, "label"), _vector(values, what)
    if len(known) != len(given):
        raise UsageError(
            f"every molecule needs a label and a {what}: {len(known)} labels, but {len(given)} values"
        )
    kept = ~np.isnan(known)
    _check("label", known, ~kept | (known == 0) | (known == 1))
    fits = np.isfinite(given) if what == "score" else (given >= 0) & (given <= 1)
    _check(what, given, ~kept | fits)
    return known[kept], given[kept]


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
