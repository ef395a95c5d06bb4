from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.errors import InputError, UsageError
from molig.molecules import Record, read_records
from molig.molecules.columns import Request
from molig.molecules.csv_reader import read_csv
from molig.molecules.sources import bounded_lines

from .conftest import WriteFile


def read(
    write: WriteFile, content: str | bytes, name: str = "a.csv", **options: str | list[str]
) -> list[Record]:
    return list(read_records(write(name, content), **options))  # type: ignore[arg-type]


def rows(records: list[Record]) -> list[tuple[str, str]]:
    return [(record.id, record.smiles) for record in records]


@pytest.mark.parametrize(
    "header",
    [
        "smiles,id",
        "SMILES,Mol_ID",
        "Canonical SMILES,CID",
        "smi,name",
        "Structure,Compound",
        "rdkit-smiles,title",
    ],
)
def test_columns_are_found_by_their_usual_names(write: WriteFile, header: str) -> None:
    assert rows(read(write, f"{header}\nCCO,e\n")) == [("e", "CCO")]


def test_best_name_wins_whatever_the_order(write: WriteFile) -> None:
    assert rows(read(write, "name,id,structure,smiles\nn,i,N,C\n")) == [("i", "C")]


def test_a_single_column_with_smiles_in_its_name_is_taken(write: WriteFile) -> None:
    assert rows(read(write, "PUBCHEM_OPENEYE_CAN_SMILES,x\nC,1\n")) == [("1", "C")]


def test_no_smiles_column(write: WriteFile) -> None:
    with pytest.raises(UsageError, match=r"no column looks like SMILES among 'a', 'b'.*header"):
        read(write, "a,b\nC,m\n")


def test_named_columns_and_fields(write: WriteFile) -> None:
    records = read(write, "a,b,c\nC,x,1\nCC,y,\n", smiles_column="a", id_column="b", columns=["c", "a"])
    assert [(r.id, dict(r.fields)) for r in records] == [
        ("x", {"c": "1", "a": "C"}),
        ("y", {"c": "", "a": "CC"}),
    ]


def test_tabs(write: WriteFile) -> None:
    assert rows(read(write, 'smiles\tname\nC\t"a\tb"\n', "a.tsv")) == [("a\tb", "C")]


def test_quoted_fields(write: WriteFile) -> None:
    content = 'name,smiles\n"2,4-D ""acid""",C\n"two\nlines",CC\n'
    assert rows(read(write, content)) == [('2,4-D "acid"', "C"), ("two\nlines", "CC")]


def test_wrong_number_of_columns(write: WriteFile) -> None:
    records = read(write, "id,smiles,x\na,C,1\nb,C\nc,C,1,,\n2,4-D,C,1\nd,C,1\n")
    assert [r.problem for r in records] == [
        None,
        "wrong number of columns: 2 where the header has 3",
        None,
        "wrong number of columns: 4 where the header has 3 "
        "(a field that contains the separator needs quotes)",
        None,
    ]


def test_blank_rows_inside_count(write: WriteFile) -> None:
    assert rows(read(write, "smiles,id\nC,a\n\n,,\nCC,b\n\n")) == [
        ("a", "C"),
        ("2", ""),
        ("3", ""),
        ("b", "CC"),
    ]


def test_stray_quote_costs_one_row(write: WriteFile) -> None:
    content = "smiles,id\nC,a\n" + '"CC,b\n' + "".join(f"C,x{i}\n" for i in range(500))
    records = read(write, content)
    assert len(records) == 502
    assert records[1].problem is not None
    assert records[1].problem.startswith("broken quoting")
    assert [r.id for r in records[2:]] == [f"x{i}" for i in range(500)]


def test_two_stray_quotes_cost_two_rows(write: WriteFile) -> None:
    records = read(write, 'smiles,id\n"C,a\n"CC,b\nCCC,c\n')
    assert [r.problem is None for r in records] == [False, False, True]


def test_overlong_row_and_null_bytes(write: WriteFile) -> None:
    records = read(write, "smiles,id\n" + "C" * 2_000_000 + ",a\nC\0,b\n" + '"C,' + "x" * 150_000 + "\nC,c\n")
    assert [(r.problem or "ok")[:10] for r in records] == ["line longe", "null bytes", "line longe", "ok"]


