"""One attempt to get a file, or the rest of it, over HTTP."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from molig.datasets.failures import DownloadError
from molig.datasets.partial import PartialFile
from molig.errors import UsageError
from molig.version import __version__

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
