"""Molecules are read as Chemprop reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, rdBase

from foreign.chemprop_models import ODD, Kind, build, featurizer_of, graphs_of, predicted, real_chemprop, save
from molig.errors import UnknownNameError, UsageError
from molig.foreign import ChempropParser, InputOptions, load_chemprop
from molig.molecules import Molecule, Rejection

SMALL = Path(__file__).parent / "small.pt"
CLASSES = Kind("BinaryClassificationFFN", predictor={"n_tasks": 2})
OPTIONS = {
    "as written": {},
    "keep_h": {"keep_h": True},
    "add_h": {"add_h": True},
    "both": {"keep_h": True, "add_h": True},
    "ignore_stereo": {"ignore_stereo": True},
    "reorder_atoms": {"reorder_atoms": True},
}
MAPPED = ["[CH3:3][CH2:1][OH:2]", "[F:2][Cl:1]", "CCO", "[H]O[H]", "[2H]OC", "[H]/C(F)=C(/[H])Cl"]


@pytest.mark.parametrize("name", OPTIONS)
def test_molecules_equal_chemprops(name):
    real_chemprop()
    from chemprop.utils import make_mol

    parser = ChempropParser("none", **OPTIONS[name])
    for smiles in ODD + MAPPED:
        found = parser.parse_smiles(smiles)
        if isinstance(found, Rejection):
            assert found.reason.startswith(("metal only", "no atoms", "no heavy atoms")), found.reason
            continue
        with rdBase.BlockLogs():
            expected = make_mol(smiles, **OPTIONS[name])
        featurizer = featurizer_of("v2")
        mine, its = featurizer(found.mol), featurizer(expected)
        np.testing.assert_array_equal(mine.V, its.V, err_msg=smiles)
        np.testing.assert_array_equal(mine.E, its.E, err_msg=smiles)
        np.testing.assert_array_equal(mine.edge_index, its.edge_index, err_msg=smiles)


@pytest.mark.parametrize("name", OPTIONS)
def test_atoms_keep_their_places_in_the_input(name):
    parser = ChempropParser("none", **OPTIONS[name])
    for smiles in MAPPED:
        molecule = parser.parse_smiles(smiles)
        assert isinstance(molecule, Molecule)
        params = Chem.SmilesParserParams()
        params.removeHs = False
        written = Chem.MolFromSmiles(smiles, params)
        origin = molecule.origin or range(molecule.mol.GetNumAtoms())
        for atom, place in zip(molecule.mol.GetAtoms(), origin, strict=True):
            if place >= 0:
                source = written.GetAtomWithIdx(int(place))
                assert (atom.GetAtomicNum(), atom.GetAtomMapNum()) == (
                    source.GetAtomicNum(),
                    source.GetAtomMapNum(),
                )
            else:
                assert atom.GetAtomicNum() == 1
        assert len([place for place in origin if place >= 0]) == len({p for p in origin if p >= 0})


def test_options_that_contradict_each_other():
    with pytest.raises(UsageError, match="keep_h keeps hydrogens"):
        load_chemprop(SMALL, InputOptions(keep_h=True, standardization="parent"))
    with pytest.raises(UsageError, match="add_h"):
        ChempropParser("none", hydrogens="explicit")
    with pytest.raises(UnknownNameError, match="standardisation policy 'all'"):
        load_chemprop(SMALL, InputOptions(standardization="all"))


def test_many_compounds_with_written_hydrogens(nci_file):
    """What RDKit makes of them is what Chemprop reads, with the places of their atoms."""
    parser = ChempropParser("none")
    with rdBase.BlockLogs():
        for line in nci_file.read_text().splitlines()[:300]:
            mol = Chem.MolFromSmiles(line.split()[0])
            if mol is None or not mol.GetNumAtoms():
                continue
            smiles = Chem.MolToSmiles(Chem.AddHs(mol))
            expected, found = Chem.MolFromSmiles(smiles), parser.parse_smiles(smiles)
            if isinstance(found, Molecule):
                assert Chem.MolToSmiles(found.mol) == Chem.MolToSmiles(expected)
                assert len(found.origin or range(found.mol.GetNumAtoms())) == expected.GetNumAtoms()


def test_hydrogens_as_atoms_change_the_score(tmp_path):
    model = build(CLASSES)
    path = save(model, tmp_path / "m.pt")
    mols = [Chem.AddHs(Chem.MolFromSmiles(s)) for s in ("CCO", "c1ccccc1")]
    found = load_chemprop(path, InputOptions(add_h=True)).predict(["CCO", "c1ccccc1"])
    np.testing.assert_allclose(found.scores, predicted(model, graphs_of(mols, "v2")), atol=1e-5)


def test_salts_are_scored_whole_unless_asked_otherwise():
    whole, parent = load_chemprop(SMALL), load_chemprop(SMALL, InputOptions(standardization="parent"))
    salt, acid = "CC(=O)[O-].[Na+]", "CC(=O)O"
    scores = whole.predict([salt, acid]).scores
    assert np.abs(scores[0] - scores[1]).max() > 1e-4
    np.testing.assert_array_equal(*parent.predict([salt, acid]).scores)
