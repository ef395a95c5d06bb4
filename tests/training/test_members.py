"""Members of a committee: their weights, the calibration of their mean, their forests, and whole runs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from committee.members import graphs_of, vocabulary_of
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from scipy.sparse import csr_matrix
from scipy.special import expit, logit
from support.small_model import (
    TASKS,
    VALUES,
    committee_recipe,
    label,
    nci_smiles,
    write_labelled,
    write_values,
)

from molig.attribution import explain
from molig.errors import UsageError
from molig.model import ScreeningModel, load_model, model_card, save_model
from molig.molecules import smiles_records
from molig.stats.curves import expected_calibration_error
from molig.training import Progress, TrainingRequest, parse_recipe, read_recipe, train_model
from molig.training import members as module
from molig.training.loop import CHECKPOINT_FILE, ENVIRONMENTS_CHECKPOINT, Part
from molig.training.members import (
    _grow_classes,
    _grow_values,
    _left_out,
    _slope_and_offset,
    _weights_of_chosen,
    calibration,
    choose_weights,
    fit_kernel,
    plain_choices,
    start_digests,
    without_idle,
)
from molig.training.recipe import ForestRecipe
from molig.training.run import reliability_of

N = 120


def classes(rng, n=400, n_tasks=2):
    return (rng.random((n, n_tasks)) < 0.3).astype(float)


class TestWeights:
    def test_the_member_that_ranks_best_has_most(self):
        rng = np.random.default_rng(0)
        labels = classes(rng)
        noise = rng.random((2, *labels.shape))
        scores = np.stack([noise[0], 0.5 * labels + 0.5 * noise[1], rng.random(labels.shape)])
        weights = choose_weights(scores, labels, probability=True)
        np.testing.assert_allclose(weights.sum(axis=0), 1)
        assert (weights[1] > 0.6).all()
        np.testing.assert_array_equal(weights[:, 0], weights[:, 1])

    def test_members_that_are_the_same_have_equal_weights(self):
        labels = classes(np.random.default_rng(1))
        scores = np.tile(np.random.default_rng(2).random(labels.shape), (3, 1, 1))
        np.testing.assert_allclose(choose_weights(scores, labels, probability=True), 1 / 3)

    def test_few_actives_choose_nothing(self):
        labels = np.zeros((300, 2))
        labels[:9] = 1
        scores = np.stack([labels, 1 - labels])
        assert choose_weights(scores, labels, probability=True) is None

    def test_tasks_of_one_class_choose_nothing(self):
        labels = np.ones((300, 1))
        scores = np.random.default_rng(0).random((2, 300, 1))
        assert choose_weights(scores, labels, probability=True) is None

    def test_values_are_weighted_by_how_well_they_fit(self):
        rng = np.random.default_rng(3)
        parts = rng.normal(size=(2, 500, 1))
        labels = 0.3 * parts[0] + 0.7 * parts[1]
        labels[::7] = np.nan
        weights = choose_weights(parts, labels, probability=False)
        np.testing.assert_allclose(weights[:, 0], [0.3, 0.7], atol=0.05)


class TestCalibration:
    def test_a_known_distortion_is_found(self):
        rng = np.random.default_rng(0)
        mean = rng.uniform(0.02, 0.9, (20_000, 2))
        labels = (rng.random(mean.shape) < expit(2 * logit(mean) + np.array([1.0, 0.5]))).astype(float)
        labels[::5] = np.nan
        slope, offset = calibration(mean, labels)
        np.testing.assert_allclose(slope, 2, atol=0.1)
        np.testing.assert_allclose(offset, [1.0, 0.5], atol=0.15)

    def test_it_leaves_what_is_calibrated(self):
        rng = np.random.default_rng(1)
        mean = rng.uniform(0.01, 0.99, (20_000, 1))
        labels = (rng.random(mean.shape) < mean).astype(float)
        slope, offset = calibration(mean, labels)
        assert slope == pytest.approx(1, abs=0.05)
        assert offset == pytest.approx(0, abs=0.05)

    def test_classes_without_overlap_do_not_make_the_slope_infinite(self):
        labels = np.repeat([0.0, 1.0], 30)[:, None]
        mean = np.where(labels == 1, 0.8, 0.2)
        slope, offset = calibration(mean, labels)
        assert 1 < slope[0] < 4
        assert abs(offset[0]) < 0.1

    def test_few_actives_are_not_calibrated_by(self):
        labels = np.zeros((200, 2))
        labels[:5] = 1
        slope, offset = calibration(np.full((200, 2), 0.5), labels)
        assert slope.tolist() == [1, 1]
        assert offset.tolist() == [0, 0]

    def test_a_task_with_few_labels_is_drawn_to_the_others(self):
        rng = np.random.default_rng(2)
        mean = rng.uniform(0.1, 0.9, (2_000, 2))
        labels = (rng.random(mean.shape) < expit(logit(mean) + 1)).astype(float)
        labels[3:, 1], labels[:3, 1] = np.nan, 0.0
        _, offset = calibration(mean, labels)
        assert offset[0] == pytest.approx(1, abs=0.2)
        assert offset[1] > 0.5

    @given(seed=st.integers(0, 1000))
    @settings(max_examples=20)
    def test_ranks_stay(self, seed):
        rng = np.random.default_rng(seed)
        mean, labels = rng.random((60, 2)), classes(rng, 60)
        slope, offset = calibration(mean, labels)
        assert (slope > 0).all()
        assert np.isfinite(offset).all()


class TestForests:
    def test_shares_are_those_among_all_inactives(self):
        """Each group of trees sees a draw of the inactives; what it says holds for all of them."""
        rng = np.random.default_rng(0)
        counts = csr_matrix(rng.poisson(0.5, (4_000, 10)).astype(np.float32))
        labels = (np.arange(4_000) < 80).astype(float)
        options = ForestRecipe(trees=20, max_inactives=400, min_samples_leaf=40, zero_share=0, balanced=False)
        grown = _grow_classes(counts, labels, options, 0.0, rng)
        assert len(grown) == 20
        roots = [values[0] for _, values in grown]
        assert np.mean(roots) == pytest.approx(80 / 4_000, rel=0.2)

    def test_without_actives_every_node_scores_nothing(self):
        counts = csr_matrix(np.eye(5, dtype=np.float32))
        grown = _grow_classes(counts, np.zeros(5), ForestRecipe(trees=2), 0.0, np.random.default_rng(0))
        assert all(not values.any() for _, values in grown)

    def test_a_task_without_labels_has_trees(self):
        none = csr_matrix((0, 5), dtype=np.float32)
        for grow in (_grow_classes, _grow_values):
            grown = grow(none, np.zeros(0), ForestRecipe(trees=2), 0.0, np.random.default_rng(0))
            assert len(grown) == 2

    def test_molecules_without_substructures_are_neutral(self):
        rng = np.random.default_rng(0)
        counts = csr_matrix(rng.integers(1, 4, (300, 6)).astype(np.float32))
        options = ForestRecipe(trees=30, zero_share=0.2, max_features=1.0)
        labels = rng.normal(5, 1, 300)
        grown = _grow_values(counts, labels, options, -2.0, rng)
        nothing = np.zeros((1, 6), dtype=np.float32)
        found = np.mean([tree.predict(nothing).item() for tree, _ in grown])
        assert found == pytest.approx(-2, abs=0.2)


STRUCTURES = [
    "CCO",
    "CCN",
    "CCC",
    "CCCl",
    "CC=O",
    "CC(=O)O",
    "c1ccccc1",
    "c1ccncc1",
    "Oc1ccccc1",
    "Nc1ccccc1",
    "CCOC",
    "CCOCC",
    "C1CCCCC1",
    "CC(C)O",
    "NCCN",
    "ClCCl",
    "OCCO",
    "CC#N",
    "CS(C)=O",
    "CCS",
]


class TestKernels:
    @staticmethod
    def part(labels):
        graphs = graphs_of(STRUCTURES)
        return Part(graphs, np.asarray(labels, dtype=float).reshape(len(graphs), -1)), vocabulary_of(
            STRUCTURES
        )

    def test_outputs_without_a_molecule_are_those_of_a_fit_without_it(self):
        rng = np.random.default_rng(0)
        points = rng.normal(size=(30, 4))
        matrix = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=-1))
        target = rng.normal(size=30)
        _, left_out = _left_out(matrix, target, 0.3)
        for i in range(30):
            rest = np.delete(np.arange(30), i)
            fitted = np.linalg.solve(matrix[np.ix_(rest, rest)] + 0.3 * np.eye(29), target[rest])
            assert left_out[i] == pytest.approx(matrix[i, rest] @ fitted)

    def test_molecules_without_substructures_are_neutral(self):
        rng = np.random.default_rng(0)
        values = rng.normal([5.0, -3.0], 1, (len(STRUCTURES), 2))
        values[::3, 1] = np.nan
        part, vocabulary = self.part(values)
        none = np.zeros(len(STRUCTURES))
        regression = committee_recipe(objective="regression")
        found = fit_kernel(part, vocabulary, regression).along_path(part.graphs, none)
        np.testing.assert_allclose(found, np.tile(np.nanmean(values, axis=0), (len(none), 1)), atol=1e-4)
        part, vocabulary = self.part(
            np.where(np.isnan(values), np.nan, values > np.nanmedian(values, axis=0))
        )
        found = fit_kernel(part, vocabulary, committee_recipe()).along_path(part.graphs, none)
        assert found == pytest.approx(np.full_like(found, -4.6), abs=1e-3)

    def test_it_fits_what_it_is_shown(self):
        values = np.arange(len(STRUCTURES), dtype=float)
        part, vocabulary = self.part(values)
        recipe = committee_recipe(objective="regression", kernel={"ridges": [1e-6], "width": 0.2})
        kernel = fit_kernel(part, vocabulary, recipe)
        np.testing.assert_allclose(kernel.outputs(part.graphs)[:, 0], values, atol=1e-2)

    def test_of_too_many_molecules_the_rarer_class_is_compared_with(self):
        labels = np.zeros((len(STRUCTURES), 1))
        labels[[3, 7]] = 1
        part, vocabulary = self.part(labels)
        recipe = committee_recipe(kernel={"max_molecules": 5})
        kernel = fit_kernel(part, vocabulary, recipe)
        assert kernel.size == 6  # and a molecule without any substructure
        rows = [row.tobytes() for row in kernel.counts.toarray()]
        counts = vocabulary.matrix(part.graphs).astype(np.int16).toarray()
        assert {counts[3].tobytes(), counts[7].tobytes()} <= set(rows)

    def test_inactives_that_were_not_drawn_count(self):
        rng = np.random.default_rng(1)
        outputs, labels = rng.normal(size=60), (np.arange(60) < 20).astype(float)
        everything = np.concatenate([np.ones(20), np.zeros(400)])
        weights = _weights_of_chosen(labels, everything)
        assert weights[labels == 1] == pytest.approx(1)
        assert weights[labels == 0] == pytest.approx(10)
        drawn = _slope_and_offset(outputs, labels, weights, 0.0)
        rows = np.concatenate([np.arange(20), np.tile(np.arange(20, 60), 10)])
        whole = _slope_and_offset(outputs[rows], labels[rows], np.ones(len(rows)), 0.0)
        assert drawn == pytest.approx(whole, rel=1e-4)

    def test_a_task_that_no_chosen_molecule_has_is_neutral(self):
        values = np.full((len(STRUCTURES), 2), np.nan)
        values[:, 0] = np.arange(len(STRUCTURES))
        values[:2, 1] = 7.0, 9.0
        part, vocabulary = self.part(values)
        for seed in range(20):
            recipe = committee_recipe(objective="regression", kernel={"max_molecules": 3, "seed": seed})
            kernel = fit_kernel(part, vocabulary, recipe)
            assert kernel.offset[1] == pytest.approx(8)

    def test_tasks_without_labels_or_with_one_class_are_fitted(self):
        labels = np.full((len(STRUCTURES), 2), np.nan)
        labels[:, 1] = 0
        part, vocabulary = self.part(labels)
        kernel = fit_kernel(part, vocabulary, committee_recipe())
        assert np.isfinite(kernel.outputs(part.graphs)).all()


FEW_EPOCHS = {"epochs": 3, "batch_size": 16, "learning_rate": 1e-2}


def request(directory, name="committee", **changes):
    table = directory / "labelled.csv"
    if not table.exists():
        write_labelled(table, N)
    small = {
        "optimization": FEW_EPOCHS | {"keep": "last"},
        "environments": {"max_columns": 100, "hidden": 8, "optimization": FEW_EPOCHS | {"keep": "last"}},
        "forest": {"trees": 5},
    }
    return TrainingRequest(
        source=table,
        output=directory / name,
        targets=TASKS,
        recipe=committee_recipe(**(small | changes)),
        device="cpu",
    )


def digests(model):
    return model.info.weights_sha256, model.info.committee.sha256


@pytest.fixture(scope="module")
def trained(tmp_path_factory, nci_file):
    directory = tmp_path_factory.mktemp("committees")
    return directory, train_model(request(directory))


def test_a_committee_is_trained_and_leaves_no_checkpoint(trained):
    directory, model = trained
    assert model.member_names == ("weave", "environments", "forest", "kernel")
    assert not list((directory / "committee").glob("*checkpoint*"))
    assert load_model(directory / "committee").info == model.info
    why = explain(model, "CC(=O)N", "carbonyl")
    assert sum(why.members.values()) == pytest.approx(why.score - why.baseline_score, abs=1e-9)


@pytest.mark.parametrize(("refit", "judged"), [(False, {"validation", "test"}), (True, {"test"})])
def test_what_scores_are_worth_is_measured_on_parts_that_were_not_learnt(small_committee, refit, judged):
    committee = small_committee.info.committee.model_copy(update={"refit": refit})
    model = small_committee.with_info(small_committee.info.model_copy(update={"committee": committee}))
    smiles = nci_smiles(60)
    labels = np.array([list(label(one).values()) for one in smiles], dtype=float)
    molecules, _ = model.parser.parse_many(smiles_records(smiles))
    data = SimpleNamespace(graphs=model.featurize([m.mol for m in molecules]), labels=labels)
    parts = np.repeat(["train", "validation", "test"], 20)
    found = reliability_of(model, data, parts)
    assert set(found) == judged
    scores = model.predict(smiles).scores[40:]
    expected = expected_calibration_error(labels[40:].ravel(), scores.ravel())
    assert found["test"].expected_error == pytest.approx(expected, abs=1e-6)
    assert sum(each.n for each in found["test"].bins) == labels[40:].size
    assert set(found["test"].by_task) == set(TASKS)


def test_scores_that_were_not_calibrated_are_worth_what_the_ranking_is(trained):
    _, model = trained  # on a table with few actives
    assert not model.info.calibrated
    assert not model.info.committee.learned
    assert model.info.reliability == {}


class StopError(Exception):
    """Where a run breaks off."""


def test_a_run_that_breaks_off_in_the_weave_network_goes_on(trained):
    directory, whole = trained

    def stop(entry):
        if entry["epoch"] == 2:
            raise StopError

    broken = request(directory, "broken")
    with pytest.raises(StopError):
        train_model(broken, Progress(epoch=stop))
    assert (directory / "broken" / CHECKPOINT_FILE).exists()
    assert digests(train_model(replace(broken, resume=True))) == digests(whole)


def test_a_run_that_breaks_off_in_the_forest_goes_on(trained, monkeypatch):
    directory, whole = trained

    def stop(*args):
        raise StopError

    broken = request(directory, "felled")
    with monkeypatch.context() as patch:
        patch.setattr(module, "grow_forest", stop)
        with pytest.raises(StopError):
            train_model(broken)
    assert (directory / "felled" / ENVIRONMENTS_CHECKPOINT).exists()
    assert digests(train_model(replace(broken, resume=True))) == digests(whole)


@pytest.mark.parametrize("other", ["environments", "forest", "kernel"])
def test_pairs_of_members(trained, other):
    directory, _ = trained
    model = train_model(request(directory, other, committee={"members": ["weave", other]}))
    assert model.member_names == ("weave", other)
    why = explain(model, "CC(=O)N", "carbonyl")
    assert why.atom_scores.sum() == pytest.approx(why.score - why.baseline_score - why.residual, abs=1e-9)


def test_a_regression_can_be_a_committee(tmp_path, nci_file):
    table = write_values(tmp_path / "values.csv", N)
    recipe = request(tmp_path).recipe.model_dump(mode="json", exclude_none=True) | {"objective": "regression"}
    model = train_model(
        TrainingRequest(
            source=table,
            output=tmp_path / "values",
            targets=VALUES,
            recipe=parse_recipe(recipe),
            device="cpu",
        )
    )
    assert model.info.committee.slope == (1.0, 1.0)
    why = explain(model, "CC(=O)N", "mass")
    change = why.score - why.baseline_score
    assert why.atom_scores.sum() == pytest.approx(change - why.residual, abs=1e-6 * abs(change))
    assert sum(why.members.values()) == pytest.approx(change)


def test_weights_before_the_validation_part_is_asked(trained):
    directory, _ = trained
    prior = [1, 2, 3, 4]
    given = {"members": ["weave", "environments", "forest", "kernel"], "prior": prior}
    only = train_model(request(directory, "only", committee=given | {"prior_molecules": 1e9}))
    found = [m.weights[0] for m in only.info.committee.members]
    assert found == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-5)
    assert committee_recipe(committee=given).committee.prior_weights == pytest.approx([0.1, 0.2, 0.3, 0.4])
    with pytest.raises(UsageError, match="exclude each other"):
        committee_recipe(committee=given | {"weights": "equal"})
    for wrong in ([1, 2, 3], [0, 0, 0, 0]):
        with pytest.raises(UsageError, match="must give each member a weight"):
            committee_recipe(committee=given | {"prior": wrong})


class TestStart:
    """Training from the weights of another model."""

    ALONE = {"members": ["weave"]}  # noqa: RUF012

    @pytest.mark.parametrize("seen", ["", "logs of a robot"])
    def test_the_card_says_what_the_starting_weights_have_seen(self, trained, tmp_path, seen):
        _, committee = trained
        provenance = committee.info.training.model_copy(update={"data_source": seen})
        described = committee.info.model_copy(update={"training": provenance})
        save_model(committee.with_info(described), tmp_path / "first")
        quick = {"optimization": FEW_EPOCHS | {"epochs": 1}, "committee": self.ALONE}
        data = seen or "labelled.csv"
        for start, told in (("first", data), ("second", f"labelled.csv, and before that {data}")):
            chosen = request(tmp_path, "second" if start == "first" else "third", **quick)
            recipe = committee_recipe(**quick, start={"model": str(tmp_path / start)})
            info = train_model(replace(chosen, recipe=recipe)).info
            assert info.training.started_from_data == told
            card = " ".join(model_card(info).split())
            assert f"layer; they have learnt from {told}: structures of molecules" in card

    def test_all_but_the_last_layer_is_taken(self, trained):
        directory, committee = trained
        still = FEW_EPOCHS | {"learning_rate": 1e-9, "weight_decay": 0.0, "keep": "last"}
        start = {"model": str(directory / "committee")}
        model = train_model(
            request(directory, "still", committee=self.ALONE, start=start, optimization=still)
        )
        before, after = committee.network.state_dict(), model.network.state_dict()
        last = {"head." + str(len(committee.network.head) - 1) + end for end in (".weight", ".bias")}
        for name, tensor in before.items():
            if "running" in name or "num_batches" in name:
                continue
            same = np.allclose(tensor, after[name], atol=1e-4)
            assert same != (name in last), name
        assert model.info.training.started_from == "committee"
        assert start_digests(committee_recipe(start=start)) == [committee.info.weights_sha256]
        assert start_digests(committee_recipe()) == []
        assert "started from the weights of `committee`" in (model_card(model.info))

    def test_the_stored_recipe_trains_again_from_elsewhere(self, trained, tmp_path, monkeypatch):
        directory, committee = trained
        with monkeypatch.context() as here:
            here.chdir(directory)
            whole = request(directory, "moved", committee=self.ALONE, start={"model": "committee"})
            first = train_model(whole)
        monkeypatch.chdir(tmp_path)
        recipe = read_recipe(directory / "moved" / "recipe.toml")
        assert recipe.start.sha256 == committee.info.weights_sha256
        assert plain_choices(recipe) == plain_choices(whole.recipe)
        again = train_model(replace(whole, recipe=recipe, output=tmp_path / "again"))
        assert again.info.weights_sha256 == first.info.weights_sha256

    def test_other_weights_than_the_recipe_was_made_with_are_refused(self, trained):
        directory, _ = trained
        start = {"model": str(directory / "committee"), "sha256": "0" * 64}
        with pytest.raises(UsageError, match=r"'committee' in .*other weights.*start\.sha256"):
            train_model(request(directory, "no", committee=self.ALONE, start=start))

    def test_a_directory_of_the_name_is_not_the_bundled_model(self, tmp_path, monkeypatch):
        (tmp_path / "descriptors").mkdir()
        monkeypatch.chdir(tmp_path)
        assert start_digests(committee_recipe(start={"model": "descriptors"}))

    def test_other_networks_and_features_are_refused(self, trained):
        directory, _ = trained
        start = {"model": str(directory / "committee")}
        network = committee_recipe().network.model_dump(mode="json") | {"hidden": [7]}
        with pytest.raises(UsageError, match="another network"):
            train_model(request(directory, "no", committee=self.ALONE, start=start, network=network))
        features = {"preset": "full"}
        with pytest.raises(UsageError, match="other features"):
            train_model(request(directory, "no", committee=self.ALONE, start=start, features=features))
        for gone, words in (
            ("discriptors", "'descriptors'"),
            ("gone/model", r"at gone/model: say where.*start"),
        ):
            with pytest.raises(UsageError, match=f"model to start from.*{words}"):
                train_model(request(directory, "no", start={"model": gone}))
        assert not (directory / "no").exists()


def test_committees_without_weave_or_with_twins_are_refused():
    for members in (["forest"], ["weave", "forest", "forest"]):
        with pytest.raises(UsageError, match="must name weave, and each member once"):
            committee_recipe(committee={"members": members})


def test_members_of_no_weight_are_left_out(trained):
    _, model = trained
    committee = model.info.committee

    def weighing(*weights):
        members = [
            info.model_copy(update={"weights": (weight,) * len(TASKS)})
            for info, weight in zip(committee.members, weights, strict=True)
        ]
        info = model.info.model_copy(
            update={"committee": committee.model_copy(update={"members": tuple(members)})}
        )
        return ScreeningModel(info, model.network, members=model.members)

    lopsided = weighing(0.5, 0.0, 0.5, 0.0)
    lean = without_idle(lopsided)
    assert lean.member_names == ("weave", "forest")
    assert lean.info.committee.idle == ("environments", "kernel")
    graphs = model.featurize([Chem.MolFromSmiles(s) for s in nci_smiles(20)])
    np.testing.assert_allclose(lean.logits(graphs), lopsided.logits(graphs), rtol=1e-6)
    assert "Without weight, and so left out: environments, kernel." in model_card(lean.info)
    # A network that outweighs all others keeps them: a committee of one would be none.
    for weights in ((1.0, 0.0, 0.0, 0.0), (0.25,) * 4):
        assert without_idle(weighing(*weights)).member_names == model.member_names
