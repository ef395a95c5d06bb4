"""Recipes: round trip, and errors that name the key."""

import pytest

from molig.errors import UsageError
from molig.model import find_model
from molig.training import Recipe, bundled_recipes, parse_recipe, read_recipe, write_recipe
from molig.training.recipe import find_recipe


def test_round_trip(tmp_path):
    recipe = parse_recipe({"network": {"n_modules": 3}, "features": {"max_pair_distance": "unlimited"}})
    write_recipe(recipe, tmp_path / "r.toml")
    assert read_recipe(tmp_path / "r.toml") == recipe


def test_what_is_left_out_takes_its_default():
    assert parse_recipe({}) == Recipe()
    assert (
        parse_recipe({"optimization": {"epochs": 3}}).optimization.batch_size
        == Recipe().optimization.batch_size
    )


def test_unlimited_distance():
    assert (
        parse_recipe({"features": {"max_pair_distance": "unlimited"}}).features.schema_().max_pair_distance
        is None
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"optimisation": {}}, "unknown key 'optimisation'; did you mean 'optimization'"),
        ({"network": {"n_module": 2}}, "unknown key 'network.n_module'; did you mean 'network.n_modules'"),
        ({"network": {"readout": "mean"}}, "network.readout.*'mean'"),
        ({"optimization": {"epochs": 0}}, "optimization.epochs.*got 0"),
        ({"network": {"dropout": 1.5}}, "network.dropout"),
        ({"features": {"max_pair_distance": "far"}}, "features.max_pair_distance"),
        ({"objective": "ranking"}, "objective: .*'ranking'"),
        ({"objectiv": "regression"}, "unknown key 'objectiv'; did you mean 'objective'"),
        ({"molecules": {"hydrogens": "some"}}, "molecules.hydrogens: .*'some'"),
        ({"neutral": {"value": float("inf")}}, "neutral.value"),
        ({"split": {"kind": "given", "column": ""}}, "split.column"),
        ({"data": {"nam": "tox21"}}, "unknown key 'data.nam'; did you mean 'data.name'"),
        ({"evaluation": {"fold": 3}}, "unknown key 'evaluation.fold'; did you mean 'evaluation.folds'"),
        (
            {"optimization": {"inactives_per_epok": 3}},
            r"unknown key 'optimization.inactives_per_epok'; did you mean 'optimization.inactives_per_epoch'",
        ),
        ({"optimization": {"inactives_per_epoch": 0}}, r"optimization.inactives_per_epoch: .*got 0"),
        ({"optimization": {"weight_average": 1.0}}, r"optimization.weight_average: .*got 1.0"),
        ({"optimization": {"positive_weight": 2}}, r"optimization.positive_weight: .*got 2"),
        ({"network": {"size_exponent": 2}}, r"network.size_exponent: .*got 2"),
        ({"evaluation": {"folds": 0}}, r"evaluation.folds: .*got 0"),
        ({"data": {"conflicts": "majorty"}}, r"data.conflicts: .*'keep', 'majority' or 'drop' .*'majorty'"),
        (
            {"objective": "regression", "optimization": {"inactives_per_epoch": 9}},
            "^recipe: optimization.inactives_per_epoch is for classes; a regression has no inactives$",
        ),
        (
            {"data": {"name": "tox21", "file": "table.csv"}},
            "^recipe: data: data.name and data.file exclude each other$",
        ),
    ],
)
def test_errors_name_the_key(data, message):
    with pytest.raises(UsageError, match=message):
        parse_recipe(data)


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(UsageError, match="cannot read the recipe"):
        read_recipe(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("[network\n")
    with pytest.raises(UsageError, match="not valid TOML"):
        read_recipe(tmp_path / "bad.toml")


def test_a_recipe_of_before_objectives_reads_as_before():
    old = read_recipe(find_model("tox21-w2n2-simple") / "recipe.toml")
    assert old.objective == "classification"
    assert old.molecules.hydrogens == "implicit"
    assert old.split.kind == "stratified"


def test_round_trip_of_a_regression(tmp_path):
    data = {
        "objective": "regression",
        "molecules": {"hydrogens": "explicit"},
        "split": {"kind": "given", "column": "fold"},
        "neutral": {"value": 2.5},
    }
    recipe = parse_recipe(data)
    write_recipe(recipe, tmp_path / "r.toml")
    assert read_recipe(tmp_path / "r.toml") == recipe


def test_bundled_recipes_are_found_by_name():
    for name, path in bundled_recipes().items():
        assert find_recipe(name) == path
        assert read_recipe(name) == read_recipe(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tox21-w2n2-simpel", "unknown recipe 'tox21-w2n2-simpel'; did you mean 'tox21-w2n2-simple'"),
        ("folder/recipe", "cannot read the recipe folder/recipe: there is no such file"),
        ("recipe.toml", "cannot read the recipe recipe.toml: there is no such file"),
    ],
)
def test_recipes_that_there_are_not(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        find_recipe(name)


def test_a_file_comes_before_a_bundled_recipe_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tox21-w2n2-simple").write_text("[network]\nn_modules = 3\n")
    assert read_recipe("tox21-w2n2-simple").network.n_modules == 3
