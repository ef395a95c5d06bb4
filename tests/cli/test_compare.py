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
        ([], 2, "name at least two molecules"),
        (["CCO"], 2, "name two or more"),
        (["CCO", "CCN", "CCS", "-o", "all.svg"], 2, "a picture is of two molecules (got 3)"),
        (["CCO", "CCN", "--target", "Nitrogen"], 2, "a task is named by --task nitrogen"),
    ],
)
def test_what_goes_wrong(compare, tmp_path, monkeypatch, *, words, code, message):
    monkeypatch.chdir(tmp_path)
    run = compare(*words, "--task", "nitrogen")
    assert run.code == code
    assert message in run.err.replace("\n", " ")
    assert names_in(tmp_path) == set()


def test_all_tasks_are_sections(compare, tmp_path):
    paths = [tmp_path / f"pair{suffix}" for suffix in (".svg", ".csv", ".json")]
    run = compare("CCc1ccccc1", "NCc1ccccc1", "--task", "all", *(w for p in paths for w in ("-o", p)))
    assert run.code == 0, run.err
    for task in ("nitrogen", "carbonyl"):
        assert f"{task}, probability: A to B" in run.out
        assert f"{task} · probability" in paths[0].read_text()
    frame = pd.read_csv(paths[1])
    assert frame["task"].unique().tolist() == ["nitrogen", "carbonyl"]
    scores = frame[frame["part"] == "score"]["difference"]
    parts = frame[frame["part"] != "score"].groupby("task", sort=False)["difference"].sum()
    assert parts.tolist() == pytest.approx(scores.tolist())
    assert [one["task"] for one in json.loads(paths[2].read_text())["tasks"]] == ["nitrogen", "carbonyl"]


def test_each_with_each(compare, write, tmp_path):
    few = write("few.smi", "Cc1ccccc1 a\nOc1ccccc1 b\nNc1ccccc1 c\nC1CC bad\nCCO d\n")
    csv, numbers = tmp_path / "pairs.csv", tmp_path / "pairs.json"
    run = compare(few, "--task", "nitrogen", "-o", csv, "-o", numbers)
    assert run.code == 0, run.err
    assert "row 4 (bad) 'C1CC': not parsable" in run.err
    assert "a and d: " in run.err
    assert "nitrogen, probability: column minus row" in run.out
    assert "unknown" in run.out
    frame = pd.read_csv(csv).set_index(["first", "second"])
    assert len(frame) == 6
    compared = frame[frame["reason"].isna()]
    assert len(compared) == 3
    whole = compared["change"] + compared["surroundings"] + compared["rest"]
    assert whole.tolist() == pytest.approx(compared["difference"].tolist(), abs=1e-5)
    there = frame["difference"]
    assert there["a", "c"] == pytest.approx(there["a", "b"] + there["b", "c"], abs=1e-5)
    found = json.loads(numbers.read_text())
    assert [len(pair["comparisons"]) for pair in found["pairs"]] == [1, 1, 0, 1, 0, 0]
    assert found["rejected"][0]["id"] == "bad"
    run = compare("a", "b", "c", "-i", few, "--task", "all")
    assert run.code == 0, run.err
    assert run.out.count("column minus row") == 2


def test_names_of_a_file_stay_where_they_are(compare, write, tmp_path):
    few = write("few.csv", f"smiles,id\nCc1ccccc1,=1+1\nOc1ccccc1,{'x' * 10_000}\nNc1ccccc1,<b>\n")
    csv = tmp_path / "pairs.csv"
    run = compare(few, "--task", "nitrogen", "-o", csv, "--csv-safe")
    assert run.code == 0, run.err
    assert len(run.out) < 10_000
    assert pd.read_csv(csv)["first"].tolist()[0] == "'=1+1"
    assert (pd.read_csv(csv)["second"] == "x" * 10_000).sum() == 1


@pytest.mark.parametrize("n", [2, 4])
def test_nothing_is_left_to_compare(compare, write, n):
    run = compare(write("bad.smi", "C1CC a\nCCO b\n" if n == 2 else "C1CC\n" * n), "--task", "nitrogen")
    assert run.code == 1
    assert "cannot be explained: not parsable" in run.err


def test_more_than_can_be_compared(compare, write):
    run = compare(write("many.smi", "CCO\n" * 31), "--task", "nitrogen")
    assert run.code == 2
    assert "has more than 30 rows" in run.err
    run = compare(write("one.smi", "CCO\n"), "--task", "nitrogen")
    assert "has 1 row, and from 2" in run.err
