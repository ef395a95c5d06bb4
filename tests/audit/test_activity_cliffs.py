from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from scipy.stats import binomtest
from support.planted import audited
from support.small_model import nci_smiles

from audit.planted.activity_cliffs import pairs, telling_every_atom
from molig.attribution import explain
from molig.audit import ActivityPair, Severity, audit, subject_of
from molig.audit.checks.activity_cliffs import (
    Cliff,
    CliffGroup,
    CommonAtoms,
    _most_per_task,
    by_common_share,
    cliff_figures,
    common_atoms,
    judge_cliffs,
    read_pairs,
    similar_pairs,
)
from molig.audit.report import audit_html, audit_markdown
from molig.errors import InputError, UsageError
from molig.series.comparison import changed_attribution
from molig.series.matching import Overlap
from molig.stats.intervals import Estimate, bootstrap_median, bootstrap_share, wilson


def judged(model, chosen):
    result = audit(audited(model, smiles=nci_smiles(20, 400), pairs=chosen), only=["activity-cliffs"])
    assert not result.failed
    return result


COMPOUNDS = nci_smiles(600, 400)


def test_right_pairs_are_quiet_and_reversed_ones_an_error(small_model):
    assert judged(small_model, pairs(COMPOUNDS, "nitrogen", 0)).findings == []
    (finding,) = judged(small_model, pairs(COMPOUNDS, "nitrogen", 0, -1.0)).findings
    assert finding.severity is Severity.ERROR
    assert "lower score" in finding.summary
    assert finding.evidence.molecules


def test_few_pairs_are_only_told(small_model):
    result = judged(small_model, pairs(COMPOUNDS, "nitrogen", 1, n=5))
    (finding,) = result.findings
    assert finding.severity is Severity.INFO
    assert "too few" in finding.summary
    # Groups of pairs and bins of what is common are tables of their own.
    groups, bins = "|  | pairs | attribution_has_sign_of_activity |", "|  | pairs | direction |"
    assert [audit_markdown(result).count(head) for head in (groups, bins)] == [1, 1]
    page = audit_html(result)
    assert "by share of common substructure</p>" in page
    assert "attribution has sign of activity</th>" in page


@pytest.mark.parametrize(("n_tasks", "most"), [(1, 150), (2, 60), (6, 50), (12, 25)])
def test_the_remark_tells_how_many_pairs_are_compared(small_model, n_tasks, most):
    assert _most_per_task(n_tasks) == most
    if n_tasks == 1:
        remark = judged(small_model, pairs(COMPOUNDS, "nitrogen", 1, n=5)).results[0].outcome.remark
        assert "at most 150 per task" in remark
        assert "0 pairs whose common part took longer" in remark


DRAWN = {"id": "a", "smiles": "C", "scored_smiles": "C", "removed": (), "to_svg": lambda size: "<svg/>"}
"""What a finding shows of an explanation."""


def pair_of(first, second, share=0.8):
    """A pair of molecules all of whose atoms are common, with these attributions."""
    mol = Chem.MolFromSmiles("C" * len(first))
    graph = SimpleNamespace(pair_atoms=np.zeros((0, 2), dtype=int), environments=None)
    explained = [
        SimpleNamespace(
            mol=mol,
            atom_scores=np.array(scores),
            own_atom_scores=np.array(scores),
            pair_scores=np.zeros(0),
            environment_attributions=np.zeros(0),
            graph=graph,
            score=sum(scores),
        )
        for scores in (first, second)
    ]
    return Cliff(
        SimpleNamespace(difference=1.0),
        tuple(explained),
        Overlap(np.arange(len(first)), np.arange(len(first)), share),
        1.0,
    )


