"""Gaussian histograms: the plain formula, the same in compiled loops, and a table of memberships.

The formula makes 11 memberships of every number. Compiled loops (Numba, on first use) do so eight times as
fast as torch, with the same rounding errors; they serve scores. Training and secants read memberships, and
their slopes, from a table with linear interpolation, and only the 8 bins near the number, since the others
hold less than 1e-7.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

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


def _in_bags(atoms: Tensor, counts: Tensor) -> Tensor:
    """The same without a look at the counts, which would wait for the device, and always in one order."""
    members = memberships(atoms).transpose(0, 1).flatten(1)
    return segment_sum(members, counts)


def segment_sum(rows: Tensor, counts: Tensor) -> Tensor:
    """Sum consecutive groups of ``counts`` rows; shape (n groups, ...)."""
    if rows.device.type != "cpu":
        return _bag_sum(rows, counts)
    group = torch.repeat_interleave(torch.arange(len(counts)), counts)
    out = torch.zeros(len(counts), *rows.shape[1:], dtype=rows.dtype)
    return out.index_add(0, group, rows)


def _bag_sum(rows: Tensor, counts: Tensor) -> Tensor:
    # On a GPU `index_add` adds in any order, and how many rows it makes would have to be asked for.
    every_row = torch.arange(len(rows), device=rows.device)
    return functional.embedding_bag(every_row, rows, counts.cumsum(0) - counts, mode="sum")


class _Chunk(NamedTuple):
    """A run of molecules and of their atoms."""

    mols: slice
    atoms: slice


class _GaussianHistogram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, atoms: Tensor, counts: Tensor) -> Tensor:
        ctx.save_for_backward(atoms, counts)
        if worth_compiling(atoms):
            flat = atoms.new_empty(len(counts), len(MEANS) * atoms.shape[1])
            _sum_memberships(*_rows(atoms, counts), _MEANS, _EXPONENTS, flat.numpy())
            return flat
        if atoms.device.type != "cpu":
            return _in_bags(atoms, counts)
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


# The same in compiled loops over channels, which work on 8 or 16 numbers at a time.

Array = npt.NDArray[Any]

_MEANS = np.array(MEANS, dtype=np.float32)
_LOG2_E = 1 / math.log(2)
_EXPONENTS = np.array([-0.5 * _LOG2_E / deviation**2 for deviation in DEVIATIONS], dtype=np.float32)
_LEAST = np.float32(_NEGLIGIBLE * _LOG2_E)
_FAR = np.float32(_SATURATED)
# 2^r = 1 + c1 r + ... for r in [-0.5, 0.5], to single precision, by Chebyshev interpolation.
_POWERS = np.polynomial.Chebyshev.interpolate(np.exp2, 6, [-0.5, 0.5]).convert(kind=np.polynomial.Polynomial)
_C1, _C2, _C3, _C4, _C5, _C6 = _POWERS.coef[1:].astype(np.float32)
_ONE, _HALF, _TWO_LOG2_E = np.float32(1), np.float32(0.5), np.float32(2 * _LOG2_E)

# Fewer numbers are done before Numba, which takes a third of a second, is imported.
_WORTH_COMPILING = 1 << 17


def worth_compiling(states: Tensor) -> bool:
    """Whether compiled loops serve these numbers, and gain more than they cost to load."""
    on_cpu = states.device.type == "cpu" and states.dtype == torch.float32
    return on_cpu and states.numel() >= _WORTH_COMPILING


@compiled
def _power_of_2(y: np.float32) -> np.float32:
    """2^y for y from -120 to 0; NaN for NaN."""
    whole = np.int32(y - _HALF)
    r = y - np.float32(whole)
    power = _ONE + r * (_C1 + r * (_C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * _C6)))))
    # An exponent of a number in single precision is its bits from the 23rd on, plus 127.
    scale: np.float32 = np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)
    result: np.float32 = power * scale
    return result


@compiled
def _sum_memberships(  # noqa: PLR0917 - compiled functions take no keywords
    states: Array, starts: Array, counts: Array, means: Array, exponents: Array, out: Array
) -> None:
    """Sum the memberships of every channel over the rows of each molecule."""
    # states (n_rows, channels), the rows of each molecule by starts and counts (n_mols,);
    # into out (n_mols, 11 * channels), bin by bin
    channels = states.shape[1]
    members, share = np.empty((len(means), channels), np.float32), np.empty(channels, np.float32)
    for molecule in range(len(starts)):
        total = out[molecule].reshape(len(means), channels)
        total[:] = 0
        for row in range(starts[molecule], starts[molecule] + counts[molecule]):
            state = states[row]
            share[:] = 0
            for k in range(len(means)):
                mean, exponent, member = means[k], exponents[k], members[k]
                for c in range(channels):
                    x = state[c]
                    x = -_FAR if x < -_FAR else _FAR if x > _FAR else x
                    y = (x - mean) * (x - mean) * exponent
                    member[c] = _power_of_2(_LEAST if y < _LEAST else y)
                    share[c] += member[c]
            for c in range(channels):
                share[c] = _ONE / share[c]
            for k in range(len(means)):
                member, bin_total = members[k], total[k]
                for c in range(channels):
                    bin_total[c] += member[c] * share[c]


def hyperbolic_tangent(x: Tensor) -> Tensor:
    """Tanh of numbers without a gradient, to 1e-7: in compiled loops if that is worth it."""
    if x.requires_grad or not worth_compiling(x):
        return torch.tanh(x)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    _tangents(x.contiguous().numpy().reshape(-1), out.numpy().reshape(-1))
    return out


@compiled
def _tangents(numbers: Array, out: Array) -> None:
    for i in range(len(numbers)):
        x = numbers[i]
        y = -_TWO_LOG2_E * abs(x)
        power = _power_of_2(_LEAST if y < _LEAST else y)
        size = (_ONE - power) / (_ONE + power)
        out[i] = -size if x < 0 else size


# A table of memberships.

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
