"""Getting a data set: download, verify, write the table and its record."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from molig.datasets.catalogue import Dataset, datasets, known_dataset
from molig.datasets.downloads import Advance, ChecksumError, DownloadError, download, writing
from molig.datasets.places import cache_directory, locate_dataset
from molig.errors import InputError
from molig.files import replacing
from molig.version import __version__

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


def get_dataset(
    name: str | Dataset,
    directory: str | Path | None = None,
    *,
    url: str | None = None,
    force: bool = False,
    progress: Advance | None = None,
) -> Path:
    """Table of a set, downloaded unless it is there.

    The source is downloaded, or what an interrupted download has left is completed, checked, and written as
    ``NAME.parquet`` (zstd) with a record ``NAME.json`` beside it: URL, digests, date, rows, licence. Then the
    source is removed.

    The content is verified against the catalogue's digest of the table where there is one. Otherwise columns,
    labels and the least number of rows are checked, and the digest in the record of an earlier download, if
    there is one, must be met.

    Parameters
    ----------
    name : str or Dataset
        Name of the set (see `datasets`), or a description of another one.
    directory : str or Path, optional
        Where to put it; by default what ``MOLIG_CACHE_DIR`` says, otherwise ``molig`` in the user's cache
        directory.
    url : str, optional
        Another place to download from. What comes from there is verified alike.
    force : bool
        Download even if the table is there.
    progress : callable, optional
        Called with the bytes that have arrived and with the size of the file (None if the server does
        not say).

    Returns
    -------
    Path
        The table. Without `directory` and `force` it may be the one in the directory that
        ``MOLIG_DATA_DIR`` names.

    Raises
    ------
    UnknownNameError
        If there is no such set.
    UsageError
        If `url` is none of http or https.
    DownloadError
        If it cannot be downloaded.
    ChecksumError
        If its content is not the expected one.
    InputError
        If the download is damaged or is not a table of this set.
    OutputError
        If it cannot be written.

    Examples
    --------
    >>> get_dataset("pcba", url="ftp://example.org/pcba.csv.gz", directory="tables", force=True)
    Traceback (most recent call last):
        ...
    molig.errors.UsageError: cannot download 'ftp://example.org/pcba.csv.gz': give a complete http:// ...
    """
    dataset = known_dataset(name) if isinstance(name, str) else name
    folder = Path(directory) if directory is not None else cache_directory()
    if not force:
        if (folder / dataset.file).is_file():
            return folder / dataset.file
        anywhere = directory is None and dataset.name in datasets()
        if anywhere and (located := locate_dataset(dataset.name)):
            return located
    failures = []
    urls = (url,) if url else dataset.urls
    for address in urls:
        try:
            return _get(dataset, address, folder, progress)
        except InputError as err:
            if len(urls) == 1:
                raise
            failures.append(str(err))
    raise DownloadError("\n".join(failures))


def _get(dataset: Dataset, url: str, folder: Path, progress: Advance | None) -> Path:
    """Download from one address, check, and write table and record."""
    source = folder / f"{dataset.name}.download"
    sha256 = download(url, source, sha256=dataset.sha256, progress=progress)
    try:
        size = source.stat().st_size
        table = read_source(source, dataset)
    finally:
        source.unlink(missing_ok=True)
    record = folder / f"{dataset.name}.json"
    digest = _verify(dataset, table, record, url)
    about = {
        "name": dataset.name,
        "title": dataset.title,
        "url": url,
        "sha256": sha256,
        "bytes": size,
        "table_sha256": digest,
        "pinned": dataset.is_pinned,
        "rows": table.num_rows,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": dataset.licence,
        "citation": dataset.citation,
        "written_by": f"molig {__version__}",
    }
    _write(record, lambda path: path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8"))
    _write(folder / dataset.file, lambda path: pq.write_table(table, path, compression="zstd"))
    return folder / dataset.file


def _verify(dataset: Dataset, table: pa.Table, record: Path, url: str) -> str:
    """Compare with what is known of the content; returns its digest."""
    digest = content_digest(table)
    rows = f"{table.num_rows:,} rows, {dataset.rows:,} expected"
    if dataset.table_sha256 is not None:
        if digest != dataset.table_sha256:
            raise ChecksumError(
                f"{url}: the content of the table has SHA-256 {digest} ({rows}), but that of "
                f"{dataset.name} is {dataset.table_sha256}; the download was removed. "
                "Try again, or another source with --url"
            )
        return digest
    if table.num_rows < dataset.rows:
        raise InputError(f"{url}: {rows} at least; this is not the whole of {dataset.name}")
    recorded = _recorded_digest(record)
    if recorded is not None and digest != recorded:
        raise ChecksumError(
            f"{url}: the content of the table has SHA-256 {digest}, but {recorded} at the first download; "
            f"the new one was removed. If the change is wanted, delete {record} and try again"
        )
    return digest


def _recorded_digest(record: Path) -> str | None:
    if not record.is_file():
        return None
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["table_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise InputError(f"{record}: not the record of a download ({err}); delete it and try again") from err


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that it is there as a whole or not at all."""
    with writing(path), replacing(path) as temporary:
        write(temporary)


# From the file of a publisher to the table that molig reads.


def read_source(path: Path, dataset: Dataset) -> pa.Table:
    """Read a downloaded file (CSV, gzipped CSV, or a ZIP archive of CSV files) as the table of its set.

    Raises InputError if it is damaged, lacks a column, or holds anything but labels in a target.
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
    """Types of the columns, with the metadata by which pandas reads labels as nullable integers."""
    kinds = {
        column: "Int8" if column in dataset.targets else "float64" if column in dataset.numbers else "str"
        for column in dataset.columns
    }
    empty = pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in kinds.items()})
    note = pa.Schema.from_pandas(empty, preserve_index=False).metadata
    arrow = {"Int8": pa.int8(), "float64": pa.float64(), "str": pa.large_string()}
    return pa.schema([(column, arrow[kind]) for column, kind in kinds.items()], metadata=note)


def content_digest(table: pa.Table) -> str:
    """Digest of a table's columns and values, so that compression and row groups make no difference."""
    # Null is an empty text, 255 or NaN; numbers are little-endian.
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
