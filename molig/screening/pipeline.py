"""Screening: a stream of records in, a ranked hit table and a table of rejections out."""

from __future__ import annotations

import contextlib
import html
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from molig.errors import OutputError, UsageError, called
from molig.foreign import ADMET_AI, AdmetAI, load_any_model
from molig.model import Objective, ScoringModel
from molig.model.scoring import not_finite
from molig.molecules import Molecule, Rejection, read_records, smiles_records
from molig.molecules.causes import NothingUsableError, RejectBound, likely_cause, main_reasons
from molig.molecules.columns import KEEP_ALL
from molig.molecules.records import Records, batched
from molig.screening.diversity import Diversity
from molig.screening.hits import HitColumns, RankRuns, TopK, with_ranks
from molig.screening.store import FeatureStore, is_store
from molig.tables.locks import exclusive, scratch_name
from molig.tables.writers import STDOUT, OutputTable, check_distinct, check_output, rejects_path

Progress = Callable[[int], None]
T = TypeVar("T")

_TEXT_COLUMNS = dict.fromkeys(
    ("id", "smiles", "scored_smiles", "removed", "best_task", "reason", "applicability"), str
)


@dataclass(frozen=True)
class ScreeningOptions:
    """How to screen.

    Parameters
    ----------
    task : str, optional
        Score and rank by this task only, or ``"all"``: a column for every task, without ranks. By default
        all tasks, ranked by the highest score; values of several tasks, which have units of their own, need
        one or the other.
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
    progress : callable, optional
        Called with the number of rows done since the last call.
    applicability : bool
        Add the columns ``applicability`` ("in domain", "far from training" or "unseen feature") and
        ``similarity`` (Tanimoto, to the nearest reference molecule of the training part).
    uncertainty : bool
        Add what is known of the error of a committee's scores, of several tasks for the best one:
        ``chance_wrong``, if scores are calibrated, is the chance that it is wrong to call the molecule active
        if its score is above 0.5, inactive otherwise; ``uncertainty`` is the weighted standard deviation of
        the members' scores, calibrated as their mean is.
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
    """

    task: str | None = None
    top_k: int | None = None
    smiles_column: str | None = None
    id_column: str | None = None
    file_format: str | None = None
    delimiter: str | None = None
    batch_size: int = 512
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
        Where the tables are; None if they are held in memory.
    meaning : str
        What a score is, and for which molecules that holds. Parquet files keep it as ``scores`` in the
        metadata of their schema.
    n_hits : int
        Rows of the hit table.
    best : pyarrow.Table, optional
        The best ``n_best`` of them, best first.
    stages : mapping of str to float
        Seconds that went into reading, parsing, scoring and writing.
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
    if Path(path).suffix.lower() == ".csv":
        return pd.read_csv(path, dtype=_TEXT_COLUMNS | dict.fromkeys(kept, str), keep_default_na=False)
    return pd.read_parquet(path)


ALL_TASKS = "all"
"""Stands for all tasks of a model, unless one is called so."""

