"""Tests of the check of the zero baseline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from support.planted import Case, changed, judge
from support.small_model import nci_smiles, train_small_regression

from audit.planted import baseline as planted
from molig.audit import audit, subject_of
from molig.model import ScreeningModel

CHOSEN = {
    "tox21-w2n2-simple: logit of task 0 + 3",
    "tox21-w2n2-simple: logit of task 7 + 5",
    "tox21-w2n2-simple, molecules from 2000",
    "hiv, molecules from 2000",
}


@pytest.mark.parametrize(
    "case", [c for c in planted.cases(0) if c.name in CHOSEN], ids=lambda case: case.name
)
def test_planted(case: Case) -> None:
    """Shifted baselines are found, and nothing where they are neutral."""
    assert judge("baseline", case).right


def test_numbers_are_those_of_the_model(small_model: ScreeningModel) -> None:
    """Measured numbers agree with logits at scale 0."""
    subject = subject_of(small_model, nci_smiles(30, 400))
    measured = audit(subject, only=["baseline"]).results[0].outcome.measured["carbonyl"]
    logits = small_model.logits(subject.graphs, np.zeros(30))[:, 1]
    assert measured["median"] == pytest.approx(np.median(1 / (1 + np.exp(-logits))), rel=1e-5)
    sizes = [molecule.mol.GetNumAtoms() for molecule in subject.molecules]
    assert measured["rank_correlation_with_size"] == pytest.approx(spearmanr(sizes, logits).statistic)


@pytest.mark.parametrize("rate", [0.06, -0.06])
def test_size_dependence_alone_is_a_warning(small_model: ScreeningModel, rate: float) -> None:
    """A baseline that is neutral, but moves with the size of the molecule, gets a warning."""
    model = changed(small_model, planted.by_size(rate, level=-10.0))
    smiles = ["C" * n for n in range(1, 40)]
    result = audit(subject_of(model, smiles), only=["baseline"]).results[0]
    assert result.status == "warning"
    assert "depends on the size" in result.outcome.findings[0].summary
    assert result.outcome.measured["nitrogen"]["rank_correlation_with_size"] == pytest.approx(np.sign(rate))


def test_size_dependence_is_shown_by_the_smallest_and_the_largest(small_model: ScreeningModel) -> None:
    """Of a baseline that grows with size those are the lowest and the highest."""
    model = changed(small_model, planted.by_size(0.06, level=-10.0))
    (finding,) = audit(subject_of(model, ["C" * n for n in range(1, 40)]), only=["baseline"]).findings
    assert [len(example.smiles) for example in finding.evidence.molecules] == [39, 38, 37, 3, 2, 1]


def test_a_baseline_that_is_not_neutral_names_molecules(small_model: ScreeningModel) -> None:
    """The highest baselines come first, drawn."""
    subject = subject_of(changed(small_model, planted.shift(6.0, 1)), nci_smiles(20, 400))
    (finding,) = audit(subject, only=["baseline"]).findings
    highest = np.argsort(-subject.baseline_logits[:, 1], kind="stable")[:6]
    examples = finding.evidence.molecules
    assert [e.smiles for e in examples] == [subject.molecules[i].smiles for i in highest]
    assert examples[0].note.startswith("carbonyl: 0.")
    assert all(example.svg.startswith("<svg") for example in examples)


def test_one_molecule_has_no_size_dependence(small_model: ScreeningModel) -> None:
    """One size correlates with nothing."""
    measured = audit(subject_of(small_model, ["CCO"]), only=["baseline"]).results[0].outcome.measured
    assert measured["nitrogen"]["rank_correlation_with_size"] == 0


def test_regression(tmp_path: Path) -> None:
    """A regression is held to the neutral value it was trained to."""
    model = train_small_regression(tmp_path, 60, neutral={"copies": 8})
    smiles = nci_smiles(20, 400)
    clean = audit(subject_of(model, smiles), only=["baseline"]).results[0]
    shifted = changed(model, planted.shift(1e4))
    assert set(clean.outcome.measured) == set(model.tasks)
    (result,) = audit(subject_of(shifted, smiles), only=["baseline"]).results
    assert result.status == "error"
    assert result.outcome.findings[0].evidence.molecules
    assert clean.outcome.remark == ""


def test_a_regression_without_a_neutral_value_is_not_judged(small_regression: ScreeningModel) -> None:
    """What was not recorded is said, not passed over."""
    info = small_regression.info.model_copy(update={"baseline": {}})
    model = changed(ScreeningModel(info, small_regression.network), planted.shift(1e4))
    (result,) = audit(subject_of(model, nci_smiles(20, 400)), only=["baseline"]).results
    assert not result.failed
    assert result.outcome.remark == "No neutral value recorded for nitrogens, mass: not judged."
    assert np.isnan(result.outcome.measured["mass"]["share_not_neutral"])
    assert not any("far from" in finding.summary for finding in result.outcome.findings)
