from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from scipy.stats import spearmanr
from support.planted import audited
from support.small_model import nci_smiles

from audit.planted.size_shortcut import sum_channel
from molig.audit import Severity, audit, subject_of
from molig.audit.checks.size_shortcut import (
    predict_classes,
    predict_values,
    resampled,
    share_of_quality,
    size_table,
)
from molig.model import ScreeningModel
from molig.stats.intervals import rank_correlation

NAME = "size-shortcut"


def test_a_model_that_counts_atoms_is_found(small_model: ScreeningModel) -> None:
    model = sum_channel(1.0, "carbonyl")(small_model)
    found = audit(audited(model, labels=None, tasks=("carbonyl",), max_explained=30), only=[NAME])
    (finding,) = found.findings
    assert finding.severity is Severity.ERROR
    assert "heavy atoms" in finding.summary
    assert len(finding.evidence.molecules) == 6
    numbers = finding.evidence.numbers["carbonyl"]
    assert abs(numbers["score_rank_correlation"]["heavy atoms"]) > 0.95
    assert "model_roc_auc" not in numbers


def test_a_task_that_is_a_count_is_told_with_its_labels(small_model: ScreeningModel) -> None:
    result = audit(audited(small_model, tasks=("nitrogen",), max_explained=30), only=[NAME]).results[0]
    measured = result.outcome.measured["nitrogen"]
    assert measured["counts_roc_auc"] > 0.97
    assert measured["share"]["value"] > 0.9
    (reached,) = [finding for finding in result.outcome.findings if "reach" in finding.summary]
    assert len(reached.evidence.molecules) == 3
    assert all("score" in example.note for example in reached.evidence.molecules)
    assert len(result.outcome.figures) == 2


def test_a_sound_task_is_no_finding(small_model: ScreeningModel) -> None:
    found = audit(audited(small_model, labels=None, tasks=("carbonyl",), max_explained=30), only=[NAME])
    assert found.findings == []
    assert "Without labels" in found.results[0].outcome.remark


def test_one_class_leaves_the_label_part_out(small_model: ScreeningModel) -> None:
    subject = audited(small_model, labels=np.zeros((200, 2)), tasks=("carbonyl",), max_explained=20)
    result = audit(subject, only=[NAME]).results[0]
    assert not result.failed
    assert "model_roc_auc" not in result.outcome.measured["carbonyl"]


def test_a_regression_is_compared_by_rank_correlation(small_regression: ScreeningModel) -> None:
    smiles = nci_smiles(60, 400)
    labels = np.column_stack([np.arange(60.0), [Chem.MolFromSmiles(s).GetNumHeavyAtoms() for s in smiles]])
    subject = audited(small_regression, smiles=smiles, labels=labels, max_explained=20)
    result = audit(subject, only=[NAME]).results[0]
    assert result.outcome.measured["mass"]["counts_spearman"] > 0.9
    assert result.outcome.measured["mass"]["worst"]["value"] > 0.8


def test_few_molecules_are_too_few(small_model: ScreeningModel) -> None:
    result = audit(subject_of(small_model, ["CCO"]), only=[NAME]).results[0]
    assert "1 molecules" in result.skipped


def test_descriptors() -> None:
    table = size_table([Chem.MolFromSmiles(s) for s in ("CCO", "ClCCl")])
    assert table.names == (
        "heavy atoms",
        "molecular weight",
        "logP",
        "number of C",
        "number of O",
        "number of Cl",
    )
    np.testing.assert_allclose(table.values[1], [3, 84.93, 1.42, 1, 0, 2], atol=0.01)


def test_rank_correlation_agrees_with_scipy_and_its_interval_with_simulation() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 60))
    y = x + rng.normal(size=x.shape)
    found = [rank_correlation(a, b) for a, b in zip(x, y, strict=True)]
    assert found[0].value == pytest.approx(spearmanr(x[0], y[0]).statistic)
    true = 6 / np.pi * np.arcsin(np.sqrt(0.5) / 2)
    assert np.mean([one.low < true < one.high for one in found]) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(("x", "y"), [([1, 1, 1], [1, 2, 3]), ([1], [2]), ([], [])])
def test_what_does_not_vary_has_no_rank_correlation(x: list[float], y: list[float]) -> None:
    assert rank_correlation(x, y).value == 0


def test_predictions_are_of_molecules_left_out() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 3))
    noise, rule = rng.normal(size=300), table[:, 0] > 0
    assert abs(rank_correlation(predict_values(table, noise, 0), noise).value) < 0.2
    assert predict_classes(table, rule.astype(float), 0)[rule].mean() > 0.9


def test_resampling_keeps_the_classes_and_gives_the_standard_error_of_a_mean() -> None:
    labels = np.array([1.0] * 30 + [0.0] * 70)
    values = np.random.default_rng(1).normal(size=100)
    drawn = resampled(
        lambda at: np.array([labels[at].sum(), values[at][:70].mean()]), labels, np.random.default_rng(0)
    )
    assert set(drawn[:, 0]) == {30.0}
    assert drawn[:, 1].std() == pytest.approx(values[30:].std() / 70**0.5, rel=0.2)


def test_share_of_a_model_without_quality() -> None:
    assert share_of_quality(np.array([0.2, -0.1]), np.array([0.4, 0.2])).tolist() == [0.5, 0.0]
    assert share_of_quality(np.array([0.3, 0.0]), np.array([-0.1, -0.1])).tolist() == [np.inf, 0.0]
