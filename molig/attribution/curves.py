"""Saturation: how early on the path a score is reached, and what its gradient at the end still tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.errors import UsageError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Saturation:
    """Numbers that describe score curves; arrays of the curves' leading shape.

    Parameters
    ----------
    change : array of float
        F(1) - F(0).
    reached_at : array of float
        Smallest a at which the asked share of the change is reached; NaN where the change is too small.
    gradient_share : array of float
        Sum of gradient x input at a = 1 as a share of the change: 1 for a linear function, near 0 for a
        saturated one; NaN where the change is too small.
    """

    change: FloatArray
    reached_at: FloatArray
    gradient_share: FloatArray


def saturation(
    at: npt.ArrayLike,
    scores: npt.ArrayLike,
    rates: npt.ArrayLike,
    *,
    share: float = 0.9,
    floor: float = 1e-6,
) -> Saturation:
    """Describe how scores saturate on the way from the baseline to the input.

    A curve may fall as well as rise: what counts is (F(a) - F(0)) / (F(1) - F(0)). Its first crossing of
    ``share`` is taken, interpolated linearly between the points.

    Parameters
    ----------
    at : array-like of float, shape (n_points,)
        Points of the path, ascending from 0 to 1.
    scores : array-like of float, shape (..., n_points)
        F at these points, one curve per row.
    rates : array-like of float, shape (..., n_points)
        dF/da at these points.
    share : float
        Share of the change to look for, above 0 and at most 1.
    floor : float
        Smallest |F(1) - F(0)| of which shares are taken.

    Returns
    -------
    Saturation

    Raises
    ------
    UsageError
        If shapes do not fit, the points do not lead from 0 to 1, or a number is not finite.

    Examples
    --------
    >>> found = saturation([0, 0.5, 1], [[0, 0.8, 1.0], [0, 0, 0]], [[2, 1, 0.1], [0, 0, 0]])
    >>> found.reached_at.round(3).tolist(), found.gradient_share.tolist()
    ([0.75, nan], [0.1, nan])
    """
    points, values, slopes = (np.asarray(a, dtype=np.float64) for a in (at, scores, rates))
    _check_curves(points, values, slopes)
    if not 0 < share <= 1:
        raise UsageError(f"share must be above 0 and at most 1 (got {share})")
    if not floor > 0:
        raise UsageError(f"floor must be greater than 0 (got {floor})")
    change = values[..., -1] - values[..., 0]
    usable = np.where(np.abs(change) < floor, np.nan, change)
    progress = (values - values[..., :1]) / usable[..., None]
    progress[..., -1] = np.where(np.isnan(usable), np.nan, 1)  # exactly, whatever the rounding
    return Saturation(change, _first_crossing(points, progress, share), slopes[..., -1] / usable)


def _first_crossing(points: FloatArray, progress: FloatArray, share: float) -> FloatArray:
    """Smallest a where the broken line through ``progress``, which starts at 0, reaches ``share``."""
    after = np.maximum((progress >= share).argmax(axis=-1), 1)
    high = np.take_along_axis(progress, after[..., None], axis=-1)[..., 0]
    low = np.take_along_axis(progress, after[..., None] - 1, axis=-1)[..., 0]
    left, right = points[after - 1], points[after]
    found: FloatArray = left + (share - low) / (high - low) * (right - left)
    return found


def _check_curves(points: FloatArray, values: FloatArray, slopes: FloatArray) -> None:
    ascending = points.ndim == 1 and len(points) > 1 and bool((np.diff(points) > 0).all())
    if not ascending or points[0] != 0 or points[-1] != 1:
        raise UsageError("points of the path must ascend from 0 to 1, both included")
    for name, curves in (("scores", values), ("rates", slopes)):
        if curves.shape != (*values.shape[:-1], len(points)):
            expected = (*values.shape[:-1], len(points))
            raise UsageError(f"{name} must have a value per point: expected {expected} (got {curves.shape})")
        if not np.isfinite(curves).all():
            index = np.argwhere(~np.isfinite(curves))[0].tolist()
            raise UsageError(f"{name} must be finite (got {curves[tuple(index)]} at {tuple(index)})")
