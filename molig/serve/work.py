"""What a job does, in its own process: screen, explain or audit a file, and write everything about it.

The functions are those of the commands. The process works in the directory of the job, so that no message and
no file names a place of the server.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from molig.attribution import Explainer
from molig.audit import Audit, AuditSettings, LabelledFile, audit, read_subject, write_audit
from molig.audit.inputs import held_out_file
from molig.audit.registry import choose_checks
from molig.audit.report import path_of_part, verdict
from molig.audit.run import audited_parts
from molig.errors import MoligError, OutputError, UsageError, speaking_of_fields
from molig.files import count_rows
from molig.foreign import load_any_model, load_models
from molig.model import ScoringModel, SideBySide
from molig.molecules import Record, Rejection, read_records
from molig.molecules.causes import NothingUsableError
from molig.report.explaining import (
    Drawings,
    Summary,
    about_page,
    columns_of,
    explain_library,
    hit_records,
    rejected_rows,
    work_of,
)
from molig.report.tables import TableRequest
from molig.screening import ScreeningOptions, ScreeningResult, Watch, screen
from molig.screening.plan import ALL_TASKS
from molig.screening.run_report import write_run_report
from molig.serve.answers import plain
from molig.serve.jobs import MOST_EXPLAINED, RESULTS, Order
from molig.serve.models import chosen, offered
from molig.serve.processes import Channel
from molig.serve.settings import ServeSettings
from molig.tables import OutputTable

_SHOWN = 1_000
"""Hits, and rejected rows, that the page shows."""

_MOST_IN_EXCEL = 100_000
_MOST_FINDINGS = 100
_NO_REJECTS = "none.csv"


def do_job(
    channel: Channel, home: Path, number: str, order: Mapping[str, Any], settings: ServeSettings
) -> None:
    """Do a job and tell of it: phases, rows, warnings, and at last its results or an error."""
    torch.set_num_threads(1)
    job = _Job(Order(**order), settings, channel)
    with warnings.catch_warnings(), speaking_of_fields():
        warnings.showwarning = lambda message, *_, **__: channel.tell(warning=str(message))
        job.phase("reading the model")
        models = offered(settings.models, settings.device)
        names = [name for label in job.order.models for name in chosen(models, label).names]
        do = {"screen": _screen, "explain": _explain, "audit": _audit}[job.order.kind]
        try:
            do(job, names, home / number)
        except NothingUsableError as err:  # the rejected rows say why
            channel.tell(error=str(err), results=_written())
        except OSError as err:
            raise OutputError(f"the server cannot write results: {err.strerror or err}") from err


@dataclass
class _Job:
    """A job, in its own process."""

    order: Order
    settings: ServeSettings
    channel: Channel
    n_rows: int = 0

    @property
    def source(self) -> str:
        return self.order.file

    def enter(self, folder: Path) -> None:
        """Work in the directory of the job from now on."""
        sys.path[:] = [os.path.abspath(place) for place in sys.path]
        os.chdir(folder)

    def phase(self, name: str, total: int | None = None) -> None:
        """What is done now, and of how many rows."""
        self.n_rows = 0
        self.channel.tell(phase=name, total=total)

    def advance(self, n: int) -> None:
        """So many more rows are done; raises UsageError if these are too many."""
        self.n_rows += n
        self.check_rows(self.n_rows)
        self.channel.tell(rows=n)

    def reject(self, n: int) -> None:
        """So many more rows were rejected."""
        if n:
            self.channel.tell(rejected=n)

    def check_rows(self, n: int | None) -> None:
        """Refuse a library that is too large."""
        if n is not None and n > self.settings.max_rows:
            raise UsageError(
                f"the file has more than {self.settings.max_rows:,} rows, the most that this server takes "
                "(--max-rows); molig screen takes any number"
            )

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Tell of the results, with all of them in one file; what they were made of is not kept."""
        self.phase("packing")
        for left in (self.source, _NO_REJECTS):
            if left:
                Path(left).unlink(missing_ok=True)
        names = list(_written())  # before there is an archive, or it would take itself in without end
        with zipfile.ZipFile("all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.write(name)
        self.channel.tell(results=_written(), summary=plain(dict(summary)))


def _written() -> dict[str, int]:
    """Results that are there, with their sizes."""
    return {name: Path(name).stat().st_size for name in RESULTS if Path(name).exists()}


# Screening.


def _screen(job: _Job, names: Sequence[str], folder: Path) -> None:
    total = count_rows(folder / job.source)
    job.check_rows(None if total is None else total - 1)  # a header may be among them
    model = load_models(names, job.settings.device)
    job.enter(folder)
    job.phase("screening", total)
    options = ScreeningOptions(
        task=_tasks_of(model, job.order.tasks),
        jobs=job.settings.jobs,
        n_best=max(job.order.top, _SHOWN),
        applicability=_knows_domain(model),
        csv_safe=True,
        progress=job.advance,
        watch=Watch(lambda _: None, job.reject),
        **job.order.reading,
    )
    hits = Path("hits.parquet")
    result = screen(job.source, model, output=hits, rejects=Path("rejects.csv"), options=options)
    job.phase("writing")
    _write_hits(hits, result.n_hits)
    models = list(model.models.values()) if isinstance(model, SideBySide) else [model]
    write_run_report(Path("run.json"), result, models, job.source)
    best = result.best if result.best is not None else pa.table({})
    _write_json("hits.json", _shown_hits(best, result))
    explained = _explain_best(job, model, best.slice(0, job.order.top), result)
    job.finish(
        {
            "rows": result.n_rows,
            "scored": result.n_scored,
            "rejected": result.n_rejected,
            "reasons": dict(result.reasons.most_common()),
            "meaning": result.meaning,
            "explained": explained.counts.explained,
            "unconverged": explained.counts.unconverged,
            "left_out": list(result.left_out),
        }
    )


def _tasks_of(model: ScoringModel, tasks: Sequence[str]) -> list[str] | None:
    """Tasks that have a column; the first of them ranks."""
    if list(tasks) == [ALL_TASKS] and ALL_TASKS not in model.tasks:
        return list(model.tasks)
    return list(tasks) or None


def _knows_domain(model: ScoringModel) -> bool:
    try:
        model.domain()
    except UsageError:
        return False
    return True


def _write_hits(hits: Path, n_hits: int) -> None:
    """The hit table in the other formats."""
    with pq.ParquetFile(hits) as file:
        excel = ["hits.xlsx"] * (n_hits <= _MOST_IN_EXCEL and _writes_excel())
        for name in ("hits.csv", *excel):
            with OutputTable(Path(name), file.schema_arrow, csv_safe=True) as out:
                for batch in file.iter_batches():
                    out.write(pa.Table.from_batches([batch]))


def _writes_excel() -> bool:
    return find_spec("openpyxl") is not None


def _shown_hits(best: pa.Table, result: ScreeningResult) -> dict[str, Any]:
    shown = best.slice(0, _SHOWN)
    return {
        "columns": shown.column_names,
        "rows": [list(row.values()) for row in shown.to_pylist()],
        "n_hits": result.n_hits,
        "meaning": result.meaning,
        "rejected": _shown_rejections(result),
    }


def _shown_rejections(result: ScreeningResult) -> list[list[Any]]:
    columns = ["row", "id", "smiles", "reason"]
    return [list(row) for row in result.rejections[columns].head(_SHOWN).itertuples(index=False)]


def _write_json(name: str, content: object) -> None:
    Path(name).write_text(json.dumps(plain(content), default=str, allow_nan=False), encoding="utf-8")


def _explain_best(job: _Job, model: ScoringModel, best: pa.Table, result: ScreeningResult) -> Summary:
    """Explain the best hits by the model that ranks them."""
    task = job.order.tasks[0] if job.order.tasks else None
    if isinstance(model, SideBySide):
        label, task = _ranking(model, task)
        model = model.models[label]
    elif task == ALL_TASKS:
        task = model.tasks[0]
    records, columns = hit_records(best)
    facts = (("library", job.order.name), ("screened", f"{result.n_scored:,}"))
    rejected = tuple(islice(rejected_rows(result), _SHOWN))
    title = f"Best hits by {task or model.name}"
    page = _Page(title, task, facts, columns, rejected)
    return _write_explanations(job, model, records, len(best), page)


def _ranking(model: SideBySide, task: str | None) -> tuple[str, str | None]:
    """The model that ranks, and its task."""
    for label in model.models:
        if task is not None and task.startswith(f"{label}:"):
            return label, task.removeprefix(f"{label}:")
    first = next(iter(model.models))
    return first, model.first.tasks[0] if task == ALL_TASKS else None


# Explaining.


@dataclass(frozen=True)
class _Page:
    """What a page of explanations says besides them."""

    title: str
    task: str | None
    facts: tuple[tuple[str, str], ...]
    columns: Sequence[str]
    rejected: tuple[tuple[Record, Rejection], ...] = ()


def _write_explanations(
    job: _Job, model: ScoringModel, records: Iterator[Record], total: int, page: _Page
) -> Summary:
    """Explain molecules, and write the page and the other files."""
    all_tasks = page.task == ALL_TASKS and ALL_TASKS not in model.tasks
    task = None if all_tasks else page.task
    model = model if task is None else model.for_task(task)
    explainer = Explainer(model, task=task)
    names = ["report.html", "explanations.json", "explanations.sdf"]
    names += ["explanations.xlsx"] * job.order.workbook
    meaning = explainer.target.meaning + model.meaning_of(model.tasks if task is None else [task])
    about = about_page(model, page.columns, page.facts)
    drawings = Drawings(list(map(Path, names)), page.title, meaning=meaning, rejected=page.rejected, **about)
    place = "rejects.csv" if job.order.kind == "explain" else _NO_REJECTS
    request = TableRequest(Path("explanations.csv"), "molecules", Path(place), csv_safe=True)
    job.phase("explaining", total)

    def watch(n_rows: int, rejections: Sequence[Rejection]) -> None:
        job.advance(n_rows)
        job.reject(len(rejections))

    jobs = job.settings.jobs if model.device.type == "cpu" else 1
    return explain_library(records, work_of(explainer, request, drawings, all_tasks), jobs=jobs, watch=watch)


def _explain(job: _Job, names: Sequence[str], folder: Path) -> None:
    model = load_any_model(names, job.settings.device)
    job.enter(folder)
    tasks = job.order.tasks
    if len(tasks) > 1:
        raise UsageError(f"explain one task, or all of them (got {len(tasks)})")
    stream = read_records(job.source, keep="all", **job.order.reading)
    some = list(islice(stream, MOST_EXPLAINED + 1))
    if len(some) > MOST_EXPLAINED:
        raise UsageError(
            f"the file has more than {MOST_EXPLAINED:,} rows, too many to explain them all: screen it, and "
            "the best are explained"
        )
    page = _Page(
        f"Explanations by {model.name}",
        tasks[0] if tasks else None,
        (("molecules", job.order.name),),
        columns_of(stream),
    )
    found = _write_explanations(job, model, chain(some), len(some), page)
    counts = found.counts
    job.finish(
        {
            "rows": len(some),
            "scored": len(some) - counts.rejected,
            "rejected": counts.rejected,
            "explained": counts.explained,
            "unconverged": counts.unconverged,
        }
    )


# Auditing.


def _audit(job: _Job, names: Sequence[str], folder: Path) -> None:
    choose_checks(job.order.checks, ())  # refuses unknown ones before anything is read
    model = load_any_model(names, job.settings.device)
    parts = audited_parts(model, job.order.tasks)
    file, where = _audited_file(job, names)
    job.enter(folder)
    results = [_audited_part(job, part, tasks, file, where) for part, tasks in parts]
    for (part, _), result in zip(parts, results, strict=True):
        for name in ("audit.html", "audit.json", "audit.md"):
            write_audit(result, path_of_part(Path(name), part, len(parts)))
    job.finish(_told_of(results))


def _audited_file(job: _Job, names: Sequence[str]) -> tuple[LabelledFile, str]:
    if job.source:
        return LabelledFile(job.source, **job.order.reading), job.order.name
    try:
        file, part = held_out_file(names[0])
    except MoligError as err:
        raise UsageError(
            f"what the training of {job.order.models[0]} held out is not at hand: give a file of molecules, "
            "best with a column of labels for each task"
        ) from err
    return replace(file, source=Path(file.source).absolute()), f"the {part} part of {Path(file.source).name}"


def _audited_part(
    job: _Job, part: ScoringModel, tasks: tuple[str, ...], file: LabelledFile, where: str
) -> Audit:
    n_rows = len(file.rows) if file.rows is not None else count_rows(Path(file.source))
    job.check_rows(None if n_rows is None else n_rows - 1)
    job.phase("reading", n_rows)
    subject = read_subject(part, file.of_part(part), AuditSettings(tasks=tasks), job.advance)
    n_checks, number = len(choose_checks(job.order.checks, ())), count(1)
    subject = replace(subject, progress=lambda n: job.channel.tell(rows=n))
    return audit(
        subject,
        only=job.order.checks,
        source=where,
        on_check=lambda check: job.phase(f"check {next(number)} of {n_checks}: {check.title}"),
    )


def _told_of(results: Sequence[Audit]) -> dict[str, Any]:
    findings = [finding for result in results for finding in result.findings]
    n_rejected = sum(len(result.subject.rejections) for result in results)
    n_audited = sum(len(result.subject.molecules) for result in results)
    return {
        "rows": n_audited + n_rejected,
        "scored": n_audited,
        "rejected": n_rejected,
        "verdict": " ".join(map(verdict, results)),
        "findings": [
            {"check": one.check, "severity": one.severity.value, "summary": one.summary}
            for one in findings[:_MOST_FINDINGS]
        ],
        "checks": [
            {"check": one.check.name, "title": one.check.title, "status": one.status, "why": one.skipped}
            for result in results
            for one in result.results
        ],
    }
