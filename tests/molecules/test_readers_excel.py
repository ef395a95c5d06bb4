from __future__ import annotations

import io
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from molig.errors import InputError, UsageError, speaking_of_options
from molig.molecules import read_records

openpyxl = pytest.importorskip("openpyxl")


def book(path: Path, rows: list[list[object]], *more_sheets: str) -> Path:
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    for title in more_sheets:
        made.create_sheet(title)
    made.save(path)
    return path


ROWS: list[list[object]] = [
    ["id", "smiles", "pIC50"],
    ["X1", "CCO", 6.5],
    [17, " C ", 7],
    [],
    [None, "CC O"],
    ["X5"],
]


def test_rows_and_cells(tmp_path: Path) -> None:
    records = list(read_records(book(tmp_path / "a.xlsx", ROWS), columns=["pIC50"]))
    assert [(r.row, r.id, r.smiles) for r in records] == [
        (1, "X1", "CCO"),
        (2, "17", "C"),
        (3, "3", ""),
        (4, "4", "CC O"),
        (5, "X5", ""),
    ]
    assert [r.fields.get("pIC50") for r in records] == ["6.5", "7", None, "", ""]


def test_empty_rows_at_the_end_are_none(tmp_path: Path) -> None:
    made = openpyxl.Workbook()
    for place, text in (("A1", "smiles"), ("A2", "C"), ("B900", "")):
        made.active[place] = text
    made.save(tmp_path / "a.xlsx")
    assert len(list(read_records(tmp_path / "a.xlsx"))) == 1


def test_without_header(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="SMILES in column 2, identifiers in column 1"):
        (record,) = read_records(book(tmp_path / "a.xlsx", [["a", "CCO"]]))
    assert (record.row, record.id, record.smiles) == (1, "a", "CCO")


def test_only_the_first_sheet(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="only the first of 2 sheets is read, 'Sheet'"):
        assert len(list(read_records(book(tmp_path / "a.xlsx", ROWS, "more")))) == 5


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = book(tmp_path / "a.xlsx", ROWS).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert len(list(read_records("-", file_format="xlsx"))) == 5


def test_no_smiles_column(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column looks like SMILES among 'a', 'b'"):
        read_records(book(tmp_path / "a.xlsx", [["a", "b"], ["x", "y"]]))


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no molecules"):
        read_records(book(tmp_path / "a.xlsx", [["smiles"]]))


@pytest.mark.parametrize("cut", [0, 100, 2000])
def test_damage(tmp_path: Path, cut: int) -> None:
    path = book(tmp_path / "a.xlsx", ROWS)
    path.write_bytes(path.read_bytes()[:cut] if cut else b"smiles\nC\n" * 100)
    with pytest.raises(InputError, match=r"a\.xlsx: not a readable Excel file"):
        read_records(path)


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("a.txt", "C")
    with pytest.raises(InputError, match=r"a\.xlsx: not a readable Excel file"):
        read_records(tmp_path / "a.xlsx")


def test_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = book(tmp_path / "a.xlsx", ROWS)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(
        UsageError, match=r"a\.xlsx: reading Excel files needs openpyxl: pip install 'molig\["
    ):
        read_records(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", ROWS)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/more.xml", "w") as part,
    ):
        for _ in range(40):
            part.write(bytes(1 << 20))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(InputError, match=r"a\.xlsx: unpacks to .*MAX_EXCEL_BYTES.*MAX_UNPACKING"):
        read_records(path)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_errors_speak_of_options(tmp_path: Path) -> None:
    with speaking_of_options(), pytest.raises(UsageError, match="--smiles-column"):
        read_records(book(tmp_path / "a.xlsx", [["a", "b"], ["x", "y"]]))
