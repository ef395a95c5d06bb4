"""From records to rows of the hit table, chunk by chunk; the same rows in whichever process that happens."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from molig.errors import UsageError, called
from molig.features.distances import MANY
from molig.foreign import ADMET_AI, AdmetAI
from molig.model import ScoringModel, ScreeningModel, SideBySide
from molig.model.scoring import not_finite
from molig.molecules import Molecule, MoleculeParser, Record, Rejection
from molig.molecules.records import batched
from molig.screening.hits import REJECTION_SCHEMA, HitColumns, KeptColumns
from molig.screening.workers import Mark
from molig.tables import PartNote

CHUNK_ROWS = 4096
"""Rows of the library that a worker gets at a time, and that an interrupted run keeps or does again."""


class ScoredRows(NamedTuple):
    """What became of some records, in their order.

    Parameters
    ----------
    n_rows : int
        How many they are.
    hits : pyarrow.Table
        Rows of the hit table, without ranks.
    rejected : pyarrow.Table
        The others.
    seconds : mapping of str to float
        What parsing and scoring took.
    """

    n_rows: int
    hits: pa.Table
    rejected: pa.Table
    seconds: Mapping[str, float]

    def packed(self) -> bytes:
        """As bytes, to be sent to another process."""
        sink = pa.BufferOutputStream()
        note = json.dumps([self.n_rows, dict(self.seconds)])
        for table in (self.hits, self.rejected.replace_schema_metadata({_NOTE: note})):
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        return bytes(memoryview(sink.getvalue()))

    @classmethod
    def unpacked(cls, content: bytes) -> ScoredRows:
        """The same from bytes."""
        source = pa.BufferReader(content)
        hits, rejected = (pa.ipc.open_stream(source).read_all() for _ in range(2))
        n_rows, seconds = json.loads(rejected.schema.metadata[_NOTE.encode()])
        return cls(n_rows, hits, rejected.replace_schema_metadata(None), seconds)

    @classmethod
    def joined(cls, parts: Sequence[ScoredRows]) -> ScoredRows:
        """Several that follow one another, at least one."""
        seconds: Counter[str] = Counter()
        for part in parts:
            seconds.update(part.seconds)
        hits, rejected = (
            pa.concat_tables(tables) for tables in zip(*(part[1:3] for part in parts), strict=True)
        )
        return cls(sum(part.n_rows for part in parts), hits, rejected, seconds)


_NOTE = "note"


_FIRST = 100


def rejections_of(table: pa.Table) -> list[Rejection]:
    """Rejected rows from their table, without what comes along."""
    return [Rejection(**row) for row in table.select(REJECTION_SCHEMA.names).to_pylist()]


class ChunkNote(NamedTuple):
    """What is kept of a chunk beside its hits.

    Parameters
    ----------
    n_rows : int
        Rows of the library.
    rejected : pyarrow.Table
        Those that were rejected.
    n_dropped : int
        Rows that were scored and cannot be among the best.
    """

    n_rows: int
    rejected: pa.Table
    n_dropped: int

    @property
    def reasons(self) -> Counter[str]:
        """Rejections by kind of reason."""
        return Counter(reason.split(":")[0] for reason in self.rejected.column("reason").to_pylist())

    @property
    def first(self) -> list[Rejection]:
        """The first rejected rows."""
        return rejections_of(self.rejected.slice(0, _FIRST))

    def as_part_note(self) -> PartNote:
        """As the note of a part."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.rejected.schema) as writer:
            writer.write_table(self.rejected)
        rejected = base64.b64encode(memoryview(sink.getvalue())).decode()
        return PartNote(self.n_rows, {"rejected": rejected, "n_dropped": self.n_dropped})

    @classmethod
    def of(cls, note: PartNote) -> ChunkNote:
        """The same from the note of a part."""
        rejected = pa.ipc.open_stream(base64.b64decode(note.summary["rejected"])).read_all()
        return cls(note.n_rows, rejected, note.summary["n_dropped"])


