from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from support.planted import audited, changed

from audit.planted.stability import EVERY_LAYER, cancelling, in_training, last, recode_atoms, with_features
from molig.audit import AuditSettings, Severity, audit, subject_of
from molig.audit.stability_partners import rank_correlation, sign_flips
from molig.audit.stability_variants import FORMS, in_double, large_molecules, readable, renumbered, rewritten

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
        (lambda model: in_training(model, EVERY_LAYER), "another score each time"),
        (lambda model: changed(model, cancelling(1e6)), "Rounding is felt"),
    ],
)
def test_a_defect_is_found(small_model, spoil, words):
    (finding,) = findings(spoil(small_model)).findings
    assert words in finding.summary
    assert finding.severity is not Severity.INFO


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


def test_small_computations(small_model):
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert np.isnan(rank_correlation([1, 1], [1, 2]))
    assert sign_flips(np.zeros(2), np.ones(2)) == (0, 0)
    assert all(m.mol.GetNumHeavyAtoms() > 100 for m in large_molecules(small_model))
    molecule = small_model.parser.parse_smiles("Cl.CN")
    assert readable(molecule).GetNumAtoms() == 3
    assert AuditSettings().partners == ()
