"""Recipes: round trip, and errors that name the key."""

import pytest

from molig.errors import UsageError
from molig.training import Recipe, parse_recipe, read_recipe, write_recipe


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
