"""What two molecules have in common."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from rdkit import Chem

from molig.errors import InputError, UsageError
from molig.series import matching
from molig.series.matching import (
    MOST_GIVEN_UP,
    Searches,
    matched_pair,
    overlap,
    read_template,
)


def mols(*smiles: str) -> list[Chem.Mol]:
    return [Chem.MolFromSmiles(text) for text in smiles]


def changed(first: str, second: str, template: str | None = None) -> tuple[set[int], set[int]]:
    """Atoms of each that the other lacks, or has otherwise."""
    both = mols(first, second)
    found = matched_pair(*both, None if template is None else read_template(template))
    kept = (found.first.tolist(), found.second.tolist())
    return tuple(set(range(mol.GetNumAtoms())) - set(atoms) for mol, atoms in zip(both, kept, strict=True))


@pytest.mark.parametrize(
    ("first", "second", "lost", "gained"),
    [
        ("c1ccccc1C", "c1ccccc1O", {6}, {6}),
        ("CCc1ccccc1", "CCc1ccncc1", {5}, {5}),  # a ring is kept but for the atom that is replaced
        ("CC(=O)OCC", "CC(=O)NCC", {3}, {3}),
        ("c1ccccc1", "Fc1ccccc1", set(), {0}),
        ("Cc1ccc(F)cc1", "Cc1cccc(F)c1", {5}, {6}),
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", set(), set()),
        ("CC(C)(C)c1ccc(O)cc1", "CC(C)(C)c1ccc(OC)cc1", set(), {9}),
        # Of the two rings, the one with the same substituent is laid on its like.
        ("Clc1ccc(Cc2ccccc2)cc1", "Clc1ccc(Cc2ccccc2F)cc1", set(), {12}),
    ],
)
def test_what_is_changed(first, second, lost, gained):
    assert changed(first, second) == (lost, gained)


def test_a_template_is_all_that_is_kept():
    lost, gained = changed("Cc1ccccc1OC", "Cc1ccccc1SC", "c1ccccc1")
    assert (lost, gained) == ({0, 7, 8}, {0, 7, 8})
    with pytest.raises(InputError, match="CCO does not contain the template"):
        changed("CCO", "CCN", "c1ccccc1")


def test_too_little_in_common_is_no_scaffold():
    with pytest.raises(InputError, match=r"no common scaffold: 2 atoms of 12 and 8; .*template"):
        matched_pair(*mols("CCc1ccc2ccccc2c1", "CCS(=O)(=O)N(F)F"))
    with pytest.raises(InputError, match="no common scaffold"):
        matched_pair(*mols("C", "O"))


def test_hydrogens_that_are_atoms_go_with_their_heavy_atoms():
    first, second = (Chem.AddHs(mol) for mol in mols("CCO", "CCF"))
    found = matched_pair(first, second)
    assert len(found.first) == 2 + 5
    assert all(
        first.GetAtomWithIdx(int(i)).GetAtomicNum() == second.GetAtomWithIdx(int(j)).GetAtomicNum()
        for i, j in zip(found.first, found.second, strict=True)
    )


def test_a_search_that_takes_too_long_asks_for_a_template(monkeypatch):
    monkeypatch.setattr(matching.rdFMCS, "FindMCS", lambda *args, **options: SimpleNamespace(canceled=True))
    with pytest.raises(InputError, match="longer than 20 s; say what the molecules have in common"):
        matched_pair(*mols("CCO", "CCN"))


def test_searches_end_after_too_many_were_given_up(monkeypatch):
    canceled = SimpleNamespace(canceled=True)
    monkeypatch.setattr(matching.rdFMCS, "FindMCS", lambda *args, **options: canceled)
    mol = Chem.MolFromSmiles("CCO")
    with pytest.raises(TimeoutError, match="longer than 5 s"):
        overlap(mol, mol)
    searches = Searches()
    assert [searches.overlap(mol, mol) for _ in range(MOST_GIVEN_UP + 3)] == [None] * (MOST_GIVEN_UP + 3)
    assert (searches.given_up, searches.not_begun) == (MOST_GIVEN_UP, 3)
    assert "3 more that were not searched" in str(searches)


def test_overlap():
    found = overlap(Chem.MolFromSmiles("Cc1ccccc1O"), Chem.MolFromSmiles("Cc1ccccc1N"))
    assert found.share == pytest.approx(7 / 8)
    assert overlap(Chem.MolFromSmiles("C"), Chem.MolFromSmiles("N")) is None


def test_templates(tmp_path):
    mol = Chem.MolFromSmiles("Cc1ccncc1")
    Chem.rdDepictor.Compute2DCoords(mol)
    path = tmp_path / "template.sdf"
    path.write_text(Chem.MolToMolBlock(mol) + "$$$$\n")
    read = read_template(str(path))
    np.testing.assert_allclose(
        read.GetConformer().GetPositions(), mol.GetConformer().GetPositions(), atol=1e-3
    )
    for text, message in [
        ("c1cc", "no SMARTS"),
        ("", "no SMARTS"),
        (str(tmp_path / "no.sdf"), "No such file"),
    ]:
        with pytest.raises(UsageError, match=message):
            read_template(text)
    path.write_text("nothing\n")
    with pytest.raises(UsageError, match="no molecule"):
        read_template(str(path))
