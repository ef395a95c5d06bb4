"""A web server on this machine that can be told to misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class ServedFile:
    """One address: what it answers, request by request.

    `cuts` says after how many bytes of the body the connection is closed, `statuses` what is answered instead
    of the file; each applies to one request, then the file is served as it should be.
    """

    content: bytes = b""
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    says_length: bool = True
    shift: int = 0
    redirect: str | None = None
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)


class FileServer:
    """Addresses and where they are served."""

    def __init__(self) -> None:
        self.files: dict[str, ServedFile] = {}
        self.origin = ""

    def serve(self, path: str, content: bytes = b"", **how: object) -> ServedFile:
        """Put a file at an address."""
        self.files[path] = ServedFile(content, **how)
        return self.files[path]

    def url(self, path: str) -> str:
        """The whole address."""
        return self.origin + path


class _Handler(BaseHTTPRequestHandler):
    files: dict[str, ServedFile]

    def do_GET(self) -> None:
        file = self.files.get(self.path)
        if file is None:
            self._refuse(404)
            return
        file.requests.append(dict(self.headers.items()))
        if file.redirect is not None:
            self.send_response(302)
            self.send_header("Location", file.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif file.statuses:
            self._refuse(file.statuses.pop(0))
        else:
            self._send(file)

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, file: ServedFile) -> None:
        start = self._start(file)
        if start is not None and start >= len(file.content):
            self._refuse(416)
            return
        body = file.content[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            last = len(file.content) - 1
            self.send_header("Content-Range", f"bytes {start + file.shift}-{last}/{len(file.content)}")
        for name, value in (("ETag", file.etag), ("Last-Modified", file.modified)):
            if value is not None:
                self.send_header(name, value)
        if file.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: file.cuts.pop(0)] if file.cuts else body)
        self.close_connection = True

    def _start(self, file: ServedFile) -> int | None:
        asked = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if not file.ranges or asked is None or condition not in (None, file.etag, file.modified):
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running_file_server() -> Iterator[FileServer]:
    """A server on a free port of the loopback interface."""
    served = FileServer()
    handler = type("Handler", (_Handler,), {"files": served.files})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    served.origin = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
