"""Opening molecule files: compression, encodings, standard input, and lines of bounded length."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO, cast

from molig.errors import InputError, UsageError
from molig.molecules.reasons import MAX_LINE_CHARACTERS

STDIN = "-"
GZIP_MAGIC = b"\x1f\x8b"
READ_ERRORS = (OSError, EOFError, zlib.error)
"""What reading a damaged or vanished file raises; `gzip.BadGzipFile` is an OSError."""

_BOM_CODECS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class Line(NamedTuple):
    """One line without its end; ``too_long`` if it was cut at the limit."""

    text: str
    too_long: bool = False


def check_source(source: str | Path) -> None:
    """Refuse a source that cannot be opened, before any work begins."""
    if str(source) == STDIN:
        return
    path = Path(source)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory; name the molecule file in it")
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be opened ({error})") from error
    if not exists:
        raise UsageError(f"{path}: no such file; check the path")


@contextmanager
def open_bytes(source: str | Path) -> Iterator[BinaryIO]:
    """Open a file or standard input as bytes, unpacked if its first bytes or its name say gzip."""
    if str(source) == STDIN:
        yield _unpacked(_peekable(sys.stdin.buffer), by_name=False)
        return
    path = Path(source)
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    with raw:
        yield _unpacked(raw, by_name=path.suffix.lower() == ".gz")


def _peekable(stream: BinaryIO) -> io.BufferedReader:
    return stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))


def _unpacked(raw: io.BufferedReader, by_name: bool) -> BinaryIO:
    packed = by_name or raw.peek(2)[:2] == GZIP_MAGIC
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw


@contextmanager
def open_text(source: str | Path) -> Iterator[TextIO]:
    """Open a file or standard input as text, whatever its compression, byte-order mark and line ends.

    Bytes that are no text become U+FFFD, so that one damaged row does not stop a screen.
    """
    with open_bytes(source) as stream:
        buffered = io.BufferedReader(cast(io.RawIOBase, stream))
        head = buffered.peek(4)
        encoding = next((codec for mark, codec in _BOM_CODECS if head.startswith(mark)), "utf-8")
        text = io.TextIOWrapper(buffered, encoding=encoding, errors="replace", newline=None)
        try:
            yield text
        finally:
            # Closing the wrapper would close standard input with it.
            text.detach()
            buffered.detach()


def bounded_lines(text: TextIO, limit: int = MAX_LINE_CHARACTERS) -> Iterator[Line]:
    """Read lines, each cut at ``limit`` characters, so that a file without line ends fits into memory."""
    while piece := text.readline(limit + 1):
        if piece.endswith("\n"):
            yield Line(piece[:-1])
        elif len(piece) <= limit:
            yield Line(piece)
        else:
            _skip_rest_of_line(text, limit)
            yield Line(piece[:limit], too_long=True)


def _skip_rest_of_line(text: TextIO, limit: int) -> None:
    while piece := text.readline(limit):
        if piece.endswith("\n"):
            return
