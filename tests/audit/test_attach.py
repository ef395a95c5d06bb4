"""What may be stated on a card."""

from __future__ import annotations

import shutil

import pytest

from molig.audit import AuditSettings, attach_audit, audit, subject_of
from molig.audit.report import audit_summary
from molig.errors import UsageError


@pytest.fixture
def folder(small_model_dir, tmp_path):
    return shutil.copytree(small_model_dir, tmp_path / "small")


@pytest.mark.parametrize(
    ("settings", "told"), [({}, "leave --only and --skip out"), ({"tasks": ["nitrogen"]}, "leave --task out")]
)
def test_parts_of_an_audit_are_refused(small_model, folder, settings, told):
    card = (folder / "CARD.md").read_text()
    result = audit(subject_of(small_model, ["CCO"], settings=AuditSettings(**settings)), only=["baseline"])
    with pytest.raises(UsageError, match=told):
        attach_audit(result, folder)
    assert (folder / "CARD.md").read_text() == card


def test_an_audit_of_another_model_is_refused(small_regression, folder):
    result = audit(subject_of(small_regression, ["CCO"]), only=["baseline"])
    with pytest.raises(UsageError, match="not one of the weights in small"):
        attach_audit(result, folder)


def test_the_command_has_every_choice_of_the_audit(small_model):
    settings = AuditSettings(max_molecules=7, max_explained=5, seed=2, partners=[small_model])
    result = audit(subject_of(small_model, ["CCO"], settings=settings), only=["baseline"])
    summary = audit_summary(result, ["-i", "my molecules.csv"])
    assert summary.command == (
        "molig audit -m small -i 'my molecules.csv' -o report.html --compare small --max-molecules 7 "
        "--max-explained 5 --seed 2"
    )
    assert summary.checks.keys() == {"baseline"}