def test_substructures_with_a_changed_atom_are_changed_as_a_whole(small_committee):
    why = explain(small_committee, "CC(=O)N", "carbonyl")
    every = np.arange(4)
    assert changed_attribution(why, every) == pytest.approx(why.atom_scores.sum())
    held = why.graph.environments
    inside = [2 in part for part in np.split(held.atoms, np.cumsum(held.sizes)[:-1])]
    of_pairs = why.pair_scores[(why.graph.pair_atoms == 2).any(axis=1)].sum()
    expected = why.own_atom_scores[2] + of_pairs + why.environment_attributions[inside].sum()
    assert changed_attribution(why, np.array([2])) == pytest.approx(expected)


def test_agreement_about_common_atoms():
    one = pair_of([1.0, -0.5, 0.1], [0.8, 0.5, -0.2])
    other = pair_of([0.0, 1.0], [1.0, 1.0])
    assert [one.same_sign(), other.same_sign()] == [(1, 3), (1, 1)]
    # The third atom matters in the second molecule only: 0.1 is less than a quarter of 1.
    assert [one.same_sign(strong=True), other.same_sign(strong=True)] == [(1, 2), (1, 1)]
    found = common_atoms([one, other], np.random.default_rng(0))
    # Pairs are drawn, not atoms: twice the first, one of each or twice the second.
    assert found.same_sign == Estimate(2 / 4, 2 / 6, 1.0)
    assert found.strong == Estimate(2 / 3, 2 / 4, 1.0)
    assert found.n_strong == 3
    assert np.isnan(bootstrap_share([0], [0], np.random.default_rng(0)).value)


def test_agreement_by_the_share_that_is_common():
    cliffs = [
        pair_of([1.0, -0.5, 0.1], [0.8, 0.5, -0.2], 0.8),
        pair_of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 0.89),
        pair_of([1.0, 2.0], [0.0, 0.0], 1.0),
    ]
    found = by_common_share(cliffs, np.random.default_rng(0))
    assert list(found) == ["0.8-0.9", "0.9-1.0"]
    assert found["0.8-0.9"]["pairs"] == 2
    assert found["0.8-0.9"]["same_sign"] == [4 / 6, 2 / 6, 1.0]
    assert found["0.8-0.9"]["strong_atoms"] == 5
    # Ranks 3, 1, 2 against 3, 2, 1, and 1, 2, 3 twice; the median of two is their mean.
    assert found["0.8-0.9"]["rank_correlation"] == pytest.approx([0.75, 0.5, 1.0])
    assert found["0.9-1.0"]["same_sign"] is None
    assert found["0.9-1.0"]["rank_correlation"] is None
    assert found["0.9-1.0"]["direction"] == pytest.approx([0.5, *wilson(0.5, 1, 1.96)])
    assert len(cliff_figures([CliffGroup("all tasks", cliffs, 1.96)], found)) == 2


@pytest.mark.parametrize(("low", "n", "found"), [(0.86, 25, 1), (0.84, 25, 0), (0.86, 24, 0)])
def test_differences_attributed_to_common_atoms_are_a_finding(low, n, found):
    right = SimpleNamespace(scores_differ=True, score_difference=1.0, carried_by_common=0.9)
    right.explained = [SimpleNamespace(**DRAWN)] * 2
    vars(right).update(dict.fromkeys(RIGHT, 1.0))
    right.pair, right.attribution_difference = SimpleNamespace(task="t", difference=1.0), 0.1
    group = CliffGroup("all tasks", [right] * 30, 1.96)
    signs = Estimate(0.5, 0.4, 0.6)
    common = CommonAtoms(signs, signs, 50, Estimate(0.9, low, 0.95), n)
    findings = judge_cliffs(group, [group], common)
    assert [f.severity for f in findings] == [Severity.WARNING] * found
    assert all("90% of the difference (median of 25 pairs" in f.summary for f in findings)


