"""Features belong to the molecule, not to the order in which its atoms were written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molig.features import Featurizer, MolGraph, preset

from .molecules import DIVERSE
from .reading import atoms_of, only, pairs_of, slow_atoms, slow_pairs

SCHEMAS = {
    "simple-2": preset("simple", max_pair_distance=2),
    "full-unlimited": preset("full", max_pair_distance=None),
    "full-cumulative": preset("full", max_pair_distance=7, distance="cumulative"),
}
FEATURIZERS = {name: Featurizer(schema) for name, schema in SCHEMAS.items()}
MOLECULES = {name: Chem.MolFromSmiles(smiles) for name, smiles in DIVERSE.items()}

all_schemas = pytest.mark.parametrize("schema", SCHEMAS)


@all_schemas
@pytest.mark.parametrize("molecule", DIVERSE)
def test_agrees_with_the_slow_road(schema, molecule):
    mol, featurizer = MOLECULES[molecule], FEATURIZERS[schema]
    graph, blocks = featurizer(mol), {block.name for block in featurizer.schema.atom_blocks}
    compared = blocks - {"chirality", "partial_charge", "hydrogen_bonding"}
    atoms = [only(row, *compared) for row in atoms_of(graph, featurizer.schema)]
    assert atoms == [only(row, *compared) for row in slow_atoms(mol)]

    coding = "cumulative" if "cumulative" in schema else "one-hot"
    expected = slow_pairs(mol, featurizer.schema.max_pair_distance, coding)
    pair_blocks = [block.name for block in featurizer.schema.pair_blocks]
    found = pairs_of(graph, featurizer.schema)
    assert found == {pair: only(row, *pair_blocks) for pair, row in expected.items()}


def assert_renumbered(graph: MolGraph, original: MolGraph, old: list[int]) -> None:
    """Atom k of ``graph`` is atom ``old[k]`` of ``original``."""
    np.testing.assert_array_equal(graph.atom_codes, original.atom_codes[old])
    np.testing.assert_allclose(graph.atom_values, original.atom_values[old], atol=1e-6)
    assert (graph.pair_atoms[:, 0] < graph.pair_atoms[:, 1]).all()
    rows = {tuple(sorted(pair)): row for row, pair in enumerate(original.pair_atoms.tolist())}
    assert len(graph.pair_atoms) == len(rows)
    same = [rows[tuple(sorted((old[i], old[j])))] for i, j in graph.pair_atoms.tolist()]
    np.testing.assert_array_equal(graph.pair_codes, original.pair_codes[same])
    np.testing.assert_array_equal(graph.pair_values, original.pair_values[same])


@all_schemas
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_renumbering_the_atoms_renumbers_the_rows(schema, data):
    mol = MOLECULES[data.draw(st.sampled_from(sorted(MOLECULES)))]
    old = data.draw(st.permutations(range(mol.GetNumAtoms())))
    featurizer = FEATURIZERS[schema]
    assert_renumbered(featurizer(Chem.RenumberAtoms(mol, old)), featurizer(mol), old)


@all_schemas
@pytest.mark.parametrize("molecule", sorted(set(DIVERSE) - {"deuteromethane", "hydrogen"}))
def test_another_spelling_gives_the_same_rows(schema, molecule):
    """Rings, aromaticity and stereochemistry are perceived anew from a SMILES in random order."""
    mol, featurizer = MOLECULES[molecule], FEATURIZERS[schema]
    original = featurizer(mol)
    for seed in range(5):
        spelling = Chem.MolToRandomSmilesVect(mol, 1, randomSeed=seed + 1)[0]
        again = Chem.MolFromSmiles(spelling)
        order = again.GetSubstructMatches(mol, useChirality=True, uniquify=False)
        olds = [[match.index(k) for k in range(mol.GetNumAtoms())] for match in order]
        assert any(_matches(featurizer(again), original, old) for old in olds), spelling


def _matches(graph: MolGraph, original: MolGraph, old: list[int]) -> bool:
    try:
        assert_renumbered(graph, original, old)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("molecule", ["L-alanine", "ibuprofen", "nicotine", "cholesterol", "penicillin G"])
def test_mirror_image_swaps_r_and_s_and_nothing_else(molecule):
    featurizer = FEATURIZERS["full-unlimited"]
    mirrored = Chem.Mol(MOLECULES[molecule])
    for atom in mirrored.GetAtoms():
        atom.InvertChirality()
    Chem.AssignStereochemistry(mirrored, cleanIt=True, force=True)
    mine, image = featurizer(MOLECULES[molecule]), featurizer(mirrored)
    swap = np.array([1, 0, -1])
    np.testing.assert_array_equal(image.atom_codes[:, 1], swap[mine.atom_codes[:, 1]])
    assert (mine.atom_codes[:, 1] >= 0).any()
    np.testing.assert_array_equal(np.delete(image.atom_codes, 1, 1), np.delete(mine.atom_codes, 1, 1))
    np.testing.assert_allclose(image.atom_values, mine.atom_values, atol=1e-6)
    np.testing.assert_array_equal(image.pair_codes, mine.pair_codes)
