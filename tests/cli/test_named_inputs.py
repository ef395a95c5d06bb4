"""Data sets by name wherever a command reads a file."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
from support.commands import COMMANDS
from support.small_model import TASKS, small_recipe, write_labelled

from molig.training import write_recipe


@pytest.fixture
def here(monkeypatch, tmp_path):
    """A working directory without data sets."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("MOLIG_DATA_DIR", raising=False)
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "here"


@pytest.fixture
def table(here, tmp_path, nci_file):
    """Table of 40 labelled molecules, which lies where `molig data get bace` would put it."""
    (tmp_path / "cache").mkdir()
    frame = pd.read_csv(write_labelled(tmp_path / "labelled.csv", 40))
    frame.to_parquet(tmp_path / "cache" / "bace.parquet")
    return tmp_path / "cache" / "bace.parquet"


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_name_is_read_as_the_file_it_stands_for(molig, words, small_model_dir, table, here):
    written = []
    for source in (table, "bace"):
        values = {"SOURCE": str(source), "MODEL": str(small_model_dir)}
        run = molig(*(values.get(word, word) for word in words))
        assert run.code == 0, run.err
        (output,) = (path for path in here.iterdir() if path.stem == "OUT")
        lines = output.read_text().splitlines()
        written.append([line for line in lines if " s " not in line])
        output.unlink()
    assert written[0] == written[1]
    assert len(written[0]) > 3


def test_train_and_evaluate_record_the_file_behind_the_name(molig, table, here):
    write_recipe(small_recipe(epochs=2, patience=2), here / "recipe.toml")
    words = ("--recipe", "recipe.toml", *(word for task in TASKS for word in ("--target", task)))
    run = molig("train", "-i", "bace", "-o", "model", *words, "--device", "cpu")
    assert run.code == 0, run.err
    assert json.loads((here / "model/model.json").read_text())["training"]["data_file"] == "bace.parquet"

    run = molig("evaluate", "-m", "model", "-i", "bace", "--device", "cpu")
    assert run.code == 0, run.err
    assert "is not the file" not in run.err
    run = molig("evaluate", "-i", "bace", "-o", "judged", *words, "--folds", "1", "--baselines", "none")
    assert run.code == 0, run.err
    assert "-i bace.parquet" in (here / "judged/evaluation.md").read_text()


def test_a_file_comes_before_a_data_set_and_a_directory_does_not(molig, small_model_dir, table, here):
    model = ("-m", small_model_dir, "-q", "--format")
    (here / "bace").mkdir()
    assert len(molig("screen", "bace", *model, "parquet").out.splitlines()) == 41
    (here / "bace").rmdir()
    (here / "bace").write_text("CCO\n")
    assert len(molig("screen", "bace", *model, "smi").out.splitlines()) == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("muv", (1, "data set 'muv' is not on this machine; run `molig data get muv`")),
        ("tox2l", (2, "unknown file or data set 'tox2l'; did you mean 'tox21'?")),
        ("tox21.smi", (2, "tox21.smi: no such file")),
        ("nowhere/tox21", (2, "unknown file type")),
        (".", (2, "unknown file type")),
    ],
)
def test_what_is_not_there(molig, small_model_dir, here, source, expected):
    code, message = expected
    run = molig("screen", source, "-m", small_model_dir)
    assert (run.code, run.out) == (code, "")
    assert message in run.err


def test_a_data_set_in_the_data_directory(molig, small_model_dir, table, here, monkeypatch):
    shutil.move(table, here / "bace.parquet")
    monkeypatch.setenv("MOLIG_DATA_DIR", str(here))
    assert molig("screen", "bace", "-m", small_model_dir, "-q").code == 0
