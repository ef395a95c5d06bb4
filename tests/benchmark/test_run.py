"""Training once, explaining what is held out, judging it; on sets that are made up."""

import io
import json
import os

import numpy as np
import pandas as pd
import pytest
from support.ground_truth import write_fragments, write_nitrogens, write_recipe

from molig.attribution import explain
from molig.benchmark import evaluate, read_ground_truth
from molig.benchmark.explained import BENCHMARK_METHODS, projected_scores, resolve_methods
from molig.benchmark.files import benchmark_json, benchmark_markdown, benchmark_molecules
from molig.benchmark.models import benchmark_models
from molig.benchmark.recipe import Projection, read_benchmark_recipe
from molig.benchmark.run import BenchmarkPlan, judge_models, judged_molecules, n_explanations
from molig.errors import InputError, UnknownNameError, UsageError
from molig.training import Progress

ATTACHMENT = "FC(=O)C*"  # no model takes an attachment point


class StopTrainingError(Exception):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The two made-up sets."""
    directory = tmp_path_factory.mktemp("sets")
    write_fragments(directory, extra=(ATTACHMENT,))
    write_nitrogens(directory)
    return directory


@pytest.fixture(scope="module")
def fragments(data):
    return read_ground_truth("logic7", data)


@pytest.fixture
def recipe(tmp_path):
    return read_benchmark_recipe(write_recipe(tmp_path / "recipe.toml"))


def changed(recipe, **optimization):
    training = recipe.training
    options = training.optimization.model_copy(update=optimization)
    return recipe.model_copy(update={"training": training.model_copy(update={"optimization": options})})


def epochs_of(truth, recipe, directory):
    """Epochs that are run now."""
    epochs = []
    progress = Progress(epoch=lambda entry: epochs.append(int(entry["epoch"])))
    benchmark_models(truth, recipe, directory, "cpu", progress)
    return epochs


def digests(directory):
    return {path.name: path.read_bytes() for path in directory.rglob("weights.safetensors")}


class TestTraining:
    def test_a_finished_model_is_not_trained_again(self, fragments, recipe, tmp_path):
        assert epochs_of(fragments, recipe, tmp_path / "out") == [1, 2]
        assert epochs_of(fragments, recipe, tmp_path / "out") == []

    def test_another_recipe_replaces_it(self, fragments, recipe, tmp_path):
        epochs_of(fragments, recipe, tmp_path / "out")
        assert epochs_of(fragments, changed(recipe, epochs=3), tmp_path / "out") == [1, 2, 3]

    def test_options_of_the_attribution_do_not(self, fragments, recipe, tmp_path):
        epochs_of(fragments, recipe, tmp_path / "out")
        options = recipe.attribution.model_copy(update={"projection": "own"})
        assert (
            epochs_of(fragments, recipe.model_copy(update={"attribution": options}), tmp_path / "out") == []
        )

    def test_other_data_replace_it(self, fragments, recipe, tmp_path):
        epochs_of(fragments, recipe, tmp_path / "out")
        assert epochs_of(fragments.take(range(36)), recipe, tmp_path / "out") == [1, 2]

    def test_an_interrupted_run_goes_on_and_ends_the_same(self, fragments, recipe, tmp_path):
        recipe = changed(recipe, epochs=3)
        epochs_of(fragments, recipe, tmp_path / "whole")
        self.interrupt(fragments, recipe, tmp_path / "broken")
        assert epochs_of(fragments, recipe, tmp_path / "broken") == [2, 3]
        assert digests(tmp_path / "broken") == digests(tmp_path / "whole")

    def test_a_checkpoint_of_another_recipe_or_table_is_left(self, fragments, recipe, tmp_path):
        self.interrupt(fragments, recipe, tmp_path / "out")
        assert epochs_of(fragments, changed(recipe, epochs=1), tmp_path / "out") == [1]
        self.interrupt(fragments, recipe, tmp_path / "out")
        assert epochs_of(fragments.take(range(36)), recipe, tmp_path / "out") == [1, 2]

    def test_a_run_broken_before_its_first_epoch_leaves_no_old_model(self, fragments, recipe, tmp_path):
        epochs_of(fragments, recipe, tmp_path / "out")

        def stop(n):
            raise StopTrainingError

        with pytest.raises(StopTrainingError):
            benchmark_models(
                fragments, changed(recipe, epochs=3), tmp_path / "out", "cpu", Progress(rows=stop)
            )
        assert not (tmp_path / "out" / "model" / "model.json").exists()

    def test_members_have_directories_of_their_own(self, fragments, recipe, tmp_path):
        options = recipe.attribution.model_copy(update={"members": 2})
        both = recipe.model_copy(update={"attribution": options})
        first, second = benchmark_models(fragments, both, tmp_path / "out", "cpu")
        assert (first.info.training.seed, second.info.training.seed) == (0, 1)
        assert (tmp_path / "out" / "model-2" / "model.json").exists()

    @staticmethod
    def interrupt(truth, recipe, directory):
        def stop(entry):
            raise StopTrainingError

        with pytest.raises(StopTrainingError):
            benchmark_models(truth, recipe, directory, "cpu", Progress(epoch=stop))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def prepared(fragments, out):
    recipe = read_benchmark_recipe(write_recipe(out / "recipe.toml"))
    return recipe, benchmark_models(fragments, recipe, out, "cpu")


@pytest.fixture(scope="module")
def result(fragments, prepared, out):
    recipe, models = prepared
    return judge_models(fragments, models, recipe, out)


class TestJudging:
    def test_all_methods_are_judged_on_the_positive_molecules(self, result, fragments):
        assert result.comparison["method"].tolist() == 2 * list(BENCHMARK_METHODS)
        assert set(result.explained.truth.parts) == {"test"}
        assert all(truth.any() for truth in result.explained.truth.truths)
        assert set(result.comparison["n_molecules"]) == {10}
        assert result.n_part == (fragments.parts == "test").sum()
        of_auroc = result.comparison["metric"] == "attribution_auroc"
        assert set(result.comparison["published_best"][of_auroc]) == {0.7849}

    def test_a_molecule_that_cannot_be_explained_is_told_and_the_rest_goes_on(self, result):
        (failure,) = result.explained.failures
        assert (failure.id, failure.smiles) == ("m40", ATTACHMENT)
        assert failure.reason.startswith("dummy atom")
        assert "m40" not in result.explained.truth.ids

    def test_scores_are_those_of_the_explanations(self, result, prepared):
        truth, (model,) = result.explained.truth, prepared[1]
        why = explain(model, truth.smiles[3], method="occlusion")
        np.testing.assert_allclose(
            result.explained.scores["occlusion"][3], why.atom_scores, atol=1e-4 * abs(why.atom_scores).max()
        )

    def test_files(self, result):
        plan = BenchmarkPlan()
        data = json.loads(benchmark_json([result], plan))
        found = data["sets"]["logic7"]
        assert found["results"][0]["value"] == result.comparison["value"][0]
        assert (found["n_explained"], len(found["failures"])) == (10, 1)
        assert found["recipe"]["attribution"]["projection"] == "all"
        text = benchmark_markdown([result], plan)
        assert "| logic7 | attribution AUROC | 10 |" in text
        assert "m40" in text
        table = pd.read_parquet(io.BytesIO(benchmark_molecules(result)))
        truths = [np.stack(rows) for rows in table["truth"]]
        again = evaluate("attribution_auroc", truths, list(table["occlusion"])).value
        assert again == pytest.approx(table["occlusion.attribution_auroc"].mean())

    def test_the_same_again_is_the_same(self, result, fragments, prepared, out):
        recipe, models = prepared
        again = judge_models(fragments, models, recipe, out)
        assert benchmark_json([again], BenchmarkPlan()) == benchmark_json([result], BenchmarkPlan())

    def test_the_validation_part_is_drawn_from_training(self, fragments, prepared, out):
        recipe, models = prepared
        plan = BenchmarkPlan("validation", ["ig"])
        try:
            found = judge_models(fragments, models, recipe, out, plan=plan)
        except InputError:  # of so few molecules none may count
            pytest.skip("no positive molecule in validation")
        assert set(found.explained.truth.parts) == {"train"}
        split = pd.read_csv(out / "model" / "split.csv")
        rows = split.loc[split["part"] == "validation", "row"]
        assert found.n_part == len(rows)
        assert set(found.explained.truth.ids) <= {fragments.ids[row - 1] for row in rows}

    def test_samples_are_drawn_by_their_seed(self, fragments, out, prepared):
        test = fragments.part("test")
        drawn = {seed: judged_molecules(test, BenchmarkPlan(sample=4, seed=seed)).ids for seed in (0, 0, 1)}
        assert {len(ids) for ids in drawn.values()} == {4}
        assert len(set(drawn.values())) == 2
        assert n_explanations(test, BenchmarkPlan(methods=["ig", "occlusion"], sample=4)) == 8

    def test_a_lost_split_is_named(self, fragments, prepared, out):
        recipe, models = prepared
        os.rename(out / "model" / "split.csv", out / "lost")
        try:
            with pytest.raises(InputError, match=r"split\.csv: does not give the parts"):
                judge_models(fragments, models, recipe, out, plan=BenchmarkPlan("validation"))
        finally:
            os.rename(out / "lost", out / "model" / "split.csv")


def test_nothing_to_judge_is_told(fragments):
    negative = fragments.take([i for i, truth in enumerate(fragments.truths) if not truth.any()])
    with pytest.raises(InputError, match="test part of logic7 holds no molecule"):
        judged_molecules(negative.part("test"), BenchmarkPlan())


def test_regression_with_members(data, tmp_path):
    truth = read_ground_truth("N", data)
    more = '[attribution]\nmembers = 2\nprojection = "bonded"'
    recipe = read_benchmark_recipe(write_recipe(tmp_path / "r.toml", "regression", 1, more))
    models = benchmark_models(truth, recipe, tmp_path, "cpu")
    result = judge_models(truth, models, recipe, tmp_path, plan=BenchmarkPlan(methods=["ig"]))
    assert result.comparison["metric"].tolist() == ["top_n", "attribution_auroc"]
    assert set(result.comparison["model_metric"]) == {"r2"}
    for smiles, scores in zip(
        result.explained.truth.smiles, result.explained.scores["integrated_gradients"], strict=True
    ):
        found = np.mean([projected_scores(explain(m, smiles), Projection.BONDED) for m in models], axis=0)
        np.testing.assert_allclose(scores, found, atol=1e-4 * abs(found).max())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"part": "tset"}, UnknownNameError, "did you mean 'test'"),
        ({"part": "train"}, UnknownNameError, "unknown part"),
        ({"methods": ["occlusoin"]}, UnknownNameError, "did you mean 'occlusion'"),
        ({"methods": []}, UsageError, "at least one method"),
        ({"sample": 0}, UsageError, "at least 1 molecule"),
    ],
)
def test_impossible_plans_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        BenchmarkPlan(**arguments)


def test_names_of_methods():
    assert resolve_methods(["IG", "averaged-baselines", "ig"]) == (
        "integrated_gradients",
        "averaged_baselines",
    )


def test_a_committee_is_trained_and_judged(fragments, tmp_path):
    """Members of [committee] in a benchmark's recipe are those of its model."""
    more = """
[committee]
members = ["weave", "environments", "forest"]

[environments]
hidden = 8

[environments.optimization]
epochs = 2
batch_size = 8
learning_rate = 0.01

[forest]
trees = 5
"""
    recipe = read_benchmark_recipe(write_recipe(tmp_path / "recipe.toml", more=more))
    (model,) = benchmark_models(fragments, recipe, tmp_path, "cpu")
    assert model.member_names == ("weave", "environments", "forest")
    (again,) = benchmark_models(fragments, recipe, tmp_path, "cpu", Progress(epoch=_no_epoch))
    assert again.info.committee == model.info.committee
    why = explain(model, "FCCC=O")
    for projection in Projection:
        scores = projected_scores(why, projection)
        expected = why.own_atom_scores + why.substructure_scores
        if projection is Projection.OWN:
            np.testing.assert_allclose(scores, expected)
    np.testing.assert_allclose(projected_scores(why, Projection.ALL), why.atom_scores)
    other = recipe.member(1)
    assert (other.optimization.seed, other.forest.seed) == (
        recipe.training.optimization.seed + 1,
        recipe.training.forest.seed + 1,
    )


def _no_epoch(entry):
    raise StopTrainingError
