"""Tests of the check of input columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem
from support.planted import weave_network
from support.small_model import nci_smiles

from audit.planted import input_columns as planted
from molig.audit import AuditSettings, Finding, Severity, audit, subject_of
from molig.audit.checks.input_columns import (
    BY_DESIGN,
    ColumnTable,
    atom_scores_of,
    column_table,
    credits_of,
    dependent,
    duplicates,
    first_weights,
)
from molig.features import FeatureSchema, Featurizer, preset
from molig.model import ScreeningModel
from molig.network import WeaveNet, collate


def _table(smiles: list[str], level: str, name: str = "full", **options: Any) -> ColumnTable:
    schema = preset(name, **{"max_pair_distance": 2, **options})
    graphs = Featurizer(schema).featurize([Chem.MolFromSmiles(s) for s in smiles])
    return column_table(graphs, schema, level)


def _names(table: ColumnTable, places: Iterable[int]) -> list[str]:
    return [str(table.columns[i]) for i in places]


def test_table_holds_what_collate_feeds_the_network() -> None:
    """One-hot and numeric columns stand where the network sees them."""
    schema = preset("full", max_pair_distance=3, distance="cumulative")
    graphs = Featurizer(schema).featurize([Chem.MolFromSmiles(s) for s in nci_smiles(20)])
    batch = collate(graphs, schema, fold=False)
    assert np.array_equal(column_table(graphs, schema, "atom").values, batch.atom_inputs.numpy())
    assert np.array_equal(column_table(graphs, schema, "pair").values, batch.pair_inputs.numpy())


def test_constant_columns() -> None:
    """Cumulative bits from the pair limit on are constant, and nothing else is."""
    table = _table(nci_smiles(30), "pair", "simple", distance="cumulative")
    expected = [f"pair.distance_within: <={d}" for d in range(2, 8)]
    assert _names(table, np.flatnonzero(table.constant)) == expected
    assert not _table(nci_smiles(30), "atom").constant.any()


def test_duplicates_and_dependent_columns() -> None:
    """In alkylbenzenes aromatic and ring atoms are the same; elsewhere columns are independent."""
    table = _table(planted.alkylbenzenes(), "atom")
    chosen = np.flatnonzero((table.active >= 10) & ~table.constant).tolist()
    groups = [_names(table, group) for group in duplicates(table, chosen)]
    assert ["atom.ring_sizes: 6", "atom.aromatic: aromatic"] in groups
    varied = _table(nci_smiles(100), "atom")
    chosen = np.flatnonzero(varied.active >= 10).tolist()
    assert dependent(varied, chosen, np.random.default_rng(0), BY_DESIGN) == []


def test_dependent_sum() -> None:
    """A distance of 1 is the sum of the bond orders, which is no finding only because it is by design."""
    table = _table(nci_smiles(60), "pair")
    chosen = np.flatnonzero(table.active >= 10).tolist()
    rng = np.random.default_rng(0)
    assert "pair.distance = 1" in _names(table, dependent(table, chosen, rng, {}))
    assert dependent(table, chosen, rng, BY_DESIGN) == []


@pytest.fixture(scope="module")
def full() -> ScreeningModel:
    """A network with numeric columns."""
    return weave_network("hiv")


def test_credits_add_up(full: ScreeningModel) -> None:
    """Credits are the sums of the explanations' own tables."""
    subject = subject_of(full, ["CC(=O)Nc1ccc(O)cc1", "C[N+](C)(C)CC(=O)[O-]"])
    whys = [by["HIV_active"] for by in subject.explanations]
    credit = credits_of(whys, full.schema)
    tables = {"atom": [w.features for w in whys], "pair": [w.pairs for w in whys]}
    for level, frames in tables.items():
        for i, column in enumerate(full.schema.columns(level)):
            rows = [f[(f.block == column.block) & (f.category == column.name)] for f in frames]
            assert credit[level].absolute[i] == pytest.approx(
                sum(r.score.abs().sum() for r in rows), abs=1e-12
            )
            assert credit[level].uses[i] == sum((r.value != 0).sum() for r in rows)


def test_atom_scores_of_all_columns_are_the_atom_scores(full: ScreeningModel) -> None:
    """Scores of some columns and of the others add up."""
    (why,) = [by["HIV_active"] for by in subject_of(full, ["CC(=O)Nc1ccc(O)cc1"]).explanations]
    n_atom, n_pair = full.schema.n_atom_columns, full.schema.n_pair_columns
    some = atom_scores_of(why, {"atom": range(5), "pair": [1, 6]})
    rest = atom_scores_of(
        why, {"atom": range(5, n_atom), "pair": [i for i in range(n_pair) if i not in (1, 6)]}
    )
    assert some + rest == pytest.approx(why.atom_scores)


