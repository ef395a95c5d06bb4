"""Which molecules an epoch sees, and which of them as zero-feature copies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class EpochSampler:
    """Draws the molecules of an epoch: all of them, or the actives and some of the others."""

    def __init__(self, labels: FloatArray, inactives: int | None = None) -> None:
        active = (labels == 1).any(axis=1)
        self._actives, self._others = np.flatnonzero(active), np.flatnonzero(~active)
        n_others = len(self._others)
        self._n_drawn = n_others if inactives is None else min(inactives, n_others)
        self.size = len(self._actives) + self._n_drawn
        self.seen = np.where(active, 1.0, self._n_drawn / max(n_others, 1))

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Molecules of one epoch in random order, shape (size,)."""
        if self._n_drawn == len(self._others):
            return rng.permutation(self.size)
        drawn = rng.choice(self._others, self._n_drawn, replace=False)
        return rng.permutation(np.concatenate([self._actives, drawn]))


def size_weights(atom_counts: npt.NDArray[np.int64]) -> FloatArray:
    """Probability of each molecule to be drawn as a zero-feature copy, shape (n_mols,).

    Without features a graph is little more than its size, and drawn evenly the few very small and very
    large ones would not be heard: a size comes in proportion to the square root of its frequency.
    """
    _, size, frequency = np.unique(atom_counts, return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(frequency[size])
    result: FloatArray = weights / weights.sum()
    return result
