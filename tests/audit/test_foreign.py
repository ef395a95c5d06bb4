"""Audits of Chemprop models see what is planted in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from molig.audit import AuditSettings, AuditSubject, audit, subject_of
from molig.audit.checks.input_columns import first_weights
from molig.audit.checks.stability import in_double, modules_in_training
from molig.errors import UsageError
from molig.foreign import load_chemprop

SMALL = Path(__file__).parent.parent / "foreign" / "small.pt"
SMILES = [f"{'C' * n}{end}" for n in range(1, 9) for end in ("O", "N", "c1ccccc1", "C(=O)O")]


@pytest.fixture
def model():
    return load_chemprop(SMALL)


def test_a_column_that_no_weight_reads(model):
    weights = first_weights(model)
    assert {level: len(row) for level, row in weights.items()} == {
        "atom": model.schema.n_atom_columns,
        "pair": model.schema.n_pair_columns,
    }
    passing = model.networks[0].message_passing
    for layer in (passing.start, passing.finish):
        layer.weight[:, 5] = 0
    changed = first_weights(model)["atom"]
    assert np.flatnonzero(changed == 0).tolist() == [5]


def test_a_network_in_training_mode(model):
    assert modules_in_training(model) == []
    model.networks[0].train()
    named = modules_in_training(model)
    assert all(name.startswith("network 1: ") for name in named)


def test_logits_are_those_of_the_scores(model):
    subject = subject_of(model, SMILES)
    molecules = list(subject.molecules)
    assert subject.scores == pytest.approx(model.score_molecules(molecules), abs=1e-6)
    double = in_double(model)
    assert double.logits(subject.graphs) == pytest.approx(subject.logits, abs=1e-4)
    at_zero = model.logits(subject.graphs, np.zeros(len(molecules)))
    assert subject.baseline_logits.tolist() == at_zero.tolist()
    assert np.abs(at_zero - subject.logits).max() > 1e-3


def test_parts_are_audited_apart(model):
    both = type(model)("both", [*model.ensembles] * 2, model.preset, model.parser)
    with pytest.raises(UsageError, match="audited apart"):
        AuditSubject(both, subject_of(model, ["CCO"]).molecules)


def test_another_model_is_compared_with(model):
    result = audit(subject_of(model, SMILES, settings=AuditSettings(partners=(model,))), only=["stability"])
    assert not result.failed
    (check,) = result.results
    assert check.outcome.measured
