"""A misbehaving server, and no directory of the developer's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.file_server import FileServer, running_file_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Serves files on the loopback interface, past any proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_file_server() as served:
        yield served


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache directory; no other directory of data sets is known."""
    monkeypatch.delenv("MOLIG_DATA_DIR", raising=False)
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"
