"""Torch functions of several tensors: their arguments, values, and gradients on a straight path."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.errors import UsageError

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Function = Callable[..., Tensor]
"""Takes tensors with rows first and returns one value per row, shape (n,)."""


def as_tensors(inputs: Tensor | Sequence[Tensor], name: str = "inputs") -> tuple[Tensor, ...]:
    """Return inputs as a tuple of detached tensors, after checking that they can be explained.

    Parameters
    ----------
    inputs : Tensor or sequence of Tensor, shape (n, ...)
        Floating-point tensors with the same number of rows.
    name : str
        What messages call them.

    Returns
    -------
    tuple of Tensor

    Raises
    ------
    UsageError
        If there is no tensor or no row, or a tensor is not of finite floating-point numbers.
    """
    tensors = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if not tensors or any(not tensor.is_floating_point() or tensor.dim() < 1 for tensor in tensors):
        raise UsageError(f"{name} must be floating-point tensors with rows first")
    counts = [len(tensor) for tensor in tensors]
    if len(set(counts)) > 1 or not counts[0]:
        raise UsageError(f"{name} must have the same number of rows, at least 1 (got {counts})")
    for number, tensor in enumerate(tensors):
        bad = _first_not_finite(tensor)
        if bad is not None:
            raise UsageError(f"{name} must be finite: tensor {number} is not in row {bad}")
    return tuple(tensor.detach() for tensor in tensors)


def as_ends(
    inputs: Tensor | Sequence[Tensor], baselines: Tensor | Sequence[Tensor] | None
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return baselines and inputs, the two ends of the path; the default baseline is zero.

    Parameters
    ----------
    inputs : Tensor or sequence of Tensor, shape (n, ...)
        Where the path ends.
    baselines : like ``inputs``, optional
        Where it starts.

    Returns
    -------
    starts, ends : tuple of Tensor

    Raises
    ------
    UsageError
        If the inputs cannot be explained, or the baselines have other shapes.
    """
    ends = as_tensors(inputs)
    if baselines is None:
        return tuple(torch.zeros_like(end) for end in ends), ends
    starts = (baselines,) if isinstance(baselines, Tensor) else tuple(baselines)
    shapes, found = [tuple(end.shape) for end in ends], [tuple(start.shape) for start in starts]
    if shapes != found:
        raise UsageError(f"baselines must have the shapes of the inputs: expected {shapes} (got {found})")
    checked = as_tensors(starts, "baselines")
    return tuple(start.to(end) for start, end in zip(checked, ends, strict=True)), ends


