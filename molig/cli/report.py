"""`molig report`: a page of hits to sort, filter, search and look into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molig.cli.console import Reporter, use_threads
from molig.cli.explain import (
    MEAN,
    Run,
    compounds_of,
    pictures_of,
    read,
    say_counts,
    say_sampling_error,
)
from molig.cli.options import (
    AlignOption,
    ArcsOption,
    AtomLabelsOption,
    BaselineOption,
    DeviceOption,
    JobsOption,
    KeepOption,
    LayersOption,
    MethodOption,
    ModelOption,
    NoiseOption,
    PaletteOption,
    QuietOption,
    Reading,
    ReadsAtomsAndBits,
    ReferenceOption,
    ScaleOption,
    TargetOption,
    TaskOrAllOption,
    ThreadsOption,
    TolOption,
    input_argument,
    input_option,
    kept_columns,
    needed_input,
    task_named,
    usable_jobs,
    with_groups,
)
from molig.files import count_rows

if TYPE_CHECKING:
    from molig.model import ScoringModel
    from molig.molecules import Record, Rejection

_HITS = "Hits of `molig screen`, or any file of molecules; a data set by name; - for stdin."
# A page of more molecules is slow to open, and nobody looks at them all.
_MOST = 2_000


@with_groups
def report(
    *,
    model: ModelOption,
    molecules: Annotated[str | None, input_argument(_HITS, "HITS")] = None,
    source: Annotated[str | None, input_option("The same as HITS.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Page to write.")] = Path("report.html"),
    task: TaskOrAllOption = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Screen them first, and show the best N, best first.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Heading of the page.")] = None,
    keep: KeepOption = None,
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", help="Rejected rows with reasons as a table, too; the page lists them."),
    ] = None,
    method: MethodOption = "integrated_gradients",
    baseline: BaselineOption = None,
    reference: ReferenceOption = None,
    target: TargetOption = None,
    tol: TolOption = 0.01,
    scale: ScaleOption = "shared",
    layers: LayersOption = "atoms",
    atom_labels: AtomLabelsOption = "none",
    palette: PaletteOption = "red-blue",
    noise: NoiseOption = 0.0,
    arcs: ArcsOption = 0.2,
    align: AlignOption = None,
    columns: Reading,
    foreign: ReadsAtomsAndBits,
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Put HITS on one page, explained: sort, filter, search by SMARTS, export. It needs no network."""
    from molig.attribution import Explainer
    from molig.errors import UsageError
    from molig.report.explaining import Drawings, about_page, work_of
    from molig.screening.plan import asks_all_tasks
    from molig.tables.locks import exclusive

    hits = needed_input(molecules, source)
    look = {"noise": noise, "palette": palette, "label": atom_labels, "threshold": arcs, "align": align}
    pictures = pictures_of(scale, layers, look)
    pictures.check()
    _check_places(output, rejects, hits)
    use_threads(threads)
    reporter = Reporter(quiet)
    loaded = foreign.load(model, device)
    task = task_named(loaded, task, target)
    all_tasks = asks_all_tasks(task, loaded)
    if all_tasks and top is not None:
        raise UsageError("--top ranks by one task: name it by --task, or leave out --top")
    named = None if all_tasks else task
    loaded = loaded if named is None else loaded.for_task(named)
    from_mean = reference == MEAN
    if from_mean and baseline is not None:
        raise UsageError("give either --baseline or --reference, not both")
    options: dict[str, Any] = {"task": named, "target": target, "method": method, "tol": tol}
    options["baseline"] = baseline
    explainer = Explainer(loaded, **options, reference=None if from_mean else reference)
    library = _Library(hits, columns, kept_columns(keep))
    with exclusive(output):
        chosen = (
            library.all(loaded, reporter) if top is None else library.best(top, loaded, named, jobs, reporter)
        )
        if from_mean:
            compounds = compounds_of(reference, lambda: chosen.records, None, loaded, reporter)
            explainer = Explainer(loaded, **options, reference=compounds)
        drawn = Drawings(
            [output],
            title or f"Hits by {named or loaded.name}",
            pictures,
            explainer.target.meaning + loaded.meaning_of(loaded.tasks if named is None else [named]),
            rejected=chosen.rejected,
            rejects=rejects,
            **about_page(loaded, chosen.columns, chosen.facts),
        )
        work = work_of(explainer, None, drawn, all_tasks)
        n_jobs = usable_jobs(jobs, threads, loaded.device.type)
        with exclusive(rejects):
            summary = Run(work, reporter, len(chosen.records), n_jobs).write(iter(chosen.records))
    say_counts(summary.counts, [output], explainer, reporter)
    if rejects is not None:
        reporter.info(f"rejected rows: {rejects}")
    say_sampling_error(summary.sampling, reporter)


def _check_places(output: Path, rejects: Path | None, hits: str) -> None:
    """Refuse, before a run, what could not be written at its end."""
    from molig.errors import UsageError
    from molig.report.outputs import PAGES, check_explanation_output
    from molig.tables.writers import check_distinct, check_output

    if output.suffix.lower() not in PAGES:
        raise UsageError(f"a report is a page: give a name ending in {PAGES[0]} (got {output})")
    check_explanation_output(output, hits)
    if rejects is not None:
        check_output(rejects)
        check_distinct(hits, output, rejects)


@dataclass(frozen=True)
class _Chosen:
    """Molecules for the page, what comes along, and what was rejected before."""

    records: list[Record]
    columns: list[str]
    facts: tuple[tuple[str, str], ...] = ()
    rejected: tuple[tuple[Record, Rejection], ...] = ()


@dataclass(frozen=True)
class _Library:
    """Where hits come from, and how they are read."""

    source: str
    columns: Reading
    keep: str | tuple[str, ...]

    def all(self, model: ScoringModel, reporter: Reporter) -> _Chosen:
        """Every row, in the order of the file; an error if a page cannot hold them."""
        from molig.errors import UsageError
        from molig.report.explaining import columns_of

        records = read(self.source, model, {**self.columns.arguments, "keep": self.keep}, reporter)
        some = [record for _, record in zip(range(_MOST + 1), records, strict=False)]
        if len(some) > _MOST:
            raise UsageError(
                f"{self.source} has more than {_MOST:,} rows, too many for one page: --top N shows the best"
            )
        return _Chosen(some, columns_of(records), (("hits", Path(self.source).name),))

    def best(
        self, n: int, model: ScoringModel, task: str | None, jobs: int | None, reporter: Reporter
    ) -> _Chosen:
        """The best N rows, best first."""
        from molig.errors import UsageError
        from molig.report.explaining import hit_records, rejected_rows
        from molig.screening import ScreeningOptions, screen

        if n > _MOST:
            raise UsageError(f"a page holds at most {_MOST:,} molecules (got --top {n:,})")
        with reporter.progress("screening", count_rows(Path(self.source))) as bar:
            options = ScreeningOptions(
                task=task,
                top_k=n,
                n_best=n,
                jobs=jobs,
                keep=self.keep,
                progress=bar,
                **self.columns.arguments,
            )
            result = screen(self.source, model, options=options)
        if result.best is None:
            raise UsageError(f"{self.source}: nothing was ranked")
        records, columns = hit_records(result.best)
        facts = (("library", Path(self.source).name), ("screened", f"{result.n_scored:,}"))
        return _Chosen(list(records), columns, facts, tuple(rejected_rows(result)))
