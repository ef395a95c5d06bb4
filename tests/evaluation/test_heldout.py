"""A trained model judged again on what it held out."""

import math
import shutil

import pandas as pd
import pytest
from support.screening_tables import labelled_rows, quick_recipe, write_table
from support.small_model import TASKS

from molig.errors import InputError, UsageError
from molig.evaluation import judge_held_out, table_of_model
from molig.model import load_model
from molig.training import TrainingRequest, train_model


@pytest.fixture(scope="module")
def trained(tmp_path_factory, nci_file):
    """A model whose recipe names its table and an unusual column; do not write there."""
    directory = tmp_path_factory.mktemp("held-out")
    rows = [{"structure_text": row.pop("smiles"), **row} for row in labelled_rows()]
    rows += [rows[0] | {"nitrogen": 1 - rows[0]["nitrogen"]}]
    table = write_table(directory / "table.csv", rows)
    data = {"file": str(table), "smiles_column": "structure_text", "conflicts": "drop"}
    recipe = quick_recipe(data=data, split={"test": 0.3})
    train_model(
        TrainingRequest(
            table, directory / "model", TASKS, recipe, smiles_column="structure_text", device="cpu"
        )
    )
    return directory / "model"


def test_the_card_is_reproduced(trained):
    found = judge_held_out(load_model(trained), trained, table_of_model(trained))
    assert (found.part, found.same_table, found.largest_difference) == ("test", True, 0.0)
    assert found.metrics == found.stated
    assert set(found.metrics) == set(TASKS)
    parts = pd.read_csv(trained / "split.csv")["part"]
    carbonyl = found.metrics["carbonyl"]
    assert carbonyl.n_actives + carbonyl.n_inactives == (parts == "test").sum()


def test_half_precision_changes_little(tmp_path, nci_file):
    table = write_table(tmp_path / "table.csv", labelled_rows())
    recipe = quick_recipe(weights_dtype="float16", split={"test": 0.3})
    train_model(TrainingRequest(table, tmp_path / "model", TASKS, recipe, device="cpu"))
    found = judge_held_out(load_model(tmp_path / "model"), tmp_path / "model", table)
    assert found.largest_difference < 0.005


def test_without_a_test_part_validation_is_judged(tmp_path, nci_file):
    table = write_table(tmp_path / "table.csv", labelled_rows())
    recipe = quick_recipe(split={"test": 0.0, "validation": 0.3})
    train_model(TrainingRequest(table, tmp_path / "model", TASKS, recipe, device="cpu"))
    found = judge_held_out(load_model(tmp_path / "model"), tmp_path / "model", table)
    assert (found.part, found.largest_difference) == ("validation", 0.0)


def test_another_table_is_noticed(trained, tmp_path):
    rows = pd.read_csv(table_of_model(trained))
    rows.assign(note="x").to_csv(tmp_path / "other.csv", index=False)
    found = judge_held_out(load_model(trained), trained, tmp_path / "other.csv")
    assert not found.same_table
    assert found.largest_difference == 0


def test_a_table_without_the_rows_that_were_held_out(trained, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(trained, path)
    parts = pd.read_csv(path / "split.csv")
    parts.assign(row=parts["row"] + 1000).to_csv(path / "split.csv", index=False)
    with pytest.raises(InputError, match=r"table\.csv has none of the rows"):
        judge_held_out(load_model(path), path, table_of_model(trained))


def test_a_model_that_does_not_tell_its_split(small_model, trained, tmp_path):
    for content in (None, "row\n1\n", "row,part\none,test\n"):
        path = tmp_path / "split.csv"
        if content:
            path.write_text(content)
        with pytest.raises(UsageError, match=r"split\.csv does not say which rows"):
            judge_held_out(small_model, tmp_path, table_of_model(trained))


def test_a_regression_is_no_ranking(small_regression, small_regression_dir, tmp_path):
    with pytest.raises(UsageError, match="is a regression"):
        judge_held_out(small_regression, small_regression_dir, tmp_path / "table.csv")


class TestTables:
    def test_a_recipe_that_names_none(self, small_model_dir):
        with pytest.raises(UsageError, match="give one with --input"):
            table_of_model(small_model_dir)

    def test_a_file_that_is_not_there(self, trained, tmp_path):
        """A relative one is seen from the model's directory, where it need not be."""
        recipe = (trained / "recipe.toml").read_text()
        for name in ("model.json", "weights.safetensors"):
            (tmp_path / name).write_bytes((trained / name).read_bytes())
        line = next(line for line in recipe.splitlines() if line.startswith("file = "))
        (tmp_path / "recipe.toml").write_text(recipe.replace(line, 'file = "table.csv"'))
        with pytest.raises(UsageError, match=r"table\.csv, the table .* is not there; say with --input"):
            table_of_model(tmp_path)
        (tmp_path / "table.csv").touch()
        assert table_of_model(tmp_path) == tmp_path / "table.csv"


def test_a_difference_from_nothing_is_not_a_number(trained):
    found = judge_held_out(load_model(trained), trained, table_of_model(trained))
    assert math.isnan(type(found)("test", found.metrics, {}, True).largest_difference)
