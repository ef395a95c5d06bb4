"""Bundled recipes: all readable, and PCBA's run as soon as the file is there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.file_server import running_file_server
from support.made_up_pcba import made_up_pcba
from support.small_model import nci_smiles

from molig.datasets import datasets, get_dataset
from molig.evaluation.baselines import resolve_baselines
from molig.model import load_model
from molig.training import bundled_recipes, read_recipe
from molig.training.recipe import DEFAULT_RECIPE, DataRecipe

N_ROWS = 40


@pytest.fixture(scope="module")
def pcba(tmp_path_factory):
    """A directory with a made-up PCBA, downloaded and converted as the real one would be."""
    folder = tmp_path_factory.mktemp("pcba")
    with running_file_server() as server:
        server.serve("/pcba.csv.gz", made_up_pcba(N_ROWS, nci_smiles(N_ROWS)))
        made_up = replace(datasets()["pcba"], urls=(server.url("/pcba.csv.gz"),), rows=N_ROWS)
        get_dataset(made_up, folder)
    return folder


@pytest.mark.parametrize("name", bundled_recipes())
def test_bundled_recipes_name_known_data_and_baselines(name):
    recipe = read_recipe(name)
    if name == DEFAULT_RECIPE:  # for any table
        assert recipe.data == DataRecipe()
        return
    if not recipe.data.name:  # of a table that a script makes
        assert recipe.data.file
        return
    assert recipe.data.name in datasets()
    assert set(recipe.data.targets) <= set(datasets()[recipe.data.name].targets)
    assert resolve_baselines(recipe.evaluation.baselines, recipe.objective)


def test_recipes_are_listed_by_data_set(molig, narrow, monkeypatch, tmp_path):
    monkeypatch.delenv("MOLIG_DATA_DIR", raising=False)
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path))
    (tmp_path / "bace.parquet").touch()
    run = molig("train", "--list-recipes")
    assert (run.code, run.err) == (0, "")
    rows = [line.split("│") for line in run.out.splitlines() if line.startswith("│ ")]
    named = {row[1].strip(): [cell.strip() for cell in row[2:4]] for row in rows if row[1].strip()}
    assert set(named) == set(bundled_recipes())
    assert next(iter(named)) == DEFAULT_RECIPE
    assert named[DEFAULT_RECIPE][0] == "any"
    assert named["bace"][0] == "bace"
    assert named["pcba-w2n2-simple"][0] == "pcba (to get)"
    assert all(about for _, about in named.values())
    assert list(named).index("tox21") < list(named).index("tox21-w2n2-simple")
    assert max(map(len, narrow("train", "--list-recipes"))) <= 80


def test_pcba_trains_on_all_tasks_from_its_name_alone(molig, pcba, tmp_path, monkeypatch):
    monkeypatch.setenv("MOLIG_DATA_DIR", str(pcba))
    run = molig("train", "--recipe", "pcba-w2n2-simple", "-o", tmp_path / "model", "--device", "cpu", "-q")
    assert run.code == 0, run.err
    model = load_model(tmp_path / "model")
    assert model.tasks == datasets()["pcba"].targets
    assert model.info.training.data_licence == datasets()["pcba"].licence
    assert "--recipe recipe.toml" in model.info.training.command
    assert "-i" not in model.info.training.command


def test_the_single_task_of_the_paper_is_evaluated(molig, pcba, tmp_path, monkeypatch):
    monkeypatch.setenv("MOLIG_DATA_DIR", str(pcba))
    options = ["--folds", "2", "--baselines", "nearest-active", "--device", "cpu", "-q"]
    run = molig("evaluate", "--recipe", "pcba-588342-w2n2", "-o", tmp_path / "out", *options)
    assert run.code == 0, run.err
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert list(found["methods"]["molig"]["tasks"]) == ["PCBA-588342"]


def test_without_the_file_the_message_says_how_to_get_it(molig, tmp_path, monkeypatch):
    monkeypatch.setenv("MOLIG_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path))
    run = molig("train", "--recipe", "pcba-w2n2-simple", "-o", tmp_path / "model")
    assert run.code in (1, 2)
    assert "molig data get pcba" in run.err
