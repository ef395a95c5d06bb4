"""`molig explain`: pictures, pages and tables of attributions."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molig.cli.console import Reporter, use_threads
from molig.cli.options import (
    MOLECULES,
    PICTURES,
    RUNNING,
    AlignOption,
    ArcsOption,
    AtomLabelsOption,
    BaselineOption,
    CsvSafeOption,
    DeviceOption,
    JobsOption,
    LayersOption,
    MethodOption,
    ModelOption,
    NoiseOption,
    PaletteOption,
    QuietOption,
    Reading,
    ReadsAtomsAndBits,
    ReferenceOption,
    RejectsOption,
    ResumeOption,
    ScaleOption,
    ShardOption,
    TargetOption,
    TaskOrAllOption,
    ThreadsOption,
    TolOption,
    input_option,
    one_input,
    resolved_input,
    task_named,
    usable_jobs,
    with_groups,
)
from molig.errors import UnknownNameError, UsageError
from molig.files import count_rows

if TYPE_CHECKING:
    from molig.attribution import Explainer
    from molig.model import ScoringModel
    from molig.molecules import Record, Rejection
    from molig.report import Counts, Pictures
    from molig.report.explaining import ChunkExplainer, Sampling, Summary
    from molig.report.tables import TableRequest
    from molig.screening import ScreeningResult, Shard
    from molig.tables import Parts

_SHOWN = 20
# What a reference is called that is the mean of the molecules explained, of so many at most.
MEAN, _MOST_AVERAGED = "mean", 500
# A baseline that scores more than this is said to be not neutral.
_NOT_NEUTRAL = 0.1
# A sampling error above this share of the largest attribution is told.
_MUCH = 0.02


@dataclass(frozen=True)
class _How:
    """Options of what is explained, and by which method."""

    task: TaskOrAllOption = None
    method: MethodOption = "integrated_gradients"
    baseline: BaselineOption = None
    reference: ReferenceOption = None
    target: TargetOption = None
    tol: TolOption = 0.01

    def explainer(self, of_task: _OfTask, reference: str | list[str] | None) -> Explainer:
        """What explains a task, or all; of the mean of molecules the reference is their SMILES."""
        from molig.attribution import Explainer

        return Explainer(
            of_task.model,
            task=of_task.task,
            target=self.target,
            method=self.method,
            baseline=self.baseline,
            reference=reference,
            tol=self.tol,
        )

    def identity(self, explainer: Explainer, task: str | None) -> dict[str, object]:
        """What numbers depend on, in words of the command line; ``task`` as the model spells it."""
        reference = {"--reference": self.reference} if self.reference else {}
        return {
            "--task": task,
            "--target": explainer.target,
            "--tol": self.tol,
            "--method": explainer.method,
            "--baseline": self.baseline or explainer.baselines.name,
            **reference,
            "references": explainer.references,
        }


@dataclass(frozen=True)
class _Running:
    """Options of where it is computed."""

    device: DeviceOption = "auto"
    jobs: JobsOption = None
    threads: ThreadsOption = 1
    time_limit: Annotated[
        float,
        typer.Option(
            "--time-limit",
            rich_help_panel=RUNNING,
            help="Seconds of processor time for reading one molecule (explaining: 60 times that); one that "
            "needs more is rejected.",
        ),
    ] = 10.0


@dataclass(frozen=True)
class _Look:
    """Options of pictures."""

    scale: ScaleOption = "shared"
    layers: LayersOption = "atoms"
    atom_labels: AtomLabelsOption = "none"
    palette: PaletteOption = "red-blue"
    noise: NoiseOption = 0.0
    arcs: ArcsOption = 0.2
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", help="Heat maps of atoms: .svg, .png.", rich_help_panel=PICTURES),
    ] = None
    ledger: Annotated[
        Path | None,
        typer.Option(
            "--ledger", help="What adds up to the score: .svg, .png, .csv.", rich_help_panel=PICTURES
        ),
    ] = None
    align: AlignOption = None
    ledger_by: Annotated[
        str,
        typer.Option("--ledger-by", help="types (of atoms and bonds), groups.", rich_help_panel=PICTURES),
    ] = "types"
    each: Annotated[
        Path | None,
        typer.Option("--each", help="Directory for a picture of each molecule.", rich_help_panel=PICTURES),
    ] = None
    each_kind: Annotated[str, typer.Option("--each-kind", help="svg or png.", rich_help_panel=PICTURES)] = (
        "svg"
    )

    @property
    def pictures(self) -> Pictures:
        """How pictures are drawn."""
        same = ("noise", "palette", "pairs", "ledger", "ledger_by", "align", "each", "each_kind")
        others = {name: getattr(self, name) for name in same}
        others |= {"label": self.atom_labels, "threshold": self.arcs}
        return pictures_of(self.scale, self.layers, others)


@with_groups
def explain(
    *,
    model: ModelOption,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            help="out.svg, .png, .html, .md, .json, .sdf, .pml (PyMOL), .xlsx, .parquet, .csv; repeatable.",
        ),
    ] = None,
    molecules: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...", show_default=False, help="The same as -i; or SMILES, as after --smiles."
        ),
    ] = None,
    smiles: Annotated[list[str] | None, typer.Option("--smiles", help="A molecule; may be repeated.")] = None,
    source: Annotated[str | None, input_option(MOLECULES)] = None,
    how: _How,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout", help="Rows of a table: features (default), or molecules for whole libraries."
        ),
    ] = None,
    rejects: RejectsOption = None,
    resume: ResumeOption = False,
    shard: ShardOption = None,
    reading: Reading,
    foreign: ReadsAtomsAndBits,
    running: _Running,
    csv_safe: CsvSafeOption = False,
    look: _Look,
    quiet: QuietOption = False,
) -> None:
    """Say why molecules get their scores, atom by atom."""
    from molig.screening import Shard
    from molig.tables.locks import exclusive

    reporter = Reporter(quiet)
    share = None if shard is None else Shard.parse(shard)
    smiles, source = _asked(*_smiles_and_source(molecules or [], smiles or [], source), resume, share)
    places = _Places.of(output or [], look.pictures, source, layout, rejects, csv_safe, share)
    use_threads(running.threads)
    of_task = _OfTask.of(foreign.load(model, running.device), how.task, how.target)
    keep = "all" if places.drawings else "none"
    given = partial(_records, smiles)
    if source:
        given = partial(read, source, of_task.model, {**reading.arguments, "keep": keep}, reporter)
    explainer = how.explainer(of_task, compounds_of(how.reference, given, source, of_task.model, reporter))
    of_task.say_baseline(explainer, of_task.known, reporter)
    identity = how.identity(explainer, of_task.asked)
    identity |= {**reading.in_words, "--time-limit": running.time_limit}
    with exclusive(*places.locked):
        records = given()
        work = _work(explainer, of_task, places, records)
        parts = _parts(work, source, of_task.model, identity, resume, share)
        total = count_rows(Path(source)) if source else len(smiles)
        jobs = usable_jobs(running.jobs, running.threads, of_task.model.device.type)
        summary = Run(work, reporter, total, jobs, running.time_limit).write(records, parts, share)
    say_counts(summary.counts, [*places.written, *summary.counts.pages], explainer, reporter)
    _say_what_else(share, places.request, reporter)
    if not of_task.known:  # of each molecule the highest-scoring task, known only now
        of_task.say_baseline(explainer, summary.tasks, reporter)
    say_sampling_error(summary.sampling, reporter)


@dataclass(frozen=True)
class _OfTask:
    """A model, and the task whose scores are explained: one, each molecule's highest-scoring one, or all."""

    model: ScoringModel
    asked: str | None  # also "all"
    all_tasks: bool

    @classmethod
    def of(cls, model: ScoringModel, task: str | None, target: str | None) -> _OfTask:
        """Find the task."""
        from molig.screening.plan import asks_all_tasks

        task = task_named(model, task, target)
        all_tasks = asks_all_tasks(task, model)
        return cls(model if all_tasks or task is None else model.for_task(task), task, all_tasks)

    @property
    def task(self) -> str | None:
        """The only one."""
        return None if self.all_tasks else self.asked

    @property
    def known(self) -> list[str]:
        """The tasks that will be explained, if that does not depend on the molecules."""
        if self.task is not None:
            return [self.task]
        return list(self.model.tasks) if self.all_tasks or len(self.model.tasks) == 1 else []

    def meaning(self, explainer: Explainer) -> str:
        """What a score is."""
        tasks = self.model.tasks if self.task is None else [self.task]
        return explainer.target.meaning + self.model.meaning_of(tasks)

    def say_baseline(self, explainer: Explainer, tasks: Collection[str], reporter: Reporter) -> None:
        """Say what the baseline scores, of models that were not trained with one."""
        if tasks and hasattr(self.model, "default_baseline"):
            _say_baseline(explainer, tasks, reporter)


