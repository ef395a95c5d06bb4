"""`molig prepare`, and `molig screen` of what it has made."""

from __future__ import annotations

import json

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
