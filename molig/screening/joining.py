"""From the finished parts of a run, or of several shards, to its tables."""

from __future__ import annotations

import contextlib
import html
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from molig.deferred import deferred
from molig.errors import OutputError, UsageError
from molig.molecules import Rejection
from molig.molecules.causes import NothingUsableError, likely_cause, main_reasons
from molig.screening.chunks import ChunkNote
from molig.screening.hits import HitColumns, KeptColumns, RankRuns, TopK, with_ranks
from molig.screening.plan import ScreeningOptions
from molig.tables import PartNote
from molig.tables.writers import EXCEL, STDOUT, OutputTable

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = deferred("pandas")

_TEXT_COLUMNS = dict.fromkeys(
    ("id", "smiles", "scored_smiles", "removed", "best_task", "reason", "applicability"), str
)


# Rows that a notebook shows, and of a table that it sorts for that.
_SHOWN, _MOST_RANKED = 20, 1_000_000


@dataclass(frozen=True)
class ScreeningResult:
    """What came of a screening run.

    Parameters
    ----------
    n_rows, n_scored, n_rejected : int
        Rows of the library; each is scored or rejected.
    reasons : Counter
        Rejections by kind of reason.
    seconds : float
        Duration.
    output, rejects : str or Path, optional
        Where the tables are, or of a shard its directory; None if they are held in memory.
    meaning : str
        What a score is, and for which molecules that holds. Parquet files keep it as ``scores`` in the
        metadata of their schema.
    n_hits : int
        Rows of the hit table.
    best : pyarrow.Table, optional
        The best ``n_best`` of them, best first.
    stages : mapping of str to float
        Seconds that went into reading, parsing, scoring and writing in this run; of all processes together.
    jobs : int
        Processes at work.
    n_before : int
        Rows that an interrupted run had done; ``seconds`` and ``stages`` are those of the others.
    left_out : mapping of str to int
        Properties of an SD file that did not come along; see `molig.molecules.records.Records`.
    kept : tuple of str
        Names of the columns of the input in the tables.
    """

    n_rows: int
    n_scored: int
    n_rejected: int
    reasons: Counter[str]
    seconds: float
    output: str | Path | None = None
    rejects: Path | None = None
    meaning: str = ""
    n_hits: int = 0
    best: pa.Table | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    jobs: int = 1
    n_before: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    _hits: pa.Table | None = field(default=None, repr=False)
    _rejections: pa.Table | None = field(default=None, repr=False)

    @cached_property
    def hits(self) -> pd.DataFrame:
        """Hit table: row, id, smiles, what was scored, score per task, rank, applicability if asked for."""
        return _frame(self._hits, self.output, self.kept)

    @cached_property
    def rejections(self) -> pd.DataFrame:
        """Rejected rows: row, id, smiles, reason."""
        return _frame(self._rejections, self.rejects, self.kept)

    def _repr_html_(self) -> str:
        counted = f"{self.n_rows:,} rows: {self.n_scored:,} scored, {self.n_rejected:,} rejected"
        lines = [self.meaning, counted + (f"; hits: {self.output}" if self.output is not None else "")]
        text = "".join(f"<p>{html.escape(line)}</p>" for line in lines if line)
        is_gone = self._hits is None and (self.output is None or not Path(self.output).is_file())
        if is_gone or self.n_hits > _MOST_RANKED:  # gone to standard output, or not worth the wait
            return text
        best = self.hits.sort_values("rank", kind="stable") if "rank" in self.hits else self.hits
        more = f"<p>{len(best) - _SHOWN:,} more rows</p>" if len(best) > _SHOWN else ""
        return text + best.head(_SHOWN).to_html(index=False, border=0) + more


def _frame(table: pa.Table | None, path: str | Path | None, kept: Sequence[str]) -> pd.DataFrame:
    if table is not None:
        frame: pd.DataFrame = table.to_pandas()
        return frame
    if path is None or str(path) == STDOUT:
        raise UsageError("the table went to standard output; it was not kept")
    if Path(path).is_dir():
        raise UsageError(f"{path} holds the parts of a shard: put the shards together first (`molig merge`)")
    if Path(path).suffix.lower() == ".csv":
        return pd.read_csv(path, dtype=_TEXT_COLUMNS | dict.fromkeys(kept, str), keep_default_na=False)
    if Path(path).suffix.lower() == EXCEL:
        return pd.read_excel(path, dtype=_TEXT_COLUMNS | dict.fromkeys(kept, str), keep_default_na=False)
    return pd.read_parquet(path)


class FinishedParts(Protocol):
    """Parts of one run, or of several shards."""

    def finished(self) -> Iterator[tuple[PartNote, Iterator[pa.RecordBatch]]]:
        """Note and table of each, in the order of the input."""


