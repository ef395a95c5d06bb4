"""Opening molecule files: compression, encodings, standard input, and lines of bounded length."""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from molig.errors import InputError, UsageError
from molig.molecules.reasons import MAX_LINE_CHARACTERS

STDIN = "-"
GZIP_MAGIC = b"\x1f\x8b"
READ_ERRORS = (OSError, EOFError, zlib.error)
"""What reading a damaged or vanished file raises; `gzip.BadGzipFile` is an OSError."""

_PIECE = 1 << 14
_LONGEST_MARK = 3
_BOM_CODECS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class Line(NamedTuple):
    """One line without its end, or several that one quoted field joins."""

    text: str
    too_long: bool = False
    """Whether it was cut at the limit."""
    recoded: bool = False
    """Whether it is no UTF-8 and was read as Windows-1252."""
    n_joined: int = 1


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
def open_lines(source: str | Path) -> Iterator[Iterator[Line]]:
    """Open a file or standard input as lines, whatever its compression, byte-order mark and line ends."""
    with open_bytes(source) as stream:
        yield bounded_lines(decoded(cast(io.BufferedIOBase, stream)))


def decoded(stream: io.BufferedIOBase) -> Iterator[str]:
    """Read text in pieces, lines ending in a line feed; bytes that are no UTF-8 become surrogates for now."""
    head = stream.read1(_PIECE)
    while len(head) < _LONGEST_MARK and (more := stream.read1(_PIECE)):
        head += more
    codec = next((codec for mark, codec in _BOM_CODECS if head.startswith(mark)), "utf-8")
    errors = "backslashreplace" if codec == "utf-16" else "surrogateescape"
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(codec)(errors), translate=True)
    while head:
        yield decoder.decode(head)
        head = stream.read1(_PIECE)
    yield decoder.decode(b"", final=True)


def bounded_lines(pieces: Iterable[str], limit: int = MAX_LINE_CHARACTERS) -> Iterator[Line]:
    """Cut text into lines of at most ``limit`` characters: a file without line ends must fit into memory."""
    held = ""
    for piece in pieces:
        lines = piece.split("\n")
        lines[0] = held + lines[0]
        held = lines.pop()[: limit + 1]
        for text in lines:
            yield Line(text) if len(text) <= limit and text.isascii() else _line(text, limit)
    if held:
        yield _line(held, limit)


def _line(text: str, limit: int) -> Line:
    too_long = len(text) > limit
    text = text[:limit]
    try:
        text.encode()
    except UnicodeEncodeError:
        return Line(as_text(text.encode(errors="surrogateescape")), too_long, recoded=True)
    return Line(text, too_long)


def as_text(content: bytes) -> str:
    """Decode UTF-8, or else Windows-1252; bytes without meaning there are spelled out and so kept apart."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="backslashreplace")
