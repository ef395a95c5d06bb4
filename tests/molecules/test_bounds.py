"""Small files that unpack to much: peak memory of a process that reads them, and that it can be stopped."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import bombs
from support.processes import Run

from molig.molecules import read_records

READ = """
import resource, sys
from collections import Counter
from molig.errors import InputError
from molig.molecules import read_records
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
problems = Counter()
try:
    problems.update(record.problem for record in read_records(sys.argv[1]))
except InputError as error:
    print(error)
print(dict(problems))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
CELL = "cell longer than 100,000 characters"


def read_apart(path: Path) -> tuple[str, int]:
    """Read a file in a process of its own: what came of it, and by how many MB its memory grew."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True, timeout=600
    )
    *said, grown = done.stdout.splitlines()
    return "\n".join(said), int(grown)


@pytest.mark.parametrize(
    ("make", "name", "said", "most"),
    [
        (bombs.repeated_text, "a.parquet", str({CELL: 500}), 100),
        (bombs.long_cells, "a.parquet", str({None: 50, CELL: 50}), 700),
        (bombs.packed_zeros, "a.parquet.gz", "a.parquet.gz: unpacks to more than 64 MiB and 100 times", 60),
        (bombs.blank_lines, "a.smi.gz", "a.smi.gz: unpacks to more than 64 MiB and 100 times", 60),
        (bombs.blank_lines, "a.smi.bz2", "a.smi.bz2: unpacks to more than 64 MiB and 100 times", 60),
        (bombs.blank_lines, "a.smi.zip", "a.smi.zip: unpacks to more than 64 MiB and 100 times", 60),
    ],
)
def test_peak_memory(tmp_path: Path, make: Callable[[Path], Path], name: str, said: str, most: int) -> None:
    found, grown = read_apart(make(tmp_path / name))
    assert said in found
    assert grown < most


def test_a_row_that_is_too_wide(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    found, grown = read_apart(bombs.one_wide_row(tmp_path / "a.xlsx"))
    assert "a.xlsx: unpacks to" in found
    assert "MAX_UNPACKING" in found
    assert grown < 60


def test_long_cells_keep_their_identifier(tmp_path: Path) -> None:

    records = list(read_records(bombs.long_cells(tmp_path / "a.parquet")))
    assert [r.id for r in records] == [f"m{i}" for i in range(100)]
    assert [len(r.smiles) for r in records[:4]] == [3, 201, 5, 201]


def test_a_file_may_be_packed_well(tmp_path: Path) -> None:
    """Below the bound any ratio will do: 30 MB of the same row."""

    path = tmp_path / "a.smi.gz"
    path.write_bytes(b"")
    bombs.blank_lines(path, 30_000_000)
    with path.open("ab") as file:
        file.write(gzip.compress(b"CCO a\n"))
    first = next(read_records(path))
    assert (first.row, first.smiles) == (1, "")


@pytest.mark.parametrize("name", ["a.smi.gz", "a.csv.gz"])
def test_empty_lines_within_a_file_are_rows(tmp_path: Path, name: str) -> None:

    path = tmp_path / name
    path.write_bytes(gzip.compress(b"smiles id\nC a\n".replace(b" ", b"," if "csv" in name else b" ")))
    with path.open("ab") as file:
        file.write(gzip.compress(b"\n" * 100_000 + b" \n" * 50_000 + b"CC"))
    records = list(read_records(path))
    assert len(records) == 150_002
    assert (records[-1].row, records[-1].smiles) == (150_002, "CC")


@pytest.mark.parametrize("name", ["a.smi", "a.sdf"])
def test_a_run_over_empty_lines_can_be_stopped(tmp_path: Path, name: str) -> None:
    """SIGTERM is heard while the reader has nothing to give and more may come."""
    run = Run(
        *("screen", "-", "-m", "tox21-w2n2-simple", "--task", "SR-MMP"),
        *("--format", name.split(".")[1], "-o", "-", "-q"),
    )
    for _ in range(64):
        run.write("\n" * (1 << 20))
    run.send_signal(signal.SIGTERM)
    assert run.ended() == 1
    assert "interrupted" in run.finish()[2]
