"""The hit table: columns, and the choice of the best k rows."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from molig.errors import UsageError
from molig.model import ApplicabilityFlag
from molig.molecules import Molecule, Rejection

FloatArray = npt.NDArray[np.float32]

REJECTION_SCHEMA = pa.schema(
    [("row", pa.int64()), ("id", pa.string()), ("smiles", pa.string()), ("reason", pa.string())]
)

RANK_DECIMALS = 6
"""Rows are ranked by scores rounded to so many decimals, and equal ones share a rank.

Matrix products of other sizes, or on more threads, add in another order: a score in single precision
moves by up to 5e-7, and copies of a molecule in two batches would be ranked by that.
"""

PERCENTILE = " percentile"

_HEAD = [
    ("row", pa.int64()),
    ("id", pa.string()),
    ("smiles", pa.string()),
    ("scored_smiles", pa.string()),
    ("removed", pa.string()),
]
_APPLICABILITY = [("applicability", pa.string()), ("similarity", pa.float32())]
_CHANCE_WRONG = (
    "chance that it is wrong to call the molecule active if the score is above 0.5, inactive otherwise"
)
_UNCERTAINTY = "weighted standard deviation of the scores of the committee's members"


@dataclass(frozen=True)
class HitColumns:
    """Columns of a hit table; of several tasks the highest score ranks, and best_task names its task."""

    tasks: tuple[str, ...]
    applicability: bool = False
    uncertainty: bool = False
    calibrated: bool = False  # whether scores are probabilities, so that a chance of error follows from them
    meaning: str = ""  # of scores; Parquet files keep it
    ranked: bool = True
    percentiles: str = ""  # what they are, if each score has one beside it

    def __post_init__(self) -> None:
        """Refuse two columns of one name."""
        taken = [name for name, _ in _APPLICABILITY if self.applicability and name in self.tasks]
        if taken:
            raise UsageError(f"the model has a task {taken[0]!r}: the applicability columns need this name")
        taken = [field.name for field in self._uncertainty if field.name in self.tasks]
        if taken:
            raise UsageError(
                f"the model has a task {taken[0]!r}: the column of --uncertainty needs this name"
            )
        names = Counter(self.schema.names)
        twice = [task for task in self.tasks if names[task] > 1 or names[f"{task}{PERCENTILE}"] > 1]
        if twice:
            raise UsageError(
                f"the model has a task {twice[0]!r}, the name of another column of the hit table: score it "
                "in Python by predict(smiles), or choose another task"
            )

    @property
    def _uncertainty(self) -> list[pa.Field]:
        if not self.uncertainty:
            return []
        chance = [_described("chance_wrong", _CHANCE_WRONG)] if self.calibrated else []
        return [*chance, _described("uncertainty", _UNCERTAINTY)]

    @property
    def schema(self) -> pa.Schema:
        """Columns: those of the molecule, one or two per task, best_task of several, rank, and extras."""
        scores = [pa.field(task, pa.float32()) for task in self.tasks]
        if self.percentiles:
            beside = [_described(f"{task}{PERCENTILE}", self.percentiles) for task in self.tasks]
            scores = [column for both in zip(scores, beside, strict=True) for column in both]
        best = [("best_task", pa.string())] if len(self.tasks) > 1 and self.ranked else []
        return pa.schema(
            _HEAD
            + scores
            + [*best, *([("rank", pa.int64())] if self.ranked else [])]
            + (_APPLICABILITY if self.applicability else [])
            + self._uncertainty,
            {"scores": self.meaning} if self.meaning else None,
        )

    def table(
        self,
        molecules: Sequence[Molecule],
        scores: FloatArray,
        flags: Sequence[ApplicabilityFlag] = (),
        spread: npt.NDArray[np.float64] | None = None,
        percentiles: npt.NDArray[np.float64] | None = None,
    ) -> pa.Table:
        """Rows of scored molecules, without ranks (0); scores, spread and percentiles (n, n_tasks)."""
        if percentiles is not None:
            shown = np.stack([scores, percentiles.astype(np.float32)], axis=2).reshape(
                len(scores), 2 * scores.shape[1]
            )
        else:
            shown = scores
        columns: list[pa.Array] = [
            pa.array([m.row for m in molecules], pa.int64()),
            pa.array([m.id for m in molecules], pa.string()),
            pa.array([m.smiles for m in molecules], pa.string()),
            pa.array([m.scored_smiles for m in molecules], pa.string()),
            pa.array(["; ".join(m.removed) for m in molecules], pa.string()),
            *(pa.array(column, pa.float32()) for column in shown.T),
        ]
        if len(self.tasks) > 1 and self.ranked:
            names = np.array(self.tasks, dtype=object)[scores.argmax(axis=1)]
            columns.append(pa.array(names, pa.string()))
        if self.ranked:
            columns.append(pa.array(np.zeros(len(molecules)), pa.int64()))
        if self.applicability:
            columns.append(pa.array([flag.status.value for flag in flags], pa.string()))
            columns.append(pa.array([flag.similarity for flag in flags], pa.float32()))
        if self.uncertainty and spread is not None:
            if self.calibrated:
                best = scores.max(axis=1)
                columns.append(pa.array(np.minimum(best, 1 - best), pa.float32()))
            of_best = np.take_along_axis(spread, scores.argmax(axis=1)[:, None], axis=1)[:, 0]
            columns.append(pa.array(of_best, pa.float32()))
        return pa.table(columns, schema=self.schema)

    def key(self, table: pa.Table) -> FloatArray:
        """Rounded score that a row is ranked by, shape (n,)."""
        scores = [table.column(task).to_numpy() for task in self.tasks]
        rounded = np.round(np.max(scores, axis=0).astype(np.float64), RANK_DECIMALS)
        return np.asarray(rounded, dtype=np.float32)


def _described(name: str, description: str) -> pa.Field:
    """A column of numbers; Parquet files keep what they are."""
    return pa.field(name, pa.float32(), metadata={"description": description})


def with_ranks(table: pa.Table, ranks: npt.NDArray[np.int64]) -> pa.Table:
    """The table with its ranks filled in."""
    return table.set_column(table.schema.get_field_index("rank"), "rank", pa.array(ranks, pa.int64()))


class TopK:
    """The k best rows of a stream, best first; of equal scores the earlier row."""

    def __init__(self, columns: HitColumns, k: int) -> None:
        self._columns, self._k = columns, k
        self._kept = columns.schema.empty_table()

    def add(self, table: pa.Table) -> None:
        """Take more rows."""
        both = pa.concat_tables([self._kept, table])
        order = np.argsort(-self._columns.key(both), kind="stable")[: self._k]
        self._kept = both.take(order)

    def table(self) -> pa.Table:
        """The best rows with their ranks."""
        keys = self._columns.key(self._kept)
        ranks = 1 + np.searchsorted(-keys, -keys, side="left")
        return with_ranks(self._kept, ranks)


def rejection_table(rejections: Sequence[Rejection]) -> pa.Table:
    """Rejected rows as a table."""
    columns = [[getattr(r, name) for r in rejections] for name in REJECTION_SCHEMA.names]
    return pa.table(columns, schema=REJECTION_SCHEMA)


_RUN = 1_000_000


class RankRuns:
    """Sorted runs of scores on disk (four bytes each), to rank a stream in constant memory."""

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
            run = np.memmap(path, dtype=np.float32, mode="r")
            greater += len(run) - np.searchsorted(run, wanted, side="right")
        return greater + 1

    def _close_run(self) -> None:
        path = self._directory / f"run{len(self._runs)}.f32"
        # Not by np.save, whose error on a full disk says only how many numbers were written.
        path.write_bytes(np.sort(np.frombuffer(self._open, dtype=np.float32)).data)
        self._runs.append(path)
        self._open = array("f")
