"""Opening molecule files: compression, encodings, standard input, and lines of bounded length."""

from __future__ import annotations

import bz2
import codecs
import fnmatch
import glob
import gzip
import io
import re
import stat
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from molig.deferred import deferred
from molig.errors import InputError, UsageError, called
from molig.molecules.reasons import MAX_LINE_CHARACTERS, one_line

if TYPE_CHECKING:
    from pyarrow import fs
else:
    fs = deferred("pyarrow.fs")

STDIN = "-"
STORE_FILE = "store.json"
"""By this file a directory is known as a feature store."""
GZIP_MAGIC = b"\x1f\x8b"
BZIP2_MAGIC = b"BZh"
ZIP_MAGIC = b"PK\x03\x04"
PACKED = (".gz", ".bz2", ".zip")
"""Suffixes of packed files; what is packed is recognised by its first bytes, too."""

MAX_UNPACKING = 100
"""A packed file that unpacks to more than this many times its size is refused; SMILES reach 3 to 10."""

MAX_UNPACKED_FREELY = 64 << 20
"""Bytes up to which a file may unpack to any multiple of its size."""

MAX_SPOOLED = 32 << 30
"""Bytes that a packed or piped Parquet file may take as a temporary file."""

READ_ERRORS = (OSError, EOFError, zlib.error)
"""What reading a damaged or vanished file raises; `gzip.BadGzipFile` is an OSError."""

_PIECE = 1 << 14
_PIECE_OF_REMOTE = 1 << 22
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LONGEST_MARK = 3
_BOM_CODECS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class Line(NamedTuple):
    """One line without its end, or several: those that one quoted field joins, or empty ones in a row."""

    text: str
    too_long: bool = False
    """Whether it was cut at the limit."""
    recoded: bool = False
    """Whether it is no UTF-8 and was read as Windows-1252."""
    n_lines: int = 1


def is_url(source: object) -> bool:
    """Whether a source is an address of object storage or of another file system that pyarrow knows.

    Examples
    --------
    >>> is_url("s3://bucket/library.smi"), is_url("library.smi")
    (True, False)
    """
    return isinstance(source, str) and _URL.match(source) is not None


def without_query(source: str | Path) -> str:
    """A path or an address without what may follow a question mark, such as a region."""
    return source.partition("?")[0] if isinstance(source, str) and is_url(source) else str(source)


def files_of(source: str | Path) -> tuple[str, ...]:
    """Files that a pattern means, such as ``parts/*.parquet``, by name; of anything else the source itself.

    Parameters
    ----------
    source : str or Path
        ``*`` and ``[...]`` stand for parts of a name, in a path also ``?``, and ``**`` for any directories.

    Raises
    ------
    UsageError
        If no file fits.
    InputError
        If the place cannot be listed.

    Examples
    --------
    >>> files_of("library.smi")
    ('library.smi',)
    """
    text = str(source)
    if not any(mark in without_query(source) for mark in ("*[" if is_url(source) else "*?[")):
        return (text,)
    if is_url(source):
        found = _listed(text)
    elif Path(text).exists():
        return (text,)
    else:
        found = [path for path in glob.glob(text, recursive=True) if Path(path).is_file()]
    if not found:
        raise UsageError(f"{source}: no file fits this pattern; check the path")
    return tuple(sorted(found))


def _listed(pattern: str) -> list[str]:
    address, _, query = pattern.partition("?")
    base = address[: re.search(r"[*\[]", address).start()].rpartition("/")[0]  # type: ignore[union-attr]
    query = f"?{query}" if query else ""
    system, path = file_system(base + query)
    # What pyarrow makes of an address has no scheme, and for some systems no bucket.
    head = base.removesuffix(path)
    with _reading(pattern):
        infos = system.get_file_info(fs.FileSelector(path, recursive="**" in address))
    files = [head + info.path for info in infos if info.is_file]
    return [file + query for file in files if fnmatch.fnmatchcase(file, address)]


