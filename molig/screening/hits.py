"""The hit table: columns, and the choice of the best k rows."""

from __future__ import annotations

import base64
import json
import re
import warnings
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from molig.errors import UsageError, called
from molig.model import ApplicabilityFlag
from molig.molecules import Molecule, Rejection, read_records
from molig.molecules.sources import as_text
from molig.screening.diversity import Alike, Diversity

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

INPUT_PREFIX = "input."
"""Stands before the name of an input column that is the name of a column of molig, too."""
_PREFIXED = re.compile(r"input\d*\.")

HIT_COLUMN = "scored_smiles"
"""Column by which a table is known as hits of molig: what it has under the names of tasks are scores."""

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
_UNCERTAINTY = "standard deviation of the members' scores, weighted as in their mean"


@dataclass(frozen=True)
class KeptColumns:
    """Columns of the input as they stand in a table of results: under free names, perhaps as text.

    Parameters
    ----------
    read : pyarrow.Schema
        Names and types in the input.
    taken : frozenset of str
        Names of the columns of molig, which stay theirs: such a column of the input is called
        ``input.NAME``, or ``input2.NAME`` and so on, where the table has that already.
    as_text : bool
        Whether the values are written as text, so that CSV keeps every digit.

    Examples
    --------
    >>> kept = KeptColumns(pa.schema([("rank", pa.int64()), ("IC50", pa.float64())]), frozenset(["rank"]))
    >>> [field.name for field in kept.fields]
    ['input.rank', 'IC50']
    >>> again = KeptColumns(pa.schema([("rank", pa.int64()), *kept.fields]), frozenset(["rank"]))
    >>> [field.name for field in again.fields]
    ['input2.rank', 'input.rank', 'IC50']
    """

    read: pa.Schema = field(default_factory=lambda: pa.schema([]))
    taken: frozenset[str] = frozenset()
    as_text: bool = False

    @cached_property
    def fields(self) -> list[pa.Field]:
        """Names and types in the output."""
        free: list[pa.Field] = []
        others = {name for name in self.read.names if name not in self.taken}
        for column in self.read:
            name = column.name
            if name in self.taken:
                used = {*self.taken, *others, *(one.name for one in free)}
                name = next(filter(lambda one: one not in used, _prefixed(name)))
            free.append(pa.field(name, pa.string() if self.as_text else column.type))
        return free

    def columns(self, rows: Sequence[Sequence[Any]]) -> list[pa.Array]:
        """The values of rows, `Record.kept` of each; what a row has not is missing."""
        found = []
        for place, column in enumerate(self.read):
            values = [row[place] if place < len(row) else None for row in rows]
            if self.as_text and not pa.types.is_string(column.type):
                if column.type in (pa.float32(), pa.float16()):  # no more digits than they have
                    values = [None if v is None else np.float32(v) for v in values]
                found.append(pa.array(list(map(_as_cell, values)), pa.string()))
            else:
                found.append(pa.array(values, column.type))
        return found

    def filled(self, table: pa.Table, rows: Sequence[Sequence[Any]]) -> pa.Table:
        """A table of results with its last columns, which are those of the input, filled in."""
        n_own = table.num_columns - len(self.read)
        return pa.table([*table.columns[:n_own], *self.columns(rows)], schema=table.schema)

    def rejection_table(
        self, rejections: Sequence[Rejection], rows: Sequence[Sequence[Any]] = ()
    ) -> pa.Table:
        """Rejected rows as a table, with what comes along of each."""
        columns = [[getattr(r, name) for r in rejections] for name in REJECTION_SCHEMA.names]
        columns += self.columns(rows or [()] * len(rejections))
        return pa.table(columns, schema=self.rejection_schema)

    @property
    def rejection_schema(self) -> pa.Schema:
        """Columns of the table of rejected rows."""
        return pa.schema([*REJECTION_SCHEMA, *self.fields])


def _prefixed(name: str) -> Iterator[str]:
    """Names for a column of the input whose own name is taken, by the number of the run that finds it so."""
    plain = _PREFIXED.sub("", name, count=1)
    return (f"input{number}.{plain}" for number in chain([""], count(2)))


