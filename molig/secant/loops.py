"""Fused loops for rows that are gathered, multiplied and summed (Numba, on first use)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from molig.network.table import compiled

Array = npt.NDArray[Any]


@compiled
def relu_pull_back(gradient: Array, inputs: Array, left: Array, right: Array) -> None:
    """Multiply a gradient by the secant slopes of relu, in place.

    Parameters
    ----------
    gradient : array, shape (n, width)
        Gradient with respect to the outputs of the units.
    inputs : array, shape (n_rows, width)
        Inputs of the units at all points.
    left, right : array of int64, shape (n,)
        Row of ``inputs`` at the two ends.
    """
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
    """Products of (gradient[first] + gradient[second]) with the entries of table[which].

    Parameters
    ----------
    gradient : array, shape (n_rows, depth)
        Rows.
    first, second : array of int64, shape (n,)
        Which two rows to add; the same one twice means the row itself.
    table : array, shape (n_tables, n_entries, depth)
        Vectors.
    which : array of int64, shape (n,)
        Which table.
    out : array, shape (n, n_entries)
        Filled.
    """
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
