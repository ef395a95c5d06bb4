"""Scores of a scored molecule reach the atoms that the truth speaks of."""

import numpy as np
import pytest
from rdkit import Chem
from support.explanations import made_up, parsed

from molig.benchmark.explained import projected_scores, read_scores, scores_of_truth_atoms, truth_atoms
from molig.benchmark.recipe import AttributionOptions, Projection
from molig.errors import InputError
from molig.features import preset
from molig.molecules import Hydrogens, MoleculeParser, Record

SCHEMA = preset("simple", max_pair_distance=2)


@pytest.mark.parametrize("smiles", ["CC(=O)Oc1ccccc1", "C[N+](C)(C)CC(=O)[O-]", "C"])
@pytest.mark.parametrize("hydrogens", list(Hydrogens))
def test_unchanged_molecules_have_the_order_of_the_truth(smiles, hydrogens):
    mol = MoleculeParser("none", hydrogens=hydrogens).parse_smiles(smiles)
    truth = Chem.MolFromSmiles(smiles)
    truth = Chem.AddHs(truth) if hydrogens is Hydrogens.EXPLICIT else truth
    assert truth_atoms(mol.mol, truth).tolist() == list(range(truth.GetNumAtoms()))


@pytest.mark.parametrize(("hydrogens", "places"), [("implicit", [1, 2]), ("explicit", [1, 2, 1, 3, 4, 5])])
def test_a_labelled_hydrogen_of_the_truth_is_part_of_its_neighbour(hydrogens, places):
    mol = MoleculeParser("none", hydrogens=hydrogens).parse_smiles("[2H]OC")
    truth = Chem.MolFromSmiles("[2H]OC")
    truth = Chem.AddHs(truth) if hydrogens == "explicit" else truth
    assert truth_atoms(mol.mol, truth).tolist() == places


def test_atoms_that_standardisation_took_away_score_zero():
    mol = parsed(Record(1, "salt", "[Na+].CC(=O)[O-]")).mol
    truth = Chem.MolFromSmiles("[Na+].CC(=O)[O-]")
    assert scores_of_truth_atoms(np.arange(1.0, 5.0), mol, truth).tolist() == [0, 1, 2, 3, 4]


def test_hydrogens_without_a_truth_count_for_their_neighbour():
    mol = parsed(Record(1, "methanol", "CO"), Hydrogens.EXPLICIT).mol
    scores = np.array([0.5, 0.25, 1.0, 1.0, 1.0, 2.0])
    assert scores_of_truth_atoms(scores, mol, Chem.MolFromSmiles("CO")).tolist() == [3.5, 2.25]


def test_hydrogens_of_a_standardised_salt_find_their_truth():
    mol = parsed(Record(1, "salt", "Cl.CN"), Hydrogens.EXPLICIT).mol
    truth = Chem.AddHs(Chem.MolFromSmiles("Cl.CN"))  # Cl C N, then the hydrogens: 1, 3, 2
    found = truth_atoms(mol, truth).tolist()
    assert found == [1, 2, 4, 5, 6, 7, 8]


def test_another_molecule_is_refused():
    with pytest.raises(InputError, match="atom 2, the truth only 2 atoms"):
        truth_atoms(Chem.MolFromSmiles("CCC"), Chem.MolFromSmiles("CC"))


def test_rings_are_read_whole_if_a_recipe_says_so():
    why = made_up(SCHEMA, parsed(Record(1, "indanol", "c1ccc2c(c1)CCC2O")))
    plain, rings = (read_scores(why, AttributionOptions(rings=rings)) for rings in (False, True))
    np.testing.assert_array_equal(plain, why.atom_scores)
    oxygen = why.mol.GetNumAtoms() - 1
    assert rings[oxygen] == plain[oxygen]
    np.testing.assert_allclose(rings.sum(), plain.sum(), atol=1e-12)
    benzene_only = [0, 1, 2, 5]
    assert np.ptp(rings[benzene_only]) < 1e-12 < np.ptp(plain[benzene_only])


def test_projections_share_out_the_pairs_that_they_name():
    why = made_up(SCHEMA, parsed(Record(1, "propanol", "CCCO")))
    for projection, kinds in (("all", (True, False)), ("bonded", (True,)), ("own", ())):
        expected = why.own_atom_scores.copy()
        for (i, j), score in zip(why.graph.pair_atoms.tolist(), why.pair_scores, strict=True):
            if (why.mol.GetBondBetweenAtoms(i, j) is not None) in kinds:
                expected[[i, j]] += score / 2
        np.testing.assert_allclose(projected_scores(why, Projection(projection)), expected, atol=1e-12)
