"""Screening: a stream of records in, a ranked hit table and a table of rejections out."""

from __future__ import annotations

import contextlib
import html
import shutil
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from molig.deferred import deferred
from molig.errors import InputError, MoligError, OutputError, UnknownNameError, UsageError, called
from molig.foreign import load_models
from molig.model import Objective, ScoringModel, SideBySide
from molig.molecules import Record, Rejection, read_records, smiles_records
from molig.molecules.causes import NothingUsableError, RejectBound, likely_cause, main_reasons
from molig.molecules.columns import KEEP_ALL
from molig.molecules.guard import CPU_SECONDS, time_limit
from molig.molecules.records import Records
from molig.screening.chunks import CHUNK_ROWS, ChunkNote, ChunkScorer, ScoredRows, with_drugs
from molig.screening.diversity import Diversity
from molig.screening.hits import HitColumns, KeptColumns, RankRuns, TopK, with_ranks
from molig.screening.shards import Shard
from molig.screening.store import STORE_FILE, FeatureStore, is_store
from molig.screening.workers import Workers, n_cores
from molig.tables import PartNote, Parts
from molig.tables.locks import exclusive, scratch_name
from molig.tables.parts import is_repeatable, run_identity
from molig.tables.writers import STDOUT, OutputTable, check_distinct, check_output, rejects_path

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = deferred("pandas")

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Watch:
    """What a run tells on the way, besides its progress.

    Parameters
    ----------
    resumed : callable
        Called once with the number of rows that an interrupted run has finished.
    rejected : callable
        Called with the number of rows that were rejected since the last call.
    """

    resumed: Callable[[int], object]
    rejected: Callable[[int], object]


_TEXT_COLUMNS = dict.fromkeys(
    ("id", "smiles", "scored_smiles", "removed", "best_task", "reason", "applicability"), str
)


@dataclass(frozen=True)
class ScreeningOptions:
    """How to screen.

    Parameters
    ----------
    task : str or sequence of str, optional
        Score this task only, or these, and rank by the first; or ``"all"``: a column for every task, without
        ranks. By default all tasks, ranked by the highest score, of several models by the first model's, if
        its scores are calibrated; several tasks of any other model cannot be compared and need a choice.
    rank_by : str, optional
        Rank by this task, whichever others have a column.
    top_k : int, optional
        Keep the k best, best first; by default every row, in the order of the input.
    smiles_column, id_column : str, optional
        Columns of the library, if not under usual names.
    file_format : str, optional
        Format of standard input ("smi", "csv", ...).
    delimiter : str, optional
        What separates columns, if that cannot be guessed; see `molig.molecules.read_records`.
    batch_size : int
        Molecules worked on at a time.
    jobs : int or None
        Processes to work in; None takes one for every core. A library of a few thousand rows is always done
        in this process. The results do not depend on it.
    time_limit : float
        Seconds of processor time that one molecule may take; one that takes longer is rejected.
    progress : callable, optional
        Called with the number of rows done since the last call.
    applicability : bool
        Add the columns ``applicability`` ("in domain", "far from training" or "unseen feature") and
        ``similarity`` (Tanimoto, to the nearest reference molecule of the training part).
    uncertainty : bool
        Add what is known of the error of a committee's scores, of several tasks for the best one:
        ``chance_wrong``, if scores are calibrated, is the chance that it is wrong to call the molecule active
        if its score is above 0.5, inactive otherwise; ``uncertainty`` is the weighted standard deviation of
        the members' scores, calibrated as their mean is; of an ensemble of Chemprop, of its networks' scores.
    percentiles : bool
        Beside every score, in a column ``TASK percentile``, where it stands among those of approved drugs
        in DrugBank, from 0 to 100; for ADMET-AI.
    atc : str, optional
        Compare with the drugs of this class of the Anatomical Therapeutic Chemical system only, at any of
        its levels, such as "antineoplastic agents".
    csv_safe : bool
        In CSV files, write text that a spreadsheet would take for a formula behind an apostrophe.
    keep : {"all", "none"} or sequence of str
        Columns of the input (tags of an SD file) that come along, behind those of molig; all but the SMILES
        and the identifier, which are there anyway. See `KeptColumns` for their names.
    threshold : float, optional
        Only rows with this score or a higher one; those below are scored, not rejected.
    diversity : Diversity, optional
        With ``top_k``: at most so many rows of a scaffold or a cluster.
    max_rejects : RejectBound, optional
        End with an error, and without a hit table, if more rows are rejected.
    n_best : int
        How many of the best hits `ScreeningResult.best` shall hold, wherever the table goes.
    first_rows : int, optional
        Only so many rows, the first of the library.
    resume : bool
        Continue the interrupted run whose finished parts lie beside the output; where there is none, begin.
    force : bool
        Whether a finished result may be replaced.
    shard : Shard, optional
        Do only this shard of the library; `merge` puts shards together.
    watch : Watch, optional
        What else is told on the way.
    """

    task: str | Sequence[str] | None = None
    rank_by: str | None = None
    top_k: int | None = None
    smiles_column: str | None = None
    id_column: str | None = None
    file_format: str | None = None
    delimiter: str | None = None
    batch_size: int = 512
    jobs: int | None = 1
    time_limit: float = CPU_SECONDS
    progress: Progress | None = None
    applicability: bool = False
    uncertainty: bool = False
    percentiles: bool = False
    atc: str | None = None
    csv_safe: bool = False
    keep: str | Sequence[str] = KEEP_ALL
    threshold: float | None = None
    diversity: Diversity | None = None
    max_rejects: RejectBound | None = None
    n_best: int = 0
    first_rows: int | None = None
    resume: bool = False
    force: bool = True
    shard: Shard | None = None
    watch: Watch | None = None


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
        Seconds that went into reading, parsing, scoring and writing; of all processes together.
    jobs : int
        Processes at work.
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
        return f"<p>{html.escape(self.meaning)}</p>{self.hits.head(20).to_html()}"


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
    return pd.read_parquet(path)


