from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from scipy.stats import binomtest
from support.planted import audited, trained
from support.small_model import nci_smiles

from audit.planted.activity_cliffs import pairs
from molig.audit import ActivityPair, Severity, audit, subject_of
from molig.audit.cliffs import changed_attribution, overlap
from molig.audit.intervals import bootstrap_median, wilson
from molig.audit.pairs import read_pairs, similar_pairs
from molig.errors import InputError, UsageError


def judged(model, chosen):
    result = audit(audited(model, smiles=nci_smiles(20, 400), pairs=chosen), only=["activity-cliffs"])
    assert not result.failed
    return result


def test_right_pairs_are_quiet_and_reversed_ones_an_error():
    assert judged(trained(1), pairs("nitrogen", 0)).findings == []
    (finding,) = judged(trained(1), pairs("nitrogen", 0, -1.0)).findings
    assert finding.severity is Severity.ERROR
    assert "lower score" in finding.summary
    assert finding.evidence.molecules


def test_few_pairs_are_only_told(small_model):
    (finding,) = judged(small_model, pairs("nitrogen", 1, n=5)).findings
    assert finding.severity is Severity.INFO
    assert "too few" in finding.summary


def test_pairs_that_cannot_be_used_are_left_out(small_model):
    chosen = [ActivityPair("CCO", "nonsense", 1, "nitrogen"), ActivityPair("CCO", "OCC", 1, "nitrogen")]
    assert judged(small_model, chosen).results[0].outcome.measured["all tasks"]["pairs"] == 0


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
    assert result.outcome.measured["all tasks"]["pairs"] > 0


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
    assert set(similar_pairs(mols, values, 1.0, 0.5)) == expected


def test_overlap():
    found = overlap(Chem.MolFromSmiles("Cc1ccccc1O"), Chem.MolFromSmiles("Cc1ccccc1N"))
    assert found.share == pytest.approx(7 / 8)
    assert overlap(Chem.MolFromSmiles("C"), Chem.MolFromSmiles("N")) is None


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


def test_changed_attribution_has_whole_pairs(small_model):
    (explained,) = audited(small_model, smiles=["CCCN"], labels=None).explanations
    one = explained["nitrogen"]
    touched = (one.graph.pair_atoms == 3).any(axis=1)
    expected = one.own_atom_scores[3] + one.pair_scores[touched].sum()
    assert changed_attribution(one, np.array([3])) == pytest.approx(expected)
    everything = changed_attribution(one, np.arange(4)) + one.residual
    assert everything == pytest.approx(one.score - one.baseline_score)
