"""From the file of a publisher to the table that molig reads."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from molig.datasets.catalogue import Dataset
from molig.errors import InputError

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


def read_source(path: Path, dataset: Dataset) -> pa.Table:
    """Read a downloaded file as the table of its set.

    Parameters
    ----------
    path : Path
        CSV, gzipped CSV, or a ZIP archive of CSV files if the set has `members`.
    dataset : Dataset
        What it should hold.

    Returns
    -------
    pyarrow.Table
        Columns and types as `Dataset` says.

    Raises
    ------
    InputError
        If the file is damaged, lacks a column, or holds anything but labels in a target.
    """
    try:
        contents = _contents(path, dataset)
    except (EOFError, OSError, zlib.error, zipfile.BadZipFile) as err:
        raise InputError(f"{dataset.name}: the download is damaged ({err}); get it again") from err
    parts = [_read_csv(content, part, dataset) for part, content in contents]
    table = pa.concat_tables(parts)
    if table.num_rows and not all(table.column(dataset.smiles_column).to_pylist()):
        raise InputError(f"{dataset.name}: a row has no SMILES; the download is not the set it should be")
    return table


def _contents(path: Path, dataset: Dataset) -> list[tuple[str, bytes]]:
    """Split (or "") and CSV text of each part; gzip and ZIP check their own sums here."""
    data = path.read_bytes()
    if data.startswith(_GZIP):
        data = gzip.decompress(data)
    if not dataset.members:
        return [("", data)]
    if not data.startswith(_ZIP):
        raise InputError(f"{dataset.name}: the download is no ZIP archive; get it again or check the URL")
    with zipfile.ZipFile(path) as archive:
        missing = [member for _, member in dataset.members if member not in archive.namelist()]
        if missing:
            raise InputError(f"{dataset.name}: the archive has no member {missing[0]!r}; check the URL")
        return [(part, archive.read(member)) for part, member in dataset.members]


def _read_csv(content: bytes, part: str, dataset: Dataset) -> pa.Table:
    named = _source_names(content, part, dataset)
    types = {
        source: pa.float32() if column in dataset.targets
        else pa.float64() if column in dataset.numbers
        else pa.large_string()
        for column, source in named.items()
    }  # fmt: skip
    options = pa_csv.ConvertOptions(column_types=types, include_columns=list(named.values()))
    try:
        read = pa_csv.read_csv(pa.BufferReader(content), convert_options=options)
    except pa.ArrowException as err:
        raise InputError(
            f"{dataset.name}: {str(err).splitlines()[0]}; get it again or check the URL"
        ) from err
    arrays = []
    for column in dataset.columns:
        if column in dataset.targets:
            arrays.append(_labels(read.column(named[column]), column, dataset))
        elif column in named:
            arrays.append(read.column(named[column]))
        else:
            arrays.append(pa.array([part] * read.num_rows, pa.large_string()))
    return pa.table(arrays, schema=_schema(dataset))


def _source_names(content: bytes, part: str, dataset: Dataset) -> dict[str, str]:
    """How the source calls each column of the table."""
    first = content[: content.find(b"\n") if b"\n" in content else None].decode("utf-8-sig", "replace")
    if first.lstrip().startswith("<"):
        raise InputError(f"{dataset.name}: the download is a web page, not a table; check the URL")
    header = next(csv.reader([first.rstrip("\r")]), [])
    named = {}
    for column in dataset.columns:
        if part and column == "split":
            continue
        others = [other for other, meant in dataset.aliases if meant == column]
        source = next((name for name in (column, *others) if name in header), None)
        if source is None:
            shown = ", ".join(header[:12]) + (", ..." if len(header) > 12 else "")
            raise InputError(
                f"{dataset.name}: the download has no column {column!r} (columns: {shown or 'none'}); "
                "check the URL"
            )
        named[column] = source
    return named


def _labels(column: pa.ChunkedArray, name: str, dataset: Dataset) -> pa.Array:
    values = column.to_numpy()
    unknown = np.isnan(values)
    wrong = np.flatnonzero(~(unknown | (values == 0) | (values == 1)))
    if wrong.size:
        raise InputError(
            f"{dataset.name}: column {name!r} holds {values[wrong[0]]:g} in row {wrong[0] + 1}, "
            "where only 0, 1 or nothing is possible; the download is not the set it should be"
        )
    return pa.array(np.where(unknown, 0, values).astype(np.int8), mask=unknown)


def _schema(dataset: Dataset) -> pa.Schema:
    """Types of the columns, with the note by which pandas reads labels as nullable integers."""
    kinds = {
        column: "Int8" if column in dataset.targets else "float64" if column in dataset.numbers else "str"
        for column in dataset.columns
    }
    empty = pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in kinds.items()})
    note = pa.Schema.from_pandas(empty, preserve_index=False).metadata
    arrow = {"Int8": pa.int8(), "float64": pa.float64(), "str": pa.large_string()}
    return pa.schema([(column, arrow[kind]) for column, kind in kinds.items()], metadata=note)


def content_digest(table: pa.Table) -> str:
    """Digest of a table's columns and values, whatever the file they came from.

    Parameters
    ----------
    table : pyarrow.Table
        Columns of text, 8-bit integers or doubles.

    Returns
    -------
    str
        SHA-256 over, column by column: the name, a zero byte, and the values; text joined by line feeds
        (null as empty), integers as one byte (null as 255), doubles in little-endian order (null as NaN); at
        the end of each column a zero byte. Compression, row groups and metadata make no difference.

    Examples
    --------
    >>> one = pa.table({"smiles": ["C", "CC"], "active": pa.array([1, None], pa.int8())})
    >>> content_digest(one)[:12]
    'b50425d9bc64'
    """
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table.column(name)
        digest.update(name.encode() + b"\0")
        if pa.types.is_int8(column.type):
            digest.update(column.fill_null(-1).to_numpy().astype("i1").tobytes())
        elif pa.types.is_float64(column.type):
            digest.update(column.to_numpy().astype("<f8").tobytes())
        else:
            digest.update("\n".join(value or "" for value in column.to_pylist()).encode())
        digest.update(b"\0")
    return digest.hexdigest()
