"""Tests of the check of saturation."""

from __future__ import annotations

import numpy as np
import pytest
from support.planted import audited, changed
from support.small_model import nci_smiles

from audit.planted.saturation import louder
from molig.attribution import Explainer, molecule_curves
from molig.audit import audit, subject_of
from molig.audit.checks.saturation import gradient_shares
from molig.model import ScreeningModel, load_model


def test_shares_of_known_functions() -> None:
    """A linear logit explains itself; far out the probability does not change any more."""
    logits = np.array([1.0, 40.0, -3.0, np.nan])
    probability, logit = gradient_shares(np.array([5.0, 44.0, 1.0, 1.0]), logits, np.full(4, -4.0))
    p, base = 1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(4.0))
    assert probability[0] == pytest.approx(5 * p * (1 - p) / (p - base))
    assert logit[:2].tolist() == [1.0, 1.0]
    assert 0 < probability[1] < 1e-14
    assert np.isnan(probability[3])
    assert np.isnan(logit[3])


def test_small_changes_have_no_share() -> None:
    """Shares of next to nothing are not taken."""
    assert np.isnan(gradient_shares(np.ones(1), np.array([-9.0]), np.array([-10.0]))[0][0])


def test_agrees_with_the_curves(small_model: ScreeningModel) -> None:
    """The median share is that of `molecule_curves`, which computes it another way."""
    subject = audited(small_model, smiles=nci_smiles(40, 400))
    measured = audit(subject, only=["saturation"]).results[0].outcome.measured["nitrogen"]
    actives = [m for m, y in zip(subject.molecules, subject.labels[:, 0], strict=True) if y == 1]
    curves = molecule_curves(Explainer(small_model, task="nitrogen"), actives, at=[0.5])
    shares = [one.gradient_share for one in curves]
    assert measured["actives"] == len(actives)
    assert measured["median_share"] == pytest.approx(np.nanmedian(shares), rel=1e-3)


@pytest.mark.parametrize(("factor", "severity"), [(1.0, "info"), (60.0, "warning")])
def test_planted(small_model: ScreeningModel, factor: float, severity: str) -> None:
    """Scores that are all 0 or 1 are found; ordinary saturation is only worth knowing."""
    subject = audited(changed(small_model, louder(factor)), max_explained=30)
    result = audit(subject, only=["saturation"]).results[0]
    assert result.status == severity
    (finding,) = result.outcome.findings
    examples = finding.evidence.molecules
    assert len(examples) == 6
    explained = {subject.molecules[i].smiles for i in subject.sample}
    assert all(example.svg.startswith("<svg") and example.smiles in explained for example in examples)
    numbers = [abs(float(e.note.removesuffix("% of the score").split()[-1])) for e in examples]
    assert numbers == sorted(numbers, reverse=severity == "warning")


def test_bundled_without_labels() -> None:
    """Without labels those with a score above 0.5 are the actives; a sound model gives no warning."""
    subject = subject_of(load_model("tox21-w2n2-simple"), nci_smiles(60, 1000))
    result = audit(subject, only=["saturation"]).results[0]
    assert result.status in ("ok", "info")
    assert "above 0.5" in result.outcome.remark
    assert len(result.outcome.figures[0].svg) < 60_000


def test_no_active_is_skipped(small_model: ScreeningModel) -> None:
    """Without actives there is nothing to measure."""
    subject = audited(small_model, smiles=["C", "CC", "CCC"])
    assert "no molecule is" in audit(subject, only=["saturation"]).results[0].skipped
