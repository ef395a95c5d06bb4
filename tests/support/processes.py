"""`molig` in processes of their own that start at once: forked from one that has imported what commands need.

Torch alone takes a second and a half. What the start and the end of an interpreter do is seen of
``python -m molig`` only.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

DEADLINE = 600
"""Seconds after which a process that hangs is given up."""

_COMMANDS = ("app", "explain", "merge", "prepare", "screen", "train")
_NEEDED = (
    *(f"molig.cli.{name}" for name in _COMMANDS),
    *("molig.foreign", "molig.report", "molig.screening", "molig.screening.run_report", "molig.training"),
    *("pandas", "pyarrow.parquet"),
)


def _command(words: list[str], chunk_rows: int | None, limit: int | None, ends: list[Connection]) -> None:
    """What the process does: a command, with its standard streams where somebody waits for them."""
    import torch

    from molig.cli import main
    from molig.report import explaining
    from molig.screening import pipeline, preparing

    # A shell without job control starts its background jobs deaf to Ctrl-C; the tests may be one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if chunk_rows is not None:
        for module in (explaining, pipeline, preparing):
            module.CHUNK_ROWS = chunk_rows
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (as long as the process)
    sys.argv = ["molig", *words]
    main()


class Run:
    """A command that runs.

    Parameters
    ----------
    *words : object
        Its words.
    chunk_rows : int, optional
        Rows of a chunk, instead of what they are.
    limit : int, optional
        Bytes that a file may have; writing more fails as on a full disk.
    """

    def __init__(self, *words: object, chunk_rows: int | None = None, limit: int | None = None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_NEEDED))
        stdin, self._stdin = context.Pipe(duplex=False)
        self._stdout, stdout = context.Pipe(duplex=False)
        self._stderr, stderr = context.Pipe(duplex=False)
        ends = [stdin, stdout, stderr]
        arguments = ([str(word) for word in words], chunk_rows, limit, ends)
        self._process = context.Process(target=_command, args=arguments)
        self._process.start()
        for end in ends:
            end.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid or 0

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.exitcode

    def write(self, text: str) -> None:
        """Write to its standard input."""
        rest = text.encode()
        while rest:
            rest = rest[os.write(self._stdin.fileno(), rest) :]

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Wait so long for its end; returns its exit code."""
        self._process.join(seconds)
        return self.code

    def ended(self) -> int:
        """Wait for its end while its input stays open; returns its exit code."""
        if self.wait(DEADLINE) is None:
            self.kill()
            raise AssertionError(f"it did not end in {DEADLINE} s")
        return self.code or 0

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until something is so, while it runs."""
        end = time.monotonic() + DEADLINE
        while not condition():
            if self.code is not None or time.monotonic() > end:
                raise AssertionError(f"that never happened: {self.finish()}")
            time.sleep(0.005)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self._process.kill()
        self._process.join()
        self._close()

    def finish(self, text: str = "") -> tuple[int, str, str]:
        """Give it the rest of its input; returns exit code, output and messages, less than a pipe holds."""
        if text:
            self.write(text)
        self._stdin.close()
        code = self.ended()
        said = [_all_of(end) for end in (self._stdout, self._stderr)]
        self._close()
        return code, said[0], said[1]

    def _close(self) -> None:
        for end in (self._stdin, self._stdout, self._stderr):
            end.close()


def _all_of(end: Connection) -> str:
    with os.fdopen(os.dup(end.fileno()), encoding="utf-8") as file:
        return file.read()
