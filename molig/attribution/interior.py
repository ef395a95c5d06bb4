"""Interior gradients: what the score is sensitive to at single points of the path from the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.attribution.engine import (
    Function,
    as_ends,
    check_independent_rows,
    gradients_on_path,
    refuse_not_finite,
)
from molig.errors import UsageError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class InteriorGradients:
    """Scores and gradients at chosen points x' + a (x - x') of every row's path.

    Parameters
    ----------
    at : array of float, shape (n_points,)
        The points a.
    scores : array of float, shape (n, n_points)
        F at these points.
    gradients : tuple of Tensor, shape (n, n_points, ...)
        dF/dx at these points, one tensor per input.
    densities : tuple of Tensor, shape (n, n_points, ...)
        (x - x') * dF/dx; averaged over all a they are the integrated gradients.
    attribution_rate : array of float, shape (n, n_points)
        dF/da, the sum of a row's densities; its integral over a is F(x) - F(x').
    """

    at: FloatArray
    scores: FloatArray
    gradients: tuple[Tensor, ...]
    densities: tuple[Tensor, ...]
    attribution_rate: FloatArray


def interior_gradients(
    function: Function,
    inputs: Tensor | Sequence[Tensor],
    baselines: Tensor | Sequence[Tensor] | None = None,
    *,
    at: npt.ArrayLike,
    batch_size: int = 1024,
    check_rows: bool = False,
) -> InteriorGradients:
    """Evaluate a function and its gradients at points of the straight path from baseline to input.

    Where F has levelled off, its gradients at the input say little; those inside the path show what made it
    rise (Sundararajan, Taly, Yan 2016).

    Parameters
    ----------
    function : callable
        Takes tensors like ``inputs`` (any number of rows) and returns one value per row, shape (n,);
        a row's value must not depend on other rows.
    inputs : Tensor or sequence of Tensor, shape (n, ...)
        The points to explain; rows first.
    baselines : like ``inputs``, optional
        The points to compare with; default zero.
    at : array-like of float, shape (n_points,)
        The points a of the path, from 0 (baseline) to 1 (input), in any order.
    batch_size : int
        Most rows in one call of the function.
    check_rows : bool
        First make sure that the inputs' values do not depend on the other rows, see
        `check_independent_rows`.

    Returns
    -------
    InteriorGradients

    Raises
    ------
    UsageError
        If shapes do not fit, a point is outside [0, 1], or values or gradients are not finite.

    Examples
    --------
    >>> x = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    >>> found = interior_gradients(lambda x: x[:, 0] * x[:, 1], x, at=[0, 0.5, 1])
    >>> found.scores.tolist(), found.attribution_rate.tolist()
    ([[0.0, 0.75, 3.0]], [[0.0, 3.0, 6.0]])
    >>> found.gradients[0][0, 1].tolist()
    [0.5, 1.5]
    """
    points = _checked_points(at)
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1 (got {batch_size})")
    starts, ends = as_ends(inputs, baselines)
    if check_rows:
        check_independent_rows(function, ends)
    steps = tuple(end - start for start, end in zip(starts, ends, strict=True))
    n_rows, n_points = len(ends[0]), len(points)
    rows, all_points = np.repeat(np.arange(n_rows), n_points), np.tile(points, n_rows)
    scores = np.empty(n_rows * n_points)
    gradients = tuple(end.new_empty((n_rows * n_points, *end.shape[1:])) for end in ends)
    for first in range(0, n_rows * n_points, batch_size):
        part = slice(first, first + batch_size)
        values, found = gradients_on_path(function, starts, steps, rows[part], all_points[part])
        scores[part] = values.double().cpu().numpy()
        for gradient, piece in zip(gradients, found, strict=True):
            refuse_not_finite("the function's gradients", piece, rows[part], all_points[part])
            gradient[part] = piece
    return _result(points, scores.reshape(n_rows, n_points), gradients, steps)


def _result(
    points: FloatArray, scores: FloatArray, gradients: tuple[Tensor, ...], steps: tuple[Tensor, ...]
) -> InteriorGradients:
    shaped = tuple(
        gradient.view(*scores.shape, *step.shape[1:]) for gradient, step in zip(gradients, steps, strict=True)
    )
    densities = tuple(gradient * step[:, None] for gradient, step in zip(shaped, steps, strict=True))
    rates = [density.double().reshape(*scores.shape, -1).sum(dim=2) for density in densities]
    rate: FloatArray = torch.stack(rates).sum(dim=0).cpu().numpy()
    return InteriorGradients(points, scores, shaped, densities, rate)


def _checked_points(at: npt.ArrayLike) -> FloatArray:
    points = np.array(at, dtype=np.float64)
    if points.ndim != 1 or not len(points):
        raise UsageError(f"at must be a list of points, shape (n_points,) (got shape {points.shape})")
    outside = ~((points >= 0) & (points <= 1))  # NaN is outside, too
    if outside.any():
        index = int(outside.argmax())
        raise UsageError(f"points of the path must be from 0 to 1 (got {points[index]} at position {index})")
    return points