@dataclass(frozen=True)
class _Places:
    """What is written: pictures, pages and documents, and a table."""

    outputs: list[Path]
    pictures: Pictures
    drawings: list[Path]
    request: TableRequest | None
    shard: Shard | None

    @classmethod
    def of(
        cls,
        outputs: list[Path],
        pictures: Pictures,
        source: str | None,
        layout: str | None,
        rejects: Path | None,
        csv_safe: bool,
        shard: Shard | None,
    ) -> _Places:
        """Refuse, before a run, what could not be written at its end."""
        if not outputs and not pictures.extras:
            raise UsageError(
                "say where explanations go: -o FILE, --pairs FILE, --ledger FILE or --each DIRECTORY"
            )
        pictures.check()
        drawings, request = _drawings_and_table(outputs, source, layout, rejects, csv_safe)
        if shard is not None and (drawings or pictures.extras or rejects):
            what = "--rejects" if rejects else str([*drawings, *pictures.extras][0])
            raise UsageError(f"{what} is for a whole library, not for a shard of it, which is a table alone")
        return cls(outputs, pictures, drawings, request, shard)

    @property
    def written(self) -> list[Path]:
        """All that is there at the end, but the table of rejected rows."""
        if self.shard is not None:
            return [self.shard.directory(self.outputs[0])]
        return [*self.outputs, *self.pictures.extras]

    @property
    def locked(self) -> list[Path]:
        """What the run keeps to itself."""
        rejects = [self.request.rejects_path] if self.request and self.shard is None else []
        return self.written + rejects


