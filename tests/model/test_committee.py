"""What must hold of any committee: its scores, its explanations and its files."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from safetensors.torch import load_file, save_file
from scipy.special import expit, logit
from support.small_model import MODELS, TASKS, edit_model, nci_smiles

from molig.attribution import Explainer, explain, molecule_curves
from molig.errors import ModelFormatError, UsageError
from molig.files import digest_of
from molig.model import load_model, save_model
from molig.molecules import Molecule, smiles_records

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
METHODS = ("integrated_gradients", "occlusion", "leave_one_atom_out", "gradient_x_input")


@pytest.fixture(scope="module")
def smiles(nci_file):
    return nci_smiles(30, 400)


@pytest.fixture(scope="module")
def graphs(small_committee, smiles):
    return small_committee.featurize([small_committee.parser.parse_smiles(s).mol for s in smiles])


def with_weights(model, weights, **committee):
    """The committee with other weights, the same for all tasks."""
    old = model.info.committee
    members = tuple(
        member.model_copy(update={"weights": (weight,) * len(model.tasks)})
        for member, weight in zip(old.members, weights, strict=True)
    )
    changed = old.model_copy(update={"members": members, **committee})
    return model.with_info(model.info.model_copy(update={"committee": changed}))


def uncalibrated(model, weights):
    return with_weights(model, weights, slope=(1.0,) * 2, offset=(0.0,) * 2)


def weights_of(draw):
    given_ = np.array([draw(st.floats(0.01, 1)) for _ in range(4)])
    return (given_ / given_.sum()).tolist()


# Scores.


def test_the_score_is_the_calibrated_mean_of_the_members_scores(small_committee, graphs):
    found = small_committee.logits(graphs)
    members = small_committee.member_scores(graphs)
    committee = small_committee.info.committee
    mean = np.mean(members, axis=0)
    assert members.shape == (4, len(graphs), 2)
    assert [m.weights for m in committee.members] == [pytest.approx((1 / 4, 1 / 4))] * 4
    np.testing.assert_allclose(found, np.array(committee.slope) * logit(mean) + committee.offset, atol=1e-9)


def test_calibration_keeps_ranks(small_committee, graphs):
    raw = uncalibrated(small_committee, (1 / 4,) * 4).logits(graphs)
    for own, other in zip(small_committee.logits(graphs).T, raw.T, strict=True):
        np.testing.assert_array_equal(np.argsort(own, kind="stable"), np.argsort(other, kind="stable"))


@given(data=st.data())
@settings(max_examples=20)
def test_means_are_linear_in_the_weights(small_committee, graphs, data):
    weights = weights_of(data.draw)
    found = expit(uncalibrated(small_committee, weights).logits(graphs))
    members = small_committee.member_scores(graphs)
    np.testing.assert_allclose(found, np.einsum("mnt,m->nt", members, weights), atol=1e-9)


def test_the_first_member_is_the_weave_network_alone(small_committee, graphs):
    alone = small_committee.weave_alone()
    np.testing.assert_allclose(
        expit(alone.logits(graphs)), small_committee.member_scores(graphs)[0], atol=1e-9
    )
    assert alone.info.committee is None
    assert alone.member_names == ()
    assert not alone.schema.environment_blocks
    with pytest.raises(UsageError, match="one network"):
        alone.member_scores(graphs)
    assert alone.weave_alone() is alone


def test_other_molecules_of_the_batch_do_not_matter(small_committee, graphs):
    whole = small_committee.logits(graphs)
    backwards = np.arange(len(graphs))[::-1]
    np.testing.assert_allclose(small_committee.logits(graphs.select(backwards))[backwards], whole, atol=1e-5)
    for place in range(5):
        np.testing.assert_allclose(small_committee.logits(graphs.select([place]))[0], whole[place], atol=1e-5)


@given(data=st.data())
@settings(max_examples=15)
def test_the_order_of_the_atoms_does_not_matter(small_committee, data):
    mol = small_committee.parser.parse_smiles(ASPIRIN).mol
    order = data.draw(st.permutations(range(mol.GetNumAtoms())))
    other = Chem.RenumberAtoms(mol, order)
    first, second = small_committee.logits(small_committee.featurize([mol, other]))
    np.testing.assert_allclose(first, second, atol=1e-5)
    explained = Explainer(small_committee, task="carbonyl").explain_molecules(
        [Molecule(1, "a", ASPIRIN, one) for one in (mol, other)]
    )
    np.testing.assert_allclose(explained[0].atom_scores[order], explained[1].atom_scores, atol=1e-4)


def test_counts_alone_score_as_occurrences_do(small_committee, smiles, graphs):
    molecules = [small_committee.parser.parse_smiles(s) for s in smiles]
    np.testing.assert_allclose(
        small_committee.score_molecules(molecules), expit(small_committee.logits(graphs)), atol=1e-6
    )


# Explanations.


@pytest.mark.parametrize("target", ["probability", "logit"])
def test_attributions_and_members_add_up(small_committee, smiles, target):
    for task in TASKS:
        for why in explain(small_committee, smiles, task, target=target):
            change = why.score - why.baseline_score
            assert why.converged
            assert abs(why.residual) <= 0.01 * max(abs(change), 0.01)
            assert why.atom_scores.sum() == pytest.approx(change - why.residual, abs=1e-9)
            assert sum(why.members.values()) == pytest.approx(change, abs=1e-9)
            assert list(why.members) == ["weave", "environments", "forest", "kernel"]
            total = why.own_atom_scores.sum() + why.pair_scores.sum() + why.environment_attributions.sum()
            assert total == pytest.approx(change - why.residual, abs=1e-9)
            assert why.substructures["score"].sum() == pytest.approx(why.environment_attributions.sum())
            own = why.own_atom_scores.sum() + why.pair_scores.sum() + why.residual
            assert own == pytest.approx(why.members["weave"], abs=1e-6)
            assert sum(why.parts.values()) == pytest.approx(total, abs=1e-9)


def test_a_panel_shows_the_whole_score(small_committee):
    why = explain(small_committee, ASPIRIN, "carbonyl")
    unbonded = why.pair_scores[~why.bonded_pairs]
    assert why.panel().atom_scores.sum() == pytest.approx(why.atom_scores.sum())
    panel = why.panel(("atoms", "bonds"))
    assert panel.atom_scores.sum() + panel.bond_scores.sum() == pytest.approx(why.atom_scores.sum())
    assert len(unbonded)


@given(data=st.data())
@settings(max_examples=10)
def test_attributions_are_linear_in_the_weights(small_committee, data):
    weights = weights_of(data.draw)
    options = {"task": "carbonyl", "tol": 1e-4}
    mixed = explain(uncalibrated(small_committee, weights), ASPIRIN, **options)
    pure = [explain(uncalibrated(small_committee, row), ASPIRIN, **options) for row in np.eye(4)]
    expected = sum(w * one.atom_scores for w, one in zip(weights, pure, strict=True))
    np.testing.assert_allclose(mixed.atom_scores, expected, atol=1e-3)
    np.testing.assert_allclose(
        list(mixed.members.values()),
        np.array(weights) * [one.score - one.baseline_score for one in pure],
        atol=1e-6,
    )


def test_a_member_without_weight_explains_nothing(small_committee):
    why = explain(with_weights(small_committee, (1.0, 0.0, 0.0, 0.0)), ASPIRIN, "carbonyl")
    assert not why.environment_attributions.any()
    assert why.members["forest"] == 0
    why = explain(with_weights(small_committee, (0.0, 0.0, 1.0, 0.0)), ASPIRIN, "carbonyl")
    assert not why.own_atom_scores.any()
    assert why.environment_attributions.any()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_a_committee(small_committee, method):
    (why,) = Explainer(small_committee, task="carbonyl", method=method).explain_records(
        smiles_records([ASPIRIN])
    )
    change = why.score - why.baseline_score
    assert why.atom_scores.sum() + why.residual == pytest.approx(change, abs=1e-9)
    assert why.score == pytest.approx(small_committee.predict_proba([ASPIRIN])[0, 1], abs=1e-6)


def test_one_atom_left_out_is_that_atom_occluded_or_gone(small_committee):
    """An environment goes with any of its atoms."""
    mol = small_committee.parser.parse_smiles(ASPIRIN).mol
    graphs = small_committee.featurize([mol])
    relaxed, held = small_committee.relax(graphs), graphs.environments
    factors = np.ones(mol.GetNumAtoms())
    factors[3] = 0.0
    pairs = factors[graphs[0].pair_atoms].prod(axis=1)
    kept = np.array([3 not in part for part in np.split(held.atoms, np.cumsum(held.sizes)[:-1])], dtype=float)
    members = [m.outputs(graphs, kept) for m in small_committee.members]
    first = expit(relaxed.weave.outputs(np.array([0]), factors, pairs))
    mean = np.mean([first, expit(members[0]), members[1], expit(members[2])], axis=0)
    found = relaxed.outputs(np.array([0]), factors, pairs)
    np.testing.assert_allclose(found, small_committee.combination.outputs(mean), atol=1e-9)


def test_rates_on_the_path_are_derivatives_but_for_the_steps_of_the_forest(small_committee):
    model = with_weights(small_committee, (0.5, 0.2, 0.0, 0.3)).double()
    at, step = np.linspace(0.05, 0.95, 19), 1e-5
    points = np.sort(np.concatenate([at - step, at, at + step]))
    (curves,) = molecule_curves(Explainer(model, task="carbonyl"), smiles_records([ASPIRIN]), at=points)
    middle = np.isin(np.round(curves.at, 9), np.round(at, 9))
    places = np.flatnonzero(middle)
    slopes = (curves.scores[places + 1] - curves.scores[places - 1]) / (2 * step)
    np.testing.assert_allclose(curves.rates[places], slopes, rtol=1e-3, atol=1e-4)


def test_rates_average_to_the_attributions_without_forest_and_calibration(small_committee):
    model = uncalibrated(small_committee, (0.4, 0.3, 0.0, 0.3)).double()
    at = (np.arange(2000) + 0.5) / 2000
    (curves,) = molecule_curves(Explainer(model, task="carbonyl"), smiles_records(["CC(=O)N"]), at=at)
    why = explain(model, "CC(=O)N", "carbonyl", tol=1e-5)
    np.testing.assert_allclose(curves.atom_rates[1:-1].mean(axis=0), why.atom_scores, atol=1e-3)


# Files.


def test_a_committee_reads_back_as_it_was_saved(small_committee, graphs, tmp_path):
    save_model(small_committee, tmp_path / "again")
    again = load_model(tmp_path / "again")
    np.testing.assert_array_equal(again.logits(graphs), small_committee.logits(graphs))
    np.testing.assert_array_equal(again.member_scores(graphs), small_committee.member_scores(graphs))
    unsigned = [m.info.committee.model_copy(update={"sha256": ""}) for m in (again, small_committee)]
    assert unsigned[0] == unsigned[1]
    # Tables come back in the narrowest types, which the kept model was not stored in.
    assert save_model(again, tmp_path / "once more").info == again.info


def test_coefficients_of_a_kernel_are_stored_in_full(small_committee, graphs, tmp_path):
    """Thousands of either sign nearly cancel: half precision would be seen in the score."""
    halved = small_committee.with_info(small_committee.info.model_copy(update={"weights_dtype": "float16"}))
    kernel = save_model(halved, tmp_path / "half").members[2]
    np.testing.assert_array_equal(kernel.outputs(graphs), small_committee.members[2].outputs(graphs))


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(MODELS / "committee", tmp_path / "copy")


def rewrite(directory, change):
    """Change the tensors of the members, with a digest that fits them."""
    path = directory / "members.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    data = json.loads((directory / "model.json").read_text())["committee"]
    edit_model(directory, committee=data | {"sha256": digest_of(path)})


@pytest.mark.parametrize("name", ["vocabulary", "environments/weight", "forest/right", "forest/value"])
def test_members_without_a_tensor_are_refused(copy, name):
    rewrite(copy, lambda state: state.pop(name))
    with pytest.raises(ModelFormatError, match=r"members\.safetensors is damaged"):
        load_model(copy)


def test_foreign_members_are_refused(copy):
    path = copy / "members.safetensors"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelFormatError, match="SHA-256"):
        load_model(copy)
    path.unlink()
    with pytest.raises(ModelFormatError, match="cannot be read"):
        load_model(copy)


def committee_of(directory):
    return json.loads((directory / "model.json").read_text())["committee"]


@pytest.mark.parametrize("weights", [[0.9, 0.9], [0.0, 0.0], [-0.1, 0.4], [2.0, 0.3], [0.3]])
def test_weights_that_are_no_mean_are_refused(copy, weights):
    committee = committee_of(copy)
    committee["members"][1]["weights"] = weights
    edit_model(copy, committee=committee)
    with pytest.raises(ModelFormatError):
        load_model(copy)


def test_twins_are_refused(copy):
    committee = committee_of(copy)
    committee["members"][2]["name"] = "environments"
    edit_model(copy, committee=committee)
    with pytest.raises(ModelFormatError, match="the same name"):
        load_model(copy)


@pytest.mark.parametrize("change", [{"slope": [0.0, 1.0]}, {"offset": [1.0]}, {"numbering": "other"}])
def test_impossible_committees_are_refused(copy, change):
    edit_model(copy, committee=committee_of(copy) | change)
    with pytest.raises(ModelFormatError):
        load_model(copy)
