"""Parquet files: read in batches of rows, only the columns that are needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from molig.errors import InputError, called
from molig.molecules.columns import Layout, Request, find_layout
from molig.molecules.lines import KEPT_OF_BAD_LINE
from molig.molecules.notices import Notices
from molig.molecules.reasons import ASCII_BLANKS, MAX_LINE_CHARACTERS, Reason, one_line
from molig.molecules.records import Record
from molig.molecules.sources import READ_ERRORS, STDIN, as_text, open_seekable

MAX_BATCH_ROWS = 4096
MAX_BATCH_BYTES = 16 << 20
"""About so many bytes of cells are unpacked at a time."""

MAX_CHUNK_BYTES = 1 << 30
"""Largest unpacked column of one row group that is read; the dictionary in it is unpacked as a whole."""


def read_parquet(source: str | Path, request: Request) -> Iterator[Record]:
    """Read a Parquet file in batches."""
    row = 0
    where = "standard input" if str(source) == STDIN else str(source)
    notices = Notices(where)
    with ExitStack() as stack:
        try:
            stream = open_seekable(source, stack)
            plain = pq.ParquetFile(stream)
            schema = plain.schema_arrow
            layout = find_layout(schema.names, request, notices, [_plain_type(t) for t in schema.types])
            read = _positions(layout) | set(layout.kept)
            names = [schema.names[i] for i in sorted(read)]
            _check_sizes(plain.metadata, names, where)
            flat = [name for name in names if not pa.types.is_nested(schema.field(name).type)]
            shared = pq.ParquetFile(stream, metadata=plain.metadata, read_dictionary=flat)
            texts = _positions(layout)
            columns = {schema.names[i]: _Column(as_texts=i in texts) for i in sorted(read)}
            row = request.rows_before + request.skip
            for batch in _batches(plain, shared, names, request.skip):
                for name, column in columns.items():
                    column.load(batch.column(batch.schema.names.index(name)))
                for record in _records(columns, schema.names, layout, row, notices):
                    row = record.row
                    yield record
        except (pa.ArrowException, *READ_ERRORS) as error:
            detail = one_line(error)
            reached = f"damaged after row {row}" if row else "not a readable Parquet file"
            raise InputError(f"{where}: {reached} ({detail}); write the file again") from error


def _positions(layout: Layout) -> set[int]:
    """Columns that are read for what they say, not only brought along."""
    return {layout.smiles, *layout.fields.values()} | (set() if layout.id is None else {layout.id})


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of what comes out of a column: of the values that a dictionary or an extension stands for."""
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    return _plain_type(kind.storage_type) if isinstance(kind, pa.BaseExtensionType) else kind


def _check_sizes(metadata: pq.FileMetaData, names: list[str], where: str) -> None:
    for group in range(metadata.num_row_groups):
        for column in _chunks(metadata, group, names):
            size = column.total_uncompressed_size
            if size > MAX_CHUNK_BYTES:
                raise InputError(
                    f"{where}: column {column.path_in_schema!r} takes {size:,} bytes in one row group, more "
                    f"than {MAX_CHUNK_BYTES:,} (MAX_CHUNK_BYTES); write it with smaller row groups, or name "
                    f"the columns that shall come along without it ({called('keep')})"
                )


def _batches(
    plain: pq.ParquetFile, shared: pq.ParquetFile, names: list[str], skip: int
) -> Iterator[pa.RecordBatch]:
    """Batches of about `MAX_BATCH_BYTES`; texts that a dictionary holds once stay there if they are long."""
    for group in range(plain.num_row_groups):
        n_rows = plain.metadata.row_group(group).num_rows
        if skip >= n_rows:
            skip -= n_rows
            continue
        chunks = _chunks(plain.metadata, group, names)
        size = sum(chunk.total_uncompressed_size for chunk in chunks)
        largest, file = max(size / max(n_rows, 1), 1), plain
        if size * n_rows > MAX_BATCH_BYTES and any(chunk.has_dictionary_page for chunk in chunks):
            longest = _longest_shared(shared, group, names)
            if longest > MAX_LINE_CHARACTERS:
                file = shared
            else:
                largest = max(largest, longest)
        at_a_time = max(1, min(MAX_BATCH_ROWS, int(MAX_BATCH_BYTES / largest)))
        for batch in file.iter_batches(batch_size=at_a_time, row_groups=[group], columns=names):
            if skip < len(batch):
                yield batch.slice(skip)
            skip = max(skip - len(batch), 0)


def _chunks(metadata: pq.FileMetaData, group: int, names: list[str]) -> list[Any]:
    row_group = metadata.row_group(group)
    chunks = map(row_group.column, range(row_group.num_columns))
    return [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in names]


