"""Tables of all tasks without ranks, models of Chemprop, and percentiles among approved drugs."""

from __future__ import annotations

import copy
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.libraries import BAD, GOOD

import molig
from molig.errors import UnknownNameError, UsageError, speaking_of_options
from molig.foreign import load_chemprop
from molig.screening import ScreeningOptions, screen
from molig.screening.hits import HitColumns


@pytest.fixture(scope="module")
def small_model(small_committee):
    """Without a task, only calibrated scores are ranked: those of a committee."""
    return small_committee


SMALL = Path(__file__).parent.parent / "foreign" / "small.pt"
HEAD = ["row", "id", "smiles", "scored_smiles", "removed"]
DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "not a molecule", "CCO"]


class TestAllTasks:
    def test_every_task_has_a_column_and_no_row_a_rank(self, small_model, tmp_path):
        ranked = screen([*GOOD, *BAD], small_model).hits
        hits = screen([*GOOD, *BAD], small_model, task="all").hits
        assert list(hits.columns) == [*HEAD, *small_model.tasks]
        pd.testing.assert_frame_equal(hits, ranked[hits.columns])
        screen(GOOD, small_model, task="all", output=tmp_path / "all.csv")
        assert list(pd.read_csv(tmp_path / "all.csv").columns) == list(hits.columns)

    def test_values_of_several_tasks_need_no_task_then(self, small_regression):
        hits = screen(GOOD, small_regression, task="all").hits
        expected = small_regression.predict(GOOD).scores
        assert hits[list(small_regression.tasks)].to_numpy() == pytest.approx(expected, rel=1e-5)

    def test_a_task_called_all_is_a_task(self, small_model):
        info = small_model.info.model_copy(update={"tasks": ("all", *small_model.tasks[1:])})
        hits = screen(GOOD, small_model.with_info(info), task="all").hits
        assert list(hits.columns) == [*HEAD, "all", "rank"]

    @pytest.mark.parametrize("more", [{"top_k": 2}, {"uncertainty": True}])
    def test_what_is_about_the_best_score_is_refused(self, small_committee, more):
        option = f"--{next(iter(more)).replace('_', '-')}"
        with (
            speaking_of_options(),
            pytest.raises(UsageError, match=f"{option} is about the best score.*--task"),
        ):
            screen(GOOD, small_committee, options=ScreeningOptions(task="all", **more))

    def test_applicability_is_not(self, small_committee):
        options = ScreeningOptions(task="all", applicability=True)
        hits = screen(GOOD, small_committee, options=options).hits
        assert list(hits.columns) == [*HEAD, *small_committee.tasks, "applicability", "similarity"]


@pytest.mark.parametrize("task", ["row", "smiles", "rank", "best_task"])
def test_a_task_with_the_name_of_another_column_is_refused(task):
    with pytest.raises(UsageError, match=f"has a task '{task}', the name of another column"):
        HitColumns((task, "other"))


