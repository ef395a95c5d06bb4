"""Nearest neighbours by Tanimoto similarity among packed fingerprints."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Bits = npt.NDArray[np.uint8]


class ReferenceFingerprints:
    """Fingerprints by bit: a molecule's shared bits with all of them are the sum of its own bits' rows."""

    def __init__(self, bits: Bits) -> None:
        self._by_bit = np.ascontiguousarray(bits.T)
        self._sizes = bits.sum(axis=1, dtype=np.int64)

    def similarities(self, bits: Bits) -> FloatArray:
        """Tanimoto similarity to each; two empty fingerprints have 0."""
        on = np.flatnonzero(bits)
        # Bytes are added several times faster than wider numbers, and hold any count of 255 bits.
        width = np.uint8 if len(on) <= 255 else np.uint16
        shared = np.add.reduce(self._by_bit[on], axis=0, dtype=width).astype(np.int64)
        return np.asarray(shared / np.maximum(self._sizes + len(on) - shared, 1))


def nearest_other(bits: Bits) -> FloatArray:
    """Similarity of each fingerprint to the nearest of the others; 0 if there is no other."""
    reference = ReferenceFingerprints(bits)
    nearest = np.zeros(len(bits))
    for i, own in enumerate(bits):
        similarities = reference.similarities(own)
        similarities[i] = 0
        nearest[i] = similarities.max()
    return nearest
