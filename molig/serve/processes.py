"""Processes that answer through a pipe and can be ended at any time, with everything they have started.

Each leads a session of its own, so that Ctrl-C does not reach it and one signal ends it with its workers. If
the server is gone, however it ended, a process removes its files and ends itself.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
import weakref
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from molig.errors import MoligError, OutputError

Message = dict[str, Any]

_PRELOADED = ["molig.serve.answers", "molig.serve.work"]
"""Read once by the process that others are forked from, so that they begin in no time."""

_START = "forkserver" if sys.platform == "linux" else "spawn"


class Channel:
    """The end of a pipe that a process tells its server through: messages are JSON, one dictionary each."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def tell(self, **message: Any) -> None:
        """Send a message."""
        self._pipe.send_bytes(json.dumps(message, allow_nan=False).encode())

    def hear(self) -> Message:
        """Wait for the next message; raises EOFError when there will be none."""
        message: Message = json.loads(self._pipe.recv_bytes())
        return message

    def waits(self, seconds: float) -> bool:
        """Whether a message, or the end, comes within so many seconds."""
        return self._pipe.poll(seconds)

    def close(self) -> None:
        """Close this end."""
        self._pipe.close()


class Killable:
    """A process, in the eyes of the server.

    Parameters
    ----------
    work : str
        A function, as ``"module:name"``, called there with a `Channel`, ``folder`` and ``arguments``; its
        module is imported there only.
    folder : Path
        Directory of the server; removed by the process if the server is gone.
    *arguments : object
        What else it needs.

    Raises
    ------
    OutputError
        If the machine has no room for one more process.

    Examples
    --------
    >>> process = Killable("molig.serve.processes:echo", Path("unused"))
    >>> process.channel.tell(word="hello")
    >>> process.channel.hear()
    {'word': 'hello'}
    >>> process.end()
    """

    def __init__(self, work: str, folder: Path, *arguments: Any) -> None:
        context: Any = multiprocessing.get_context(_START)
        if _START == "forkserver":
            context.set_forkserver_preload(_PRELOADED)
        try:
            ours, theirs = context.Pipe()
            far, self._lifeline = context.Pipe(duplex=False)
            self._process = context.Process(
                target=_begin, args=(work, theirs, far, str(folder), arguments), name="molig-serve"
            )
            self._process.start()
        except OSError as err:
            raise OutputError(f"cannot start a process: {err.strerror or err}") from err
        theirs.close()
        far.close()
        self.channel = Channel(ours)
        self._ending = threading.Lock()
        self._ended = False
        _running.add(self)

    def end(self) -> None:
        """End it with everything it has started, at once; it may be called by any thread, and again."""
        with self._ending:
            if self._ended:
                return
            self._ended = True
            if hasattr(os, "killpg"):
                # It may not lead its group yet, or be gone with its workers still there.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.join()
            self._lifeline.close()
        _running.discard(self)

    def cause(self) -> str:
        """What it has ended of, once its pipe is closed."""
        self._process.join(_MOMENT)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        return signal.Signals(-code).name


_MOMENT, _PAUSE = 5.0, 0.05
_running: weakref.WeakSet[Killable] = weakref.WeakSet()


@atexit.register
def end_all() -> None:
    """End all processes: `multiprocessing` would wait for them at the end of the interpreter."""
    for process in list(_running):
        process.end()


# In the process.


def _begin(work: str, pipe: Connection, lifeline: Connection, folder: str, arguments: Any) -> None:
    if hasattr(os, "setsid"):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _be_silent()
    threading.Thread(target=_watch, args=(lifeline, folder), daemon=True).start()
    channel = Channel(pipe)
    with contextlib.suppress(EOFError, OSError):
        try:
            module, _, name = work.partition(":")
            getattr(import_module(module), name)(channel, Path(folder), *arguments)
        except MoligError as err:
            channel.tell(error=str(err), exit_code=err.exit_code)
        except Exception as err:
            channel.tell(fault=place_of(err))


def _be_silent() -> None:
    """Let nothing that RDKit says of molecules reach the terminal of the server."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)


def _watch(lifeline: Connection, folder: str) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    _remove(Path(folder))
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _remove(folder: Path) -> None:
    """Remove a directory, in which other processes may still write for a moment."""
    until = time.monotonic() + _MOMENT
    while folder.exists() and time.monotonic() < until:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_PAUSE)


def place_of(error: BaseException) -> str:
    """Kind and place of an error that nobody meant to raise; its text may hold molecules and is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def echo(channel: Channel, folder: Path) -> None:
    """Send back what comes."""
    while True:
        channel.tell(**channel.hear())
