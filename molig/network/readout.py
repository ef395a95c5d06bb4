"""Readouts: from the atoms of a molecule to one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molig.network.config import Readout
from molig.network.table import MEANS, gaussian_histogram, segment_sum, tabulated_histogram

_TINY = 1e-12


class MoleculeReadout(nn.Module):
    """Reduce atom states to molecules."""

    def __init__(self, kind: Readout, width: int, size_exponent: float = 0.0) -> None:
        super().__init__()
        self.kind, self.size_exponent = kind, size_exponent
        # Read the histogram from a table where that can be done, for training: several times faster, with an
        # error below 3e-6 per atom and channel.
        self.tabulated = False
        self.out_features = width * len(MEANS) if kind is Readout.GAUSSIAN else width

    def forward(self, atoms: Tensor, counts: Tensor) -> Tensor:
        """Reduce ``atoms``, shape (n_atoms, width), of molecules with ``counts`` atoms each."""
        pooled = self._pooled(atoms, counts)
        return pooled * self.size_factor(counts, pooled) if self.size_exponent else pooled

    def size_factor(self, counts: Tensor, like: Tensor) -> Tensor:
        """What the result of each molecule is multiplied by, shape (n_mols, 1)."""
        return counts.to(like.dtype).pow(-self.size_exponent)[:, None]

    def _pooled(self, atoms: Tensor, counts: Tensor) -> Tensor:
        if self.kind is Readout.GAUSSIAN:
            if self.tabulated and atoms.device.type == "cpu" and atoms.dtype == torch.float32:
                return tabulated_histogram(atoms, counts)
            return gaussian_histogram(atoms, counts)
        if self.kind is Readout.SUM:
            return segment_sum(atoms, counts)
        mean_square = segment_sum(atoms.square(), counts) / counts[:, None]
        # The root has no gradient at 0, where all atoms of a molecule are 0.
        return mean_square.clamp_min(_TINY).sqrt()