def test_silenced_column_has_no_weights(small_model: ScreeningModel) -> None:
    """Only the silenced column is without weights, and the check names it."""
    model = planted.scale("atom", "type=O", 0.0)(small_model)
    assert np.flatnonzero(first_weights(model)["atom"] == 0).tolist() == [3]
    result = audit(
        subject_of(model, nci_smiles(40, 400), settings=AuditSettings(max_explained=10)),
        only=["input-columns"],
    ).results[0]
    assert result.status == "warning"
    assert "ignores atom.type = O" in result.outcome.findings[0].summary


def _columns_of(model: ScreeningModel, explained: ScreeningModel | None = None) -> list[Finding]:
    subject = subject_of(model, nci_smiles(40, 400), settings=AuditSettings(max_explained=20))
    if explained:
        subject = planted.explained_by(subject, explained)
    found: list[Finding] = audit(subject, only=["input-columns"]).results[0].outcome.findings
    return [finding for finding in found if finding.severity is not Severity.INFO]


def test_column_whose_attribution_vanishes_although_it_is_read(small_model: ScreeningModel) -> None:
    """The first layer reads oxygen, but by a unit that nothing reads."""
    model = planted.disconnect("type=O")(small_model)
    assert first_weights(model)["atom"][3] > 0
    (finding,) = _columns_of(model)
    assert finding.severity is Severity.WARNING
    assert finding.evidence.numbers["by_weights"] == []
    assert finding.evidence.numbers["by_attribution"] == ["atom.type = O"]
    assert "is zero throughout" in finding.summary
    assert "does not read" not in finding.summary


def test_each_ignored_column_with_its_own_reason(small_model: ScreeningModel) -> None:
    """One column without weights and one without attribution: a sentence for each."""
    model = planted.scale("atom", "type=N", 0.0)(planted.disconnect("type=O")(small_model))
    (finding,) = _columns_of(model)
    assert finding.evidence.numbers["by_weights"] == ["atom.type = N"]
    assert "does not read atom.type = N." in finding.summary
    assert "The attribution of atom.type = O is zero throughout" in finding.summary


def test_attribution_on_a_column_without_weights_is_an_error(small_model: ScreeningModel) -> None:
    """Explanations of the network as it was before it lost the weights of oxygen."""
    (finding,) = _columns_of(planted.scale("atom", "type=O", 0.0)(small_model), explained=small_model)
    assert finding.severity is Severity.ERROR
    assert "although the first layer does not read them" in finding.summary
    assert list(finding.evidence.features) == ["atom.type = O"]
    assert finding.evidence.numbers["share"] > 0.01
    assert finding.evidence.molecules


def test_slot_for_other_elements(small_model: ScreeningModel) -> None:
    """A slot whose weights are far larger than those of other elements is found."""
    model = planted.scale("atom", "type=other", 20.0)(small_model)
    subject = subject_of(model, planted.with_other(), settings=AuditSettings(max_explained=10))
    result = audit(subject, only=["input-columns"]).results[0]
    assert any("atom.type = other" in f.summary and f.severity == "warning" for f in result.outcome.findings)


def _untrained(model: ScreeningModel, schema: FeatureSchema) -> ScreeningModel:
    info = model.info.model_copy(update={"feature_schema": schema.to_dict(), "schema_hash": schema.hash})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = WeaveNet(info.network, schema.n_atom_columns, schema.n_pair_columns, len(info.tasks))
    return ScreeningModel(info, network)


def test_always_on_bits_are_an_error_even_for_one_molecule(small_model: ScreeningModel) -> None:
    """The known case: cumulative distances, here in a network that was not trained."""
    schema = preset("simple", max_pair_distance=2, distance="cumulative")
    model = _untrained(small_model, schema)
    result = audit(subject_of(model, ["CC(=O)Oc1ccccc1C(=O)O"]), only=["input-columns"]).results[0]
    first = result.outcome.findings[0]
    assert first.severity == "error"
    assert list(first.evidence.features) == [f"pair.distance_within: <={d}" for d in range(2, 8)]
    assert first.evidence.molecules


@pytest.mark.parametrize("smiles", [["C"], ["CCO"], ["C", "O", "N"], nci_smiles(40, 400)])
def test_healthy_model_is_quiet(small_model: ScreeningModel, smiles: list[str]) -> None:
    """No warning, down to a molecule of one atom."""
    subject = subject_of(small_model, smiles, settings=AuditSettings(max_explained=20))
    assert audit(subject, only=["input-columns"]).results[0].status in ("ok", "info")