def test_field_beyond_the_limit_of_the_csv_module(write: WriteFile) -> None:
    old = csv.field_size_limit(1000)
    try:
        records = read(write, "smiles,id\n" + '"' + "C" * 5000 + '",a\nC,b\n')
    finally:
        csv.field_size_limit(old)
    assert records[0].problem is not None
    assert "field larger than field limit" in records[0].problem
    assert records[1].id == "b"


def test_header_that_cannot_be_read(write: WriteFile) -> None:
    with pytest.raises(InputError, match="header line cannot be read"):
        read(write, '"smiles,id\nC,a\n')
    for options in ({}, {"columns": ["x"]}, {"smiles_column": "smiles"}):
        with pytest.raises(InputError, match=r"header line cannot be read \(null bytes in the line\)"):
            read(write, "smiles,i\0d\nC,a\n", **options)


def test_a_quote_that_happens_to_close_does_not_swallow_rows(write: WriteFile) -> None:
    content = 'smiles,id\nC,"a\n' + "".join(f"CC,x{i}\n" for i in range(41)) + 'CCC,b"\nCCCC,c\n'
    records = read(write, content)
    assert [r.id for r in records] == ["1", *(f"x{i}" for i in range(41)), 'b"', "c"]
    assert records[0].problem == (
        "broken quoting: a quote opens here, and one of the 42 lines up to where it closes is a row"
    )
    assert {r.problem for r in records[1:]} == {None}


def test_a_quote_that_closes_on_the_next_row(write: WriteFile) -> None:
    records = read(write, 'smiles,id\nC,"a\nCCC,b"\nCCCC,c\n')
    assert [(r.id, r.problem is None) for r in records] == [("1", False), ('b"', True), ("c", True)]


def test_joined_lines_are_told(write: WriteFile) -> None:
    content = 'smiles,id,note\nC,a,\nC,b,"two\nlines, or\nthree"\nC,c,"x\ny"\n'
    with pytest.warns(UserWarning, match=r"a\.csv: row 2 .*quotes span lines: 3 lines") as told:
        assert [r.id for r in read(write, content)] == ["a", "b", "c"]
    assert len(told) == 1


@pytest.mark.parametrize("row", ['"a\0b",C,1', '"a\0b","C","1\n2"', "a\0b,C,1"])
def test_null_bytes_leave_the_identifier(write: WriteFile, row: str) -> None:
    first, second = read(write, f'id,smiles,x\n{row}\nc,C,"\0"\n')
    assert [(r.id, r.smiles, r.problem) for r in (first, second)] == [
        ("a\\x00b", "C", "null bytes in the line"),
        ("c", "C", "null bytes in the line"),
    ]


def test_bytes_outside_utf8_keep_identifiers_apart(write: WriteFile) -> None:
    content = b'smiles,id\nC,a\nC,n\xe9\nC,"n\xe8"\nC,"\n\x81"\n'
    with pytest.warns(UserWarning, match=r"a\.csv: row 2 is the first that is not encoded in UTF-8"):
        assert [r.id for r in read(write, content)] == ["a", "n\u00e9", "n\u00e8", r"\x81"]


def test_text_behind_a_smiles_stays_there_for_the_parser_to_refuse(write: WriteFile) -> None:
    assert rows(read(write, "smiles,id\nCC O,a\nC |$a$|,b\n")) == [("a", "CC O"), ("b", "C |$a$|")]


def test_columns_of_the_same_name(write: WriteFile) -> None:
    with pytest.warns(UserWarning, match=r"a\.csv: columns named more than once: 'id'; the first"):
        assert rows(read(write, "id,smiles,id,,\na,C,b,,\n")) == [("a", "C")]


# No blanks: a line of blanks within a quoted field comes back empty, which no column of interest minds. No
# lines with separators: they may look like rows, which makes the quote a stray one.
CELL = st.text(alphabet='C,"\n=()x', max_size=8).filter(lambda text: not {",", "\n"} <= set(text))


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=15))
def test_what_the_csv_module_writes_is_read_back(cells: list[tuple[str, str]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["smiles", "label", "end"])
    writer.writerows([*pair, "."] for pair in cells)
    buffer.seek(0)
    records = list(read_csv(bounded_lines(iter(buffer)), Request(columns=("label",)), "x"))
    assert [(r.smiles, r.fields["label"], r.problem) for r in records] == [
        (a.strip(), b, None) for a, b in cells
    ]