class Joining:
    """From parts to tables, in the order of the input.

    Parameters
    ----------
    columns : HitColumns
        Columns of the hit table.
    kept_of_rejected : KeptColumns
        Columns of the input in the table of rejected rows.
    options : ScreeningOptions
        How hits are chosen and written.
    output : str or Path, optional
        Where the hits go; None keeps them in memory.
    rejects : Path, optional
        Where the rejected rows go.
    """

    def __init__(
        self,
        columns: HitColumns,
        kept_of_rejected: KeptColumns,
        options: ScreeningOptions,
        output: str | Path | None,
        rejects: Path | None,
    ) -> None:
        self.columns, self._kept_of_rejected, self.options = columns, kept_of_rejected, options
        self.output, self.rejects = output, rejects
        self.jobs, self.n_before = 1, 0
        self.stages: defaultdict[str, float] = defaultdict(float)
        self._best_hits = TopK(columns, options.n_best) if options.n_best else None
        self._reasons: Counter[str] = Counter()
        self._n_rows = self._n_scored = self._n_hits = 0
        self._rejected: list[pa.Table] = []
        self._first: list[Rejection] = []

    def result(
        self,
        seconds: float,
        hits: pa.Table | None,
        left_out: Mapping[str, int],
        directory: Path | None = None,
    ) -> ScreeningResult:
        """What came of it all."""
        rejected = pa.concat_tables([*self._rejected, self._kept_of_rejected.rejection_table([])])
        return ScreeningResult(
            n_rows=self._n_rows,
            n_scored=self._n_scored,
            n_rejected=self._n_rows - self._n_scored,
            reasons=self._reasons,
            seconds=seconds,
            output=directory or self.output,
            rejects=None if directory else self.rejects,
            meaning=self.columns.meaning,
            n_hits=self._n_hits,
            best=self._best_hits.table() if self._best_hits else None,
            stages=dict(self.stages),
            jobs=self.jobs,
            n_before=self.n_before,
            left_out=left_out,
            kept=tuple(field.name for field in self.columns.kept.fields),
            _hits=hits,
            _rejections=rejected if directory or not self.rejects else None,
        )

    def count(self, parts: FinishedParts) -> None:
        """Count rows and rejections, and write nothing."""
        for note, _ in parts.finished():
            self._count(ChunkNote.of(note), None)

    def join(self, parts: FinishedParts, scratch: Path) -> pa.Table | None:
        """Write the tables; returns the hits if they are to be kept in memory.

        Raises
        ------
        NothingUsableError
            If no row was scored, or too many were rejected; the rejected ones are written all the same.
        OutputError
            If a table cannot be written.
        """
        hits, nothing = None, None
        with contextlib.ExitStack() as stack:
            rejects = None
            if self.rejects is not None:
                schema = self._kept_of_rejected.rejection_schema
                rejects = stack.enter_context(
                    OutputTable(self.rejects, schema, csv_safe=self.options.csv_safe)
                )
            tables = self._counted(parts, rejects)
            if self.options.top_k is None:
                found = self._in_order(tables, parts, scratch)
            else:
                found = self._best(tables, self.options.top_k)
            try:
                hits = self._deliver(self._delivered(found))
            except NothingUsableError as error:
                if not self._n_rows:
                    raise
                nothing = error  # the table of rejections is written all the same
        if nothing is not None:
            raise nothing
        return hits

    def _counted(self, parts: FinishedParts, rejects: OutputTable | None) -> Iterator[tuple[pa.Table, int]]:
        """Hits of all parts, and how many were dropped; rejected rows go their own way."""
        for part_note, batches in parts.finished():
            note = ChunkNote.of(part_note)
            self._count(note, rejects)
            yield pa.Table.from_batches(batches, self.columns.schema), note.n_dropped
        if not self._n_scored:
            where = f"; see {self.rejects}" if self.rejects and self._n_rows else ""
            raise NothingUsableError(
                f"none of the {self._n_rows} rows of the library could be scored: "
                f"{main_reasons(self._reasons)}{likely_cause(self._first)}{where}"
            )
        if self.options.max_rejects:
            self.options.max_rejects.check(self._n_rows, self._reasons, self._first, done=True)

    def _count(self, note: ChunkNote, rejects: OutputTable | None) -> None:
        self._n_rows += note.n_rows
        self._n_scored += note.n_rows - len(note.rejected)
        self._first = self._first or note.first
        self._reasons.update(note.reasons)
        if rejects is None:
            self._rejected.append(note.rejected)
        else:
            rejects.write(note.rejected)

    def _in_order(
        self, tables: Iterator[tuple[pa.Table, int]], parts: FinishedParts, scratch: Path
    ) -> Iterator[pa.Table]:
        """Every row, in the order of the input; ranks are known only when all scores are."""
        runs = RankRuns(scratch) if self.columns.ranked else None
        for table, _ in tables:
            if runs:
                with _scratch_errors(scratch):
                    runs.add(self.columns.key(table).tolist())
        for _, batches in parts.finished():
            table = pa.Table.from_batches(batches, self.columns.schema)
            with _scratch_errors(scratch):
                ranks = runs.ranks(self.columns.key(table)) if runs else None
            yield table if ranks is None else with_ranks(table, ranks)

    def _best(self, tables: Iterator[tuple[pa.Table, int]], k: int) -> Iterator[pa.Table]:
        best = TopK(self.columns, k, self.options.diversity)
        for table, n_dropped in tables:
            best.add(table, n_dropped)
        if shortage := best.shortage:
            warnings.warn(shortage, stacklevel=2)
        yield best.table()

    def _delivered(self, found: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """The same tables, counted, and the best of them kept."""
        for table in found:
            self._n_hits += len(table)
            if self._best_hits:
                self._best_hits.add(table)
            started = time.perf_counter()
            yield table
            self.stages["write"] += time.perf_counter() - started

    def _deliver(self, found: Iterator[pa.Table]) -> pa.Table | None:
        if self.output is None:
            return pa.concat_tables([self.columns.schema.empty_table(), *found])
        # The first table comes when all rows are scored: only then is standard output touched.
        first = next(found, self.columns.schema.empty_table())
        with OutputTable(self.output, self.columns.schema, csv_safe=self.options.csv_safe) as out:
            out.write(first)
            for table in found:
                out.write(table)
        return None


@contextlib.contextmanager
def _scratch_errors(scratch: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise OutputError(f"cannot write scratch files in {scratch}: {err.strerror or err}") from err
