"""The results of an evaluation on a model's card."""

import json
import shutil
from dataclasses import replace

import pytest
from support.screening_tables import labelled_rows, quick_recipe, write_table
from support.small_model import TASKS

from molig.datasets import datasets
from molig.errors import UsageError
from molig.evaluation import EvaluationRun, evaluate, plan_evaluation
from molig.evaluation.card import attach_to_model, summary_for_card
from molig.model import load_model
from molig.training import LabelledTable, TrainingRequest, parse_recipe, train_model, write_recipe


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, nci_file):
    """Two folds with one baseline, and the table they come from."""
    directory = tmp_path_factory.mktemp("attach")
    table = write_table(directory / "table.csv", labelled_rows())
    recipe = quick_recipe(evaluation={"folds": 2, "baselines": ["nearest-active"]})
    plan = plan_evaluation(recipe, LabelledTable(table, TASKS))
    return evaluate(plan, EvaluationRun(directory / "out", n_resamples=50)), table, recipe


@pytest.fixture(scope="module")
def trained(evaluation, tmp_path_factory):
    """A model by the recipe of the evaluation, from the same table."""
    _, table, recipe = evaluation
    directory = tmp_path_factory.mktemp("trained") / "model"
    train_model(TrainingRequest(table, directory, TASKS, recipe, device="cpu"))
    return directory


@pytest.fixture
def model(trained, tmp_path):
    """A copy of that model, to write to."""
    return shutil.copytree(trained, tmp_path / "model")


def changed(found, **sections):
    """The evaluation as if its recipe had other values."""
    plain = found.plan.recipe.model_dump(mode="json", exclude_none=True)
    for name, values in sections.items():
        plain[name] = (plain[name] | values) if isinstance(values, dict) else values
    return replace(found, plan=replace(found.plan, recipe=parse_recipe(plain)))


def test_model_and_card_state_the_results(evaluation, model):
    found, _, _ = evaluation
    weights = (model / "weights.safetensors").read_bytes()
    attach_to_model(found, model, source="results.json")
    info = load_model(model).info
    stated = info.cross_validation
    assert stated.folds == 2
    assert not stated.same_weights
    for task in TASKS:
        assert stated.tasks[task]["roc_auc"] == pytest.approx(
            found.figures["molig"].tasks[task].mean.roc_auc, abs=1e-6
        )
    assert set(stated.baselines) == {"Nearest active"}
    assert "results.json" in (model / "CARD.md").read_text()
    assert (model / "weights.safetensors").read_bytes() == weights
    assert info.training.keep == "best"  # as the recipe has it


def test_all_sign_tests_are_stated(evaluation):
    found, _, _ = evaluation
    (stated,) = summary_for_card(found).baselines.values()
    assert list(stated.figures) == ["roc_auc", "pr_auc", "bedroc", "ef_1"]
    for comparison in found.comparisons:
        test, written = comparison.test, stated.figures[comparison.figure]
        assert (written.wins, written.losses, written.ties) == (test.wins, test.losses, test.ties)
        assert written.p_value == test.p_value
    assert (stated.wins, stated.losses) == (stated.figures["roc_auc"].wins, stated.figures["roc_auc"].losses)


@pytest.fixture(scope="module")
def one_fold(evaluation, tmp_path_factory):
    """The same recipe judged on its own split."""
    _, table, recipe = evaluation
    once = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"folds": 1})})
    run = EvaluationRun(tmp_path_factory.mktemp("once"), n_resamples=20)
    return evaluate(plan_evaluation(once, LabelledTable(table, TASKS)), run)


class TestSameWeights:
    def test_one_fold_that_is_the_split_of_the_model(self, one_fold, model):
        saved = attach_to_model(one_fold, model)
        assert saved.info.cross_validation.same_weights
        assert "scored by these weights" in (model / "CARD.md").read_text()

    def test_another_figure_is_of_other_weights(self, one_fold, model):
        info = json.loads((model / "model.json").read_text())
        info["metrics"]["test"][TASKS[0]]["roc_auc"] -= 1e-5
        (model / "model.json").write_text(json.dumps(info))
        saved = attach_to_model(one_fold, model)
        assert not saved.info.cross_validation.same_weights
        assert "not of these weights" in (model / "CARD.md").read_text()


