"""`molig prepare`, and `molig screen` of what it has made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rdkit import Chem
from support.libraries import GOOD, names_in

SMI = "".join(f"{smiles} m{i}\n" for i, smiles in enumerate(GOOD)) + "C1CC bad\n"


def test_a_store_is_made_and_screened(molig, write, tmp_path, small_model_dir):
    library, store = write("library.smi", SMI), tmp_path / "store"
    made = molig("prepare", library, "-o", store, "--for", small_model_dir)
    assert made.code == 0
    assert f"{len(GOOD) + 1} rows: {len(GOOD)} molecules, 1 rejected" in made.err
    assert "bytes per molecule" in made.err
    assert made.out == ""
    assert names_in(store) == {"molecules-00000.parquet", "rejected.parquet", "store.json"}
    for source, name in ((library, "plain"), (store, "stored")):
        run = molig(
            "screen", source, "-m", small_model_dir, "--task", "carbonyl", "-o", tmp_path / f"{name}.csv"
        )
        assert run.code == 0
    assert (tmp_path / "plain.csv").read_bytes() == (tmp_path / "stored.csv").read_bytes()
    assert (tmp_path / "plain.rejected.csv").read_bytes() == (tmp_path / "stored.rejected.csv").read_bytes()


def test_the_default_serves_all_bundled_models(molig, write, tmp_path):
    made = molig("prepare", write("library.smi", SMI), "-o", tmp_path / "store", "-q")
    assert (made.code, made.err) == (0, "")
    for model in ("tox21", "muv", "tox21-w1n2-simple"):
        assert molig("screen", tmp_path / "store", "-m", model, "--task", "all", "-q").code == 0


def test_a_finished_store_is_kept_without_force(molig, write, tmp_path, small_model_dir):
    arguments = ("prepare", write("library.smi", SMI), "-o", tmp_path / "store", "-m", small_model_dir)
    assert molig(*arguments).code == 0
    again = molig(*arguments)
    assert (again.code, "--force" in again.err) == (2, True)
    assert molig(*arguments, "--force").code == 0


def test_a_model_that_the_store_does_not_serve_is_a_wrong_request(molig, write, tmp_path, small_model_dir):
    assert molig("prepare", write("l.smi", SMI), "-o", tmp_path / "store", "-m", small_model_dir).code == 0
    run = molig("screen", tmp_path / "store", "-m", "tox21")
    assert run.code == 2
    assert "lacks features that tox21 reads" in run.err
    assert "molig prepare LIBRARY -o STORE -m tox21" in run.err


def test_options_of_columns_belong_to_prepare(molig, write, tmp_path, small_model_dir):
    table = write("library.csv", "name,structure\n" + "".join(f"m,{s}\n" for s in GOOD))
    chosen = ("--smiles-column", "structure", "--id-column", "name")
    assert molig("prepare", table, "-o", tmp_path / "store", "-m", small_model_dir, *chosen).code == 0
    run = molig("screen", tmp_path / "store", "-m", small_model_dir, *chosen)
    assert (run.code, "--smiles-column and --id-column was for" in run.err) == (2, True)


def test_damage_ends_with_exit_code_1(molig, write, tmp_path, small_model_dir):
    store = tmp_path / "store"
    assert molig("prepare", write("l.smi", SMI), "-o", store, "-m", small_model_dir).code == 0
    content = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps(content | {"format_version": 99}))
    run = molig("screen", store, "-m", small_model_dir)
    assert (run.code, "upgrade molig" in run.err) == (1, True)


def test_a_pipe_can_be_prepared(molig, tmp_path, small_model_dir, monkeypatch):
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SMI.encode())))
    run = molig("prepare", "-", "--format", "smi", "-o", tmp_path / "store", "-m", small_model_dir)
    assert run.code == 0
    assert json.loads((tmp_path / "store" / "store.json").read_text())["source"]["sha256"] is None


def test_an_interrupted_preparation_is_told_and_resumed(molig, write, tmp_path, small_model_dir, monkeypatch):
    from molig.cli.console import Bar
    from molig.screening import preparing

    monkeypatch.setattr(preparing, "CHUNK_ROWS", 3)
    library = write("library.smi", SMI)
    arguments = ("prepare", library, "-o", tmp_path / "store", "-m", small_model_dir, "-j", "1")
    calls = []

    def interrupted(self: Bar, n: int) -> None:
        calls.append(n)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bar, "__call__", interrupted)
        run = molig(*arguments)
    assert run.code == 1
    assert f"6 rows are done and kept in {tmp_path / 'store.parts'}" in " ".join(run.err.split())
    again = molig(*arguments, "--resume")
    assert (again.code, "6 rows are done already" in again.err) == (0, True)
    assert molig("prepare", library, "-o", tmp_path / "other", "-m", small_model_dir).code == 0
    content = [{p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("store", "other")]
    assert content[0] == content[1]
    assert names_in(tmp_path) == {"library.smi", "store", "other"}


@pytest.fixture
def labelled(molig, write, tmp_path, small_model_dir):
    """A library with labels, and its store."""
    rows = [f"{smiles},m{i},{i % 2}" for i, smiles in enumerate([*GOOD, "C1CC"])]
    library = write("labelled.csv", "\n".join(["smiles,id,carbonyl", *rows]) + "\n")
    store = tmp_path / "labelled.store"
    assert molig("prepare", library, "-o", store, "-m", small_model_dir, "-q").code == 0
    return library, store


def test_a_store_is_explained_as_its_library(molig, labelled, tmp_path, small_model_dir):
    of_model = ("-m", small_model_dir, "--task", "carbonyl")
    for source, name in zip(labelled, ("plain", "stored"), strict=True):
        run = molig("explain", "-i", source, *of_model, "-o", tmp_path / f"{name}.csv")
        assert run.code == 0
    assert "is a feature store: its SMILES are parsed once more" in run.err
    for end in (".csv", ".rejected.csv"):
        assert (tmp_path / f"plain{end}").read_bytes() == (tmp_path / f"stored{end}").read_bytes()
    drawn = molig("explain", "-i", labelled[1], *of_model, "-o", tmp_path / "stored.html", "-q")
    page = (tmp_path / "stored.html").read_text()
    assert (drawn.code, [i for i in range(len(GOOD)) if f"m{i}" not in page]) == (0, [])


def test_a_store_is_audited_as_its_library(molig, labelled, tmp_path, small_model_dir):
    reports = []
    for source in labelled:
        path = tmp_path / f"{source.name}.md"
        run = molig("audit", "-i", source, "-m", small_model_dir, "--only", "baseline", "-o", path, "-q")
        assert run.code == 0
        lines = path.read_text().replace(source.name, "SOURCE").splitlines()
        reports.append([line for line in lines if " s " not in line])
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (("saturation",), ("--actives", "3", "--points", "3")),
        (
            ("benchmark", "ablation"),
            ("--top", "2", "--atoms", "1", "--random-orders", "1", "--methods", "occlusion"),
        ),
    ],
)
def test_a_store_is_looked_into_as_its_library(molig, labelled, tmp_path, small_model_dir, command, options):  # noqa: PLR0917 - fixtures
    of_model = ("-m", small_model_dir, "--task", "carbonyl", *options)
    for source, name in zip(labelled, ("plain.csv", "stored.csv"), strict=True):
        run = molig(*command, "-i", source, *of_model, "-o", tmp_path / name)
        assert (run.code, "with carbonyl = 1" in run.err) == (0, command == ("saturation",))
    assert (tmp_path / "plain.csv").read_bytes() == (tmp_path / "stored.csv").read_bytes()


@pytest.mark.parametrize("command", ["prepare", "compare"])
def test_commands_that_read_no_store_say_what_to_give(molig, labelled, tmp_path, small_model_dir, command):
    words = ("-i", labelled[1], "-m", small_model_dir, "-o", tmp_path / "out.csv")
    run = molig(command, *words, *(("m0", "m1") if command == "compare" else ()))
    told = " ".join(run.err.split())
    assert (run.code, "is a feature store, which is not read here: give the library" in told) == (2, True)


def test_models_that_read_molecules_otherwise_need_the_library(molig, labelled, tmp_path):
    checkpoint = Path(__file__).parents[1] / "foreign" / "small.pt"
    run = molig("explain", "-i", labelled[1], "-m", checkpoint, "-o", tmp_path / "x.csv", "-q")
    assert (run.code, "give the library itself" in run.err) == (2, True)
    named = molig("audit", "-i", labelled[1], "-m", "tox21", "--label", "SR-MMP=logP", "-q")
    assert (named.code, "logP" in named.err) == (2, True)


def test_stores_of_sd_files_tell_that_atoms_are_numbered_otherwise(molig, write, tmp_path, small_model_dir):
    blocks = "".join(f"{Chem.MolToMolBlock(Chem.MolFromSmiles(s))}$$$$\n" for s in ("OCC", "c1ccccc1C=O"))
    library, store = write("library.sdf", blocks), tmp_path / "store"
    assert molig("prepare", library, "-o", store, "-m", small_model_dir, "-q").code == 0
    run = molig("explain", "-i", store, "-m", small_model_dir, "-o", tmp_path / "x.csv", "-q")
    told = " ".join(run.err.split())
    assert (run.code, "keeps SMILES of the structures in library.sdf" in told) == (0, True)


def test_a_job_over_a_store_may_always_say_resume(molig, labelled, tmp_path, small_model_dir):
    of_model = ("-m", small_model_dir, "--task", "carbonyl")
    assert (
        molig("explain", "-i", labelled[1], *of_model, "-o", tmp_path / "x.csv", "--resume", "-q").code == 0
    )


def test_shards_are_merged_to_the_store_of_one_run(molig, write, tmp_path, small_model_dir, monkeypatch):
    from molig.screening import preparing

    monkeypatch.setattr(preparing, "CHUNK_ROWS", 3)
    library = write("library.smi", SMI)
    of_run = ("prepare", library, "-m", small_model_dir, "-q")
    assert molig(*of_run, "-o", tmp_path / "whole").code == 0
    shards = [tmp_path / f"s.store.shard-{place}-of-2" for place in (1, 2)]
    for place in (1, 2):
        assert molig(*of_run, "-o", tmp_path / "s.store", "--shard", f"{place}/2", "--resume").code == 0
    one = molig("merge", shards[0], "-o", tmp_path / "s.store")
    assert (one.code, "shards are missing: 2/2" in one.err) == (2, True)
    wrong = molig("merge", *shards, "-o", tmp_path / "s.store", "--top-k", "3")
    assert (wrong.code, "--top-k is for hits" in wrong.err) == (2, True)
    both = molig("merge", *reversed(shards), "-o", tmp_path / "s.store")
    assert (both.code, f"{len(GOOD) + 1} rows of 2 shards: {len(GOOD)} molecules" in both.err) == (0, True)
    content = [{p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("whole", "s.store")]
    assert content[0] == content[1]
    again = molig(*of_run, "-o", tmp_path / "s.store", "--shard", "1/2")
    assert (again.code, "holds" in again.err) == (2, True)
    for way in ("--force", "--resume"):
        assert molig(*of_run, "-o", tmp_path / "s.store", "--shard", "1/2", way).code == 0