def _work(
    explainer: Explainer, of_task: _OfTask, places: _Places, records: Iterator[Record]
) -> ChunkExplainer:
    """What is to be made of the molecules."""
    from molig.report.explaining import Drawings, about_page, columns_of, work_of

    title, about = f"Explanations by {of_task.model.name}", about_page(of_task.model, columns_of(records))
    drawn = Drawings(places.drawings, title, places.pictures, of_task.meaning(explainer), **about)
    return work_of(explainer, places.request, drawn, of_task.all_tasks)


def check_outputs(places: list[Path]) -> None:
    """Refuse, before a run, explanations that could not be written at its end."""
    _drawings_and_table(places, None, None, None, csv_safe=False)


def explain_hits(
    result: ScreeningResult,
    model: ScoringModel,
    task: str | None,
    places: list[Path],
    jobs: int | None,
    reporter: Reporter,
) -> None:
    """Explain the best hits of a screen, in their order, as the command does without further options."""
    from molig.attribution import Explainer
    from molig.report import Pictures
    from molig.report.explaining import Drawings, about_page, hit_records, rejected_rows, work_of

    hits = result.best
    if hits is None or not len(hits):
        return
    # They stand in a table of their own, or else here.
    rejected = [] if result.rejects else rejected_rows(result)
    model = model if task is None else model.for_task(task)
    explainer = Explainer(model, task=task)
    meaning = explainer.target.meaning + model.meaning_of([task] if task else model.tasks)
    drawings, request = _drawings_and_table(places, None, None, None, csv_safe=False)
    records, columns = hit_records(hits)
    title, about = f"Best hits by {task or model.name}", about_page(model, columns)
    drawn = Drawings(drawings, title, Pictures(), meaning, rejected=rejected, **about)
    work = work_of(explainer, request, drawn)
    Run(work, reporter, len(hits), usable_jobs(jobs, 1, model.device.type)).write(records)
    reporter.info(f"{len(hits):,} best hits explained: {', '.join(map(str, places))}")