def test_the_share_on_common_atoms_is_what_the_changed_ones_leave(small_model):
    """Edited molecules whose difference lies on the edit, and a table of which no part was compared."""
    result = judged(small_model, pairs(COMPOUNDS, "nitrogen", 0)).results[0].outcome.measured["common_atoms"]
    assert result["pairs_of_different_scores"] > 30
    assert result["share_of_score_difference"][0] < 0.7
    moved = pair_of([1.0, -0.5, 0.1], [0.8, 0.5, -0.2])
    assert moved.carried_by_common == pytest.approx(1.0)
    assert common_atoms([moved], np.random.default_rng(0)).n_carried == 1
    still = pair_of([1.0, -0.5], [0.5, 0.0])
    assert common_atoms([still], np.random.default_rng(0)).n_carried == 0


RIGHT = ("ordered", "direction", "faithful")


def group_of(ordered, direction, faithful, n=100):
    """Pairs of which these shares have the right sign."""
    right = np.arange(n)[:, None] < np.round(n * np.array([ordered, direction, faithful]))
    explanation = SimpleNamespace(**DRAWN)
    cliffs = [
        SimpleNamespace(
            **dict(zip(RIGHT, row, strict=True)),
            pair=SimpleNamespace(task="t", difference=1.0),
            explained=(explanation, explanation),
            score_difference=1.0,
            attribution_difference=-1.0,
        )
        for row in right.astype(float).tolist()
    ]
    return CliffGroup("all tasks", cliffs, 1.96)


@pytest.mark.parametrize(
    ("shares", "severity", "words"),
    [
        ((0.9, 0.9, 0.9), None, ""),
        ((0.3, 0.3, 0.9), Severity.ERROR, "only 30% of 100 pairs (all tasks; interval 22% to 40%)"),
        ((0.9, 0.3, 0.9), Severity.ERROR, "sign of the difference in activity in only 30% of 100 pairs"),
        ((0.9, 0.9, 0.3), Severity.ERROR, "points the wrong way"),
        ((0.9, 0.5, 0.5), Severity.WARNING, "in 90% of 100 pairs (all tasks), attribution in 50% (interval"),
        ((0.9, 0.59, 0.5), Severity.INFO, "better than attribution"),
        ((0.9, 0.5, 0.8), Severity.INFO, "follows the scores (80% of 100 pairs, all tasks)"),
        ((0.5, 0.5, 0.9), Severity.WARNING, "50% of 100 pairs are in the right order"),
    ],
)
def test_what_goes_wrong_with_the_signs(shares, severity, words):
    group = group_of(*shares)
    signs = Estimate(0.5, 0.4, 0.6)
    few = CommonAtoms(signs, signs, 0, signs, 0)
    findings = judge_cliffs(group, [group], few)
    assert [finding.severity for finding in findings] == ([severity] if severity else [])
    assert all(words in finding.summary for finding in findings)
    assert all("{" not in finding.summary for finding in findings)


def test_a_task_is_judged_beside_all_pairs_and_a_milder_finding_goes_without_saying():
    fine, blind, partly = group_of(0.9, 0.9, 0.9), group_of(0.9, 0.5, 0.5), group_of(0.9, 0.5, 0.8)
    signs = Estimate(0.5, 0.4, 0.6)
    few = CommonAtoms(signs, signs, 0, signs, 0)
    (finding,) = judge_cliffs(fine, [partly, blind], few)
    assert "better than attribution" in finding.summary
    (finding,) = judge_cliffs(fine, [partly, fine], few)
    assert "follows the scores" in finding.summary


def test_a_model_that_turns_whole_molecules_is_found(small_model):
    found = audit(telling_every_atom(small_model, COMPOUNDS), only=["activity-cliffs"]).findings
    (finding,) = [f for f in found if "share disagree" in f.summary]
    assert finding.evidence.molecules
    assert finding.evidence.numbers["common_atoms"]["share_of_score_difference"][1] > 0.85


def test_pairs_that_cannot_be_used_are_left_out(small_model):
    chosen = [ActivityPair("CCO", "nonsense", 1, "nitrogen"), ActivityPair("CCO", "OCC", 1, "nitrogen")]
    assert (
        judged(small_model, chosen).results[0].outcome.measured["sign_of_differences"]["all tasks"]["pairs"]
        == 0
    )


