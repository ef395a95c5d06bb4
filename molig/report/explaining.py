"""Explaining a library chunk by chunk, in this process or by workers, into tables, pictures and pages."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import pyarrow as pa
import torch

from molig.attribution import Explainer, Explanation
from molig.attribution.explainer import GROUP, At
from molig.errors import UsageError, called
from molig.model import Applicability, ScoringModel
from molig.molecules import Record, Rejection
from molig.molecules.guard import CPU_SECONDS, time_limit
from molig.report.outputs import Pictures, write_explanations
from molig.report.stored import STORED_SCHEMA, results_of, stored_batches
from molig.report.tables import (
    Counts,
    Finished,
    Result,
    Rows,
    TableRequest,
    table_batches,
    write_tables,
)
from molig.screening.dealing import Dealer
from molig.screening.hits import REJECTION_SCHEMA, rejection_table
from molig.screening.joining import FinishedParts, ScreeningResult
from molig.screening.merging import Together, together
from molig.screening.shards import Shard
from molig.screening.workers import START_METHOD, Mark
from molig.tables import OutputTable, PartNote, Parts
from molig.tables.locks import exclusive, scratch_directory

CHUNK_ROWS = GROUP
"""Rows that a worker gets at a time, and that an interrupted run keeps or does again: those of a group of
molecules that are explained together, so that chunks change no number."""

PATIENCE = 60
"""To explain a molecule may take so many times the limit of time for reading it."""


class Explain(Protocol):
    """Such as `molig.attribution.Explainer.explain_rows`."""

    def __call__(self, records: Iterable[Record], *, at: At | None = None) -> Rows:
        """What becomes of each record."""


class Watch(Protocol):
    """What is told of a run."""

    def __call__(self, n_rows: int, rejections: Sequence[Rejection]) -> None:
        """So many more rows are done, and these of them were rejected."""


@dataclass
class Sampling:
    """Sampling errors of explanations whose references were drawn, as shares of the largest attribution.

    Parameters
    ----------
    n : int
        How many explanations have one.
    total, most : float
        Sum and largest of their shares.
    """

    n: int = 0
    total: float = 0.0
    most: float = 0.0

    def add(self, explanation: Explanation) -> None:
        """One more explanation."""
        if explanation.sampling_error and explanation.largest:
            share = explanation.sampling_error / explanation.largest
            self.merge(Sampling(1, share, share))

    def merge(self, other: Sampling) -> None:
        """More of them."""
        self.n, self.total = self.n + other.n, self.total + other.total
        self.most = max(self.most, other.most)


@dataclass
class Summary:
    """What became of rows.

    Parameters
    ----------
    counts : Counts
        Explained and rejected ones.
    tasks : set of str
        Tasks that were explained.
    sampling : Sampling
        What the choice of references leaves open.
    """

    counts: Counts = field(default_factory=Counts)
    tasks: set[str] = field(default_factory=set)
    sampling: Sampling = field(default_factory=Sampling)

    def add(self, result: Result) -> None:
        """One more row."""
        self.counts.add(result)
        if not isinstance(result, Rejection):
            for one in result:
                self.tasks.add(one.task)
                self.sampling.add(one)

    def merge(self, other: Summary) -> None:
        """The rows of another range."""
        self.counts.merge(other.counts)
        self.tasks |= other.tasks
        self.sampling.merge(other.sampling)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"tasks": sorted(self.tasks)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The same from plain values."""
        return cls(Counts(**data["counts"]), set(data["tasks"]), Sampling(**data["sampling"]))


@dataclass
class Told:
    """What becomes of a chunk besides its table; complete when the table has been gone through.

    Parameters
    ----------
    n_rows : int
        Rows of the library.
    summary : Summary
        What became of them.
    rejections : list of Rejection
        Those that were rejected.
    """

    n_rows: int = 0
    summary: Summary = field(default_factory=Summary)
    rejections: list[Rejection] = field(default_factory=list)

    def as_part_note(self) -> PartNote:
        """As the note of a part."""
        rejected = [[r.row, r.id, r.smiles, r.reason] for r in self.rejections]
        return PartNote(self.n_rows, self.summary.to_dict() | {"rejected": rejected})

    @classmethod
    def of(cls, note: PartNote) -> Self:
        """The same from the note of a part."""
        rejections = [Rejection(*fields) for fields in note.summary["rejected"]]
        return cls(note.n_rows, Summary.from_dict(note.summary), rejections)


class Explained(NamedTuple):
    """A chunk: its table as it comes, and what is complete after that."""

    batches: Iterator[pa.RecordBatch]
    told: Told


