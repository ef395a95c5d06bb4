"""Pairs compared: change, surroundings and rest add up to the difference of the scores."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from support.explanations import made_up, parsed

from molig.attribution import explain
from molig.errors import InputError, UnknownNameError
from molig.features import preset
from molig.molecules import Hydrogens, Record
from molig.series import Comparison, compare
from molig.series.comparison import changed_attribution, compared, write_comparison
from molig.series.matching import Overlap

SERIES = ("Cc1ccc(O)cc1", "Cc1ccc(N)cc1", "Oc1ccc(CCl)cc1", "Cc1ccc(OC)nc1", "Cc1ccccc1", "CCc1ccc(O)cc1.Cl")


def assert_adds_up(found: Comparison) -> None:
    total = found.change + found.surroundings + found.rest
    assert total == pytest.approx(found.score_difference, abs=1e-12)
    assert sum(found.by_distance.values()) == pytest.approx(found.surroundings, abs=1e-12)
    lost, gained = found.panels()
    colours = lost.atom_scores.sum() + gained.atom_scores.sum()
    assert colours == pytest.approx(found.change + found.surroundings, abs=1e-12)
    frame = found.to_frame()
    for column in ("first", "second", "difference"):
        assert frame[column][:-1].sum() == pytest.approx(frame[column].iloc[-1], abs=1e-12)


@settings(max_examples=15)
@given(
    st.tuples(st.sampled_from(SERIES), st.sampled_from(SERIES)).filter(lambda pair: pair[0] != pair[1]),
    st.sampled_from(list(Hydrogens)),
    st.integers(0, 99),
)
def test_parts_add_up_whatever_the_numbers(pair, hydrogens, seed):
    schema = preset("simple", max_pair_distance=3)
    first, second = (
        made_up(schema, parsed(Record(1, "", smiles), hydrogens), seed + row)
        for row, smiles in enumerate(pair)
    )
    assert_adds_up(compared(first, second))


def test_parts_of_a_committee_add_up(small_committee):
    found = compare(small_committee, "CC(=O)Nc1ccccc1", "CC(=O)Oc1ccccc1", task="carbonyl")
    assert len(found.first.environment_attributions)
    assert_adds_up(found)
    assert found.change == pytest.approx(
        changed_attribution(found.second, np.array([3])) - changed_attribution(found.first, np.array([3]))
    )


def test_a_real_pair(small_model):
    found = compare(small_model, "CCc1ccccc1", "NCc1ccccc1", task="nitrogen")
    assert_adds_up(found)
    assert found.score_difference > 0.3  # the model has learnt what nitrogen is
    assert found.change > 0.5 * found.score_difference
    assert list(found.by_distance) == [1, 2, 3, 4, 5]
    assert repr(found).startswith("Comparison('CCc1ccccc1' -> 'NCc1ccccc1', nitrogen +0.")


def test_without_a_task_it_is_the_one_of_the_first_molecule(small_model):
    found = compare(small_model, "CC(C)=O", "CC(C)O")
    assert (found.first.task, found.second.task) == ("carbonyl", "carbonyl")


def test_a_regression_has_its_unit(small_regression):
    found = compare(small_regression, "CCc1ccccc1", "NCc1ccccc1", task="nitrogens")
    assert_adds_up(found)
    assert found.first.target == "value"


def test_stereoisomers_have_surroundings_alone(small_model):
    found = compare(small_model, "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", task="nitrogen")
    assert found.change == 0
    assert list(found.by_distance) == [0]
    assert_adds_up(found)


def test_the_second_is_laid_upon_the_first(small_model):
    first, second = compare(small_model, "CCc1ccccc1", "CCc1ccncc1", task="nitrogen").panels()
    places = [panel.mol.GetConformer().GetPositions() for panel in (first, second)]
    np.testing.assert_allclose(*places, atol=0.01)


def test_one_scale_for_both(small_model):
    svg = compare(small_model, "CCc1ccccc1", "NCc1ccccc1", task="nitrogen").to_svg()
    words = [
        "".join(text.itertext()) for text in ElementTree.fromstring(svg).iter() if text.tag.endswith("text")
    ]
    scales = [word for word in words if word.startswith("+0.")]
    assert len(scales) == 2
    assert scales[0] == scales[1]


def test_plain_data_counts_atoms_as_in_the_input(small_model, tmp_path):
    found = compare(small_model, "[Na+].[O-]C(=O)CC", "OC(=O)CN", task="nitrogen")
    path = tmp_path / "pair.json"
    write_comparison([found], path)
    data = json.loads(path.read_text())
    assert data["changed_atoms"] == [[5], [4]]
    assert [atom["first"] for atom in data["common_atoms"]] == [1, 2, 3, 4]
    assert data["first"]["scored_smiles"] == "CCC(=O)O"


@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        ("CCO", "OCC", InputError, "are the same molecule, CCO"),
        ("CC(=O)[O-].[Na+]", "CC(=O)O", InputError, "the same molecule.*removed: sodium"),
        ("CCO", "c1ccncc1", InputError, "no common scaffold"),
        ("CCO", "C1CC", InputError, "B 'C1CC' cannot be explained: not parsable"),
        ("N[Pt](N)(Cl)Cl", "CC", InputError, "A .* cannot be explained"),
    ],
)
def test_pairs_that_cannot_be_compared(small_model, first, second, error, message):
    with pytest.raises(error, match=message):
        compare(small_model, first, second, task="nitrogen")


def test_wrong_requests(small_model):
    with pytest.raises(UnknownNameError, match="did you mean 'nitrogen'"):
        compare(small_model, "CCO", "CCN", task="nitrogn")


def test_changed_attribution_has_whole_pairs(small_model):
    one = explain(small_model, "CCCN", task="nitrogen")
    touched = (one.graph.pair_atoms == 3).any(axis=1)
    expected = one.own_atom_scores[3] + one.pair_scores[touched].sum()
    assert changed_attribution(one, np.array([3])) == pytest.approx(expected)
    everything = changed_attribution(one, np.arange(4)) + one.residual
    assert everything == pytest.approx(one.score - one.baseline_score)


def test_any_correspondence_of_atoms_will_do(small_model):
    first, second = (explain(small_model, smiles, task="nitrogen") for smiles in ("CCO", "CCN"))
    none = np.zeros(0, dtype=np.int64)
    found = Comparison(first, second, Overlap(none, none, 0.0))
    assert_adds_up(found)
    assert found.surroundings == 0
    assert Chem.MolToSmiles(found.panels()[1].mol) == "CCN"