def gradients_on_path(
    function: Function,
    starts: tuple[Tensor, ...],
    steps: tuple[Tensor, ...],
    rows: Index,
    points: FloatArray,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """F and dF/dx at points of the straight paths of some rows, in one call of the function.

    Parameters
    ----------
    function : callable
        F, one value per row.
    starts, steps : tuple of Tensor, shape (n, ...)
        The baselines x', and x - x'.
    rows : array of int, shape (m,)
        Which row's path.
    points : array of float, shape (m,)
        Where on it, from 0 to 1.

    Returns
    -------
    values : Tensor, shape (m,)
    gradients : tuple of Tensor, shape (m, ...)

    Raises
    ------
    UsageError
        If the function does not return one finite value per row, or no input reaches its values.
    """
    chosen = torch.from_numpy(rows).to(starts[0].device)
    with torch.enable_grad():
        here = tuple(
            (start[chosen] + _as_factor(points, step) * step[chosen]).requires_grad_()
            for start, step in zip(starts, steps, strict=True)
        )
        values = checked_values(function(*here), len(rows))
        refuse_not_finite("the function's values", values, rows, points)
        if not values.requires_grad:
            raise UsageError(
                "no gradient leads from the function's values to its inputs; "
                "compute them with torch operations, without detach() or no_grad()"
            )
        found = torch.autograd.grad(values.sum(), here, allow_unused=True)
    gradients = tuple(
        torch.zeros_like(x) if gradient is None else gradient for x, gradient in zip(here, found, strict=True)
    )
    return values.detach(), gradients


def checked_values(values: object, n_rows: int) -> Tensor:
    """Return what a function returned, if it is one value per row.

    Parameters
    ----------
    values : object
        What it returned.
    n_rows : int
        Rows it was given.

    Returns
    -------
    Tensor, shape (n_rows,)

    Raises
    ------
    UsageError
        If it is anything else.
    """
    if not isinstance(values, Tensor):
        raise UsageError(f"the function must return a tensor (got {type(values).__name__})")
    if values.shape != (n_rows,):
        raise UsageError(
            "the function must return one value per row: "
            f"expected shape ({n_rows},) (got {tuple(values.shape)})"
        )
    return values


def check_independent_rows(
    function: Function,
    inputs: Tensor | Sequence[Tensor],
    *,
    tol: float | None = None,
    max_rows: int = 16,
) -> None:
    """Refuse a function whose value for a row depends on the other rows of the batch.

    Path points of all rows share batches, so the attributions of such a function would mean nothing. Usual
    causes are batch normalisation in training mode and a softmax over the wrong dimension. A random
    function, with dropout say, is refused as well.

    Parameters
    ----------
    function : callable
        Takes tensors like ``inputs`` and returns one value per row.
    inputs : Tensor or sequence of Tensor, shape (n, ...)
        Rows to try; a single row is compared with itself twice.
    tol : float, optional
        Allowed difference as a share of the largest value; by default the square root of the precision of
        the inputs' type.
    max_rows : int
        Rows that are evaluated alone, from the first one on.

    Raises
    ------
    UsageError
        Naming the first row whose value alone is not that in the batch.

    Examples
    --------
    >>> check_independent_rows(lambda x: x.prod(dim=1), torch.rand(4, 3))
    >>> check_independent_rows(lambda x: x[:, 0] - x[:, 0].mean(), torch.eye(2))
    Traceback (most recent call last):
        ...
    molig.errors.UsageError: the function's value for row 0 is 0.5 in a batch of 2 but 0 alone: a row's \
value must depend on this row only (with batch norm or dropout, call eval() first)
    """
    tensors = as_tensors(inputs)
    n_alone = min(len(tensors[0]), max_rows)
    if len(tensors[0]) == 1:
        tensors = tuple(torch.cat([tensor, tensor]) for tensor in tensors)
    n_rows = len(tensors[0])
    if tol is None:
        tol = torch.finfo(tensors[0].dtype).eps ** 0.5
    with torch.no_grad():
        together = checked_values(function(*tensors), n_rows)
        refuse_not_finite("the function's values", together, np.arange(n_rows), np.ones(n_rows))
        allowed = tol * float(together.abs().max())
        for row in range(n_alone):
            alone = _value_alone(function, tensors, row)
            if abs(alone - float(together[row])) > allowed:
                raise UsageError(
                    f"the function's value for row {row} is {float(together[row]):.6g} "
                    f"in a batch of {n_rows} but {alone:.6g} alone: "
                    "a row's value must depend on this row only "
                    "(with batch norm or dropout, call eval() first)"
                )


def refuse_not_finite(what: str, found: Tensor, rows: Index, points: FloatArray) -> None:
    """Raise a `UsageError` that names row and point of the first entry that is not finite.

    Parameters
    ----------
    what : str
        What it is, in the plural.
    found : Tensor, shape (m, ...)
        Its values.
    rows : array of int, shape (m,)
        The rows they belong to.
    points : array of float, shape (m,)
        The points a of the path they belong to.
    """
    bad = _first_not_finite(found)
    if bad is not None:
        raise UsageError(
            f"{what} must be finite on the path: they are not in row {rows[bad]} at a = {points[bad]:g}"
        )


def _value_alone(function: Function, tensors: tuple[Tensor, ...], row: int) -> float:
    try:
        values = function(*(tensor[row : row + 1] for tensor in tensors))
    except (RuntimeError, ValueError) as error:  # batch norm in training mode refuses a single row
        raise UsageError(f"the function fails on row {row} alone, without other rows: {error}") from error
    return float(checked_values(values, 1)[0])


def _first_not_finite(tensor: Tensor) -> int | None:
    finite = tensor.isfinite().flatten(1).all(dim=1) if tensor.dim() > 1 else tensor.isfinite()
    return None if bool(finite.all()) else int(torch.nonzero(~finite)[0, 0])


def _as_factor(points: FloatArray, like: Tensor) -> Tensor:
    return torch.from_numpy(points).to(like).view(-1, *[1] * (like.dim() - 1))
