"""All checks together, as a user's audit makes them."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_model import TASKS, label, nci_smiles

from molig.audit import ActivityPair, AuditSettings, audit, subject_of
from molig.audit.report import audit_data, audit_html, audit_markdown

N, N_TRAINED = 120, 300
PAIR = ActivityPair("c1ccccc1CN", "c1ccccc1CO", 1.5, "nitrogen")
NO_LABELS = "the molecules have no labels"
NEED_LABELS = {"shortcut-fragments": NO_LABELS, "activity-cliffs": NO_LABELS, "long-range": NO_LABELS}
NEED_CLASSES = {
    "shortcut-fragments": "no fragment occurs in 10 molecules with labels of both classes",
    "activity-cliffs": "there is no pair of similar molecules with different activity",
    "long-range": "no task has 20 labels of both classes",
}
NEED_SEVERAL = {
    "identical-attribution": "no molecule has two atoms",
    "dead-units": "fewer than 20 molecules",
    "size-shortcut": "rank correlations need at least 20",
    "randomisation": "too few to compare ranks",
}

NOTHING_FOUND = {"saturation": "is active, or predicted above 0.5"}  # a lone atom scores as the baseline


@pytest.fixture(scope="module")
def smiles(nci_file):
    return nci_smiles(N, N_TRAINED)


def labels_of(smiles, classes):
    if classes == "none":
        return None
    if classes == "one":
        return np.ones((len(smiles), len(TASKS)))
    return np.array([[label(one)[task] for task in TASKS] for one in smiles], dtype=float)


@pytest.mark.parametrize(
    ("size", "classes", "skipped"),
    [
        ((N, 12), "both", {}),
        ((1, 1), "both", NEED_SEVERAL | NEED_CLASSES),
        ((1, 1), "none", NEED_SEVERAL | NEED_LABELS | NOTHING_FOUND),
        ((N // 2, 8), "none", NEED_LABELS),
        ((N // 2, 8), "one", NEED_CLASSES),
    ],
)
def test_every_check_is_made_or_says_why_not(small_model, smiles, size, classes, skipped):
    n, explained = size
    # The molecules have no cliffs among them, so where nothing shall be left out a pair is given.
    settings = AuditSettings(max_explained=explained, pairs=[] if skipped else [PAIR])
    chosen = smiles[:n] if n > 1 else ["N"]
    subject = subject_of(small_model, chosen, labels_of(chosen, classes), settings)
    result = audit(subject, source="molecules.csv")
    assert len(result.results) == 13
    assert not result.failed, [finding.summary for finding in result.findings]
    told = {r.check.name: r.skipped for r in result.results if r.status == "skipped"}
    assert set(told) == set(skipped)
    assert all(reason in told[name] for name, reason in skipped.items())
    data = audit_data(result)
    assert data["molecules"]["labelled"] is (classes != "none")
    assert data["molecules"]["explained"] == explained
    for text in (audit_html(result), audit_markdown(result)):
        assert all(r.check.title in text for r in result.results)
    for figure in (figure for made in result.results for figure in made.outcome.figures):
        assert "mathdefault" not in figure.svg, f"{figure.title}: markup of a formula is shown as it is"


@pytest.fixture(scope="module")
def result(small_committee, smiles):
    """Audit of a committee."""
    settings = AuditSettings(max_explained=30, pairs=[PAIR])
    return audit(subject_of(small_committee, smiles, labels_of(smiles, "both"), settings))


class TestCommittee:
    """What is said of a model with several members."""

    def test_every_check_is_made(self, result):
        assert [r.status for r in result.results if r.status in ("failed", "skipped")] == []
        errors = [finding.summary for finding in result.findings if finding.severity.value == "error"]
        assert errors == []

    def test_members_and_weights_are_stated(self, result):
        weights = dict.fromkeys(TASKS, pytest.approx(1 / 4))
        assert audit_data(result)["model"]["members"] == dict.fromkeys(
            ("weave", "environments", "forest", "kernel"), weights
        )
        sentence = "weights of its members: weave 25%, environments 25%, forest 25%, kernel 25%"
        assert sentence in audit_markdown(result)
        assert sentence in audit_html(result)

    @pytest.mark.parametrize(
        "check", ["identical-attribution", "input-columns", "dead-units", "randomisation"]
    )
    def test_what_looks_inside_the_weave_network_says_so(self, result, check):
        remark = next(r.outcome.remark for r in result.results if r.check.name == check)
        assert "committee" in remark
        assert "Weave network" in remark

    def test_closed_forms_and_steps_are_told_from_integrals(self, result):
        outcome = next(r.outcome for r in result.results if r.check.name == "integration")
        assert outcome.measured["largest_difference_of_closed_form_to_midpoints"] < 0.02
        assert outcome.measured["residual_max"] < 0.01
        assert "Shapley values" in outcome.remark

    def test_columns_and_substructures_share_the_attribution(self, result):
        outcome = next(r.outcome for r in result.results if r.check.name == "input-columns")
        shares = sum(row["share"] for row in outcome.measured.values())
        assert 0.1 < shares < 0.9
        assert f"have {1 - shares:.0%} of all attribution" in outcome.remark

    def test_the_domain_says_how_many_substructures_are_known(self, result, small_committee, smiles):
        outcome = next(r.outcome for r in result.results if r.check.name == "domain")
        vocabulary = small_committee.members[0].vocabulary
        graphs = small_committee.featurize([small_committee.parser.parse_smiles(s).mol for s in smiles])
        known = vocabulary.count(graphs).values.sum() / graphs.environments.n_rows
        assert outcome.measured["share_of_substructures_known"] == pytest.approx(known)

    def test_a_network_alone_has_no_members(self, small_model, smiles):
        result = audit(subject_of(small_model, smiles[:30]), only=["baseline"])
        assert audit_data(result)["model"]["members"] == {}
        assert "committee" not in audit_markdown(result)
