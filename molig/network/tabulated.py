"""The Gaussian histogram of a training step, read from a table in compiled loops."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from molig.network.table import N_BINS, histogram, histogram_gradient, membership_table

Array = npt.NDArray[Any]


def tabulated_histogram(atoms: Tensor, counts: Tensor) -> Tensor:
    """`gaussian_histogram` of numbers in [-1, 1], with memberships interpolated in a table, on the CPU.

    Parameters
    ----------
    atoms : Tensor of float32, shape (n_atoms, channels)
        Atom states, molecules end to end.
    counts : Tensor of int64, shape (n_mols,)
        Atoms per molecule, at least 1 each.

    Returns
    -------
    Tensor, shape (n_mols, 11 * channels)
    """
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
