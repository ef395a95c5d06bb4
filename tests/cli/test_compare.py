"""`molig compare`."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from support.libraries import names_in


@pytest.fixture
def compare(molig, small_model_dir):
    def run(*words: object):
        return molig("compare", *words, "-m", small_model_dir, "--device", "cpu")

    return run


def test_parts_and_files(compare, tmp_path):
    paths = [tmp_path / f"pair{suffix}" for suffix in (".svg", ".png", ".csv", ".json")]
    run = compare("CCc1ccccc1", "NCc1ccccc1", "--task", "nitrogen", *(w for p in paths for w in ("-o", p)))
    assert run.code == 0, run.err
    for word in ("nitrogen, probability: A to B", "change", "1 bond away", "2 bonds away", "residual"):
        assert word in run.out
    assert names_in(tmp_path) == {path.name for path in paths}
    frame = pd.read_csv(paths[2])
    assert frame["difference"][:-1].sum() == pytest.approx(frame["difference"].iloc[-1])
    assert json.loads(paths[3].read_text())["task"] == "nitrogen"


def test_rows_of_a_file(compare, write):
    table = write("few.csv", "name,smiles\nA-1,CCO\nA-2,CCN.Cl\nA-3,CCS\nA-3,CCF\n")
    run = compare("A-1", "A-2", "-i", table, "--task", "nitrogen")
    assert run.code == 0, run.err
    assert "A-1 to A-2" in run.out
    assert "A-2: Scored: CCN; removed: chloride" in run.err
    run = compare("A-1", "A-22", "-i", table, "--task", "nitrogen")
    assert run.code == 2
    assert "did you mean 'A-2'" in run.err
    run = compare("A-1", "A-3", "-i", table, "--task", "nitrogen")
    assert run.code == 1
    assert "'A-3' is the identifier of rows 3, 4" in run.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["CCO", "OCC"], 1, "are the same molecule"),
        (["CCO", "c1ccncc1"], 1, "or give what they have in common by --template"),
        (["CCO", "CCN", "--template", "c1cc"], 2, "is no SMARTS"),
        (["CCO", "CCN", "--template", "c1ccccc1"], 1, "does not contain the template"),
        (["CCO", "CCN", "-o", "pair.pdf"], 2, "use a name ending in .svg, .png, .csv, .json"),
        (["CCO", "CCN", "-o", "no/pair.svg"], 2, "does not exist"),
        (["CCO", "C1CC"], 1, "cannot be explained"),
        (["CCO"], 2, "Missing argument"),
        (["CCO", "CCN", "--target", "Nitrogen"], 2, "a task is named by --task nitrogen"),
    ],
)
def test_what_goes_wrong(compare, tmp_path, monkeypatch, *, words, code, message):
    monkeypatch.chdir(tmp_path)
    run = compare(*words, "--task", "nitrogen")
    assert run.code == code
    assert message in run.err.replace("\n", " ")
    assert names_in(tmp_path) == set()
