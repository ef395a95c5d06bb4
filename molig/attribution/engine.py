"""Integrated gradients of any torch function, with residual and error certified for every row."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.errors import UsageError, called

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Function = Callable[..., Tensor]
"""Takes tensors with rows first and returns one value per row, shape (n,)."""


@dataclass(frozen=True)
class Attributions:
    """Attributions of a batch.

    Parameters
    ----------
    attributions : tuple of Tensor
        One per input tensor, of its shape.
    error : tuple of Tensor
        Bound of the error of every attribution, of the same shapes. It compares rules with and without
        half of the points: what happens between neighbouring points without a trace at any of them is missed.
    residual : array of float, shape (n,)
        F(x) - F(x') minus the sum of the row's attributions.
    converged : array of bool, shape (n,)
        Whether the residual, and the error of every attribution, are within the tolerance.
    n_evaluations : array of int, shape (n,)
        Points of the path that were evaluated.
    """

    attributions: tuple[Tensor, ...]
    error: tuple[Tensor, ...]
    residual: FloatArray
    converged: npt.NDArray[np.bool_]
    n_evaluations: Index


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
    tol : float
        Allowed residual as a share of ``|F(x) - F(x')|``, and allowed error of any attribution as a share of
        the row's largest one.
    floor : float
        Smallest ``|F(x) - F(x')|``, and smallest attribution, that ``tol`` is applied to.
    max_evaluations : int
        Points of a row's path after which it is given up. Gradients at all of its points are kept.
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
    >>> found.attributions[0].round(decimals=6).tolist()
    [[1.0, 0.0]]
    >>> bool(found.error[0].max() < 1e-12)
    True
    """
    starts, ends = as_ends(inputs, baselines)
    if check_rows:
        check_independent_rows(function, ends)
    tolerance = Tolerance(tol, floor, max_evaluations)
    n_rows, n_features = len(ends[0]), sum(end[0].numel() for end in ends)
    flat, errors = np.empty((n_rows, n_features)), np.empty((n_rows, n_features))
    finished: list[tuple[float, bool, int]] = []
    group = max(1, _GRADIENTS // (_FIRST_POINTS * n_features))
    for first in range(0, n_rows, group):
        rows = slice(first, first + group)
        evaluate = _on_straight_path(function, tuple(s[rows] for s in starts), tuple(e[rows] for e in ends))
        paths = [AdaptivePath(tolerance) for _ in range(min(group, n_rows - first))]
        refine(paths, evaluate)
        for row, path in enumerate(paths, first):
            flat[row], errors[row] = path.attributions, path.errors
            finished.append((path.residual, path.converged, path.n_evaluations))
    residual, converged, n_evaluations = zip(*finished, strict=True)
    return Attributions(
        _like(ends, flat),
        _like(ends, errors),
        residual=np.array(residual),
        converged=np.array(converged),
        n_evaluations=np.array(n_evaluations),
    )


def _like(ends: tuple[Tensor, ...], flat: FloatArray) -> tuple[Tensor, ...]:
    """Numbers of all features, row by row, as tensors like the inputs."""
    parts = torch.split(torch.from_numpy(flat), [end[0].numel() for end in ends], dim=1)
    return tuple(part.reshape(end.shape).to(end) for part, end in zip(parts, ends, strict=True))


def _on_straight_path(
    function: Callable[..., Tensor], starts: tuple[Tensor, ...], ends: tuple[Tensor, ...]
) -> Ask:
    """F and its densities (end - start) * dF/dx at points of the straight line from start to end."""
    steps = tuple(end - start for start, end in zip(starts, ends, strict=True))
    most = max(1, _GRADIENTS // sum(end[0].numel() for end in ends))

    def evaluate(rows: Index, points: FloatArray) -> tuple[FloatArray, list[npt.NDArray[Any]]]:
        values, densities = [], []
        for first in range(0, len(rows), most):
            part = slice(first, first + most)
            found, gradients = gradients_on_path(function, starts, steps, rows[part], points[part])
            chosen = torch.from_numpy(rows[part]).to(ends[0].device)
            moved = [(g * step[chosen]).flatten(1) for g, step in zip(gradients, steps, strict=True)]
            values.append(found.double().cpu().numpy())
            # Half precision is unknown to numpy on some devices, and too coarse to add up in.
            whole = torch.cat(moved, dim=1).cpu()
            densities += list((whole if whole.dtype == torch.float64 else whole.float()).numpy())
        return np.concatenate(values), densities

    return evaluate


@dataclass(frozen=True)
class Tolerance:
    """When a path counts as integrated."""

    tol: float = 0.01  # allowed residual, as a share of |F(x) - F(x')|
    floor: float = 0.01  # smallest |F(x) - F(x')|, and smallest attribution, that tol is applied to
    max_evaluations: int = 2000  # points on one path after which it is given up

    def residual(self, change: float) -> float:
        """Allowed residual where the score changes by ``change``."""
        return self.tol * max(abs(change), self.floor)

    def error(self, largest: float) -> float:
        """Allowed error of an attribution where the largest one is ``largest``."""
        return self.tol * max(abs(largest), self.floor)

    def met(self, change: float, residual: float, largest: float, error: float) -> bool:
        """Whether residual and error are allowed; a method without an estimate has the error NaN."""
        allowed = self.residual(change)
        # An infinite score would allow an infinite residual.
        return bool(abs(residual) <= allowed < np.inf and not error > self.error(largest))

    def __post_init__(self) -> None:
        """Refuse values that no integral could meet."""
        for name in ("tol", "floor", "max_evaluations"):
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"{called(name)} must be greater than 0 (got {value})")


class Path(Protocol):
    """What is being integrated along the path of one row."""

    @property
    def pending(self) -> FloatArray:
        """Points or panels, rows first, where something is needed next; empty when done."""

    def add(self, *answers: Any) -> None:
        """Take the answers at what is pending."""


# Gradients' entries in one call of the function, and of the first points of rows that are explained together.
_GRADIENTS = 1 << 25

Ask = Callable[[Index, FloatArray], tuple[Sequence[Any] | npt.NDArray[Any], ...]]
"""From numbers of paths, shape (n,), and what is pending of them, n rows, to answers, n entries each."""


def refine(paths: Sequence[Path], ask: Ask) -> None:
    """Refine the paths of many rows together; a row leaves the batch when it has converged."""
    while True:
        pending = [path.pending for path in paths]
        counts = [len(points) for points in pending]
        if not sum(counts):
            return
        answers = ask(np.repeat(np.arange(len(paths)), counts), np.concatenate(pending))
        start = 0
        for path, count in zip(paths, counts, strict=True):
            stop = start + count
            if count:
                path.add(*(np.asarray(answer[start:stop]) for answer in answers))
            start = stop


# Adaptive integration. A panel has five points: Simpson's rule over the whole of it is compared with the rule
# over both halves, feature by feature. Where a gradient jumps, as at the kinks of relu, the rules differ by
# at least half of the error of the halves, wherever the jump is; where it is smooth, by 15 times the error.
# On every panel the attributions must besides add up to the change of F.

_HALVES = np.array([1.0, 4.0, 2.0, 4.0, 1.0]) / 12.0
_COMPARED = _HALVES - np.array([1.0, 0.0, 4.0, 0.0, 1.0]) / 6.0
_FIRST_PANELS = 4
_FIRST_POINTS = 4 * _FIRST_PANELS + 1

# Errors of panels have either sign: their squares are added up. One jump in every panel leaves at most twice
# what the rules differ by, and typically half of it.
_TRUSTED = 2.0
# A halved panel keeps about a quarter of its squared error, or much less where the gradient is smooth.
_HALVED = 0.25
# Deepest halving: jumps are located far better than any tolerance asks for.
_NARROWEST = 2.0**-40


class _Panel(NamedTuple):
    """Numbers of the five points of a panel."""

    points: tuple[int, int, int, int, int]
    width: float
    difference: npt.NDArray[Any]
    residual: float


class AdaptivePath:
    """Integral over a in [0, 1] of the densities of one row, by Simpson's rule on adaptive panels.

    Use: evaluate F and the densities at `pending` points, hand them to `add`, until `pending` is empty.

    >>> path = AdaptivePath(Tolerance(tol=1e-6))
    >>> while len(a := path.pending):
    ...     path.add(a**3, 3 * a[:, None] ** 2)
    >>> float(path.attributions[0]), path.converged
    (1.0, True)
    """

    def __init__(self, tolerance: Tolerance, n_panels: int = _FIRST_PANELS) -> None:
        self.tolerance = tolerance
        n = 4 * n_panels
        self._points: list[float] = []
        self._values: list[float] = []
        self._densities: list[npt.NDArray[Any]] = []
        self._panels: list[_Panel] = []
        self._pending = [i / n for i in range(n + 1)]
        self._new = [(i, i + 1, i + 2, i + 3, i + 4) for i in range(0, n, 4)]
        self._total = self._squares = np.zeros(0)

    @property
    def pending(self) -> FloatArray:
        """Points of the path, shape (n,), where F and the densities are needed next; empty when done."""
        return np.array(self._pending)

    def add(self, values: npt.ArrayLike, densities: npt.ArrayLike) -> None:
        """Take F, shape (n,), and the densities, shape (n, n_features), at the pending points."""
        self._points += self._pending
        self._values += np.asarray(values, dtype=np.float64).tolist()
        self._densities += list(np.asarray(densities))
        self._pending = []
        for points in self._new:
            self._measure(points)
        self._refine()

    @property
    def n_evaluations(self) -> int:
        """Number of points where F and its gradient were evaluated."""
        return len(self._points)

    @property
    def change(self) -> float:
        """F(1) - F(0)."""
        return self.end - self.start

    @property
    def start(self) -> float:
        """F(0), the score of the baseline."""
        return self._values[self._points.index(0.0)]

    @property
    def end(self) -> float:
        """F(1), the score of the molecule."""
        return self._values[self._points.index(1.0)]

    @property
    def attributions(self) -> FloatArray:
        """Attributions, shape (n_features,)."""
        return self._total

    @property
    def errors(self) -> FloatArray:
        """Bounds of the errors of the attributions, shape (n_features,)."""
        return _TRUSTED * np.sqrt(np.maximum(self._squares, 0.0))

    @property
    def error(self) -> float:
        """Bound of the largest error of a single attribution."""
        return float(self.errors.max(initial=0.0))

    @property
    def residual(self) -> float:
        """F(1) - F(0) minus the sum of the attributions."""
        return float(self.change - self._total.sum())

    @property
    def converged(self) -> bool:
        """Whether residual and error are within the tolerance."""
        within = abs(self.residual) <= self._allowed_residual and self.error <= self._allowed_error
        return bool(within and np.isfinite(self._allowed_residual))

    @property
    def _allowed_residual(self) -> float:
        return self.tolerance.residual(self.change)

    @property
    def _allowed_error(self) -> float:
        return self.tolerance.error(float(np.abs(self._total).max(initial=0.0)))

    def _measure(self, points: tuple[int, int, int, int, int]) -> None:
        """Add a panel."""
        width = self._points[points[4]] - self._points[points[0]]
        rows = [self._densities[i] for i in points]
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite ends the path
            share = width * _weighted(_HALVES, rows)
            difference = width * _weighted(_COMPARED, rows)
            residual = self._values[points[4]] - self._values[points[0]] - float(share.sum())
            self._total = self._total + share if len(self._total) else share
            squares = np.square(difference)
            self._squares = self._squares + squares if len(self._squares) else squares
        self._panels.append(_Panel(points, width, difference.astype(rows[0].dtype), residual))

    def _refine(self) -> None:
        """Halve the worst panels, as few as seem needed."""
        self._new = []
        finite = np.isfinite(self._total).all() and np.isfinite(self.residual)
        if self.converged or not finite or self.n_evaluations >= self.tolerance.max_evaluations:
            return
        residuals = np.array([panel.residual for panel in self._panels])
        split = self._wrong_in_a_feature() | _largest(np.abs(residuals), self._allowed_residual)
        wide = np.array([panel.width > _NARROWEST for panel in self._panels])
        for number in np.flatnonzero(split & wide)[::-1].tolist():
            self._halve(self._panels.pop(number))

    def _wrong_in_a_feature(self) -> npt.NDArray[np.bool_]:
        """Mark panels, the worst one for the worst feature first, until all features seem right."""
        marked = np.zeros(len(self._panels), dtype=bool)
        left = self._squares.copy()
        allowed = (self._allowed_error / _TRUSTED) ** 2
        while len(left) and left[worst := int(left.argmax())] > allowed and not marked.all():
            squares = np.array([float(panel.difference[worst]) ** 2 for panel in self._panels])
            candidates = np.where(marked, 0.0, squares)
            # Those that matter less than what halving leaves of the worst wait for the next round.
            chosen = _largest(candidates, max(allowed, _HALVED * float(squares.sum())))
            if not chosen.any():
                break
            marked |= chosen
            for number in np.flatnonzero(chosen).tolist():
                left -= (1 - _HALVED) * np.square(self._panels[number].difference.astype(np.float64))
            left[worst] = 0.0
        return marked

    def _halve(self, panel: _Panel) -> None:
        self._total = self._total - panel.width * _weighted(
            _HALVES, [self._densities[i] for i in panel.points]
        )
        self._squares = self._squares - np.square(panel.difference.astype(np.float64))
        p, a = panel.points, self._points
        first = len(self._points) + len(self._pending)
        self._pending += [(a[left] + a[right]) / 2 for left, right in itertools.pairwise(p)]
        self._new += [(p[0], first, p[1], first + 1, p[2]), (p[2], first + 2, p[3], first + 3, p[4])]


def _weighted(weights: FloatArray, rows: list[npt.NDArray[Any]]) -> FloatArray:
    total = np.zeros(len(rows[0]))
    for weight, row in zip(weights.tolist(), rows, strict=True):
        if weight:
            total += weight * row
    return total


def _largest(sizes: FloatArray, allowed: float) -> npt.NDArray[np.bool_]:
    """Mark the largest, as few as leave the others with half of what is allowed; none if all have less."""
    marked = np.zeros(len(sizes), dtype=bool)
    if sizes.sum() > allowed:
        order = np.argsort(-sizes, kind="stable")
        remaining = sizes.sum() - np.cumsum(sizes[order])
        marked[order[: int(np.argmax(remaining <= 0.5 * allowed)) + 1]] = True
    return marked


# Torch functions of several tensors: their arguments, values, and gradients on a straight path.


def as_tensors(inputs: Tensor | Sequence[Tensor], name: str = "inputs") -> tuple[Tensor, ...]:
    """Inputs as a tuple of detached tensors, after checking that they can be explained."""
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
    """Baselines and inputs, the two ends of the path; the default baseline is zero."""
    ends = as_tensors(inputs)
    if baselines is None:
        return tuple(torch.zeros_like(end) for end in ends), ends
    starts = (baselines,) if isinstance(baselines, Tensor) else tuple(baselines)
    expected, given = [tuple(end.shape) for end in ends], [tuple(start.shape) for start in starts]
    if expected != given:
        raise UsageError(f"baselines must have the shapes of the inputs: expected {expected} (got {given})")
    checked = as_tensors(starts, "baselines")
    return tuple(start.to(end) for start, end in zip(checked, ends, strict=True)), ends


def gradients_on_path(
    function: Function,
    starts: tuple[Tensor, ...],
    steps: tuple[Tensor, ...],
    rows: Index,
    points: FloatArray,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """F, shape (m,), and dF/dx, shapes (m, ...), at points of the paths of some rows, in one call."""
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
    """What a function returned, if it is one value per row."""
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
    """Raise a `UsageError` that names row and point of the first entry that is not finite."""
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
