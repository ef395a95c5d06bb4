"""Tables whose columns are separated otherwise than their name says, or that have no header."""

from __future__ import annotations

import warnings

import pytest

from molig.errors import UnknownNameError, UsageError, speaking_of_options
from molig.molecules import Record, read_records

from .conftest import WriteFile

ROWS = [("C", "methane, liquid"), ("CC", "a;b"), ("CC(=O)O", "acid"), ("c1ccccc1", "benzene")]


def read(write: WriteFile, name: str, content: str, **options: str | list[str]) -> list[Record]:
    return list(read_records(write(name, content), **options))  # type: ignore[arg-type]


def rows(records: list[Record]) -> list[tuple[str, str]]:
    return [(record.id, record.smiles) for record in records]


def table(delimiter: str, header: str = "smiles,name", n: int = 4) -> str:
    lines = [header.replace(",", delimiter)] if header else []
    lines += [f'{smiles}{delimiter}"{name}"' for smiles, name in ROWS[:n]]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", " "])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_the_delimiter_is_guessed_from_the_header(
    write: WriteFile, suffix: str, delimiter: str, n: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rows(read(write, f"a.{suffix}", table(delimiter, n=n)))
    assert found == [(name, smiles) for smiles, name in ROWS[:n]]


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
@pytest.mark.parametrize("header", ["smiles,name", "SMILES,Compound Name", ""])
def test_a_table_in_a_smiles_file(write: WriteFile, delimiter: str, header: str) -> None:
    found = rows(read(write, "a.smi", table(delimiter, header)))
    assert found == [(name, smiles) for smiles, name in ROWS]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_a_table_without_header(write: WriteFile, delimiter: str) -> None:
    with pytest.warns(UserWarning, match=r"a\.csv: no line names the columns: SMILES in column 1, identif"):
        records = read(write, "a.csv", table(delimiter, ""))
    assert [(r.row, r.id, r.smiles) for r in records] == [
        (row, name, smiles) for row, (smiles, name) in enumerate(ROWS, start=1)
    ]


def test_a_table_without_header_whose_second_column_is_the_smiles(write: WriteFile) -> None:
    with pytest.warns(UserWarning, match=r"SMILES in column 2, identifiers in column 1"):
        assert rows(read(write, "a.csv", "X1,C,5\nX2,CC,6\n")) == [("X1", "C"), ("X2", "CC")]


def test_columns_by_number(write: WriteFile) -> None:
    content = "x,C,i1,5\ny,CC,i2,6\n"
    records = read(write, "a.csv", content, smiles_column="2", id_column="3", columns=["4"])
    assert [(r.id, r.smiles, dict(r.fields)) for r in records] == [
        ("i1", "C", {"4": "5"}),
        ("i2", "CC", {"4": "6"}),
    ]
    assert rows(read(write, "b.csv", "a,what\nx,C\n", smiles_column="2")) == [("1", "C")]


def test_a_column_may_be_called_like_a_number(write: WriteFile) -> None:
    assert rows(read(write, "a.csv", "2,1\nC,CC\n", smiles_column="2", id_column="1")) == [("CC", "C")]


def test_one_column(write: WriteFile) -> None:
    assert rows(read(write, "a.csv", "CCO\nCCN\n")) == [("1", "CCO"), ("2", "CCN")]
    assert rows(read(write, "b.csv", "Canonical SMILES\nCCO\n")) == [("1", "CCO")]


def test_decimal_commas(write: WriteFile) -> None:
    content = '"ChEMBL ID";"Smiles";"pIC50"\n"X1";"CCO";6,1\n"X2";"CC[N+](C)C |$a;b$|";5,9\n'
    records = read(write, "a.csv", content, id_column="ChEMBL ID", columns=["pIC50"])
    assert rows(records) == [("X1", "CCO"), ("X2", "CC[N+](C)C |$a;b$|")]
    assert [r.fields["pIC50"] for r in records] == ["6,1", "5,9"]


