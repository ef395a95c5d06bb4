"""Files to read and data sets to compare with, shared by the tests of the room."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from rdkit import RDConfig

WriteFile = Callable[[str, "str | bytes"], Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """Write a file as it stands (no translation of line ends); a name in .gz is compressed."""

    def write_file(name: str, content: str | bytes) -> Path:
        data = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return path

    return write_file


@pytest.fixture(scope="session")
def nci_smiles() -> list[str]:
    """About 5,000 real, untidy compounds that come with RDKit."""
    path = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    if not path.exists():
        pytest.skip(f"RDKit was installed without its data ({path.name})")
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
