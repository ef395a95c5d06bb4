"""Getting a data set: download, verify, write the table and its record."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from molig.datasets.catalogue import Dataset, datasets, known_dataset
from molig.datasets.downloads import download
from molig.datasets.failures import ChecksumError, DownloadError
from molig.datasets.partial import writing
from molig.datasets.places import cache_directory, locate_dataset
from molig.datasets.tables import content_digest, read_source
from molig.errors import InputError
from molig.version import __version__


def get_dataset(
    name: str | Dataset,
    directory: str | Path | None = None,
    *,
    url: str | None = None,
    force: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Table of a set, downloaded unless it is there.

    The source is downloaded with `download`, checked, and written as ``NAME.parquet`` (zstd) with a record
    ``NAME.json`` beside it: URL, digests, date, rows, licence. Then the source is removed.

    The content is verified against the catalogue's digest of the table where there is one. Otherwise columns,
    labels and the least number of rows are checked, and the digest in the record of an earlier download, if
    there is one, must be met.

    Parameters
    ----------
    name : str or Dataset
        Name of the set (see `datasets`), or a description of another one.
    directory : str or Path, optional
        Where to put it; by default `cache_directory`.
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
        If the download is damaged or something else.
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
    present = _present(dataset, folder, anywhere=directory is None)
    if present and not force:
        return present
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


def _present(dataset: Dataset, folder: Path, *, anywhere: bool) -> Path | None:
    if (folder / dataset.file).is_file():
        return folder / dataset.file
    return locate_dataset(dataset.name) if anywhere and dataset.name in datasets() else None


def _get(
    dataset: Dataset, url: str, folder: Path, progress: Callable[[int, int | None], None] | None
) -> Path:
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            write(temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
