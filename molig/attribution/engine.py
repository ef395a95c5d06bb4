"""Integrated gradients of any torch function, with the residual certified for every row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.attribution.functions import as_ends, check_independent_rows, gradients_on_path
from molig.attribution.quadrature import AdaptivePath
from molig.errors import UsageError

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Evaluate = Callable[[Index, FloatArray], tuple[FloatArray, Sequence[FloatArray]]]
"""From rows and points a, both of shape (n,), to F, shape (n,), and n flat arrays of densities."""


@dataclass(frozen=True)
class Tolerance:
    """When a path counts as integrated.

    Parameters
    ----------
    tol : float
        Allowed residual, as a share of ``|F(x) - F(x')|``; where errors of single attributions are
        estimated, five times that share of the largest attribution is allowed for them.
    floor : float
        Smallest ``|F(x) - F(x')|``, and smallest attribution, that ``tol`` is applied to.
    max_evaluations : int
        Points on one path after which it is given up.
    """

    tol: float = 0.01
    floor: float = 0.01
    max_evaluations: int = 2000

    def residual(self, change: float) -> float:
        """Allowed residual where the score changes by ``change``."""
        return self.tol * max(abs(change), self.floor)

    def error(self, largest: float) -> float:
        """Allowed error of an attribution where the largest one is ``largest``."""
        return 5 * self.tol * max(abs(largest), self.floor)

    def __post_init__(self) -> None:
        """Refuse values that no integral could meet."""
        for name in ("tol", "floor", "max_evaluations"):
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"{name} must be greater than 0 (got {value})")


@dataclass(frozen=True)
class Attributions:
    """Attributions of a batch.

    Parameters
    ----------
    attributions : tuple of Tensor
        One per input tensor, of its shape.
    residual : array of float, shape (n,)
        F(x) - F(x') minus the sum of the row's attributions.
    converged : array of bool, shape (n,)
        Whether the residual is within the tolerance.
    n_evaluations : array of int, shape (n,)
        Points of the path that were evaluated.
    """

    attributions: tuple[Tensor, ...]
    residual: FloatArray
    converged: npt.NDArray[np.bool_]
    n_evaluations: Index


def integrate(n_rows: int, evaluate: Evaluate, tolerance: Tolerance) -> list[AdaptivePath]:
    """Refine the paths of many rows together; a row leaves the batch when it has converged.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    evaluate : callable
        Gives F and the densities at points of the rows' paths.
    tolerance : Tolerance
        When to stop.

    Returns
    -------
    list of AdaptivePath
        One per row, with its integral.
    """
    options = (tolerance.tol, tolerance.floor, tolerance.max_evaluations)
    paths = [AdaptivePath(*options) for _ in range(n_rows)]
    while True:
        pending = [path.pending for path in paths]
        owners = np.repeat(np.arange(n_rows), [len(points) for points in pending])
        if not len(owners):
            return paths
        values, densities = evaluate(owners, np.concatenate(pending))
        start = 0
        for path, points in zip(paths, pending, strict=True):
            stop = start + len(points)
            if stop > start:
                path.add(values[start:stop], np.stack(densities[start:stop]))
            start = stop


def integrated_gradients(
    function: Callable[..., Tensor],
    inputs: Tensor | Sequence[Tensor],
    baselines: Tensor | Sequence[Tensor] | None = None,
    *,
    tol: float = 0.01,
    floor: float = 1e-6,
    max_evaluations: int = 2000,
    check_rows: bool = True,
) -> Attributions:
    """Attribute a function's values to its inputs (Sundararajan, Taly, Yan 2016, equation 2).

    Parameters
    ----------
    function : callable
        Takes tensors like ``inputs`` (any number of rows) and returns one value per row, shape (n,);
        a row's value must not depend on other rows.
    inputs : Tensor or sequence of Tensor, shape (n, ...)
        The points to explain; rows first.
    baselines : like ``inputs``, optional
        The points to compare with; default zero.
    tol, floor, max_evaluations
        See `Tolerance`.
    check_rows : bool
        Whether to try first if a row's value depends on other rows, by evaluating some rows alone.

    Returns
    -------
    Attributions

    Raises
    ------
    UsageError
        If shapes do not fit, the function does not return one finite value per row, or a row's value
        depends on other rows.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    >>> found = integrated_gradients(lambda x: x.min(dim=1).values, x, tol=1e-6)
    >>> found.attributions[0].tolist()
    [[1.0, 0.0]]
    """
    starts, ends = as_ends(inputs, baselines)
    if check_rows:
        check_independent_rows(function, ends)
    evaluate = _on_straight_path(function, starts, ends)
    paths = integrate(len(ends[0]), evaluate, Tolerance(tol, floor, max_evaluations))
    flat = torch.from_numpy(np.stack([path.attributions for path in paths]))
    sizes = [end[0].numel() for end in ends]
    parts = torch.split(flat, sizes, dim=1)
    return Attributions(
        tuple(part.reshape(end.shape).to(end) for part, end in zip(parts, ends, strict=True)),
        residual=np.array([path.residual for path in paths]),
        converged=np.array([path.converged for path in paths]),
        n_evaluations=np.array([path.n_evaluations for path in paths]),
    )


def _on_straight_path(
    function: Callable[..., Tensor], starts: tuple[Tensor, ...], ends: tuple[Tensor, ...]
) -> Evaluate:
    """F and its densities (end - start) * dF/dx at points of the straight line from start to end."""
    steps = tuple(end - start for start, end in zip(starts, ends, strict=True))

    def evaluate(rows: Index, points: FloatArray) -> tuple[FloatArray, Sequence[FloatArray]]:
        values, gradients = gradients_on_path(function, starts, steps, rows, points)
        chosen = torch.from_numpy(rows).to(ends[0].device)
        densities = [gradient * step[chosen] for gradient, step in zip(gradients, steps, strict=True)]
        flat = torch.cat([density.reshape(len(rows), -1) for density in densities], dim=1)
        return values.double().cpu().numpy(), list(flat.double().cpu().numpy())

    return evaluate
