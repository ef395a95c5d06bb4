"""Audits of models of other packages: every check is made, or says why not."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from sklearn.ensemble import RandomForestClassifier
from support.small_model import nci_smiles
from support.torch_networks import MessagePassing

from molig.audit import AuditSettings, AuditSubject, audit, subject_of
from molig.audit.checks.dead_units import activations_of
from molig.audit.checks.input_columns import first_weights
from molig.audit.checks.randomisation import atom_scores, layers_of_model, redrawn
from molig.audit.checks.stability import in_double, modules_in_training
from molig.audit.report import audit_data, audit_html, audit_markdown
from molig.audit.subject import networks_of
from molig.errors import UsageError
from molig.foreign import FingerprintModel, load_chemprop
from molig.foreign.fingerprints import MorganFingerprint

SMALL = Path(__file__).parent.parent / "foreign" / "small.pt"
CHAINS = [f"{'C' * n}{end}" for n in range(1, 9) for end in ("O", "N", "c1ccccc1", "C(=O)O")]
NO_LABELS = {"shortcut-fragments", "activity-cliffs", "long-range"}


@pytest.fixture(scope="module")
def smiles(nci_file):
    return nci_smiles(40, 0)


@pytest.fixture(scope="module")
def model():
    return load_chemprop(SMALL)


@pytest.fixture(scope="module")
def graphs(model, smiles):
    return subject_of(model, smiles).graphs


@pytest.fixture(scope="module")
def result(model, smiles):
    return audit(subject_of(model, smiles, settings=AuditSettings(max_explained=12)), source="nci")


def test_every_check_is_made_or_says_why_not(result):
    assert not result.failed, [finding.summary for finding in result.findings]
    skipped = {r.check.name: r.skipped for r in result.results if r.skipped}
    assert set(skipped) == NO_LABELS | {"domain"}
    assert "does not record what its training molecules were like" in skipped["domain"]
    data = audit_data(result)
    assert data["model"]["digest"] == result.subject.model.digest()
    for text in (audit_html(result), audit_markdown(result), json.dumps(data)):
        assert "small" in text


def test_logits_are_those_of_the_scores_and_of_the_baseline(model, smiles, graphs):
    scores = model.predict(smiles).scores
    np.testing.assert_allclose(1 / (1 + np.exp(-model.logits(graphs))), scores, atol=1e-6)
    n = np.arange(len(graphs))
    start = model.relax(graphs).outputs(n, np.zeros(graphs.n_atoms), np.zeros(graphs.n_pairs))
    np.testing.assert_allclose(model.logits(graphs, np.zeros(len(graphs))), start, atol=1e-6)


def test_the_zero_baseline_is_judged_beside_the_fitted_one(result):
    (check,) = [r for r in result.results if r.check.name == "baseline"]
    for numbers in check.outcome.measured.values():
        assert numbers["share_not_neutral"] == 1
        assert numbers["neutral_median"] < numbers["median"]
    (zero, *_) = [finding for finding in check.outcome.findings if "zero baseline" in finding.summary]
    assert zero.severity.value == "warning"
    assert "scores above 0.02 on 2 of 2 tasks" in zero.summary


def test_units_of_every_activation_and_a_dead_one(smiles):
    model = load_chemprop(SMALL)
    found = {layer.name: layer for layer in activations_of(model, subject_of(model, smiles).graphs)}
    depth = model.networks[0].message_passing.depth
    messages = [name for name in found if name.startswith("message_passing.activation")]
    assert len(messages) == depth + 1
    assert found["outputs"].low.shape == (2,)
    layer = model.networks[0].predictor.layers[0]
    layer.weight[3], layer.bias[3] = 0, -1  # relu of it is 0
    again = {layer.name: layer for layer in activations_of(model, subject_of(model, smiles).graphs)}
    assert again["predictor.activations.0"].dead[3]
    model.networks[0].predictor.layers[1].weight[:, 5] = 0
    again = {layer.name: layer for layer in activations_of(model, subject_of(model, smiles).graphs)}
    assert again["predictor.activations.0"].unread[5]
    assert not found["predictor.activations.0"].unread.any()


def test_hooks_are_taken_away(model, graphs):
    activations_of(model, graphs)
    hooks = [m._forward_hooks for network in networks_of(model).values() for m in network.modules()]
    assert not any(hooks)


def test_each_layer_can_be_drawn_anew(model, graphs):
    before = atom_scores(model, graphs.select([0, 1]), [0])
    layers = layers_of_model(model)
    assert layers[0].name.startswith("predictor.layers")
    for layer in layers:
        after = atom_scores(redrawn(model, [layer], seed=7), graphs.select([0, 1]), [0])
        assert not np.allclose(before[0], after[0]), layer.name
    np.testing.assert_array_equal(before[0], atom_scores(model, graphs.select([0, 1]), [0])[0])


def test_weights_of_input_columns(model):
    found = first_weights(model)
    passing = model.networks[0].message_passing
    assert found["atom"].shape == (model.sizes.atom,)
    assert found["pair"].shape == (model.sizes.bond,)
    column = passing.start.weight[:, 2].abs().max(), passing.finish.weight[:, 2].abs().max()
    assert found["atom"][2] == pytest.approx(float(max(column)))


def test_a_column_that_nothing_reads_is_found(smiles):
    model = load_chemprop(SMALL)
    passing = model.networks[0].message_passing
    carbon = [str(column) for column in model.schema.columns("atom")].index("atom.element = C")
    passing.start.weight[:, carbon] = 0
    passing.finish.weight[:, carbon] = 0
    found = audit(subject_of(model, smiles, settings=AuditSettings(max_explained=8)), only=["input-columns"])
    assert any("ignores atom.element = C" in finding.summary for finding in found.findings)


def test_networks_of_anything():
    assert networks_of(object()) == {}
    assert list(networks_of(type("Model", (), {"network": MessagePassing()})())) == [""]


def test_admet_ai_is_audited_by_parts(smiles):
    if find_spec("admet_ai") is None:
        pytest.skip("ADMET-AI is not installed")
    import molig

    model = molig.load_model("admet-ai")
    with pytest.raises(UsageError, match=r"tasks of both kinds, .* give one of its parts\(\)"):
        subject_of(model, smiles)
    for part in model.parts():
        subject = subject_of(part, smiles[:20], settings=AuditSettings(tasks=part.tasks[:1], max_explained=1))
        found = audit(subject, only=["dead-units", "baseline", "integration"])
        assert not found.failed
        (check,) = [r for r in found.results if r.check.name == "dead-units"]
        assert "network 5: message_passing.activation" in check.outcome.measured


@pytest.fixture
def fresh():
    """A model that a test may change."""
    return load_chemprop(SMALL)


def test_a_column_that_no_weight_reads(fresh):
    weights = first_weights(fresh)
    assert {level: len(row) for level, row in weights.items()} == {
        "atom": fresh.schema.n_atom_columns,
        "pair": fresh.schema.n_pair_columns,
    }
    passing = fresh.networks[0].message_passing
    for layer in (passing.start, passing.finish):
        layer.weight[:, 5] = 0
    changed = first_weights(fresh)["atom"]
    assert np.flatnonzero(changed == 0).tolist() == [5]


def test_a_network_in_training_mode(fresh):
    assert modules_in_training(fresh) == []
    fresh.networks[0].train()
    named = modules_in_training(fresh)
    assert all("network" not in name for name in named)


def test_logits_are_those_of_the_scores(fresh):
    subject = subject_of(fresh, CHAINS)
    molecules = list(subject.molecules)
    assert subject.scores == pytest.approx(fresh.score_molecules(molecules), abs=1e-6)
    double = in_double(fresh)
    assert double.logits(subject.graphs) == pytest.approx(subject.logits, abs=1e-4)
    at_zero = fresh.logits(subject.graphs, np.zeros(len(molecules)))
    assert subject.baseline_logits.tolist() == at_zero.tolist()
    assert np.abs(at_zero - subject.logits).max() > 1e-3


def test_parts_are_audited_apart(fresh):
    both = type(fresh)("both", [*fresh.ensembles] * 2, fresh.preset, fresh.parser)
    with pytest.raises(UsageError, match="audited apart"):
        AuditSubject(both, subject_of(fresh, ["CCO"]).molecules)


def test_another_model_is_compared_with(fresh):
    result = audit(subject_of(fresh, CHAINS, settings=AuditSettings(partners=(fresh,))), only=["stability"])
    assert not result.failed
    (check,) = result.results
    assert check.outcome.measured


def test_a_forest_is_audited_but_for_its_inside(smiles):
    mols = [Chem.MolFromSmiles(one) for one in smiles]
    fingerprint = MorganFingerprint.named("morgan:radius=2,bits=1024,counts")
    labels = np.array([any(atom.GetSymbol() == "N" for atom in mol.GetAtoms()) for mol in mols])
    forest = RandomForestClassifier(10, random_state=0).fit(fingerprint.of(mols), labels)
    settings = AuditSettings(max_explained=10)
    subject = subject_of(
        FingerprintModel(forest, fingerprint), smiles, labels[:, None].astype(float), settings
    )
    assert np.isfinite(subject.logits).all()
    found = audit(subject)
    assert not found.failed, [finding.summary for finding in found.findings]
    status = {r.check.name: r.status for r in found.results}
    inside = "identical-attribution", "dead-units", "baseline", "saturation", "randomisation"
    assert {status[name] for name in inside} == {"skipped"}
    assert status["stability"] == "ok"
    assert all(r.check.title in audit_html(found) for r in found.results)