@dataclass
class ChunkScorer:
    """Scores records of a chunk, and holds all that their scores depend on.

    Scores in single precision depend a little on which molecules are computed together. So a chunk is cut
    into batches from its first row on, rejected rows included: which molecules share a batch is a matter of
    the library alone, not of the number of processes, of interruptions or of shards.

    Parameters
    ----------
    model : ScoringModel
        The model.
    columns : HitColumns
        Columns of the hit table.
    kept_of_rejected : KeptColumns
        Columns of the input in the table of rejected rows.
    batch_size : int
        Records of a batch.
    percentiles : bool
        Whether to say where scores stand among those of drugs.
    atc : str, optional
        Among which drugs.
    """

    model: ScoringModel
    columns: HitColumns
    kept_of_rejected: KeptColumns
    batch_size: int
    percentiles: bool = False
    atc: str | None = None
    ahead: int = field(default=0, init=False)  # nothing is under way when a worker has answered
    _task_columns: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._task_columns = [self.model.task_index(task) for task in self.columns.tasks]

    def prepare(self) -> None:
        """Score some molecules: loops are compiled, and what is made at first use is there for all."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        molecules = some_molecules()
        mols = [molecule.mol for molecule in molecules]
        for model in self.model.models.values() if isinstance(self.model, SideBySide) else [self.model]:
            if isinstance(model, ScreeningModel):
                model.score_graphs(model.featurizer.counted(molecules))
            else:
                model.logits(model.featurize(mols))
        torch.set_num_threads(threads)

    def __call__(self, records: Sequence[Record], mark: Mark) -> bytes:
        """Score a chunk in a worker."""
        return ScoredRows.joined(list(self.batches(records, mark))).packed()

    @property
    def task(self) -> ChunkScorer:
        """What workers do."""
        return self

    def begun(self, answer: bytes) -> Iterator[ScoredRows]:
        """What a worker has scored."""
        return iter([ScoredRows.unpacked(answer)])

    def batches(self, records: Iterable[Record], mark: Mark | None = None) -> Iterator[ScoredRows]:
        """Score a chunk batch by batch."""
        done = 0
        for batch in batched(records, self.batch_size):
            yield self.score(batch, mark, done)
            done += len(batch)

    def score(self, records: Sequence[Record], mark: Mark | None = None, first: int = 0) -> ScoredRows:
        """Score one batch, which begins at record number ``first`` of its chunk."""
        read = read_molecules(self.model.parser, records, mark, first)
        started = time.perf_counter()
        hits, unusable = self._table(read.molecules, read.kept)
        rejections = sorted([*read.rejections, *unusable], key=lambda refused: refused.row)
        rejected = self.kept_of_rejected.rejection_table(rejections, [read.kept[r.row] for r in rejections])
        seconds = {"parse": read.seconds, "score": time.perf_counter() - started}
        return ScoredRows(len(records), hits, rejected, seconds)

    def _table(
        self, molecules: list[Molecule], kept: Mapping[int, Sequence[Any]]
    ) -> tuple[pa.Table, list[Rejection]]:
        """Hits, and those of the molecules whose score is no number, which is never ranked."""
        asked = {"applicability": self.columns.applicability, "uncertainty": self.columns.uncertainty}
        found = self.model.score_with(molecules, **asked)
        with np.errstate(over="ignore"):
            wanted = found.scores[:, self._task_columns].astype(np.float32)
        spread = None if found.spread is None else found.spread[:, self._task_columns]
        percentiles = None
        if self.percentiles:
            of_drugs = with_drugs(self.model).percentiles(found.scores, self.atc)
            percentiles = of_drugs[:, self._task_columns]
        table = self.columns.table(molecules, wanted, found.flags, spread, percentiles)
        table = self.columns.kept.filled(table, [kept[molecule.row] for molecule in molecules])
        unusable = not_finite(molecules, wanted, self.columns.tasks)
        if unusable:
            table = table.filter(pa.array(np.isfinite(wanted).all(axis=1)))
        return table, unusable


class ReadMolecules(NamedTuple):
    """Records that were parsed."""

    molecules: list[Molecule]
    rejections: list[Rejection]
    kept: Mapping[int, Sequence[Any]]
    """What comes along of each row."""
    seconds: float


def read_molecules(
    parser: MoleculeParser, records: Sequence[Record], mark: Mark | None, first: int
) -> ReadMolecules:
    """Parse records, the first of which is number ``first`` of its chunk; then mark all for the next step."""

    def watched() -> Iterator[Record]:
        for place, record in enumerate(records, start=first):
            if mark is not None:
                mark(place, place + 1)
            yield record

    started = time.perf_counter()
    molecules, rejections = parser.parse_many(watched())
    parsed = time.perf_counter()
    if mark is not None:
        mark(first, first + len(records))
    kept = {record.row: record.kept for record in records}
    return ReadMolecules(molecules, rejections, kept, parsed - started)


def some_molecules() -> list[Molecule]:
    """Molecules, of which there are enough that every compiled loop is used."""
    records = [Record(row, "", "CC(=O)Oc1ccccc1C(=O)Nc1ccc(O)cc1") for row in range(MANY)]
    return MoleculeParser().parse_many(records)[0]


def with_drugs(model: ScoringModel) -> AdmetAI:
    """The model, if it can compare with drugs; raises UsageError."""
    if not isinstance(model, AdmetAI):
        raise UsageError(
            f"{called('percentiles')} is for {ADMET_AI}, which brings its scores of approved drugs; "
            f"{model.name} has no drugs to compare with"
        )
    return model
