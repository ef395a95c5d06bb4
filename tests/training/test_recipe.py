"""Recipes: round trip, errors that name the key, and which table a recipe is about."""

from pathlib import Path

import pytest

from molig.datasets import datasets
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import find_model
from molig.training import Recipe, bundled_recipes, parse_recipe, read_recipe, write_recipe
from molig.training.recipe import find_recipe, locate_table, public_data, read_recipe_and_table


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


class TestStart:
    """Paths in a file are seen from its directory; names of bundled models stay names."""

    def test_the_path_in_a_file_is_seen_from_there(self, tmp_path, monkeypatch):
        (tmp_path / "project").mkdir()
        monkeypatch.chdir(tmp_path / "project")
        recipe = parse_recipe({"start": {"model": "earlier", "sha256": "ab" * 32}})
        folder = tmp_path / "project" / "models" / "new"
        folder.mkdir(parents=True)
        write_recipe(recipe.seen_from(folder), folder / "r.toml")
        assert 'model = "../../earlier"' in (folder / "r.toml").read_text()
        monkeypatch.chdir("/")
        start = read_recipe(folder / "r.toml").start
        assert Path(start.model).resolve() == tmp_path / "project" / "earlier"
        assert start.sha256 == "ab" * 32

    def test_absolute_paths_stay(self, tmp_path):
        (tmp_path / "r.toml").write_text(f'[start]\nmodel = "{(tmp_path / "a").as_posix()}"\n')
        assert read_recipe(tmp_path / "r.toml").start.model == str(tmp_path / "a")

    @pytest.mark.parametrize("model", ["", "descriptors"])
    def test_names_stay(self, tmp_path, model):
        recipe = parse_recipe({"start": {"model": model}})
        assert recipe.seen_from(tmp_path) == recipe.read_in(tmp_path) == recipe

    def test_a_digest_looks_like_one(self):
        with pytest.raises(UsageError, match=r"start\.sha256"):
            parse_recipe({"start": {"sha256": "abc"}})


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


def recipe(**data):
    return parse_recipe({"data": data})


@pytest.fixture
def tox21(tmp_path, monkeypatch) -> Path:
    """An empty file where the table of Tox21 would be."""
    monkeypatch.setenv("MOLIG_DATA_DIR", str(tmp_path))
    path = tmp_path / datasets()["tox21"].file
    path.touch()
    return path


@pytest.fixture
def nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("MOLIG_DATA_DIR", raising=False)
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path / "cache"))


def test_a_public_set_names_table_and_targets(tox21):
    found = locate_table(recipe(name="tox21"))
    assert (found.source, found.targets) == (tox21, datasets()["tox21"].targets)
    assert locate_table(recipe(name="tox21", targets=["NR-AR"])).targets == ("NR-AR",)


def test_a_set_that_is_not_there_says_how_to_get_it(nothing):
    with pytest.raises(InputError, match="run `molig data get muv`"):
        locate_table(recipe(name="muv"))


def test_an_unknown_set_suggests_the_nearest():
    for source in (None, Path("table.csv")):
        with pytest.raises(UnknownNameError, match="unknown data set 'tox12'; did you mean 'tox21'"):
            locate_table(recipe(name="tox12"), source=source)


def test_what_is_given_beside_the_recipe_comes_first(nothing):
    named = recipe(name="tox21", targets=["a"], smiles_column="x")
    found = locate_table(named, source=Path("mine.csv"), targets=["b", "c"], smiles_column="y")
    assert (found.source, found.targets, found.smiles_column) == (Path("mine.csv"), ("b", "c"), "y")
    found = locate_table(named, source=Path("mine.csv"))
    assert (found.targets, found.smiles_column) == (("a",), "x")


def test_a_file_is_seen_from_the_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    path = tmp_path / "recipes" / "r.toml"
    path.write_text('[data]\nfile = "../data/table.csv"\ntargets = ["a"]\n')
    _, found = read_recipe_and_table(path)
    assert found.source.resolve() == tmp_path / "data" / "table.csv"
    absolute = recipe(file=str(tmp_path / "t.csv"), targets=["a"])
    assert locate_table(absolute, path).source == tmp_path / "t.csv"
    assert locate_table(recipe(file="t.csv", targets=["a"])).source == Path("t.csv")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "no table: give one with --input"),
        ({"file": "t.csv"}, "no label column: name some with --label"),
    ],
)
def test_what_is_missing_is_said(data, message):
    with pytest.raises(UsageError, match=message):
        locate_table(recipe(**data))


def test_source_and_licence_of_the_public_table_only(tox21):
    known = datasets()["tox21"]
    origin, licence = public_data(recipe(name="tox21"), tox21)
    assert origin.startswith(known.title)
    assert licence == known.licence
    assert public_data(recipe(name="tox21"), tox21.with_name("mine.csv")) == ("", "")
    assert public_data(recipe(), tox21) == ("", "")


def test_another_version_of_the_parent_rule_is_refused():
    with pytest.raises(UsageError, match="standardises by version 2 only; leave the key out"):
        parse_recipe({"molecules": {"standardization_version": 1}})
