"""The results of an evaluation on a model's card."""

import json

import pytest
from support.screening_tables import labelled_rows, quick_recipe, write_table
from support.small_model import TASKS

from molig.errors import UsageError
from molig.model import load_model
from molig.training import LabelledTable, TrainingRequest, train_model
from molig.validation import EvaluationRun, attach_to_model, evaluate, plan_evaluation


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, nci_file):
    """Two folds with one baseline, and the table they come from."""
    directory = tmp_path_factory.mktemp("attach")
    table = write_table(directory / "table.csv", labelled_rows())
    recipe = quick_recipe(evaluation={"folds": 2, "baselines": ["nearest-active"]})
    plan = plan_evaluation(recipe, LabelledTable(table, TASKS))
    return evaluate(plan, EvaluationRun(directory / "out", n_resamples=50)), table, recipe


def test_model_and_card_state_the_results(evaluation, tmp_path):
    found, table, recipe = evaluation
    train_model(TrainingRequest(table, tmp_path / "model", TASKS, recipe, device="cpu"))
    weights = (tmp_path / "model" / "weights.safetensors").read_bytes()
    attach_to_model(found, tmp_path / "model", source="results.json")
    stated = load_model(tmp_path / "model").info.cross_validation
    assert stated.folds == 2
    for task in TASKS:
        assert stated.tasks[task]["roc_auc"] == pytest.approx(
            found.figures["molig"].tasks[task].means["roc_auc"], abs=1e-6
        )
    assert set(stated.baselines) == {"Nearest active"}
    assert "results.json" in (tmp_path / "model" / "CARD.md").read_text()
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == weights


def test_a_model_of_other_data_is_refused(evaluation, tmp_path):
    found, _, recipe = evaluation
    table = write_table(tmp_path / "other.csv", labelled_rows()[::-1])
    train_model(TrainingRequest(table, tmp_path / "model", TASKS, recipe, device="cpu"))
    with pytest.raises(UsageError, match="another table"):
        attach_to_model(found, tmp_path / "model")
    info = json.loads((tmp_path / "model" / "model.json").read_text())
    assert info["cross_validation"] is None