def _say_baseline(explainer: Explainer, tasks: Collection[str], reporter: Reporter) -> None:
    """Say what the baseline of a network that was not trained with one scores, and warn if that is much."""
    from molig.attribution import Target, baseline_scores

    lines, wrong = [], []
    width = max(map(len, tasks))
    with reporter.progress("baselines", len(tasks), "tasks") as advance:
        for part in explainer.parts:
            asked = [task for task in part.model.tasks if task in tasks]
            scores = baseline_scores(part.model, part.baselines, asked, part.target, progress=advance)
            for task, found in scores.iterrows():
                by_size = ", ".join(f"{score:.3g} at {size} atoms" for size, score in found.items())
                lines.append(f"{task:<{width}}  {part.target.value} {by_size}")
                if part.target is Target.PROBABILITY and found.max() > _NOT_NEUTRAL:
                    wrong.append(str(task))
    reporter.info("\n  ".join([f"{explainer.baselines.name} baseline, F(x'):", *lines]))
    if wrong:
        way_out = "compound:SMILES or zero may come lower"
        if not explainer.baselines.by_task:
            way_out = "neutral looks for a point that scores less"
        reporter.warning(
            f"the {explainer.baselines.name} baseline is not neutral in {', '.join(wrong)}: what is "
            f"explained is the difference from there; --baseline {way_out}"
        )


def _smiles_and_source(
    words: list[str], smiles: list[str], source: str | None
) -> tuple[list[str], str | None]:
    """Put words without an option where they belong: a file, a data set, or what RDKit takes for SMILES."""
    if not words:
        return smiles, source
    from molig.datasets import datasets
    from molig.molecules.readers import SUFFIXES

    def is_file(word: str) -> bool:
        known = word == "-" or word in datasets() or Path(word).suffix.lower() in SUFFIXES
        return known or Path(word).exists()

    if len(words) == 1 and (is_file(words[0]) or not _is_smiles(words[0])):
        try:
            return smiles, one_input(resolved_input(words[0]), source)
        except UnknownNameError as error:
            raise UnknownNameError("file, data set or SMILES", words[0], error.valid) from error
    if file := next(filter(is_file, words), None):
        raise UsageError(f"{file} is a file or a data set: name it alone, by itself or by -i")
    return [*words, *smiles], source  # a SMILES that is none is a rejected row


def _is_smiles(word: str) -> bool:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(word, sanitize=False) is not None


def _asked(
    smiles: list[str], source: str | None, resume: bool, shard: Shard | None
) -> tuple[list[str], str | None]:
    """The same molecules, if they are named in one way, and in one that can be resumed and shared out."""
    if bool(smiles) == bool(source):
        raise UsageError("give molecules either by --smiles or by -i FILE (SMILES or FILE alone will do)")
    if resume and not source:
        raise UsageError("--resume continues a run over a file: give the molecules by -i FILE")
    if resume and source == "-":
        raise UsageError("standard input cannot be read again, so its run cannot be resumed; use a file")
    if shard and (not source or source == "-"):
        raise UsageError("--shard shares out a file: give the molecules by -i FILE")
    return smiles, source


