"""Pages of series: pictures and tables, with all text escaped."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from molig.report.sheet import (
    Section,
    Sheet,
    sheet_of_comparison,
    sheet_of_comparisons,
    sheet_of_edits,
    sheet_of_parts,
)
from molig.series import compare_all, find_edits

HOSTILE = "<script>alert(1)</script>\x1b[31m"


def test_text_is_escaped_and_no_script_is_allowed():
    table = pd.DataFrame({HOSTILE: [HOSTILE, None], "x": [0.5, np.nan], "n": [1, 2]})
    page = Sheet(
        HOSTILE, [Section(HOSTILE, table, sentences=[HOSTILE])], [(HOSTILE, HOSTILE)], [HOSTILE]
    ).to_html()
    assert "<script" not in page
    assert "\x1b" not in page
    # Title, h1, name and value of a fact, two sentences, h2, label of the table, header, cell.
    assert page.count("&lt;script&gt;") == 10
    assert "default-src 'none'" in page


def test_numbers_have_three_digits_and_the_unknown_is_left_out():
    page = Sheet("t", [Section("h", pd.DataFrame({"x": [-0.123456, np.nan], "n": [12345, 7]}))]).to_html()
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page)
    assert cells == ["−0.123", "12345", "", "7"]


def test_columns_of_one_name_stand_both():
    """Molecules of a matrix may have one name."""
    table = pd.DataFrame([[0.0, 1.0], [-1.0, 0.0]], ["a", "a"], ["a", "a"]).rename_axis(index="minus row")
    assert Sheet("t", [Section("h", table)]).to_html().count("<td") == 6


@pytest.fixture(scope="module")
def compared(small_model):
    return compare_all(small_model, ["Cc1ccccc1", "Oc1ccccc1", "Nc1ccccc1", "C1CC"], task="nitrogen")


def test_several_molecules(compared):
    page = sheet_of_comparisons(compared).to_html()
    assert "3 molecules" in page
    assert page.count('class="picture"') == 1
    assert "syntax error" in page
    difference = compared.matrix("difference")[0, 2]
    assert f"{difference:.3g}".replace("-", "−") in page


def test_two_molecules(compared):
    pair = compared.pairs[0].by_task
    page = sheet_of_comparison(pair).to_html()
    assert pair[0].first.smiles in page
    assert all(f">{part}<" in page for part in ("change", "surroundings", "baseline", "score"))


def test_edits(small_model, tmp_path):
    found = find_edits(small_model, "Oc1ccccc1", task="nitrogen", most=3, outside=True)
    sheet_of_edits([found]).write(tmp_path / "edits.html")
    page = (tmp_path / "edits.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 1 + len(found.listed) == 4
    assert all(edit.name in page for edit in found.listed)


def test_parts():
    table = pd.DataFrame({"kind": ["ring system"], "part": ["benzene"], "mean": [0.25]})
    page = sheet_of_parts({"SR-MMP": table}, "Parts", ["row 1 (x) C1CC: not parsable"]).to_html()
    assert all(text in page for text in ("SR-MMP", "benzene", "0.25", "not parsable"))
