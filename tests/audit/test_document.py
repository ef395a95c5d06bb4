"""The JSON document of an audit, and whether those of the bundled models are up to date."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from molig.audit import audit, subject_of
from molig.audit.report import audit_data, audit_markdown
from molig.model import bundled_models, load_info

REPORTS = Path(__file__).parents[2] / "docs" / "results" / "audit"


def test_a_document_says_which_model_was_audited(small_model):
    model = audit_data(audit(subject_of(small_model, ["CCO"]), only=["baseline"]))["model"]
    info = small_model.info
    assert (model["name"], model["schema_hash"]) == ("small", info.schema_hash)
    assert len(info.weights_sha256) == len(info.applicability.sha256) == 64
    assert model["weights_sha256"] == info.weights_sha256
    assert model["applicability_sha256"] == info.applicability.sha256


def test_empty_label_columns_are_no_labels(small_model):
    labels = np.full((2, 2), np.nan)
    result = audit(subject_of(small_model, ["CCO", "CCN"], labels), only=["baseline"])
    assert audit_data(result)["molecules"]["labelled"] is False
    assert "There are no labels." in audit_markdown(result)
    labels[1, 1] = 0
    result = audit(subject_of(small_model, ["CCO", "CCN"], labels), only=["baseline"])
    assert audit_data(result)["molecules"]["labelled"] is True


def report(name):
    if not REPORTS.is_dir():
        pytest.skip("the reports are in the repository only")
    return json.loads((REPORTS / f"{name}.json").read_text())


@pytest.mark.parametrize("name", bundled_models())
def test_the_report_of_a_bundled_model_is_one_of_its_files(name):
    stated, info = report(name)["model"], load_info(name)
    expected = {
        "name": info.name,
        "schema_hash": info.schema_hash,
        "tasks": list(info.tasks),
        "weights_sha256": info.weights_sha256,
        "applicability_sha256": info.applicability.sha256 if info.applicability else None,
    }
    # Reports of before the digests were written do not state them.
    outdated = {key: stated[key] for key, value in expected.items() if key in stated and stated[key] != value}
    assert not outdated, f"{name}.json is a report of other files; audit {name} again"


@pytest.mark.parametrize("name", bundled_models())
def test_the_card_of_a_bundled_model_states_its_report(name):
    data, stated = report(name), load_info(name).audit
    if stated is None:
        pytest.skip("no audit on the card")
    assert stated.checks == {check["check"]: check["status"] for check in data["checks"]}
    assert (stated.source, stated.n_molecules) == (data["molecules"]["source"], data["molecules"]["audited"])
    findings = [found["summary"] for found in data["findings"] if found["severity"] != "info"]
    assert [found.summary for found in stated.findings] == findings
