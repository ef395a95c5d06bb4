"""`molig report`: hits of a screen, any file of molecules, and the best of a library."""

from __future__ import annotations

import pytest
from support.pages import page_data

LIBRARY = "smiles,id,IC50\nCCN,amine,1.5\nCC(=O)C,ketone,2\nbad(,bad,3\nNCC(=O)O,glycine,4\n"


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


def test_wrong_requests_are_told(reported, write, tmp_path):
    library = write("l.csv", LIBRARY)
    for options, page, message in (
        ((library,), tmp_path / "page.pdf", "give a name ending in .html"),
        ((library,), tmp_path / "no" / "page.html", "does not exist"),
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
