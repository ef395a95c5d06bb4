"""Worker processes that may die: of a bad row, of a full memory, of a signal. No row is lost by it.

A worker gets one chunk of records at a time, and writes into memory that it shares which of them it is at.
Where it ends before its answer, a new one takes its place and the rows that it was at are tried again: alone,
or in halves until one row is left that ends a process by itself. That row is rejected with the reason, and
the chunk is done again without it.

Workers are forked where that is safe, on Linux: a new one begins in a hundredth of a second and shares the
memory of the model. Elsewhere they start from nothing and get the model sent.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, Protocol

import torch
from rdkit import Chem

from molig.errors import InputError, ModelFormatError, MoligError, OutputError, UsageError, called
from molig.molecules import Record
from molig.molecules.guard import MEMORY_BYTES, time_limit, wall_limit
from molig.molecules.reasons import Reason

try:
    import resource
except ImportError:  # Windows has no limits of this kind
    resource = None  # type: ignore[assignment]

MAX_FRUITLESS = 3
"""So often a chunk is tried again when a worker has ended and no row of it is to blame."""

START_METHOD = "fork" if sys.platform == "linux" else "spawn"

_ROWS_PER_LIMIT = 40
"""A batch of so many rows may take twice the time limit of one row in a step that treats them together."""

_OUT_OF_MEMORY = 77  # exit code
_TIMEOUT_SIGNAL = int(getattr(signal, "SIGPROF", 0))
_FROM_OUTSIDE = {int(getattr(signal, name, -1)) for name in ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")}
_LOOK_EVERY = 1.0


class Mark(Protocol):
    """Called by a task to say which of its records it is at."""

    def __call__(self, first: int, end: int, patience: int = 1) -> None:
        """The first of them, the one behind the last, and how many times the limit of time they may take."""


class Task(Protocol):
    """What workers do."""

    def prepare(self) -> None:
        """Make ready what all workers share; called once before the first starts."""

    def __call__(self, records: Sequence[Record], mark: Mark) -> bytes:
        """The answer for records; calls ``mark`` before each step that a record could hang or crash."""


class WorkersError(MoligError):
    """Worker processes end, and no row is to blame."""


@dataclass
class _Chunk:
    """A chunk in hand."""

    number: int
    records: list[Record]
    probes: int = 0  # not answered yet
    fruitless: int = 0


class _Job(NamedTuple):
    """A whole chunk, or a probe of some of its rows, whose answer counts for nothing but that it comes."""

    chunk: _Chunk
    rows: range | None = None
    n_before: int = 0  # as often one row was tried alone, and its process was ended from outside


class Workers:
    """A number of worker processes, and the chunks that they are at.

    Parameters
    ----------
    task : Task
        What to do with a chunk of records.
    jobs : int
        How many processes.
    seconds : float
        Processor time that one row may take.
    start_method : {"fork", "spawn"}
        How processes start.

    Examples
    --------
    >>> class Count:
    ...     def prepare(self):
    ...         pass
    ...
    ...     def __call__(self, records, mark):
    ...         return str(len(records)).encode()
    >>> chunks = [(0, [Record(1, "a", "C"), Record(2, "b", "CC")]), (1, [Record(3, "c", "CCC")])]
    >>> with Workers(Count(), 2) as workers:
    ...     sorted(workers.answers(chunks))
    [(0, b'2'), (1, b'1')]
    """

    def __init__(
        self, task: Task, jobs: int, seconds: float = 10.0, *, start_method: str = START_METHOD
    ) -> None:
        self._task, self._jobs, self._seconds = task, jobs, seconds
        self._context: Any = multiprocessing.get_context(start_method)
        self._workers: list[_Worker] = []
        self._again: deque[_Job] = deque()

    def __enter__(self) -> Workers:
        """Prepare the task; processes start with the first chunk."""
        self._task.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def answers(self, chunks: Iterable[tuple[int, list[Record]]]) -> Iterator[tuple[int, bytes]]:
        """Number and answer of every chunk, as they come; at most one chunk a worker is in hand.

        Raises
        ------
        WorkersError
            If workers keep ending although no row is to blame.
        MoligError
            What a task raises; any other error as a RuntimeError with its traceback.
        """
        coming = _Ahead(chunks)
        answered: list[tuple[int, bytes]] = []
        while True:
            for worker in self._idle(coming):
                worker.give(self._again.popleft() if self._again else _Job(_Chunk(*coming.take())))
            # Whoever takes the answers does so while the workers are at the next chunks.
            yield from answered
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy:
                return
            coming.look()
            answered = [found for worker in _heard(busy) if (found := self._answer_of(worker)) is not None]

    def _answer_of(self, worker: _Worker) -> tuple[int, bytes] | None:
        """Number and answer of a chunk, if that is what a worker has come with."""
        answer = worker.take()
        if answer is None:
            self._mourn(worker)
            return None
        job, worker.job = worker.job, None
        if job is None or job.rows is not None:
            if job is not None:
                self._probed(job.chunk)
            return None
        return job.chunk.number, answer

    def _idle(self, coming: _Ahead) -> Iterator[_Worker]:
        """A worker for every job that there is, as long as one is free or may be started."""
        for worker in [worker for worker in self._workers if worker.job is None]:
            if not self._again and not coming.look():
                return
            yield worker
        while len(self._workers) < self._jobs and (self._again or coming.look()):
            worker = _Worker(self._context, self._task, self._seconds, self._workers)
            self._workers.append(worker)
            yield worker

    def _mourn(self, worker: _Worker) -> None:
        """A worker has ended: find the row that it ended of."""
        job, why, outside = worker.job, worker.cause(), worker.ended_from_outside
        worker.kill()
        self._workers.remove(worker)
        if job is None:
            return
        chunk, rows = job.chunk, range(len(job.chunk.records)) if job.rows is None else job.rows
        suspects = rows[slice(*worker.at)]
        if job.rows is None:
            chunk.fruitless += 1
            if chunk.fruitless > MAX_FRUITLESS:
                raise WorkersError(_hopeless(chunk, suspects, why))
        if len(suspects) == 1 and job.rows == suspects and outside and job.n_before < MAX_FRUITLESS:
            chunk.probes += 1
            self._again.append(_Job(chunk, suspects, job.n_before + 1))
        elif len(suspects) == 1 and job.rows == suspects:
            place = suspects[0]
            chunk.records[place] = replace(chunk.records[place], mol=None, problem=Reason.GAVE_UP.text(why))
            chunk.fruitless = 0
        elif job.rows == suspects:
            half = len(suspects) // 2
            self._probe(chunk, suspects[:half], suspects[half:])
        elif suspects:
            self._probe(chunk, suspects)
        if job.rows is not None:
            self._probed(chunk)
        elif not chunk.probes:
            self._again.append(_Job(chunk))

    def _probe(self, chunk: _Chunk, *suspects: range) -> None:
        chunk.probes += len(suspects)
        self._again.extend(_Job(chunk, rows) for rows in suspects)

    def _probed(self, chunk: _Chunk) -> None:
        chunk.probes -= 1
        if not chunk.probes:
            self._again.append(_Job(chunk))


class _Ahead:
    """A stream of chunks, of which one is read before it is needed."""

    def __init__(self, chunks: Iterable[tuple[int, list[Record]]]) -> None:
        self._coming = iter(chunks)
        self._next: tuple[int, list[Record]] | None = None

    def look(self) -> bool:
        """Whether there is one more; read now."""
        self._next = self._next or next(self._coming, None)
        return self._next is not None

    def take(self) -> tuple[int, list[Record]]:
        """The one that was looked at."""
        found, self._next = self._next, None
        if found is None:
            raise StopIteration
        return found


def _hopeless(chunk: _Chunk, suspects: range, why: str) -> str:
    rows = [chunk.records[place].row for place in (suspects or range(len(chunk.records)))]
    return (
        f"worker processes ended {MAX_FRUITLESS + 1} times at rows {rows[0]:,} to {rows[-1]:,} ({why}), and "
        "none of these rows ends one by itself; if the machine is short of memory, take fewer processes "
        f"({called('jobs')}) or smaller batches ({called('batch_size')})"
    )


def _heard(busy: list[_Worker]) -> list[_Worker]:
    """Workers that have answered or ended; those that hang are ended, too."""
    ready = set(wait([worker.pipe for worker in busy], timeout=_LOOK_EVERY))
    if not ready:
        for worker in busy:
            worker.end_if_stuck()
    return [worker for worker in busy if worker.pipe in ready]


@dataclass
class _Sight:
    """What a worker was last seen at, and since when."""

    at: tuple[int, ...] = ()
    since: float = field(default_factory=time.monotonic)


class _Worker:
    """A process, in the eyes of the one that has started it."""

    def __init__(self, context: Any, task: Task, seconds: float, others: Sequence[_Worker]) -> None:
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        try:
            self._marks = context.RawArray("q", 4)
        except OSError as err:  # a file, behind the scenes
            raise OutputError(
                f"cannot write memory that worker processes share: {err.strerror or err}; "
                f"make room for temporary files, or take {called('jobs')} 1"
            ) from err
        self._seconds = seconds
        self.job: _Job | None = None
        self._sight, self._stuck = _Sight(), False
        # A forked process has the pipes of its elders, and would keep them open when they have ended.
        inherited = [worker.pipe for worker in others] + [self.pipe]
        foreign = inherited if context.get_start_method() == "fork" else []
        self._process = context.Process(
            target=_serve, args=(task, theirs, self._marks, seconds, foreign), daemon=True
        )
        with warnings.catch_warnings():
            # Python 3.12 warns of forks beside threads. Ours hold no lock that a worker takes.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        theirs.close()

    @property
    def at(self) -> tuple[int, int]:
        """The first of the records that it is at, and the one behind the last."""
        return self._marks[0], self._marks[1]

    @property
    def _row_limit(self) -> float:
        """Seconds of processor time that a row may take in what it is doing."""
        return self._seconds * int(self._marks[3])

    def give(self, job: _Job) -> None:
        """Hand out a job."""
        self.job = job
        self._marks[:] = [0, 0, 0, 1]
        self._sight = _Sight()
        records = job.chunk.records if job.rows is None else [job.chunk.records[i] for i in job.rows]
        with contextlib.suppress(OSError):  # it has ended, as will be seen at once
            self.pipe.send([sendable(record) for record in records])

    def take(self) -> bytes | None:
        """Its answer; None if it has ended. Raises what it reports, and repeats its warnings."""
        try:
            while True:
                content = heard(self.pipe.recv_bytes())
                if content is not None:
                    return content
        except (EOFError, OSError):
            return None

    def end_if_stuck(self) -> None:
        """End it if it neither computes nor comes forward, such as one that waits for a lock."""
        now = tuple(self._marks)
        if now != self._sight.at:
            self._sight = _Sight(now)
        elif time.monotonic() - self._sight.since > wall_limit(_limit(self._row_limit, now[1] - now[0])):
            self._stuck = True
            self._process.kill()

    def cause(self) -> str:
        """What it has ended of, as the end of a reason."""
        self._process.join()
        code = self._process.exitcode or 0
        if self._stuck:
            return f"no answer in {wall_limit(self._row_limit):g} s"
        if code == -_TIMEOUT_SIGNAL:
            return f"it takes more than {self._row_limit:g} s of processor time"
        if code == _OUT_OF_MEMORY:
            return f"it takes more than {MEMORY_BYTES >> 20:,} MB"
        if self.ended_from_outside:
            name = signal.Signals(-code).name
            return f"the process was ended ({name}), which happens where memory is short"
        return f"RDKit crashed on it ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"

    @property
    def ended_from_outside(self) -> bool:
        """Whether a signal has ended it that no crash sends: it may have met the wrong one."""
        return not self._stuck and -(self._process.exitcode or 0) in _FROM_OUTSIDE

    def kill(self) -> None:
        """End it, and forget its pipe."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self.pipe.close()


