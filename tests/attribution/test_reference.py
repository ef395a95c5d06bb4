"""Explanations that count from a reference compound, or from the mean of a series."""

import numpy as np
import pytest

import molig
from molig.attribution import ledger_of
from molig.errors import UsageError

SERIES = ["CCO", "CCN", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1"]


def test_everything_adds_up_from_the_reference(small_regression):
    reference = molig.explain(small_regression, "Oc1ccccc1", task="mass").score
    whys = molig.explain(small_regression, SERIES, task="mass", reference="Oc1ccccc1")
    for why in whys:
        assert why.start == pytest.approx(reference)
        assert why.change == pytest.approx(why.score - reference, abs=1e-3)
        total = why.atom_scores.sum() + why.size_and_shape + why.residual
        assert total == pytest.approx(why.change, abs=1e-3)
        assert sum(why.parts.values()) + why.residual == pytest.approx(why.change, abs=1e-3)
        for by in ("types", "groups"):
            ledger = why.ledger(by)
            assert (ledger.start_name, ledger.start) == ("reference Oc1ccccc1", pytest.approx(reference))
            assert "size and shape" in {entry.part for entry in ledger.entries}
            assert ledger.entries[-1].score == pytest.approx(why.residual, abs=1e-3)
        assert "reference Oc1ccccc1" in why.panel().legend[1]
    assert ledger_of(whys).start == pytest.approx(reference)


def test_the_reference_itself_differs_by_its_own_mean(small_regression):
    why = molig.explain(small_regression, "C", task="mass", reference="C")
    assert why.change == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(why.atom_scores, 0.0, atol=1e-3)
    assert why.size_and_shape == pytest.approx(0.0, abs=1e-3)


def test_the_mean_of_a_series_is_a_reference(small_regression):
    scores = [why.score for why in molig.explain(small_regression, SERIES, task="mass")]
    why = molig.explain(small_regression, "CCCO", task="mass", reference=SERIES)
    assert why.start == pytest.approx(np.mean(scores), rel=1e-5)
    assert why.start_name == "reference mean of 4 compounds"


def test_every_task_has_its_own_score_of_the_reference(small_regression):
    explainer = molig.attribution.Explainer(small_regression, reference="CCO")
    (by_task,) = explainer.explain_all_tasks(molig.molecules.smiles_records(["CCN"]))
    alone = [molig.explain(small_regression, "CCO", task=why.task).score for why in by_task]
    assert [why.start for why in by_task] == pytest.approx(alone, rel=1e-4)


def test_without_a_reference_the_baseline_is_the_start(small_model):
    why = molig.explain(small_model, "CCO", task="nitrogen")
    assert (why.start, why.size_and_shape) == (why.baseline_score, 0.0)
    assert "size and shape" not in why.parts


def test_impossible_references_are_named(small_model):
    with pytest.raises(UsageError, match="either baseline or reference"):
        molig.explain(small_model, "C", baseline="zero", reference="C")
    with pytest.raises(UsageError, match="reference compound 'C1CC'"):
        molig.explain(small_model, "C", reference="C1CC")
    with pytest.raises(UsageError, match="at least one compound"):
        molig.explain(small_model, "C", reference=[])
