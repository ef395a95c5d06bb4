"""Downloads that survive dropped connections.

By hand on the standard library, since the libraries for it (pooch and the like) verify a file but start it
again where a connection drops, and a table of this kind may have hundreds of megabytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from molig.errors import InputError, OutputError, UsageError
from molig.version import __version__

Advance = Callable[[int, int | None], None]
"""Takes the bytes that have arrived and the size of the file, None if the server does not say."""

_SCHEMES = ("http", "https")
_BLOCK = 1 << 16
_LONGEST_PAUSE_S = 30.0
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which another try may succeed."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class DownloadError(InputError):
    """A file cannot be downloaded from its address."""


class ChecksumError(DownloadError):
    """What arrived is not what was expected, byte for byte or value for value."""


class _DroppedError(Exception):
    """The transfer ended early or the server is busy: worth another try."""


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    progress: Advance | None = None,
    attempts: int = 5,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> str:
    """Download a file, continuing what an earlier attempt has left; returns its SHA-256.

    What arrives is kept in ``PATH.part``; `path` appears, or is replaced, when it is complete and verified.
    The rest is requested with ``Range`` and ``If-Range``: if the file has changed at its source, or the
    server cannot continue, it is sent, and written, from the start. Redirects are followed, but not from
    https to http. `attempts` counts the tries in a row that got no further; `pause`, in seconds, doubles
    after each.

    Raises DownloadError if the file cannot be had (what has arrived is kept), ChecksumError if its digest
    differs (nothing is kept), OutputError if it cannot be written.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"cannot download {url!r}: give a complete http:// or https:// URL")
    part = PartialFile(path)
    furthest, failed = part.size, 0
    while True:
        try:
            _receive(url, part, timeout, progress or (lambda received, total: None))
            break
        except _DroppedError as err:
            # A server that always breaks off at the same byte and cannot continue must not hold us for ever.
            failed = 1 if part.size > furthest else failed + 1
            furthest = max(furthest, part.size)
            if failed >= attempts:
                raise DownloadError(
                    f"{url}: {err}; gave up after {failed} attempts, "
                    f"{part.size:,} bytes are kept for the next time"
                ) from err
            time.sleep(min(pause * 2 ** (failed - 1), _LONGEST_PAUSE_S))
    digest = part.sha256()
    if sha256 is not None and digest != sha256.lower():
        part.discard()
        raise ChecksumError(
            f"{url}: SHA-256 is {digest}, but {sha256.lower()} was expected; the download was removed. "
            "Try again; if it stays so, the file has changed at its source"
        )
    part.complete()
    return digest


def _receive(url: str, part: PartialFile, timeout: float, advance: Advance) -> None:
    """One attempt to get the file, or what is missing of it; returns when its last byte is there."""
    headers = {"User-Agent": f"molig/{__version__}", "Accept-Encoding": "identity"}
    version = part.version(url)
    if version:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": version}
    with _failures_named(url, part):
        request = Request(url, headers=headers)  # noqa: S310 - `download` has checked the scheme
        with build_opener(_CarefulRedirects).open(request, timeout=timeout) as response:
            total = _begin_or_continue(response, url, part)
            advance(part.size, total)
            while block := response.read1(_BLOCK):
                part.append(block)
                advance(part.size, total)
    if total is not None and part.size != total:
        if part.size > total:
            part.discard()
        raise _DroppedError(f"the connection ended after {part.size:,} of {total:,} bytes")


def _begin_or_continue(response: http.client.HTTPResponse, url: str, part: PartialFile) -> int | None:
    """Whether the answer is the rest or the whole again; returns the size of the whole."""
    tag = response.headers.get("ETag")
    # Weak tags do not promise equal bytes.
    version = (None if tag.startswith("W/") else tag) if tag else response.headers.get("Last-Modified")
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        # A server that knows no ranges, or has another version by now, sends the whole.
        part.begin(url, version)
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else None
    span = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if not span or int(span[1]) != part.size or version not in (None, part.version(url)):
        part.discard()
        raise _DroppedError("the server sent another part of the file than the one asked for")
    return int(span[2]) if span[2] != "*" else None


