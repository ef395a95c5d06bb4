from __future__ import annotations

import pytest

from molig.errors import InputError, UnknownNameError
from molig.molecules import Reason, Record, read_records

from .conftest import WriteFile


def read(write: WriteFile, content: str | bytes, **options: str | list[str]) -> list[Record]:
    return list(read_records(write("a.smi", content), **options))  # type: ignore[arg-type]


def rows(records: list[Record]) -> list[tuple[str, str]]:
    return [(record.id, record.smiles) for record in records]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("CCO", ("1", "CCO")),
        ("CCO ethanol", ("ethanol", "CCO")),
        ("CCO\tethyl alcohol", ("ethyl alcohol", "CCO")),
        ("CCO    ethyl  alcohol  ", ("ethyl  alcohol", "CCO")),
        ("  CCO \t ethanol", ("ethanol", "CCO")),
        ("\tethanol", ("ethanol", "")),
        ("CCO |$;;$| ethanol", ("ethanol", "CCO |$;;$|")),
        ("CCO |broken", ("|broken", "CCO")),
        ("C smiles", ("smiles", "C")),
    ],
)
def test_line_without_header(write: WriteFile, line: str, expected: tuple[str, str]) -> None:
    assert rows(read(write, line)) == [expected]


@pytest.mark.parametrize(
    "first", ["CCO", "CCO smiles", "N name", "garbage", "smile", "C1CC( smiles_of_a_ring"]
)
def test_first_row_is_never_lost(write: WriteFile, first: str) -> None:
    assert len(read(write, f"{first}\nC methane\n")) == (1 if first == "smile" else 2)


@pytest.mark.parametrize("header", ["SMILES Name", "smiles\tname", "Canonical_Smiles id", "SMILES"])
def test_header_is_recognised(write: WriteFile, header: str) -> None:
    assert rows(read(write, f"{header}\nCCO\tethanol\n")) == [
        ("1" if header == "SMILES" else "ethanol", "CCO" if header != "SMILES" else "CCO\tethanol")
    ]


def test_header_tells_the_order(write: WriteFile) -> None:
    assert rows(read(write, "name smiles\nethanol CCO\n")) == [("ethanol", "CCO")]


def test_last_column_may_contain_blanks(write: WriteFile) -> None:
    assert rows(read(write, "smiles name\nCCO ethyl alcohol\n")) == [("ethyl alcohol", "CCO")]


def test_row_without_smiles_under_a_header(write: WriteFile) -> None:
    assert rows(read(write, "smiles name\n\tCO\nC m\n")) == [("CO", ""), ("m", "C")]


def test_named_columns(write: WriteFile) -> None:
    content = "structure\tcode\tactive\tname\nC\tX1\t1\tmethane\nCC\tX2\n"
    records = read(write, content, smiles_column="structure", id_column="code", columns=["active"])
    assert [(r.id, dict(r.fields)) for r in records] == [("X1", {"active": "1"}), ("X2", {})]
    assert records[0].problem is None
    assert records[1].problem == "wrong number of columns: no value for active"


def test_named_column_needs_a_header(write: WriteFile) -> None:
    with pytest.raises(UnknownNameError, match="unknown column 'smiles'"):
        read(write, "CCO ethanol\n", smiles_column="smiles")


def test_blank_lines_inside_count_and_at_the_end_do_not(write: WriteFile) -> None:
    assert rows(read(write, "C a\n\n  \nCC b\n\n\n \n")) == [("a", "C"), ("2", ""), ("3", ""), ("b", "CC")]


def test_overlong_line_is_one_problem(write: WriteFile) -> None:
    records = read(write, "C a\n" + "C" * 2_000_000 + " b\nCC c\n")
    assert [(r.row, r.id) for r in records] == [(1, "a"), (2, "2"), (3, "c")]
    assert records[1].problem == "line longer than 100,000 characters"
    assert len(records[1].smiles) < 300


def test_longest_line_that_is_read(write: WriteFile) -> None:
    assert [r.problem for r in read(write, "C" * 100_000 + "\n" + "C" * 100_001 + "\n")] == [
        None,
        Reason.LINE_TOO_LONG.text(),
    ]


def test_null_bytes_are_a_problem(write: WriteFile) -> None:
    records = read(write, b"C a\nC\0C b\nCC c\n")
    assert [r.problem for r in records] == [None, "null bytes in the line", None]
    assert rows(records) == [("a", "C"), ("b", "C\\x00C"), ("c", "CC")]


