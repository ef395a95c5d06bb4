"""`molig screen`: rank a library."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.options import (
    RUNNING,
    CsvSafeOption,
    DeviceOption,
    ForceOption,
    JobsOption,
    KeepOption,
    MaxRejectsOption,
    ModelsOption,
    QuietOption,
    Reading,
    ReadsAtomsAndBits,
    RejectsOption,
    ResumeOption,
    ShardOption,
    ThreadsOption,
    TimeLimitOption,
    doubts_told,
    input_argument,
    input_option,
    kept_columns,
    needed_input,
    task_named,
    tasks_named,
    usable_jobs,
    with_groups,
)
from molig.files import count_rows

if TYPE_CHECKING:
    from molig.model import ScoringModel
    from molig.screening import Cluster, ScreeningOptions, ScreeningResult

_SHOWN = 20
HITS, BESIDE = "Which hits", "Beside the scores"


@dataclass(frozen=True)
class _Hits:
    """Options of which hits are wanted."""

    top_k: Annotated[
        int | None,
        typer.Option("--top-k", min=1, rich_help_panel=HITS, help="Only the best K, best first."),
    ] = None
    threshold: Annotated[
        float | None, typer.Option("--threshold", rich_help_panel=HITS, help="Only scores of T or more.")
    ] = None
    diverse: Annotated[
        str | None,
        typer.Option(
            "--diverse",
            rich_help_panel=HITS,
            help="With --top-k: pick the best of different molecules, by scaffold or cluster.",
        ),
    ] = None
    per_group: Annotated[
        int,
        typer.Option("--per-group", min=1, rich_help_panel=HITS, help="Picks from a scaffold or cluster."),
    ] = 1
    similarity: Annotated[
        float,
        typer.Option(
            "--similarity",
            rich_help_panel=HITS,
            help="Tanimoto coefficient (ECFP4) from which on molecules are of one cluster.",
        ),
    ] = 0.6
    explain_top: Annotated[
        int | None,
        typer.Option("--explain-top", min=1, rich_help_panel=HITS, help="Explain the best N hits."),
    ] = None
    explain_output: Annotated[
        list[Path] | None,
        typer.Option(
            "--explain-output",
            rich_help_panel=HITS,
            help="Page, picture or table of explanations, as for molig explain; default NAME.explained.html.",
        ),
    ] = None

    @property
    def on_a_page(self) -> _Hits:
        """The same of a page, which has no more rows than are explained."""
        n = min(filter(None, (self.explain_top, self.top_k)), default=_ON_A_PAGE)
        return replace(self, top_k=n, explain_top=n)

    @property
    def are_chosen(self) -> bool:
        """Whether not all that are scored are hits."""
        return self.threshold is not None or self.top_k is not None

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of `molig.screening.ScreeningOptions`."""
        from molig.screening import Diversity

        diverse = None if self.diverse is None else Diversity(self.diverse, self.per_group, self.similarity)
        best = {"top_k": self.top_k, "threshold": self.threshold, "n_best": self.explain_top or 0}
        return best | {"diversity": diverse}


@dataclass(frozen=True)
class _Beside:
    """Options of what is told beside the scores, called as in `molig.screening.ScreeningOptions`."""

    applicability: Annotated[
        bool,
        typer.Option(
            "--applicability",
            rich_help_panel=BESIDE,
            help="Say of each molecule whether it is like those of the model's training.",
        ),
    ] = False
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            rich_help_panel=BESIDE,
            help="Chance that to call it active (or not) is wrong; how far members of a committee, or "
            "networks of an ensemble, disagree.",
        ),
    ] = False
    percentiles: Annotated[
        bool,
        typer.Option(
            "--percentiles",
            rich_help_panel=BESIDE,
            help="With admet-ai: where scores stand among approved drugs.",
        ),
    ] = False
    atc: Annotated[
        str | None,
        typer.Option(
            "--atc",
            rich_help_panel=BESIDE,
            help="Percentiles among drugs of this ATC class only, by its name.",
        ),
    ] = None