def _longest_shared(file: pq.ParquetFile, group: int, names: list[str]) -> int:
    """Length of the longest text in the dictionaries of a row group, which come whole with its first row."""
    batch = next(file.iter_batches(batch_size=1, row_groups=[group], columns=names))
    texts = [c.dictionary for c in batch.columns if pa.types.is_dictionary(c.type)]
    of_bytes = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
    binary = [text for text in texts if text.type in of_bytes]
    return max((pc.max(pc.binary_length(text)).as_py() or 0 for text in binary), default=0)


def _records(
    columns: dict[str, _Column], names: list[str], layout: Layout, row: int, notices: Notices
) -> Iterator[Record]:
    smiles = columns[names[layout.smiles]].values
    ids = [None] * len(smiles) if layout.id is None else columns[names[layout.id]].values
    fields = {name: columns[names[i]].values for name, i in layout.fields.items()}
    too_long = set().union(*(columns[names[i]].too_long for i in _positions(layout)))
    kept = [columns[names[i]].to_keep(names[i], row, notices) for i in layout.kept]
    recoded = set().union(*(column.recoded for column in columns.values()))
    if recoded:
        notices.recoded(row + min(recoded) + 1)
    for k, text in enumerate(smiles):
        number = row + k + 1
        problem = Reason.CELL_TOO_LONG.text() if k in too_long else None
        extra = {name: column[k] for name, column in fields.items()} if problem is None else {}
        along = tuple([values[k] for values in kept])
        yield Record(number, _text(ids[k]) or str(number), _text(text), extra, problem=problem, kept=along)


class _Column:
    """The cells of a column in the present batch, long ones cut."""

    def __init__(self, as_texts: bool) -> None:
        self._as_texts = as_texts  # also bytes, which a column that only comes along may hold as they are
        self.values: list[Any] = []
        self.too_long: set[int] = set()
        self.recoded: set[int] = set()
        self._dictionary: pa.Array | None = None
        self._distinct: tuple[list[Any], set[int], set[int]] = [], set(), set()

    def load(self, column: pa.Array) -> None:
        """Take the cells of a batch."""
        if not pa.types.is_dictionary(column.type):
            self.values, self.too_long, self.recoded = _cells(column, self._as_texts)
            return
        # Batches of a row group share their dictionary.
        if self._dictionary is None or not _same(self._dictionary, column.dictionary):
            self._dictionary, self._distinct = column.dictionary, _cells(column.dictionary, self._as_texts)
        distinct, too_long, recoded = self._distinct
        places = column.indices.to_pylist()
        self.values = [None if place is None else distinct[place] for place in places]
        self.too_long = {k for k, place in enumerate(places) if place in too_long} if too_long else set()
        self.recoded = {k for k, place in enumerate(places) if place in recoded} if recoded else set()

    def to_keep(self, name: str, row: int, notices: Notices) -> list[Any]:
        """The values without those that are too long."""
        if not self.too_long:
            return self.values
        notices.cell_left_out(row + min(self.too_long) + 1, name)
        return [None if k in self.too_long else value for k, value in enumerate(self.values)]


def _same(one: pa.Array, other: pa.Array) -> bool:
    """Whether two arrays are the same memory, which `one` keeps from being used again."""
    places = [[buffer.address if buffer else 0 for buffer in array.buffers()] for array in (one, other)]
    return len(one) == len(other) and one.offset == other.offset and places[0] == places[1]


def _cells(column: pa.Array, as_texts: bool) -> tuple[list[Any], set[int], set[int]]:
    """Values of a column, the places of those that are cut, and of those that are no UTF-8."""
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not is_text and not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        return column.to_pylist(), set(), set()
    lengths = pc.binary_length(column)
    as_they_are = not is_text and not as_texts
    too_long: set[int] = set()
    if (pc.max(lengths).as_py() or 0) > MAX_LINE_CHARACTERS:
        too_long = {k for k, length in enumerate(lengths.to_pylist()) if (length or 0) > MAX_LINE_CHARACTERS}
        kept = pc.binary_slice(column.cast(pa.large_binary()), 0, KEPT_OF_BAD_LINE)
        column = pc.if_else(pc.greater(lengths, MAX_LINE_CHARACTERS), kept, column.cast(pa.large_binary()))
        values = column.to_pylist()
    elif is_text:
        try:
            return column.to_pylist(), too_long, set()
        except UnicodeDecodeError:  # text that is not UTF-8: one bad cell must not cost the rest
            values = column.cast(pa.binary()).to_pylist()
    else:
        values = column.to_pylist()
    if as_they_are:
        return values, too_long, set()
    recoded = {k for k, value in enumerate(values) if value is not None and not _is_utf8(value)}
    return [None if value is None else as_text(value) for value in values], too_long, recoded


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(value: object) -> str:
    """Write a cell as text: missing ones as ``""``, whole numbers without a decimal point."""
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip(ASCII_BLANKS)
