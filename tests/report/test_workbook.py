"""Workbooks of explanations, read back by openpyxl and pandas."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.explanations import made_up, mixed, parsed

from molig.errors import OutputError
from molig.features import preset
from molig.molecules import Record, Rejection
from molig.report import workbook as module
from molig.report.workbook import ATOMS, BONDS, MOLECULES, REJECTED, workbook

openpyxl = pytest.importorskip("openpyxl")
SIMPLE = preset("simple")
PATH = Path("why.xlsx")


def read(content: bytes) -> dict[str, pd.DataFrame]:
    return pd.read_excel(io.BytesIO(content), sheet_name=None, keep_default_na=False)


def test_sheets_hold_every_score_and_every_rejected_row():
    explanations = mixed(SIMPLE)[1]
    rejected = [Rejection(99, "=1+1", "C1CC", "not parsable")]
    content = workbook(PATH, explanations, rejected, title="Why", meaning="probabilities")
    sheets = read(content)
    for name, header in (
        ("molecules", MOLECULES),
        ("atoms", ATOMS),
        ("bonds", BONDS),
        ("rejected", REJECTED),
    ):
        assert tuple(sheets[name].columns) == header
    assert sheets["rejected"].to_numpy().tolist() == [[99, "=1+1", "C1CC", "not parsable"]]
    molecules, by_row = sheets["molecules"], sheets["atoms"].groupby("row")["score"].sum()
    assert molecules["smiles"].tolist() == [e.smiles for e in explanations]
    change = molecules["score"] - molecules["baseline_score"] - molecules["residual"]
    np.testing.assert_allclose(by_row.loc[molecules["row"]], change, atol=1e-9)
    assert len(sheets["bonds"]) == sum(e.mol.GetNumBonds() for e in explanations)
    pictures = openpyxl.load_workbook(io.BytesIO(content))["molecules"]._images
    assert [picture.anchor._from.row for picture in pictures] == list(range(1, len(explanations) + 1))


def test_a_name_is_no_formula_and_pictures_have_a_bound(monkeypatch):
    monkeypatch.setattr(module, "MOST_PICTURES", 1)
    both = [made_up(SIMPLE, parsed(Record(row, "=HYPERLINK(1)\x1b", "CCO"))) for row in (1, 2)]
    content = workbook(PATH, both, [], title="Why")
    book = openpyxl.load_workbook(io.BytesIO(content))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert read(content)["molecules"]["picture"].tolist() == ["", "only the first 1 are drawn"]


def test_more_rows_than_a_sheet_holds(monkeypatch):
    monkeypatch.setattr(module, "MOST_EXCEL_ROWS", 2)
    with pytest.raises(OutputError, match="holds 2 rows, and there are more atoms"):
        workbook(PATH, [made_up(SIMPLE, parsed(Record(1, "a", "CCO")))], [], title="Why")
