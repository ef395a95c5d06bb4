"""Ranks of a stream of scores in constant memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_RUN = 1_000_000


class RankRuns:
    """Sorted runs of scores on disk, to rank any score against all of them.

    Parameters
    ----------
    directory : Path
        Where to keep the runs, four bytes per score.
    run_length : int
        Scores held in memory.

    Examples
    --------
    >>> import tempfile
    >>> runs = RankRuns(Path(tempfile.mkdtemp()), run_length=2)
    >>> runs.add([0.5, 0.9, 0.5])
    >>> runs.ranks([0.9, 0.5]).tolist()
    [1, 2]
    """

    def __init__(self, directory: Path, run_length: int = _RUN) -> None:
        self._directory, self._length = directory, run_length
        self._open = array("f")
        self._runs: list[Path] = []

    def add(self, scores: Iterable[float]) -> None:
        """Take more scores; those in memory take four bytes each."""
        self._open.extend(scores)
        if len(self._open) >= self._length:
            self._close_run()

    def ranks(self, scores: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """1 + the number of scores that are greater; equal scores share a rank."""
        wanted = np.asarray(scores, dtype=np.float32)
        if self._open:
            self._close_run()
        greater = np.zeros(wanted.shape, dtype=np.int64)
        for path in self._runs:
            run = np.load(path, mmap_mode="r", allow_pickle=False)
            greater += len(run) - np.searchsorted(run, wanted, side="right")
        return greater + 1

    def _close_run(self) -> None:
        path = self._directory / f"run{len(self._runs)}.npy"
        np.save(path, np.sort(np.frombuffer(self._open, dtype=np.float32)), allow_pickle=False)
        self._runs.append(path)
        self._open = array("f")