@dataclass(frozen=True)
class Drawings:
    """Pictures, pages and documents of the same explanations.

    Parameters
    ----------
    paths : sequence of Path
        Files; see `molig.report.write_explanations`.
    title : str
        Title of a page.
    pictures : Pictures
        How explanations are drawn, and where heat maps and ledgers go.
    meaning : str
        What a score is.
    facts, columns, domain
        What a page says besides; see `molig.report.write_explanations`.
    rejected : sequence of (Record, Rejection)
        Rows that were rejected before, told after the others.
    rejects : Path, optional
        Table of all rejected rows, with reasons.
    """

    paths: Sequence[Path]
    title: str
    pictures: Pictures = field(default_factory=Pictures)
    meaning: str = ""
    facts: Sequence[tuple[str, str]] = ()
    columns: Sequence[str] = ()
    domain: Applicability | None = None
    rejected: Sequence[tuple[Record, Rejection]] = ()
    rejects: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All that need the explanations of the whole run."""
        return [*self.paths, *self.pictures.extras]

    def write(self, rows: Sequence[tuple[Record, Result]]) -> Counts:
        """Write them; raises as `molig.report.write_explanations` does, with the rejected rows written."""
        rows = [*rows, *self.rejected]
        if self.rejects is not None:
            with OutputTable(self.rejects, REJECTION_SCHEMA) as table:
                table.write(rejection_table([result for _, result in rows if isinstance(result, Rejection)]))
        return write_explanations(
            rows,
            *self.paths,
            title=self.title,
            pictures=self.pictures,
            meaning=self.meaning,
            facts=self.facts,
            columns=self.columns,
            domain=self.domain,
        )


@dataclass(frozen=True)
class ChunkExplainer:
    """Explains the records of a chunk, for a table, for drawings or for both.

    Parameters
    ----------
    explain : Explain
        What explains records, in order.
    request : TableRequest, optional
        The table.
    drawings : Drawings, optional
        Pictures, pages and documents.
    """

    explain: Explain
    request: TableRequest | None = None
    drawings: Drawings | None = None

    @property
    def files(self) -> list[Path]:
        """All that is written."""
        table = [] if self.request is None else [self.request.output]
        return table + ([] if self.drawings is None else self.drawings.files)

    @property
    def parts_directory(self) -> Path:
        """Where finished chunks are kept until all is written: ``NAME.parts``."""
        first = self.files[0]
        return first.with_suffix(".parts") if self.request else first.with_name(f"{first.name}.parts")

    @property
    def in_rows(self) -> TableRequest | None:
        """The table, if its rows are all that is kept of explanations; drawings need them whole."""
        return self.request if self.drawings is None else None

    @property
    def schema(self) -> pa.Schema:
        """Of what is kept of explanations until all are there."""
        return STORED_SCHEMA if self.in_rows is None else self.in_rows.schema

    def prepare(self) -> None:
        """Explain one molecule: what is compiled or made at first use is there for all workers."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for _ in self.explain([Record(1, "", "CC(=O)[O-].[Na+]")]):
            pass
        torch.set_num_threads(threads)

    def __call__(self, records: Sequence[Record], mark: Mark) -> bytes:
        """Explain a chunk in a worker."""

        def at(first: int, end: int, explaining: bool) -> None:
            mark(first, end, PATIENCE if explaining else 1)

        batches, told = self._explained(self.explain(records, at=at))
        table = _packed(batches, self.schema)
        note = json.dumps(told.as_part_note()).encode()
        return b"".join([len(note).to_bytes(8, "little"), note, table])

    def received(self, answer: bytes) -> Explained:
        """A chunk from the answer of a worker."""
        end = 8 + int.from_bytes(answer[:8], "little")
        told = Told.of(PartNote(*json.loads(answer[8:end])))
        return Explained(iter(pa.ipc.open_stream(pa.py_buffer(answer)[end:])), told)

    def here(self, records: Iterable[Record]) -> Explained:
        """Explain a chunk in this process, as its table is gone through."""
        return self._explained(self.explain(records))

    def _explained(self, rows: Rows) -> Explained:
        told = Told()

        def watched() -> Rows:
            for record, result in rows:
                told.n_rows += 1
                told.summary.add(result)
                if isinstance(result, Rejection):
                    told.rejections.append(result)
                yield record, result

        if self.in_rows is None:
            return Explained(stored_batches(watched()), told)
        return Explained(table_batches(_explanations(watched()), self.in_rows), told)


def _explanations(rows: Rows) -> Iterator[Explanation]:
    for _, result in rows:
        if not isinstance(result, Rejection):
            yield from result