def _as_cell(value: Any) -> str | None:
    """A value as the text of a cell, with all its digits."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, bytes):
        return as_text(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)


@dataclass(frozen=True)
class HitColumns:
    """Columns of a hit table; of several tasks the highest score ranks, and best_task names its task."""

    tasks: tuple[str, ...]  # a column each
    applicability: bool = False
    uncertainty: bool = False
    calibrated: bool = False  # whether scores are probabilities, so that a chance of error follows from them
    meaning: str = ""  # of scores; Parquet files keep it
    ranked: bool = True
    percentiles: str = ""  # what they are, if each score has one beside it
    group: pa.Field | None = None  # of rows that are alike, found for the best ones (`Diversity`)
    kept: KeptColumns = field(default_factory=KeptColumns)
    rank_by: tuple[str, ...] = ()  # the tasks whose highest score ranks, if these are not all

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

    @cached_property
    def ranking(self) -> tuple[str, ...]:
        """The tasks whose highest score ranks."""
        return self.rank_by or self.tasks

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
        best = [("best_task", pa.string())] if len(self.ranking) > 1 and self.ranked else []
        return pa.schema(
            _HEAD
            + scores
            + [*best, *([("rank", pa.int64())] if self.ranked else [])]
            + (_APPLICABILITY if self.applicability else [])
            + self._uncertainty
            + ([] if self.group is None else [self.group])
            + self.kept.fields,
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
        """Rows of scored molecules, without ranks (0); scores, spread and percentiles (n, n_tasks).

        Columns of the input are empty until `KeptColumns.filled` has filled them.
        """
        return self.scored(self.unscored(molecules, flags), scores, spread, percentiles)

    def unscored(self, molecules: Sequence[Molecule], flags: Sequence[ApplicabilityFlag] = ()) -> pa.Table:
        """The same rows, empty where something depends on the scores."""
        known: dict[str, pa.Array] = {
            "row": pa.array([m.row for m in molecules], pa.int64()),
            "id": pa.array([m.id for m in molecules], pa.string()),
            "smiles": pa.array([m.smiles for m in molecules], pa.string()),
            "scored_smiles": pa.array([m.scored_smiles for m in molecules], pa.string()),
            "removed": pa.array(["; ".join(m.removed) for m in molecules], pa.string()),
        }
        if self.ranked:
            known["rank"] = pa.array(np.zeros(len(molecules)), pa.int64())
        if self.applicability:
            known["applicability"] = pa.array([flag.status.value for flag in flags], pa.string())
            known["similarity"] = pa.array([flag.similarity for flag in flags], pa.float32())
        n_own = len(self.schema) - len(self.kept.fields)
        columns = [
            known[field.name]
            if field.name in known and place < n_own
            else pa.nulls(len(molecules), field.type)
            for place, field in enumerate(self.schema)
        ]
        return pa.table(columns, schema=self.schema)

    def scored(
        self,
        table: pa.Table,
        scores: FloatArray,
        spread: npt.NDArray[np.float64] | None = None,
        percentiles: npt.NDArray[np.float64] | None = None,
    ) -> pa.Table:
        """`unscored` rows with their scores and what follows from them."""
        found = {
            task: pa.array(score, pa.float32()) for task, score in zip(self.tasks, scores.T, strict=True)
        }
        if percentiles is not None:
            shown = zip(self.tasks, percentiles.astype(np.float32).T, strict=True)
            found |= {f"{task}{PERCENTILE}": pa.array(column, pa.float32()) for task, column in shown}
        ranking = [self.tasks.index(task) for task in self.ranking]
        if len(ranking) > 1 and self.ranked:
            names = np.array(self.ranking, dtype=object)[scores[:, ranking].argmax(axis=1)]
            found["best_task"] = pa.array(names, pa.string())
        if self.uncertainty and spread is not None:
            if self.calibrated:
                best = scores[:, ranking].max(axis=1)
                found["chance_wrong"] = pa.array(np.minimum(best, 1 - best), pa.float32())
            places = scores[:, ranking].argmax(axis=1)[:, None]
            of_best = np.take_along_axis(spread[:, ranking], places, axis=1)[:, 0]
            found["uncertainty"] = pa.array(of_best, pa.float32())
        columns = [found.get(name, column) for name, column in zip(table.column_names, table, strict=True)]
        return pa.table(columns, schema=self.schema)

    def with_kept(self, kept: pa.Schema, *, as_text: bool) -> HitColumns:
        """The same columns, and behind them those of the input."""
        taken = frozenset([*self.schema.names, *REJECTION_SCHEMA.names])
        return replace(self, kept=KeptColumns(kept, taken, as_text))

    def to_dict(self) -> dict[str, Any]:
        """As what JSON can hold."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        read = schema_text(self.kept.read)
        kept = {"read": read, "taken": sorted(self.kept.taken), "as_text": self.kept.as_text}
        group = None if self.group is None else schema_text(pa.schema([self.group]))
        tasks = {"tasks": list(self.tasks), "rank_by": list(self.rank_by)}
        return {**plain, **tasks, "group": group, "kept": kept}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> HitColumns:
        """The columns that `to_dict` has described."""
        group, kept = content["group"], content["kept"]
        return cls(
            **{name: content[name] for name in _PLAIN},
            tasks=tuple(content["tasks"]),
            rank_by=tuple(content["rank_by"]),
            group=None if group is None else schema_of(group).field(0),
            kept=KeptColumns(schema_of(kept["read"]), frozenset(kept["taken"]), kept["as_text"]),
        )

    def at_least(self, table: pa.Table, threshold: float) -> pa.Table:
        """The rows whose score, rounded as for ranks, reaches a threshold."""
        return table.filter(pa.array(self.key(table) >= np.float32(round(threshold, RANK_DECIMALS))))

    def key(self, table: pa.Table) -> FloatArray:
        """Rounded score that a row is ranked by, shape (n,)."""
        scores = [table.column(task).to_numpy() for task in self.ranking]
        rounded = np.round(np.max(scores, axis=0).astype(np.float64), RANK_DECIMALS)
        return np.asarray(rounded, dtype=np.float32)


