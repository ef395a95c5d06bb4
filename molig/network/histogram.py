"""Gaussian histogram: a soft count of how often each channel takes which value.

The plain formula makes tensors of shape (atoms, channels, 11) and keeps several of them for the
backward pass; it costs more than the rest of the network. Here a few molecules at a time are worked on
in the processor's cache, and the backward pass computes the memberships again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

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
