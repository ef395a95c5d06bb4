"""Making checks: choice, order, what is skipped, what breaks off."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from molig.audit import AuditSettings, Evidence, Finding, Outcome, Severity, audit, register, subject_of
from molig.audit.registry import available_checks, choose_checks, unregister
from molig.audit.report import audit_data, audit_fragment, audit_html, audit_json, audit_markdown, verdict
from molig.errors import InputError, UnknownNameError, UsageError

SMILES = ["CCO", "c1ccccc1O", "CC(=O)N", "not a molecule"]


@pytest.fixture
def subject(small_model):
    return subject_of(small_model, SMILES)


@pytest.fixture
def made_up():
    """Registers functions as checks for one test."""
    names = []

    def add(name, function):
        names.append(name)
        register(name, title=name.title(), question=f"What of {name}?")(function)

    yield add
    for name in names:
        unregister(name)


def found(severity=Severity.WARNING, name="made-up"):
    return Outcome([Finding(name, severity, "A <b>summary</b>.", Evidence({"n": 1}), "Do it.")], {"n": 1.0})


def test_every_built_in_check_is_registered_in_the_order_of_reports():
    names = list(available_checks())
    assert names[:4] == ["identical-attribution", "input-columns", "dead-units", "baseline"]
    assert len(names) == 13
    assert all(check.title and check.question.endswith("?") for check in available_checks().values())


def test_checks_of_others_come_last_and_can_be_chosen(subject, made_up):
    made_up("made-up", lambda _: found())
    assert list(available_checks())[-1] == "made-up"
    assert [r.status for r in audit(subject, only=["made-up"]).results] == ["warning"]


def test_a_name_is_given_once(made_up):
    made_up("made-up", lambda _: found())
    with pytest.raises(UsageError, match="'made-up' is registered already"):
        register("made-up", title="", question="")(lambda _: Outcome())


@pytest.mark.parametrize("choice", [{"only": ["base-line"]}, {"skip": ["base-line"]}])
def test_unknown_checks_are_named_with_the_nearest(choice):
    with pytest.raises(UnknownNameError, match="'baseline'"):
        choose_checks(**choice)


def test_no_check_left():
    with pytest.raises(UsageError, match="no check is left"):
        choose_checks(["baseline"], ["baseline"])


def test_a_check_that_breaks_off_is_a_finding_and_the_others_are_made(subject, made_up):
    def broken(_):
        raise ZeroDivisionError("by nothing")

    made_up("broken", broken)
    made_up("fine", lambda _: Outcome(measured={"n": 2}))
    result = audit(subject, only=["broken", "fine"])
    assert [r.status for r in result.results] == ["failed", "ok"]
    (finding,) = result.findings
    assert finding.severity is Severity.ERROR
    assert finding.summary == "Check failed: ZeroDivisionError: by nothing"
    assert result.fails(None)


def test_a_check_that_cannot_be_made_says_why(subject, made_up):
    def no_labels(subject):
        subject.require_labels()

    made_up("needs-labels", no_labels)
    (result,) = audit(subject, only=["needs-labels"]).results
    assert result.status == "skipped"
    assert "no labels" in result.skipped


@pytest.mark.parametrize(
    ("severity", "threshold", "fails"),
    [
        (Severity.WARNING, Severity.WARNING, True),
        (Severity.WARNING, Severity.ERROR, False),
        (Severity.ERROR, Severity.WARNING, True),
        (Severity.INFO, Severity.WARNING, False),
        (Severity.ERROR, None, False),
    ],
)
def test_what_fails_an_audit(subject, made_up, severity, threshold, fails):
    made_up("made-up", lambda _: found(severity))
    assert audit(subject, only=["made-up"]).fails(threshold) is fails


def test_findings_come_worst_first(subject, made_up):
    for severity in Severity:
        made_up(f"a-{severity.value}", lambda _, s=severity: found(s))
    result = audit(subject, only=[f"a-{s.value}" for s in Severity])
    assert [f.severity for f in result.findings] == [Severity.ERROR, Severity.WARNING, Severity.INFO]
    assert verdict(result) == "1 error and 1 warning in 3 checks."


def test_documents_hold_the_same(subject, made_up):
    made_up("made-up", lambda _: found())
    made_up("quiet", lambda _: Outcome(measured={"a": {"x": 0.5}, "b": {"x": float("nan")}}, remark="So."))
    result = audit(subject, only=["made-up", "quiet"], source="a.smi")
    data = audit_data(result)
    assert data["findings"][0]["summary"] == "A <b>summary</b>."
    assert data["checks"][1] == {
        "check": "quiet",
        "status": "ok",
        "reason": "",
        "remark": "So.",
        "measured": {"a": {"x": 0.5}, "b": {"x": None}},
    }
    assert data["molecules"] == {
        "source": "a.smi",
        "audited": 3,
        "rejected": 1,
        "explained": 0,
        "labelled": False,
    }
    assert json.loads(audit_json(result)) == data
    text = audit_markdown(result)
    assert "row 4" in text
    assert "| b | n/a |" in text
    page = audit_html(result)
    assert "A &lt;b&gt;summary" in page
    assert "<script" not in page
    assert "src=" not in page
    assert audit_fragment(result).startswith("<div>")
    assert result._repr_html_() == audit_fragment(result)


def test_random_numbers_depend_on_seed_and_check_only(small_model):
    first, second = (subject_of(small_model, SMILES[:n]) for n in (1, 2))
    other = subject_of(small_model, SMILES, settings=AuditSettings(seed=1))
    draw = [s.rng(name).random() for s, name in ((first, "a"), (second, "a"), (first, "b"), (other, "a"))]
    assert draw[0] == draw[1]
    assert len(set(draw)) == 3


def test_the_sample_prefers_actives_and_is_seeded(small_model):
    smiles = ["C" * n for n in range(1, 41)]
    labels = np.zeros((40, 2))
    labels[30:, 0] = 1
    settings = AuditSettings(max_explained=8)
    subject = subject_of(small_model, smiles, labels, settings)
    assert len(subject.sample) == len(set(subject.sample.tolist())) == 8
    assert (subject.sample >= 30).sum() >= 4
    assert subject.sample.tolist() == subject_of(small_model, smiles, labels, settings).sample.tolist()


def test_explanations_of_all_or_some_tasks_agree(small_model):
    every = subject_of(small_model, SMILES)
    one = subject_of(small_model, SMILES, settings=AuditSettings(tasks=["carbonyl"]))
    assert [set(found) for found in every.explanations] == [{"nitrogen", "carbonyl"}] * 3
    for both, single in zip(every.explanations, one.explanations, strict=True):
        assert set(single) == {"carbonyl"}
        np.testing.assert_allclose(single["carbonyl"].atom_scores, both["carbonyl"].atom_scores, atol=1e-3)


def test_explaining_tells_how_far_it_is(small_model):
    done = []
    subject = replace(subject_of(small_model, SMILES), progress=done.append)
    assert len(subject.explanations) == sum(done) == 3


def test_what_no_audit_can_be_made_of(small_model):
    with pytest.raises(InputError, match="none of the 1 molecules can be used; row 1"):
        subject_of(small_model, ["nonsense"])
    with pytest.raises(InputError, match="there is no molecule"):
        subject_of(small_model, [])
    with pytest.raises(UsageError, match=r"labels must have shape \(1, 2\) \(got \(1, 1\)\)"):
        subject_of(small_model, ["C"], [1.0])
    with pytest.raises(UnknownNameError, match="task"):
        subject_of(small_model, ["C"], settings=AuditSettings(tasks=["nitrogn"]))
    with pytest.raises(UsageError, match="max_explained must be at least 1"):
        AuditSettings(max_explained=0)
