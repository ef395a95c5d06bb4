"""The compact table: atoms counted as in the SMILES as given, whatever was scored."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from support.explanations import MIXED, as_written, made_up, mixed, parsed

from molig.features import preset
from molig.molecules import Hydrogens, Record, read_records
from molig.report.molecule_table import MOLECULE_SCHEMA, molecule_batch

SIMPLE = preset("simple")


def rows_of(explanations) -> list[dict]:
    return molecule_batch(explanations).to_pylist()


@pytest.mark.parametrize("hydrogens", list(Hydrogens))
def test_one_row_each_and_all_atoms_accounted_for(hydrogens):
    records, explanations = mixed(SIMPLE, hydrogens)
    batch = molecule_batch(explanations)
    assert batch.schema.equals(MOLECULE_SCHEMA)
    batch.validate(full=True)
    for record, explanation, row in zip(records, explanations, batch.to_pylist(), strict=True):
        assert (row["row"], row["id"], row["smiles"]) == (record.row, record.id, record.smiles)
        for name in ("task", "target", "score", "baseline_score", "residual", "converged", "n_evaluations"):
            assert row[name] == getattr(explanation, name)
        assert len(row["atom_scores"]) == as_written(record.smiles).GetNumAtoms()
        total = sum(score for score in row["atom_scores"] if score is not None)
        change = explanation.score - explanation.baseline_score
        assert total + explanation.residual == pytest.approx(change, abs=1e-5)


def test_counter_ions_and_labelled_hydrogens_have_no_score():
    by_smiles = {row["smiles"]: row for row in rows_of(mixed(SIMPLE)[1])}
    unscored = {
        smiles: [atom for atom, score in enumerate(row["atom_scores"]) if score is None]
        for smiles, row in by_smiles.items()
    }
    removed = {"[Na+].CC(=O)[O-]": [0], "CN.Cl": [2], "[2H]OC": [0]}
    assert unscored == {smiles: [] for smiles in MIXED} | removed


@pytest.mark.parametrize("hydrogens", list(Hydrogens))
def test_bonds_are_those_of_the_smiles(hydrogens):
    # Standardisation breaks and makes no bond within these parents.
    for row in rows_of(mixed(SIMPLE, hydrogens)[1]):
        mol = Chem.MolFromSmiles(row["smiles"])
        ends = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()]
        scored = [score is not None for score in row["atom_scores"]]
        bonds = {frozenset((i, j)) for i, j in ends if scored[i] and scored[j]}
        assert {frozenset(ends) for ends in row["bond_atoms"]} == bonds
        assert len(row["bond_scores"]) == len(bonds)


def test_scores_stand_at_their_atoms_and_bonds():
    record = Record(1, "a", "[Na+].CC(=O)[O-]")
    explanation = made_up(SIMPLE, parsed(record), 5)
    (row,) = rows_of([explanation])
    # The parent is CC(=O)O, its atoms in the order of the SMILES.
    np.testing.assert_allclose(row["atom_scores"][1:], explanation.atom_scores, rtol=1e-6)
    bonds = [sorted((b.GetBeginAtomIdx() + 1, b.GetEndAtomIdx() + 1)) for b in explanation.mol.GetBonds()]
    found = {tuple(ends): score for ends, score in zip(row["bond_atoms"], row["bond_scores"], strict=True)}
    for ends, score in zip(bonds, explanation.bond_scores, strict=True):
        assert found[tuple(ends)] == pytest.approx(score, rel=1e-6)


def test_hydrogens_count_with_the_atom_that_bears_them():
    record = Record(1, "a", "CO")
    explanation = made_up(SIMPLE, parsed(record, Hydrogens.EXPLICIT), 3)
    (row,) = rows_of([explanation])
    carbon, oxygen, *hydrogens = explanation.atom_scores
    assert row["atom_scores"] == pytest.approx([carbon + sum(hydrogens[:3]), oxygen + hydrogens[3]], rel=1e-5)
    assert row["bond_atoms"] == [[0, 1]]


def test_atoms_of_an_sd_file_are_counted_as_in_its_mol_block(tmp_path):
    """Explicit hydrogens have numbers, and the order of atoms is another than in the SMILES."""
    mol = Chem.AddHs(Chem.MolFromSmiles("OC(F)CN.Cl"))
    mol = Chem.RenumberAtoms(mol, list(reversed(range(mol.GetNumAtoms()))))
    path = tmp_path / "library.sdf"
    path.write_text(Chem.MolToMolBlock(mol) + "$$$$\n")
    (record,) = read_records(path)
    assert not parsed(record).smiles.startswith("O")
    explanation = made_up(SIMPLE, parsed(record))
    (row,) = rows_of([explanation])
    scores = row["atom_scores"]
    assert len(scores) == mol.GetNumAtoms() == 13
    symbols = [atom.GetSymbol() for atom in mol.GetAtoms()]
    assert {symbol for symbol, score in zip(symbols, scores, strict=True) if score is None} == {"H", "Cl"}
    for atom, score in zip(explanation.mol.GetAtoms(), explanation.atom_scores, strict=True):
        if atom.GetSymbol() != "C":
            assert scores[symbols.index(atom.GetSymbol())] == pytest.approx(score, rel=1e-6)
    heavy = {
        frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx()))
        for b in mol.GetBonds()
        if "H" not in (b.GetBeginAtom().GetSymbol(), b.GetEndAtom().GetSymbol())
    }
    assert {frozenset(ends) for ends in row["bond_atoms"]} == heavy


def test_what_was_scored_is_said():
    rows = {row["smiles"]: row for row in rows_of(mixed(SIMPLE)[1])}
    said = {smiles: (row["scored_smiles"], row["removed"]) for smiles, row in rows.items()}
    assert said["[Na+].CC(=O)[O-]"] == ("CC(=O)O", "sodium")
    assert said["CN.Cl"] == ("CN", "chloride")
    assert said["[2H]OC"] == ("CO", "")
    assert said["CC(=O)Oc1ccccc1C(=O)O"] == ("CC(=O)Oc1ccccc1C(=O)O", "")