_SPOOL_ROWS = 16_384


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
        A model, or what `molig.load_model` reads.
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
        For an unknown task, column or format, a path that cannot be written, values of several tasks of
        which neither one nor all are chosen, or what the model does not offer: applicability, uncertainty,
        percentiles.
    InputError
        If the library cannot be read or no row could be scored.
    OutputError
        If a table cannot be written; no half-written table stays under its final name.

    Examples
    --------
    >>> import molig
    >>> result = molig.screen(["CCO", "Oc1ccccc1", "nonsense"], "tox21-w2n2-simple", task="SR-ARE")
    >>> result.n_scored, result.n_rejected, list(result.hits.columns)
    (2, 1, ['row', 'id', 'smiles', 'scored_smiles', 'removed', 'SR-ARE', 'rank'])
    """
    if isinstance(model, str | Path | Sequence):
        model = load_any_model(model)
    chosen = options or ScreeningOptions(task=task, top_k=top_k)
    if options is not None and (task is not None or top_k is not None):
        raise UsageError("give task and top_k either directly or in options")
    if chosen.top_k is not None and chosen.top_k < 1:
        raise UsageError(f"top_k must be at least 1 (got {chosen.top_k})")
    if chosen.diversity is not None and chosen.top_k is None:
        raise UsageError(f"{called('diverse')} picks among the best: say how many by {called('top_k')}")
    store = _opened_store(library, chosen)
    if store is not None:
        model = store.feed(model, applicability=chosen.applicability)
    ranked = not asks_all_tasks(chosen.task, model)
    if ranked and chosen.task is not None:
        model = model.for_task(chosen.task)
    _check_abilities(model, chosen, ranked)
    tasks = (chosen.task,) if ranked and chosen.task else model.tasks
    columns = HitColumns(
        tasks,
        chosen.applicability,
        chosen.uncertainty,
        model.calibrated,
        model.meaning_of(tasks),
        ranked,
        _of_percentiles(chosen) if chosen.percentiles else "",
        chosen.diversity.field if chosen.diversity else None,
    )
    if output is not None:
        check_output(output)
    rejects = rejects_path(output, rejects)
    if rejects is not None:
        check_output(rejects)
    check_distinct(library, output, rejects)
    file = None if output is None or str(output) == STDOUT else Path(output)
    with exclusive(file, rejects):
        records = _records(library, chosen) if store is None else store.records(chosen.keep)
        if chosen.first_rows is not None:
            records = Records(islice(records, chosen.first_rows), records.kept, records.left_out)
        columns = columns.with_kept(records.kept, as_text=output is not None and not _is_parquet(output))
        return _Run(model, columns, chosen, output, rejects).execute(records)


def asks_all_tasks(task: str | None, model: ScoringModel) -> bool:
    """Whether ``task`` asks for all tasks of a model, none of which is called so."""
    return task == ALL_TASKS and ALL_TASKS not in model.tasks


def _check_abilities(model: ScoringModel, options: ScreeningOptions, ranked: bool) -> None:
    """Refuse what the model, or a table without ranks, has not."""
    if ranked and options.task is None and model.objective is Objective.REGRESSION and len(model.tasks) > 1:
        kinds = "values" if len(model.parts()) == 1 else "probabilities and values"
        named = ", ".join(map(repr, model.tasks[:10])) + ", ..." * (len(model.tasks) > 10)
        raise UsageError(
            f"model {model.name!r} predicts {kinds} of {len(model.tasks)} tasks, which cannot be ranked "
            f"together; choose one by {called('task')} ({named}), or take {ALL_TASKS!r} for a table of all "
            "without ranks"
        )
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
    if options.applicability:
        model.domain()
    if options.uncertainty:
        model.committee_of_members()
    if options.percentiles:
        _with_drugs(model).percentiles(np.empty((0, len(model.tasks))), options.atc)


def _with_drugs(model: ScoringModel) -> AdmetAI:
    if not isinstance(model, AdmetAI):
        raise UsageError(
            f"{called('percentiles')} is for {ADMET_AI}, which brings its scores of approved drugs; "
            f"{model.name} has no drugs to compare with"
        )
    return model


def _of_percentiles(options: ScreeningOptions) -> str:
    drugs = f"approved drugs of the class {options.atc!r}" if options.atc else "approved drugs"
    return f"rank among {drugs} in DrugBank, in percent; equal scores share the mean of their ranks"


class _Run:
    """One screening run: score everything to a spool, then write what was asked for."""

    def __init__(
        self,
        model: ScoringModel,
        columns: HitColumns,
        options: ScreeningOptions,
        output: str | Path | None,
        rejects: Path | None,
    ) -> None:
        self.model, self.columns, self.options = model, columns, options
        self.output, self.rejects = output, rejects
        in_parquet = rejects is None or _is_parquet(rejects)
        self._kept_of_rejected = replace(columns.kept, as_text=not in_parquet)
        self._task_columns = [model.task_index(task) for task in columns.tasks]
        self._reasons: Counter[str] = Counter()
        self._n_rows = self._n_scored = self._n_hits = 0
        self._stages: defaultdict[str, float] = defaultdict(float)
        self._rejected: list[pa.Table] = []
        self._first: list[Rejection] = []

    def execute(self, records: Records) -> ScreeningResult:
        started = time.perf_counter()
        beside = None if self.output in (None, STDOUT) else Path(str(self.output)).resolve()
        with _scratch(beside) as scratch, contextlib.ExitStack() as stack:
            rejects = None
            if self.rejects is not None:
                rejects = stack.enter_context(
                    OutputTable(
                        self.rejects,
                        self._kept_of_rejected.rejection_schema,
                        csv_safe=self.options.csv_safe,
                    )
                )
            tables = self._score(records, rejects)
            if self.options.top_k is None:
                found = self._in_order(tables, scratch)
            else:
                found = self._best(tables, self.options.top_k)
            hits, nothing = None, None
            best = TopK(self.columns, self.options.n_best) if self.options.n_best else None
            try:
                hits = self._deliver(self._delivered(found, best))
            except NothingUsableError as error:
                if not self._n_rows:
                    raise
                nothing = error  # the table of rejections is written all the same
        if nothing is not None:
            raise nothing
        return ScreeningResult(
            n_rows=self._n_rows,
            n_scored=self._n_scored,
            n_rejected=self._n_rows - self._n_scored,
            reasons=self._reasons,
            seconds=time.perf_counter() - started,
            output=self.output,
            rejects=self.rejects,
            meaning=self.columns.meaning,
            n_hits=self._n_hits,
            best=best.table() if best else None,
            stages=dict(self._stages),
            left_out=records.left_out,
            kept=tuple(field.name for field in self.columns.kept.fields),
            _hits=hits,
            _rejections=None
            if self.rejects
            else pa.concat_tables([*self._rejected, self._kept_of_rejected.rejection_table([])]),
        )

    def _score(self, records: Records, rejects: OutputTable | None) -> Iterator[pa.Table]:
        """Score batch by batch; the rejections go their own way."""
        bound = self.options.max_rejects
        batches = batched(records, self.options.batch_size)
        while batch := self._timed("read", lambda: next(batches, None)):
            kept = {record.row: record.kept for record in batch}
            molecules, rejections = self._timed("parse", self.model.parser.parse_many, batch)
            table, unusable = self._timed("score", self._table, molecules, kept)
            rejections = sorted([*rejections, *unusable], key=lambda refused: refused.row)
            self._n_rows += len(batch)
            self._n_scored += len(table)
            if rejections:
                self._reject(rejections, rejects, kept)
            if bound:
                bound.check(self._n_rows, self._reasons, self._first, done=False)
            if self.options.threshold is not None:
                table = self.columns.at_least(table, self.options.threshold)
            if len(table):
                yield table
            if self.options.progress:
                self.options.progress(len(batch))
        if not self._n_scored:
            where = f"; see {self.rejects}" if self.rejects and self._n_rows else ""
            raise NothingUsableError(
                f"none of the {self._n_rows} rows of the library could be scored: "
                f"{main_reasons(self._reasons)}{likely_cause(self._first)}{where}"
            )
        if bound:
            bound.check(self._n_rows, self._reasons, self._first, done=True)

    def _timed(self, stage: str, work: Callable[..., T], *arguments: Any) -> T:
        started = time.perf_counter()
        found = work(*arguments)
        self._stages[stage] += time.perf_counter() - started
        return found

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
        if self.options.percentiles:
            of_drugs = _with_drugs(self.model).percentiles(found.scores, self.options.atc)
            percentiles = of_drugs[:, self._task_columns]
        table = self.columns.table(molecules, wanted, found.flags, spread, percentiles)
        table = self.columns.kept.filled(table, [kept[molecule.row] for molecule in molecules])
        unusable = not_finite(molecules, wanted, self.columns.tasks)
        if unusable:
            table = table.filter(pa.array(np.isfinite(wanted).all(axis=1)))
        return table, unusable

    def _reject(
        self,
        rejections: list[Rejection],
        rejects: OutputTable | None,
        kept: Mapping[int, Sequence[Any]],
    ) -> None:
        self._first = self._first or rejections
        self._reasons.update(r.reason.split(":")[0] for r in rejections)
        table = self._kept_of_rejected.rejection_table(rejections, [kept[r.row] for r in rejections])
        if rejects is not None:
            rejects.write(table)
        else:
            self._rejected.append(table)

    def _in_order(self, tables: Iterator[pa.Table], scratch: Path) -> Iterator[pa.Table]:
        """Every row, in the order of the input; ranks are known only when all scores are."""
        runs = RankRuns(scratch) if self.columns.ranked else None
        spool = scratch / "spool.parquet"
        with OutputTable(spool, self.columns.schema) as out:
            for table in tables:
                if runs:
                    with _scratch_errors(scratch):
                        runs.add(self.columns.key(table).tolist())
                out.write(table)
        with _scratch_errors(scratch), pq.ParquetFile(spool) as file:
            for batch in file.iter_batches(batch_size=_SPOOL_ROWS):
                table = pa.Table.from_batches([batch])
                yield with_ranks(table, runs.ranks(self.columns.key(table))) if runs else table

    def _best(self, tables: Iterator[pa.Table], k: int) -> Iterator[pa.Table]:
        best = TopK(self.columns, k, self.options.diversity)
        for table in tables:
            best.add(table)
        if shortage := best.shortage:
            warnings.warn(shortage, stacklevel=2)
        yield best.table()

    def _delivered(self, found: Iterator[pa.Table], best: TopK | None) -> Iterator[pa.Table]:
        """The same tables, counted, and the best of them kept."""
        for table in found:
            self._n_hits += len(table)
            if best:
                best.add(table)
            started = time.perf_counter()
            yield table
            self._stages["write"] += time.perf_counter() - started

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