class TestChemprop:
    @pytest.mark.parametrize("named", [SMALL, str(SMALL), "several"])
    def test_files_are_named_as_models(self, named, tmp_path):
        if named == "several":
            named = [SMALL, str(shutil.copy(SMALL, tmp_path / "other.pt"))]
        hits = screen([*GOOD, "C1CC"], named, task="all").hits
        expected = molig.load_model(named).predict(GOOD).scores
        assert hits[["first", "second"]].to_numpy() == pytest.approx(expected, abs=1e-6)
        assert (screen(GOOD, named, task="first").hits["rank"] > 0).all()

    def test_tasks_without_calibration_are_not_ranked_together(self):
        message = r"not calibrated, of 2 tasks, .* choose one by task \('first', 'second'\), or take 'all'"
        with pytest.raises(UsageError, match=message):
            screen(GOOD, SMALL)

    def test_of_a_task_only_its_ensemble_runs(self):
        model = load_chemprop(SMALL)
        other = copy.deepcopy(model.ensembles[0])
        values = type(other)(other.networks, ("third", "fourth"))
        broken = type(model)("two", [*model.ensembles, values], model.preset, model.parser)
        broken.networks[1].predictor.layers = None
        hits = screen(GOOD, broken, task="second").hits
        assert hits["second"].tolist() == screen(GOOD, model, task="second").hits["second"].tolist()
        with pytest.raises(TypeError):
            screen(GOOD, broken, task="third")

    def test_the_meaning_is_kept(self, tmp_path):
        screen(GOOD, SMALL, task="all", output=tmp_path / "hits.parquet")
        meaning = pq.read_schema(tmp_path / "hits.parquet").metadata[b"scores"].decode()
        assert meaning == load_chemprop(SMALL).meaning_of(["first", "second"])

    def test_percentiles_are_of_admet_ai(self):
        with pytest.raises(UsageError, match=r"percentiles is for admet-ai.*small has no drugs"):
            screen(GOOD, SMALL, options=ScreeningOptions(percentiles=True))

    def test_a_class_of_drugs_goes_with_percentiles(self):
        with pytest.raises(UsageError, match="atc chooses the drugs of percentiles"):
            screen(GOOD, SMALL, options=ScreeningOptions(atc="nervous system"))


@pytest.fixture(scope="module")
def model():
    if find_spec("admet_ai") is None:
        pytest.skip("ADMET-AI is not installed")
    return molig.load_model("admet-ai")


class TestAdmetAI:
    def test_probabilities_and_values_are_not_ranked_together(self, model):
        with pytest.raises(UsageError, match=r"probabilities and values of 41 tasks.*or take 'all'"):
            screen(DRUGS, model)

    def test_every_score_has_its_percentile_beside_it(self, model, tmp_path):
        options = ScreeningOptions(task="all", percentiles=True)
        hits = screen(DRUGS, model, options=options).hits
        both = [name for task in model.tasks for name in (task, f"{task} percentile")]
        assert list(hits.columns) == [*HEAD, *both]
        expected = model.predict([s for s in DRUGS if s != "not a molecule"]).scores
        assert hits[list(model.tasks)].to_numpy() == pytest.approx(expected, rel=1e-5)
        percentiles = hits[[f"{task} percentile" for task in model.tasks]].to_numpy()
        assert percentiles == pytest.approx(model.percentiles(expected), rel=1e-5)
        screen(DRUGS, model, options=options, output=tmp_path / "all.parquet")
        field = pq.read_schema(tmp_path / "all.parquet").field("hERG percentile")
        assert b"approved drugs in DrugBank" in field.metadata[b"description"]

    def test_one_task_among_the_drugs_of_a_class(self, model):
        options = ScreeningOptions(task="Caco2_Wang", percentiles=True, atc="Nervous System", top_k=2)
        result = screen(DRUGS, model, options=options)
        assert list(result.hits.columns) == [*HEAD, "Caco2_Wang", "Caco2_Wang percentile", "rank"]
        scores = np.full((2, 41), np.nan)
        scores[:, model.task_index("Caco2_Wang")] = result.hits["Caco2_Wang"]
        expected = model.percentiles(scores, "nervous system")[:, model.task_index("Caco2_Wang")]
        assert result.hits["Caco2_Wang percentile"].tolist() == pytest.approx(expected, rel=1e-5)
        assert "values, in log(10^-6 cm/s), each the mean of 5 networks." in result.meaning
        with pytest.raises(UnknownNameError, match=r"did you mean 'nervous system'.*Valid: alimentary tract"):
            screen(DRUGS, model, options=ScreeningOptions(task="hERG", percentiles=True, atc="nervos system"))


def test_percentiles_of_a_batch_without_a_molecule(tmp_path):
    if find_spec("admet_ai") is None:
        pytest.skip("ADMET-AI is not installed")
    options = ScreeningOptions(task="hERG", percentiles=True, batch_size=1)
    found = screen(["nonsense", "CCO"], "admet-ai", options=options)
    assert (found.n_scored, found.n_rejected) == (1, 1)
    assert 0 <= found.hits["hERG percentile"][0] <= 100