def _drawings_and_table(
    outputs: list[Path],
    source: str | None,
    layout: str | None,
    rejects: Path | None,
    csv_safe: bool,
) -> tuple[list[Path], TableRequest | None]:
    """Pictures, pages and documents that are asked for, and the table, if one is."""
    from molig.report.outputs import check_explanation_output
    from molig.report.tables import TABLES, TableRequest

    for path in outputs:
        check_explanation_output(path, source)
    if twice := [path for path, n in Counter(path.resolve() for path in outputs).items() if n > 1]:
        raise UsageError(f"{twice[0].name} is named twice by -o")
    tables = [path for path in outputs if path.suffix.lower() in TABLES]
    drawings = [path for path in outputs if path not in tables]
    if len(tables) > 1:
        named = " and ".join(map(str, tables))
        raise UsageError(f"{named} are both tables, of which a run writes one; write the other by itself")
    if tables:
        return drawings, TableRequest(tables[0], layout or "features", rejects, source, csv_safe)
    asked = {"--layout": layout is not None, "--rejects": rejects is not None}
    asked["--csv-safe"] = csv_safe
    wrong = [name for name, given in asked.items() if given]
    if wrong:
        raise UsageError(f"{wrong[0]} is for tables ({', '.join(TABLES)}), and none is asked for by -o")
    return drawings, None


def pictures_of(scale: str, layers: str, others: Mapping[str, Any]) -> Pictures:
    """How pictures are drawn, in the words of the options."""
    from molig.report import Pictures

    named = tuple(layer.strip() for layer in layers.split(",") if layer.strip())
    try:
        return Pictures(scale=float(scale), layers=named, **others)
    except ValueError:
        return Pictures(scale=scale, layers=named, **others)


def compounds_of(
    reference: str | None,
    given: Callable[[], Iterable[Record]],
    source: str | None,
    model: ScoringModel,
    reporter: Reporter,
) -> str | list[str] | None:
    """The reference; for the mean, SMILES of the molecules that are explained, or of the first of them."""
    if reference != MEAN:
        return reference
    from itertools import islice

    from molig.molecules import Rejection

    if source == "-":
        raise UsageError("standard input cannot be read twice, as --reference mean asks for; use a file")
    some = list(islice(given(), _MOST_AVERAGED))
    usable = [one.smiles for one in some if not isinstance(model.parser.parse(one), Rejection)]
    if not usable:
        raise UsageError(f"--reference mean: the model rejects all of the first {len(some):,} molecules")
    of = f"the first {len(some):,} rows" if len(some) == _MOST_AVERAGED else "all rows"
    reporter.info(f"reference: the mean of {len(usable):,} molecules, the usable ones of {of}")
    return usable


def _records(smiles: list[str]) -> Iterator[Record]:
    from molig.molecules import Record, smiles_records

    return (Record(r.row, r.smiles, r.smiles) for r in smiles_records(smiles))


def read(
    source: str,
    model: ScoringModel,
    reading: Mapping[str, Any],
    reporter: Reporter,
    columns: Sequence[str] = (),
) -> Iterator[Record]:
    """Molecules of a file, or of a feature store by their SMILES, with columns in `Record.fields`."""
    from molig.molecules import read_records
    from molig.screening.store import is_store, open_store

    if not is_store(source):
        return read_records(source, columns=columns, **reading)
    store = open_store(source, **{name: value for name, value in reading.items() if name != "keep"})
    reporter.info(f"{source} is a feature store: its SMILES are parsed once more, to look at structures")
    if store.of_blocks:
        reporter.warning(
            f"{source} keeps SMILES of the structures in {store.info.source.name}: atoms are numbered as in "
            "these SMILES; explain the SD file itself to number them as it does"
        )
    return store.library(model, columns=columns, keep=reading.get("keep", "none"))


