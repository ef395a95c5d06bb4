"""Hit tables as files: complete, equal in all formats, and there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.libraries import BAD, GOOD, names_in
from support.small_model import TASKS

from molig.errors import OutputError, UsageError
from molig.screening import ScreeningOptions, screen
from molig.tables import OutputTable
from molig.tables.writers import check_output, check_writable

ROWS = [*GOOD, *BAD, *GOOD]
OLD = "an older result\n"
FORMATS = ("hits.parquet", "hits.csv", "hits.xlsx")
BREAKS = [
    (error, after)
    for error in (RuntimeError("broke off"), KeyboardInterrupt(), OSError("share gone"))
    for after in (0, 25)
]
SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string()), ("score", pa.float32())])


def failing(error: BaseException, after: int) -> Iterator[str]:
    """A library that breaks off after some rows."""
    yield from (GOOD * 10)[:after]
    raise error


class TestFormats:
    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("top_k", [None, 5])
    def test_files_agree_with_the_table_in_memory(self, small_committee, tmp_path, name, top_k):
        memory = screen(ROWS, small_committee, top_k=top_k)
        file = screen(ROWS, small_committee, output=tmp_path / name, top_k=top_k)
        pd.testing.assert_frame_equal(file.hits, memory.hits, check_dtype=False, rtol=1e-5)
        pd.testing.assert_frame_equal(file.rejections, memory.rejections, check_dtype=False)

    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("rejects", FORMATS)
    def test_text_that_looks_like_a_number_stays_text(self, small_committee, tmp_path, name, rejects):
        library = tmp_path / "library.csv"
        library.write_text("smiles,id\nCCO,007\n42,008\nC,NA\n")
        paths = {"output": tmp_path / name, "rejects": tmp_path / f"rejected-{rejects}"}
        result = screen(library, small_committee, **paths)
        assert result.hits["id"].tolist() == ["007", "NA"]
        assert result.rejections[["id", "smiles"]].values.tolist() == [["008", "42"]]

    @pytest.mark.parametrize("name", FORMATS)
    def test_ids_with_separators_and_line_ends_stay_whole(self, small_committee, tmp_path, name):
        ids = ["a,b", 'say "x"', "two\nlines", "tab\there", "größe", "NA", ""]
        frame = pd.DataFrame({"smiles": ["CCO"] * len(ids), "id": ids})
        frame.to_parquet(tmp_path / "library.parquet")
        result = screen(tmp_path / "library.parquet", small_committee, output=tmp_path / name)
        assert result.hits["id"].tolist() == [*ids[:-1], str(len(ids))]

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_carriage_return_does_not_cut_a_row_in_two(self, small_committee, tmp_path, name):
        result = screen(["CCO", "C1CC\rO"], small_committee, output=tmp_path / name)
        assert len(result.rejections) == 1
        assert result.rejections["reason"].str.startswith("not parsable").all()

    def test_parquet_types(self, small_committee, tmp_path):
        screen(ROWS, small_committee, output=tmp_path / "hits.parquet")
        schema = pq.read_schema(tmp_path / "hits.parquet")
        assert schema.names == [
            "row",
            "id",
            "smiles",
            "scored_smiles",
            "removed",
            *TASKS,
            "best_task",
            "rank",
        ]
        assert [schema.field(name).type for name in ("row", "rank")] == [pa.int64()] * 2
        assert [schema.field(task).type for task in TASKS] == [pa.float32()] * 2

    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_a_table_of_many_batches_is_in_order(self, small_committee, tmp_path, batch_size):
        output = tmp_path / "hits.parquet"
        screen(ROWS, small_committee, output=output, options=ScreeningOptions(batch_size=batch_size))
        rows = pd.read_parquet(output)["row"]
        assert rows.is_monotonic_increasing
        assert len(rows) == 2 * len(GOOD)


class TestPlaces:
    @pytest.mark.parametrize("name", FORMATS)
    def test_rejects_lie_beside_the_hits_and_nothing_else_does(self, small_committee, tmp_path, name):
        result = screen(ROWS, small_committee, output=tmp_path / name)
        assert names_in(tmp_path) == {name, "hits.rejected.csv"}
        assert len(pd.read_csv(result.rejects, keep_default_na=False)) == len(BAD)

    def test_rejects_of_an_earlier_run_are_replaced_even_if_there_are_none_now(
        self, small_committee, tmp_path
    ):
        output = tmp_path / "hits.csv"
        assert screen([*GOOD, "bad("], small_committee, output=output).n_rejected == 1
        assert screen(GOOD, small_committee, output=output).n_rejected == 0
        assert (tmp_path / "hits.rejected.csv").read_text() == "row,id,smiles,reason\n"

    def test_rejects_go_where_they_are_wanted(self, small_committee, tmp_path):
        rejects = tmp_path / "why.parquet"
        result = screen(ROWS, small_committee, output=tmp_path / "hits.csv", rejects=rejects)
        assert names_in(tmp_path) == {"hits.csv", "why.parquet"}
        assert pd.read_parquet(rejects).equals(result.rejections)

    def test_hits_and_rejects_cannot_share_a_file(self, small_committee, tmp_path):
        path = tmp_path / "hits.csv"
        with pytest.raises(UsageError):
            screen(ROWS, small_committee, output=path, rejects=tmp_path / "." / "hits.csv")
        assert names_in(tmp_path) == set()

    @pytest.mark.parametrize("role", ["output", "rejects"])
    def test_the_library_is_never_overwritten(self, small_committee, tmp_path, role):
        library = tmp_path / "library.csv"
        library.write_text("smiles\nCCO\nbad(\n")
        paths = {"output": tmp_path / "hits.csv"} | {role: library}
        with pytest.raises(UsageError, match=r"library\.csv"):
            screen(library, small_committee, **paths)
        assert library.read_text() == "smiles\nCCO\nbad(\n"

    def test_a_result_held_in_memory_leaves_no_file(self, small_committee, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        screen(ROWS, small_committee)
        assert names_in(tmp_path) == set()


class TestFailures:
    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize(
        "options",
        [ScreeningOptions(batch_size=10), ScreeningOptions(batch_size=10, top_k=3)],
        ids=["all", "best"],
    )
    @pytest.mark.parametrize(("error", "after"), BREAKS, ids=repr)
    def test_a_broken_run_leaves_the_old_files_and_nothing_else(
        self, small_committee, tmp_path, *, name, options, error, after
    ):
        old = {name, "hits.rejected.csv"}
        for file in old:
            (tmp_path / file).write_text(OLD)
        with pytest.raises(type(error)) as caught:
            screen(failing(error, after), small_committee, output=tmp_path / name, options=options)
        assert caught.value is error
        assert names_in(tmp_path) == old
        assert all((tmp_path / file).read_text() == OLD for file in old)

    def test_a_run_without_hits_leaves_the_old_files(self, small_committee, tmp_path):
        (tmp_path / "hits.csv").write_text(OLD)
        with pytest.raises(Exception, match="none of the 2 rows"):
            screen(["bad(", ""], small_committee, output=tmp_path / "hits.csv")
        assert names_in(tmp_path) == {"hits.csv", "hits.rejected.csv"}
        assert (tmp_path / "hits.csv").read_text() == OLD
        rejected = pd.read_csv(tmp_path / "hits.rejected.csv", keep_default_na=False)
        assert rejected["reason"].tolist() == ["not parsable: syntax error", "empty SMILES"]

    def test_progress_that_raises_is_a_broken_run_too(self, small_committee, tmp_path):
        def stop(_: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            screen(GOOD, small_committee, output=tmp_path / "h.csv", options=ScreeningOptions(progress=stop))
        assert names_in(tmp_path) == set()


class TestOutputTable:
    """The writer alone."""

    @pytest.fixture
    def table(self) -> pa.Table:
        return pa.table([[1, 2], ["x", None], [0.1, 1e-9]], schema=SCHEMA)

    @pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
    def test_the_file_appears_at_the_end(self, tmp_path, table, name):
        path = tmp_path / name
        path.write_text(OLD)
        with OutputTable(path, SCHEMA) as out:
            out.write(table)
            assert path.read_text() == OLD
            out.write(table)
        read = pd.read_csv(path) if name.endswith("csv") else pd.read_parquet(path)
        assert read["n"].tolist() == [1, 2, 1, 2]
        np.testing.assert_allclose(read["score"], [0.1, 1e-9] * 2, rtol=1e-5)
        assert names_in(tmp_path) == {name}

    @pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
    def test_a_table_without_rows_has_its_columns(self, tmp_path, name):
        path = tmp_path / name
        with OutputTable(path, SCHEMA):
            pass
        read = pd.read_csv(path) if name.endswith("csv") else pd.read_parquet(path)
        assert list(read.columns) == SCHEMA.names
        assert len(read) == 0

    def test_a_directory_that_vanished_is_an_output_error(self, tmp_path, table):
        directory = tmp_path / "gone"
        with pytest.raises(OutputError, match=r"cannot write .*t\.csv"):  # noqa: SIM117
            with OutputTable(directory / "t.csv", SCHEMA) as out:
                out.write(table)

    def test_writing_outside_a_with_block_is_refused(self, tmp_path, table):
        with pytest.raises(OutputError, match="not open"):
            OutputTable(tmp_path / "t.csv", SCHEMA).write(table)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_directory_without_permission_is_refused_before_the_run(self, small_committee, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(UsageError, match="permission denied"):
            screen(GOOD, small_committee, output=tmp_path / "hits.csv")


@pytest.mark.parametrize("address", ["s3://bucket/hits.parquet", "gs://b/a/hits.csv", "abfss://c@x/hits.csv"])
def test_an_address_is_no_place_for_a_table(address):
    with pytest.raises(UsageError, match=rf"{address} is an address.* name one, such as hits"):
        check_output(address)
    with pytest.raises(UsageError, match="is an address"):
        check_writable(Path(address))
