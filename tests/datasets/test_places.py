"""Where tables are looked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from molig.datasets.places import cache_directory, find_dataset, locate_dataset
from molig.errors import InputError, UnknownNameError


def test_data_directory_comes_before_the_cache(cache, tmp_path, monkeypatch):
    assert locate_dataset("bace") is None
    cache.mkdir()
    (cache / "bace.parquet").touch()
    assert find_dataset("bace") == cache / "bace.parquet"
    monkeypatch.setenv("MOLIG_DATA_DIR", str(tmp_path))
    assert find_dataset("bace") == cache / "bace.parquet"
    (tmp_path / "bace.parquet").touch()
    assert find_dataset("bace") == tmp_path / "bace.parquet"


def test_missing_table_says_what_to_do(cache, tmp_path, monkeypatch):
    with pytest.raises(
        InputError, match=r"run `molig data get pcba` \(looked for pcba\.parquet in .*cache\)"
    ):
        find_dataset("pcba")
    monkeypatch.setenv("MOLIG_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match="MOLIG_DATA_DIR"):
        find_dataset("pcba")
    (tmp_path / "pcba.parquet").mkdir()
    with pytest.raises(InputError):
        find_dataset("pcba")


def test_unknown_name(cache):
    with pytest.raises(UnknownNameError, match="did you mean 'tox21'"):
        find_dataset("tox12")


def test_cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv("MOLIG_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "molig"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_directory() == tmp_path / ".cache" / "molig"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_directory() == tmp_path / "Library" / "Caches" / "molig"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert cache_directory() == Path(tmp_path / "Local" / "molig")
