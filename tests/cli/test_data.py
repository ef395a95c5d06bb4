"""`molig data list` and `molig data get`."""

from __future__ import annotations

import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from support.file_server import running_file_server
from support.made_up_pcba import made_up_pcba

from molig.datasets import catalogue, datasets
from molig.datasets.examples import example_files


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.delenv("MOLIG_DATA_DIR", raising=False)
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch, cache):
    """Serves a small PCBA, whose row count the catalogue accepts."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    small = [replace(one, rows=12) if one.name == "pcba" else one for one in catalogue.datasets().values()]
    monkeypatch.setattr(catalogue, "_ALL", tuple(small))
    with running_file_server() as served:
        served.serve("/pcba.csv.gz", made_up_pcba(12))
        yield served


def test_list(molig, cache):
    run = molig("data", "list")
    assert run.code == 0
    lines = {line.split()[1]: line for line in run.out.splitlines() if line.startswith("│ ")}
    assert list(lines) == list(datasets())
    assert all(line.endswith(" no   │") for line in lines.values())
    assert " 8,014 " in lines["tox21"]
    assert " >= 437,929 " in lines["pcba"]
    assert "molig data get NAME" in run.err
    cache.mkdir()
    (cache / "bace.parquet").touch()
    again = molig("data", "list", "-q")
    assert again.err == ""
    assert next(line for line in again.out.splitlines() if " bace " in line).endswith(" yes  │")


def test_list_fits_a_narrow_terminal(cache, narrow):
    lines = narrow("data", "list")
    assert max(map(len, lines)) == 80
    assert any("│ hts_3clpro_aid1706 │" in line for line in lines)


def test_show(molig, cache):
    run = molig("data", "show", "moleculeace_30")
    assert run.code == 0
    assert "measured values: pActivity" in run.out
    assert "doi:10.1021/acs.jcim.2c01073" in run.out
    assert "CC BY-SA 3.0" in run.out
    assert "molig data get moleculeace_30" in run.out
    assert re.search(r"CHEMBL204_Ki +│ thrombin, Ki", run.out)
    run = molig("data", "show", "pcba")
    assert "first download" in run.out
    assert "PCBA-1030" in run.out
    assert re.search(r"source +│ https://deepchemdata", run.out)
    assert molig("data", "show", "tox12").code == 2


def test_get(molig, cache, server):
    run = molig("data", "get", "pcba", "--url", server.url("/pcba.csv.gz"))
    assert (run.code, run.out) == (0, f"{cache / 'pcba.parquet'}\n")
    assert "licence: public domain" in run.err
    assert "doi:10.1039/C7SC02664A" in run.err
    assert pq.read_metadata(cache / "pcba.parquet").num_columns == 130
    again = molig("data", "get", "pcba")
    assert (again.code, again.out) == (0, run.out)
    assert "there already; --force" in again.err
    forced = molig("data", "get", "pcba", "--url", server.url("/pcba.csv.gz"), "--force", "--quiet")
    assert (forced.code, forced.out, forced.err) == (0, run.out, "")
    assert len(server.files["/pcba.csv.gz"].requests) == 2


def test_get_into_a_directory(molig, cache, server, tmp_path):
    run = molig("data", "get", "pcba", "--url", server.url("/pcba.csv.gz"), "--directory", tmp_path / "d")
    assert (run.code, run.out) == (0, f"{tmp_path / 'd' / 'pcba.parquet'}\n")
    assert not cache.exists()


def test_failed_download(molig, cache, server):
    run = molig("data", "get", "tox21", "--url", server.url("/gone"))
    assert (run.code, run.out) == (1, "")
    assert "HTTP 404 Not Found" in run.err
    run = molig("data", "get", "tox21", "--url", server.url("/pcba.csv.gz"))
    assert run.code == 1
    assert "no column 'NR-AR'" in run.err


@pytest.mark.parametrize("arguments", [["tox12"], ["tox21", "--url", "ftp://a/b"], [], ["tox21", "--colour"]])
def test_wrong_requests(molig, cache, arguments):
    run = molig("data", "get", *arguments)
    assert (run.code, run.out) == (2, "")
    assert run.err


class TestExample:
    def test_writes_the_files_that_come_with_molig(self, molig, tmp_path):
        run = molig("data", "example", tmp_path / "new")
        assert run.code == 0
        written = [tmp_path / "new" / name for name in example_files()]
        assert run.out.splitlines() == [str(path) for path in written]
        assert [path.read_bytes() for path in written] == [p.read_bytes() for p in example_files().values()]
        assert molig("data", "example", tmp_path / "new", "-q").err == ""

    def test_keeps_what_is_there(self, molig, tmp_path):
        own = tmp_path / "recipe.toml"
        own.write_text("[optimization]\n")
        run = molig("data", "example", tmp_path)
        assert run.code == 2
        assert f"{own} is there and is another file; --force" in run.err
        assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]
        assert molig("data", "example", tmp_path, "--force").code == 0
        assert own.read_bytes() == example_files()["recipe.toml"].read_bytes()
