"""Screening: a stream of records in, a ranked hit table and a table of rejections out."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from molig.errors import UsageError, called
from molig.foreign import load_models
from molig.model import ScoringModel
from molig.molecules import Record, Rejection
from molig.molecules.causes import RejectBound
from molig.molecules.guard import time_limit
from molig.screening.chunks import CHUNK_ROWS, ChunkNote, ScoredRows
from molig.screening.cluster import Cluster, ClusterRun, Wanted
from molig.screening.dealing import Dealer, LookUp
from molig.screening.hits import TopK
from molig.screening.joining import Joining, ScreeningResult
from molig.screening.libraries import Library
from molig.screening.plan import Plan, ScreeningOptions
from molig.screening.shards import Shard
from molig.screening.staged import StagedScorer
from molig.tables import PartNote, Parts
from molig.tables.locks import exclusive, scratch_directory


def screen(
    library: str | Path | Iterable[Any],
    model: ScoringModel | str | Path | Sequence[str | Path],
    *,
    output: str | Path | None = None,
    rejects: str | Path | None = None,
    options: ScreeningOptions | None = None,
    task: str | None = None,
    top_k: int | None = None,
) -> ScreeningResult:
    """Score and rank a library.

    Parameters
    ----------
    library : str, Path, DataFrame, or iterable of str or rdkit.Chem.Mol
        A file that `molig.molecules.read_records` can read, a pattern such as ``"parts/*.parquet"`` for
        several that are read as one, ``"-"`` for standard input, the directory of a feature store; or a table
        of pandas, SMILES, or molecules, see `molig.molecules.records_of`.
    model : ScoringModel, str, Path or sequence of them
        A model, or what `molig.load_model` reads; several models of molig are scored side by side, with tasks
        called ``MODEL:TASK``.
    output : str or Path, optional
        Hit table to write, .parquet, .csv or .xlsx, or ``"-"``; by default it is kept in memory.
    rejects : str or Path, optional
        Table of rejections to write, .csv or .parquet; default beside ``output``, as
        ``NAME.rejected.csv``.
    options : ScreeningOptions, optional
        Everything else.
    task, top_k : optional
        Shorthands for these two options.

    Returns
    -------
    ScreeningResult

    Raises
    ------
    UsageError
        For an unknown task, column or format, a path that cannot be written, several tasks without
        calibration of which neither one nor all are chosen, or what the model does not offer: applicability,
        uncertainty, percentiles.
    InputError
        If the library cannot be read or no row could be scored.
    OutputError
        If a table cannot be written; no half-written table stays under its final name.

    Notes
    -----
    Of a run from a file to a file finished parts are kept in ``NAME.parts`` beside the output until it is
    complete. After a crash, a full disk or an interruption the same call with ``resume`` goes on from there;
    another library, model or option is refused. The tables are the same as without the interruption.

    Examples
    --------
    >>> import molig
    >>> result = molig.screen(["CCO", "Oc1ccccc1", "nonsense"], "tox21-w2n2-simple", task="SR-ARE")
    >>> result.n_scored, result.n_rejected, list(result.hits.columns)
    (2, 1, ['row', 'id', 'smiles', 'scored_smiles', 'removed', 'SR-ARE', 'rank'])
    """
    if isinstance(model, str | Path | Sequence):
        model = load_models(model)
    chosen = options or ScreeningOptions(task=task, top_k=top_k)
    if options is not None and (task is not None or top_k is not None):
        raise UsageError("give task and top_k either directly or in options")
    plan = Plan.of(library, model, output, rejects, chosen)
    with exclusive(*plan.written), scratch_directory(plan.file) as scratch:
        return _Run(plan).execute(scratch)


class _Run:
    """One screening run: score everything in parts, then write what was asked for."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self.options, self._records = plan, plan.options, plan.records()
        self._scorer = plan.scorer(self._records)
        columns, kept_of_rejected = self._scorer.columns, self._scorer.kept_of_rejected
        self._joining = Joining(columns, kept_of_rejected, plan.options, plan.output, plan.rejects)
        self._shard = plan.options.shard or Shard()
        self._bound = _EarlyBound(plan.options.max_rejects, self._shard)

    def execute(self, scratch: Path) -> ScreeningResult:
        started = time.perf_counter()
        parts = self._plan.parts(self._scorer.columns, scratch, CHUNK_ROWS)
        parts.open(resume=self.options.resume, way=called("resume"))
        self._look_back(parts)
        with parts.working():
            cluster = self.options.cluster
            n_chunks = self._work(parts) if cluster is None else self._work_on(cluster, parts)
            if self.options.shard is None:
                hits = self._joining.join(parts, scratch)
            else:
                parts.complete(n_chunks)
                self._joining.count(parts)
        seconds = time.perf_counter() - started
        if self.options.shard is not None:
            return self._joining.result(seconds, None, self._records.left_out, parts.directory)
        parts.remove()
        return self._joining.result(seconds, hits, self._records.left_out)

    def _look_back(self, parts: Parts) -> None:
        """Take note of what an interrupted run has done."""
        if not parts.done:
            return
        n_rejected = 0
        for number, (part_note, _) in zip(sorted(parts.done), parts.finished(), strict=True):
            note = ChunkNote.of(part_note)
            n_rejected += len(note.rejected)
            self._bound.add(number, note)
        self._joining.n_before = parts.n_rows
        if self.options.watch:
            self.options.watch.resumed(parts.n_rows)
            self.options.watch.rejected(n_rejected)

    def _timed(self, stage: str, records: Iterator[Record]) -> Iterator[Record]:
        """The same records; what it takes to get them counts as a stage."""
        while True:
            started = time.perf_counter()
            # By the thousand: to ask for the time costs as much as to read a row.
            some = list(islice(records, _AT_A_TIME))
            self._joining.stages[stage] += time.perf_counter() - started
            if not some:
                return
            yield from some

    def _work(self, parts: Parts) -> int:
        """Make a part of every chunk, in whichever order they are done; returns how many chunks there are."""

        def wanted(number: int) -> bool:
            return self._shard.owns(number) and number not in parts.done

        scorer, seconds = self._scorer, self.options.time_limit
        # A GPU is not shared out: without two stages the process that holds it does all the work.
        shared = self._plan.model.device.type == "cpu" or isinstance(scorer, StagedScorer)
        jobs = self.options.jobs if shared else 1
        records = self._timed("read", self._records)
        dealer = Dealer(records, parts.rows_per_part, wanted, jobs, self._look_up(parts))
        begun: deque[tuple[int, Iterator[ScoredRows]]] = deque()
        with time_limit(seconds):
            for number, scored in dealer.done(scorer.batches, scorer.task, scorer.begun, seconds):
                begun.append((number, scored))
                # What goes through records here has to be finished before the next chunk is dealt.
                if len(begun) > (scorer.ahead if dealer.jobs > 1 else 0):
                    self._keep(*begun.popleft(), parts)
            for number, scored in begun:
                self._keep(number, scored, parts)
        self._joining.jobs = dealer.jobs
        return dealer.n_chunks

    def _work_on(self, cluster: Cluster, parts: Parts) -> int:
        """The same, where the nodes of a cluster read and score."""
        wanted = Wanted(self._shard, frozenset(parts.done))
        if isinstance(self._scorer, StagedScorer):
            raise UsageError("two stages are for a GPU of this machine; nodes of a cluster do without")
        limits = self.options.jobs, self.options.time_limit
        run = ClusterRun(cluster, self._scorer, self._plan.readable, parts.rows_per_part, wanted, *limits)
        for number, rows in run.answers():
            self._keep(number, [rows], parts)
        self._joining.jobs = run.n_actors
        self._joining.stages["read"] += run.reading
        self._records.left_out = run.left_out
        return run.n_chunks

    def _look_up(self, parts: Parts) -> LookUp | None:
        """How to read single chunks, if that is worth it: for one of many shards, of Parquet."""
        if not self._shard.apart or not isinstance(self._plan.library, Library):
            return None
        library = self._plan.library
        stretches = library.stretches(parts.rows_per_part, apart=True)
        if len(stretches) < 2:
            return None
        return LookUp(
            len(stretches), lambda number: self._timed("read", library.records(stretches[number].start))
        )

    def _keep(self, number: int, scored: Iterable[ScoredRows], parts: Parts) -> None:
        """Make a part of what became of a chunk."""
        columns = self._scorer.columns
        n_rows = n_dropped = 0
        rejected = [self._scorer.kept_of_rejected.rejection_table([])]

        def watched() -> Iterator[pa.Table]:
            nonlocal n_rows
            for found in scored:
                n_rows += found.n_rows
                for stage, seconds in found.seconds.items():
                    self._joining.stages[stage] += seconds
                rejected.append(found.rejected)
                yield found.hits
                if self.options.progress:
                    self.options.progress(found.n_rows)
                if self.options.watch:
                    self.options.watch.rejected(len(found.rejected))

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal n_dropped
            hits = watched()
            if self.options.threshold is not None:
                hits = map(partial(columns.at_least, threshold=self.options.threshold), hits)
            if self.options.top_k is not None:
                best = TopK(columns, self.options.top_k, self.options.diversity)
                for table in hits:
                    best.add(table)
                found, n_dropped = best.candidates()
                hits = iter([found])
            for table in hits:
                yield from table.to_batches()

        def note() -> PartNote:
            kept = ChunkNote(n_rows, pa.concat_tables(rejected), n_dropped)
            self._bound.add(number, kept)
            return kept.as_part_note()

        parts.add(number, columns.schema, batches(), note)


_AT_A_TIME = 512


class _EarlyBound:
    """Ends a run early that too many rows are rejected of; counts from the first row, whatever the order."""

    def __init__(self, bound: RejectBound | None, shard: Shard) -> None:
        self._bound = bound
        self._waiting: dict[int, tuple[int, Counter[str], list[Rejection]]] = {}
        self._numbers = shard.numbers()
        self._next, self._n_rows = next(self._numbers), 0
        self._reasons: Counter[str] = Counter()
        self._first: list[Rejection] = []

    def add(self, number: int, note: ChunkNote) -> None:
        """A chunk is done."""
        if self._bound is None:
            return
        self._waiting[number] = note.n_rows, note.reasons, note.first
        while found := self._waiting.pop(self._next, None):
            self._next = next(self._numbers)
            self._n_rows += found[0]
            self._reasons.update(found[1])
            self._first = self._first or found[2]
            self._bound.check(self._n_rows, self._reasons, self._first, done=False)