def _packed(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> bytes:
    sink = pa.BufferOutputStream()
    # Rows repeat themselves: this is a tenth of the bytes.
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(memoryview(sink.getvalue()))


# What comes together for a page: rows of hits, the columns that come along, and what is said of the model.


def hit_records(hits: pa.Table) -> tuple[Iterator[Record], list[str]]:
    """Rows of a hit table as records, and the names of the columns that come along."""
    columns = [name for name in hits.column_names if name not in ("id", "smiles")]
    heads = zip(*(hits.column(name).to_pylist() for name in ("row", "id", "smiles")), strict=True)
    kept = zip(*(hits.column(name).to_pylist() for name in columns), strict=True)
    rows = zip(heads, kept, strict=True)
    return (Record(row, id_, smiles, kept=values) for (row, id_, smiles), values in rows), columns


def rejected_rows(result: ScreeningResult) -> list[tuple[Record, Rejection]]:
    """What a screen has rejected, as rows of a page."""
    found = (Rejection(*row) for row in result.rejections[list(_OF_REJECTED)].itertuples(index=False))
    return [(Record(one.row, one.id, one.smiles), one) for one in found]


_OF_REJECTED = ("row", "id", "smiles", "reason")


def columns_of(records: Iterator[Record]) -> list[str]:
    """Names of the columns that come along with records."""
    kept = getattr(records, "kept", None)
    return [] if kept is None else list(kept.names)


def about_page(
    model: ScoringModel, columns: Sequence[str], facts: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """What a page says besides the explanations: the model, its domain, and columns that come along."""
    domain = None
    with contextlib.suppress(UsageError):  # not every model knows what it was trained on
        domain = model.domain()
    return {"facts": (("model", model.name), *facts), "columns": columns, "domain": domain}


def work_of(
    explainer: Explainer,
    request: TableRequest | None,
    drawings: Drawings,
    all_tasks: bool = False,
) -> ChunkExplainer:
    """What is to be made of explanations."""
    if request is not None:
        request = replace(request, members=explainer.member_names, meaning=drawings.meaning)
    explain_rows = partial(explainer.explain_rows, all_tasks=all_tasks)
    return ChunkExplainer(explain_rows, request, drawings if drawings.files else None)


def explain_library(
    records: Iterable[Record],
    work: ChunkExplainer,
    *,
    parts: Parts | None = None,
    shard: Shard | None = None,
    jobs: int | None = 1,
    seconds: float = CPU_SECONDS,
    watch: Watch | None = None,
) -> Summary:
    """Explain a library; every row is in the table and the drawings or, with a reason, a rejected one.

    Parameters
    ----------
    records : iterable of Record
        The library.
    work : ChunkExplainer
        How it is explained, and what is made of that.
    parts : Parts, optional
        Where finished chunks are kept for a run that goes on; opened. They are removed at the end.
    shard : Shard, optional
        Explain only this shard of the library and leave the parts, for `merge_explanations`.
    jobs : int, optional
        Processes to work in; None for one a core. What is written does not depend on it.
    seconds : float
        Processor time for reading one molecule; explaining it may take `PATIENCE` times that.
    watch : callable, optional
        What is told on the way.

    Returns
    -------
    Summary

    Raises
    ------
    NothingUsableError
        If no row was explained.
    OutputError
        If something cannot be written; nothing stays half-written under its name.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"{called('jobs')} must be at least 1 (got {jobs})")
    if seconds <= 0:
        raise UsageError(f"{called('time_limit')} must be above 0 (got {seconds:g})")
    with contextlib.ExitStack() as stack:
        stack.enter_context(time_limit(seconds))
        if parts is None:
            folder = stack.enter_context(scratch_directory(next(iter(work.files), None)))
            parts = Parts(folder / "parts", {}, rows_per_part=CHUNK_ROWS)
            parts.open()
        # A single chunk that nobody has asked to keep is explained again sooner than it is asked for.
        with parts.working(least=1 if work.drawings is None else 2):
            n_chunks = _Run(work, parts, jobs, seconds, watch).explain(records, shard or Shard())
            if shard is not None:
                parts.complete(n_chunks)
                return _summary(parts)
            summary = _written(parts, work)
        parts.remove()
        return summary


@dataclass(frozen=True)
class _Run:
    """Work on the chunks of a library."""

    work: ChunkExplainer
    parts: Parts
    jobs: int | None
    seconds: float
    watch: Watch | None

    def explain(self, records: Iterable[Record], shard: Shard) -> int:
        """Explain every chunk that is not done, in whichever order; returns how many chunks there are."""

        def wanted(number: int) -> bool:
            return shard.owns(number) and number not in self.parts.done

        work = self.work
        dealer = Dealer(iter(records), self.parts.rows_per_part, wanted, self.jobs)
        # Where there is a GPU, torch follows gradients in threads, which a forked process has not.
        start = "spawn" if torch.cuda.is_available() else START_METHOD
        done = dealer.done(work.here, work, work.received, self.seconds, start_method=start)
        for number, (batches, told) in done:
            self.parts.add(number, work.schema, batches, told.as_part_note)
            if self.watch is not None:
                self.watch(told.n_rows, told.rejections)
        return dealer.n_chunks


def _summary(parts: FinishedParts) -> Summary:
    summary = Summary()
    for note, _ in parts.finished():
        summary.merge(Told.of(note).summary)
    return summary


def _written(parts: FinishedParts, work: ChunkExplainer) -> Summary:
    """Write what was asked for of finished parts, in the order of the library."""
    if work.request is not None:
        _write_tables(parts, work.request, of_rows=work.in_rows is not None)
    summary = _summary(parts)
    if work.drawings is not None:
        rows = [row for _, batches in parts.finished() for row in results_of(batches)]
        counts = work.drawings.write(rows)
        if work.request is None:
            return replace(summary, counts=counts)
        summary.counts.pages = counts.pages
    return summary


def _write_tables(parts: FinishedParts, request: TableRequest, *, of_rows: bool = True) -> None:
    """Write the tables; parts hold their rows, or explanations."""

    def chunks() -> Iterator[Finished]:
        for note, batches in parts.finished():
            told = Told.of(note)
            rows = batches if of_rows else table_batches(_explanations(results_of(batches)), request)
            yield Finished(told.summary.counts, told.rejections, rows)

    write_tables(chunks(), request)


def merge_explanations(
    shards: Sequence[str | Path],
    output: str | Path,
    *,
    rejects: str | Path | None = None,
    csv_safe: bool = False,
) -> Summary:
    """Put the shards of a library together: the table that one run would have written.

    Parameters
    ----------
    shards : sequence of str or Path
        All shards of one library, in any order: directories that runs with ``shard`` have left. They stay.
    output : str or Path
        Table to write, .parquet or .csv.
    rejects : str or Path, optional
        Table of rejected rows; default ``NAME.rejected.csv`` beside the output.
    csv_safe : bool
        In CSV files, write text that a spreadsheet would take for a formula behind an apostrophe.

    Returns
    -------
    Summary

    Raises
    ------
    UsageError
        If a shard is missing, named twice or of another run, or the output cannot be written.
    InputError
        If a shard is not finished, or damaged, or nothing was explained.

    Examples
    --------
    >>> import molig
    >>> from tempfile import TemporaryDirectory
    >>> from molig.attribution import Explainer
    >>> from molig.molecules import smiles_records
    >>> explainer = Explainer(molig.load_model("tox21-w2n2-simple"), task="SR-ARE", tol=0.5)
    >>> with TemporaryDirectory() as folder:
    ...     request = TableRequest(Path(folder) / "why.csv", "molecules")
    ...     work = ChunkExplainer(explainer.explain_rows, request)
    ...     shards = [Path(folder) / "first", Path(folder) / "second"]
    ...     for place, directory in enumerate(shards, start=1):
    ...         about = {"--shard": f"{place}/2"}
    ...         parts = Parts(directory, about, rows_per_part=1, about=about_table(request))
    ...         parts.open()
    ...         rows = smiles_records(["CCO", "nonsense", "CCN"])
    ...         _ = explain_library(rows, work, parts=parts, shard=Shard(place, 2))
    ...     merge_explanations(shards, request.output).counts
    Counts(explained=2, rejected=1, unconverged=0, pages=[])
    """
    found = together([Path(shard) for shard in shards])
    about = found[0].about[EXPLANATIONS]
    request = TableRequest(
        Path(output),
        about["layout"],
        None if rejects is None else Path(rejects),
        csv_safe=csv_safe,
        members=tuple(about["members"]),
        meaning=about["meaning"],
    )
    with exclusive(request.output, request.rejects_path):
        _write_tables(Together(found), request)
        return _summary(Together(found))


EXPLANATIONS = "explanations"
"""By this name the manifest of a shard says that it holds a table of explanations, and of which kind."""


def about_table(request: TableRequest) -> dict[str, Any]:
    """What the manifest of a shard says of a table, for `merge_explanations`."""
    kind = {"layout": str(request.layout), "members": list(request.members), "meaning": request.meaning}
    return {EXPLANATIONS: kind}
