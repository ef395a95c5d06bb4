"""A library in several files, here or at addresses, is screened as one."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.libraries import BAD, GOOD
from support.small_model import nci_smiles

from molig.errors import InputError, UsageError
from molig.molecules.sources import files_of
from molig.screening import ScreeningOptions, Shard, Watch, merge, screen
from molig.screening.libraries import Files, cut

N_FILES = 3


@pytest.fixture(scope="module")
def rows(nci_file) -> list[str]:
    return [row for row in [*nci_smiles(30, start=1000), *BAD, *GOOD] if "," not in row and "\0" not in row]


def written(folder: Path, rows: list[str], suffix: str, name: str) -> Path:
    """A file with these rows and two more columns, the identifiers of which are missing at times."""
    path = folder / f"{name}{suffix}"
    ids = [f"m{row}" if len(row) % 3 else "" for row in rows]
    if suffix == ".parquet":
        pq.write_table(
            pa.table({"smiles": rows, "price": list(map(len, rows)), "id": ids}), path, row_group_size=7
        )
        return path
    text = "smiles,price,id\n" + "".join(f"{r},{len(r)},{i}\n" for r, i in zip(rows, ids, strict=True))
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    return path


@pytest.fixture(params=[".csv", ".csv.gz", ".parquet"])
def libraries(request, tmp_path, rows) -> tuple[Path, str]:
    """One file, and a pattern for the same rows in several."""
    parts = tmp_path / "parts"
    parts.mkdir()
    size = -(-len(rows) // N_FILES)
    for i in range(N_FILES):
        written(parts, rows[i * size : (i + 1) * size], request.param, f"part-{i}")
    return written(tmp_path, rows, request.param, "whole"), str(parts / "part-*")


def tables(output: Path) -> tuple[bytes, bytes]:
    return output.read_bytes(), output.with_suffix(".rejected.csv").read_bytes()


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_several_files_are_one_library(small_model, libraries, tmp_path, scheme):
    whole, pattern = libraries
    options = ScreeningOptions(task="nitrogen", batch_size=8)
    for library, name in ((whole, "one"), (scheme + pattern, "several")):
        screen(library, small_model, output=tmp_path / f"{name}.csv", options=options)
    assert tables(tmp_path / "several.csv") == tables(tmp_path / "one.csv")


def test_a_run_over_several_files_is_continued_unless_one_has_changed(
    small_model, libraries, tmp_path, monkeypatch, rows
):
    monkeypatch.setattr("molig.screening.pipeline.CHUNK_ROWS", 8)
    whole, pattern = libraries
    output = tmp_path / "hits.csv"
    seen: list[int] = []

    def stop(n_rows: int) -> None:
        seen.append(n_rows)
        if len(seen) > 2:
            raise KeyboardInterrupt

    options = ScreeningOptions(task="nitrogen", batch_size=8)
    with pytest.raises(KeyboardInterrupt):
        screen(pattern, small_model, output=output, options=replace(options, progress=stop))
    first = Path(files_of(pattern)[0])
    content = first.read_bytes()
    written(first.parent, rows[::-1], "".join(first.suffixes), "part-0")
    options = replace(options, resume=True, watch=Watch(seen.append, lambda n: None))
    with pytest.raises(UsageError, match="the input has changed"):
        screen(pattern, small_model, output=output, options=options)
    first.write_bytes(content)
    seen.clear()
    screen(pattern, small_model, output=output, options=options)
    assert seen == [16]
    screen(whole, small_model, output=tmp_path / "one.csv", options=replace(options, resume=False))
    assert tables(output) == tables(tmp_path / "one.csv")


def test_other_columns_in_a_later_file_are_refused(small_model, tmp_path):
    for name, header in (("a", "smiles,price"), ("b", "smiles,cost")):
        (tmp_path / f"{name}.csv").write_text(f"{header}\nCCO,1\n")
    options = ScreeningOptions(task="nitrogen")
    with pytest.raises(
        InputError, match=r"b\.csv has other columns .* than .*a\.csv \(cost .*; price .*keep"
    ):
        screen(f"{tmp_path}/*.csv", small_model, options=options)
    options = ScreeningOptions(task="nitrogen", keep="none")
    assert screen(f"{tmp_path}/*.csv", small_model, options=options).hits["id"].tolist() == ["1", "2"]


def test_what_cannot_be_found(small_model, tmp_path):
    for library, told in {
        f"{tmp_path}/*.smi": "no file fits this pattern",
        f"file://{tmp_path}/*.smi": "no file fits this pattern",
        f"file://{tmp_path}/one.smi": "no such file",
        "nowhere://bucket/one.smi": "Unrecognized filesystem type",
    }.items():
        with pytest.raises((UsageError, InputError), match=told):
            screen(library, small_model, options=ScreeningOptions(task="nitrogen"))


@given(
    st.lists(st.lists(st.integers(0, 400), min_size=1, max_size=4), min_size=1, max_size=5),
    st.integers(1, 9),
)
def test_stretches_are_the_library(groups, rows_per_chunk):
    sizes = list(map(sum, groups))
    stretches = cut(groups, rows_per_chunk)
    n_chunks = -(-sum(sizes) // rows_per_chunk)
    assert [n for s in stretches for n in range(s.first, s.end)] == list(range(n_chunks))
    for start, first, _ in stretches:
        assert start.rows_before == sum(sizes[: start.file])
        assert start.rows_before + start.skip == first * rows_per_chunk
        assert 0 <= start.skip < sizes[start.file]


def test_rows_are_the_same_from_any_chunk_on(rows, tmp_path):
    names = [str(written(tmp_path, rows[i::2], ".parquet", f"{i}")) for i in range(2)]
    files = Files(tuple(names), {"keep": "all"})
    every = [(r.row, r.id, r.smiles, r.kept) for r in files.records()]
    assert [row for row, *_ in every] == list(range(1, len(rows) + 1))
    sizes = [[len(rows[i::2])] for i in range(2)]
    for start, first, _ in cut(sizes, 2):
        assert [(r.row, r.id, r.smiles, r.kept) for r in files.records(start)] == every[2 * first :]


def test_many_shards_look_up_their_chunks(small_model, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("molig.screening.pipeline.CHUNK_ROWS", 4)
    library, n = written(tmp_path, rows, ".parquet", "whole"), 9
    options = ScreeningOptions(task="nitrogen", batch_size=8)
    screen(library, small_model, output=tmp_path / "one.csv", options=options)
    for place in range(1, n + 1):
        screen(
            library,
            small_model,
            output=tmp_path / "hits.csv",
            options=replace(options, shard=Shard(place, n)),
        )
    merge(sorted(tmp_path.glob("hits.shard-*")), tmp_path / "hits.csv")
    assert tables(tmp_path / "hits.csv") == tables(tmp_path / "one.csv")