def file_system(url: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address, and the path in it; raises InputError."""
    with _reading(url):
        system, path = fs.FileSystem.from_uri(url)
        return system, path


@contextmanager
def _reading(url: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{url}: cannot be read ({one_line(error)}); check the address, and what this computer may read"
        ) from error


def check_source(source: str | Path) -> None:
    """Refuse a source that cannot be opened, before any work begins."""
    if str(source) == STDIN:
        return
    if isinstance(source, str) and is_url(source):
        system, place = file_system(source)
        with _reading(source):
            kind = system.get_file_info(place).type
        if kind != fs.FileType.File:
            raise UsageError(f"{source}: no such file; check the address")
        return
    path = Path(source)
    try:
        if (path / STORE_FILE).is_file():
            raise UsageError(
                f"{path} is a feature store, which is not read here: give the library that it was made of"
            )
        if path.is_dir():
            raise InputError(f"{path} is a directory; name the molecule file in it")
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be opened ({error})") from error
    if not exists:
        raise UsageError(f"{path}: no such file; check the path")


def size_and_time(source: str | Path) -> tuple[int, int] | None:
    """Size in bytes and time of the last change (ns) of a regular file; None for pipes and what is gone."""
    if str(source) == STDIN:
        return None
    if isinstance(source, str) and is_url(source):
        system, place = file_system(source)
        with _reading(source):
            info = system.get_file_info(place)
        return (info.size, info.mtime_ns) if info.is_file else None
    try:
        state = Path(source).stat()
    except OSError:
        return None
    return (state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else None


@contextmanager
def open_bytes(source: str | Path, *, archives: bool = True) -> Iterator[BinaryIO]:
    """Open a file or standard input as bytes, unpacked if its first bytes or its name say that it is packed.

    An Excel file is a zip archive, which ``archives = False`` leaves as it is.
    """
    if str(source) == STDIN:
        if sys.stdin is None:
            raise InputError("standard input is closed; give a file, or send the molecules by a pipe")
        piped = _peekable(sys.stdin.buffer)
        if archives and piped.peek(4)[:4] == ZIP_MAGIC:
            raise InputError("standard input: a zip archive cannot be piped; unpack it before (unzip -p)")
        with _unpacked(piped, "standard input", by_name=False) as stream:
            yield stream
        return
    path = Path(source)
    with _opened(source) as raw:
        if archives and raw.peek(4)[:4] == ZIP_MAGIC:
            with _only_member(raw, path) as stream:
                yield stream
            return
        with _unpacked(raw, str(path), by_name=path.suffix.lower() == ".gz") as stream:
            yield stream


def _opened(source: str | Path) -> io.BufferedReader:
    if isinstance(source, str) and is_url(source):
        system, place = file_system(source)
        with _reading(source):
            return io.BufferedReader(system.open_input_file(place), _PIECE_OF_REMOTE)
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise InputError(f"{source}: cannot be opened ({error.strerror}); check its permissions") from error


def _peekable(stream: BinaryIO) -> io.BufferedReader:
    return stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))


@contextmanager
def _unpacked(raw: io.BufferedReader, where: str, by_name: bool) -> Iterator[BinaryIO]:
    head = raw.peek(3)[:3]
    if not by_name and not head.startswith((GZIP_MAGIC, BZIP2_MAGIC)):
        yield raw
        return
    counted = _Counted(raw)
    packed = io.BufferedReader(counted)
    is_bzip2 = head.startswith(BZIP2_MAGIC)
    stream = bz2.BZ2File(packed) if is_bzip2 else gzip.GzipFile(fileobj=packed)
    capped = io.BufferedReader(_Capped(stream, where, lambda: counted.n_bytes))
    try:
        yield cast(BinaryIO, capped)
    finally:
        # Closing it would close standard input with it.
        packed.detach()


@contextmanager
def _only_member(raw: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    try:
        with zipfile.ZipFile(raw) as archive:
            member = only_member(archive, path)
            with archive.open(member) as stream:
                yield cast(
                    BinaryIO, io.BufferedReader(_Capped(stream, str(path), lambda: member.compress_size))
                )
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        # A password is a RuntimeError, an unknown way of packing a NotImplementedError.
        raise InputError(f"{path}: the zip archive cannot be read ({error}); unpack it before") from error


def only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """The one file of a zip archive, apart from what macOS adds."""
    members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:10]) or "nothing"
        raise InputError(f"{path}: a zip archive must hold one file (this one: {names}); unpack it before")
    return members[0]


def zipped_name(path: Path) -> str:
    """Name of the one file of a zip archive; ``""`` if that cannot be told."""
    try:
        with zipfile.ZipFile(path) as archive:
            return only_member(archive, path).filename
    except (zipfile.BadZipFile, OSError):
        return ""


class _Counted(io.RawIOBase):
    """Counts the bytes that are read."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self.n_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self._stream.readinto1(buffer)
        self.n_bytes += n
        return n


class _Capped(io.RawIOBase):
    """What is unpacked, as long as it is not absurdly larger than what it is unpacked from."""

    def __init__(self, stream: Any, where: str, packed: Callable[[], int]) -> None:
        self._stream, self._where, self._packed = stream, where, packed
        self._n_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read1(len(buffer))
        buffer[: len(content)] = content
        self._n_bytes += len(content)
        if self._n_bytes > MAX_UNPACKED_FREELY and self._n_bytes > MAX_UNPACKING * self._packed():
            raise InputError(
                f"{self._where}: unpacks to more than {MAX_UNPACKED_FREELY >> 20} MiB and {MAX_UNPACKING} "
                "times its size (MAX_UNPACKED_FREELY, MAX_UNPACKING), which no file of molecules does; "
                "unpack it yourself if you trust it"
            )
        return len(content)


def open_seekable(source: str | Path, stack: ExitStack, *, archives: bool = True) -> BinaryIO:
    """Open a file that is read from its end; packed and piped ones go through a temporary file."""
    stream = stack.enter_context(open_bytes(source, archives=archives))
    if str(source) != STDIN and stream.seekable():
        return stream
    copy = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115 - the stack closes it
    size = 0
    while piece := stream.read(1 << 20):
        size += len(piece)
        if size > MAX_SPOOLED:
            where = "standard input" if str(source) == STDIN else str(source)
            raise InputError(
                f"{where}: a temporary copy would take more than {MAX_SPOOLED >> 30} GiB (MAX_SPOOLED); "
                "unpack it yourself and name the file"
            )
        copy.write(piece)
    copy.seek(0)
    return copy


@contextmanager
def open_lines(source: str | Path) -> Iterator[Iterator[Line]]:
    """Open a file or standard input as lines, whatever its compression, byte-order mark and line ends."""
    with open_bytes(source) as stream:
        text = cast(io.BufferedIOBase, stream)
        yield bounded_lines(decoded(text, "standard input" if str(source) == STDIN else str(source)))


_SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF-": "a PDF document",
    b"PAR1": "a Parquet file; give it the suffix .parquet, or say {file_format} parquet",
    b"ARROW1": "an Arrow file; write it as Parquet",
    b"\x89HDF": "an HDF5 file; write its SMILES as .csv or Parquet",
    b"SQLite format 3": "a database; write its SMILES as .csv or Parquet",
    b"\xd0\xcf\x11\xe0": "an old workbook (.xls) or another file of Office; save it as .xlsx or .csv",
    b"PK\x03\x04": "a zip archive within another file, or a workbook; unpack it, or say {file_format} xlsx",
    b"\x1f\x8b": "packed twice; unpack it before",
    b"\xfd7zXZ": "packed with xz; unpack it before (xz -d)",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it before (zstd -d)",
    b"7z\xbc\xaf": "a 7z archive; unpack it before",
    b"\x7fELF": "a program",
    b"\x80\x04": "a Python pickle; write its SMILES as .csv or Parquet",
    b"\x80\x05": "a Python pickle; write its SMILES as .csv or Parquet",
}
"""How files begin that are no text, and what they are."""

