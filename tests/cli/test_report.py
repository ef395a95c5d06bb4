"""`molig report`: hits of a screen, any file of molecules, and the best of a library."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from support.pages import page_data

LIBRARY = "smiles,id,IC50\nCCN,amine,1.5\nCC(=O)C,ketone,2\nbad(,bad,3\nNCC(=O)O,glycine,4\n"


NITROGEN = Chem.MolFromSmarts("n1cccc2c1cccc2")


@pytest.fixture
def reported(molig, small_model_dir, tmp_path):
    """Run `molig report` with the small model; the run, and the page's data."""

    def run(*options, page=tmp_path / "page.html"):
        found = molig("report", "-m", small_model_dir, "-o", page, *options)
        return found, page_data(page) if found.code == 0 else None

    return run


def test_any_file_of_molecules(reported, write, tmp_path):
    run, data = reported(write("l.csv", LIBRARY), "--task", "nitrogen", "--title", "Mine")
    assert run.code == 0
    assert f"3 explained, 1 rejected: {tmp_path / 'page.html'}" in run.err
    assert (data["title"], data["tasks"], data["columns"]) == ("Mine", ["nitrogen"], ["IC50"])
    assert [(one["id"], one["cells"]) for one in data["molecules"]] == [
        ("amine", ["1.5"]), ("ketone", ["2"]), ("glycine", ["4"]),
    ]  # fmt: skip
    assert all(one["domain"] for one in data["molecules"])
    text = (tmp_path / "page.html").read_text()
    assert "Row 3 (bad) bad(: not parsable" in text


def test_hits_of_a_screen_bring_their_rank(molig, reported, write, tmp_path, small_model_dir):
    hits = tmp_path / "hits.parquet"
    command = ("screen", write("l.csv", LIBRARY), "-m", small_model_dir, "--task", "nitrogen", "--top-k", 2)
    assert molig(*command, "-o", hits).code == 0
    _, data = reported(hits, "--task", "nitrogen")
    assert data["columns"] == ["rank", "IC50"]
    assert [one["cells"][0] for one in data["molecules"]] == [1, 2]


def test_the_best_of_a_library(reported, write, tmp_path):
    run, data = reported(write("l.csv", LIBRARY), "--task", "nitrogen", "--top", 2)
    scores = [one["why"][0]["score"] for one in data["molecules"]]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)
    assert data["columns"] == ["rank", "IC50"]
    assert "2 explained, 1 rejected" in run.err
    assert "not parsable" in (tmp_path / "page.html").read_text()


def test_all_tasks_are_columns_of_one_page(reported, write):
    _, data = reported(write("l.csv", LIBRARY), "--task", "all")
    assert (data["several"], data["tasks"]) == (True, ["nitrogen", "carbonyl"])
    assert len(data["molecules"]) == 3


@pytest.mark.parametrize("reference", ["CCO", "mean"])
def test_scores_count_from_a_reference(reported, write, reference):
    run, data = reported(write("l.csv", LIBRARY), "--task", "nitrogen", "--top", 2, "--reference", reference)
    assert run.code == 0, run.err
    assert data["start"] == f"reference {reference if reference == 'CCO' else 'mean of 2 compounds'}"
    for one in data["molecules"]:
        (why,) = one["why"]
        parts = dict(why["sums"])
        assert why["start"] + sum(parts.values()) == pytest.approx(why["score"], abs=2e-3)
        assert why["base"] - why["start"] == pytest.approx(parts["size and shape"], abs=2e-3)


def test_rejected_rows_as_a_table(reported, write, tmp_path):
    rejects = tmp_path / "bad.csv"
    for options in ((), ("--top", 2)):
        run, _ = reported(write("l.csv", LIBRARY), "--task", "nitrogen", "--rejects", rejects, *options)
        assert f"rejected rows: {rejects}" in run.err
        assert rejects.read_text().startswith("row,id,smiles,reason\n3,bad,bad(,")
        rejects.unlink()
    run, _ = reported(write("l.smi", "bad(\n"), "--rejects", rejects)
    assert (run.code, len(rejects.read_text().splitlines())) == (1, 2)


def test_the_page_begins_as_it_is_asked_to(reported, write):
    series = "Cc1ccc2ncccc2c1 a\nO=C(O)c1ccc2ncccc2c1 b\n"
    look = ("--layers", "atoms,bonds,pairs", "--atom-labels", "values", "--arcs", 0.5, "--align", "auto")
    _, data = reported(write("s.smi", series), "--task", "nitrogen", *look)
    assert (data["layers"], data["label"], data["threshold"]) == (["atoms", "bonds", "pairs"], "values", 0.5)
    turns = []
    for one in data["molecules"]:
        mol = Chem.MolFromMolBlock("\n" + one["block"])
        nitrogen, carbon = (
            np.array(one["xy"]).reshape(-1, 2)[mol.GetSubstructMatch(NITROGEN)[i]] for i in (0, 3)
        )
        turns.append(np.arctan2(*(carbon - nitrogen)))
    assert turns[0] == pytest.approx(turns[1], abs=0.03)


def test_wrong_requests_are_told(reported, write, tmp_path):
    library = write("l.csv", LIBRARY)
    for options, page, message in (
        ((library,), tmp_path / "page.pdf", "give a name ending in .html"),
        ((library,), tmp_path / "no" / "page.html", "does not exist"),
        ((library, "--reference", "mean", "--baseline", "zero"), tmp_path / "page.html", "give either"),
        ((library, "--rejects", tmp_path / "bad.txt"), tmp_path / "page.html", "cannot tell the format"),
        ((library, "--layers", "atom"), tmp_path / "page.html", "unknown layer"),
        ((library, "--align", "c1cc"), tmp_path / "page.html", "c1cc"),
        ((library, "--task", "all", "--top", 2), tmp_path / "page.html", "--top ranks by one task"),
        ((library, "--top", 5_000, "--task", "nitrogen"), tmp_path / "page.html", "at most 2,000"),
        ((write("many.smi", "CCO\n" * 2_001),), tmp_path / "page.html", "--top N shows the best"),
    ):
        run, _ = reported(*options, page=page)
        assert run.code == 2, options
        assert message in run.err


def test_nothing_usable_is_an_error(reported, write):
    run, _ = reported(write("l.smi", "bad(\n"))
    assert run.code == 1
    assert "none of the molecules could be explained" in run.err
