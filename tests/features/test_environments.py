"""Circular environments: independent of the order of atoms, and each with its atoms and bonds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from features.molecules import DIVERSE
from molig.errors import ModelFormatError, UsageError
from molig.features import EnvironmentBlock, Featurizer, PackedEnvironments, preset
from molig.features.environments import (
    block_of,
    bonds_of_environments,
    environments,
    numbering_digest,
    pair_text,
)
from molig.molecules import MoleculeParser

BLOCKS = (
    EnvironmentBlock("environment"),
    EnvironmentBlock("element_environment", 1),
    EnvironmentBlock("element_pair", 4),
)
MOLS = {name: Chem.MolFromSmiles(smiles) for name, smiles in DIVERSE.items()}
PHENOL = Chem.MolFromSmiles("Oc1ccccc1")


def counts_of(held: PackedEnvironments) -> dict[int, float]:
    found: dict[int, float] = {}
    for key, count in zip(held.ids.tolist(), held.counts.tolist(), strict=True):
        found[key] = found.get(key, 0.0) + count
    return found


def atoms_of(held: PackedEnvironments) -> list[tuple[int, frozenset[int]]]:
    stops = np.cumsum(held.sizes)
    rows = zip(held.ids.tolist(), stops - held.sizes, stops, strict=True)
    return [(key, frozenset(held.atoms[start:stop].tolist())) for key, start, stop in rows]


@pytest.mark.parametrize("mol", MOLS.values(), ids=MOLS)
def test_occurrences_add_up_to_the_counts(mol):
    listed, counted = (environments([mol], BLOCKS, occurrences=flag) for flag in (True, False))
    assert counts_of(listed) == counts_of(counted)
    assert listed.has_atoms
    assert not counted.has_atoms


@pytest.mark.parametrize("mol", MOLS.values(), ids=MOLS)
def test_counts_are_those_of_a_morgan_fingerprint(mol):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2)
    expected = generator.GetSparseCountFingerprint(mol).GetNonzeroElements()
    assert counts_of(environments([mol], BLOCKS[:1], occurrences=False)) == expected


@given(name=st.sampled_from(sorted(MOLS)), data=st.data())
@settings(max_examples=60)
def test_the_order_of_the_atoms_does_not_matter(name, data):
    mol = MOLS[name]
    order = data.draw(st.permutations(range(mol.GetNumAtoms())))
    other = Chem.RenumberAtoms(mol, order)
    first, second = (environments([one], BLOCKS, occurrences=True) for one in (mol, other))
    assert counts_of(first) == counts_of(second)
    # Where RDKit drops one of two environments with the same bonds, either may stay: same number, same atoms.
    back = sorted((key, sorted(order[atom] for atom in atoms)) for key, atoms in atoms_of(second))
    assert back == sorted((key, sorted(atoms)) for key, atoms in atoms_of(first))


@pytest.mark.parametrize("mol", MOLS.values(), ids=MOLS)
def test_atoms_and_bonds_lie_within_the_radius_of_the_first(mol):
    held = environments([mol], BLOCKS[:2], occurrences=True)
    distance, inside = Chem.GetDistanceMatrix(mol), bonds_of_environments(mol, held)
    starts = np.cumsum(held.sizes) - held.sizes
    for row, (start, size) in enumerate(zip(starts, held.sizes, strict=True)):
        atoms, radius = held.atoms[start : start + size], held.radii[row]
        np.testing.assert_array_equal(np.sort(atoms), np.flatnonzero(distance[atoms[0]] <= radius))
        expected = _environment(mol, int(radius), int(atoms[0]))
        assert set(np.flatnonzero(inside[row]).tolist()) == expected


def _environment(mol, radius, atom):
    if not radius:
        return set()
    return set(Chem.FindAtomEnvironmentOfRadiusN(mol, radius, atom, useHs=True, enforceSize=False))


@pytest.mark.parametrize("mol", MOLS.values(), ids=MOLS)
def test_pairs_are_those_within_the_distance(mol):
    held = environments([mol], BLOCKS[2:], occurrences=True)
    distance = Chem.GetDistanceMatrix(mol)
    n = int(((distance > 0) & (distance <= 4)).sum() // 2)
    assert held.n_rows == n
    assert (held.sizes == 2).all()
    for key, atoms in atoms_of(held):
        first, second = sorted(atoms)
        symbols = sorted((mol.GetAtomWithIdx(i).GetAtomicNum(), i) for i in (first, second))
        names = " and ".join(mol.GetAtomWithIdx(i).GetSymbol() for _, i in symbols)
        bonds = int(distance[first, second])
        assert pair_text(key) == f"{names}, {bonds} bond{'s' if bonds > 1 else ''} apart"


@given(name=st.sampled_from(sorted(MOLS)), data=st.data())
def test_without_an_atom_its_environments_are_gone(name, data):
    mol = MOLS[name]
    atom = data.draw(st.integers(0, mol.GetNumAtoms() - 1))
    whole = environments([mol], BLOCKS, occurrences=True)
    left = whole.without_atom(atom)
    expected = [
        (key, frozenset(other - (other > atom) for other in atoms))
        for key, atoms in atoms_of(whole)
        if atom not in atoms
    ]
    assert atoms_of(left) == expected
    assert left.row_counts.tolist() == [len(expected)]


def test_blocks_have_numbers_of_their_own():
    held = environments([PHENOL], BLOCKS, occurrences=False)
    names = [block_of(key, BLOCKS).name for key in held.ids.tolist()]
    assert set(names) == {block.name for block in BLOCKS}
    assert len(set(held.ids.tolist())) == held.n_rows


def test_what_is_attached_matters_to_one_block_only():
    one, other = (
        counts_of(environments([Chem.MolFromSmiles(s)], [EnvironmentBlock(name, 0)], occurrences=False))
        for name, s in (("environment", "CO"), ("environment", "COC"))
    )
    assert set(one) != set(other)
    one, other = (
        counts_of(
            environments(
                [Chem.MolFromSmiles(s)], [EnvironmentBlock("element_environment", 0)], occurrences=False
            )
        )
        for s in ("CO", "COC")
    )
    assert set(one) == set(other)


def test_molecules_that_lost_their_rings_have_environments():
    """Standardisation takes ring information away from some salts."""
    smiles = "CCCCN(CCCC)CCCNC1=C2CCCCC2=NC3=C1C=CC=C3"
    salt = MoleculeParser().parse_smiles(f"{smiles}.OP(O)(O)=O").mol
    with pytest.raises(RuntimeError):
        salt.GetRingInfo().NumRings()
    found, expected = (
        counts_of(environments([mol], BLOCKS, occurrences=True)) for mol in (salt, Chem.MolFromSmiles(smiles))
    )
    assert found == expected
    with pytest.raises(RuntimeError):  # the molecule itself is left as it was
        salt.GetRingInfo().NumRings()


def test_the_numbering_is_the_one_that_models_were_trained_with():
    """RDKit promises no stable numbers; a model stores this digest and is refused under another."""
    assert numbering_digest(BLOCKS) == numbering_digest(BLOCKS)
    blocks = (EnvironmentBlock("environment"), EnvironmentBlock("element_environment"))
    assert numbering_digest(blocks) == "3cb284b290b4567850b1f971dbf77da47362a59122a8aa043ad0c99d0c480842"
    assert numbering_digest(blocks[:1]) != numbering_digest(blocks)


@pytest.mark.parametrize(("name", "radius"), [("environment", 5), ("environment", -1), ("environment", 1.0)])
def test_impossible_radii_are_refused(name, radius):
    with pytest.raises(UsageError, match="radius of environment must be from 0 to 4"):
        EnvironmentBlock(name, radius)


def test_unknown_blocks_are_refused():
    with pytest.raises(ModelFormatError, match="cannot compute the feature block 'nothing'"):
        EnvironmentBlock("nothing")


def test_no_molecule_has_no_environment():
    featurizer = Featurizer(replace(preset("simple", max_pair_distance=2), environment_blocks=BLOCKS))
    assert featurizer.featurize([]).environments.n_rows == 0
