"""What all commands have in common at the door: molecules with and without -i, help, tasks in any case."""

from __future__ import annotations

import os
import subprocess
import sys

import pandas as pd
import pytest
from support.commands import COMMANDS

from molig.cli.console import Reporter


def other_way(words):
    """The same request, with the molecules named in the other of two ways."""
    words = list(words)
    if "-i" in words:
        words.remove("-i")
    else:
        words.insert(words.index("SOURCE"), "-i")
    return words


@pytest.fixture
def here(monkeypatch, tmp_path):
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_molecules_with_or_without_an_option_and_tasks_in_any_case(
    molig, write, small_model_dir, here, words
):
    source = write("some.csv", "smiles,nitrogen\nCCO,0\nCCN,1\n")
    values = {"SOURCE": str(source), "MODEL": str(small_model_dir)}
    values_in_capitals = values | {"nitrogen": "NITROGEN"}
    written = []
    for each, known in ((words, values), (other_way(words), values_in_capitals)):
        told = molig(*(known.get(word, word) for word in each))
        assert told.code == 0, told.err
        (output,) = (path for path in here.iterdir() if path.stem == "OUT")
        written.append([line for line in output.read_text().splitlines() if " s " not in line])
        output.unlink()
    assert written[0] == written[1]
    again = ["-i", source] if "-i" not in words else [source]
    told = molig(*(values.get(word, word) for word in words), *again)
    assert told.code == 2
    assert "the molecules are named twice" in told.err


@pytest.mark.parametrize("command", ["screen", "prepare", "saturation", "benchmark ablation"])
def test_no_molecules_at_all(molig, command, small_model_dir, tmp_path):
    extra = [] if command == "prepare" else ["-m", small_model_dir]
    run = molig(*command.split(), *extra, "-o", tmp_path / ("store" if command == "prepare" else "out.csv"))
    assert run.code == 2
    assert "name the molecules: a file, a data set" in run.err


@pytest.mark.parametrize(
    "command",
    ["", "screen", "explain", "train", "evaluate", "data", "data get", "benchmark ablation"],
)
def test_short_help(molig, command):
    run = molig(*command.split(), "-h")
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith("Usage: molig")


class TestExplainWithoutOptions:
    @pytest.fixture
    def run(self, molig, small_model_dir, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        return lambda *words: molig("explain", "-m", small_model_dir, "-o", "why.csv", *words)

    def test_smiles(self, run, tmp_path):
        assert run("CCO", "Oc1ccccc1", "--smiles", "CCN").code == 0
        assert pd.read_csv(tmp_path / "why.csv")["smiles"].unique().tolist() == ["CCO", "Oc1ccccc1", "CCN"]

    def test_a_file_comes_before_a_smiles_of_its_name(self, run, write, tmp_path):
        write("CCO", "CCN\n")
        assert run("CCO", "--format", "smi").code == 0
        assert pd.read_csv(tmp_path / "why.csv")["smiles"].unique().tolist() == ["CCN"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["libary.smi"], "libary.smi: no such file"),
            (["tox2l"], "unknown file, data set or SMILES 'tox2l'; did you mean 'tox21'?"),
            (["CCO", "some.smi"], "some.smi is a file or a data set: name it alone"),
            (["CCO", "-i", "some.smi"], "give molecules either by --smiles or by -i FILE"),
            (["CCO", "--target", "Nitrogen"], "a task is named by --task nitrogen"),
        ],
    )
    def test_what_is_neither(self, run, words, message):
        told = run(*words)
        assert told.code == 2
        assert message in told.err


class TestLabels:
    @pytest.fixture
    def asked(self, molig, write, tmp_path, monkeypatch):
        """Tell which columns a training would take, by asking for one that does not exist."""
        monkeypatch.chdir(tmp_path)
        write("t.csv", "smiles,active\nCCO,1\nCCN,0\n")
        return lambda *words: molig("train", "-o", "model", *words)

    @pytest.mark.parametrize(
        "words",
        [("t.csv", "--label", "actve"), ("-i", "t.csv", "--label", "active", "actve"), ("t.csv", "actve")],
    )
    def test_table_and_labels_without_options(self, asked, words):
        run = asked(*words)
        assert run.code == 2
        assert "unknown column 'actve'; did you mean 'active'?" in run.err
        assert "--label now" not in run.err

    @pytest.mark.parametrize("command", ["train", "evaluate"])
    def test_the_former_spelling_is_understood(self, molig, write, tmp_path, command):
        table = write("t.csv", "smiles,active\nCCO,1\nCCN,0\n")
        recipe = ["--recipe", "tox21-w2n2-simple"] if command == "evaluate" else []
        run = molig(command, table, "-o", tmp_path / "out", "--target", "actve", *recipe)
        assert run.code == 2
        assert "is called --label now" in run.err
        assert "unknown column 'actve'" in run.err

    def test_a_table_that_is_not_there(self, asked):
        run = asked("mine.csv", "--label", "a")
        assert run.code == 2
        assert "mine.csv: no such file" in run.err


def test_models_and_shards_are_named_in_both_ways(molig, small_model_dir):
    assert molig("models", "-m", small_model_dir).out == molig("models", small_model_dir).out
    run = molig("merge", "-o", "hits.csv")
    assert run.code == 2
    assert "name the directories of the shards" in run.err


@pytest.mark.parametrize("fails_after", [0, 1])
def test_a_bar_of_nothing_is_not_left_behind(capsys, fails_after):
    def work():
        with Reporter(quiet=False).progress("working", 3) as advance:
            advance(fails_after)
            raise ValueError("broke off")

    with pytest.raises(ValueError, match="broke off"):
        work()
    assert ("working" in capsys.readouterr().err) == bool(fails_after)


def test_the_shell_is_told_what_can_follow():
    asked = {"_MOLIG_COMPLETE": "complete_bash", "COMP_WORDS": "molig sc", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "molig"], env=os.environ | asked, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["screen"]
