from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from molig.errors import InputError
from molig.molecules import read_records

TABLE = {
    "x": [0.5, None, float("nan")],
    "smiles": ["CCO", None, "C"],
    "id": ["a", None, "c"],
    "label": [1, None, 0],
}


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table({**TABLE, **columns}), path)
    return path


def test_missing_values(tmp_path: Path) -> None:
    records = list(read_records(write(tmp_path / "a.parquet"), columns=["label", "x"]))
    assert [(r.id, r.smiles) for r in records] == [("a", "CCO"), ("2", ""), ("c", "C")]
    assert [r.fields["label"] for r in records] == [1, None, 0]
    assert records[0].fields["x"] == 0.5


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([7, 8, 9], ["7", "8", "9"]),
        ([7.0, None, float("nan")], ["7", "2", "3"]),
        ([b"a", b"\xff", b"c"], ["a", "\u00ff", "c"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array(["a", "b", "a"], pa.large_string()), ["a", "b", "a"]),
    ],
)
def test_identifiers_become_text(tmp_path: Path, ids: object, expected: list[str]) -> None:
    assert [r.id for r in read_records(write(tmp_path / "a.parquet", id=ids))] == expected


def test_text_that_is_not_utf8_is_read_as_windows_1252(tmp_path: Path) -> None:
    smiles = pa.Array.from_buffers(pa.string(), 3, pa.array([b"C", b"C\xff", b"CC"]).buffers())
    assert [r.smiles for r in read_records(write(tmp_path / "a.parquet", smiles=smiles))] == [
        "C",
        "C\u00ff",
        "CC",
    ]


def test_rows_are_counted_across_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    smiles = ["C" * (1 + i % 5) for i in range(20_000)]
    pq.write_table(pa.table({"smiles": smiles}), path, row_group_size=3000)
    records = list(read_records(path))
    assert [r.row for r in records] == list(range(1, 20_001))
    assert [r.smiles for r in records] == smiles
    assert records[-1].id == "20000"


def test_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("smiles\nC\n" * 10)
    with pytest.raises(InputError, match=r"a\.parquet: not a readable Parquet file"):
        read_records(path)


def test_damaged_parquet_names_the_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rng = np.random.default_rng(0)
    smiles = ["".join(rng.choice(list("CNOS"), 30)) for _ in range(20_000)]
    pq.write_table(
        pa.table({"smiles": smiles}), path, row_group_size=10_000, compression="zstd", use_dictionary=False
    )
    data = bytearray(path.read_bytes())
    middle = int(len(data) * 0.7)
    data[middle : middle + 4000] = b"\xff" * 4000
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.parquet: damaged after row \d+"):
        list(read_records(path))


def test_packed_parquet_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    plain = write(tmp_path / "a.parquet")
    packed = tmp_path / "a.parquet.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    assert [r.id for r in read_records(packed)] == ["a", "2", "c"]
    assert list(scratch.iterdir()) == []


def test_packed_parquet_cut_in_the_middle(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.parquet")
    packed = tmp_path / "b.parquet.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), mtime=0)[:-200])
    with pytest.raises(InputError, match=r"b\.parquet\.gz"):
        read_records(packed)
