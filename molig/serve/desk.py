"""The desk: one process that has the models at hand and answers questions about single molecules.

A molecule that hangs or crashes it costs this process only; the next question gets a new one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from molig.errors import MoligError
from molig.serve.processes import Killable, Message
from molig.serve.settings import ServeSettings

_MOST_WAITING = 8
_LOOK_EVERY = 0.2
_PATIENCE = 2.0
"""Seconds that an answer nobody waits for may take: a new process takes about as long."""
_START_SECONDS = 300.0
"""Until models are read, on a busy machine; several of another package take their time."""


class BusyError(MoligError):
    """Too many questions, or jobs, wait already."""


class TooLongError(MoligError):
    """An answer took longer than the server allows."""


class CrashedError(MoligError):
    """The process that worked on an answer has ended."""


class ClosedError(MoligError):
    """The server is ending."""


class UnwantedError(MoligError):
    """Nobody waits for the answer any more."""


class RemoteError(MoligError):
    """What a process reports, in the words of the library.

    Parameters
    ----------
    message : str
        What was wrong.
    exit_code : int
        That of the error there.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Desk:
    """Questions about single molecules, one at a time, each within a limit of time.

    Parameters
    ----------
    settings : ServeSettings
        Models and limits.
    folder : Path
        Directory of the server, removed if it is killed.
    """

    def __init__(self, settings: ServeSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._places = threading.BoundedSemaphore(_MOST_WAITING)
        self._lock = threading.Lock()
        self._closed = False
        self._process: Killable | None = None
        self.models: list[dict[str, Any]] = []
        self.cards: dict[str, str] = {}

    def open(self) -> None:
        """Start, and read what the models say of themselves; raises what is wrong with them."""
        with self._lock:
            self._started()

    def ask(
        self, question: str, *, wanted: Callable[[], bool] = lambda: True, **details: Any
    ) -> dict[str, Any]:
        """Have a question answered.

        Parameters
        ----------
        question : str
            "score", "explain", "compare", "edits" or "draw"; see `molig.serve.answers`.
        wanted : callable
            Whether somebody still waits for the answer; asked now and then.
        **details
            Its arguments.

        Returns
        -------
        dict
            The answer, plain values.

        Raises
        ------
        RemoteError
            What the library says of the question.
        BusyError, TooLongError, CrashedError, ClosedError, UnwantedError
            If there is no answer.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError("many questions wait for an answer already; ask again in a moment")
        try:
            with self._turn(wanted):
                return self._answer({"question": question, "details": details}, wanted)
        finally:
            self._places.release()

    @contextlib.contextmanager
    def _turn(self, wanted: Callable[[], bool]) -> Iterator[None]:
        """Wait until the questions before are answered."""
        while not self._lock.acquire(timeout=_LOOK_EVERY):
            if not wanted():
                raise UnwantedError("nobody waits for this answer any more")
        try:
            yield
        finally:
            self._lock.release()

    def close(self) -> None:
        """End, whatever is in hand."""
        self._closed = True
        if self._process is not None:
            self._process.end()

    def _started(self) -> Killable:
        if self._closed:
            raise ClosedError("the server is ending")
        if self._process is None:
            self._process = Killable(
                "molig.serve.answers:serve_desk", self._folder, self._settings.models, self._settings.device
            )
            told = self._heard(self._process, _START_SECONDS)
            self.models, self.cards = told["models"], told["cards"]
        return self._process

    def _answer(self, question: Message, wanted: Callable[[], bool]) -> dict[str, Any]:
        process = self._started()
        try:
            process.channel.tell(**question)
        except OSError:  # it has ended since, of a full memory or by another's hand
            self._forget(process)
            process = self._started()
            process.channel.tell(**question)
        self._heard(process, _START_SECONDS)  # the model is read
        answer: dict[str, Any] = self._heard(process, self._settings.time_limit, wanted)["answer"]
        return answer

    def _heard(self, process: Killable, seconds: float, wanted: Callable[[], bool] = lambda: True) -> Message:
        """The next message, if it comes in time and is none of an error."""
        began = time.monotonic()
        try:
            while not process.channel.waits(min(_LOOK_EVERY, seconds)):
                spent = time.monotonic() - began
                if spent >= seconds:
                    self._forget(process)
                    raise TooLongError(
                        f"no answer within {seconds:g} s, the limit for one molecule here (--time-limit)"
                    )
                if spent >= _PATIENCE and not wanted():
                    self._forget(process)
                    raise UnwantedError("nobody waits for this answer any more")
            message = process.channel.hear()
        except (EOFError, OSError) as err:
            why = process.cause()
            self._forget(process)
            if self._closed:
                raise ClosedError("the server is ending") from err
            raise CrashedError(
                f"the process that worked on this has ended ({why}); a new one starts"
            ) from err
        if "fault" in message:
            raise CrashedError(f"this is a fault of molig, not of the request: {message['fault']}")
        if "error" in message:
            raise RemoteError(message["error"], message["exit_code"])
        return message

    def _forget(self, process: Killable) -> None:
        process.end()
        if self._process is process:
            self._process = None
