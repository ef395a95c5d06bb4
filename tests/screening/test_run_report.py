"""What a run says of itself, and what a dry run says of one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.libraries import GOOD

from molig.errors import UsageError
from molig.screening import ScreeningOptions, screen
from molig.screening.chunks import CHUNK_ROWS
from molig.screening.run_report import SAMPLED_ROWS, estimate, peak_memory, report_path, write_run_report


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "l.smi"
    path.write_text("".join(f"{smiles} m{i}\n" for i, smiles in enumerate([*GOOD, "C1CC"])))
    return path


def test_the_report_is_beside_the_hits(tmp_path):
    assert report_path(tmp_path / "hits.csv") == tmp_path / "hits.run.json"
    assert report_path("-") is None
    with pytest.raises(UsageError, match=r"parquet, \.csv"):
        report_path(tmp_path / "hits.txt")


def test_it_counts_what_the_run_counted(small_model, library, tmp_path):
    options = ScreeningOptions(task="nitrogen", threshold=0.5)
    result = screen(library, small_model, output=tmp_path / "hits.csv", options=options)
    write_run_report(tmp_path / "hits.run.json", result, [small_model], library, ["screen", "a b.smi"])
    report = json.loads((tmp_path / "hits.run.json").read_text())
    n_lines = len((tmp_path / "hits.csv").read_text().splitlines()) - 1
    rows = {"read": len(GOOD) + 1, "scored": len(GOOD), "rejected": 1, "hits": n_lines}
    assert report["rows"] == {**rows, "done_by_an_interrupted_run": 0}
    assert report["command"] == "molig screen 'a b.smi'"
    assert set(report["stages"]) >= {"read", "parse", "score", "write"}
    spent = sum(stage["seconds"] for stage in report["stages"].values())
    assert report["utilisation"] == pytest.approx(spent / report["seconds"] / report["jobs"], rel=1e-3)
    assert report["library"] == {"name": str(library), "bytes": library.stat().st_size}
    assert report["peak_memory_bytes"]["process"] == pytest.approx(peak_memory().process, rel=0.2)


def test_speeds_are_of_the_rows_of_this_run(small_model, library, tmp_path):
    result = screen(library, small_model, output=tmp_path / "hits.csv", task="nitrogen")
    resumed = replace(result, n_before=10, seconds=2.0, stages={"read": 1.0, "parse": 0.5})
    write_run_report(tmp_path / "hits.run.json", resumed, [small_model], library)
    report = json.loads((tmp_path / "hits.run.json").read_text())
    assert report["rows"]["done_by_an_interrupted_run"] == 10
    assert report["rows_per_second"] == (result.n_rows - 10) / 2
    assert report["stages"]["read"]["rows_per_second"] == result.n_rows  # all rows are read again
    assert report["stages"]["parse"]["rows_per_second"] == (result.n_rows - 10) / 0.5


def test_a_short_library_is_estimated_from_all_of_it(small_model, library, tmp_path):
    found = estimate(library, small_model, tmp_path / "hits.csv", ScreeningOptions(task="nitrogen"), 999)
    assert found.n_rows == len(GOOD) + 1
    screen(library, small_model, output=tmp_path / "hits.csv", task="nitrogen")
    assert found.bytes_per_row * found.n_rows == (tmp_path / "hits.csv").stat().st_size
    assert dict(found.lines())["sample"] == f"the first {len(GOOD) + 1} rows"


def test_of_a_long_file_of_lines_rows_from_all_over_are_looked_at(small_model, tmp_path):
    n_rows = 2 * max(SAMPLED_ROWS, CHUNK_ROWS)
    lines = ["CCO m\n"] * (n_rows // 2) + ["C1C m\n"] * (n_rows // 2)
    (tmp_path / "l.smi").write_text("SMILES name\n" + "".join(lines))
    options = ScreeningOptions(task="nitrogen")
    found = estimate(tmp_path / "l.smi", small_model, tmp_path / "hits.parquet", options, n_rows)
    assert found.sampled.n_rejected / found.sampled.n_rows == pytest.approx(0.5, abs=0.02)
    assert (found.n_rows, found.sampled.n_rows) == (n_rows, n_rows // 2 - 1)
    assert dict(found.lines())["sample"] == f"{n_rows // 2 - 1:,} rows from all over"


def test_of_another_long_library_the_first_rows_are_looked_at(small_model, tmp_path):
    n_looked_at = max(SAMPLED_ROWS, CHUNK_ROWS)
    (tmp_path / "l.smi").write_text("CCO\n" * n_looked_at + 'C1CC "of two\nlines"\n')
    options = ScreeningOptions(task="nitrogen", top_k=10)
    found = estimate(tmp_path / "l.smi", small_model, tmp_path / "hits.parquet", options, 10**9)
    assert (found.sampled.n_rows, found.sampled.n_rejected) == (n_looked_at, 0)
    assert found.n_rows == 10**9
    assert found.bytes_per_row * found.n_rows < 10_000  # ten rows, whatever the library
    assert [path.name for path in tmp_path.iterdir()] == ["l.smi"]
