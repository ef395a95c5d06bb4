"""Ctrl-C that chemistry cannot swallow."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

_AGAIN = 0.1
"""Seconds until a signal is sent again that came just before the main thread began to wait."""


@contextlib.contextmanager
def heard_interrupts() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into a KeyboardInterrupt of the main thread, whatever it is doing.

    RDKit (since 2026.09) puts its own handler in place while it searches a substructure: a SIGINT that comes
    then ends the search early, with matches missing, and Python never hears of it. So SIGINT is blocked, in
    this thread and in those it will start, and a thread that waits for it passes it on as SIGTERM. Enter it
    before numerical libraries start threads of their own. Outside the main thread it does nothing; where
    SIGINT is ignored or cannot be blocked, only SIGTERM is turned.

    Examples
    --------
    >>> with heard_interrupts():
    ...     print("can be interrupted")
    can be interrupted
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    relay = _Relay()
    before = signal.signal(signal.SIGTERM, relay.interrupt)
    try:
        with relay.running() if _can_wait() else contextlib.nullcontext():
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _can_wait() -> bool:
    return hasattr(signal, "sigwait") and signal.getsignal(signal.SIGINT) is signal.default_int_handler


class _Relay:
    """Waits for SIGINT in a thread and passes it on to the main one."""

    def __init__(self) -> None:
        self._main = threading.get_ident()
        self._unheard = self._done = False

    def interrupt(self, number: int, frame: object) -> None:
        self._unheard = False
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        thread = threading.Thread(target=self._pass_on, name="molig-interrupts", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._done, self._unheard = True, False
            signal.pthread_kill(thread.ident or self._main, signal.SIGINT)
            thread.join()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _pass_on(self) -> None:
        while True:
            signal.sigwait({signal.SIGINT})
            self._unheard = not self._done
            while self._unheard:
                signal.pthread_kill(self._main, signal.SIGTERM)
                time.sleep(_AGAIN)
            if self._done:
                return