def test_without_labels_it_is_passed_over(small_model):
    (result,) = audit(subject_of(small_model, ["CCO", "CCN"]), only=["activity-cliffs"]).results
    assert "labels" in result.skipped
    (result,) = audit(subject_of(small_model, ["CCO"], [[1, 0]]), only=["activity-cliffs"]).results
    assert "no pair" in result.skipped


def test_a_regression_is_audited(small_regression):
    smiles = [f"CC(C)Cc1ccc(cc1)C(C)C(=O)OCC{'C' * n}{end}" for n in range(6) for end in "NO"]
    values = [[s.count("N"), 100.0] for s in smiles]
    (result,) = audit(subject_of(small_regression, smiles, values), only=["activity-cliffs"]).results
    assert not result.failed
    assert result.outcome.measured["sign_of_differences"]["all tasks"]["pairs"] > 0


def test_similar_pairs_are_those_of_rdkit():
    from rdkit import DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    mols = [Chem.MolFromSmiles(s) for s in nci_smiles(120)]
    values = np.arange(120) % 2.0
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(mol) for mol in mols]
    expected = {
        (i, j)
        for i in range(120)
        for j in range(120)
        if values[i] > values[j] and 0.5 <= DataStructs.TanimotoSimilarity(prints[i], prints[j]) < 1
    }
    assert expected
    some = np.where(np.arange(120) < 60, values, np.nan)
    every, half, none = similar_pairs(
        mols, np.stack([values, some, values], 1), np.array([1, 1, np.inf]), 0.5
    )
    assert set(every) == expected
    assert every == sorted(every)
    assert set(half) == {(i, j) for i, j in expected if max(i, j) < 60}
    assert half
    assert none == []
    assert similar_pairs(mols[:1], values[:1, None], np.array([1.0]), 0.5) == [[]]


def test_intervals():
    for hits, n in ((0, 5), (3, 10), (20, 20)):
        expected = binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson(hits, n) == pytest.approx((expected.low, expected.high))
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = bootstrap_median(np.arange(101.0), np.random.default_rng(0))
    assert 30 < low < 50 < high < 70


def write(path, rows):
    frame = pd.DataFrame(rows, columns=["smiles_a", "smiles_b", "difference", "task"][: len(rows[0])])
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.parquet"])
def test_read_pairs(small_model, tmp_path, name):
    path = write(tmp_path / name, [("CCO", "CCN", -1.5, "nitrogen"), ("CC=O", "CCO", 2.0, "carbonyl")])
    assert read_pairs(path, small_model) == [
        ActivityPair("CCO", "CCN", -1.5, "nitrogen"),
        ActivityPair("CC=O", "CCO", 2.0, "carbonyl"),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("CCO", "C1CC", 1.0, "nitrogen"), "row 2: smiles_b 'C1CC' cannot be used"),
        (("", "CCO", 1.0, "nitrogen"), "row 2: smiles_a"),
        (("CCO", "CCN", "much", "nitrogen"), "row 2: difference is 'much'"),
        (("CCO", "CCN", 0.0, "nitrogen"), "other than 0"),
        (("CCO", "CCN", 1.0, "nitrogne"), "did you mean 'nitrogen'"),
    ],
)
def test_a_bad_row_is_named(small_model, tmp_path, row, message):
    path = write(tmp_path / "pairs.csv", [("CCO", "CCN", -1.5, "nitrogen"), row])
    with pytest.raises(InputError, match=message):
        read_pairs(path, small_model)


def test_missing_columns(small_model, tmp_path):
    with pytest.raises(UsageError, match="column 'task'"):
        read_pairs(write(tmp_path / "pairs.csv", [("CCO", "CCN", 1.0)]), small_model)
    with pytest.raises(UsageError, match="smiles_b"):
        read_pairs(write(tmp_path / "one.csv", [("CCO",)]), small_model)
