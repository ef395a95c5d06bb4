"""Evaluations of values, and of rows that a column marks, end to end on a small table."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import root_mean_squared_error
from support.screening_tables import labelled_rows, quick_recipe, write_table
from support.small_model import TASKS, VALUES, nci_smiles, value

from molig.errors import InputError, UnknownNameError, UsageError
from molig.evaluation import EvaluationRun, evaluate, plan_evaluation, write_evaluation
from molig.evaluation.card import attach_to_model, check_card
from molig.evaluation.report import evaluation_json, evaluation_markdown
from molig.files import write_whole
from molig.model import Objective, load_model
from molig.training import LabelledTable, TrainingRequest, train_model

METHODS = ["nearest-neighbours", "ridge-regression"]


def recipe(**evaluation):
    return quick_recipe(
        objective="regression", evaluation={"folds": 2, "baselines": METHODS, **evaluation}, split={"seed": 1}
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    smiles = nci_smiles(60)
    rows = [
        {"smiles": text, **value(text), "ring": ("yes", "no", "")[i % 3]} for i, text in enumerate(smiles)
    ]
    rows[3]["mass"] = ""
    return LabelledTable(write_table(tmp_path_factory.mktemp("data") / "values.csv", rows), VALUES)


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    plan = plan_evaluation(recipe(subset_column="ring"), table)
    output = tmp_path_factory.mktemp("whole")
    return evaluate(plan, EvaluationRun(output, n_resamples=20))


def test_values_of_every_method(whole):
    assert list(whole.scores) == ["molig", *METHODS]
    for name, folds in whole.scores.items():
        assert sorted(np.concatenate([fold.rows for fold in folds])) == list(range(1, 61))
        mean = whole.figures[name].tasks["mass"].mean
        errors = []
        for fold in folds:
            assert fold.probabilities is None
            assert fold.baseline is None
            known = ~np.isnan(fold.labels[:, 1])
            errors.append(root_mean_squared_error(fold.labels[known, 1], fold.scores[known, 1]))
        assert mean.rmse == pytest.approx(np.mean(errors))
        assert mean.n == 59
    assert {c.figure for c in whole.comparisons} == {"rmse", "r2", "spearman"}


def test_marked_rows_by_themselves(whole):
    rows = np.arange(1, 61)[::3]
    np.testing.assert_array_equal(whole.plan.subset.rows, rows)
    for name, folds in whole.scores.items():
        errors = []
        for fold in folds:
            marked = np.isin(fold.rows, rows) & ~np.isnan(fold.labels[:, 0])
            errors.append(root_mean_squared_error(fold.labels[marked, 0], fold.scores[marked, 0]))
        mean = whole.subset.figures[name].tasks["nitrogens"].mean
        assert mean.rmse == pytest.approx(np.mean(errors))
        assert mean.n == len(rows)


def test_json_and_markdown(whole, tmp_path):
    found = json.loads(evaluation_json(whole, "values"))
    method = found["methods"]["molig"]
    assert set(method["medians"]) == {"rmse", "r2", "spearman"}
    assert method["reliability"] is None
    assert method["tasks"]["mass"]["n_measured"] == 59
    assert found["subset"]["column"] == "ring"
    assert found["subset"]["methods"]["molig"]["tasks"]["mass"]["n_measured"] == 19
    text = evaluation_markdown(whole, "values")
    lines = text.splitlines()
    assert any(line.startswith("| Ridge regression | RMSE | ") for line in lines)
    assert "## Where `ring` is true" in lines
    assert "20 test molecules." in lines
    assert "| task | measured | molig: RMSE | molig: Spearman |" in text
    assert "nan" not in text
    paths = write_evaluation(whole, tmp_path, title="values")
    assert [path.name for path in paths] == ["evaluation.json", "evaluation.md"]


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    """A model by the recipe of the evaluation, from the same table."""
    directory = tmp_path_factory.mktemp("trained") / "model"
    train_model(TrainingRequest(table.source, directory, VALUES, recipe(), device="cpu"))
    return directory


class TestCard:
    def test_it_states_the_figures_of_values(self, table, trained, tmp_path):
        folder = shutil.copytree(trained, tmp_path / "model")
        found = evaluate(plan_evaluation(recipe(), table), EvaluationRun(tmp_path / "out", n_resamples=20))
        stated = attach_to_model(found, folder, source="evaluation.json").info.cross_validation
        assert (stated.folds, stated.same_weights) == (2, False)
        for task in VALUES:
            mean = found.figures["molig"].tasks[task].mean
            expected = {name: getattr(mean, name) for name in ("rmse", "r2", "spearman")}
            assert stated.tasks[task] == pytest.approx(expected, rel=1e-5)
        card = (folder / "CARD.md").read_text()
        about = card[card.index("## Cross-validation") :]
        assert "| task | R2 | RMSE | Spearman |" in about
        assert f"| mass | {stated.tasks['mass']['r2']:.3f} | {stated.tasks['mass']['rmse']:.4g} | " in about
        assert list(stated.baselines) == ["Nearest neighbours", "Ridge regression"]
        for method, comparison in stated.baselines.items():
            assert list(comparison.tests) == ["rmse", "r2", "spearman"]
            for figure, sign in (("rmse", -1), ("r2", 1), ("spearman", 1)):
                pairs = [
                    [getattr(found.figures[name].tasks[task].mean, figure) for task in VALUES]
                    for name in ("molig", method.lower().replace(" ", "-"))
                ]
                won = int((sign * np.subtract(*pairs) > 0).sum())
                test = comparison.tests[figure]
                assert (test.wins, test.losses) == (won, len(VALUES) - won)
            r2 = comparison.tests["r2"]
            assert f"| {method} | {comparison.median_r2:.3f} | {r2.wins} : {r2.losses} (p " in about
        assert load_model(folder).info.cross_validation == stated

    def test_one_fold_that_is_the_split_of_the_model(self, table, trained, tmp_path):
        folder = shutil.copytree(trained, tmp_path / "model")
        plan = plan_evaluation(recipe(folds=1), table)
        found = evaluate(plan, EvaluationRun(tmp_path / "out", n_resamples=20))
        assert attach_to_model(found, folder).info.cross_validation.same_weights
        assert "scored by these weights" in (folder / "CARD.md").read_text()
        info = load_model(folder).info
        moved = info.metrics["test"]["mass"].model_copy(update={"r2": info.metrics["test"]["mass"].r2 + 1e-4})
        metrics = {"test": info.metrics["test"] | {"mass": moved}}
        write_whole(folder / "model.json", info.model_copy(update={"metrics": metrics}).model_dump_json())
        assert not attach_to_model(found, folder).info.cross_validation.same_weights

    def test_a_model_of_classes_is_refused(self, whole, trained, tmp_path):
        classes = whole.plan.recipe.model_copy(update={"objective": Objective.CLASSIFICATION})
        with pytest.raises(UsageError, match="'model' is a regression, the evaluation that of a classificat"):
            check_card(replace(whole.plan, recipe=classes), trained)

    def test_a_regression_of_another_recipe_is_refused(self, whole, trained):
        molecules = whole.plan.recipe.molecules.model_copy(update={"max_heavy_atoms": 9})
        other = whole.plan.recipe.model_copy(update={"molecules": molecules})
        with pytest.raises(UsageError, match=r"molecules\.max_heavy_atoms is 200 in .*, 9 in the evaluation"):
            attach_to_model(replace(whole, plan=replace(whole.plan, recipe=other)), trained)


def test_marked_rows_of_classes(tmp_path):
    rows = [row | {"marked": i % 2} for i, row in enumerate(labelled_rows())]
    plan = plan_evaluation(
        quick_recipe(evaluation={"subset_column": "marked"}),
        LabelledTable(write_table(tmp_path / "t.csv", rows), TASKS),
    )
    found = evaluate(plan, EvaluationRun(tmp_path / "out", n_resamples=20), network=False)
    mean = found.subset.figures["nearest-active"].tasks["nitrogen"].mean
    assert mean.n_actives == sum(row["nitrogen"] for row in rows if row["marked"])
    assert "## Where `marked` is true" in evaluation_markdown(found, "classes")
    assert evaluate(plan, EvaluationRun(tmp_path / "out", resume=True), network=False).subset


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("perhaps", r"row 3: column 'marked' .* says 'perhaps'; it must say"),
        ("0", "no usable row has a true"),
    ],
)
def test_columns_that_mark_nothing_are_refused(tmp_path, cell, message):
    rows = [row | {"marked": cell if i == 2 else 0} for i, row in enumerate(labelled_rows(20))]
    table = LabelledTable(write_table(tmp_path / "t.csv", rows), TASKS)
    with pytest.raises(InputError, match=message):
        plan_evaluation(quick_recipe(evaluation={"subset_column": "marked"}), table)


def test_a_column_that_is_not_there(table):
    with pytest.raises(UnknownNameError, match="unknown column 'cliff'"):
        plan_evaluation(recipe(subset_column="cliff"), table)


def test_a_task_without_values_to_test(tmp_path):
    parts = ("train", "train", "validation", "test")
    rows = [{"smiles": s, **value(s), "split": parts[i % 4]} for i, s in enumerate(nci_smiles(40))]
    for row in rows:
        if row["split"] == "test":
            row["mass"] = ""
    plan = plan_evaluation(
        quick_recipe(objective="regression", split={"kind": "given"}, evaluation={"folds": 1}),
        LabelledTable(write_table(tmp_path / "t.csv", rows), VALUES),
    )
    assert plan.problems() == ["fold 1: task mass has 0 values in the test part"]


def test_the_subset_does_not_change_the_fingerprint(table):
    assert (
        plan_evaluation(recipe(), table).fingerprint
        == plan_evaluation(recipe(subset_column="ring"), table).fingerprint
    )