@dataclass(frozen=True)
class _Running:
    """Options of the run."""

    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            rich_help_panel=RUNNING,
            help="Screen a sample only, write nothing, and say what the whole would take.",
        ),
    ] = False
    resume: ResumeOption = False
    force: ForceOption = False
    shard: ShardOption = None
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            rich_help_panel=RUNNING,
            help="local, or ray: the nodes of a cluster read and score, with the same results.",
        ),
    ] = "local"
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            rich_help_panel=RUNNING,
            help="Of the cluster, such as auto or 10.0.0.1:6379; default: RAY_ADDRESS, else this machine.",
        ),
    ] = None
    gpus: Annotated[
        float,
        typer.Option(
            "--gpus",
            min=0,
            rich_help_panel=RUNNING,
            help="With --engine ray: share of a GPU, such as 0.125, that each process on the nodes takes.",
        ),
    ] = 0.0
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, rich_help_panel=RUNNING, help="Molecules at a time.")
    ] = 512
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            rich_help_panel=RUNNING,
            help="float32, or bfloat16: scores up to .005 off, in a tenth less time on processors with "
            "AVX512-BF16 or AMX and on GPUs, in more time on others.",
        ),
    ] = "float32"
    device: DeviceOption = "auto"
    jobs: JobsOption = None
    threads: ThreadsOption = 1
    time_limit: TimeLimitOption = 10.0
    quiet: QuietOption = False

    @property
    def processes(self) -> int | None:
        """Processes to work in, None for one a core."""
        return usable_jobs(self.jobs, self.threads)

    @property
    def cluster(self) -> Cluster | None:
        """The cluster to screen on, if it shall be one."""
        from molig.errors import UnknownNameError, UsageError
        from molig.screening import Cluster

        if self.engine not in _ENGINES:
            raise UnknownNameError("engine", self.engine, _ENGINES)
        if self.engine == "local":
            if self.address is not None or self.gpus:
                raise UsageError("--address and --gpus are about a cluster: say --engine ray with them")
            return None
        if self.device not in ("auto", "cpu") and not self.gpus:
            raise UsageError(
                "--device is about this machine; --gpus says what a process of the cluster takes"
            )
        if self.threads > 1:
            raise UsageError("processes of a cluster compute on one thread each: leave out --threads")
        cluster = Cluster(self.address, self.gpus)
        cluster.check()
        return cluster

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of `molig.screening.ScreeningOptions`."""
        from molig.screening import Shard

        same = ("resume", "force", "batch_size", "precision", "time_limit", "cluster")
        own = {"jobs": self.processes, "shard": None if self.shard is None else Shard.parse(self.shard)}
        return {name: getattr(self, name) for name in same} | own


@with_groups
def screen(
    *,
    model: ModelsOption,
    library: Annotated[
        str | None,
        input_argument(
            ".smi, .csv, .tsv, .sdf, .parquet or .xlsx, also packed; several that are read as one "
            "('parts/*.parquet'); s3:// or gs://; a data set by name; a feature store (`molig prepare`); "
            "- for stdin.",
            "LIBRARY",
        ),
    ] = None,
    source: Annotated[str | None, input_option("The same as LIBRARY.")] = None,
    output: Annotated[
        str,
        typer.Option(
            "-o", "--output", help="hits.parquet, .csv, .xlsx, a page .html of the best, or - for stdout."
        ),
    ] = "-",
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            help="Task of the model (MODEL:TASK of several), repeatable; or all: a column for each, without "
            "ranks. Default, if scores are calibrated: the highest-scoring of the first model.",
        ),
    ] = None,
    rank_by: Annotated[
        str | None,
        typer.Option("--rank-by", help="Task that ranks, of those with a column; default: the first --task."),
    ] = None,
    keep: KeepOption = None,
    rejects: RejectsOption = None,
    max_rejects: MaxRejectsOption = "50%",
    csv_safe: CsvSafeOption = False,
    hits: _Hits,
    beside: _Beside,
    reading: Reading,
    foreign: ReadsAtomsAndBits,
    running: _Running,
) -> None:
    """Score every molecule of LIBRARY and rank them."""
    from molig.cli.explain import explain_hits
    from molig.molecules.causes import RejectBound
    from molig.screening import ScreeningOptions

    reporter = Reporter(running.quiet)
    library = needed_input(library, source)
    options = ScreeningOptions(
        csv_safe=csv_safe,
        keep=kept_columns(keep),
        max_rejects=RejectBound.parse(max_rejects),
        **reading.arguments,
        **asdict(beside),
        **running.arguments,
    )
    use_threads(running.threads)
    places = _Places.of(output, rejects, hits, running)
    hits = hits.on_a_page if places.page else hits
    loaded = _loaded(model, foreign, "cpu" if options.cluster else running.device, places)
    task, rank_by = task and tasks_named(loaded, task), task_named(loaded, rank_by)
    options = replace(options, task=task, rank_by=rank_by, **hits.arguments)
    if task is None and rank_by is None:
        _say_ranking(loaded, reporter)
    if running.dry_run:
        _estimate(library, loaded, output, options)
        return
    result = _screened(library, loaded, places, options, reporter)
    _say(result, hits.are_chosen, reporter)
    _say_places(result, library, loaded, places, running.shard, reporter)
    if places.explained:
        ranking = rank_by or (task[0] if task else None)
        explain_hits(result, loaded, ranking, places.explained, running.processes, reporter)


def _loaded(names: list[str], foreign: ReadsAtomsAndBits, device: str, places: _Places) -> ScoringModel:
    """The model, or several side by side; of a cluster the nodes move it to their devices."""
    from molig.errors import UsageError
    from molig.foreign import load_models
    from molig.model import SideBySide

    with doubts_told():
        loaded = load_models(names, device, foreign.inputs, foreign.bits)
    if isinstance(loaded, SideBySide) and places.explained:
        raise UsageError(f"--explain-top explains the scores of one model, and {loaded.name} are several")
    return loaded


def _say_ranking(model: ScoringModel, reporter: Reporter) -> None:
    """Say by what rows are ranked where nobody has."""
    from molig.model import SideBySide

    first = model.first if isinstance(model, SideBySide) else model
    if len(first.tasks) > 1 and first.calibrated:
        reporter.info(
            f"no --task: ranking by the highest of {len(first.tasks)} calibrated scores of {first.name}"
        )


def _screened(
    library: str, model: ScoringModel, places: _Places, options: ScreeningOptions, reporter: Reporter
) -> ScreeningResult:
    """Screen with progress; if the run breaks off, say what is kept of it."""
    from molig.screening import Watch
    from molig.screening import screen as run
    from molig.screening.plan import kept_place

    total, kept = _n_rows(library), kept_place(places.table or "-", options)
    with reporter.telling_what_is_kept(kept), reporter.progress("screening", total) as bar:

        def resumed(n: int) -> None:
            reporter.info(f"{n:,} rows are done already")
            bar.leave_out(n)

        watched = replace(options, progress=bar, watch=Watch(resumed, bar.reject))
        return run(library, model, output=places.table, rejects=places.rejects, options=watched)


def _say(result: ScreeningResult, selected: bool, reporter: Reporter) -> None:
    reporter.info(result.meaning)
    speed = (result.n_rows - result.n_before) / result.seconds
    reporter.info(
        f"{result.n_rows:,} rows: {result.n_scored:,} scored, {result.n_rejected:,} rejected, "
        f"{f'{result.n_hits:,} hits, ' * selected}{speed:,.0f} molecules/s"
    )
    if result.left_out:
        names = ", ".join(map(repr, list(result.left_out)[:_SHOWN]))
        reporter.warning(f"{len(result.left_out):,} SD properties did not come along: {names}")


def _say_places(
    result: ScreeningResult,
    library: str,
    model: ScoringModel,
    places: _Places,
    shard: str | None,
    reporter: Reporter,
) -> None:
    """Write the report of the run, and say where everything is."""
    from molig.model import SideBySide
    from molig.screening.run_report import write_run_report

    if shard is not None:
        reporter.info(f"shard {shard}: {result.output}; `molig merge` puts the shards together")
    elif places.report is not None:
        models = list(model.models.values()) if isinstance(model, SideBySide) else [model]
        write_run_report(places.report, result, models, library, sys.argv[1:])
        written = {"hits": result.output, "rejected rows": result.rejects, "report": places.report}
        reporter.info("\n".join(f"{what}: {place}" for what, place in written.items() if place is not None))
    elif result.n_rejected and result.rejects is None:
        _warn_of_rejected(result, reporter)


def _warn_of_rejected(result: ScreeningResult, reporter: Reporter) -> None:
    for row in result.rejections.head(_SHOWN).itertuples():
        reporter.warning(f"row {row.row} ({row.id}) {row.smiles!r}: {row.reason}")
    if result.n_rejected > _SHOWN:
        reporter.warning(f"{result.n_rejected - _SHOWN:,} more rejected rows; --rejects FILE keeps them all")


def _n_rows(library: str) -> int | None:
    """Rows of all files, as far as they can be counted."""
    from molig.molecules.sources import files_of

    counts = [count_rows(Path(name)) for name in files_of(library)]
    return None if None in counts else sum(n for n in counts if n is not None)


_ENGINES = ("local", "ray")


# Rows of a page of which nothing else is said.
_ON_A_PAGE = 200


@dataclass(frozen=True)
class _Places:
    """What is written, and where."""

    table: str | None  # of hits; None where a page has them
    rejects: Path | None
    page: Path | None
    explained: list[Path]
    report: Path | None

    @classmethod
    def of(cls, output: str, rejects: Path | None, hits: _Hits, running: _Running) -> _Places:
        """Refuse, before a run, what could not be written at its end."""
        from molig.screening.run_report import report_path

        _check_shard(running.shard, output, rejects, hits)
        page = _page(output, hits, running)
        explained = [page] if page else _explained(output, hits.explain_top, hits.explain_output)
        without_report = running.dry_run or page or running.shard is not None
        report = None if without_report else report_path(output)
        return cls(None if page else output, rejects, page, explained, report)


def _check_shard(shard: str | None, output: str, rejects: Path | None, hits: _Hits) -> None:
    from molig.errors import UsageError

    of_whole = {"--rejects": rejects is not None, "--explain-top": hits.explain_top is not None}
    for name, given in (of_whole | {"a page": _is_page(output)}).items():
        if given and shard is not None:
            raise UsageError(f"{name} is for a whole library, not for a shard of it")


def _is_page(output: str) -> bool:
    return Path(output).suffix.lower() == ".html"


def _page(output: str, hits: _Hits, running: _Running) -> Path | None:
    """The page, if hits go to one and not to a table."""
    from molig.cli.explain import check_outputs
    from molig.errors import UsageError

    if not _is_page(output):
        return None
    of_tables = {"--resume": running.resume, "--explain-output": bool(hits.explain_output)}
    for name, given in (of_tables | {"--dry-run": running.dry_run}).items():
        if given:
            raise UsageError(f"{name} goes with a table of hits, and {output} is a page")
    page = Path(output)
    if page.exists() and not running.force:
        raise UsageError(f"{page} is there already: choose another output, or replace it with --force")
    check_outputs([page])
    return page


def _explained(output: str, n: int | None, places: list[Path] | None) -> list[Path]:
    """Where the explanations of the best hits go."""
    from molig.cli.explain import check_outputs
    from molig.errors import UsageError

    if n is None:
        if places:
            raise UsageError("--explain-output needs --explain-top N: how many hits are explained")
        return []
    if not places and output == "-":
        raise UsageError("--explain-top needs --explain-output FILE, such as hits.html")
    chosen = places or [Path(output).with_suffix(".explained.html")]
    check_outputs(chosen)
    if output != "-" and Path(output).resolve() in [place.resolve() for place in chosen]:
        raise UsageError(f"hits and their explanations cannot both go to {output}")
    return chosen


def _estimate(library: str, model: ScoringModel, output: str, options: ScreeningOptions) -> None:
    """Print what the run would take."""
    from molig.errors import UsageError
    from molig.screening.run_report import estimate

    if library == "-":
        raise UsageError("--dry-run would use up standard input: give a file")
    n_rows = count_rows(Path(library))
    print_table(
        ["what", "estimate"],
        [list(line) for line in estimate(library, model, output, options, n_rows).lines()],
        title=f"Screening {Path(library).name} with {model.name}: nothing was written",
    )
