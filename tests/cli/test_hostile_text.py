"""Identifiers and names that would drive a terminal, a page or a spreadsheet."""

import json
import os
import pty
import shutil

import pandas as pd
import pytest
from support.small_model import TASKS

from molig.model import load_info, model_card
from molig.tables.writers import spreadsheet_safe

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egpj"
IMAGE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def hostile_model(small_model_dir, tmp_path):
    """The small model, whose first task is a tag with an escape sequence."""
    directory = shutil.copytree(small_model_dir, tmp_path / "hostile")
    path = directory / "model.json"
    text = path.read_text()
    path.write_text(text.replace(json.dumps(TASKS[0]), json.dumps(IMAGE + ESCAPES)))
    return directory


def calm(text):
    return not set(text) & set("\x1b\x07\x9b\u202e")


def test_messages_of_rejected_rows(molig, write, small_committee_dir):
    library = write("l.csv", f"smiles,id\nCCO,good\nC1CC,{ESCAPES}\n".encode())
    run = molig("screen", library, "-m", small_committee_dir, "-o", "-")
    assert run.code == 0
    assert "[2J" in run.err
    assert calm(run.err)
    run = molig("explain", "-m", small_committee_dir, "-i", library, "-o", library.with_suffix(".html"))
    assert run.code == 0
    assert calm(run.err)
    assert calm(library.with_suffix(".html").read_text())


def test_error_messages(molig, hostile_model):
    run = molig("screen", "nowhere\x1b[2J.smi", "-m", hostile_model, "--task", "all")
    assert run.code != 0
    assert "error: nowhere\ufffd[2J.smi: no file fits this pattern" in run.err
    assert calm(run.err)
    run = molig("screen", "-", "-m", hostile_model, "--task", "nothing")
    assert "onerror" in run.err
    assert calm(run.err)


def test_names_of_tasks(molig, write, hostile_model, tmp_path):
    """On the terminal, in Markdown and in HTML."""
    page, drawing = tmp_path / "out.html", tmp_path / "out.svg"
    for output in (page, drawing):
        run = molig(
            "explain", "-m", hostile_model, "--smiles", "CCN", "--task", IMAGE + ESCAPES, "-o", output
        )
        assert run.code == 0, run.err
        assert calm(run.err)
        assert "<img" not in output.read_text()
        assert calm(output.read_text())
    outputs = [word for name in ("a.md", "a.html") for word in ("-o", tmp_path / name)]
    library = write("l.smi", "CCN\nCCO\nCCC\nCC=O\nc1ccccc1\n")
    run = molig("audit", "-m", hostile_model, "-i", library, "--only", "dead-units", *outputs)
    assert run.code == 0, run.err
    reports = [(tmp_path / name).read_text() for name in ("a.md", "a.html")]
    texts = [model_card(load_info(hostile_model)), *reports]
    for text in texts:
        assert "<img" not in text
        assert calm(text)
    assert "&lt;img src=x onerror=alert(1)>" in texts[0]


@pytest.mark.parametrize("name", ["hits.csv", "hits.parquet"])
def test_files_keep_identifiers(molig, write, small_committee_dir, name):
    identifiers = [ESCAPES, "=1+1", "+x", "-x", "@x", "'x"]
    rows = "".join(f"CCO,{one}\n" for one in identifiers)
    library = write("l.csv", ("smiles,id\n" + rows).encode())
    output = library.with_name(name)
    assert molig("screen", library, "-m", small_committee_dir, "-o", output).code == 0
    table = pd.read_csv(output, dtype=str) if name.endswith("csv") else pd.read_parquet(output)
    assert list(table["id"]) == identifiers


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(1)")


@pytest.mark.parametrize("rejects", ["r.csv", "r.parquet"])
def test_spreadsheets(molig, write, small_committee_dir, rejects):
    library = write(
        "l.csv", "smiles,id\n" + "".join(f"{s},{one}\n" for one in FORMULAS for s in ("CCO", "=C1"))
    )
    hits, rejected = library.with_name("hits.csv"), library.with_name(rejects)
    options = ("--csv-safe", "-o", hits, "--rejects", rejected)
    assert molig("screen", library, "-m", small_committee_dir, *options).code == 0
    table = pd.read_csv(hits, dtype={"id": str})
    assert list(table["id"]) == [f"'{one}" for one in FORMULAS]
    assert table[TASKS[0]].dtype == float
    assert list(table["row"]) == [1, 3, 5, 7, 9]
    if rejects.endswith("csv"):
        refused = pd.read_csv(rejected, dtype=str)
        assert list(refused["id"]) == [f"'{one}" for one in FORMULAS]
        assert set(refused["smiles"]) == {"'=C1"}
    else:
        assert list(pd.read_parquet(rejected)["id"]) == list(FORMULAS)


@pytest.mark.parametrize("command", ["explain", "saturation"])
def test_spreadsheets_of_explanations(molig, write, small_model_dir, command):
    library = write("l.csv", "smiles,id\nCCN,=1+1\n")
    why = library.with_name("why.csv")
    options = ("-m", small_model_dir, "-i", library, "--task", TASKS[0], "-o", why)
    assert molig(command, *options).code == 0
    assert set(pd.read_csv(why)["id"]) == {"=1+1"}
    assert molig(command, *options, "--csv-safe").code == 0
    assert set(pd.read_csv(why)["id"]) == {"'=1+1"}


@pytest.mark.parametrize("first", "=+-@\t\r")
def test_what_begins_a_formula(first):
    assert spreadsheet_safe(f"{first}x") == f"'{first}x"
    assert spreadsheet_safe(f"x{first}") == f"x{first}"


def test_a_terminal_gets_legible_text(molig, write, small_committee_dir, monkeypatch):
    """Standard output that somebody looks at is no file; a pipe is."""
    library = write("l.csv", f"smiles,id\nCCO,{ESCAPES}\n".encode())
    words = ("screen", library, "-m", small_committee_dir, "-q")
    assert ESCAPES in molig(*words).out
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        assert molig(*words).code == 0
    seen = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "[2J" in seen
    assert calm(seen)
