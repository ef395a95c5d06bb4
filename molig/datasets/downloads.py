"""Downloads that survive dropped connections."""

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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from molig.errors import InputError, OutputError, UsageError
from molig.version import __version__

# A file that is still arriving: ``NAME.part`` and a note of where it comes from.


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the file."""
    try:
        yield
    except OSError as err:
        raise OutputError(
            f"cannot write {path}: {err.strerror or err}; make room or name another directory"
        ) from err


@dataclass
class PartialFile:
    """What has arrived so far of one file.

    The note remembers the URL and the server's mark of the version (ETag or date), so that a later run
    continues only the very same file.

    Parameters
    ----------
    target : Path
        Name of the file once it is complete.
    """

    target: Path

    @property
    def path(self) -> Path:
        """The incomplete file."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def note(self) -> Path:
        """What is known about it."""
        return self.target.with_name(self.target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def validator(self, url: str) -> str | None:
        """Mark of the version that has arrived in part; None if it cannot be continued."""
        try:
            content = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(content, dict) or content.get("url") != url or not self.size:
            return None
        mark = content.get("validator")
        return mark if isinstance(mark, str) and mark.isprintable() else None

    def begin(self, url: str, validator: str | None) -> None:
        """Start from nothing."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(b"")
            self.note.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")

    @contextlib.contextmanager
    def appending(self) -> Iterator[BinaryIO]:
        """Open for what comes next."""
        with writing(self.path), self.path.open("ab") as file:
            yield file

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


# What can go wrong between a server and a table.


class DownloadError(InputError):
    """A file could not be had from where it should be."""


class ChecksumError(DownloadError):
    """What arrived is not what was expected, byte for byte or value for value."""


# One attempt to get a file, or the rest of it, over HTTP.

Advance = Callable[[int, int | None], None]

_SCHEMES = ("http", "https")
_BLOCK = 1 << 16
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class DroppedError(Exception):
    """The transfer ended early or the server is busy: worth another try."""


def check_url(url: str) -> None:
    """Refuse what is not the address of a file on a web server."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"cannot download {url!r}: give a complete http:// or https:// URL")


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


def _opener() -> OpenerDirector:
    return build_opener(_CarefulRedirects)


def receive(url: str, part: PartialFile, *, timeout: float, advance: Advance) -> None:
    """Get the file, or what is missing of it; returns when the last byte is in `part`.

    Raises
    ------
    DroppedError
        If another try may help; what has arrived is kept.
    DownloadError
        If it may not.
    """
    mark = part.validator(url)
    headers = {"User-Agent": f"molig/{__version__}", "Accept-Encoding": "identity"}
    if mark:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": mark}
    with _failures_named(url, part):
        request = Request(url, headers=headers)  # noqa: S310 - check_url has seen the scheme
        with _opener().open(request, timeout=timeout) as response:
            total = _begin_or_continue(response, url, part)
            advance(part.size, total)
            _append(response, part, total, advance)
    if total is not None and part.size != total:
        if part.size > total:
            part.discard()
        raise DroppedError(f"the connection ended after {part.size:,} of {total:,} bytes")


def _begin_or_continue(response: http.client.HTTPResponse, url: str, part: PartialFile) -> int | None:
    """Whether the answer is the rest or the whole again; returns the size of the whole."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        # A server that knows no ranges, or has another version by now, sends the whole.
        part.begin(url, _mark(response))
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else None
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if not found or int(found[1]) != part.size or _mark(response) not in (None, part.validator(url)):
        part.discard()
        raise DroppedError("the server sent another part of the file than the one asked for")
    return int(found[2]) if found[2] != "*" else None


def _mark(response: http.client.HTTPResponse) -> str | None:
    """What tells this version of the file from others; weak tags do not promise equal bytes."""
    tag = response.headers.get("ETag")
    if tag:
        return None if tag.startswith("W/") else str(tag)
    return response.headers.get("Last-Modified")


def _append(
    response: http.client.HTTPResponse, part: PartialFile, total: int | None, advance: Advance
) -> None:
    size = part.size
    while block := response.read1(_BLOCK):
        with part.appending() as file:
            file.write(block)
        size += len(block)
        advance(size, total)


@contextmanager
def _failures_named(url: str, part: PartialFile) -> Iterator[None]:
    """Tell failures that pass from those that stay, and name both."""
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
        raise DroppedError(f"the answer broke off ({type(err).__name__})") from err
    except OSError as err:
        raise _network_failure(url, err) from err


def _http_failure(url: str, err: HTTPError, part: PartialFile) -> Exception:
    told = f"HTTP {err.code} {http.client.responses.get(err.code, '')}".strip()
    if err.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.size:
        part.discard()
        return DroppedError(f"{told}; starting again")
    if err.code in _PASSING:
        return DroppedError(told)
    if err.code in (301, 302, 303, 307, 308):
        return DownloadError(f"{url}: {told}, but the redirects lead in a circle or away from the web")
    where = "" if err.url in (None, url) else f" at {err.url}"
    return DownloadError(f"{url}: {told}{where}; check the URL, or give another with --url")


def _network_failure(url: str, err: OSError) -> Exception:
    host = urlsplit(url).netloc
    told = err.strerror or str(err)
    if isinstance(err, socket.gaierror):
        return DownloadError(f"{url}: cannot find the host {host} ({told}); is there a network?")
    if isinstance(err, ssl.SSLCertVerificationError):
        return DownloadError(f"{url}: the certificate of {host} does not hold ({err.verify_message})")
    if isinstance(err, ConnectionRefusedError):
        return DownloadError(f"{url}: {host} refuses the connection")
    return DroppedError(told)


_LONGEST_PAUSE_S = 30.0


def download(
    url: str,
    path: str | Path,
    *,
    sha256: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    attempts: int = 5,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> str:
    """Get a file, continuing what an earlier attempt has left.

    What arrives is kept in ``PATH.part``; `path` appears when it is complete and verified. A rest is asked
    for with ``Range`` and ``If-Range``: if the file has changed at its source, or the server cannot continue,
    it is sent, and written, from the start. Redirects are followed, but not from https to http.

    Parameters
    ----------
    url : str
        Where; http or https.
    path : str or Path
        Name of the file here. One that exists is replaced.
    sha256 : str, optional
        Digest that the file must have.
    progress : callable, optional
        Called with the bytes that have arrived and with the size of the file (None if the server does
        not say).
    attempts : int
        How often in a row to try without getting further.
    timeout : float
        Seconds to wait for an answer, or for more of it.
    pause : float
        Seconds before the second attempt; doubled each time, at most 30 s.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    UsageError
        If the URL is none of http or https.
    DownloadError
        If the server has no such file, cannot be reached, or the connection drops again and again; what has
        arrived is kept for the next time.
    ChecksumError
        If the digest is another one; nothing is kept.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> download("file:///etc/hosts", "hosts")
    Traceback (most recent call last):
        ...
    molig.errors.UsageError: cannot download 'file:///etc/hosts': give a complete http:// or https:// URL
    """
    check_url(url)
    part = PartialFile(Path(path))
    advance = progress or (lambda received, total: None)
    furthest, failed = part.size, 0
    while True:
        try:
            receive(url, part, timeout=timeout, advance=advance)
            break
        except DroppedError as err:
            # A server that always breaks off at the same byte and cannot continue must not hold us for ever.
            failed = 1 if part.size > furthest else failed + 1
            furthest = max(furthest, part.size)
            if failed >= attempts:
                raise DownloadError(
                    f"{url}: {err}; gave up after {failed} attempts, "
                    f"{part.size:,} bytes are kept for the next time"
                ) from err
            time.sleep(min(pause * 2 ** (failed - 1), _LONGEST_PAUSE_S))
    return _verify(url, part, sha256)


def _verify(url: str, part: PartialFile, expected: str | None) -> str:
    found = part.sha256()
    if expected is not None and found != expected.lower():
        part.discard()
        raise ChecksumError(
            f"{url}: SHA-256 is {found}, but {expected.lower()} was expected; the download was removed. "
            "Try again; if it stays so, the file has changed at its source"
        )
    part.complete()
    return found
