"""A trained model judged again, and what is said about its card."""

import json
import math
import shutil

import pandas as pd
import pytest
from support.screening_tables import labelled_rows, quick_recipe, write_table
from support.small_model import TASKS, VALUES, nci_smiles, value

from molig.errors import InputError, UsageError
from molig.evaluation.held_out import (
    MEDIAN,
    FigureDifference,
    HeldOut,
    figure_differences,
    judge_held_out,
    table_of_model,
    write_reproduction,
)
from molig.model import BaselineScore, BaselineValue, RegressionMetrics, load_model
from molig.stats import RankingQuality
from molig.training import TrainingRequest, train_model

# A trained model judged again on what it held out.


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


@pytest.fixture(scope="module")
def of_values(tmp_path_factory, nci_file):
    directory = tmp_path_factory.mktemp("values")
    table = write_table(directory / "values.csv", [{"smiles": s, **value(s)} for s in nci_smiles(60)])
    recipe = quick_recipe(objective="regression", split={"test": 0.3})
    train_model(TrainingRequest(table, directory / "model", VALUES, recipe, device="cpu"))
    return directory / "model"


class TestRegression:
    def test_the_card_is_reproduced(self, of_values):
        table = of_values.parent / "values.csv"
        found = judge_held_out(load_model(of_values), of_values, table)
        assert (found.part, found.same_table, found.largest_difference) == ("test", True, 0.0)
        assert found.metrics == found.stated
        assert found.baseline == found.stated_baseline
        figures = ["r2", "rmse", "spearman", "n"]
        zero = [f"baseline_value_{name}" for name in ("median", "farthest", "share_neutral")]
        assert [p.figure for p in found.differences if p.task == VALUES[0]] == [*figures, *zero]
        assert [p.figure for p in found.differences if p.task == MEDIAN] == ["r2", "spearman"]

    @pytest.mark.parametrize(
        ("figure", "factor", "same"), [("rmse", 1.004, True), ("rmse", 1.006, False), ("r2", 1.02, False)]
    )
    def test_an_error_differs_by_a_share_of_itself(self, figure, factor, same):
        """Whatever the unit of the labels is."""
        for unit in (1e-6, 1.0, 1e6):
            then = RegressionMetrics(r2=0.8, rmse=0.5 * unit, spearman=0.9, n=50)
            now = then.model_copy(update={figure: getattr(then, figure) * factor})
            assert HeldOut("test", {"a": now}, {"a": then}, same_table=True).is_reproduced == same

    def test_values_at_the_baseline_differ_by_a_share_of_the_standard_deviation(self):
        zero = BaselineValue(median=1e-6, farthest=3e-6, share_neutral=1.0, neutral=0.0, tolerance=1e-6)
        for change, same in ((0.04e-6, True), (0.06e-6, False)):
            now = zero.model_copy(update={"median": zero.median + change})
            (median, *_) = figure_differences({}, {}, {"a": zero}, {"a": now})
            assert (median.figure, median.is_reproduced) == ("baseline_value_median", same)

    def test_an_error_of_zero_stays_zero(self):
        exact = RegressionMetrics(r2=1.0, rmse=0.0, spearman=1.0, n=5)
        assert HeldOut("test", {"a": exact}, {"a": exact}, same_table=True).is_reproduced
        now = {"a": exact.model_copy(update={"rmse": 1e-9})}
        assert not HeldOut("test", now, {"a": exact}, same_table=True).is_reproduced

    def test_files(self, of_values, tmp_path):
        found = judge_held_out(load_model(of_values), of_values, of_values.parent / "values.csv")
        _, report = write_reproduction(found, tmp_path, model="m", table="values.csv")
        text = report.read_text()
        assert "Allowed: 0.005 of R2 and rank correlation, 0.5 % of the stated RMSE, and at the zero" in text
        rmse = found.stated["mass"].rmse
        assert f"| mass | RMSE | {rmse:.5g} | {rmse:.5g} | +0 |  |" in text
        assert "| mass | zero baseline, farthest from neutral | " in text


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


# Figures of a card beside those of now: what counts as the same.