def _limit(seconds: float, n_rows: int) -> float:
    return seconds * (1 + max(n_rows - 1, 0) / _ROWS_PER_LIMIT)


def sendable(record: Record) -> Record:
    """A record as it can go to another process.

    A molecule loses the properties of its atoms on the way, and with them where they stood in the input.
    """
    if record.mol is None:
        return record
    return replace(record, mol=packed_mol(record.mol))


def packed_mol(mol: Chem.Mol) -> Any:
    """A molecule as bytes, with all that it holds; `rdkit.Chem.Mol` makes it of them again."""
    options = Chem.PropertyPickleOptions.AllProps | Chem.PropertyPickleOptions.CoordsAsDouble
    return mol.ToBinary(options)


def received(record: Record) -> Record:
    """The same from another process."""
    return record if record.mol is None else replace(record, mol=Chem.Mol(record.mol))


def messages_of(work: Callable[[], bytes]) -> list[bytes]:
    """What a piece of work warns of and, as the last one, what it answers or ends of; for another process."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        try:
            last = b"A" + work()
        except Exception as err:  # whoever hears of it raises it
            kinds = [kind.__name__ for kind in type(err).__mro__ if kind.__name__ in _ERRORS]
            content = {
                "kind": next(iter(kinds), ""),
                "message": str(err),
                "traceback": traceback.format_exc(),
            }
            last = b"E" + json.dumps(content).encode()
    return [*(b"W" + str(one.message).encode() for one in told), last]


def heard(message: bytes) -> bytes | None:
    """The answer in a message of `messages_of`; None after a warning, which is given; errors are raised."""
    kind, content = message[:1], message[1:]
    if kind == b"A":
        return content
    if kind == b"W":
        warnings.warn(content.decode(), stacklevel=3)
        return None
    told = json.loads(content)
    error = _ERRORS.get(told["kind"])
    raise error(told["message"]) if error else RuntimeError(f"a worker broke off:\n{told['traceback']}")


_ERRORS: dict[str, type[MoligError]] = {
    kind.__name__: kind for kind in (UsageError, InputError, OutputError, ModelFormatError, WorkersError)
}


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# In the worker.


def _serve(task: Task, pipe: Connection, marks: Any, seconds: float, foreign: Sequence[Connection]) -> None:
    """Answer until the pipe is closed."""
    # Ctrl-C reaches the whole group, and the first process decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in foreign:
        other.close()
    limit_memory()
    # There is a process for every core, and sums on several threads end in other digits.
    torch.set_num_threads(1)

    def mark(first: int, end: int, patience: int = 1) -> None:
        marks[0], marks[1], marks[3] = first, end, patience
        marks[2] += 1
        if _TIMEOUT_SIGNAL:
            signal.setitimer(signal.ITIMER_PROF, _limit(patience * seconds, end - first))

    with contextlib.suppress(EOFError, OSError), time_limit(seconds):
        while True:
            records = [received(record) for record in pipe.recv()]
            for message in _answered(task, records, mark):
                pipe.send_bytes(message)


def _answered(task: Task, records: list[Record], mark: Mark) -> list[bytes]:
    def work() -> bytes:
        try:
            return task(records, mark)
        except MemoryError:
            os._exit(_OUT_OF_MEMORY)

    messages = messages_of(work)
    mark(0, 0)
    if _TIMEOUT_SIGNAL:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return messages


def limit_memory() -> None:
    """Let the process grow by what one row may take."""
    with contextlib.suppress(OSError, ValueError):
        if resource is not None:
            with open("/proc/self/statm", encoding="ascii") as file:
                size = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(
                resource.RLIMIT_AS, (size + MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1])
            )
