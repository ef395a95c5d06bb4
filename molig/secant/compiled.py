"""Secant slopes of Gaussian histograms in compiled loops (Numba, on first use)."""

from __future__ import annotations

import numpy as np

from molig.network.table import N_BINS, NEAR, STRIDE, Array, Table, add_memberships, compiled, locate


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
            locate(states[right], table, cells, within)
            add_memberships(cells, within, one, table, change)
            locate(states[left], table, cells, within)
            add_memberships(cells, within, -one, table, change)
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
    for k in range(NEAR):
        change[(first[cell] + k) * channels + c] = values[cell * STRIDE + NEAR + k]
    factor[c] = half * (np.float32(1) - middle * middle)
