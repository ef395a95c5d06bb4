from __future__ import annotations

import numpy as np
import pytest
import torch
from rdkit import Chem
from support.planted import audited, changed

from audit.planted.stability import EVERY_LAYER, cancelling, in_training, last, recode_atoms, with_features
from molig.audit import AuditSettings, Severity, audit, subject_of
from molig.audit.checks import stability as stability_changes
from molig.audit.checks.stability import (
    FORMS,
    in_double,
    large_molecules,
    modules_in_training,
    on_device,
    other_device,
    readable,
    renumbered,
    rewritten,
    sign_flips,
)
from molig.stats.intervals import spearman

SMILES = [
    "CC(=O)Nc1ccc(O)cc1",
    "Cl.CN",
    "CC(=O)[O-].[Na+]",
    "c1ccc2[nH]ccc2c1",
    "OCC1OC(O)C(O)C(O)C1O",
    "CCO",
]


def findings(model, **settings):
    result = audited(model, smiles=SMILES * 3, labels=None, **settings)
    return audit(result, only=["stability"])


def test_a_sound_model_is_stable(small_model):
    result = findings(small_model)
    assert [f for f in result.findings if f.severity is not Severity.INFO] == []
    measured = result.results[0].outcome.measured
    assert max(v for k, v in measured["largest_change_of_score"].items() if not isinstance(v, str)) < 1e-4
    assert "no partner" in result.results[0].outcome.remark


def test_one_molecule(small_model):
    result = audit(subject_of(small_model, ["C"]), only=["stability"])
    assert not result.failed
    assert result.findings == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda model: with_features(model, recode_atoms(last, -1)), "numbering of the atoms"),
        (lambda model: in_training(model, EVERY_LAYER), "a different score each time"),
        (lambda model: changed(model, cancelling(1e6)), "Rounding matters"),
    ],
)
def test_a_defect_is_found(small_model, spoil, words):
    (finding,) = findings(spoil(small_model)).findings
    assert words in finding.summary
    assert finding.severity is not Severity.INFO


@pytest.mark.parametrize(("shift", "found"), [(0.01, True), (1e-5, False)])
def test_another_device_is_compared_in_the_same_precision(small_model, monkeypatch, shift, found):
    dtypes = []

    def shifted(network):
        network.head[-1].bias += shift

    def twin(model, device):
        assert device == "another"
        moved = changed(model, shifted)
        dtypes.append(moved.dtype)
        return moved

    monkeypatch.setattr(stability_changes, "other_device", lambda model: "another")
    monkeypatch.setattr(stability_changes, "on_device", twin)
    result = findings(small_model)
    told = [f for f in result.findings if "depends on the device" in f.summary]
    assert [f.severity for f in told] == [Severity.ERROR] * found
    change = result.results[0].outcome.measured["largest_change_of_score"]["device"]
    assert change == pytest.approx(shift, rel=0.1)
    assert dtypes == [small_model.dtype]


def test_another_device_gets_a_copy(small_model):
    spoiled = in_training(small_model, EVERY_LAYER)
    spoiled.featurizer = with_features(small_model, recode_atoms(last, -1)).featurizer
    training = [module.training for module in spoiled.network.modules()]
    assert any(training)
    twin = on_device(spoiled, "meta")
    assert (twin.device.type, twin.dtype, twin.featurizer) == ("meta", spoiled.dtype, spoiled.featurizer)
    assert {p.device.type for p in twin.network.parameters()} == {"meta"}
    assert {p.device.type for p in spoiled.network.parameters()} == {"cpu"}
    assert [module.training for module in twin.network.modules()] == training


@pytest.mark.parametrize(
    ("cuda", "kind", "other"), [(False, "cpu", None), (True, "cpu", "cuda"), (True, "cuda", "cpu")]
)
def test_the_other_device(small_model, monkeypatch, cuda, kind, other):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    twin = changed(small_model, lambda network: None)
    twin.device = torch.device(kind)
    assert other_device(twin) == other


def test_a_reversed_partner_is_found(small_model):
    def negate(network):
        network.head[-1].weight *= -1

    found = findings(small_model, partners=[changed(small_model, negate)]).findings
    assert any("disagree" in finding.summary for finding in found)
    itself = findings(small_model, partners=[small_model]).results[0].outcome.measured["partners"]
    assert all(n["score_correlation"] == pytest.approx(1) for n in itself.values())
    flipped = [n["share_of_signs_flipped"] for n in itself.values()]
    assert np.nan_to_num(flipped).tolist() == [0.0] * len(itself)


def test_forms_are_the_same_compound():
    rng = np.random.default_rng(0)
    for smiles in SMILES:
        mol = Chem.MolFromSmiles(smiles)
        for write in FORMS.values():
            assert Chem.CanonSmiles(write(mol, rng)) == Chem.CanonSmiles(smiles)


@pytest.mark.parametrize("smiles", SMILES)
def test_atoms_are_followed(small_model, smiles):
    molecule = small_model.parser.parse_smiles(smiles)
    rng = np.random.default_rng(1)
    for variant in (renumbered(molecule, rng), rewritten(small_model, molecule, rng)):
        found = variant.back(kinds(variant.molecule.mol), molecule.mol.GetNumAtoms())
        assert found.tolist() == kinds(molecule.mol).tolist()


def kinds(mol):
    return np.array([float(atom.GetAtomicNum() * 10 + atom.GetDegree()) for atom in mol.GetAtoms()])


def test_double_precision_keeps_parts(small_model):
    spoiled = with_features(small_model, recode_atoms(last, -1))
    assert in_double(spoiled).featurizer is spoiled.featurizer
    assert in_double(spoiled).dtype.itemsize == 8
    assert spoiled.dtype.itemsize == 4


def test_all_networks_of_a_committee_move(small_committee):
    double = in_double(small_committee)
    weights = [double.network.head[-1].weight, double.members[0].weight]
    assert [w.dtype for w in weights] == [torch.float64] * 2
    assert small_committee.members[0].weight.dtype == torch.float32
    assert double.members[1].size == small_committee.members[1].size
    assert {p.device.type for p in on_device(small_committee, "meta").members[0].parameters()} == {"meta"}


def test_parts_of_any_member_in_training_mode_are_named(small_committee):
    spoiled = in_double(small_committee)
    spoiled.members[0].dropout.train()
    assert modules_in_training(spoiled) == ["environments: dropout"]
    assert modules_in_training(spoiled.weave_alone()) == []
    assert modules_in_training(small_committee) == []
    spoiled.network.head.train()
    assert modules_in_training(spoiled.weave_alone()), "looking at the Weave network alone must not heal it"


def test_small_computations(small_model):
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert np.isnan(spearman([1, 1], [1, 2]))
    # The third atom matters in the second model only.
    assert sign_flips(np.array([1.0, -0.5, 0.01]), np.array([0.2, 0.3, -1.0])) == (1, 2)
    assert sign_flips(np.zeros(2), np.ones(2)) == (0, 0)
    assert all(m.mol.GetNumHeavyAtoms() > 100 for m in large_molecules(small_model))
    molecule = small_model.parser.parse_smiles("Cl.CN")
    assert readable(molecule).GetNumAtoms() == 3
    assert AuditSettings().partners == ()
