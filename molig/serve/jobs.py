"""Jobs over whole files: one after the other, each in a process that can be ended, with files of its own."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import IO, Any, NamedTuple

from molig.errors import OutputError, UnknownNameError, UsageError
from molig.molecules.readers import FORMATS, SUFFIXES
from molig.molecules.sources import PACKED
from molig.serve.desk import BusyError
from molig.serve.processes import Killable, Message, place_of
from molig.serve.settings import ServeSettings
from molig.text import legible

KINDS = ("screen", "explain", "audit")
"""What jobs do."""


class ResultFile(NamedTuple):
    """A file that a job may leave: what it is, and how it is sent."""

    title: str
    media_type: str


_CSV, _HTML, _JSON = "text/csv; charset=utf-8", "text/html; charset=utf-8", "application/json"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
RESULTS = {
    "report.html": ResultFile("Report: a page to sort, filter and look into, which works offline", _HTML),
    "hits.csv": ResultFile("Hits, all rows", _CSV),
    "hits.parquet": ResultFile("Hits, all rows, Parquet", "application/vnd.apache.parquet"),
    "hits.xlsx": ResultFile("Hits, all rows, Excel", _XLSX),
    "hits.json": ResultFile("The best hits, as the page shows them", _JSON),
    "explanations.csv": ResultFile("Explanations, a row per molecule", _CSV),
    "explanations.json": ResultFile("Explanations, JSON", _JSON),
    "explanations.sdf": ResultFile("Structures with scores of atoms and bonds", "chemical/x-mdl-sdfile"),
    "explanations.xlsx": ResultFile("Explanations with pictures, Excel", _XLSX),
    "audit.html": ResultFile("Audit: a page that works offline", _HTML),
    "audit.md": ResultFile("Audit, Markdown", "text/markdown; charset=utf-8"),
    "audit.json": ResultFile("Audit, JSON", _JSON),
    "audit-regression.html": ResultFile("Audit of the values", _HTML),
    "audit-regression.json": ResultFile("Audit of the values, JSON", _JSON),
    "audit-classification.html": ResultFile("Audit of the probabilities", _HTML),
    "audit-classification.json": ResultFile("Audit of the probabilities, JSON", _JSON),
    "rejects.csv": ResultFile("Rejected rows with reasons", _CSV),
    "run.json": ResultFile("What the run did, and with which versions", _JSON),
    "all.zip": ResultFile("Everything", "application/zip"),
}
"""By the names that results have; nothing else is ever sent."""

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
MOST_EXPLAINED = 500
"""Molecules that a job explains at most; a page of more is slow."""

_LOOK_EVERY = 0.5
_MOST_WARNINGS = 50
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Order:
    """What a job is asked to do.

    Parameters
    ----------
    kind : {"screen", "explain", "audit"}
        What is done.
    models : tuple of str
        Models, by what the server calls them.
    tasks : tuple of str
        Tasks; none leaves the choice to the model, as the commands do.
    top : int
        Molecules that are explained on the page.
    name : str
        What the user calls the file; shown, never opened.
    file : str
        The file in the job's directory; "" for an audit with what training held out.
    smiles_column, id_column, delimiter : str, optional
        How it is read; see `molig.molecules.read_records`.
    checks : tuple of str
        Of an audit; none means all.
    workbook : bool
        Whether explanations are also written as an Excel file with pictures, which takes its time.
    """

    kind: str
    models: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    top: int = 50
    name: str = ""
    file: str = ""
    smiles_column: str | None = None
    id_column: str | None = None
    delimiter: str | None = None
    checks: tuple[str, ...] = ()
    workbook: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError("kind of job", self.kind, KINDS)
        if not self.models:
            raise UsageError("choose a model")
        if len(self.models) > 1 and self.kind != "screen":
            raise UsageError(f"a job that is to {self.kind} takes one model (got {len(self.models)})")
        if not 0 < self.top <= MOST_EXPLAINED:
            raise UsageError(f"top must be from 1 to {MOST_EXPLAINED} (got {self.top})")
        if self.workbook and find_spec("openpyxl") is None:
            raise UsageError("a workbook needs openpyxl: pip install 'molig[excel]' where the server runs")

    @property
    def reading(self) -> dict[str, Any]:
        """How its file is read."""
        return {name: getattr(self, name) for name in ("smiles_column", "id_column", "delimiter")}


@dataclass(eq=False)
class Job:
    """A job and what is known of it.

    Parameters
    ----------
    id : str
        Its number.
    order : Order
        What it is asked to do.
    folder : Path
        Its directory.
    state : str
        "waiting", "running", "done", "failed" or "cancelled".
    rows, total, rejected : int
        Of its phase: rows done, rows in all (roughly; None if not known), rows rejected.
    phase : str
        What is done now.
    phase_began, began : float
        When, by the monotonic clock.
    seconds : float
        How long it took.
    error : str
        Why it failed.
    warnings : list of str
        What it warned of.
    summary : dict
        What came of it.
    results : dict of str to int
        Its files, with their sizes in bytes.
    process : Killable, optional
        Where it runs, while it does.
    """

    id: str
    order: Order
    folder: Path
    state: str = WAITING
    rows: int = 0
    total: int | None = None
    rejected: int = 0
    phase: str = ""
    phase_began: float = 0.0
    began: float = 0.0
    seconds: float = 0.0
    error: str = ""
    warnings: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)
    process: Killable | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in (DONE, FAILED, CANCELLED)

    def told(self) -> dict[str, Any]:
        """What the page is told."""
        spent = time.monotonic() - self.phase_began
        rate = self.rows / spent if self.state == RUNNING and self.rows and spent > 0 else None
        left = None if rate is None or self.total is None else max(self.total - self.rows, 0) / rate
        return {
            "id": self.id,
            "kind": self.order.kind,
            "name": legible(self.order.name),
            "models": list(self.order.models),
            "tasks": list(self.order.tasks),
            "state": self.state,
            "phase": self.phase,
            "rows": self.rows,
            "total": self.total,
            "rejected": self.rejected,
            "rate": rate,
            "remaining": left,
            "seconds": time.monotonic() - self.began if self.state == RUNNING else self.seconds,
            "message": self._message(),
            "warnings": list(self.warnings),
            "error": self.error or None,
            "summary": dict(self.summary),
            "results": [
                {
                    "name": name,
                    "title": RESULTS[name].title,
                    "bytes": size,
                    "url": f"/api/jobs/{self.id}/results/{name}",
                }
                for name, size in self.results.items()
            ],
        }

    def named(self, text: str) -> str:
        """A message that calls the file as the user does."""
        name = legible(self.order.name)[:_LONGEST_NAME]
        return text.replace(self.order.file, name) if self.order.file and name else text

    def _message(self) -> str:
        if self.state == RUNNING:
            return self.phase or "starting"
        return {WAITING: "waiting for the job before it", CANCELLED: "cancelled"}.get(self.state, self.state)


def input_name(name: str, file_format: str | None) -> str:
    """What the file of a job is called in its directory: never as the user calls it.

    Parameters
    ----------
    name : str
        What the user calls it; only its end is looked at.
    file_format : str, optional
        One of `molig.molecules.readers.FORMATS`, where the name does not tell.

    Raises
    ------
    UsageError
        If neither tells a format.

    Examples
    --------
    >>> input_name("../../Actives 2024.CSV.gz", None), input_name("export", "smi")
    ('molecules.csv.gz', 'molecules.smi')
    """
    ends = [end.lower() for end in PurePath(name).suffixes[-2:]]
    packed = ends.pop() if ends and ends[-1] in PACKED else ""
    if file_format is not None:
        if file_format.lower() not in FORMATS:
            raise UnknownNameError("format", file_format, FORMATS)
        return f"molecules.{file_format.lower()}{packed}"
    if ends and ends[-1] in SUFFIXES:
        return f"molecules{ends[-1]}{packed}"
    if packed == ".zip":
        return "molecules.zip"  # whose contents tell
    raise UsageError(
        f"{legible(name)[:200] or 'the file'}: unknown file type; supported are {', '.join(SUFFIXES)}, each "
        f"also with {', '.join(PACKED)} (or say which it is with format)"
    )


class Jobs:
    """The jobs of a server.

    Parameters
    ----------
    settings : ServeSettings
        Models and limits.
    folder : Path
        Where jobs keep their files.
    say : callable
        Told of faults of molig, for the terminal.
    """

    def __init__(self, settings: ServeSettings, folder: Path, say: Callable[[str], object]) -> None:
        self._settings, self._folder, self._say = settings, folder, say
        self._jobs: dict[str, Job] = {}
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="molig-jobs", daemon=True)

    def open(self) -> None:
        """Begin to work."""
        self._thread.start()

    def check_room(self) -> None:
        """Refuse a job, before its file is read, if too many wait."""
        with self._lock:
            waiting = sum(job.state == WAITING for job in self._jobs.values())
        if waiting >= self._settings.max_waiting:
            raise BusyError(
                f"{waiting} jobs wait already, the most that this server takes; cancel one, or wait"
            )

    def add(self, order: Order, content: IO[bytes] | None) -> Job:
        """Take a job, with the bytes of its file; raises BusyError, or OutputError where there is no room."""
        self.check_room()
        number = secrets.token_hex(8)
        job = Job(number, order, self._folder / number)
        try:
            job.folder.mkdir()
            if content is not None:
                with (job.folder / order.file).open("wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
        except OSError as err:
            shutil.rmtree(job.folder, ignore_errors=True)
            raise OutputError(f"the server cannot keep the file: {err.strerror or err}") from err
        try:
            with self._changed:
                self.check_room()  # others may have come while the file was written
                self._jobs[number] = job
                self._changed.notify_all()
        except BusyError:
            shutil.rmtree(job.folder, ignore_errors=True)
            raise
        return job

    def all(self) -> list[dict[str, Any]]:
        """What is told of all jobs, the newest first."""
        with self._lock:
            return [job.told() for job in reversed(self._jobs.values())]

    def told(self, number: str) -> dict[str, Any] | None:
        """What is told of a job; None if there is no such job."""
        with self._lock:
            job = self._jobs.get(number)
            return None if job is None else job.told()

    def result(self, number: str, name: str) -> Path | None:
        """A file of a job by its name; None if it has no such result."""
        with self._lock:
            job = self._jobs.get(number)
            return job.folder / name if job is not None and name in job.results else None

    def remove(self, number: str) -> str | None:
        """Cancel a job, or remove one that is over with its files; returns what was done, None for no job."""
        with self._changed:
            job = self._jobs.get(number)
            if job is None:
                return None
            if job.is_over:
                del self._jobs[number]
                shutil.rmtree(job.folder, ignore_errors=True)
                return "removed"
            job.state, process = CANCELLED, job.process
        if process is None:  # it has not begun
            shutil.rmtree(job.folder, ignore_errors=True)
        else:
            process.end()  # the thread that waits for it clears up
        return CANCELLED

    def close(self) -> None:
        """End everything."""
        with self._changed:
            self._closed = True
            running = [job.process for job in self._jobs.values() if job.process is not None]
            self._changed.notify_all()
        for process in running:
            process.end()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._run(job)
            except OutputError as err:
                self._finish(job, FAILED, str(err))
            except Exception as err:  # whatever one job runs into, the others are done
                self._note(job, {"fault": place_of(err)})
            finally:
                if not job.results:
                    shutil.rmtree(job.folder, ignore_errors=True)
            self._forget_old()

    def _next(self) -> Job | None:
        with self._changed:
            while not self._closed:
                for job in self._jobs.values():
                    if job.state == WAITING:
                        job.state, job.began = RUNNING, time.monotonic()
                        return job
                self._changed.wait()
        return None

    def _run(self, job: Job) -> None:
        process = Killable(
            "molig.serve.work:do_job", self._folder, job.id, job.order.__dict__, self._settings
        )
        with self._lock:
            job.process = process
            is_cancelled = job.state == CANCELLED or self._closed
        if is_cancelled:
            process.end()
        try:
            self._listen(job, process)
        finally:
            process.end()
            with self._lock:
                job.process = None

    def _listen(self, job: Job, process: Killable) -> None:
        """Take note of what a process tells until it is done, or its time is up."""
        limit = self._settings.job_limit
        while True:
            if time.monotonic() - job.began > limit:
                return self._finish(
                    job, FAILED, f"it took longer than the limit of {limit:,.0f} s (--job-limit)"
                )
            try:
                if not process.channel.waits(_LOOK_EVERY):
                    continue
                message = process.channel.hear()
            except (EOFError, OSError):
                why = process.cause()
                return self._finish(job, FAILED, f"the process of this job has ended ({why})")
            if self._note(job, message):
                return None

    def _note(self, job: Job, message: Message) -> bool:
        """Take note of a message; whether it was the last."""
        with self._lock:
            if job.state == CANCELLED:
                return False  # until its pipe is closed
            if "phase" in message:
                job.phase, job.phase_began = message["phase"], time.monotonic()
                job.rows, job.rejected, job.total = 0, 0, message.get("total")
            job.rows += message.get("rows", 0)
            job.rejected += message.get("rejected", 0)
            if "warning" in message and len(job.warnings) < _MOST_WARNINGS:
                job.warnings.append(job.named(legible(message["warning"])))
        if "fault" in message:
            self._say(f"a job broke off: {message['fault']}")
            self._finish(job, FAILED, f"this is a fault of molig, not of the file: {message['fault']}")
        elif "error" in message:
            with self._lock:
                job.results = message.get("results", {})
            self._finish(job, FAILED, job.named(message["error"]))
        elif "results" in message:
            with self._lock:
                job.results, job.summary = message["results"], message["summary"]
                job.rows, job.rejected = message["summary"]["rows"], message["summary"]["rejected"]
            self._finish(job, DONE)
        else:
            return False
        return True

    def _finish(self, job: Job, state: str, error: str = "") -> None:
        with self._lock:
            job.seconds = time.monotonic() - job.began
            if job.state != CANCELLED:
                job.state, job.error = state, error

    def _forget_old(self) -> None:
        with self._lock:
            over = [job for job in self._jobs.values() if job.is_over]
            for job in over[: max(len(over) - self._settings.max_kept, 0)]:
                del self._jobs[job.id]
                shutil.rmtree(job.folder, ignore_errors=True)