class TestRecipe:
    @pytest.mark.parametrize(
        ("sections", "text"),
        [
            ({"optimization": {"epochs": 3}}, r"optimization\.epochs is 2 in .*recipe\.toml, 3 in the eval"),
            ({"network": {"hidden": [9]}}, r"network\.hidden is \[8\] in .*, \[9\] in the evaluation"),
            ({"split": {"test": 0.2}}, r"split\.test is 0\.1"),
            (
                {"optimization": {"inactives_per_epoch": 9}},
                r"optimization\.inactives_per_epoch is not set in .*, 9 in",
            ),
            ({"start": {"model": "descriptors"}}, r"start\.sha256 is '' in .*, '[0-9a-f]{64}' in the eval"),
            ({"auxiliary": [{"name": "tox21"}]}, r"auxiliary\.tox21\.targets is not set in .*, \[\] in"),
        ],
    )
    def test_another_recipe_is_refused(self, evaluation, model, sections, text):
        with pytest.raises(UsageError, match=f"another recipe than the evaluation: {text}"):
            attach_to_model(changed(evaluation[0], **sections), model)
        assert json.loads((model / "model.json").read_text())["cross_validation"] is None

    def test_folds_and_the_place_of_the_table_may_differ(self, evaluation, model):
        sections = {
            "evaluation": {"folds": 3, "seed": 5},
            "split": {"kind": "scaffold", "seed": 5, "column": "part"},
            "data": {"file": "elsewhere.csv", "smiles_column": "smiles"},
        }
        assert attach_to_model(changed(evaluation[0], **sections), model).info.cross_validation.seed == 5

    def test_the_weights_to_start_from_count_and_not_their_place(self, evaluation, model):
        digest = load_model("descriptors").info.weights_sha256
        stored = changed(evaluation[0], start={"model": "gone", "sha256": digest})
        write_recipe(stored.plan.recipe, model / "recipe.toml")
        found = changed(evaluation[0], start={"model": "descriptors"})
        assert attach_to_model(found, model).info.cross_validation.folds == 2

    def test_a_model_without_its_recipe_is_believed(self, evaluation, model):
        other = changed(evaluation[0], optimization={"epochs": 3})
        (model / "recipe.toml").unlink()
        assert attach_to_model(other, model).info.cross_validation.folds == 2

    def test_what_the_model_learned_along_counts(self, evaluation, model):
        write_recipe(changed(evaluation[0], auxiliary=[{"name": "tox21"}]).plan.recipe, model / "recipe.toml")
        with pytest.raises(UsageError, match=r"auxiliary\.tox21\.targets is \[\] in .*, not set in the eval"):
            attach_to_model(evaluation[0], model)


def test_a_model_of_other_data_is_refused(evaluation, tmp_path):
    found, _, recipe = evaluation
    table = write_table(tmp_path / "other.csv", labelled_rows()[::-1])
    train_model(TrainingRequest(table, tmp_path / "model", TASKS, recipe, device="cpu"))
    with pytest.raises(UsageError, match="another table"):
        attach_to_model(found, tmp_path / "model")
    info = json.loads((tmp_path / "model" / "model.json").read_text())
    assert info["cross_validation"] is None


def test_a_public_table_may_be_another_file(evaluation, model):
    known = datasets()["tox21"]
    info = json.loads((model / "model.json").read_text())
    info["training"] |= {"data_file": known.file, "n_rows": known.rows}
    (model / "model.json").write_text(json.dumps(info))
    found, _, _ = evaluation
    for name in ("", "hiv"):
        with pytest.raises(UsageError, match="another table"):
            attach_to_model(replace(found, plan=replace(found.plan, digest="0", public=name)), model)
    public = replace(found, plan=replace(found.plan, digest="0", public="tox21"))
    assert attach_to_model(public, model).info.cross_validation.folds == 2
