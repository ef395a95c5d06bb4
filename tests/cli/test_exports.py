"""What `molig explain` writes for other programs, by suffix, and a picture of each molecule by safe names."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from rdkit import Chem
from support.libraries import names_in

from molig.attribution.explanation import TABLE_SCHEMA
from molig.report.molecule_table import MOLECULE_SCHEMA

GUIDE = Path(__file__).parents[2] / "docs" / "exports.md"
ODD = ("../up", "<b>bold</b>", "=1+1", "CON", "a\x1b[2J", "a/b\\c")


@pytest.fixture
def explained(molig, small_model_dir, write, tmp_path, monkeypatch):
    """Run `molig explain` on molecules of odd names."""
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "odd.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("smiles", "id"), *(("CCO", name) for name in ODD), ("C1CC", "bad")])
    command = ("explain", "-m", small_model_dir, "--task", "carbonyl")
    return lambda *words: molig(*command, "odd.csv", *words)


def test_all_of_one_run(explained, tmp_path):
    outputs = ("why.sdf", "why.xlsx", "why.json", "all.pml")
    run = explained(*(word for name in outputs for word in ("-o", name)), "--each", "pictures")
    assert run.code == 0, run.err
    assert "6 explained, 1 rejected: why.sdf, why.xlsx, why.json, all.pml, pictures" in run.err
    assert names_in(tmp_path) == {"odd.csv", *outputs, "all.sdf", "pictures"}
    for name, flat in (("why.sdf", True), ("all.sdf", False)):
        mols = list(Chem.SDMolSupplier(str(tmp_path / name)))
        assert [mol.GetConformer().Is3D() for mol in mols] == [not flat] * len(ODD)
    assert len(pd.read_excel(tmp_path / "why.xlsx", sheet_name="atoms")) == 3 * len(ODD)
    index = pd.read_csv(tmp_path / "pictures" / "index.csv", keep_default_na=False)
    assert set(index["file"]) | {"index.csv"} == names_in(tmp_path / "pictures")
    assert all(re.fullmatch(r"[0-9]-[A-Za-z0-9._-]+-carbonyl\.svg", name) for name in index["file"])
    assert index["row"].tolist() == list(range(1, 7))
    told = json.loads((tmp_path / "why.json").read_text())
    assert (told["format"], told["format_version"]) == ("molig explanations", 1)
    text = GUIDE.read_text()
    keys = {*told, *told["explanations"][0], *told["rejected"][0]}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_the_guide_names_every_column():
    text = GUIDE.read_text()
    for schema in (TABLE_SCHEMA, MOLECULE_SCHEMA):
        assert [name for name in schema.names if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "."], "is a directory; give the name of a file, or --each . for a picture of each"),
        (["--each", "odd.csv"], "odd.csv is a file; --each writes into a directory"),
        (["--each", "pictures", "--each-kind", "jpg"], "unknown kind of picture 'jpg'"),
        (["--each", "p", "--layout", "molecules"], "--layout is for tables"),
        (["-o", "odd.pml", "-i", "odd.sdf"], "named twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_request_leaves_nothing(explained, tmp_path, options, message):
    run = explained(*options)
    assert run.code == 2
    assert message in run.err
    assert names_in(tmp_path) == {"odd.csv"}


def test_a_script_does_not_write_over_the_library(molig, small_model_dir, write):
    library = write("mine.sdf", Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")) + "$$$$\n")
    run = molig("explain", "-m", small_model_dir, library, "-o", library.with_suffix(".pml"))
    assert run.code == 2
    assert "is the library" in run.err
