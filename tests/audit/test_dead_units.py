"""Tests of the check of dead units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.planted import Case, changed, judge
from support.small_model import nci_smiles

from audit.planted import dead_units as planted
from molig.audit import AuditSettings, audit, subject_of
from molig.audit.checks.dead_units import Layer, kinds_of_rows, layers
from molig.model import ScreeningModel
from molig.network import collate

CHOSEN = {
    "tox21-w2n2-simple: 80 % of module 1 A->A",
    "tox21-w2n2-simple: 12 % of the channels",
    "tox21-w2n2-simple: 10 % of the histogram read by nothing",
    "tox21-w2n2-simple, 100 molecules",
    "hiv, 100 molecules",
}


@pytest.mark.parametrize(
    "case", [c for c in planted.cases(0) if c.name in CHOSEN], ids=lambda case: case.name
)
def test_planted(case: Case) -> None:
    """Dead units are found where they were planted, and nowhere else."""
    assert judge("dead-units", case).right


def _layer(low: list[float], high: list[float]) -> Layer:
    return Layer("some", "state", np.array(low), np.array(high), np.zeros(len(low), dtype=bool))


def test_dead_is_constant_but_for_rounding_or_not_finite() -> None:
    """Constant, rounded and broken units are dead; a small but real change is not."""
    found = _layer([2.0, 2.0, 0.0, np.nan, 0.0, 0.0], [2.0, 2.000001, 0.01, np.nan, np.inf, 0.0])
    assert found.dead.tolist() == [True, True, False, True, True, True]


def test_ranges_are_those_of_the_states(small_model: ScreeningModel) -> None:
    """Ranges agree with states that are computed without batches and hooks."""
    graphs = subject_of(small_model, nci_smiles(70, 400)).graphs
    found = {layer.name: layer for layer in layers(small_model, graphs)}
    network = small_model.network
    with torch.no_grad():
        batch = collate(graphs, small_model.schema)
        states = network.atom_states(batch).numpy()
        pooled = network.readout(torch.from_numpy(states), batch.atom_counts)
        hidden = torch.relu(network.head[1](network.head[0](pooled))).numpy()
        outputs = network(batch).numpy()
    for name, values in (("last atom layer", states), ("head 1", hidden), ("outputs", outputs)):
        assert found[name].low == pytest.approx(values.min(axis=0), abs=1e-4)
        assert found[name].high == pytest.approx(values.max(axis=0), abs=1e-4)
    assert {layer.kind for layer in found.values()} == {
        "operation",
        "state",
        "channel",
        "bin",
        "head",
        "output",
    }


def test_atom_to_pair_is_what_the_module_computes(small_model: ScreeningModel) -> None:
    """Pair states follow from the operations that were watched, so a silenced one shows."""
    silent = changed(small_model, planted.silence("modules_.0.atom_to_pair", 1.0))
    graphs = subject_of(small_model, nci_smiles(30, 400)).graphs
    dead = {layer.name: layer.dead.all() for layer in layers(silent, graphs)}
    assert dead["module 1: A->P"]
    assert not dead["module 1: P->P"]


def test_unread_units(small_model: ScreeningModel) -> None:
    """Units without outgoing weights are unread, and only those."""

    def edit(network: torch.nn.Module) -> None:
        network.get_submodule("modules_.1").atom_out.weight[:, [1, 9]] = 0.0

    graphs = subject_of(small_model, nci_smiles(20, 400)).graphs
    found = {layer.name: layer.unread for layer in layers(changed(small_model, edit), graphs)}
    assert np.flatnonzero(found["module 2: A->A"]).tolist() == [1]
    assert np.flatnonzero(found["module 2: P->A"]).tolist() == [1]
    assert not found["module 1: atom states"].any()


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [(["CCO"], "fewer than 20"), (["C" * n for n in range(1, 25)], "too alike"), (["C"] * 30, "too alike")],
)
def test_skipped(small_model: ScreeningModel, smiles: list[str], reason: str) -> None:
    """Too few or too similar molecules are no ground for findings."""
    result = audit(subject_of(small_model, smiles), only=["dead-units"]).results[0]
    assert reason in result.skipped


def test_the_same_again(small_model: ScreeningModel) -> None:
    """Two audits measure the same."""
    subject = subject_of(small_model, nci_smiles(40, 400), settings=AuditSettings(seed=3))
    first, second = (audit(subject, only=["dead-units"]).results[0].outcome.measured for _ in range(2))
    assert first == second


def test_kinds_of_rows(small_model: ScreeningModel) -> None:
    """Ethanol has two kinds of atoms and two of pairs."""
    assert kinds_of_rows(subject_of(small_model, ["CCO"]).graphs) == (2, 2)
