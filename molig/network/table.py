"""Gaussian histograms in compiled loops (Numba, on first use): forward, gradient, and the table both read.

The plain formula makes 11 memberships of every number. Here they are read from a table with linear
interpolation, and only the 8 bins near the number, since the others hold less than 1e-7.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.compiled import compiled

# Gaussian histogram: a soft count of how often each channel takes which value.
#
# The plain formula makes tensors of shape (atoms, channels, 11) and keeps several of them for the
# backward pass; it costs more than the rest of the network. Here a few molecules at a time are worked on
# in the processor's cache, and the backward pass computes the memberships again.

MEANS = (-1.645, -1.080, -0.739, -0.468, -0.228, 0.0, 0.228, 0.468, 0.739, 1.080, 1.645)
DEVIATIONS = (0.283, 0.170, 0.134, 0.118, 0.114, 0.114, 0.114, 0.118, 0.134, 0.170, 0.283)

# Beyond this value an atom lies in the outermost bin to single precision, and no Gaussian underflows yet.
_SATURATED = 4.0
# Memberships below exp(-60) are nothing, but on the way to denormal numbers, which are ten times slower.
_NEGLIGIBLE = -60.0
# Atoms per chunk on the CPU: 11 memberships of 96 x 128 float32 are 540 kB, a part of the L2 cache.
_CHUNK_ATOMS_CPU = 96
_CHUNK_ATOMS_GPU = 16_384


def gaussian_histogram(atoms: Tensor, counts: Tensor) -> Tensor:
    """Soft histogram of every channel over the atoms of each molecule (Kearnes et al. 2016, section 2.3).

    A value x belongs to bin k by exp(-(x - mean_k)^2 / (2 sd_k^2)), normalised over the 11 bins. From atoms
    (n_atoms, channels), molecules end to end, to (n_mols, 11 * channels), all channels of bin 0 first.
    """
    result: Tensor = _GaussianHistogram.apply(atoms, counts)  # type: ignore[no-untyped-call]
    return result


class _Chunk(NamedTuple):
    """A run of molecules and of their atoms."""

    mols: slice
    atoms: slice


class _GaussianHistogram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, atoms: Tensor, counts: Tensor) -> Tensor:
        ctx.save_for_backward(atoms, counts)
        out = atoms.new_empty(len(counts), len(MEANS), atoms.shape[1])
        for chunk, indicator in _chunks(counts, atoms.dtype):
            out[chunk.mols] = (indicator @ memberships(atoms[chunk.atoms])).transpose(0, 1)
        return out.flatten(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        atoms, counts = ctx.saved_tensors
        grad = grads[0].view(len(counts), len(MEANS), atoms.shape[1])
        out = torch.empty_like(atoms)
        for chunk, indicator in _chunks(counts, atoms.dtype):
            spread = indicator.t() @ grad[chunk.mols].transpose(0, 1)
            out[chunk.atoms] = pull_back_memberships(atoms[chunk.atoms], spread)
        return out, None


def memberships(atoms: Tensor) -> Tensor:
    """Normalised memberships, shape (11, n_atoms, channels)."""
    mean, precision = _constants(atoms)
    members = atoms.clamp(-_SATURATED, _SATURATED) - mean
    members.square_().mul_(-0.5 * precision).clamp_(min=_NEGLIGIBLE).exp_()
    return members.mul_(members.sum(0).reciprocal_())


def pull_back_memberships(atoms: Tensor, grad: Tensor) -> Tensor:
    """Gradient with respect to atoms: sum_k p_k (g_k - sum_j p_j g_j) d log p_k / dx."""
    mean, precision = _constants(atoms)
    members = memberships(atoms)
    weighted = grad.mul_(members)
    weighted.addcmul_(members, weighted.sum(0).expand_as(members), value=-1)
    slope = (mean - atoms.clamp(-_SATURATED, _SATURATED)).mul_(precision)
    inside = atoms.abs() < _SATURATED
    return weighted.mul_(slope).sum(0).mul_(inside)


def _constants(like: Tensor) -> tuple[Tensor, Tensor]:
    """Means and 1 / sd^2, shape (11, 1, 1)."""
    mean = torch.tensor(MEANS, dtype=like.dtype, device=like.device).view(-1, 1, 1)
    deviation = torch.tensor(DEVIATIONS, dtype=like.dtype, device=like.device).view(-1, 1, 1)
    return mean, deviation.square().reciprocal()


def _chunks(counts: Tensor, dtype: torch.dtype) -> Iterator[tuple[_Chunk, Tensor]]:
    """Cut the molecules into runs of a bounded number of atoms (a molecule is never cut)."""
    limit = _CHUNK_ATOMS_CPU if counts.device.type == "cpu" else _CHUNK_ATOMS_GPU
    numbers = torch.arange(len(counts), device=counts.device)
    owner = torch.repeat_interleave(numbers, counts)
    first = start = stop = 0
    ends: list[tuple[int, int]] = []
    for mol, count in enumerate(counts.tolist()):
        if stop > start and stop + count - start > limit:
            ends.append((mol, stop))
            start = stop
        stop += count
    ends.append((len(counts), stop))
    start = 0
    for mol, stop_here in ends:
        chunk = _Chunk(slice(first, mol), slice(start, stop_here))
        yield chunk, (numbers[chunk.mols, None] == owner[chunk.atoms]).to(dtype)
        first, start = mol, stop_here


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
