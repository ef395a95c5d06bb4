from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from support.planted import audited
from support.small_model import nci_smiles

from audit.planted.domain import SETS
from molig.audit import Severity, audit, subject_of
from molig.model import Applicability, ScreeningModel, load_model, save_model


def worst(model, smiles):
    result = audit(audited(model, smiles=smiles, labels=None), only=["domain"])
    assert not result.failed
    return max((f.severity for f in result.findings), key=lambda s: s.rank, default=None)


@pytest.mark.parametrize(
    "name", ["perfluorinated chains", "organotin compounds", "alkanes of 60 to 150 atoms"]
)
def test_another_chemistry_is_found(small_model, name):
    assert worst(small_model, SETS[name]) is Severity.ERROR


def test_molecules_of_training_are_known(small_model):
    assert worst(small_model, nci_smiles(60)) in (None, Severity.INFO)


def test_a_single_strange_molecule_is_no_warning(small_model):
    assert worst(small_model, ["C" * 150]) is Severity.INFO


def test_a_model_without_domain_is_passed_over(small_model):
    bare = ScreeningModel(small_model.info, small_model.network)
    (result,) = audit(subject_of(bare, ["CCO"]), only=["domain"]).results
    assert "does not know" in result.skipped


def without_fluorine(model):
    """The domain as it is, but for the fluorine that training is said not to have had."""
    old = model.applicability
    seen = tuple(name for name in old.info.categories["atom.type"] if name != "F")
    info = old.info.model_copy(update={"categories": old.info.categories | {"atom.type": seen}})
    return ScreeningModel(
        model.info, model.network, "cpu", Applicability(info, old.fingerprints, old.schema, old.scaffolds)
    )


def test_attribution_on_unseen_columns_is_counted(small_model):
    model = without_fluorine(small_model)
    graph = model.featurize([Chem.MolFromSmiles("CCF")])[0]
    atoms, pairs = model.applicability.unseen_entries(graph)
    assert atoms.tolist() == [[False], [False], [True]]
    assert not pairs.any()
    subject = audited(model, smiles=["CCN", "CCF", "FC(F)CN"], labels=None)
    measured = audit(subject, only=["domain"]).results[0].outcome.measured
    shares = []
    for explained in subject.explanations[1:]:
        for one in explained.values():
            fluorine = [a.GetSymbol() == "F" for a in one.mol.GetAtoms()]
            total = np.abs(one.atom_attributions).sum() + np.abs(one.pair_attributions).sum()
            if abs(one.score - one.baseline_score) >= 0.01:
                shares.append(np.abs(one.atom_attributions[fluorine]).sum() / total)
    assert measured["largest_attribution_on_unseen"] == pytest.approx(max(shares, default=0.0))


def test_scaffolds(small_model, tmp_path):
    domain = small_model.applicability
    mols = [Chem.MolFromSmiles(s) for s in ("CCO", "C1CC1C2CCCCCCCCCCC2")]
    assert domain.known_scaffold(mols).tolist() == [True, False]
    old = Applicability(domain.info, domain.fingerprints, domain.schema)
    assert old.known_scaffold(mols) is None
    assert old.with_scaffolds(["c1ccccc1C"]).known_scaffold([Chem.MolFromSmiles("Oc1ccccc1")]).tolist() == [
        True
    ]
    again = save_model(ScreeningModel(small_model.info, small_model.network, "cpu", old), tmp_path / "old")
    assert again.applicability.scaffolds is None
    (result,) = audit(subject_of(again, ["CCO"]), only=["domain"]).results
    assert "do not tell the scaffolds" in result.outcome.remark
    again.applicability = again.applicability.with_scaffolds(["CCO", "c1ccccc1"])
    renewed = load_model((save_model(again, tmp_path / "new"), tmp_path / "new")[1])
    assert len(renewed.applicability.scaffolds) == 2
