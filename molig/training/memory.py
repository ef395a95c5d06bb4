"""Tables larger than memory: told while they are read, before the system ends the process."""

from __future__ import annotations

from pathlib import Path

from molig.errors import InputError

_MEMINFO = Path("/proc/meminfo")
_LEAST = 64_000_000
"""Bytes that no computer runs out of."""
_MATRICES = 5.2
"""Square matrices of numbers in double precision that fitting a kernel machine holds at its peak."""


class MemoryWatch:
    """Compares what a table takes, and what training will need on top, with the memory that is free.

    Of `compared` molecules at most a kernel machine compares each with each.
    """

    def __init__(self, source: str | Path, compared: int = 0) -> None:
        self._source, self._compared = source, compared
        self._n_bytes = self._n_molecules = 0

    def add(self, n_molecules: int, n_bytes: int) -> None:
        """Count molecules just read; raises InputError if the free memory will not do for training."""
        self._n_molecules += n_molecules
        self._n_bytes += n_bytes
        matrices = int(_MATRICES * 8 * min(self._n_molecules, self._compared) ** 2)
        # Molecules are put end to end, and then dealt to the parts of the split: twice as much again.
        needed = 2 * self._n_bytes + matrices
        free = _free_bytes() if needed > _LEAST else None
        if free is not None and needed > free:
            of_kernel, or_less = "", ""
            if matrices:
                of_kernel = f" ({matrices / 1e9:.1f} GB of them for the kernel machine)"
                or_less = ", or with a smaller kernel.max_molecules in the recipe"
            raise InputError(
                f"{self._source}: the first {self._n_molecules:,} molecules need {needed / 1e9:.1f} GB more "
                f"for training{of_kernel}, and {free / 1e9:.1f} GB of memory are free: end other programs, "
                f"or train on fewer rows{or_less}"
            )


def _free_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system does not say (it is Linux that does)."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        found = next(line.split() for line in lines if line.startswith("MemAvailable:"))
        return int(found[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return None
