"""Edits: what transformations make, which of them are listed, and that their explanations add up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rdkit import Chem

from molig.attribution import Explainer
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model.domain import DomainStatus
from molig.molecules import Record
from molig.series import find_edits
from molig.series.edits import Direction, _products, transformations, write_edits


def products(smiles: str) -> dict[str, set[str]]:
    """Canonical SMILES of what every transformation makes."""
    made: dict[str, set[str]] = {}
    for product in _products(Chem.MolFromSmiles(smiles)):
        made.setdefault(product.name, set()).add(Chem.CanonSmiles(product.smiles))
    return made


@pytest.mark.parametrize("change", transformations(), ids=lambda change: change.name)
def test_a_transformation_does_what_its_example_says(change):
    before, after = change.example
    assert Chem.CanonSmiles(after) in products(before)[change.name]
    assert change.reaction.Validate(silent=True)[1] == 0


def test_a_model_that_no_edit_moves_is_told(small_model):
    class Flat:
        """The model, with one score for all molecules."""

        def __getattr__(self, name):
            return getattr(small_model, name)

        def for_task(self, task):
            return self

        def score_molecules(self, molecules):
            return np.full((len(molecules), len(small_model.tasks)), start.score)

    (start,) = Explainer(small_model, task="nitrogen").explain_records([Record(1, "", "Oc1ccccc1")])
    with pytest.raises(InputError, match=r"none of the \d+ edits of .* moves the score of nitrogen"):
        find_edits(Flat(), "Oc1ccccc1", task="nitrogen", outside=True)


def test_names_are_told_apart():
    assert len({change.name for change in transformations()}) == len(transformations())


def test_centres_of_chirality_take_substituents_and_stay():
    made = products("C[C@H](O)c1ccccc1")
    assert "CC(C)(O)c1ccccc1" in made["aliphatic H to CH3"]
    assert Chem.CanonSmiles("C[C@H](OC)c1ccccc1") in made["OH to OCH3"]


def test_atoms_are_followed_through_the_reaction():
    mol = Chem.MolFromSmiles("Cc1ccccc1")
    for product in _products(mol):
        after = Chem.MolFromSmiles(product.smiles)
        assert len(product.before) == after.GetNumAtoms()
        known = [i for i in product.before if i is not None]
        assert len(set(known)) == len(known)
        if product.name == "ring CH to N":
            (nitrogen,) = (a.GetIdx() for a in after.GetAtoms() if a.GetSymbol() == "N")
            assert product.touched == (product.before[nitrogen],)
        if product.name == "aromatic H to F":
            assert len(product.touched) == 1  # the carbon that bears it


@pytest.fixture(scope="module")
def found(small_model):
    return find_edits(small_model, "OC(=O)c1ccccc1C", task="carbonyl", outside=True)


def test_the_largest_differences_come_first_and_add_up(found):
    sizes = [abs(edit.difference) for edit in found.listed]
    assert sizes == pytest.approx(sorted(sizes, reverse=True), abs=1e-4)
    for edit in found.listed:
        one = edit.comparison
        assert one.change + one.surroundings + one.rest == pytest.approx(edit.difference, abs=1e-12)
        assert one.second.score - found.start.score == pytest.approx(edit.difference, abs=1e-12)
        assert one.second.mol.GetNumAtoms() == edit.molecule.mol.GetNumAtoms()


def test_the_model_of_carbonyls_would_lose_the_carbonyl(found):
    # It has learnt that a carbonyl makes a molecule active; nearly no other edit takes it away.
    assert found.listed[0].name in {"acid to tetrazole", "acid to H"}
    assert found.listed[0].difference < -0.3
    assert found.listed[0].atoms == (0, 1, 2)


def test_products_score_as_they_do_alone(found, small_model):
    smiles = [edit.molecule.smiles for edit in found.listed]
    scores = small_model.predict(smiles).scores[:, small_model.task_index("carbonyl")]
    np.testing.assert_allclose([edit.score for edit in found.listed], scores, atol=1e-5)


def test_each_molecule_comes_once_and_none_is_the_start(found):
    written = [Chem.CanonSmiles(edit.molecule.smiles) for edit in found.listed]
    assert len(set(written)) == len(written)
    assert Chem.CanonSmiles("OC(=O)c1ccccc1C") not in written


def test_only_what_the_model_knows_unless_asked_for(small_model):
    some = find_edits(small_model, "CSC", task="carbonyl", most=500, sites=99)
    every = find_edits(small_model, "CSC", task="carbonyl", most=500, sites=99, outside=True)
    assert all(edit.flag.status is DomainStatus.IN for edit in some.listed)
    assert len(every.listed) == every.n_edits == some.n_edits
    assert len(some.listed) == some.n_edits - some.n_outside < some.n_edits


def test_which_way_the_score_moves(small_model):
    for direction, sign in ((Direction.UP, 1), (Direction.DOWN, -1)):
        one = find_edits(
            small_model, "CCc1ccccc1O", task="nitrogen", most=5, direction=direction, outside=True
        )
        assert all(np.sign(edit.difference) == sign for edit in one.listed)
    assert any("N" in edit.molecule.smiles for edit in one.listed) is False


def test_one_place_each(small_model):
    one = find_edits(small_model, "CCc1ccccc1O", task="nitrogen", most=50, sites=1, outside=True)
    names = [edit.name for edit in one.listed]
    assert len(set(names)) == len(names)


def test_logits_are_ranked_as_logits(small_model):
    one = find_edits(small_model, "CCc1ccccc1O", task="nitrogen", target="logit", most=3, outside=True)
    sizes = [abs(edit.difference) for edit in one.listed]
    assert sizes == pytest.approx(sorted(sizes, reverse=True), abs=1e-3)


def test_salts_are_edited_without_the_counter_ion_and_atoms_counted_as_in_the_input(small_model):
    one = find_edits(
        small_model, Record(1, "s", "[Na+].OC(=O)CC[O-]"), task="carbonyl", outside=True, most=99
    )
    assert one.start.removed == ("sodium",)
    (edit,) = (edit for edit in one.listed if edit.name == "acid to H")
    assert edit.atoms == (1, 2, 3)


def test_a_table_a_picture_and_numbers(found, tmp_path):
    frame = found.to_frame()
    assert frame["edit"].tolist() == [edit.name for edit in found.listed]
    for name in ("edits.csv", "edits.svg", "edits.json"):
        write_edits([found], tmp_path / name)
    assert (tmp_path / "edits.csv").read_text().count("\n") == len(found.listed) + 1
    svg = (tmp_path / "edits.svg").read_text()
    assert "acid to H" in svg
    assert f"{len(found.listed) + 1} molecules" in svg
    data = json.loads((tmp_path / "edits.json").read_text())
    assert data["edits"][0]["comparison"]["task"] == "carbonyl"


@pytest.mark.parametrize(
    ("smiles", "options", "error", "message"),
    [
        ("C1CC", {}, InputError, "cannot be explained"),
        ("O=C=O", {}, InputError, "none of the .* transformations applies"),
        (
            "FC(F)(F)I",
            {},
            InputError,
            r"no edit of .* stays in the model's applicability domain \(\d tried\); outside",
        ),
        ("CCO", {"direction": "sideways"}, UnknownNameError, "Valid: both, up, down"),
        ("CCO", {"most": 0}, UsageError, "at least 1"),
        ("CCO", {"task": "nitro"}, UnknownNameError, "did you mean 'nitrogen'"),
    ],
)
def test_what_cannot_be_edited(small_model, smiles, options, error, message):
    with pytest.raises(error, match=message):
        find_edits(small_model, smiles, **({"task": "nitrogen"} | options))
