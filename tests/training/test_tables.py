"""Which table a recipe is about."""

from pathlib import Path

import pytest

from molig.datasets import datasets
from molig.errors import InputError, UnknownNameError, UsageError
from molig.training import parse_recipe
from molig.training.recipe import locate_table, public_data, read_recipe_and_table


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
        ({"file": "t.csv"}, "no label column: name some with --target"),
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
