"""Reports of an audit: plain data, Markdown, the page and what it escapes, and what a card may state."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from molig.audit import (
    Audit,
    AuditSettings,
    Check,
    CheckResult,
    Evidence,
    Example,
    Figure,
    Finding,
    Outcome,
    Severity,
    audit,
    subject_of,
)
from molig.audit.report import (
    attach_audit,
    audit_data,
    audit_fragment,
    audit_html,
    audit_markdown,
    audit_summary,
    is_table,
    measured_lines,
    shown,
    tables_of,
)
from molig.errors import UsageError
from molig.model import Objective, bundled_models, load_info

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


# Starting weights (`descriptors`, a regression) rank no library, and are not audited.
SCREENING = [n for n in bundled_models() if load_info(n).objective is Objective.CLASSIFICATION]


def report(name):
    if not REPORTS.is_dir():
        pytest.skip("the reports are in the repository only")
    return json.loads((REPORTS / f"{name}.json").read_text())


@pytest.mark.parametrize("name", SCREENING)
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


@pytest.mark.parametrize("name", SCREENING)
def test_the_card_of_a_bundled_model_states_its_report(name):
    data, stated = report(name), load_info(name).audit
    if stated is None:
        pytest.skip("no audit on the card")
    assert stated.checks == {check["check"]: check["status"] for check in data["checks"]}
    assert (stated.source, stated.n_molecules) == (data["molecules"]["source"], data["molecules"]["audited"])
    findings = [found["summary"] for found in data["findings"] if found["severity"] != "info"]
    assert [found.summary for found in stated.findings] == findings


def test_values_are_shown_in_short():
    found = [shown(value) for value in (0.123456, [1, 2.0], {"a": None}, 12345, True, list(range(14)))]
    listed = ", ".join(str(n) for n in range(12))
    assert found == ["0.123", "1, 2", "a n/a", "12,345", "yes", f"{listed} and 2 more"]


def test_tables_within_what_was_measured():
    table = {"a": {"share": 0.5}, "b": {"share": 0.6}}
    measured = {"n": 3, "by task": table, "row": {"share": 0.5}}
    assert tables_of(measured) == {"by task": table}
    assert tables_of({"uneven": {"a": {"x": 1}, "b": {"y": 1}}}) == {}
    assert [is_table(one) for one in (table, {"a": 1}, {})] == [True, False, False]
    rows = ["|  | share |", "|---|---:|", "| a | 0.5 |", "| b | 0.6 |"]
    assert measured_lines(measured) == ["- n: 3", "- row: share 0.5", "", "**by task**", "", *rows]


DRAWING = '<svg xmlns="http://www.w3.org/2000/svg"><title>drawing</title></svg>'
PLOT = '<svg xmlns="http://www.w3.org/2000/svg"><title>plot</title></svg>'


def evil(where):
    """What must not become markup, and says where it stood."""
    return f"<script>{where}</script>\"'&"


SHOWN = [
    *("title", "question", "remark", "skipped", "source"),
    *("summary", "advice", "feature", "number-name", "number-value", "note", "smiles"),
    *("measured-name", "measured-key", "measured-value"),
]


@pytest.fixture(scope="module")
def result(small_model):
    example = Example(evil("id"), evil("smiles"), evil("note"), DRAWING)
    evidence = Evidence({evil("number-name"): evil("number-value")}, [evil("feature")], [example])
    finding = Finding("planted", Severity.WARNING, evil("summary"), evidence, evil("advice"))
    outcome = Outcome(
        [finding],
        {evil("measured-name"): {evil("measured-key"): evil("measured-value")}},
        [Figure(evil("figure-title"), PLOT)],
        evil("remark"),
    )
    check = Check("planted", evil("title"), evil("question"), lambda _: outcome)
    left_out = CheckResult(Check("other", "Other", "Other?", lambda _: outcome), Outcome(), evil("skipped"))
    return Audit(subject_of(small_model, ["CCO"]), [CheckResult(check, outcome), left_out], evil("source"))


class _Page(HTMLParser):
    """Collects elements, attributes and text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = set(), [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("render", [audit_html, audit_fragment])
def test_evidence_is_on_the_page(result, render):
    page = render(result)
    assert page.count(DRAWING) == 1
    assert page.count(PLOT) == 1
    assert page.index(DRAWING) < page.index(PLOT)


@pytest.mark.parametrize("render", [audit_html, audit_fragment])
def test_everything_else_is_escaped(result, render):
    page = render(result)
    read = _Page(page)
    assert "<script" not in page
    assert "script" not in read.tags
    unescaped = [where for where in SHOWN if evil(where) not in read.text]
    assert not unescaped


@pytest.mark.parametrize("render", [audit_html, audit_fragment])
def test_nothing_is_loaded_from_elsewhere(result, render):
    page = render(result)
    read = _Page(page)
    links = [value for name, value in read.attributes if name in ("href", "src", "xlink:href", "srcset")]
    assert links
    assert all(value.startswith("#") for value in links)
    assert not re.search(r"url\(|@import", page)
    assert not {"link", "iframe", "object", "embed", "base", "img"} & read.tags
    assert not [name for name, _ in read.attributes if name.startswith("on")]


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
