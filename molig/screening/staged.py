"""Screening with a model on a GPU: workers read and featurize, this process scores.

A GPU is held by one process. The others make of a chunk all that can be made without it (`ChunkPreparer`):
rows of the hit table without scores, rejected rows, and the input of the networks. The first one
(`StagedScorer`) hands that to the device, and takes up the next chunk while the device computes. Which
molecules share a batch depends on the library alone, as in `ChunkScorer`, so hits are the same for any number
of workers, and for none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from molig.errors import MoligError, called
from molig.model import ScoringModel, ScreeningModel, SideBySide
from molig.model.scoring import Scored, not_finite
from molig.model.stages import FirstStage, Prepared, packed, unpacked
from molig.molecules import MoleculeParser, Record, Rejection
from molig.molecules.records import batched
from molig.screening.chunks import ScoredRows, read_molecules, rejections_of, some_molecules
from molig.screening.hits import HitColumns, KeptColumns
from molig.screening.workers import Mark


class PreparedRows(NamedTuple):
    """What became of a batch of records before it is scored.

    Parameters
    ----------
    n_rows : int
        How many they are.
    hits : pyarrow.Table
        Rows of the hit table without scores and ranks.
    refusable : pyarrow.Table
        The same rows as the table of rejected rows would have them, were their scores no numbers.
    rejected : pyarrow.Table
        The other rows.
    seconds : mapping of str to float
        What parsing and preparing took.
    prepared : list of Prepared
        What the second stage takes; empty where there are no hits.
    """

    n_rows: int
    hits: pa.Table
    refusable: pa.Table
    rejected: pa.Table
    seconds: Mapping[str, float]
    prepared: list[Prepared]

    def packed(self) -> list[bytes]:
        """As bytes, to be sent to another process."""
        note = json.dumps([self.n_rows, dict(self.seconds)]).encode()
        tables = [_table_bytes(table) for table in (self.hits, self.refusable, self.rejected)]
        return [note, *tables, packed(self.prepared) if self.prepared else b""]

    @classmethod
    def unpacked(cls, content: Sequence[bytes | memoryview]) -> PreparedRows:
        """The same from bytes."""
        note, *tables, prepared = content
        n_rows, seconds = json.loads(bytes(note))
        hits, refusable, rejected = (pa.ipc.open_stream(table).read_all() for table in tables)
        found = unpacked(bytes(prepared)) if len(prepared) else []
        return cls(n_rows, hits, refusable, rejected, seconds, found)


_PARTS = 5  # of `PreparedRows.packed`


def _table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(memoryview(sink.getvalue()))


def _joined(pieces: Sequence[bytes]) -> bytes:
    """Pieces of bytes as one, which begins with their number and lengths."""
    lengths = np.array([len(pieces), *map(len, pieces)], dtype="<u8")
    return b"".join([lengths.tobytes(), *pieces])


def _pieces(content: bytes) -> list[memoryview]:
    """The pieces again."""
    n = int(np.frombuffer(content, dtype="<u8", count=1)[0])
    lengths = np.frombuffer(content, dtype="<u8", count=n, offset=8)
    ends = 8 * (n + 1) + np.cumsum(lengths).astype(np.int64)
    view = memoryview(content)
    return [view[end - int(length) : end] for end, length in zip(ends.tolist(), lengths, strict=True)]


@dataclass
class ChunkPreparer:
    """What workers do: everything that needs no device.

    Parameters
    ----------
    parser : MoleculeParser
        How a row becomes a molecule.
    first_stage : FirstStage
        Of the model.
    columns, kept_of_rejected, batch_size
        As those of `ChunkScorer`.
    """

    parser: MoleculeParser
    first_stage: FirstStage
    columns: HitColumns
    kept_of_rejected: KeptColumns
    batch_size: int

    def prepare(self) -> None:
        """Featurize some molecules: loops are compiled, and what is made at first use is there for all."""
        molecules = some_molecules()
        for part in self.first_stage.parts:
            list(part.of_graphs(part.featurizer.counted(molecules)).batches)

    def __call__(self, records: Sequence[Record], mark: Mark) -> bytes:
        """Prepare a chunk in a worker."""
        return _joined([piece for rows in self.batches(records, mark) for piece in rows.packed()])

    def batches(self, records: Iterable[Record], mark: Mark | None = None) -> Iterator[PreparedRows]:
        """Prepare a chunk batch by batch."""
        done = 0
        for batch in batched(records, self.batch_size):
            yield self._prepared(batch, mark, done)
            done += len(batch)

    def _prepared(self, records: Sequence[Record], mark: Mark | None, first: int) -> PreparedRows:
        read = read_molecules(self.parser, records, mark, first)
        started = time.perf_counter()
        prepared = self.first_stage(read.molecules) if read.molecules else []
        kept = [read.kept[molecule.row] for molecule in read.molecules]
        flags = prepared[0].flags if prepared else ()
        hits = self.columns.kept.filled(self.columns.unscored(read.molecules, flags), kept)
        refusable = [Rejection(m.row, m.id, m.smiles, "") for m in read.molecules]
        rejected = sorted(read.rejections, key=lambda refused: refused.row)
        return PreparedRows(
            len(records),
            hits,
            self.kept_of_rejected.rejection_table(refusable, kept),
            self.kept_of_rejected.rejection_table(rejected, [read.kept[r.row] for r in rejected]),
            {"parse": read.seconds, "featurize": time.perf_counter() - started},
            prepared,
        )


@dataclass
class StagedScorer:
    """Scores what a `ChunkPreparer` has prepared; interchangeable with `ChunkScorer`.

    Parameters
    ----------
    model : ScreeningModel or SideBySide
        The model.
    columns, kept_of_rejected, batch_size
        As those of `ChunkScorer`.
    """

    model: ScreeningModel | SideBySide
    columns: HitColumns
    kept_of_rejected: KeptColumns
    batch_size: int
    task: ChunkPreparer = field(init=False)
    ahead: int = 1  # chunks that are begun before the first of them is finished
    _task_columns: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._task_columns = [self.model.task_index(task) for task in self.columns.tasks]
        first_stage = self.model.first_stage(applicability=self.columns.applicability)
        self.task = ChunkPreparer(
            self.model.parser, first_stage, self.columns, self.kept_of_rejected, self.batch_size
        )

    def batches(self, records: Iterable[Record]) -> Iterator[ScoredRows]:
        """Score a chunk batch by batch in this process."""
        return (self._begun(rows)() for rows in self.task.batches(records))

    def begun(self, answer: bytes) -> Iterator[ScoredRows]:
        """Hand to the device what a worker has prepared; whoever goes through the result waits for it."""
        pieces = _pieces(answer)
        batches = [pieces[start : start + _PARTS] for start in range(0, len(pieces), _PARTS)]
        finish = [self._begun(PreparedRows.unpacked(batch)) for batch in batches]
        return (finished() for finished in finish)

    def _begun(self, rows: PreparedRows) -> Callable[[], ScoredRows]:
        started = time.perf_counter()
        scored = None
        if rows.prepared:
            with _device_errors(len(rows.hits)):
                scored = self.model.second_stage(rows.prepared, uncertainty=self.columns.uncertainty)
        begun = time.perf_counter() - started

        def finished() -> ScoredRows:
            started = time.perf_counter()
            hits, rejected = rows.hits, rows.rejected
            if scored is not None:
                with _device_errors(len(rows.hits)):
                    hits, rejected = self._finished(rows, scored())
            seconds = dict(rows.seconds) | {"score": begun + time.perf_counter() - started}
            return ScoredRows(rows.n_rows, hits, rejected, seconds)

        return finished

    def _finished(self, rows: PreparedRows, found: Scored) -> tuple[pa.Table, pa.Table]:
        """Hits with their scores, and all rejected rows: one whose score is no number is never ranked."""
        with np.errstate(over="ignore"):
            wanted = found.scores[:, self._task_columns].astype(np.float32)
        spread = None if found.spread is None else found.spread[:, self._task_columns]
        hits = self.columns.scored(rows.hits, wanted, spread)
        finite = np.isfinite(wanted).all(axis=1)
        if finite.all():
            return hits, rows.rejected
        refused = rows.refusable.filter(pa.array(~finite))
        reasons = [r.reason for r in not_finite(rejections_of(refused), wanted[~finite], self.columns.tasks)]
        place = refused.schema.get_field_index("reason")
        refused = refused.set_column(place, refused.schema.field(place), pa.array(reasons, pa.string()))
        rejected = pa.concat_tables([rows.rejected, refused]).sort_by("row").combine_chunks()
        return hits.filter(pa.array(finite)), rejected


@contextmanager
def _device_errors(n_molecules: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as err:
        raise MoligError(
            f"the GPU has too little memory left for {n_molecules:,} molecules at a time: take smaller "
            f"batches ({called('batch_size')})"
        ) from err


def staged(model: ScoringModel, two_stages: bool | None) -> ScreeningModel | SideBySide | None:
    """The model, if it is screened with in two stages: on request or on a GPU, and only one of molig."""
    wanted = model.device.type != "cpu" if two_stages is None else two_stages
    return model if wanted and isinstance(model, ScreeningModel | SideBySide) else None
