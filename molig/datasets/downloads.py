"""Downloads that survive dropped connections."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from molig.datasets.failures import ChecksumError, DownloadError
from molig.datasets.partial import PartialFile
from molig.datasets.transfer import DroppedError, check_url, receive

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
