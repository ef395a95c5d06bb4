"""What files have in common: written whole, digests, rows, versions, JSON, Markdown tables, templates."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import json
import math
import os
import platform
import stat
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molig.deferred import deferred
from molig.errors import OutputError
from molig.text import legible
from molig.version import __version__

if TYPE_CHECKING:
    import jinja2
    import pyarrow.parquet as pq
    import rdkit
    from jinja2 import Environment
else:
    jinja2 = deferred("jinja2")
    rdkit = deferred("rdkit")
    pq = deferred("pyarrow.parquet")


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a place to write a file to, which takes its name at the end or, after an exception, is removed.

    Parameters
    ----------
    path : Path
        The file. Its directory must exist; until the end of the block a former file stays as it is.
    durable : bool
        Wait until the disk holds the file, so that it outlasts a loss of power.

    Yields
    ------
    Path
        The temporary file beside it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "hits.csv") as temporary:
    ...         _ = temporary.write_text("smiles")
    ...     print([file.name for file in Path(folder).iterdir()])
    ['hits.csv']
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable:
            with contextlib.suppress(OSError):  # some systems do not open directories
                _flush(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, and the directory it is in, so that it is there as a whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    content : bytes or str
        What it shall hold; text as UTF-8.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as err:
        raise OutputError(f"cannot write {path}: {err.strerror or err}") from err


LARGEST_READ = 1_000_000_000


def read_regular(path: Path, at_most: int = LARGEST_READ) -> bytes:
    """Read a file that must be a regular one of bounded size: a pipe or a device might never end.

    Parameters
    ----------
    path : Path
        The file.
    at_most : int
        Largest size, in bytes.

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        If it cannot be read, is larger, or is no regular file; ``strerror`` says which.

    Examples
    --------
    >>> read_regular(Path("/dev/zero"), 1_000)
    Traceback (most recent call last):
    OSError: [Errno 22] it is a device or a pipe, not a regular file: '/dev/zero'
    """
    before = os.stat(path)
    if stat.S_ISDIR(before.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(before.st_mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a regular file", str(path))
    if before.st_size <= at_most:
        with path.open("rb") as file:
            # Python sets aside as many bytes as are asked for; a file that has grown meanwhile is cut.
            return file.read(before.st_size)
    raise OSError(errno.EFBIG, f"it is larger than the {at_most:,} bytes that it can need", str(path))


def digest_of(content: Path | bytes | str) -> str:
    """SHA-256 of a file, of bytes or of text, in hexadecimal.

    Examples
    --------
    >>> digest_of("abc")[:8]
    'ba7816bf'
    """
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of what computes the figures, by package (and Python).

    Examples
    --------
    >>> list(versions())
    ['molig', 'python', 'torch', 'rdkit', 'scikit-learn', 'numpy']
    """
    # Of the installed packages' metadata: to import torch and scikit-learn takes seconds.
    packages = ("torch", "rdkit", "scikit-learn", "numpy")
    installed = {name: metadata.version(name) for name in packages}
    # RDKit writes its releases with a leading zero (2025.09.1), its metadata does not.
    installed["rdkit"] = rdkit.__version__
    return {"molig": __version__, "python": platform.python_version(), **installed}


def made_by(command: str, seed: int | None = None) -> str:
    """One line of Markdown that says how results came about; the command may be empty.

    Examples
    --------
    >>> made_by("molig evaluate --recipe r.toml", 3).split(";")[0]
    'Made by `molig evaluate --recipe r.toml`, seed 3'
    """
    how = [f"by `{command}`"] if command else []
    how += [f"{'' if command else 'with '}seed {seed}"] if seed is not None else []
    with_what = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"Made {', '.join(how)}; {with_what}." if how else f"Made with {with_what}."


def json_text(content: dict[str, Any]) -> str:
    r"""JSON with null for what is not a number, six significant digits, and a final line feed.

    Examples
    --------
    >>> json_text({"a": float("nan")})
    '{\n "a": null\n}\n'
    """
    return json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """The same with null for NaN, and enumerations as their text."""
    if isinstance(value, float):
        # Significant digits: a learning rate of the recipe or a p-value may be very small.
        return None if math.isnan(value) else float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> list[str]:
    r"""Lines of a Markdown table.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        Cells; bars in them are escaped and line feeds become blanks.
    align : str
        ``"l"`` or ``"r"`` for each column from the first; the last letter counts for the rest.

    Examples
    --------
    >>> for line in markdown_table(["task", "AUC"], [["SR|MMP", "0.9"]], "lr"):
    ...     print(line)
    | task | AUC |
    |---|---:|
    | SR\|MMP | 0.9 |
    """
    align = (align or "l").ljust(len(header), (align or "l")[-1])
    rule = "|" + "|".join("---:" if side == "r" else "---" for side in align[: len(header)]) + "|"
    return [_markdown_row(header), rule, *map(_markdown_row, rows)]


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def html_templates(room: str) -> Environment:
    r"""Templates of a room for HTML: every value is escaped and legible, a name that is not there an error.

    Parameters
    ----------
    room : str
        Package with a directory ``templates``, such as "molig.report".

    Returns
    -------
    jinja2.Environment
        Filters and tests may be added. Markup is left as it is.

    Examples
    --------
    >>> html_templates("molig.report").from_string("<p>{{ name }}</p>").render(name="<b>\x1b[2J")
    '<p>&lt;b&gt;\ufffd[2J</p>'
    """
    environment: Environment = jinja2.Environment(
        loader=jinja2.PackageLoader(room),
        autoescape=True,
        finalize=_legible_unless_markup,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment


def _legible_unless_markup(value: object) -> object:
    return legible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


_COUNTABLE_BYTES = 1_000_000_000


def count_rows(path: Path) -> int | None:
    r"""Rows of a library, roughly, for the time left; None if counting would take long or is impossible.

    Parameters
    ----------
    path : Path
        A file of molecules, perhaps packed, or a feature store.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "two.smi"
    ...     _ = path.write_text("CCO ethanol\nC\n")
    ...     count_rows(path)
    2
    """
    try:
        name = path.name.lower()
        if path.is_dir():
            return int(json.loads((path / "store.json").read_bytes())["n_rows"])
        if name.endswith(".parquet"):
            return int(pq.read_metadata(path).num_rows)
        # Counting would use up a pipe.
        if not path.is_file() or name.endswith((".xlsx", ".zip", ".bz2", ".parquet.gz", ".xlsx.gz")):
            return None
        separator = b"$$$$" if ".sdf" in name else b"\n"
        opener = gzip.open if name.endswith(".gz") else open
        n_rows = n_bytes = 0
        with opener(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                n_rows, n_bytes = n_rows + block.count(separator), n_bytes + len(block)
                if n_bytes > _COUNTABLE_BYTES:
                    return None
        return n_rows
    except (OSError, EOFError, ValueError, LookupError, TypeError, zlib.error):
        # The reader will say what is wrong with the file.
        return None
