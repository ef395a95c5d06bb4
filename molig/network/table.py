"""Gaussian histograms in compiled loops (Numba, on first use): forward, gradient, and the table both read.

The plain formula makes 11 memberships of every number. Here they are read from a table with linear
interpolation, and only the 8 bins near the number, since the others hold less than 1e-7.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, ParamSpec

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.network.histogram import MEANS, memberships

# Compilation of loops, kept on disk where there is a place for it.

P = ParamSpec("P")

FAST_MATH = {"contract", "reassoc", "nsz"}
"""Sums may be taken in any order; NaN and infinity keep their meaning."""


def compiled(function: Callable[P, None]) -> Callable[P, None]:
    """Compile a function that fills arrays, on its first call."""
    options: dict[str, Any] = {"fastmath": FAST_MATH, "nogil": True, "error_model": "numpy"}
    try:
        found: Callable[P, None] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's directory nor the user's cache can be written
        found = numba.njit(**options)(function)
    return found


Array = npt.NDArray[Any]

N_BINS = len(MEANS)
NEAR = 8
STRIDE = 2 * NEAR
# With 4,096 cells interpolation errs by less than 3e-6 per atom.
_CELLS = 4096


class Table(NamedTuple):
    """Memberships of numbers in [-1, 1]."""

    values: Array
    """float32, 16 per cell: the 8 largest memberships at its left end, then their change through the cell."""
    first: Array
    """int32, the bin of the first of the 8, per cell."""
    half: np.float32
    """Half the number of cells."""


@cache
def membership_table() -> Table:
    """Tabulate the memberships."""
    nodes = torch.linspace(-1, 1, _CELLS + 1, dtype=torch.float64)
    members = memberships(nodes[:, None])[:, :, 0].t().numpy()
    windows = np.lib.stride_tricks.sliding_window_view(members, NEAR, axis=1)
    first = (windows[:-1].sum(2) + windows[1:].sum(2)).argmax(1).astype(np.int32)
    cells = np.arange(_CELLS)
    left, right = windows[cells, first], windows[cells + 1, first]
    values = np.concatenate([left, right - left], axis=1).astype(np.float32)
    return Table(values.ravel(), first, np.float32(_CELLS / 2))


@compiled
def locate(states: Array, table: Table, cells: Array, within: Array) -> None:
    """Cell of each number, and its place in the cell."""
    _, first, half = table
    last = len(first) - 1
    one = np.float32(1)
    for c in range(len(states)):
        place = (states[c] + one) * half
        # 1 belongs to the last cell, and NaN, which becomes some integer, to any.
        cells[c] = max(0, min(last, int(place)))
        within[c] = place - np.float32(cells[c])


@compiled
def add_memberships(cells: Array, within: Array, sign: np.float32, table: Table, total: Array) -> None:
    """Add the memberships of each channel's number to ``total``, flat, bin by bin."""
    values, first, _ = table
    channels = np.uint64(len(cells))
    for c in range(len(cells)):
        cell, t = np.uint64(cells[c]), within[c] * sign
        at, to = cell * np.uint64(STRIDE), np.uint64(first[cell]) * channels + np.uint64(c)
        for k in range(NEAR):
            total[to + np.uint64(k) * channels] += (
                sign * values[at + np.uint64(k)] + t * values[at + np.uint64(k + NEAR)]
            )


@compiled
def histogram(states: Array, starts: Array, counts: Array, table: Table, out: Array) -> None:
    """Sum the memberships of every channel over the rows of each point."""
    # states (n_rows, channels) in [-1, 1], the rows of each point by starts and counts (n_points,);
    # into out (n_points, 11 * channels), bin by bin
    channels = states.shape[1]
    cells, within = np.zeros(channels, dtype=np.int32), np.zeros(channels, dtype=np.float32)
    for point in range(len(starts)):
        out[point] = 0
        for row in range(starts[point], starts[point] + counts[point]):
            locate(states[row], table, cells, within)
            add_memberships(cells, within, np.float32(1), table, out[point])


@compiled
def histogram_gradient(  # noqa: PLR0917 - compiled functions take no keywords
    states: Array, starts: Array, counts: Array, gradients: Array, table: Table, out: Array
) -> None:
    """Gradient with respect to the rows: the slope of the cell that each number is in."""
    # gradients (n_points, 11 * channels), bin by bin, into out (n_rows, channels)
    values, first, half = table
    channels = states.shape[1]
    cells, within = np.zeros(channels, dtype=np.int32), np.zeros(channels, dtype=np.float32)
    for point in range(len(starts)):
        gradient = gradients[point]
        for row in range(starts[point], starts[point] + counts[point]):
            locate(states[row], table, cells, within)
            target = out[row]
            for c in range(channels):
                cell = np.uint64(cells[c])
                at = cell * np.uint64(STRIDE) + np.uint64(NEAR)
                to = np.uint64(first[cell]) * np.uint64(channels) + np.uint64(c)
                total = np.float32(0)
                for k in range(NEAR):
                    total += values[at + np.uint64(k)] * gradient[to + np.uint64(k) * np.uint64(channels)]
                target[c] = total * half


# The Gaussian histogram of a training step, read from a table in compiled loops.


def tabulated_histogram(atoms: Tensor, counts: Tensor) -> Tensor:
    """`gaussian_histogram` of numbers in [-1, 1], with memberships interpolated in a table, on the CPU."""
    result: Tensor = _TabulatedHistogram.apply(atoms, counts)  # type: ignore[no-untyped-call]
    return result


class _TabulatedHistogram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, atoms: Tensor, counts: Tensor) -> Tensor:
        ctx.save_for_backward(atoms, counts)
        out = atoms.new_empty(len(counts), N_BINS * atoms.shape[1])
        histogram(*_rows(atoms, counts), membership_table(), out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        atoms, counts = ctx.saved_tensors
        out = torch.empty_like(atoms)
        gradient = grads[0].contiguous().numpy()
        histogram_gradient(*_rows(atoms, counts), gradient, membership_table(), out.numpy())
        return out, None


def _rows(atoms: Tensor, counts: Tensor) -> tuple[Array, Array, Array]:
    """Atom states, first atom and number of atoms of each molecule, as the compiled loops take them."""
    ends = counts.cumsum(0)
    return atoms.detach().contiguous().numpy(), (ends - counts).numpy(), counts.numpy()