def _parts(
    work: ChunkExplainer,
    source: str | None,
    model: ScoringModel,
    options: Mapping[str, object],
    resume: bool,
    shard: Shard | None,
) -> Parts | None:
    """Where finished chunks are kept, if the molecules could be read a second time."""
    from molig.molecules.sources import STORE_FILE
    from molig.report.explaining import CHUNK_ROWS, about_table
    from molig.screening.store import is_store
    from molig.tables import Parts
    from molig.tables.parts import is_repeatable, run_identity

    request = work.request
    file = Path(source) / STORE_FILE if source and is_store(source) else source
    if not file or not (resume or shard or is_repeatable(file)):
        return None
    kept = "for pages and pictures" if work.in_rows is None else work.in_rows.layout
    identity = run_identity(
        f"{model.name} {model.digest()}",
        model.device.type,
        file,
        {**options, "--layout": kept, "--shard": shard},
    )
    place = work.parts_directory if shard is None else shard.directory(work.files[0])
    about = {} if request is None else about_table(request)
    parts = Parts(place, identity, rows_per_part=CHUNK_ROWS, about=about)
    parts.open(resume=resume)
    return parts


@dataclass
class Run:
    """Explaining and writing, with progress and warnings."""

    work: ChunkExplainer
    reporter: Reporter
    total: int | None
    jobs: int | None = 1
    time_limit: float = 10.0
    # Rejected rows that a warning has named, and the others.
    n_named: int = 0
    n_hidden: int = 0

    def write(
        self, records: Iterator[Record], parts: Parts | None = None, shard: Shard | None = None
    ) -> Summary:
        """Make what is asked for, from where a former run has come to."""
        from molig.report.explaining import explain_library

        request = self.work.request
        n_done = parts.n_rows if parts else 0
        if n_done:
            self.reporter.info(f"{n_done:,} rows are done already")
        with contextlib.ExitStack() as stack:
            if parts:
                stack.enter_context(self.reporter.telling_what_is_kept(parts.directory))
            bar = stack.enter_context(self.reporter.progress("explaining", self.total))
            bar.leave_out(n_done)

            def watch(n_rows: int, rejections: Sequence[Rejection]) -> None:
                bar(n_rows)
                bar.reject(len(rejections))
                self._warn(rejections)

            summary = explain_library(
                records,
                self.work,
                parts=parts,
                shard=shard,
                jobs=self.jobs,
                seconds=self.time_limit,
                watch=watch,
            )
        if self.n_hidden and request is not None:
            self.reporter.warning(f"{self.n_hidden:,} more rejected rows; see {request.rejects_path}")
        return summary

    def _warn(self, rejections: Sequence[Rejection]) -> None:
        """Warn of rejected rows; of the first of them, if a table keeps them all."""
        for one in rejections:
            if self.work.request is None or self.n_named < _SHOWN:
                self.n_named += 1
                self.reporter.warning(f"row {one.row} ({one.id}) {one.smiles!r}: {one.reason}")
            else:
                self.n_hidden += 1


def say_counts(counts: Counts, written: list[Path], explainer: Explainer, reporter: Reporter) -> None:
    """Say how many were explained, and how many integrals are not exact."""
    from molig.attribution import Method

    names = ", ".join(map(str, written))
    reporter.info(f"{counts.explained} explained, {counts.rejected} rejected: {names}")
    if counts.unconverged and explainer.method is Method.INTEGRATED_GRADIENTS:
        reporter.warning(
            f"{counts.unconverged} did not converge to tol = {explainer.tolerance.tol}; see their residuals "
            "and errors"
        )


def _say_what_else(share: Shard | None, request: TableRequest | None, reporter: Reporter) -> None:
    if share is not None:
        reporter.info(f"shard {share}; `molig merge` puts the shards together")
    elif request is not None:
        reporter.info(f"rejected rows: {request.rejects_path}")


def say_sampling_error(sampling: Sampling, reporter: Reporter) -> None:
    """Warn of what the choice of references leaves open, if that is more than integrals do."""
    if sampling.n and (mean := sampling.total / sampling.n) > _MUCH:
        reporter.warning(
            "references were drawn from a library: the standard error that comes of their choice is "
            f"{mean:.0%} of the largest attribution (mean of the explanations; at most "
            f"{sampling.most:.0%}), and part of the error of each"
        )
