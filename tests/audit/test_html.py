"""Drawings and plots in the page of an audit, and nothing else that is not escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from molig.audit import (
    Audit,
    Check,
    CheckResult,
    Evidence,
    Example,
    Figure,
    Finding,
    Outcome,
    Severity,
    subject_of,
)
from molig.audit.report import audit_fragment, audit_html

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
