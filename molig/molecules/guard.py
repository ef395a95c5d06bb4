"""Rows that may hurt: on some valid texts RDKit hangs, eats all memory or crashes, and no row may end a run.

Rows of ordinary size are read in the process itself. A longer one goes to a second process that may die.
There its graph is bounded before RDKit sanitises it, since ring search is what explodes, and what passes has
a limit of processor time and memory. A row that costs the process its life is rejected with the reason, and
the next long row gets a new process.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import IO, Any

from rdkit import Chem, rdBase

from molig.molecules.reasons import MAX_LINE_CHARACTERS, Reason, RefusedError

try:
    import resource
except ImportError:  # Windows has no limits of this kind
    resource = None  # type: ignore[assignment]

Question = dict[str, Any]
Answer = tuple[Chem.Mol, Any]

SUSPECT_CHARACTERS = 300
"""A SMILES up to this long takes RDKit less than half a second, whatever it says; see docs/robustness.md."""

SUSPECT_LINES = 300
"""Mol blocks up to this many lines likewise."""

MAX_RINGS = 100
"""Largest number of independent rings (bonds - atoms + fragments); a C60 cage has 31."""

MAX_ATOMS = 10_000
"""Largest structure of a mol block that is sanitised; the parser's own limit comes later."""

CPU_SECONDS = 10.0
"""Processor time that one row may take."""

MEMORY_BYTES = 4 * 2**30
"""Address space of the process that reads long rows."""

WALL_FACTOR = 12
"""Where processor time cannot be limited, or a process sleeps, this many times the limit is waited, and"""

START_SECONDS = 60
"""so many seconds more, in which a process starts on a busy machine."""

_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]);"
    "from molig.molecules import guard, parser, sdf_reader;"
    "guard.serve({'smiles': parser.read_guarded, 'block': sdf_reader.read_guarded})"
)


def wall_limit(cpu_seconds: float) -> float:
    """Seconds after which an answer that may take so much processor time is no longer waited for."""
    return WALL_FACTOR * cpu_seconds + START_SECONDS


def is_suspect(smiles: str) -> bool:
    """Whether a SMILES is read in the second process."""
    return SUSPECT_CHARACTERS < len(smiles) <= MAX_LINE_CHARACTERS


def ask_guard(request: Question) -> Answer:
    """Have a long row read, by the reader of "smiles" or "block"; raises RefusedError as that does."""
    return _shared_of(os.getpid(), _seconds.get()).ask(request)


@contextlib.contextmanager
def time_limit(cpu_seconds: float) -> Iterator[None]:
    """Let a long row take so much processor time within the block, instead of `CPU_SECONDS`."""
    token = _seconds.set(cpu_seconds)
    try:
        yield
    finally:
        _seconds.reset(token)


def check_rings(raw: Chem.Mol) -> None:
    """Refuse a structure that is not sanitised yet, by its number of rings."""
    n_rings = raw.GetNumBonds() - raw.GetNumAtoms() + len(Chem.GetMolFrags(raw))
    if n_rings > MAX_RINGS:
        detail = f"{n_rings} independent rings, more than the limit of {MAX_RINGS}"
        raise RefusedError(Reason.TOO_COMPLEX.text(detail))


class ReaderProcess:
    """A process that reads one row after the other, started at the first, and anew after it has died.

    It is no `multiprocessing` process: those run a user's script a second time where it has no main guard.
    """

    def __init__(self, cpu_seconds: float = CPU_SECONDS, memory_bytes: int = MEMORY_BYTES) -> None:
        self._limits = {"cpu_seconds": cpu_seconds, "memory_bytes": memory_bytes}
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._lock = threading.Lock()
        atexit.register(self.close)

    def ask(self, request: Question) -> Answer:
        """Have a row read; raises RefusedError if it is refused or costs the process its life."""
        with self._lock:
            line = self._answer(json.dumps(request | self._limits))
        answer = json.loads(line)
        if "reason" in answer:
            raise RefusedError(answer["reason"])
        packed: Any = base64.b64decode(answer["mol"])  # bytes, which the stubs do not know
        return Chem.Mol(packed), answer["more"]

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

    def _answer(self, request: str) -> str:
        process = self._started()
        seconds = self._limits["cpu_seconds"]
        try:
            print(request, file=process.stdin, flush=True)
            line = self._lines.get(timeout=wall_limit(seconds))
        except BaseException as error:
            # An interrupted run must not take the late answer for that of the next row.
            self.close()
            if isinstance(error, queue.Empty | OSError):
                raise RefusedError(Reason.GAVE_UP.text(f"no answer in {wall_limit(seconds):g} s")) from error
            raise
        if line:
            return line
        code = process.wait()
        self.close()
        if code == -_TIMEOUT_SIGNAL:
            raise RefusedError(Reason.GAVE_UP.text(f"it takes more than {seconds:g} s of processor time"))
        died = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise RefusedError(Reason.GAVE_UP.text(f"RDKit crashed on it ({died})"))

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(  # noqa: S603 - this Python, and nothing of the row
                [sys.executable, "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env=environment,
            )
            self._lines = queue.Queue()
            reader = threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True)
            reader.start()
        return self._process


def _read(pipe: IO[str], lines: queue.Queue[str]) -> None:
    """Hand on what a process writes, and an empty line at its end."""
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            lines.put(line)
    lines.put("")


_seconds = ContextVar("_seconds", default=CPU_SECONDS)


@lru_cache(maxsize=4)
def _shared_of(pid: int, cpu_seconds: float) -> ReaderProcess:
    return ReaderProcess(cpu_seconds)


# In the second process.

_TIMEOUT_SIGNAL = int(getattr(signal, "SIGPROF", 0))


def serve(readers: Mapping[str, Callable[[Question], Answer]]) -> None:
    """Answer requests on standard input, one line of JSON each, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the first process decides
    with rdBase.BlockLogs():
        for line in sys.stdin:
            request = json.loads(line)
            _limit_memory(request["memory_bytes"])
            with _cpu_limit(request["cpu_seconds"]):
                answer = _answer_of(readers, request)
            print(json.dumps(answer), flush=True)


def _answer_of(readers: Mapping[str, Callable[[Question], Answer]], request: Question) -> dict[str, Any]:
    (kind,) = readers.keys() & request.keys()
    try:
        mol, more = readers[kind](request)
        packed = mol.ToBinary(Chem.PropertyPickleOptions.AllProps)
    except RefusedError as refused:
        return {"reason": str(refused)}
    except MemoryError:
        return {"reason": Reason.GAVE_UP.text(f"it takes more than {request['memory_bytes'] >> 20:,} MB")}
    return {"mol": base64.b64encode(packed).decode(), "more": more}


def _limit_memory(size: int) -> None:
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))


@contextlib.contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """End this process by a signal after so much processor time; C++ code hears no exception."""
    if not _TIMEOUT_SIGNAL:
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
