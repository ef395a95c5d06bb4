"""Predicting with a real, small model."""

import numpy as np
import pytest
import torch
from support.small_model import label, nci_smiles

from molig.errors import UnknownNameError, UsageError
from molig.model import Objective
from molig.model.device import resolve_device
from molig.molecules import smiles_records
from molig.training.metrics import task_metrics


def test_one_row_per_smiles_with_nan_for_the_rejected(small_model):
    found = small_model.predict_proba(["CCO", "C1CC", "", None, "CCN"])
    assert found.shape == (5, 2)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True, False]
    assert [(r.row, r.reason.split(":")[0]) for r in small_model.rejections_] == [
        (2, "not parsable"),
        (3, "empty SMILES"),
        (4, "empty SMILES"),
    ]


def test_reasons_are_those_of_the_last_call(small_model):
    small_model.predict_proba(["C1CC"])
    small_model.predict_proba(["CCO"])
    assert small_model.rejections_ == []


def test_a_single_string_and_no_string(small_model):
    assert small_model.predict_proba("CCO").shape == (1, 2)
    assert small_model.predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_batch_size_does_not_matter(small_model, batch_size):
    smiles = ["CCO", "c1ccccc1", "bad", "CC(=O)N", "C", "CCCCCCCC", "N"]
    np.testing.assert_allclose(
        small_model.predict_proba(smiles, batch_size=batch_size), small_model.predict_proba(smiles), atol=1e-6
    )


def test_frame_has_the_tasks_as_columns(small_model):
    assert list(small_model.predict(["CCO"]).to_frame().columns) == list(small_model.tasks)


def test_it_has_learnt_its_rule(small_model):
    unseen = nci_smiles(800, start=300)
    scores = small_model.predict_proba(unseen)
    for column, task in enumerate(small_model.tasks):
        labels = np.array([label(smiles)[task] for smiles in unseen], dtype=float)
        assert task_metrics(labels, scores[:, column]).roc_auc > 0.75


def test_baseline_is_what_zero_features_score(small_model):
    graphs = small_model.featurize([small_model.parser.parse_smiles("CCO").mol])
    at_zero = small_model.logits(graphs, np.zeros(1, dtype=np.float32))
    assert at_zero.max() < small_model.logits(graphs).max()


def test_unknown_task(small_model):
    with pytest.raises(UnknownNameError, match="did you mean 'carbonyl'"):
        small_model.task_index("carbonyls")


def test_devices():
    assert resolve_device("auto").type in ("cpu", "cuda")
    assert resolve_device(torch.device("cpu")).type == "cpu"
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        resolve_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA GPU"):
            resolve_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
def test_gpu_agrees_with_cpu(small_model):
    smiles = ["CCO", "c1ccccc1O", "CC(=O)N"]
    on_gpu = type(small_model)(small_model.info, small_model.network, "cuda").predict_proba(smiles)
    np.testing.assert_allclose(on_gpu, small_model.to("cpu").predict_proba(smiles), atol=1e-5)


class TestRegression:
    def test_predict_gives_values_in_the_unit_of_the_labels(self, small_regression):
        found = small_regression.predict(["CCO", "bad(", "CCCCCCCCCCCCCCCC"])
        assert found.objective is small_regression.objective is Objective.REGRESSION
        assert np.isnan(found.scores[1]).all()
        assert found.scores[2, small_regression.task_index("mass")] > 50  # Da
        assert list(found.to_frame().columns) == list(small_regression.tasks)
        molecules, _ = small_regression.parser.parse_many(smiles_records(["CCO"]))
        graphs = small_regression.featurize([molecules[0].mol])
        np.testing.assert_allclose(small_regression.logits(graphs), found.scores[:1], rtol=1e-5)

    def test_it_has_no_probabilities(self, small_regression):
        with pytest.raises(UsageError, match=r"'values' is a regression: .* use predict\(smiles\)\.scores"):
            small_regression.predict_proba(["CCO"])
        with pytest.raises(UsageError, match="use scores"):
            _ = small_regression.predict(["CCO"]).proba

    def test_a_classification_keeps_its_probabilities(self, small_model):
        found = small_model.predict(["CCO"])
        assert small_model.objective is Objective.CLASSIFICATION
        np.testing.assert_array_equal(found.proba, found.scores)
        np.testing.assert_array_equal(found.proba, small_model.predict_proba(["CCO"]))


def test_predictions_say_what_was_scored(small_model):
    given = ["[Na+].CC(=O)[O-]", "OCC", "nonsense", "[2H]OC"]
    assert small_model.predict(given, batch_size=2).scored_smiles == ["CC(=O)O", "OCC", None, "CO"]
