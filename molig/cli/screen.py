"""`molig screen`: rank a library."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.options import (
    RUNNING,
    AddHOption,
    AtomFeaturesOption,
    CsvSafeOption,
    DelimiterOption,
    DeviceOption,
    FingerprintOption,
    ForceOption,
    FormatOption,
    IdColumnOption,
    IgnoreStereoOption,
    JobsOption,
    KeepHOption,
    KeepOption,
    MaxRejectsOption,
    ModelsOption,
    QuietOption,
    RejectsOption,
    ReorderAtomsOption,
    ShardOption,
    SmilesColumnOption,
    ThreadsOption,
    TimeLimitOption,
    TrustPickleOption,
    doubts_told,
    input_argument,
    input_option,
    kept_columns,
    needed_input,
    task_named,
    tasks_named,
    usable_jobs,
)
from molig.files import count_rows

if TYPE_CHECKING:
    from molig.model import ScoringModel
    from molig.screening import Cluster, ScreeningOptions, ScreeningResult

_SHOWN = 20
HITS, BESIDE = "Which hits", "Beside the scores"


def screen(
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
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", min=1, rich_help_panel=HITS, help="Only the best K, best first."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", rich_help_panel=HITS, help="Only scores of T or more.")
    ] = None,
    diverse: Annotated[
        str | None,
        typer.Option(
            "--diverse",
            rich_help_panel=HITS,
            help="With --top-k: pick the best of different molecules, by scaffold or cluster.",
        ),
    ] = None,
    per_group: Annotated[
        int,
        typer.Option("--per-group", min=1, rich_help_panel=HITS, help="Picks from a scaffold or cluster."),
    ] = 1,
    similarity: Annotated[
        float,
        typer.Option(
            "--similarity",
            rich_help_panel=HITS,
            help="Tanimoto coefficient (ECFP4) from which on molecules are of one cluster.",
        ),
    ] = 0.6,
    explain_top: Annotated[
        int | None,
        typer.Option("--explain-top", min=1, rich_help_panel=HITS, help="Explain the best N hits."),
    ] = None,
    explain_output: Annotated[
        list[Path] | None,
        typer.Option(
            "--explain-output",
            rich_help_panel=HITS,
            help="Page, picture or table of explanations, as for molig explain; default NAME.explained.html.",
        ),
    ] = None,
    applicability: Annotated[
        bool,
        typer.Option(
            "--applicability",
            rich_help_panel=BESIDE,
            help="Say of each molecule whether it is like those of the model's training.",
        ),
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            rich_help_panel=BESIDE,
            help="Chance that to call it active (or not) is wrong; how far members of a committee, or "
            "networks of an ensemble, disagree.",
        ),
    ] = False,
    percentiles: Annotated[
        bool,
        typer.Option(
            "--percentiles",
            rich_help_panel=BESIDE,
            help="With admet-ai: where scores stand among approved drugs.",
        ),
    ] = False,
    atc: Annotated[
        str | None,
        typer.Option(
            "--atc",
            rich_help_panel=BESIDE,
            help="Percentiles among drugs of this ATC class only, by its name.",
        ),
    ] = None,
    smiles_column: SmilesColumnOption = None,
    id_column: IdColumnOption = None,
    file_format: FormatOption = None,
    delimiter: DelimiterOption = None,
    atom_features: AtomFeaturesOption = None,
    keep_h: KeepHOption = None,
    add_h: AddHOption = None,
    ignore_stereo: IgnoreStereoOption = None,
    reorder_atoms: ReorderAtomsOption = None,
    fingerprint: FingerprintOption = None,
    trust_pickle: TrustPickleOption = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            rich_help_panel=RUNNING,
            help="Screen a sample only, write nothing, and say what the whole would take.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", rich_help_panel=RUNNING, help="Continue an interrupted run, kept in NAME.parts."
        ),
    ] = False,
    force: ForceOption = False,
    shard: ShardOption = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            rich_help_panel=RUNNING,
            help="local, or ray: the nodes of a cluster read and score, with the same results.",
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            rich_help_panel=RUNNING,
            help="Of the cluster, such as auto or 10.0.0.1:6379; default: RAY_ADDRESS, else this machine.",
        ),
    ] = None,
    gpus: Annotated[
        float,
        typer.Option(
            "--gpus",
            min=0,
            rich_help_panel=RUNNING,
            help="With --engine ray: share of a GPU, such as 0.125, that each process on the nodes takes.",
        ),
    ] = 0.0,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, rich_help_panel=RUNNING, help="Molecules at a time.")
    ] = 512,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            rich_help_panel=RUNNING,
            help="float32, or bfloat16: scores up to .005 off, in a tenth less time on processors with "
            "AVX512-BF16 or AMX and on GPUs, in more time on others.",
        ),
    ] = "float32",
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
    time_limit: TimeLimitOption = 10.0,
    quiet: QuietOption = False,
) -> None:
    """Score every molecule of LIBRARY and rank them."""
    from molig.cli.explain import explain_hits
    from molig.errors import UsageError
    from molig.foreign import FingerprintOptions, InputOptions, load_models
    from molig.model import SideBySide
    from molig.molecules.causes import RejectBound
    from molig.screening import Diversity, ScreeningOptions, Shard
    from molig.screening.run_report import report_path, write_run_report

    reporter = Reporter(quiet)
    library = needed_input(library, source)
    processes = usable_jobs(jobs, threads)
    use_threads(threads)
    cluster = _cluster(engine, address, gpus, device, threads)
    bound = RejectBound.parse(max_rejects)
    asked_of_whole = {"--rejects": rejects is not None, "--explain-top": explain_top is not None}
    _check_shard(shard, {**asked_of_whole, "a page": _is_page(output)})
    of_tables = {"--resume": resume, "--explain-output": bool(explain_output), "--dry-run": dry_run}
    if page := _page(output, of_tables, force):
        top_k = explain_top = min(filter(None, (explain_top, top_k)), default=_ON_A_PAGE)
    report = None if dry_run or page or shard is not None else report_path(output)
    explained = [page] if page else _explained(output, explain_top, explain_output)
    of_molecules = InputOptions(atom_features, keep_h, add_h, ignore_stereo, reorder_atoms)
    with doubts_told():
        where = "cpu" if cluster else device  # the nodes move the model to theirs
        loaded = load_models(model, where, of_molecules, FingerprintOptions(fingerprint, trust_pickle))
    if isinstance(loaded, SideBySide) and explained:
        raise UsageError(f"--explain-top explains the scores of one model, and {loaded.name} are several")
    task, rank_by = task and tasks_named(loaded, task), task_named(loaded, rank_by)
    first = loaded.first if isinstance(loaded, SideBySide) else loaded
    if task is None and rank_by is None and len(first.tasks) > 1 and first.calibrated:
        reporter.info(
            f"no --task: ranking by the highest of {len(first.tasks)} calibrated scores of {first.name}"
        )
    options = ScreeningOptions(
        task=task,
        rank_by=rank_by,
        top_k=top_k,
        smiles_column=smiles_column,
        id_column=id_column,
        file_format=file_format,
        delimiter=delimiter,
        batch_size=batch_size,
        jobs=processes,
        time_limit=time_limit,
        applicability=applicability,
        uncertainty=uncertainty,
        percentiles=percentiles,
        atc=atc,
        csv_safe=csv_safe,
        keep=kept_columns(keep),
        threshold=threshold,
        diversity=None if diverse is None else Diversity(diverse, per_group, similarity),
        max_rejects=bound,
        n_best=explain_top or 0,
        resume=resume,
        force=force,
        shard=None if shard is None else Shard.parse(shard),
        cluster=cluster,
        precision=precision,
    )
    if dry_run:
        _estimate(library, loaded, output, options)
        return
    result = _screened(library, loaded, None if page else output, rejects, options, reporter)
    _say(result, threshold is not None or top_k is not None, reporter)
    if shard is not None:
        reporter.info(f"shard {shard}: {result.output}; `molig merge` puts the shards together")
    elif report is not None:
        models = list(loaded.models.values()) if isinstance(loaded, SideBySide) else [loaded]
        write_run_report(report, result, models, library, sys.argv[1:])
        written = {"hits": result.output, "rejected rows": result.rejects, "report": report}
        reporter.info("\n".join(f"{what}: {place}" for what, place in written.items() if place is not None))
    elif result.n_rejected and result.rejects is None:
        _warn_of_rejected(result, reporter)
    if explained:
        ranking = rank_by or (task[0] if task else None)
        explain_hits(result, loaded, ranking, explained, processes, reporter)


def _screened(
    library: str,
    model: ScoringModel,
    output: str | None,
    rejects: Path | None,
    options: ScreeningOptions,
    reporter: Reporter,
) -> ScreeningResult:
    """Screen with progress; if the run breaks off, say what is kept of it."""
    from molig.screening import Watch
    from molig.screening import screen as run
    from molig.screening.plan import kept_place

    total, kept = _n_rows(library), kept_place(output or "-", options)
    with reporter.telling_what_is_kept(kept), reporter.progress("screening", total) as bar:

        def resumed(n: int) -> None:
            reporter.info(f"{n:,} rows are done already")
            bar.leave_out(n)

        watched = replace(options, progress=bar, watch=Watch(resumed, bar.reject))
        return run(library, model, output=output, rejects=rejects, options=watched)


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


def _warn_of_rejected(result: ScreeningResult, reporter: Reporter) -> None:
    for row in result.rejections.head(_SHOWN).itertuples():
        reporter.warning(f"row {row.row} ({row.id}) {row.smiles!r}: {row.reason}")
    if result.n_rejected > _SHOWN:
        reporter.warning(f"{result.n_rejected - _SHOWN:,} more rejected rows; --rejects FILE keeps them all")


def _check_shard(shard: str | None, of_library: dict[str, bool]) -> None:
    from molig.errors import UsageError

    for name, given in of_library.items():
        if given and shard is not None:
            raise UsageError(f"{name} is for a whole library, not for a shard of it")


def _n_rows(library: str) -> int | None:
    """Rows of all files, as far as they can be counted."""
    from molig.molecules.sources import files_of

    counts = [count_rows(Path(name)) for name in files_of(library)]
    return None if None in counts else sum(n for n in counts if n is not None)


def _cluster(engine: str, address: str | None, gpus: float, device: str, threads: int) -> Cluster | None:
    """The cluster to screen on, if it shall be one."""
    from molig.errors import UnknownNameError, UsageError
    from molig.screening import Cluster

    if engine not in _ENGINES:
        raise UnknownNameError("engine", engine, _ENGINES)
    if engine == "local":
        if address is not None or gpus:
            raise UsageError("--address and --gpus are about a cluster: say --engine ray with them")
        return None
    if device not in ("auto", "cpu") and not gpus:
        raise UsageError("--device is about this machine; --gpus says what a process of the cluster takes")
    if threads > 1:
        raise UsageError("processes of a cluster compute on one thread each: leave out --threads")
    cluster = Cluster(address, gpus)
    cluster.check()
    return cluster


_ENGINES = ("local", "ray")


# Rows of a page of which nothing else is said.
_ON_A_PAGE = 200


def _is_page(output: str) -> bool:
    return Path(output).suffix.lower() == ".html"


def _page(output: str, of_tables: dict[str, bool], force: bool) -> Path | None:
    """The page, if hits go to one and not to a table."""
    from molig.cli.explain import check_outputs
    from molig.errors import UsageError

    if not _is_page(output):
        return None
    for name, given in of_tables.items():
        if given:
            raise UsageError(f"{name} goes with a table of hits, and {output} is a page")
    page = Path(output)
    if page.exists() and not force:
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
