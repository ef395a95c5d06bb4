"""A library in one file, or in several that are read as one; from its beginning, or from a chunk on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from molig.errors import InputError, called
from molig.files import digest_of
from molig.molecules import read_records
from molig.molecules.readers import resolve_format
from molig.molecules.reasons import one_line
from molig.molecules.records import Record, Records
from molig.molecules.sources import (
    READ_ERRORS,
    check_source,
    is_url,
    open_seekable,
    size_and_time,
    without_query,
)
from molig.screening.store import FeatureStore

_CHUNKS_OF_A_STRETCH = 16
_STRETCHES_OF_A_GROUP = 16
_MOST_STRETCHES = 2_000
_OPENED_AT_A_TIME = 16


class Start(NamedTuple):
    """Where reading begins.

    Parameters
    ----------
    file : int
        Number of the file.
    skip : int
        Rows of it that are left out.
    rows_before : int
        Rows of the files before it.
    """

    file: int = 0
    skip: int = 0
    rows_before: int = 0


class Stretch(NamedTuple):
    """Chunks that are read one after the other.

    Parameters
    ----------
    start : Start
        Where the first of them begins.
    first, end : int
        Number of the first, and of the one behind the last; None if that is not known.
    """

    start: Start = Start()
    first: int = 0
    end: int | None = None


@dataclass(frozen=True)
class Files:
    r"""Files that are one library, in the order of their names.

    Parameters
    ----------
    names : tuple of str
        Paths and addresses; see `molig.molecules.sources.files_of`.
    reading : mapping of str to object
        How they are read: arguments of `molig.molecules.read_records`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in "ab":
    ...         _ = (Path(folder) / f"{name}.smi").write_text("CCO ethanol\nC\n")
    ...     names = tuple(str(path) for path in sorted(Path(folder).iterdir()))
    ...     [(record.row, record.id) for record in Files(names).records()]
    [(1, 'ethanol'), (2, '2'), (3, 'ethanol'), (4, '4')]
    """

    names: tuple[str, ...]
    reading: Mapping[str, Any] = field(default_factory=dict)

    def records(self, start: Start = Start()) -> Records:  # noqa: B008 - it does not change
        """Read from there to the end; columns that come along must be the same in all files.

        Raises
        ------
        MoligError
            As `molig.molecules.read_records`; of all but the first file only when it is reached.
        """
        first = self._opened(start.file, start.rows_before, start.skip)
        if start.file + 1 == len(self.names):
            return first
        left_out = dict(first.left_out)
        return Records(self._joined(first, start, left_out), first.kept, left_out)

    def _joined(self, first: Records, start: Start, left_out: dict[str, int]) -> Iterator[Record]:
        row = start.rows_before + start.skip
        for number in range(start.file, len(self.names)):
            records = first if number == start.file else self._opened(number, row)
            if records.kept != first.kept:
                raise InputError(self._unlike(number, records.kept, start.file, first.kept))
            for record in records:
                row = record.row
                yield record
            for name, seen in records.left_out.items():
                left_out.setdefault(name, seen)

    def _opened(self, number: int, rows_before: int, skip: int = 0) -> Records:
        return read_records(self.names[number], **self.reading, rows_before=rows_before, skip=skip)

    def _unlike(self, number: int, kept: pa.Schema, other: int, of_other: pa.Schema) -> str:
        shown = [", ".join(f"{f.name} ({f.type})" for f in schema) or "none" for schema in (kept, of_other)]
        return (
            f"{self.names[number]} has other columns to bring along than {self.names[other]} ({shown[0]}; "
            f"{shown[1]}); choose what both have with {called('keep')}"
        )

    def stretches(self, rows_per_chunk: int, *, apart: bool = False) -> list[Stretch]:
        """All chunks, in shares that can be read at the same time: one, unless all files are Parquet.

        Parameters
        ----------
        rows_per_chunk : int
            Rows of a chunk.
        apart : bool
            A stretch for every chunk, for whoever wants few of them.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        of_format = self.reading.get("file_format")
        for name in self.names:
            check_source(name)
            if resolve_format(name, of_format) != "parquet" or not without_query(name).endswith(".parquet"):
                return [Stretch()]
        with ThreadPoolExecutor(_OPENED_AT_A_TIME) as pool:
            groups = list(pool.map(_rows_of_groups, self.names))
        return cut(groups, rows_per_chunk, apart=apart)

    def digest(self) -> str:
        """What tells whether it is the same library: contents of files; of addresses size and time."""
        found = [size_and_time(name) if is_url(name) else digest_of(Path(name)) for name in self.names]
        return f"{digest_of(repr(found))}, {len(found)} files"


@dataclass(frozen=True)
class StoredLibrary:
    """A feature store as a library, which is read as a whole.

    Parameters
    ----------
    store : FeatureStore
        The store.
    keep : {"all", "none"} or sequence of str
        Columns of the library that come along.
    """

    store: FeatureStore
    keep: str | Sequence[str]

    def records(self, start: Start = Start()) -> Records:  # noqa: B008 - it does not change
        """All rows."""
        return self.store.records(self.keep)

    def stretches(self, rows_per_chunk: int, *, apart: bool = False) -> list[Stretch]:
        """One; what it says of a molecule is little, and whoever scores it reads its features."""
        return [Stretch()]


Library = Files | StoredLibrary
"""What can be read from any chunk on, in whichever process."""


def cut(groups: Sequence[Sequence[int]], rows_per_chunk: int, *, apart: bool = False) -> list[Stretch]:
    """Cut a library into stretches.

    Parameters
    ----------
    groups : sequence of sequence of int
        Rows of each row group of each file.
    rows_per_chunk : int
        Rows of a chunk.
    apart : bool
        One for every chunk.

    Examples
    --------
    >>> cut([[5], [3, 4]], 1)[0].end
    12
    """
    before = list(accumulate((sum(rows) for rows in groups), initial=0))
    n_chunks = -(-before[-1] // rows_per_chunk)
    # To begin within a row group, the rows before are unpacked and left out: a large one is cut a few times.
    largest = max((rows for file in groups for rows in file), default=0)
    n = -(-largest // (rows_per_chunk * _STRETCHES_OF_A_GROUP))
    n = 1 if apart else max(n, _CHUNKS_OF_A_STRETCH, n_chunks // _MOST_STRETCHES)
    found = []
    for first in range(0, n_chunks, n):
        row = first * rows_per_chunk
        file = bisect_right(before, row) - 1
        start = Start(file, row - before[file], before[file])
        found.append(Stretch(start, first, min(first + n, n_chunks)))
    return found


def _rows_of_groups(name: str) -> list[int]:
    with ExitStack() as stack:
        try:
            metadata = pq.ParquetFile(open_seekable(name, stack)).metadata
            return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        except (pa.ArrowException, *READ_ERRORS) as error:
            raise InputError(
                f"{name}: not a readable Parquet file ({one_line(error)}); write it again"
            ) from error
