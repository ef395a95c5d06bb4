"""Parquet files: read in batches of rows, only the columns that are needed."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from molig.errors import InputError
from molig.molecules.columns import Layout, Request, find_layout
from molig.molecules.notices import Notices
from molig.molecules.reasons import ASCII_BLANKS, one_line
from molig.molecules.records import Record
from molig.molecules.sources import READ_ERRORS, STDIN, as_text, open_bytes

ROWS_PER_BATCH = 8192


def read_parquet(source: str | Path, request: Request) -> Iterator[Record]:
    """Read a Parquet file in batches."""
    row = 0
    with ExitStack() as stack:
        try:
            file = pq.ParquetFile(_seekable(source, stack))
            layout = find_layout(file.schema_arrow.names, request, Notices(str(source)))
            wanted = {layout.smiles, *layout.fields.values(), *(() if layout.id is None else (layout.id,))}
            names = [file.schema_arrow.names[i] for i in sorted(wanted)]
            for batch in file.iter_batches(batch_size=ROWS_PER_BATCH, columns=names):
                for record in _records(batch, file.schema_arrow.names, layout, row):
                    row = record.row
                    yield record
        except (pa.ArrowException, *READ_ERRORS) as error:
            detail = one_line(error)
            reached = f"damaged after row {row}" if row else "not a readable Parquet file"
            raise InputError(f"{source}: {reached} ({detail}); write the file again") from error


def _seekable(source: str | Path, stack: ExitStack) -> BinaryIO:
    """Open the file. Parquet is read from its end, so packed and piped ones go through a temporary file."""
    stream = stack.enter_context(open_bytes(source))
    if str(source) != STDIN and not isinstance(stream, gzip.GzipFile):
        return stream
    copy = cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115 - the stack closes it
    shutil.copyfileobj(stream, copy)
    copy.seek(0)
    return copy


def _records(batch: pa.RecordBatch, names: list[str], layout: Layout, row: int) -> Iterator[Record]:
    def values(i: int) -> list[Any]:
        return _to_list(batch.column(batch.schema.names.index(names[i])))

    smiles = values(layout.smiles)
    ids = [None] * len(smiles) if layout.id is None else values(layout.id)
    fields = {name: values(i) for name, i in layout.fields.items()}
    for k, text in enumerate(smiles):
        number = row + k + 1
        extra = {name: column[k] for name, column in fields.items()}
        yield Record(number, _text(ids[k]) or str(number), _text(text), extra)


def _to_list(column: pa.Array) -> list[Any]:
    try:
        return cast("list[Any]", column.to_pylist())
    except UnicodeDecodeError:  # text that is not UTF-8: one bad cell must not cost the rest
        return [None if v is None else as_text(v) for v in column.cast(pa.binary()).to_pylist()]


def _text(value: object) -> str:
    """Write a cell as text: missing ones as ``""``, whole numbers without a decimal point."""
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return as_text(value).strip(ASCII_BLANKS)
    return str(value).strip(ASCII_BLANKS)
