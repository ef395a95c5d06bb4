"""Data sets by name wherever a command reads a file."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
from support.commands import COMMANDS
from support.small_model import TASKS, nci_smiles, small_recipe, value, write_labelled

from molig.model import load_info
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
    words = ("--recipe", "recipe.toml", *(word for task in TASKS for word in ("--label", task)))
    run = molig("train", "-i", "bace", "-o", "model", *words, "--device", "cpu")
    assert run.code == 0, run.err
    assert json.loads((here / "model/model.json").read_text())["training"]["data_file"] == "bace.parquet"

    run = molig("evaluate", "-m", "model", "-i", "bace", "--device", "cpu")
    assert run.code == 0, run.err
    assert "is not the file" not in run.err
    run = molig("evaluate", "-i", "bace", "-o", "judged", *words, "--folds", "1", "--baselines", "none")
    assert run.code == 0, run.err
    assert "-i bace.parquet" in (here / "judged/evaluation.md").read_text()


def test_a_file_comes_before_a_data_set_and_a_directory_does_not(molig, small_committee_dir, table, here):
    model = ("-m", small_committee_dir, "-q", "--format")
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
        ("nowhere/tox21", (2, "nowhere/tox21: no such file")),
        (".", (2, "is a directory; name the molecule file in it")),
    ],
)
def test_what_is_not_there(molig, small_committee_dir, here, source, expected):
    code, message = expected
    run = molig("screen", source, "-m", small_committee_dir)
    assert (run.code, run.out) == (code, "")
    assert message in run.err


def test_a_data_set_in_the_data_directory(molig, small_committee_dir, table, here, monkeypatch):
    shutil.move(table, here / "bace.parquet")
    monkeypatch.setenv("MOLIG_DATA_DIR", str(here))
    assert molig("screen", "bace", "-m", small_committee_dir, "-q").code == 0


class TestWhatTheCatalogueKnows:
    """Label columns and objective of a public data set need not be said."""

    @pytest.fixture
    def esol(self, here, tmp_path, nci_file):
        """Forty molecules with made-up values, where `molig data get esol` would put its table."""
        (tmp_path / "cache").mkdir()
        smiles = nci_smiles(40)
        values = [value(text)["mass"] / 100 for text in smiles]
        frame = pd.DataFrame({"smiles": smiles, "logS": values, "label": [int(v > 1.5) for v in values]})
        frame.to_parquet(tmp_path / "cache" / "esol.parquet")
        write_recipe(small_recipe(epochs=1), here / "full.toml")
        (here / "r.toml").write_text(SHORT)
        return here

    @pytest.fixture
    def objective(self, molig, esol):
        """Train on it with some options; returns tasks and objective of the model."""

        def run(*options, recipe="r.toml"):
            told = molig("train", "-i", "esol", "-o", "m", "--recipe", recipe, "--device", "cpu", *options)
            assert told.code == 0, told.err
            info = load_info(esol / "m")
            return info.tasks, info.objective.value, told.err

        return run

    def test_values_are_predicted_as_values(self, objective):
        tasks, kind, err = objective()
        assert (tasks, kind) == (("logS",), "regression")
        assert "esol.parquet: predicting logS (values) with a Weave network; recipe r" in err

    @pytest.mark.parametrize(
        "options",
        [["--active-above", "1.5"], ["--label", "label"], ["--label", "label", "--split", "random"]],
    )
    def test_a_cut_or_another_column_makes_classes(self, objective, options):
        assert objective(*options)[1] == "classification"

    def test_what_is_said_goes_first(self, molig, objective, esol):
        run = molig("train", "-i", "esol", "-o", "m", "--recipe", "r.toml", "--objective", "classification")
        assert run.code == 1
        assert "'logS' has numbers other than 0 and 1" in run.err
        stated = molig("train", "-i", "esol", "-o", "m", "--recipe", "full.toml")  # states its objective
        assert stated.code == 1
        assert objective("--objective", "regression", recipe="full.toml")[1] == "regression"

    def test_evaluation_knows_as_well(self, molig, esol):
        words = ("--folds", "1", "--baselines", "none", "--device", "cpu")
        run = molig("evaluate", "-i", "esol", "-o", "judged", "--recipe", "r.toml", *words)
        assert run.code == 0, run.err
        assert "RMSE" in run.out

    def test_rows_of_many_targets_are_told(self, molig, esol, tmp_path):
        frame = pd.read_parquet(tmp_path / "cache" / "esol.parquet").rename(columns={"logS": "pActivity"})
        frame.to_parquet(tmp_path / "cache" / "moleculeace_30.parquet")
        run = molig("train", "-i", "moleculeace_30", "-o", "m", "--recipe", "r.toml", "--device", "cpu", "-q")
        assert run.code == 0, run.err
        assert run.err.startswith("warning: moleculeace_30 has rows of 30 targets")
        assert "--each-value-of dataset" in run.err


SHORT = """\
features.max_pair_distance = 2
network = { n_modules = 1, hidden = [8, 8] }
optimization.epochs = 1
"""