def metrics(**figures):
    return RankingQuality(**({"roc_auc": 0.8, "pr_auc": 0.5, "n_actives": 10, "n_inactives": 90} | figures))


@pytest.mark.parametrize(
    ("stated", "now", "same"),
    [
        (0.8, 0.8049, True),
        (0.8, 0.806, False),
        (0.8, 0.794, False),
        (0.0, 0.006, False),
        (20.0, 20.09, True),
        (20.0, 19.8, False),
        (1000, 1004, True),
        (10, 11, False),
        (0.8, math.nan, False),
    ],
)
def test_tolerance(stated, now, same):
    pair = FigureDifference("a", "ef_1", stated, now)
    assert pair.is_reproduced == same
    assert pair.relative == math.inf or pair.relative == pytest.approx(abs(now - stated) / max(1, stated))


def test_what_is_stated_is_compared():
    then = {"a": metrics(ef_1=20.0, brier=0.1), "b": metrics(roc_auc=None)}
    now = {"a": metrics(ef_1=18.0, brier=0.1, bedroc=0.3), "b": metrics(roc_auc=0.7)}
    zero = {"a": BaselineScore(median=0.01, max=0.02, share_neutral=1.0)}
    found = {(p.task, p.figure): p for p in figure_differences(then, now, zero, zero)}
    figures = ["roc_auc", "pr_auc", "ef_1", "brier", "n_actives", "n_inactives"]
    zeros = ["baseline_median", "baseline_max", "baseline_share_neutral"]
    medians = ["roc_auc", "pr_auc", "ef_1", "brier"]
    assert [figure for task, figure in found if task == "a"] == [*figures, *zeros]
    assert [figure for task, figure in found if task == "b"] == ["pr_auc", "n_actives", "n_inactives"]
    assert [figure for task, figure in found if task == MEDIAN] == medians
    assert {key for key, pair in found.items() if not pair.is_reproduced} == {("a", "ef_1"), (MEDIAN, "ef_1")}


def test_a_figure_that_can_no_longer_be_told_differs():
    found = HeldOut("test", {"a": metrics(roc_auc=None)}, {"a": metrics()}, same_table=False)
    assert [(pair.figure, pair.relative) for pair in found.not_reproduced] == [("roc_auc", math.inf)]
    assert not found.is_reproduced
    assert found.largest_difference == math.inf
    assert HeldOut("test", {}, {"a": metrics()}, same_table=True).not_reproduced


def test_the_farthest_comes_first():
    then, now = metrics(ef_1=20.0), metrics(ef_1=19.0, roc_auc=0.7)
    found = HeldOut("test", {"a": now}, {"a": then}, same_table=True)
    assert [pair.figure for pair in found.not_reproduced] == ["roc_auc", "ef_1"]
    assert found.largest_difference == pytest.approx(0.1)


def test_files_of_another_table_and_of_no_card(tmp_path):
    then, now = {"a": metrics()}, {"a": metrics(roc_auc=None, pr_auc=0.7)}
    found = HeldOut("test", now, then, same_table=False)
    paths = write_reproduction(found, tmp_path, model="m", table="t.csv", command="molig evaluate -m m")
    assert [path.name for path in paths] == ["reproduction.json", "reproduction.md"]
    written = json.loads(paths[0].read_text())
    assert written["reproduced"] is False
    assert [(one["now"], one["difference"]) for one in written["figures"][:2]] == [(None, None), (0.7, 0.2)]
    text = paths[1].read_text()
    assert "`t.csv`, which is not the table that the model was trained with. 2 of 4 figures are not" in text
    assert "| a | ROC-AUC | 0.80000 | n/a | n/a | differs |" in text
    assert "| a | actives | 10 | 10 | +0.00000 |  |" in text
    assert "Made by `molig evaluate -m m`; molig " in text
    write_reproduction(HeldOut("test", now, {}, True), tmp_path, model="m", table="t.csv")
    assert json.loads(paths[0].read_text())["reproduced"] is None
    assert "The card states no figures of this part." in paths[1].read_text()
