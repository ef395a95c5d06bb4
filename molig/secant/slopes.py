"""Secant slopes of activations: the mean of the derivative between two points of a straight line.

For a unit whose input goes from l to r, the mean of f' over [l, r] is (f(r) - f(l)) / (r - l). It is exact
also where relu has its kink between l and r. As a rule for a single step from baseline to input these
slopes are those of DeepLIFT's rescale rule (Shrikumar, Greenside, Kundaje 2017); here the steps are the
panels of a path, and the result tends to integrated gradients as the panels shrink.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from molig.compiled import compiled
from molig.network import Activation

# Fused loops for rows that are gathered, multiplied and summed (Numba, on first use).

Array = npt.NDArray[Any]


@compiled
def relu_pull_back(gradient: Array, inputs: Array, left: Array, right: Array) -> None:
    """Multiply a gradient by the secant slopes of relu, in place."""
    # gradient (n, width), inputs (n_rows, width) at all points, left and right (n,) rows of inputs
    for row in range(len(gradient)):
        low, high, target = inputs[left[row]], inputs[right[row]], gradient[row]
        for k in range(gradient.shape[1]):
            width = high[k] - low[k]
            rise = max(high[k], low[k] * 0) - max(low[k], low[k] * 0)
            step = low[k] > 0
            slope = rise / width
            if width == 0:
                slope = step
            target[k] *= slope


@compiled
def dot_sums(  # noqa: PLR0917 - compiled functions take no keywords
    gradient: Array, first: Array, second: Array, table: Array, which: Array, out: Array
) -> None:
    """Products of (gradient[first] + gradient[second]) with the entries of table[which]."""
    # gradient (n_rows, depth), table (n_tables, n_entries, depth), out (n, n_entries); first, second, which
    # (n,). The same row twice means the row itself.
    depth = gradient.shape[1]
    both = np.empty(depth, dtype=gradient.dtype)
    for row in range(len(first)):
        i, j = first[row], second[row]
        if i == j:
            for k in range(depth):
                both[k] = gradient[i, k]
        else:
            for k in range(depth):
                both[k] = gradient[i, k] + gradient[j, k]
        vectors = table[which[row]]
        for entry in range(table.shape[1]):
            total = both[0] * 0
            for k in range(depth):
                total += both[k] * vectors[entry, k]
            out[row, entry] = total


@compiled
def relu_line_pull_back(  # noqa: PLR0917 - compiled functions take no keywords
    gradient: Array, constant: Array, rates: Array, which: Array, left: Array, right: Array
) -> None:
    """Multiply a gradient by the secant slopes of relu on straight lines, in place."""
    # gradient (n, width), constant (width,), rates (n_rows, width), which (n,) rows of rates; left and right
    # (n,), where on the lines
    for row in range(len(gradient)):
        rate, target, start, stop = rates[which[row]], gradient[row], left[row], right[row]
        for k in range(gradient.shape[1]):
            low, high = constant[k] + start * rate[k], constant[k] + stop * rate[k]
            width = high - low
            rise = max(high, low * 0) - max(low, low * 0)
            step = low > 0
            slope = rise / width
            if width == 0:
                slope = step
            target[k] *= slope


@compiled
def _sums_of_ends(rows: Array, ends: Array, out: Array) -> None:
    for pair in range(ends.shape[1]):
        i, j = ends[0, pair], ends[1, pair]
        for k in range(rows.shape[1]):
            out[pair, k] = rows[i, k] + rows[j, k]


@compiled
def _add_at_ends(first: Array, second: Array, ends: Array, out: Array) -> None:
    for pair in range(ends.shape[1]):
        i, j = ends[0, pair], ends[1, pair]
        for k in range(first.shape[1]):
            out[i, k] += first[pair, k]
            out[j, k] += second[pair, k]


def sum_of_ends(rows: Tensor, ends: Tensor) -> Tensor:
    """Sum of the rows of both atoms of each pair; ends (2, n_pairs)."""
    if rows.device.type != "cpu":
        return rows[ends[0]] + rows[ends[1]]
    out = rows.new_empty(ends.shape[1], rows.shape[1])
    _sums_of_ends(rows.numpy(), ends.numpy(), out.numpy())
    return out


def add_at_ends(first: Tensor, second: Tensor, ends: Tensor, n_atoms: int) -> Tensor:
    """Sums over the pairs of each atom: of ``first`` where it comes first in the pair, else of ``second``."""
    out = first.new_zeros(n_atoms, first.shape[1])
    if out.device.type != "cpu":
        return out.index_add_(0, ends[0], first).index_add_(0, ends[1], second)
    _add_at_ends(first.numpy(), second.numpy(), ends.numpy(), out.numpy())
    return out


class Line(NamedTuple):
    """Inputs of activations that change at a constant rate along the path."""

    constant: Tensor  # (depth,), at the baseline
    rates: Tensor  # (n_rows, depth)

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None, base: Tensor, steps: Tensor) -> Self:
        """Of a linear layer: weight (depth, columns), the baseline's row, and rows minus baseline."""
        constant = weight @ base
        return cls(constant if bias is None else constant + bias, steps @ weight.t())

    @classmethod
    def of_pairs(cls, left: Line, right: Line, first: Tensor, second: Tensor) -> Self:
        """Of pairs of atoms: the sum of a line of the first atom and a line of the second one."""
        return cls(left.constant + right.constant, left.rates[first] + right.rates[second])

    def at(self, which: Tensor, scales: Tensor) -> Tensor:
        """Values of some rows, each at a scale of its own; shape (n, depth)."""
        return torch.addcmul(self.constant, self.rates[which], scales[:, None])


