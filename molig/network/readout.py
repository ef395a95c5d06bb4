"""Readouts: from the atoms of a molecule to one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molig.network.config import Readout
from molig.network.histogram import MEANS, gaussian_histogram

_TINY = 1e-12


class MoleculeReadout(nn.Module):
    """Reduce atom states to molecules.

    Parameters
    ----------
    kind : Readout
        Sum, root mean square, or the Gaussian histogram of Kearnes et al. 2016, section 2.3.
    width : int
        Columns of the atom states.
    """

    def __init__(self, kind: Readout, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.out_features = width * len(MEANS) if kind is Readout.GAUSSIAN else width

    def forward(self, atoms: Tensor, counts: Tensor) -> Tensor:
        """Reduce ``atoms``, shape (n_atoms, width), of molecules with ``counts`` atoms each.

        Returns
        -------
        Tensor, shape (n_mols, out_features)
        """
        if self.kind is Readout.GAUSSIAN:
            return gaussian_histogram(atoms, counts)
        if self.kind is Readout.SUM:
            return segment_sum(atoms, counts)
        mean_square = segment_sum(atoms.square(), counts) / counts[:, None]
        # The root has no gradient at 0, where all atoms of a molecule are 0.
        return mean_square.clamp_min(_TINY).sqrt()


def segment_sum(rows: Tensor, counts: Tensor) -> Tensor:
    """Sum consecutive groups of ``counts`` rows; shape (n groups, ...)."""
    group = torch.repeat_interleave(torch.arange(len(counts), device=rows.device), counts)
    out = torch.zeros(len(counts), *rows.shape[1:], dtype=rows.dtype, device=rows.device)
    return out.index_add(0, group, rows)