class _CarefulRedirects(HTTPRedirectHandler):
    """Follow redirects, but never out of encryption or to files of this machine."""

    def redirect_request(  # noqa: PLR0917 - the signature of the base class
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in _SCHEMES or (old == "https" and new == "http"):
            raise DownloadError(
                f"{req.full_url} redirects to {newurl}: {old} to {new or 'nothing'} is refused"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass
class PartialFile:
    """What has arrived so far of a file, and a note beside it.

    The note has the URL and the server's mark of the version (ETag or date), so that a later run continues
    only the very same file.
    """

    target: Path

    @property
    def path(self) -> Path:
        """The incomplete file."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def note(self) -> Path:
        """Where it comes from."""
        return self.target.with_name(self.target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self, url: str) -> str | None:
        """Mark of the version that has arrived in part; None if it cannot be continued."""
        try:
            content = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(content, dict) or content.get("url") != url or not self.size:
            return None
        mark = content.get("validator")
        return mark if isinstance(mark, str) and mark.isprintable() else None

    def begin(self, url: str, version: str | None) -> None:
        """Start from nothing."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(b"")
            self.note.write_text(json.dumps({"url": url, "validator": version}), encoding="utf-8")

    def append(self, block: bytes) -> None:
        """Keep what comes next; on disk at once, so that an interrupted run leaves it."""
        with writing(self.path), self.path.open("ab") as file:
            file.write(block)

    def sha256(self) -> str:
        """Digest of what has arrived."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def complete(self) -> None:
        """Give the file its name."""
        with writing(self.target):
            os.replace(self.path, self.target)
        self.note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what has arrived."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the file."""
    try:
        yield
    except OSError as err:
        raise OutputError(
            f"cannot write {path}: {err.strerror or err}; make room or name another directory"
        ) from err


@contextlib.contextmanager
def _failures_named(url: str, part: PartialFile) -> Iterator[None]:
    """Separate failures that pass from those that stay, and name both."""
    try:
        yield
    except HTTPError as err:
        with err:
            raise _http_failure(url, err, part) from err
    except URLError as err:
        reason = err.reason
        raise _network_failure(url, reason if isinstance(reason, OSError) else err) from err
    except http.client.InvalidURL as err:
        raise UsageError(f"cannot download {url!r}: {err}") from err
    except http.client.HTTPException as err:
        raise _DroppedError(f"the answer broke off ({type(err).__name__})") from err
    except OSError as err:
        raise _network_failure(url, err) from err


def _http_failure(url: str, err: HTTPError, part: PartialFile) -> Exception:
    status = f"HTTP {err.code} {http.client.responses.get(err.code, '')}".strip()
    if err.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.size:
        part.discard()
        return _DroppedError(f"{status}; starting again")
    if err.code in _PASSING:
        return _DroppedError(status)
    if err.code in (301, 302, 303, 307, 308):
        return DownloadError(f"{url}: {status}, but the redirects lead in a circle or away from the web")
    where = "" if err.url in (None, url) else f" at {err.url}"
    return DownloadError(f"{url}: {status}{where}; check the URL, or give another with --url")


def _network_failure(url: str, err: OSError) -> Exception:
    host = urlsplit(url).netloc
    reason = err.strerror or str(err)
    if isinstance(err, socket.gaierror):
        return DownloadError(f"{url}: cannot find the host {host} ({reason}); is there a network?")
    if isinstance(err, ssl.SSLCertVerificationError):
        return DownloadError(f"{url}: the certificate of {host} does not hold ({err.verify_message})")
    if isinstance(err, ConnectionRefusedError):
        return DownloadError(f"{url}: {host} refuses the connection")
    return _DroppedError(reason)
