"""Columns that come along from the input: which, under which names, of which types, and of broken rows."""

from __future__ import annotations

import datetime
import io
import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.errors import UnknownNameError
from molig.molecules import MoleculeParser, read_records
from molig.molecules.columns import distinct_names
from molig.molecules.sdf_reader import RECORDS_SEARCHED_TO_KEEP

BLOCK = "\n  x\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0 0.0 0.0 O   0  0\nM  END\n"


def kept(path, keep="all", **options) -> pa.Table:
    """All rows' values that come along."""
    records = read_records(path, keep=keep, **options)
    schema = records.kept
    rows = [r.kept or (None,) * len(schema) for r in records]
    return pa.table([pa.array([row[i] for row in rows], f.type) for i, f in enumerate(schema)], schema=schema)


def write(folder, name, content) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


NAME = (
    st.text("abcXYZ _.%µ", min_size=1, max_size=6)
    .map(str.strip)
    .filter(lambda name: name and name.lower() not in ("name", "id", "smiles") and not name.startswith("#"))
)
CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8) | st.sampled_from(
    ["1.50", "NA", "  x ", 'say "no"', "a,b", "=1+1", "007"]
)


@given(st.data(), st.lists(NAME, unique=True, max_size=4), st.integers(1, 12))
def test_text_columns_are_those_that_pandas_reads(tmp_path_factory, data, names, n):
    columns = {name: data.draw(st.lists(CELL, min_size=n, max_size=n)) for name in names}
    frame = pd.DataFrame({"smiles": ["CCO"] * n, "id": [f"m{i}" for i in range(n)], **columns})
    text = frame.to_csv(index=False)
    path = write(tmp_path_factory.mktemp("kept"), "l.csv", text)
    found = kept(path, delimiter="comma").to_pandas()
    expected = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)[names]
    assert list(found) == names
    if names:
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_without_keep_nothing_comes_along(tmp_path):
    path = write(tmp_path, "l.csv", "smiles,a\nCCO,1\n")
    assert read_records(path).kept.names == []
    assert [record.kept for record in read_records(path, keep="none")] == [()]


def test_named_columns_come_in_the_order_that_was_asked_for(tmp_path):
    path = write(tmp_path, "l.csv", "smiles,a,b,c\nCCO,1,2,3\n")
    assert kept(path, ["c", "a", "smiles"]).to_pylist() == [{"c": "3", "a": "1", "smiles": "CCO"}]
    assert kept(path, ["2"]).column_names == ["a"]


