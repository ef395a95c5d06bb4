"""Recipes of benchmark runs: those that come along, and those that are refused."""

import pytest
from support.ground_truth import write_recipe

from molig.benchmark import ground_truth_sets
from molig.benchmark.recipe import (
    AttributionOptions,
    Projection,
    default_benchmark_recipe,
    read_benchmark_recipe,
)
from molig.errors import UnknownNameError, UsageError
from molig.training import Recipe


@pytest.mark.parametrize("name", list(ground_truth_sets()))
def test_every_set_has_a_recipe_that_fits(name):
    recipe = default_benchmark_recipe(name)
    recipe.check_fits(ground_truth_sets()[name])
    assert recipe.training.molecules.standardization == "none"
    assert recipe.training.neutral.copies


def test_no_recipe_for_an_unknown_set():
    with pytest.raises(UnknownNameError, match="did you mean 'logic7'"):
        default_benchmark_recipe("logic8")


def test_what_is_left_out_takes_its_default(tmp_path):
    recipe = read_benchmark_recipe(write_recipe(tmp_path / "r.toml"))
    assert recipe.attribution == AttributionOptions()
    assert recipe.training.network.readout == Recipe().network.readout


def test_members_differ_in_the_seed_of_the_weights_only(tmp_path):
    recipe = read_benchmark_recipe(
        write_recipe(tmp_path / "r.toml", more='[attribution]\nprojection = "own"\nmembers = 3')
    )
    assert recipe.attribution.projection is Projection.OWN
    assert [recipe.member(i).optimization.seed for i in range(3)] == [0, 1, 2]
    assert recipe.member(0) == recipe.training
    assert recipe.member(2).split == recipe.training.split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[attribution]\nprojecton = "own"',
            r"unknown key 'attribution.projecton'; did you mean 'attribution.proj",
        ),
        ("[attribution]\ntol = 0", r"attribution\.tol: .*greater than 0 .got 0."),
        ('[attribution]\ntarget = "odds"', r"attribution\.target: .*'probability', 'logit' or 'value'"),
        ("atribution = 1", "unknown key 'atribution'"),
        ("attribution = 1", "attribution: "),
        ("", r"\[split\] must have kind = \"given\""),
        ('[split]\nkind = "given"\ncolumn = "fold"', r"column = 'fold'"),
        ("a = ", "not valid TOML"),
    ],
)
def test_faulty_recipes_are_refused(tmp_path, text, message):
    path = tmp_path / "faulty.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_benchmark_recipe(path)
    assert "faulty.toml" in str(caught.value)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read the recipe .*absent\.toml"):
        read_benchmark_recipe(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("name", "objective", "more", "message"),
    [
        ("N", "classification", "", 'N is a regression; write objective = "regression"'),
        ("crippen", "regression", "", r"truth of crippen covers hydrogen atoms.*explicit"),
        ("logic7", "classification", '[attribution]\ntarget = "value"', "no value to attribute"),
        ("logic7", "classification", '[attribution]\nbaseline = "zerro"', "unknown baseline 'zerro'"),
        ("logic7", "classification", '[attribution]\naveraged_baselines = ["zero", "C"]', "baseline 'C'"),
    ],
)
def test_recipes_for_something_else_are_refused(tmp_path, name, objective, more, message):
    recipe = read_benchmark_recipe(write_recipe(tmp_path / "r.toml", objective, more=more))
    with pytest.raises(UsageError, match=message):
        recipe.check_fits(ground_truth_sets()[name])