_CONTROL = bytes({*range(32), 127} - set(b"\t\n\v\f\r\x1a"))
_FEWEST_CONTROL, _MOST_CONTROL = 16, 0.05


def check_text(head: bytes, where: str) -> None:
    """Refuse what cannot be a text file, by its first bytes; a few stray bytes cost only their rows.

    Raises
    ------
    InputError
        It says what the file is, if that is known.
    """
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            what = kind.format(file_format=called("file_format"))
            raise InputError(f"{where}: holds no text with molecules; it is {what}")
    n_control = len(head) - len(head.translate(None, _CONTROL))
    if n_control >= _FEWEST_CONTROL and n_control > _MOST_CONTROL * len(head):
        raise InputError(
            f"{where}: is not text, for {n_control / len(head):.0%} of its first bytes are control "
            "characters; name a file of molecules, or if this is one in UTF-16, save it as UTF-8"
        )


def decoded(stream: io.BufferedIOBase, where: str = "input") -> Iterator[str]:
    """Read text in pieces, lines ending in a line feed; bytes that are no UTF-8 become surrogates for now."""
    head = stream.read1(_PIECE)
    while len(head) < _LONGEST_MARK and (more := stream.read1(_PIECE)):
        head += more
    codec = next((codec for mark, codec in _BOM_CODECS if head.startswith(mark)), "utf-8")
    if codec == "utf-8":
        check_text(head, where)
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
        if piece and not held and not piece.strip("\n"):
            # A small packed file may hold 200 million empty lines; those that hold blanks keep them.
            yield Line("", n_lines=piece.count("\n"))
            continue
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
