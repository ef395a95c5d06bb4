"""Gaussian histograms in compiled loops (Numba, on first use).

The plain formula makes 11 memberships of every number. Here they are read from a table with linear
interpolation, and only the 8 bins near the number, since the others hold less than 1e-7.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from molig.network.histogram import MEANS, memberships
from molig.secant.jit import compiled

Array = npt.NDArray[Any]

N_BINS = len(MEANS)
_NEAR = 8
_STRIDE = 2 * _NEAR
# With 4,096 cells interpolation errs by less than 3e-6 per atom.
_CELLS = 4096


class Table(NamedTuple):
    """Memberships of numbers in [-1, 1].

    Parameters
    ----------
    values : array of float32, flat, 16 per cell
        The 8 largest memberships at the cell's left end, then their change through the cell.
    first : array of int32, one per cell
        The bin of the first of the 8.
    half : float32
        Half the number of cells.
    """

    values: Array
    first: Array
    half: np.float32


@cache
def membership_table() -> Table:
    """Tabulate the memberships."""
    nodes = torch.linspace(-1, 1, _CELLS + 1, dtype=torch.float64)
    members = memberships(nodes[:, None])[:, :, 0].t().numpy()
    windows = np.lib.stride_tricks.sliding_window_view(members, _NEAR, axis=1)
    first = (windows[:-1].sum(2) + windows[1:].sum(2)).argmax(1).astype(np.int32)
    cells = np.arange(_CELLS)
    left, right = windows[cells, first], windows[cells + 1, first]
    values = np.concatenate([left, right - left], axis=1).astype(np.float32)
    return Table(values.ravel(), first, np.float32(_CELLS / 2))


@compiled
def _locate(states: Array, table: Table, cells: Array, within: Array) -> None:
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
def _add(cells: Array, within: Array, sign: np.float32, table: Table, total: Array) -> None:
    """Add the memberships of each channel's number to ``total``, flat, bin by bin."""
    values, first, _ = table
    channels = np.uint64(len(cells))
    for c in range(len(cells)):
        cell, t = np.uint64(cells[c]), within[c] * sign
        at, to = cell * np.uint64(_STRIDE), np.uint64(first[cell]) * channels + np.uint64(c)
        for k in range(_NEAR):
            total[to + np.uint64(k) * channels] += (
                sign * values[at + np.uint64(k)] + t * values[at + np.uint64(k + _NEAR)]
            )


@compiled
def histogram(states: Array, starts: Array, counts: Array, table: Table, out: Array) -> None:
    """Sum the memberships of every channel over the rows of each point.

    Parameters
    ----------
    states : array of float32, shape (n_rows, channels)
        Numbers in [-1, 1].
    starts, counts : array of int64, shape (n_points,)
        Rows of each point.
    table : Table
        See `membership_table`.
    out : array of float32, shape (n_points, 11 * channels)
        Filled with the sums, bin by bin.
    """
    channels = states.shape[1]
    cells, within = np.zeros(channels, dtype=np.int32), np.zeros(channels, dtype=np.float32)
    for point in range(len(starts)):
        out[point] = 0
        for row in range(starts[point], starts[point] + counts[point]):
            _locate(states[row], table, cells, within)
            _add(cells, within, np.float32(1), table, out[point])


@compiled
def histogram_secant(  # noqa: PLR0917 - compiled functions take no keywords
    units: tuple[Array, Array],
    ends: Array,
    requests: Array,
    gradients: Array,
    table: Table,
    out: Array,
) -> None:
    """Gradient of the histogram times the secant slopes of histogram and tanh together.

    Parameters
    ----------
    units : tuple of array of float32, shape (n_rows, channels)
        Numbers before and after tanh.
    ends : array of int64, shape (n_panels, 3)
        First row at the left end, first row at the right end, number of rows.
    requests : array of int64, shape (n_panels + 1,)
        Where the gradients of each panel begin.
    gradients : array of float32, shape (n_requests, 11, channels)
        Gradients of outputs with respect to the histogram.
    table : Table
        See `membership_table`.
    out : array of float32, shape (n_rows of all requests, channels)
        Filled with gradients with respect to the numbers before tanh, request by request.
    """
    inputs, states = units
    channels = states.shape[1]
    one, close = np.float32(1), np.float32(1e-4)
    cells, within = np.zeros(channels, dtype=np.int32), np.zeros(channels, dtype=np.float32)
    change, factor = np.zeros(N_BINS * channels, dtype=np.float32), np.zeros(channels, dtype=np.float32)
    base = 0
    for panel in range(len(ends)):
        n_rows = ends[panel, 2]
        for row in range(n_rows):
            left, right = ends[panel, 0] + row, ends[panel, 1] + row
            change[:] = 0
            _locate(states[right], table, cells, within)
            _add(cells, within, one, table, change)
            _locate(states[left], table, cells, within)
            _add(cells, within, -one, table, change)
            for c in range(channels):
                factor[c] = one / (inputs[right, c] - inputs[left, c])
            for c in range(channels):
                if abs(inputs[right, c] - inputs[left, c]) <= close:
                    middle = np.float32(0.5) * (states[left, c] + states[right, c])
                    _slope(middle, c, table, change, factor)
            for request in range(requests[panel], requests[panel + 1]):
                target = out[base + row + (request - requests[panel]) * n_rows]
                target[:] = 0
                for k in range(N_BINS):
                    for c in range(channels):
                        target[c] += change[k * channels + c] * gradients[request, k, c]
                for c in range(channels):
                    target[c] *= factor[c]
        base += n_rows * (requests[panel + 1] - requests[panel])


@compiled
def _slope(middle: np.float32, c: int, table: Table, change: Array, factor: Array) -> None:
    """Put the change through a cell in the place of the change through the panel, and its factor."""
    values, first, half = table
    channels = len(factor)
    cell = max(0, min(len(first) - 1, int((middle + np.float32(1)) * half)))
    for k in range(N_BINS):
        change[k * channels + c] = 0
    for k in range(_NEAR):
        change[(first[cell] + k) * channels + c] = values[cell * _STRIDE + _NEAR + k]
    factor[c] = half * (np.float32(1) - middle * middle)