def test_byte_order_mark_and_windows_line_ends(write: WriteFile) -> None:
    assert rows(read(write, b"\xef\xbb\xbfCCO e\r\nC m\r\n")) == [("e", "CCO"), ("m", "C")]


def test_other_line_separators_do_not_end_a_row(write: WriteFile) -> None:
    assert rows(read(write, "C a\x0bb\u2028c\nCC d\n")) == [("a\x0bb\u2028c", "C"), ("d", "CC")]


def test_only_blanks_and_tabs_separate(write: WriteFile) -> None:
    content = "CCO\u00a0ethanol\nC\u2003 \u00a0methane\nsmiles\u00a0name C\n"
    assert rows(read(write, content)) == [
        ("1", "CCO\u00a0ethanol"),
        ("\u00a0methane", "C\u2003"),
        ("C", "smiles\u00a0name"),
    ]


@pytest.mark.parametrize(
    "content",
    ["[CH3]C |^1:0| ethyl\n", "smiles name\n[CH3]C |^1:0| ethyl\n", "smiles\tname\n[CH3]C |^1:0|\tethyl\n"],
)
def test_an_extension_stays_with_its_smiles(write: WriteFile, content: str) -> None:
    assert rows(read(write, content)) == [("ethyl", "[CH3]C |^1:0|")]


def test_an_extension_and_columns_behind_it(write: WriteFile) -> None:
    (record,) = read(write, "id smiles pIC50 name\nX1 CC |$;$| 6.1 ethane x\n", columns=["pIC50", "name"])
    assert (record.id, record.smiles) == ("X1", "CC |$;$|")
    assert record.fields == {"pIC50": "6.1", "name": "ethane x"}


def test_bytes_outside_utf8_keep_identifiers_apart(write: WriteFile) -> None:
    content = b"C a\nC n\xe9\nC n\xe8\nC \x81\nC \x8d\nC " + "n\u00e9\n".encode()
    with pytest.warns(UserWarning, match=r"a\.smi: row 2 is the first that is not encoded in UTF-8.*cp1252"):
        records = read(write, content)
    assert [r.id for r in records] == ["a", "n\u00e9", "n\u00e8", r"\x81", r"\x8d", "n\u00e9"]
    assert [r.row for r in records] == [1, 2, 3, 4, 5, 6]


def test_comments_are_no_rows(write: WriteFile) -> None:
    content = "# from a vendor\n#\nC a\n# more smiles\nCC b\n\n# end\n\n"
    with pytest.warns(UserWarning, match=r"a\.smi: line 4 begins with # and is a comment, not a row"):
        records = read(write, content)
    assert [(r.row, r.id, r.smiles) for r in records] == [(1, "a", "C"), (2, "b", "CC")]


@pytest.mark.parametrize("header", ["#smiles name", "#SMILES\tID", "# of 2026\nsmiles name", "#smiles"])
def test_a_header_may_be_a_comment(write: WriteFile, header: str) -> None:
    (record,) = read(write, f"{header}\nC{'' if header == '#smiles' else chr(9) + 'a'}\n".replace("\t", " "))
    assert (record.smiles, record.row) == ("C", 1)


@pytest.mark.parametrize("comment", ["# smiles", "#smiles from ChEMBL", "# smiles name", "#id of mine"])
def test_a_sentence_is_no_header(write: WriteFile, comment: str) -> None:
    assert rows(read(write, f"{comment}\nC a b\n")) == [("a b", "C")]


def test_named_columns_in_a_commented_header(write: WriteFile) -> None:
    (record,) = read(write, "#code input toxic\nX C 1\n", smiles_column="input", id_column="code")
    assert (record.id, record.smiles) == ("X", "C")


def test_only_comments(write: WriteFile) -> None:
    with pytest.raises(InputError, match="holds no molecules"):
        read(write, "#1 C\n#2 CC\n")


def test_null_bytes_leave_the_identifier(write: WriteFile) -> None:
    records = read(write, b"smiles name\nC a\0b\nC\0 c\n")
    assert rows(records) == [("a\\x00b", "C"), ("c", "C\\x00")]
    assert {r.problem for r in records} == {"null bytes in the line"}


@pytest.mark.parametrize("header", ["smiles na\0me x", "smiles " + "x" * 200_000])
def test_a_header_that_cannot_be_read_and_is_needed(write: WriteFile, header: str) -> None:
    with pytest.raises(InputError, match=r"header line cannot be read \((null bytes|line longer)"):
        read(write, f"{header}\nC a 1\n", columns=["x"])
