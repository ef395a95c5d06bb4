"""Getting a set: from the server to table and record."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
from dataclasses import replace
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from support.made_up_pcba import TASKS, made_up_pcba

from molig.datasets import (
    Dataset,
    DownloadError,
    content_digest,
    datasets,
    find_dataset,
    get_dataset,
)
from molig.datasets.downloads import ChecksumError
from molig.errors import InputError, OutputError, UnknownNameError, UsageError

SOURCE = made_up_pcba(12)


@pytest.fixture
def small_pcba(server) -> Dataset:
    """PCBA as the catalogue has it, but for the server and the number of rows."""
    server.serve("/pcba.csv.gz", SOURCE)
    return replace(datasets()["pcba"], urls=(server.url("/pcba.csv.gz"),), rows=12)


def left_over(directory):
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_table_and_record(small_pcba, cache):
    path = get_dataset(small_pcba)
    assert path == cache / "pcba.parquet" == find_dataset("pcba")
    assert left_over(cache) == ["pcba.json", "pcba.parquet"]
    table = pq.read_table(path)
    assert table.column_names == ["mol_id", "smiles", *TASKS]
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"
    record = json.loads((cache / "pcba.json").read_text())
    assert record["url"] == small_pcba.urls[0]
    assert record["sha256"] == hashlib.sha256(SOURCE).hexdigest()
    assert record["table_sha256"] == content_digest(table)
    assert (record["bytes"], record["rows"], record["pinned"]) == (len(SOURCE), 12, False)
    assert record["licence"] == small_pcba.licence
    assert record["date"].endswith("+00:00")


def test_what_is_there_is_not_downloaded(small_pcba, cache, server, tmp_path, monkeypatch):
    requests = server.files["/pcba.csv.gz"].requests
    first = get_dataset(small_pcba)
    assert get_dataset(small_pcba) == first
    assert len(requests) == 1
    assert get_dataset(small_pcba, force=True) == first
    assert len(requests) == 2
    other = tmp_path / "other" / "deep"
    assert get_dataset(small_pcba, other) == other / "pcba.parquet"
    assert len(requests) == 3
    monkeypatch.setenv("MOLIG_DATA_DIR", str(other))
    (cache / "pcba.parquet").unlink()
    assert get_dataset(small_pcba) == other / "pcba.parquet"
    assert len(requests) == 3


def test_interrupted_run_is_continued(small_pcba, cache, server):
    file = server.files["/pcba.csv.gz"]

    def interrupt(received, total):
        if received:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get_dataset(small_pcba, progress=interrupt)
    assert left_over(cache) == ["pcba.download.part", "pcba.download.part.json"]
    part = cache / "pcba.download.part"
    part.write_bytes(part.read_bytes()[:100])
    get_dataset(small_pcba)
    assert file.requests[1]["Range"] == "bytes=100-"
    assert left_over(cache) == ["pcba.json", "pcba.parquet"]


def test_pinned_content(small_pcba, cache, server):
    digest = content_digest(pq.read_table(get_dataset(small_pcba)))
    pinned = replace(small_pcba, table_sha256=digest)
    assert get_dataset(pinned, force=True).exists()
    assert json.loads((cache / "pcba.json").read_text())["pinned"]
    # The same table packed otherwise is the same content.
    server.serve("/plain", gzip.decompress(SOURCE))
    get_dataset(pinned, url=server.url("/plain"), force=True)
    before = (cache / "pcba.parquet").read_bytes()
    server.serve("/changed", gzip.compress(gzip.decompress(SOURCE).replace(b"CCO", b"CCN", 1)))
    with pytest.raises(ChecksumError, match=rf"12 rows, 12 expected.*{digest}"):
        get_dataset(pinned, url=server.url("/changed"), force=True)
    assert (cache / "pcba.parquet").read_bytes() == before
    assert left_over(cache) == ["pcba.json", "pcba.parquet"]


def test_pinned_file(small_pcba, cache):
    pinned = replace(small_pcba, sha256="0" * 64)
    with pytest.raises(ChecksumError, match=hashlib.sha256(SOURCE).hexdigest()):
        get_dataset(pinned)
    assert left_over(cache) == []


def test_first_download_decides(small_pcba, cache, server):
    get_dataset(small_pcba)
    first = json.loads((cache / "pcba.json").read_text())["table_sha256"]
    server.serve("/pcba.csv.gz", made_up_pcba(13), etag='"two"')
    with pytest.raises(ChecksumError, match=rf"{first} at the first download.*delete .*pcba\.json"):
        get_dataset(small_pcba, force=True)
    assert pq.read_metadata(cache / "pcba.parquet").num_rows == 12
    (cache / "pcba.json").unlink()
    get_dataset(small_pcba, force=True)
    assert pq.read_metadata(cache / "pcba.parquet").num_rows == 13


@pytest.mark.parametrize("record", ["", "[]", "{}", "nonsense"])
def test_damaged_record(small_pcba, cache, record):
    cache.mkdir()
    (cache / "pcba.json").write_text(record)
    with pytest.raises(InputError, match="not the record of a download"):
        get_dataset(small_pcba)


def test_too_few_rows(small_pcba, cache):
    with pytest.raises(InputError, match="12 rows, 13 expected at least; this is not the whole of pcba"):
        get_dataset(replace(small_pcba, rows=13))
    assert left_over(cache) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (SOURCE[:-20], "damaged"),
        (SOURCE[:-8] + bytes(8), "damaged"),
        (b"<html>sign in</html>", "web page"),
        (b"smiles,mol_id\nC,a\n", "no column 'PCBA-1030'"),
        (b"", "no column 'mol_id'"),
    ],
)
def test_wrong_content_leaves_nothing(small_pcba, cache, server, content, told):
    server.serve("/pcba.csv.gz", content)
    with pytest.raises(InputError, match=told):
        get_dataset(small_pcba)
    assert left_over(cache) == []


def test_second_address_is_tried(small_pcba, cache, server):
    several = replace(small_pcba, urls=(server.url("/gone"), *small_pcba.urls))
    assert get_dataset(several) == cache / "pcba.parquet"
    assert json.loads((cache / "pcba.json").read_text())["url"] == small_pcba.urls[0]
    nowhere = replace(small_pcba, urls=(server.url("/gone"), server.url("/lost")))
    with pytest.raises(DownloadError, match=r"(?s)/gone: HTTP 404.*/lost: HTTP 404"):
        get_dataset(nowhere, force=True)


def test_redirected_address(small_pcba, cache, server):
    server.serve("/moved", redirect="/pcba.csv.gz")
    get_dataset(small_pcba, url=server.url("/moved"))
    assert find_dataset("pcba") == cache / "pcba.parquet"


def test_wrong_requests(cache):
    with pytest.raises(UnknownNameError, match="did you mean 'pcba'"):
        get_dataset("pcbas")
    with pytest.raises(UsageError):
        get_dataset("pcba", url="/tmp/pcba.csv.gz")


def test_full_disk(small_pcba, cache, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("molig.datasets.getting.pq.write_table", full)
    with pytest.raises(OutputError, match=r"pcba\.parquet: No space left on device"):
        get_dataset(small_pcba)
    assert "pcba.parquet" not in left_over(cache)
    assert not [name for name in left_over(cache) if name.endswith(".tmp")]


def test_catalogue_is_complete():
    for name, one in datasets().items():
        assert one.name == name
        assert one.urls
        assert all(urlsplit(url).scheme == "https" for url in one.urls)
        assert one.smiles_column in one.columns
        assert set(one.targets) < set(one.columns)
        assert len(set(one.columns)) == len(one.columns)
        assert all([one.title, one.what, one.licence, one.citation])
        assert one.table_sha256 is None or len(one.table_sha256) == 64
