"""Tests of the check of numerical integration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from support.planted import changed
from support.small_model import nci_smiles

from audit.planted import integration as planted
from molig.audit import AuditSubject, audit, subject_of
from molig.audit.checks.integration import relative_residual
from molig.audit.report import CheckResult
from molig.model import ScreeningModel
from molig.stats.intervals import surely_above


@pytest.fixture(scope="module")
def subject(small_model: ScreeningModel) -> AuditSubject:
    """Few molecules."""
    return subject_of(small_model, nci_smiles(8, 400))


def _only(subject: AuditSubject) -> CheckResult:
    return audit(subject, only=["integration"]).results[0]


def test_clean(subject: AuditSubject) -> None:
    """A sound model is quiet, and its residuals are those of the explanations."""
    result = _only(subject)
    assert result.status in ("ok", "info")
    residuals = [relative_residual(why) for by_task in subject.explanations for why in by_task.values()]
    assert result.outcome.measured["residual_max"] == max(residuals) <= 0.01
    assert result.outcome.measured["not_converged"] == 0
    assert result.outcome.measured["rounding_of_scores"] < 1e-4


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (planted.put("head.4.weight", (0, 0), planted.NAN), "8 of 16 explanations are not numbers"),
        (planted.put("last_atom_layer.weight", (1, 3), planted.INFINITE), "16 of 16 explanations are not"),
        (planted.cancel_in_head(1e7), "Scores depend on rounding"),
    ],
)
def test_planted(subject: AuditSubject, edit: planted.Edit, text: str) -> None:
    """Damaged weights, and huge ones that cancel, are errors."""
    result = _only(replace(subject, model=changed(subject.model, edit)))
    assert result.status == "error"
    assert any(text in finding.summary for finding in result.outcome.findings)


@pytest.mark.parametrize(("n_failed", "severity"), [(1, "error"), (0, "ok")])
def test_not_converged(subject: AuditSubject, n_failed: int, severity: str) -> None:
    """One of 16 is surely more than one in a thousand."""
    copy = replace(subject)
    whys = [dict(by_task) for by_task in subject.explanations]
    for by_task in whys[:n_failed]:
        why = by_task["nitrogen"]
        by_task["nitrogen"] = replace(why, converged=False, residual=0.2)
    copy.__dict__["explanations"] = whys
    result = _only(copy)
    if n_failed:
        assert result.status == severity
        assert result.outcome.findings[0].evidence.numbers["by_task"] == {"nitrogen": 1}
        assert len(result.outcome.findings[0].evidence.molecules) == 1
    else:
        assert result.outcome.measured["not_converged"] == 0


@pytest.mark.parametrize(("count", "n"), [(1, 5), (1, 2000), (3, 400), (40, 50), (50, 50)])
@pytest.mark.parametrize("share", [0.001, 0.6])
def test_confidence(count: int, n: int, share: float) -> None:
    """The bound is that of scipy's exact binomial interval."""
    low = binomtest(count, n).proportion_ci(0.95, method="exact").low
    assert surely_above(count, n, share) is bool(low > share)
    assert not surely_above(0, n, share)


def test_one_atom(small_model: ScreeningModel) -> None:
    """A molecule without pairs can be checked."""
    assert np.isfinite(_only(subject_of(small_model, ["C"])).outcome.measured["residual_max"])
