from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from rdkit import Chem
from support.planted import audited

from molig.audit import Severity, audit
from molig.audit.checks.long_range import MOST_FITTED, PAIRS, _drawn, distances
from molig.model import ScreeningModel

NAME = "long-range"
TASK = "carbonyl"


def spaced(n: int, extra: int) -> str:
    """A chlorine and an amine n carbons apart, and a branch of some length on another side."""
    return f"ClC{'C' * (n - 1)}N(C)C{'C' * extra}c1ccccc1"


def labelled(rule) -> tuple[list[str], np.ndarray]:
    """Molecules with the same groups at distances of 5 to 10 bonds, labelled by the distance."""
    apart = [(n, extra) for n in range(4, 10) for extra in range(12)]
    smiles = [spaced(n, extra) for n, extra in apart]
    return smiles, np.array([[float(rule(n))] * 2 for n, _ in apart])


def test_labels_of_a_distance_that_the_model_does_not_know(small_model: ScreeningModel) -> None:
    smiles, labels = labelled(lambda n: n in {5, 8})
    subject = audited(small_model, smiles=smiles, labels=labels, tasks=(TASK,), max_explained=10)
    (finding,) = audit(subject, only=[NAME]).findings
    assert finding.severity is Severity.WARNING
    assert "bonds apart" in finding.summary
    assert "proxies" in finding.advice
    assert len(finding.evidence.molecules) == 3
    numbers = finding.evidence.numbers[TASK]
    assert numbers["with_distances"] > 0.95
    assert numbers["gain_of_distances"]["low"] > 0.02


def test_labels_of_groups_are_no_finding(small_model: ScreeningModel) -> None:
    result = audit(audited(small_model, tasks=(TASK,), max_explained=10), only=[NAME]).results[0]
    assert result.outcome.findings == []
    assert abs(result.outcome.measured[TASK]["gain_of_distances"]["value"]) < 0.05


def test_a_model_that_knows_the_distance_is_no_finding(small_model: ScreeningModel) -> None:
    smiles, labels = labelled(lambda n: n in {5, 8})
    subject = audited(small_model, smiles=smiles, labels=labels, tasks=(TASK,), max_explained=10)
    # Its scores are cached on the subject; here they are the labels themselves.
    subject.__dict__["logits"] = np.nan_to_num(labels) * 8 - 4
    result = audit(subject, only=[NAME]).results[0]
    assert result.outcome.findings == []
    assert result.outcome.measured[TASK]["gain_of_distances"]["value"] > 0.05


@pytest.mark.parametrize("labels", [None, np.zeros((200, 2))])
def test_without_labels_of_both_classes_it_is_not_made(small_model: ScreeningModel, labels) -> None:
    result = audit(audited(small_model, labels=labels, tasks=(TASK,), max_explained=10), only=[NAME]).results[
        0
    ]
    assert "label" in result.skipped


def test_pairs_are_counted_once() -> None:
    mol = Chem.MolFromSmiles("ClCCCCN(C)CCCCCCl")
    found = dict(zip(PAIRS, distances([mol])[0], strict=True))
    assert found["halogen and base, 5 bonds apart"] == 1
    assert found["halogen and base, 6 bonds apart"] == 1
    halogens = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetSymbol() == "Cl"]
    apart = Chem.GetDistanceMatrix(mol)
    ((distance, n),) = [(int(apart[a, b]), 1) for a, b in combinations(halogens, 2)]
    assert found[f"halogen and halogen, {distance} bonds apart"] == n


def test_few_actives_are_all_drawn() -> None:
    labels = np.zeros((5000, 2))
    labels[[7, 4000, 4999], 1] = 1
    chosen = _drawn(labels, np.random.default_rng(0), actives_first=True)
    assert len(chosen) == MOST_FITTED == len(set(chosen.tolist()))
    assert {7, 4000, 4999} <= set(chosen.tolist())
    many = _drawn(np.ones((5000, 1)), np.random.default_rng(0), actives_first=True)
    assert len(many) == MOST_FITTED
