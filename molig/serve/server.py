"""A server on a port: uvicorn in a thread, so that the main one hears signals."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from typing import Any, Self
from urllib.parse import quote

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from molig.errors import MoligError, OutputError, UsageError
from molig.serve.app import create_app
from molig.serve.service import Service
from molig.serve.settings import ServeSettings

_START_SECONDS = 30.0
_MOST_CONNECTIONS = 200
_HEAD_SECONDS = 10.0
"""Seconds in which a connection must have said what it wants, or it makes room for others."""
_LAST_WORDS = 5
"""Seconds that answers in hand may take when the server ends."""


class _Connection(H11Protocol):
    """A connection that does not wait for ever: uvicorn knows no such limit before the first request."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait on until a request is there."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._waiting is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(_HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class Server:
    """A server that runs while its block does.

    Parameters
    ----------
    service : Service
        Its desk and jobs, open.
    taken : socket
        Its port; see `bound_socket`.

    Examples
    --------
    >>> import urllib.request
    >>> settings = ServeSettings(models=("tox21-w2n2-simple",), port=0)
    >>> with bound_socket(settings) as taken, Service(settings) as service, Server(service, taken) as server:
    ...     with urllib.request.urlopen(server.address + "api/about") as answer:
    ...         answer.status
    200
    """

    def __init__(self, service: Service, taken: socket.socket) -> None:
        self._settings = service.settings
        self._service, self._socket = service, taken

    @property
    def address(self) -> str:
        """Where the page is."""
        host, port = self._socket.getsockname()[:2]
        shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)  # noqa: S104
        shown = self._settings.host if self._settings.host == "localhost" else shown
        return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"

    @property
    def address_with_token(self) -> str:
        """The same, with the token that opens it."""
        token = self._settings.token
        return self.address + (f"?token={quote(token, safe='')}" if token else "")

    def __enter__(self) -> Self:
        """Begin to answer."""
        config = uvicorn.Config(
            create_app(self._service),
            http=_Connection,
            access_log=False,
            log_level="critical",
            log_config=None,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_LAST_WORDS,
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
        )
        self._server = uvicorn.Server(config)
        options: dict[str, Any] = {"sockets": [self._socket]}
        self._thread = threading.Thread(target=self._server.run, kwargs=options, name="molig-serve")
        self._thread.start()
        until = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                self.__exit__()
                raise MoligError("the server has not started")
            time.sleep(0.01)
        return self

    def wait(self) -> None:
        """Wait until it ends by itself, or the main thread is interrupted."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def __exit__(self, *_: object) -> None:
        """Take no more requests, and end."""
        self._server.should_exit = True
        self._service.desk.close()  # whose answers would not come in time
        self._thread.join()


def bound_socket(settings: ServeSettings) -> socket.socket:
    """Take the port of a server.

    Raises
    ------
    OutputError
        If the port is in use, or may not be taken.
    UsageError
        If the host is none of this machine.
    """
    host, port = settings.host, settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError, OverflowError) as err:
        raise UsageError(f"--host {host}: this machine knows no such name or address") from err
    taken = socket.socket(family, kind, protocol)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as err:
        taken.close()
        raise _refused(err, host, port) from err
    return taken


def _refused(err: OSError, host: str, port: int) -> MoligError:
    if err.errno == errno.EADDRINUSE:
        return OutputError(
            f"port {port} of {host} is in use, perhaps by another molig serve: stop that, or take another by "
            "--port N (0: any that is free)"
        )
    if err.errno == errno.EACCES:
        return OutputError(f"port {port} of {host} is reserved by the system: take another by --port N")
    if err.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"--host {host}: this machine has no such address")
    return OutputError(f"cannot take port {port} of {host}: {err.strerror or err}")
