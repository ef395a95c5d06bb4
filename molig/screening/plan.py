"""What a screening run is asked for, and every argument looked at before any work is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np

from molig.errors import UnknownNameError, UsageError, called
from molig.model import Objective, ScoringModel, ScreeningModel, SideBySide
from molig.molecules import records_of
from molig.molecules.causes import RejectBound
from molig.molecules.columns import KEEP_ALL
from molig.molecules.guard import CPU_SECONDS
from molig.molecules.records import Records
from molig.molecules.sources import STDIN, STORE_FILE, files_of, is_url
from molig.screening.chunks import ChunkScorer, with_drugs
from molig.screening.cluster import Cluster
from molig.screening.diversity import Diversity
from molig.screening.hits import HitColumns
from molig.screening.libraries import Files, Library, StoredLibrary
from molig.screening.shards import Shard
from molig.screening.staged import StagedScorer, staged
from molig.screening.store import is_store, open_store
from molig.tables import Parts
from molig.tables.parts import is_repeatable, run_identity
from molig.tables.writers import STDOUT, check_distinct, check_output, rejects_path

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


PRECISIONS = ("float32", "bfloat16")


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
    two_stages : bool, optional
        Whether other processes only read and featurize molecules, and this one scores them with a model of
        molig; by default where the model is on a GPU. The results do not depend on it.
    cluster : Cluster, optional
        Score on a cluster of Ray instead of this machine; the results are the same.
    precision : {"float32", "bfloat16"}
        How the largest product of a network of molig is made. In bfloat16 scores are up to .005 off, and one
        in a hundred of the best 1 % changes, for a tenth less time on processors with AVX512-BF16 or AMX and
        on GPUs; other processors take longer than in float32.
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
    two_stages: bool | None = None
    cluster: Cluster | None = None
    precision: str = "float32"


@dataclass(frozen=True)
class Plan:
    """A run whose arguments are known to be right.

    Parameters
    ----------
    library : Library or iterable of str, Mol or DataFrame
        What is read; see `molig.screening.screen`.
    model : ScoringModel
        The model, with the tasks that have a column.
    columns : HitColumns
        Columns of the hit table, but for those of the input.
    output, rejects : str or Path, optional
        Where the tables go; None keeps them in memory.
    options : ScreeningOptions
        Everything else.
    file : Path, optional
        The output, if it is a file.
    source : Path or Files, optional
        What the run can be continued with, if it can be.
    place : Path, optional
        Where finished parts are kept then.
    """

    library: Library | Iterable[Any]
    model: ScoringModel
    columns: HitColumns
    output: str | Path | None
    rejects: Path | None
    options: ScreeningOptions
    file: Path | None
    source: Path | Files | None
    place: Path | None

    @classmethod
    def of(
        cls,
        library: str | Path | Iterable[Any],
        model: ScoringModel,
        output: str | Path | None,
        rejects: str | Path | None,
        options: ScreeningOptions,
    ) -> Self:
        """Look at every argument; see `molig.screening.screen` for them and for the errors."""
        _check_numbers(options)
        model = _in_precision(model, options.precision)
        readable = _readable(library, options)
        if isinstance(readable, StoredLibrary):
            model = readable.store.feed(model, applicability=options.applicability)
        _check_cluster(readable, options)
        model, columns = _scored(model, options)
        if output is not None:
            check_output(output)
        place_of_rejects = rejects_path(output, rejects)
        if place_of_rejects is not None:
            check_output(place_of_rejects)
        for name in readable.names if isinstance(readable, Files) else (library,):
            check_distinct(name, output, place_of_rejects)
        file = None if output is None or str(output) == STDOUT else Path(output)
        source = _repeatable(readable, file, options)
        place = _parts_place(file, source, options)
        _check_finished(file, place, options)
        return cls(readable, model, columns, output, place_of_rejects, options, file, source, place)

    @property
    def written(self) -> tuple[Path | None, ...]:
        """What the run keeps to itself while it lasts."""
        return (self.file, self.rejects) if self.options.shard is None else (self.place,)

    def records(self) -> Records:
        """The rows of the library."""
        options = self.options
        if isinstance(self.library, Library):
            records = self.library.records()
        else:
            records = records_of(
                self.library,
                smiles_column=options.smiles_column,
                id_column=options.id_column,
                keep=options.keep,
            )
        if options.first_rows is not None:
            records = Records(islice(records, options.first_rows), records.kept, records.left_out)
        return records

    @property
    def readable(self) -> Library:
        """The library as the nodes of a cluster read it."""
        if not isinstance(self.library, Library):
            raise UsageError("a list of SMILES is on no node of a cluster")
        return self.library

    def scorer(self, records: Records) -> ChunkScorer | StagedScorer:
        """What scores them, with the columns that come along."""
        as_text = self.output is not None and not _is_parquet(self.output)
        columns = self.columns.with_kept(records.kept, as_text=as_text)
        kept_of_rejected = replace(columns.kept, as_text=self._rejects_as_text)
        options = self.options
        if (model := staged(self.model, options.two_stages)) is not None:
            return StagedScorer(model, columns, kept_of_rejected, options.batch_size)
        return ChunkScorer(
            self.model, columns, kept_of_rejected, options.batch_size, options.percentiles, options.atc
        )

    def parts(self, columns: HitColumns, scratch: Path, rows_per_part: int) -> Parts:
        """Where finished parts are kept: beside the output, or in scratch if nothing could be continued."""
        if self.source is None or self.place is None:
            return Parts(scratch / "parts", {}, rows_per_part=rows_per_part)
        diversity = self.options.diversity
        about = {
            "columns": columns.to_dict(),
            "rejects_as_text": self._rejects_as_text,
            "top_k": self.options.top_k,
            "diversity": diversity and asdict(diversity),
        }
        return Parts(self.place, self._identity(self.source), rows_per_part=rows_per_part, about=about)

    @property
    def _rejects_as_text(self) -> bool:
        return self.rejects is not None and not _is_parquet(self.rejects)

    def _identity(self, source: Path | Files) -> dict[str, str]:
        """All that a part depends on, in words of the command line."""
        names = {name: f"--{name.replace('_', '-')}" for name in _DECISIVE}
        names |= {"file_format": "--format", "diversity": "--diverse"}
        known: dict[str, object] = {shown: getattr(self.options, name) for name, shown in names.items()}
        formats = [Path(place).suffix.lower() for place in (self.output, self.rejects) if place is not None]
        known["the format of the output"] = " ".join(formats)
        on_gpu = self.options.cluster is not None and self.options.cluster.gpus > 0
        device = "cuda" if on_gpu else self.model.device.type
        return run_identity(f"{self.model.name} {self.model.digest()}", device, source, known)


_DECISIVE: tuple[str, ...] = ("task", "rank_by", "top_k", "threshold", "diversity", "batch_size")
_DECISIVE += ("time_limit", "applicability")
_DECISIVE += ("uncertainty", "percentiles", "atc", "smiles_column", "id_column", "file_format")
_DECISIVE += ("delimiter", "keep", "shard", "precision")


def _in_precision(model: ScoringModel, precision: str) -> ScoringModel:
    """The model as it is to compute."""
    if precision not in PRECISIONS:
        raise UsageError(f"{called('precision')} must be {' or '.join(PRECISIONS)} (got {precision!r})")
    if precision == PRECISIONS[0]:
        return model
    if isinstance(model, ScreeningModel | SideBySide):
        return model.in_bfloat16()
    raise UsageError(f"{called('precision')} {precision} is for models of molig, and {model.name} is none")


def _scored(model: ScoringModel, options: ScreeningOptions) -> tuple[ScoringModel, HitColumns]:
    """The model with the tasks that are asked for, and the columns of the hit table."""
    ranked = not asks_all_tasks(options.task, model)
    asked = _asked_tasks(options) if ranked else ()
    if len(asked) == 1:
        model = model.for_task(asked[0])
    elif asked and isinstance(model, SideBySide):
        model = model.for_tasks(asked)
    tasks = asked or model.tasks
    rank_by = _ranking(model, options, asked)
    _check_abilities(model, options, ranked, rank_by or tasks)
    columns = HitColumns(
        tasks,
        options.applicability,
        options.uncertainty,
        model.calibrated,
        model.meaning_of(tasks),
        ranked,
        _of_percentiles(options) if options.percentiles else "",
        options.diversity.field if options.diversity else None,
        rank_by=rank_by if ranked else (),
    )
    return model, columns


ALL_TASKS = "all"
"""Stands for all tasks of a model, unless one is called so."""


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


def _readable(library: str | Path | Iterable[Any], options: ScreeningOptions) -> Library | Iterable[Any]:
    """The library as what can be read; an iterable of SMILES as it is."""
    if not isinstance(library, str | Path):
        return library
    asked = ("smiles_column", "id_column", "file_format", "delimiter")
    reading = {name: getattr(options, name) for name in asked}
    if is_store(library):
        return StoredLibrary(open_store(library, **reading), options.keep)
    return Files(files_of(library), {**reading, "keep": options.keep})


def _check_cluster(library: Library | Iterable[Any], options: ScreeningOptions) -> None:
    """Refuse what only one machine can do."""
    if options.cluster is None:
        return
    options.cluster.check()
    if not isinstance(library, Library) or STDIN in getattr(library, "names", ()):
        raise UsageError(
            "the nodes of a cluster cannot read standard input or a list of SMILES: give a file that all of "
            "them see, a pattern, or an address such as s3://"
        )
    if options.first_rows is not None:
        raise UsageError(
            f"{called('dry_run')} tries out this machine, not a cluster: leave out {called('engine')} ray"
        )


def _repeatable(
    library: Library | Iterable[Any], file: Path | None, options: ScreeningOptions
) -> Path | Files | None:
    """What a run can be continued with; None if it cannot be continued."""
    found: Path | Files | None = None
    what = "SMILES"
    if isinstance(library, StoredLibrary):
        found = library.store.directory / STORE_FILE
    elif isinstance(library, Files):
        what = "standard input" if library.names == (STDIN,) else library.names[0]
        if len(library.names) > 1 or is_url(library.names[0]):
            found = library
        elif is_repeatable(library.names[0]):
            found = Path(library.names[0])
    if found is not None and file is not None and options.first_rows is None:
        return found
    if options.resume:
        if file is None:
            raise UsageError(f"{called('resume')} continues a run that writes a file; name one as output")
        raise UsageError(f"{what} cannot be read again, so its run cannot be resumed; use a file")
    return None


def _parts_place(file: Path | None, source: Path | Files | None, options: ScreeningOptions) -> Path | None:
    """Where finished parts are kept."""
    if options.shard is None:
        return None if file is None else file.with_suffix(".parts")
    if file is None or source is None:
        raise UsageError(f"{called('shard')} shares out a file: name one, and an output file")
    return options.shard.directory(file)


def kept_place(output: str | Path, options: ScreeningOptions) -> Path:
    """Where finished parts of a run that broke off are."""
    file = Path(output)
    return options.shard.directory(file) if options.shard else file.with_suffix(".parts")


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


def _is_parquet(table: str | Path) -> bool:
    return Path(table).suffix.lower() == ".parquet"