ALL_TASKS = "all"
"""Stands for all tasks of a model, unless one is called so."""


def screen(
    library: str | Path | Iterable[str],
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
    library : str, Path or iterable of str
        A file that `molig.molecules.read_records` can read, ``"-"`` for standard input, the directory of a
        feature store, or SMILES.
    model : ScoringModel, str, Path or sequence of them
        A model, or what `molig.load_model` reads; several models of molig are scored side by side, with tasks
        called ``MODEL:TASK``.
    output : str or Path, optional
        Hit table to write, .parquet or .csv, or ``"-"``; by default it is kept in memory.
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
    _check_numbers(chosen)
    store = _opened_store(library, chosen)
    if store is not None:
        model = store.feed(model, applicability=chosen.applicability)
    ranked = not asks_all_tasks(chosen.task, model)
    asked = _asked_tasks(chosen) if ranked else ()
    if len(asked) == 1:
        model = model.for_task(asked[0])
    elif asked and isinstance(model, SideBySide):
        model = model.for_tasks(asked)
    tasks = asked or model.tasks
    rank_by = _ranking(model, chosen, asked)
    _check_abilities(model, chosen, ranked, rank_by or tasks)
    columns = HitColumns(
        tasks,
        chosen.applicability,
        chosen.uncertainty,
        model.calibrated,
        model.meaning_of(tasks),
        ranked,
        _of_percentiles(chosen) if chosen.percentiles else "",
        chosen.diversity.field if chosen.diversity else None,
        rank_by=rank_by if ranked else (),
    )
    if output is not None:
        check_output(output)
    rejects = rejects_path(output, rejects)
    if rejects is not None:
        check_output(rejects)
    check_distinct(library, output, rejects)
    file = None if output is None or str(output) == STDOUT else Path(output)
    source = _repeatable(library, file, chosen)
    place = _parts_place(file, source, chosen)
    _check_finished(file, place, chosen)
    with exclusive(*((file, rejects) if chosen.shard is None else (place,))):
        records = _records(library, chosen) if store is None else store.records(chosen.keep)
        if chosen.first_rows is not None:
            records = Records(islice(records, chosen.first_rows), records.kept, records.left_out)
        columns = columns.with_kept(records.kept, as_text=output is not None and not _is_parquet(output))
        in_parquet = rejects is None or _is_parquet(rejects)
        kept_of_rejected = replace(columns.kept, as_text=not in_parquet)
        scorer = ChunkScorer(
            model, columns, kept_of_rejected, chosen.batch_size, chosen.percentiles, chosen.atc
        )
        joining = Joining(columns, kept_of_rejected, chosen, output, rejects)
        run = _Run(scorer, joining, chosen, records)
        with _scratch(None if file is None else file.resolve()) as scratch:
            if source is None or place is None:  # nothing could be continued
                parts = Parts(scratch / "parts", {}, rows_per_part=CHUNK_ROWS)
            else:
                identity = _identity(source, model, chosen, output, rejects)
                about = {"columns": columns.to_dict(), "rejects_as_text": not in_parquet, **_choice(chosen)}
                parts = Parts(place, identity, rows_per_part=CHUNK_ROWS, about=about)
            return run.execute(parts, scratch)


def _repeatable(
    library: str | Path | Iterable[str], file: Path | None, options: ScreeningOptions
) -> Path | None:
    """The file that a run can be continued with; None if it cannot be continued."""
    source = Path(library) if isinstance(library, str | Path) else None
    if source is not None and is_store(source):
        source = source / STORE_FILE
    if source is not None and is_repeatable(source) and file is not None and options.first_rows is None:
        return source
    if options.resume:
        what = "SMILES" if source is None else "standard input" if str(library) == STDOUT else str(library)
        if file is None:
            raise UsageError(f"{called('resume')} continues a run that writes a file; name one as output")
        raise UsageError(f"{what} cannot be read again, so its run cannot be resumed; use a file")
    return None


def _parts_place(file: Path | None, source: Path | None, options: ScreeningOptions) -> Path | None:
    """Where finished parts are kept."""
    if options.shard is None:
        return None if file is None else file.with_suffix(".parts")
    if file is None or source is None:
        raise UsageError(f"{called('shard')} shares out a file: name one, and an output file")
    return options.shard.directory(file)


def kept_rows(output: str | Path, options: ScreeningOptions) -> tuple[Path, int]:
    """Where finished parts of a run that broke off are, and of how many rows."""
    file = Path(output)
    directory = options.shard.directory(file) if options.shard else file.with_suffix(".parts")
    with contextlib.suppress(MoligError):
        return directory, Parts.read(directory).n_rows
    return directory, 0


def _check_finished(file: Path | None, place: Path | None, options: ScreeningOptions) -> None:
    """Refuse to replace a finished result unasked."""
    if file is None or place is None:
        return
    if options.shard is not None:
        finished = place if place.is_dir() and Parts.read(place).n_parts is not None else None
        if finished and options.force and not options.resume:
            shutil.rmtree(place, ignore_errors=True)
    else:
        finished = file if file.exists() else None
    if finished is None or options.force or (options.resume and place.exists()):
        return
    if options.resume:
        raise UsageError(f"nothing to resume: {file} is finished")
    raise UsageError(
        f"{finished} is there already: choose another output, or replace it with {called('force')}"
    )


def _identity(
    source: Path,
    model: ScoringModel,
    options: ScreeningOptions,
    output: str | Path | None,
    rejects: Path | None,
) -> dict[str, str]:
    """All that a part depends on, in words of the command line."""
    names = {name: f"--{name.replace('_', '-')}" for name in _DECISIVE}
    names |= {"file_format": "--format", "diversity": "--diverse"}
    known: dict[str, object] = {shown: getattr(options, name) for name, shown in names.items()}
    formats = [Path(place).suffix.lower() for place in (output, rejects) if place is not None]
    known["the format of the output"] = " ".join(formats)
    return run_identity(f"{model.name} {model.digest()}", model.device.type, source, known)


_DECISIVE: tuple[str, ...] = ("task", "rank_by", "top_k", "threshold", "diversity", "batch_size")
_DECISIVE += ("time_limit", "applicability")
_DECISIVE += ("uncertainty", "percentiles", "atc", "smiles_column", "id_column", "file_format")
_DECISIVE += ("delimiter", "keep", "shard")


def _choice(options: ScreeningOptions) -> dict[str, Any]:
    """How hits are chosen, for those who join the parts."""
    return {"top_k": options.top_k, "diversity": options.diversity and asdict(options.diversity)}


def asks_all_tasks(task: str | Sequence[str] | None, model: ScoringModel) -> bool:
    """Whether ``task`` asks for all tasks of a model, none of which is called so."""
    return task in (ALL_TASKS, [ALL_TASKS], (ALL_TASKS,)) and ALL_TASKS not in model.tasks


def _check_numbers(options: ScreeningOptions) -> None:
    at_least_1 = {"top_k": options.top_k, "batch_size": options.batch_size, "jobs": options.jobs}
    for name, number in at_least_1.items():
        if number is not None and number < 1:
            raise UsageError(f"{called(name)} must be at least 1 (got {number})")
    if options.diversity is not None and options.top_k is None:
        raise UsageError(f"{called('diverse')} picks among the best: say how many by {called('top_k')}")
    if options.time_limit <= 0:
        raise UsageError(f"{called('time_limit')} must be above 0 (got {options.time_limit:g})")


def _asked_tasks(options: ScreeningOptions) -> tuple[str, ...]:
    """The tasks that shall have a column, if not all."""
    if options.task is None:
        return ()
    return (options.task,) if isinstance(options.task, str) else tuple(dict.fromkeys(options.task))


def _ranking(model: ScoringModel, options: ScreeningOptions, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The tasks whose highest score ranks, if these are not all that have a column."""
    for task in asked:
        model.task_index(task)
    if options.rank_by is not None:
        if asks_all_tasks(options.task, model):
            raise UsageError(f"{called('task')} {ALL_TASKS} is a table without ranks: leave one of both out")
        if options.rank_by not in (asked or model.tasks):
            raise UnknownNameError("task to rank by", options.rank_by, asked or model.tasks)
        return (options.rank_by,)
    if asked:
        return asked[:1]
    return model.tasks_of_first if isinstance(model, SideBySide) else ()


def _check_abilities(
    model: ScoringModel, options: ScreeningOptions, ranked: bool, ranking: Sequence[str]
) -> None:
    """Refuse what the model, or a table without ranks, has not."""
    of_the_best = {"top_k": options.top_k is not None, "uncertainty": options.uncertainty}
    of_the_best |= {"threshold": options.threshold is not None, "explain_top": options.n_best > 0}
    for name, given in of_the_best.items():
        if given and not ranked:
            raise UsageError(
                f"{called(name)} is about the best score, which a table of all tasks without ranks does not "
                f"choose; name one task by {called('task')}"
            )
    if options.atc is not None and not options.percentiles:
        raise UsageError(f"{called('atc')} chooses the drugs of {called('percentiles')}: ask for those, too")
    model.score_with([], applicability=options.applicability, uncertainty=options.uncertainty)
    if options.percentiles:
        with_drugs(model).percentiles(np.empty((0, len(model.tasks))), options.atc)
    first = model.first if isinstance(model, SideBySide) else model
    if ranked and len(ranking) > 1 and not first.calibrated:
        raise UsageError(_without_order(first, ranking))


def _without_order(model: ScoringModel, tasks: Sequence[str]) -> str:
    """Why the tasks of a model cannot be ranked together, and what to choose."""
    scores = "scores, which are not calibrated,"
    if model.objective is Objective.REGRESSION:
        scores = "values" if len(model.parts()) == 1 else "probabilities and values"
    named = ", ".join(map(repr, tasks[:20])) + ", ..." * (len(tasks) > 20)
    return (
        f"model {model.name!r} predicts {scores} of {len(model.tasks)} tasks, which cannot be ranked "
        f"together; choose one by {called('task')} ({named}), or take {ALL_TASKS!r} for a table of all "
        "without ranks"
    )


def _of_percentiles(options: ScreeningOptions) -> str:
    drugs = f"approved drugs of the class {options.atc!r}" if options.atc else "approved drugs"
    return f"rank among {drugs} in DrugBank, in percent; equal scores share the mean of their ranks"


class _Run:
    """One screening run: score everything in parts, then write what was asked for."""

    def __init__(
        self, scorer: ChunkScorer, joining: Joining, options: ScreeningOptions, records: Records
    ) -> None:
        self._scorer, self._joining, self.options, self._records = scorer, joining, options, records
        self._shard = options.shard or Shard()
        # A GPU is not shared out: the process that holds it does all the work.
        self._jobs = (options.jobs or n_cores()) if scorer.model.device.type == "cpu" else 1
        joining.jobs = self._jobs
        self._bound = _EarlyBound(options.max_rejects, self._shard)
        self._n_chunks = 0

    def execute(self, parts: Parts, scratch: Path) -> ScreeningResult:
        started = time.perf_counter()
        try:
            parts.open(resume=self.options.resume, way=called("resume"))
        except OutputError:
            if not parts.done:
                parts.remove()
            raise
        self._look_back(parts)
        try:
            with time_limit(self.options.time_limit):
                self._work(self._timed("read", self._records), parts)
            if self.options.shard is None:
                hits = self._joining.join(parts, scratch)
            else:
                parts.complete(self._n_chunks)
                self._joining.count(parts)
        except BaseException as err:
            # A damaged library has to change before it can be read to its end: nothing could be continued.
            if isinstance(err, InputError) or not parts.n_rows:
                parts.remove()
            raise
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

    def _work(self, records: Iterator[Record], parts: Parts) -> None:
        """Make a part of every chunk, in whichever order they are done."""
        chunks = self._chunks(records, parts)
        if self._jobs == 1:
            for number, rows in chunks:
                self._keep(number, self._scorer.batches(rows), parts)
            return
        whole = ((number, list(rows)) for number, rows in chunks)
        first = list(islice(whole, 2))
        if len(first) < 2:  # not worth a process
            self._joining.jobs = 1
            for number, some in first:
                self._keep(number, self._scorer.batches(some), parts)
            return
        with Workers(self._scorer, self._jobs, self.options.time_limit) as workers:
            for number, answer in workers.answers(chain(first, whole)):
                self._keep(number, [ScoredRows.unpacked(answer)], parts)

    def _chunks(self, records: Iterator[Record], parts: Parts) -> Iterator[tuple[int, Iterator[Record]]]:
        """Chunks that are to be done, each to be gone through before the next is asked for."""
        for number in count():
            head = next(records, None)
            if head is None:
                self._n_chunks = number
                return
            rows = chain([head], islice(records, parts.rows_per_part - 1))
            if self._shard.owns(number) and number not in parts.done:
                yield number, rows
            for _ in rows:
                pass

    def _keep(self, number: int, scored: Iterable[ScoredRows], parts: Parts) -> None:
        """Make a part of what became of a chunk."""
        columns = self._scorer.columns
        n_rows, n_dropped, seconds = 0, 0, Counter[str]()
        rejected = [self._scorer.kept_of_rejected.rejection_table([])]

        def watched() -> Iterator[pa.Table]:
            nonlocal n_rows
            for found in scored:
                n_rows += found.n_rows
                seconds.update(found.seconds)
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
            kept = ChunkNote(n_rows, pa.concat_tables(rejected), n_dropped, seconds)
            self._bound.add(number, kept)
            return kept.as_part_note()

        parts.add(number, columns.schema, batches(), note)


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
        self.jobs = 1
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
        for stage, seconds in note.seconds.items():
            self.stages[stage] += seconds
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


@contextlib.contextmanager
def _scratch_errors(scratch: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise OutputError(f"cannot write scratch files in {scratch}: {err.strerror or err}") from err


@contextlib.contextmanager
def _scratch(output: Path | None) -> Iterator[Path]:
    prefix, beside = (".molig-", None) if output is None else (scratch_name(output), output.parent)
    try:
        directory = tempfile.TemporaryDirectory(prefix=prefix, dir=beside, ignore_cleanup_errors=True)
    except OSError as err:
        raise OutputError(f"cannot make a scratch directory: {err.strerror or err}") from err
    with directory as name:
        yield Path(name)


def _is_parquet(table: str | Path) -> bool:
    return Path(table).suffix.lower() == ".parquet"


def _opened_store(library: str | Path | Iterable[str], options: ScreeningOptions) -> FeatureStore | None:
    """The feature store, if the library is one."""
    if not isinstance(library, str | Path) or not is_store(library):
        return None
    asked = ("smiles_column", "id_column", "file_format", "delimiter")
    if given := [called(name) for name in asked if getattr(options, name) is not None]:
        raise UsageError(f"{library} is a feature store: {' and '.join(given)} was for `molig prepare`")
    return FeatureStore(library)


def _records(library: str | Path | Iterable[str], options: ScreeningOptions) -> Records:
    if isinstance(library, str | Path):
        return read_records(
            library,
            smiles_column=options.smiles_column,
            id_column=options.id_column,
            keep=options.keep,
            file_format=options.file_format,
            delimiter=options.delimiter,
        )
    return Records(smiles_records(library))
