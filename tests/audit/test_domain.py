from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from support.planted import audited
from support.small_model import nci_smiles

from audit.planted.domain import SETS
from molig.audit import Severity, audit, subject_of
from molig.audit.checks.domain import carried_by_unseen
from molig.model import Applicability, ScreeningModel, load_model, save_model
from molig.model.domain import scaffold_hashes


def worst(model, smiles):
    result = audit(audited(model, smiles=smiles, labels=None), only=["domain"])
    assert not result.failed
    return max((f.severity for f in result.findings), key=lambda s: s.rank, default=None)


@pytest.mark.parametrize(
    "name", ["perfluorinated chains", "organogermanium compounds", "alkanes of 60 to 150 atoms"]
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
    assert "does not record" in result.skipped


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
    toluene = Applicability(domain.info, domain.fingerprints, domain.schema, scaffold_hashes(["c1ccccc1C"]))
    assert toluene.known_scaffold([Chem.MolFromSmiles("Oc1ccccc1")]).tolist() == [True]
    again = save_model(ScreeningModel(small_model.info, small_model.network, "cpu", old), tmp_path / "old")
    assert again.applicability.scaffolds is None
    (result,) = audit(subject_of(again, ["CCO"]), only=["domain"]).results
    assert "do not record the scaffolds" in result.outcome.remark
    hashes = scaffold_hashes(["CCO", "c1ccccc1"])
    old = again.applicability
    again.applicability = Applicability(old.info, old.fingerprints, old.schema, hashes)
    renewed = load_model((save_model(again, tmp_path / "new"), tmp_path / "new")[1])
    assert len(renewed.applicability.scaffolds) == 2


def test_new_scaffolds_are_worth_knowing(small_model):
    """Of four molecules two, and then three, have a ring system that no training molecule has."""
    new = ["C1CC1C2CCCCCCCCCCC2", "C1CCCCCCCCCCC1C3CCC3", "c1ccc2c(c1)CCC2C1CCCCCCC1"]
    known = ["CCO", "Oc1ccccc1"]
    subject = subject_of(small_model, [*new, known[0]])
    assert small_model.applicability.known_scaffold([m.mol for m in subject.molecules]).sum() == 1

    def about_scaffolds(smiles):
        (result,) = audit(subject_of(small_model, smiles), only=["domain"]).results
        share = result.outcome.measured["share_with_new_scaffold"]
        return share, [f for f in result.outcome.findings if "scaffold" in f.summary]

    assert about_scaffolds([*new[:2], *known]) == (0.5, [])
    share, (finding,) = about_scaffolds([*new, known[0]])
    assert share == finding.evidence.numbers["share_with_new_scaffold"] == 0.75
    assert finding.severity is Severity.INFO
    assert finding.summary.startswith("75% of the molecules have a ring scaffold")
    assert "scaffold split" in finding.advice


def test_columns_that_carry_attribution_unseen(small_model):
    """Of all columns only that of fluorine is unseen; it has the share of its atoms."""
    model = without_fluorine(small_model)
    subject = audited(model, smiles=["FC(F)CN"], labels=None)
    carried = carried_by_unseen(subject, model.applicability)
    shares = []
    for one in subject.explanations[0].values():
        total = np.abs(one.atom_attributions).sum() + np.abs(one.pair_attributions).sum()
        if abs(one.score - one.baseline_score) >= 0.01:
            shares.append(np.abs(one.atom_attributions[[0, 2]]).sum() / total)
    assert shares
    assert carried.columns == {"atom.type = F": pytest.approx(max(shares))}