@pytest.mark.parametrize(
    ("name", "delimiter", "content", "expected"),
    [
        ("a.csv", "semicolon", "smiles;x,y\nC;a,b\n", ("1", "C")),
        ("a.csv", "^", "smiles^id\nC^a\n", ("a", "C")),
        ("a.csv", "tab", "smiles\tid\nC\ta b\n", ("a b", "C")),
        ("a.csv", "\\t", "smiles\tid\nC\ta b\n", ("a b", "C")),
        ("a.csv", "space", "smiles id\nC a\n", ("a", "C")),
        ("a.smi", "tab", "C |$a$|\ta b\n", ("a b", "C |$a$|")),
        ("a.smi", "TAB", "structure\tid\nC\ta b\n", ("a b", "C")),
        ("a.smi", "space", "smiles\tid\nC a\n", ("a", "C")),
        ("a.smi", "^", "C^a\n", ("a", "C")),
        ("a.smi", ",", "smiles,id\nC,a\n", ("a", "C")),
    ],
)
def test_the_delimiter_that_is_asked_for(
    write: WriteFile, name: str, delimiter: str, content: str, expected: tuple[str, str]
) -> None:
    assert rows(read(write, name, content, delimiter=delimiter)) == [expected]


def test_with_only_tabs_a_blank_is_part_of_the_smiles(write: WriteFile) -> None:
    assert rows(read(write, "a.smi", "CC O\ta\n", delimiter="tab")) == [("a", "CC O")]


@pytest.mark.parametrize("delimiter", ["", "commas", '"', "\n"])
def test_what_is_no_delimiter(write: WriteFile, delimiter: str) -> None:
    with pytest.raises(UsageError, match="delimiter must be comma, tab, semicolon, pipe, space or"):
        read(write, "a.csv", "smiles\nC\n", delimiter=delimiter)


@pytest.mark.parametrize("kind", ["sdf", "parquet", "xlsx"])
def test_formats_without_delimiter(write: WriteFile, kind: str) -> None:
    with pytest.raises(UsageError, match=f"delimiter is for smi, csv, tsv, not for {kind}"):
        read(write, f"a.{kind}", "x", delimiter="tab")


@pytest.mark.parametrize("content", ["methane C\nethane CC\nwater O\n", "methane C gas\nethane CC gas\n"])
def test_swapped_columns_of_a_smiles_file(write: WriteFile, content: str) -> None:
    with pytest.warns(UserWarning, match=r"a\.smi: the first column .* the second one does.*smiles_column 2"):
        read(write, "a.smi", content)


def test_swapped_columns_by_number(write: WriteFile) -> None:
    content = "methane C\nethane CC |$;$|\n"
    records = read(write, "a.smi", content, smiles_column="2")
    assert rows(records) == [("methane", "C"), ("ethane", "CC |$;$|")]


def test_swapped_columns_of_a_table(write: WriteFile) -> None:
    with pytest.warns(UserWarning, match=r"'smiles' of the first rows holds no SMILES, and column 'my name'"):
        read(write, "a.csv", "smiles,my name\nethane,CC\nmethanol,CO\n")


@pytest.mark.parametrize("content", ["C methane\nethane\n", "garbage\n", "not a_smiles\nneither one\n"])
def test_bad_rows_alone_are_no_swap(write: WriteFile, content: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(write, "a.smi", content)


def test_named_columns_are_looked_for_with_every_delimiter(write: WriteFile) -> None:
    assert rows(read(write, "a.csv", "input;code\nC;X\n", smiles_column="input", id_column="code")) == [
        ("X", "C")
    ]
    with pytest.raises(UnknownNameError, match="unknown column 'inputs'; did you mean 'input'"):
        read(write, "a.csv", "input,code\nC,X\n", smiles_column="inputs")


def test_errors_speak_as_the_caller_does(write: WriteFile) -> None:
    path = write("a.csv", "a,b\nx,y\n")
    with pytest.raises(UsageError, match=r"\(smiles_column\).*\(delimiter\)"):
        read_records(path)
    with speaking_of_options(), pytest.raises(UsageError, match=r"\(--smiles-column\).*\(--delimiter\)"):
        read_records(path)
    with speaking_of_options(), pytest.raises(UsageError, match="--format"):
        read_records(path.with_name("a.csv").rename(path.with_name("a.dat")))