def closeness(dtype: torch.dtype) -> float:
    """Distance below which a difference quotient is lost in rounding, and the derivative replaces it."""
    return 1e-7 if dtype == torch.float64 else 1e-4


def relu_slope(left: Tensor, right: Tensor) -> Tensor:
    """Share of [left, right] on which the input of a relu is positive; tensors of one shape."""
    width = right - left
    # 0/0 where nothing changes.
    return torch.where(width == 0, (left > 0).to(left), (right.relu() - left.relu()) / width)


def silu_slope(left: Tensor, right: Tensor) -> Tensor:
    """Secant slope of x * sigmoid(x); tensors of one shape."""
    gate = ((left + right) / 2).sigmoid()
    derivative = gate * (1 + (left + right) / 2 * (1 - gate))
    return quotient(functional.silu(right) - functional.silu(left), right - left, derivative)


def tanh_slope(left: Tensor, right: Tensor) -> Tensor:
    """Secant slope of tanh; tensors of one shape."""
    derivative = 1 - ((left + right) / 2).tanh().square()
    return quotient(right.tanh() - left.tanh(), right - left, derivative)


def quotient(rise: Tensor, width: Tensor, derivative: Tensor) -> Tensor:
    """Rise over width, or the derivative where the width is too small to divide by."""
    return torch.where(width.abs() < closeness(width.dtype), derivative, rise / width)


SLOPES: dict[Activation, Callable[[Tensor, Tensor], Tensor]] = {
    Activation.RELU: relu_slope,
    Activation.SILU: silu_slope,
}


def pull_back(
    activation: Activation, gradient: Tensor, inputs: Tensor, left: Tensor, right: Tensor
) -> Tensor:
    """A gradient times the secant slopes of an activation, rows ``left`` to ``right``; may be overwritten."""
    if activation is Activation.RELU and gradient.device.type == "cpu":
        relu_pull_back(gradient.numpy(), inputs.numpy(), left.numpy(), right.numpy())
        return gradient
    return gradient * SLOPES[activation](inputs[left], inputs[right])


def line_pull_back(
    activation: Activation, gradient: Tensor, line: Line, which: Tensor, scales: tuple[Tensor, Tensor]
) -> Tensor:
    """A gradient times the secant slopes of an activation along some rows' lines; may be overwritten."""
    if activation is Activation.RELU and gradient.device.type == "cpu":
        relu_line_pull_back(*(t.numpy() for t in (gradient, *line, which, *scales)))
        return gradient
    return gradient * SLOPES[activation](*(line.at(which, scale) for scale in scales))