_PLAIN = ("applicability", "uncertainty", "calibrated", "meaning", "ranked", "percentiles")


def schema_text(schema: pa.Schema) -> str:
    """A schema as text, for a file of JSON."""
    return base64.b64encode(memoryview(schema.serialize())).decode()


def schema_of(text: str) -> pa.Schema:
    """The schema that `schema_text` has written down."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def _described(name: str, description: str) -> pa.Field:
    """A column of numbers; Parquet files keep what they are."""
    return pa.field(name, pa.float32(), metadata={"description": description})


def with_ranks(table: pa.Table, ranks: npt.NDArray[np.int64]) -> pa.Table:
    """The table with its ranks filled in."""
    return table.set_column(table.schema.get_field_index("rank"), "rank", pa.array(ranks, pa.int64()))


_SETTLED_AT_LEAST = 16_384


class TopK:
    """The k best rows of a stream, best first; of equal scores the earlier row.

    At most twice the rows that are kept, k without ``diversity``, are in memory. Rows that come gather until
    they are as many as those that are kept, so that a row costs the same whatever k is; those that are no
    better than the last one kept are dropped at once.

    Parameters
    ----------
    columns : HitColumns
        Columns of the rows.
    k : int
        How many rows to find.
    diversity : Diversity, optional
        Take at most so many of those that are alike.
    """

    def __init__(self, columns: HitColumns, k: int, diversity: Diversity | None = None) -> None:
        self._columns, self._k, self._diversity = columns, k, diversity
        self._most = k if diversity is None else diversity.n_candidates(k)
        self._kept = columns.schema.empty_table()
        self._waiting: list[pa.Table] = []
        self._n_waiting = self._n_dropped = 0
        self._last: np.float32 | None = None

    def add(self, table: pa.Table, n_dropped: int = 0) -> None:
        """Take more rows, which follow in the library on those before; perhaps some were dropped already."""
        n_rows = len(table) + n_dropped
        if self._last is not None:
            table = table.filter(pa.array(self._columns.key(table) > self._last))
        self._n_dropped += n_rows - len(table)
        self._waiting.append(table)
        self._n_waiting += len(table)
        if self._n_waiting >= max(self._most, _SETTLED_AT_LEAST):
            self._settle()

    def table(self) -> pa.Table:
        """The best rows with their ranks among themselves."""
        self._settle()
        best = self._kept
        if self._diversity is not None:
            best = self._diversity.pick(best, self._k)
        keys = self._columns.key(best)
        ranks = 1 + np.searchsorted(-keys, -keys, side="left")
        return with_ranks(best, ranks)

    def candidates(self) -> tuple[pa.Table, int]:
        """The rows of which the best would be found together with other rows; how many were dropped."""
        self._settle()
        return self._kept, self._n_dropped

    @property
    def shortage(self) -> str:
        """Why `table` has fewer than k rows though more were seen; ``""`` if it need not have more."""
        n_picks = len(self.table())
        if self._diversity is None or self._diversity.alike is Alike.SCAFFOLD or n_picks == self._k:
            return ""
        if not self._n_dropped:
            return ""
        return (
            f"only {n_picks:,} of the {self._k:,} rows asked for: the best {self._most:,} rows, all that are "
            "looked at, have no more clusters. The list is right as far as it goes; a higher "
            f"{called('similarity')} or more rows of a cluster ({called('per_group')}) give more"
        )

    def _settle(self) -> None:
        both = pa.concat_tables([self._kept, *self._waiting]).combine_chunks()
        order = np.argsort(-self._columns.key(both), kind="stable")
        if self._diversity is not None and self._diversity.alike is Alike.SCAFFOLD:
            best = self._diversity.pick(both.take(order), self._k)
        else:
            best = both.take(order[: self._most])
        self._n_dropped += len(both) - len(best)
        self._kept, self._waiting, self._n_waiting = best, [], 0
        if len(best) == self._most:
            self._last = self._columns.key(best.slice(self._most - 1))[0]


def is_hit_table(source: str | Path, **reading: Any) -> bool:
    """Whether a file, read as `molig.molecules.read_records` is told, is a hit table of molig."""
    return HIT_COLUMN in next(read_records(source, optional=[HIT_COLUMN], **reading)).fields


def warn_of_scores(source: str | Path, scores: Sequence[str], task: str = "") -> None:
    """Say that columns of a hit table that are called like tasks are not read as labels.

    ``task`` stands before the column where the option ``--label`` wants it.
    """
    names = ", ".join(map(repr, scores[:3])) + ", ..." * (len(scores) > 3)
    warnings.warn(
        f"{source} is a hit table of molig: its columns called like tasks ({names}) are taken for scores, "
        f"not for labels; if labels came along from the library, name them, such as --label "
        f"{task}{INPUT_PREFIX}{scores[0]}",
        stacklevel=2,
    )


def rejection_table(rejections: Sequence[Rejection]) -> pa.Table:
    """Rejected rows as a table."""
    return KeptColumns().rejection_table(rejections)


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
