"""`molig edits`."""

from __future__ import annotations

import pandas as pd
import pytest
from support.libraries import names_in


@pytest.fixture
def edits(molig, small_model_dir):
    def run(*words: object):
        return molig("edits", *words, "-m", small_model_dir, "--device", "cpu")

    return run


def test_a_list_and_files(edits, tmp_path):
    csv, svg = tmp_path / "edits.csv", tmp_path / "edits.svg"
    words = ("--task", "carbonyl", "--all", "--top", 4, "--direction", "down", "-o", csv, "-o", svg)
    run = edits("OC(=O)c1ccccc1C", *words)
    assert run.code == 0, run.err
    assert "acid to tetrazole" in run.out
    assert "outside the applicability domain" in run.err
    frame = pd.read_csv(csv)
    assert len(frame) == 4
    assert (frame["difference"] < 0).all()
    assert names_in(tmp_path) == {"edits.csv", "edits.svg"}


def test_a_row_of_a_file(edits, write):
    table = write("few.csv", "name,smiles\nA-1,CCO\nA-2,OC(=O)c1ccccc1C\n")
    run = edits("A-2", "-i", table, "--task", "carbonyl", "--all", "--top", 2)
    assert run.code == 0, run.err
    assert "A-2: carbonyl, probability" in run.out


def test_all_tasks_are_sections(edits, tmp_path):
    csv, svg = tmp_path / "edits.csv", tmp_path / "edits.svg"
    words = ("--task", "all", "--all", "--top", 2, "-o", csv, "-o", svg)
    run = edits("OC(=O)c1ccccc1C", *words)
    assert run.code == 0, run.err
    frame = pd.read_csv(csv)
    assert frame["task"].tolist() == ["nitrogen"] * 2 + ["carbonyl"] * 2
    for task in ("nitrogen", "carbonyl"):
        assert f"{task}, probability" in run.out
        alone = tmp_path / f"{task}.csv"
        assert edits("OC(=O)c1ccccc1C", "--task", task, "--all", "--top", 2, "-o", alone).code == 0
        of_task = frame[frame["task"] == task].drop(columns="task").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_task, pd.read_csv(alone), rtol=1e-5)
    assert svg.read_text().count("carbonyl") > 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["O=C=O"], 1, "transformations applies"),
        (["FC(F)(F)I"], 1, "--all lists them"),
        (["N[Pt](N)(Cl)Cl"], 1, "cannot be explained"),
        (["CCO", "--direction", "left"], 2, "unknown --direction 'left'"),
        (["CCO", "-o", "edits.pdf"], 2, "use a name ending in .svg, .png, .csv, .json"),
        (["CCO", "--top", "0"], 2, "--top"),
    ],
)
def test_what_goes_wrong(edits, tmp_path, monkeypatch, *, words, code, message):
    monkeypatch.chdir(tmp_path)
    run = edits(*words, "--task", "nitrogen")
    assert run.code == code
    assert message in run.err.replace("\n", " ")
    assert names_in(tmp_path) == set()
