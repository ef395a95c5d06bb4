"""Tables of explanations, written chunk by chunk in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from molig.attribution import Explanation
from molig.attribution.explanation import FEATURE_SCHEMA, feature_batch
from molig.errors import UnknownNameError
from molig.molecules import Record, Rejection
from molig.molecules.causes import NothingUsableError, likely_cause
from molig.report.molecule_table import molecule_batch, molecule_schema
from molig.screening.hits import REJECTION_SCHEMA, rejection_table
from molig.tables import OutputTable
from molig.tables.writers import check_distinct, check_output, rejects_path

Result = list[Explanation] | Rejection
"""What becomes of a record: an explanation, or one per task, unless it is rejected."""
Rows = Iterator[tuple[Record, Result]]


@dataclass
class Counts:
    """What became of the rows.

    Parameters
    ----------
    explained : int
        Explanations; of all tasks, each counts.
    rejected : int
        Rows without an explanation.
    unconverged : int
        Explanations whose residual or error is above the tolerance.
    pages : list of Path
        Further files that a grid of very many drawings needed.
    """

    explained: int = 0
    rejected: int = 0
    unconverged: int = 0
    pages: list[Path] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count one more row."""
        if isinstance(result, Rejection):
            self.rejected += 1
        else:
            self.explained += len(result)
            self.unconverged += sum(not one.converged for one in result)

    def merge(self, other: Counts) -> None:
        """Count the rows of another range."""
        self.pages += other.pages
        self.explained += other.explained
        self.rejected += other.rejected
        self.unconverged += other.unconverged


def require_some(counts: Counts, first: Sequence[Rejection]) -> None:
    """Refuse a run without a single explanation; the first rejected rows say what may be wrong."""
    if not counts.explained:
        reason = f"; row {first[0].row}: {first[0].reason}" if first else ""
        raise NothingUsableError(f"none of the molecules could be explained{reason}{likely_cause(first)}")


TABLES = (".parquet", ".csv")

_BATCH_MOLECULES = 256
# Bounds the rows of a batch where single molecules have very many pairs.
_BATCH_FEATURES = 1 << 18
_ROW_GROUP = {"features": 1 << 17, "molecules": 1 << 14}


class Layout(StrEnum):
    """What a row of a table of explanations is."""

    FEATURES = "features"
    """A row per feature of an atom or pair, as in `molig.Explanation.to_frame`."""

    MOLECULES = "molecules"
    """A row per molecule, with lists of the scores of its atoms and bonds."""


@dataclass(frozen=True)
class TableRequest:
    """A table of explanations to be written, checked before any work begins."""

    output: Path
    layout: Layout | str = Layout.FEATURES
    rejects: Path | None = None
    source: str | None = None
    csv_safe: bool = False
    members: tuple[str, ...] = ()  # of a committee; tables by molecule have a column of each
    meaning: str = ""  # of scores; Parquet files keep it

    def __post_init__(self) -> None:
        if self.layout not in list(Layout):
            raise UnknownNameError("layout", str(self.layout), [layout.value for layout in Layout])
        object.__setattr__(self, "layout", Layout(self.layout))
        for path in (self.output, self.rejects_path):
            check_output(path)
        check_distinct(self.source, self.output, self.rejects_path)

    @property
    def rejects_path(self) -> Path:
        """Where the rejected rows go."""
        return rejects_path(self.output, self.rejects) or self.output

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table."""
        schema = molecule_schema(self.members) if self.layout is Layout.MOLECULES else FEATURE_SCHEMA
        return schema.with_metadata({"scores": self.meaning}) if self.meaning else schema


def table_batches(explanations: Iterable[Explanation], request: TableRequest) -> Iterator[pa.RecordBatch]:
    """Rows of the table, as the explanations come."""
    waiting: list[Explanation] = []
    n_features = 0
    for one in explanations:
        waiting.append(one)
        n_features += one.atom_attributions.size + one.pair_attributions.size
        n_features += one.environment_attributions.size
        if len(waiting) >= _BATCH_MOLECULES or n_features >= _BATCH_FEATURES:
            yield _batch(waiting, request)
            waiting, n_features = [], 0
    if waiting:
        yield _batch(waiting, request)


def _batch(explanations: list[Explanation], request: TableRequest) -> pa.RecordBatch:
    if request.layout is Layout.MOLECULES:
        return molecule_batch(explanations, request.members)
    return feature_batch(explanations)


class Finished(NamedTuple):
    """A chunk of a library that is done.

    Parameters
    ----------
    counts : Counts
        What became of its rows.
    rejections : list of Rejection
        Those that were rejected.
    batches : iterator of pyarrow.RecordBatch
        Its part of the table.
    """

    counts: Counts
    rejections: list[Rejection]
    batches: Iterator[pa.RecordBatch]


def write_tables(chunks: Iterable[Finished], request: TableRequest) -> Counts:
    """Write the table of explanations and that of rejected rows, chunk by chunk.

    Raises
    ------
    NothingUsableError
        If no row was explained; the rejected ones are written all the same.
    OutputError
        If a table cannot be written.
    """
    counts, first = Counts(), list[Rejection]()
    row_group, safe = _ROW_GROUP[request.layout], request.csv_safe
    nothing = None
    with OutputTable(request.rejects_path, REJECTION_SCHEMA, csv_safe=safe) as rejects:
        try:
            with OutputTable(request.output, request.schema, row_group=row_group, csv_safe=safe) as out:
                for chunk in chunks:
                    for batch in chunk.batches:
                        out.write(pa.Table.from_batches([batch]))
                    if chunk.rejections:
                        first = first or chunk.rejections
                        rejects.write(rejection_table(chunk.rejections))
                    counts.merge(chunk.counts)
                require_some(counts, first)
        except NothingUsableError as error:
            nothing = error  # the rejected rows are written all the same
    if nothing is not None:
        raise nothing
    return counts
