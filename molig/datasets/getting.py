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
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from molig.datasets.catalogue import Dataset, datasets, known_dataset
from molig.datasets.downloads import Advance, ChecksumError, DownloadError, download, writing
from molig.datasets.places import cache_directory, locate_dataset
from molig.deferred import deferred
from molig.errors import InputError
from molig.files import digest_of, replacing
from molig.version import __version__

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = deferred("pandas")

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
    if url.endswith("/") and dataset.members:
        sha256: str | dict[str, str] = _download_members(dataset, url, source, progress)
    else:
        sha256 = download(url, source, sha256=dataset.sha256, progress=progress)
    files = _files(source)
    try:
        size = sum(file.stat().st_size for file in files)
        table = read_source(source, dataset)
    finally:
        for file in files:
            file.unlink(missing_ok=True)
        if source.is_dir():
            source.rmdir()
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


def _download_members(dataset: Dataset, url: str, folder: Path, progress: Advance | None) -> dict[str, str]:
    """Download the files of a directory into a folder; returns their SHA-256. What is there stays there."""
    digests, before = {}, 0

    def advance(received: int, total: int | None) -> None:
        if progress:
            progress(before + received, None)  # the size of the files to come is not known

    for _, member in dataset.members:
        file = folder / member
        digests[member] = digest_of(file) if file.exists() else download(url + member, file, progress=advance)
        before += file.stat().st_size
    return digests


def _files(source: Path) -> list[Path]:
    return sorted(source.iterdir()) if source.is_dir() else [source]


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
    """Read what was downloaded as the table of its set: CSV, gzipped CSV, or a ZIP archive or folder of CSV.

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
    """Name of the member (or "") and CSV text of each part; gzip and ZIP check their own sums here."""
    if path.is_dir():
        return [(part, (path / member).read_bytes()) for part, member in dataset.members]
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
        source: pa.float64() if column in dataset.numbers
        else pa.float32() if _is_label(column, dataset)
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
        if _is_label(column, dataset):
            arrays.append(_labels(read.column(named[column]), column, dataset))
        elif column in named:
            arrays.append(read.column(named[column]))
        else:
            arrays.append(pa.array([part] * read.num_rows, pa.large_string()))
    return pa.table(arrays, schema=_schema(dataset))


def _is_label(column: str, dataset: Dataset) -> bool:
    """Whether a column holds 0, 1 or nothing."""
    return column in dataset.flags or (column in dataset.targets and column not in dataset.numbers)


def _source_names(content: bytes, part: str, dataset: Dataset) -> dict[str, str]:
    """How the source calls each column of the table."""
    first = content[: content.find(b"\n") if b"\n" in content else None].decode("utf-8-sig", "replace")
    if first.lstrip().startswith("<"):
        raise InputError(f"{dataset.name}: the download is a web page, not a table; check the URL")
    header = next(csv.reader([first.rstrip("\r")]), [])
    named = {}
    for column in dataset.columns:
        if part and column == dataset.members_column:
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
        column: "Int8" if _is_label(column, dataset) else "float64" if column in dataset.numbers else "str"
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
