"""`--delimiter`, columns by number, and what is said when no row can be used."""

from __future__ import annotations

import pandas as pd
import pytest
from support.commands import COMMANDS
from support.small_model import TASKS, small_recipe, write_labelled

from molig.training import write_recipe

CONTENT = "smiles^code\nCCO^a\nCCN^b\nOCCN^c\nc1ccncc1^d\n"


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_every_command_that_reads_molecules_takes_a_delimiter(molig, words, small_model_dir, write, tmp_path):
    source = write("a.csv", CONTENT)
    values = {"SOURCE": str(source), "MODEL": str(small_model_dir)}
    run = molig(*(values.get(word, word) for word in words), "--delimiter", "^", "--id-column", "code")
    assert run.code == 0, run.err
    (output,) = (path for path in tmp_path.iterdir() if path.stem == "OUT")
    assert output.stat().st_size > 0
    again = ["--force"] if words[0] == "screen" else []
    run = molig(*(values.get(word, word) for word in words), *again, "--delimiter", "commas")
    assert run.code == 2
    assert "--delimiter must be comma, tab, semicolon, pipe, space" in run.err


def test_train_and_evaluate_take_a_delimiter(molig, nci_file, tmp_path):
    frame = pd.read_csv(write_labelled(tmp_path / "labelled.csv", 40))
    frame.to_csv("other.csv", sep="^", index=False)
    write_recipe(small_recipe(epochs=2, patience=2), tmp_path / "recipe.toml")
    words = ("--recipe", "recipe.toml", *(word for task in TASKS for word in ("--label", task)))
    words = (*words, "-i", "other.csv", "--device", "cpu", "--delimiter", "^")
    run = molig("train", "-o", "model", *words)
    assert run.code == 0, run.err
    run = molig("evaluate", "-m", "model", "-i", "other.csv", "--delimiter", "^", "--device", "cpu")
    assert run.code == 0, run.err
    run = molig("evaluate", "-o", "judged", *words, "--folds", "1", "--baselines", "none")
    assert run.code == 0, run.err
    assert "--delimiter" in (tmp_path / "judged/evaluation.md").read_text()


SCREEN = ("-m", "MODEL", "--task", "nitrogen", "-o", "hits.csv", "-q")


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("a.smi", "methane C\nethane CC\nwater O\n", "their identifiers look like SMILES.*--smiles-column"),
        ("a.csv", "smiles,name\nmethane,C\nethane,CC\n", "their identifiers look like SMILES"),
        ("a.csv", "smiles,x\nfoo^C,1\nbar^CC,2\n", r"--smiles-column\) and separator \(--delimiter\)"),
        ("a.csv", "smiles,x\n,1\n,2\n", r"is the column of the SMILES the right one \(--smiles-column\)"),
        ("a.tsv", "smiles\tx\na;b\tq\nc;d\tz\n", "they contain ';'.*--delimiter semicolon"),
    ],
)
def test_when_no_row_can_be_used_the_rejects_are_there_and_the_cause_is_named(
    molig, small_committee_dir, write, tmp_path, *, name, content, cause
):
    words = [str(small_committee_dir) if word == "MODEL" else word for word in SCREEN]
    run = molig("screen", write(name, content), *words)
    assert run.code == 1
    (error,) = [line for line in run.err.splitlines() if line.startswith("error: ")]
    assert pd.Series([error]).str.contains(cause).all(), error
    assert "hits.rejected.csv" in error
    assert not (tmp_path / "hits.csv").exists()
    n_rows = content.count("\n") - (name != "a.smi")
    assert len(pd.read_csv(tmp_path / "hits.rejected.csv")) == n_rows


def test_the_way_out_of_swapped_columns(molig, small_committee_dir, write, tmp_path):
    words = [str(small_committee_dir) if word == "MODEL" else word for word in SCREEN]
    run = molig("screen", write("a.smi", "methane C\nethane CC\n"), *words, "--smiles-column", "2")
    assert run.code == 0, run.err
    assert pd.read_csv(tmp_path / "hits.csv")["id"].tolist() == ["methane", "ethane"]


def test_what_readers_warn_of_reaches_the_terminal(molig, small_committee_dir, write):
    words = [str(small_committee_dir) if word == "MODEL" else word for word in SCREEN]
    run = molig("screen", write("a.csv", b"smiles,id,id\nC,n\xe9,1\nCC,b,2\n"), *words)
    assert run.code == 0
    assert "warning: " in run.err
    assert "columns named more than once: 'id'" in run.err
    assert "row 1 is the first that is not encoded in UTF-8" in run.err
