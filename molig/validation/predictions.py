"""Scores of one method on one fold, kept in a file so that nothing is computed twice."""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molig.errors import InputError, OutputError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FoldScores:
    """What a method said about the test molecules of a fold.

    Parameters
    ----------
    rows : array of int, shape (n,)
        Row of each molecule in its table, from 1.
    labels : array of float, shape (n, n_tasks)
        1 active, 0 inactive, NaN not measured.
    scores : array of float, shape (n, n_tasks)
        Logits of a network, or whatever the method ranks by; a column of NaN where it had nothing to learn.
    probabilities : array of float, shape (n, n_tasks), optional
        Of being active, if the method states any.
    baseline : array of float, shape (n, n_tasks), optional
        Probability at the zero baseline of every molecule; networks only.
    seconds : float
        Time spent on training and scoring, of one processor core.
    """

    rows: npt.NDArray[np.int64]
    labels: FloatArray
    scores: FloatArray
    probabilities: FloatArray | None = None
    baseline: FloatArray | None = None
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write the arrays; the file is there as a whole or not at all."""
        arrays: dict[str, Any] = {
            "rows": self.rows,
            "labels": self.labels.astype(np.float32),
            "scores": self.scores.astype(np.float32),
            "seconds": np.array(self.seconds),
        }
        for name, values in (("probabilities", self.probabilities), ("baseline", self.baseline)):
            if values is not None:
                arrays[name] = values.astype(np.float32)
        temporary = path.with_name(f".{path.stem}.tmp.npz")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(temporary, **arrays)
            os.replace(temporary, path)
        except OSError as err:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise OutputError(f"cannot write {path}: {err.strerror or err}") from err

    @classmethod
    def load(cls, path: Path) -> FoldScores:
        """Read the arrays.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                held = {name: file[name] for name in file.files}
            return cls(
                rows=held["rows"],
                labels=held["labels"].astype(np.float64),
                scores=held["scores"].astype(np.float64),
                probabilities=_double(held.get("probabilities")),
                baseline=_double(held.get("baseline")),
                seconds=float(held["seconds"]),
            )
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as err:
            raise InputError(f"{path} is damaged: {err}; delete it to compute it again") from err


def _double(values: npt.NDArray[np.float32] | None) -> FloatArray | None:
    return None if values is None else values.astype(np.float64)