def test_an_unknown_column_is_refused_with_its_neighbour(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'IC50'"):
        read_records(write(tmp_path, "l.csv", "smiles,IC50\nCCO,1\n"), keep=["IC5O"])


def test_no_name_is_given_twice():
    assert distinct_names(["x", "", "x", "x.1", "x"]) == ("x", "2", "x.2", "x.1", "x.3")
    assert len(set(distinct_names(["2", "", "", "2", "2.1"]))) == 5


def test_columns_of_one_name_all_come_along(tmp_path):
    path = write(tmp_path, "l.csv", "smiles,y,y,\nCCO,1,2,3\n")
    with pytest.warns(UserWarning, match="more than once"):
        assert kept(path).to_pylist() == [{"y": "1", "y.1": "2", "4": "3"}]


def test_a_file_without_a_header_has_numbers_for_names(tmp_path):
    path = write(tmp_path, "l.csv", "m1,CCO,7\nm2,CCN,8\n")
    with pytest.warns(UserWarning, match="no line names the columns"):
        assert kept(path).to_pydict() == {"3": ["7", "8"]}


def test_broken_rows_keep_what_can_be_told_apart(tmp_path):
    rows = ["m1,C1CC,a,b", "m2,CCO,only", "m3,CCO,a,b,c,d", ",,,", 'm5,"CCO,a,b', "m6,CCN,y,z"]
    path = write(tmp_path, "l.csv", "id,smiles,u,v\n" + "\n".join(rows) + "\n")
    table = kept(path)
    assert table["u"].to_pylist() == ["a", "only", None, "", None, "y"]
    assert table["v"].to_pylist() == ["b", None, None, "", None, "z"]


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_smi_with_a_header(tmp_path, separator):
    text = "smiles name pIC50 remark\nCCO m1 6.5 from the fridge\nCCN m2\n".replace(" ", separator, 0)
    if separator == "\t":
        text = "smiles\tname\tpIC50\tremark\nCCO\tm1\t6.5\tfrom the fridge\nCCN\tm2\n"
    table = kept(write(tmp_path, "l.smi", text))
    assert table.to_pydict() == {"pIC50": ["6.5", None], "remark": ["from the fridge", None]}


def test_parquet_keeps_its_types(tmp_path):
    columns = {
        "number": pa.array([1, None, 3], pa.int16()),
        "value": pa.array([0.1, float("nan"), None], pa.float64()),
        "when": pa.array([datetime.datetime(2024, 5, 1), None, None], pa.timestamp("ns")),
        "flag": pa.array([True, None, False]),
        "words": pa.array(["a", "b", "a"]).dictionary_encode(),
        "list": pa.array([[1, 2], [], None], pa.list_(pa.int32())),
        "raw": pa.array([b"\x00\xff", None, b"x"], pa.large_binary()),
        "record": pa.array([{"a": 1}, None, {"a": 2}]),
    }
    pq.write_table(pa.table({"smiles": ["CCO", "C1CC", None], **columns}), tmp_path / "l.parquet")
    table = kept(tmp_path / "l.parquet")
    assert table.column_names == list(columns)
    for name, column in columns.items():
        plain = column.dictionary_decode() if name == "words" else column
        assert table.schema.field(name).type == plain.type
        assert str(table[name].combine_chunks().to_pylist()) == str(plain.to_pylist())


def test_a_long_cell_of_parquet_does_not_cost_the_row(tmp_path):
    table = pa.table({"smiles": ["CCO", "CCN"], "picture": [b"x", b"y" * 200_000]})
    pq.write_table(table, tmp_path / "l.parquet")
    with pytest.warns(UserWarning, match="row 2 is the first with a cell of 'picture'"):
        records = list(read_records(tmp_path / "l.parquet", keep="all"))
    assert [record.problem for record in records] == [None, None]
    assert [record.kept for record in records] == [(b"x",), (None,)]


def test_excel_keeps_its_types_if_a_column_is_of_one_kind(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    sheet = (book := openpyxl.Workbook()).active
    when = datetime.datetime(2024, 5, 1, 12)
    sheet.append(["smiles", "n", "x", "when", "flag", "mixed", "none"])
    sheet.append(["CCO", 1, 1, when, True, 5, None])
    sheet.append(["CCN", 2, 0.5, None, False, ">10", None])
    sheet.append(["CCC"])
    book.save(tmp_path / "l.xlsx")
    table = kept(tmp_path / "l.xlsx")
    types = [pa.int64(), pa.float64(), pa.timestamp("us"), pa.bool_(), pa.string(), pa.string()]
    assert table.schema.types == types
    assert table.to_pydict() == {
        "n": [1, 2, None],
        "x": [1.0, 0.5, None],
        "when": [when, None, None],
        "flag": [True, False, None],
        "mixed": ["5", ">10", None],
        "none": [None, None, None],
    }


def sdf(*records: dict[str, str]) -> str:
    return "".join(
        BLOCK + "".join(f">  <{tag}>\n{value}\n\n" for tag, value in tags.items()) + "$$$$\n"
        for tags in records
    )


def test_sd_properties_of_the_first_records_come_along(tmp_path):
    path = write(tmp_path, "l.sdf", sdf({"b": "1"}, {"a": "two\nlines", "b": ""}, {}))
    table = kept(path)
    assert table.to_pydict() == {"b": ["1", "", None], "a": [None, "two\nlines", None]}


def test_a_property_that_comes_late_is_told_and_comes_if_it_is_named(tmp_path):
    first = [{"a": "1"}] * RECORDS_SEARCHED_TO_KEEP
    path = write(tmp_path, "l.sdf", sdf(*first, {"a": "2", "late": "x"}, {"late": "y"}))
    records = read_records(path, keep="all")
    assert records.kept.names == ["a"]
    with pytest.warns(UserWarning, match="has the property 'late', which none of the first"):
        rows = list(records)
    assert [record.kept for record in rows][-2:] == [("2",), (None,)]
    assert records.left_out == {"late": RECORDS_SEARCHED_TO_KEEP + 1}
    with pytest.warns(UserWarning, match="none of the first records has the property 'late'"):
        table = kept(path, ["late"])
    assert table["late"].to_pylist()[-2:] == ["x", "y"]


def test_a_property_that_a_short_file_has_nowhere_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="'aa'"):
        read_records(write(tmp_path, "l.sdf", sdf({"a": "1"})), keep=["aa"])


def test_damaged_sd_records_keep_their_properties(tmp_path):
    broken = BLOCK.replace(" O ", " Qq") + ">  <a>\n1\n\n$$$$\n"
    path = write(tmp_path, "l.sdf", broken + sdf({"a": "2"}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records = list(read_records(path, keep="all"))
    assert [record.kept for record in records] == [("1",), ("2",)]
    assert MoleculeParser().parse_many(records)[1][0].row == 1
