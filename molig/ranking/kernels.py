"""The metrics as functions of a ranking, for one ranking or a block of resamples at once.

Where molecules are tied, a figure is the mean over all orders within each group: ROC-AUC, BEDROC and hits are
sums over actives, so the mean takes the mean weight of the ranks that a group occupies. Average precision
moves its threshold past whole groups.
"""

from __future__ import annotations

import math

import numpy as np

from molig.errors import UsageError
from molig.ranking.groups import FloatArray, Ranking

DEFAULT_ALPHA = 20.0


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
