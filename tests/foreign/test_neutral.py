"""Neutral baselines of networks that were trained without one."""

from __future__ import annotations

import numpy as np
import pytest

from foreign.test_relaxed import models
from molig.attribution import Baselines, Explainer, Target, baseline_scores
from molig.foreign.neutral import wanted_output, without_features
from molig.molecules import smiles_records


def at_baseline(model, rows, molecule="CCc1ccccc1"):
    molecules, _ = model.parser.parse_many(list(smiles_records([molecule])))
    graphs = model.featurize([m.mol for m in molecules])
    inputs = model.relax(graphs, rows)
    return inputs.outputs(np.array([0]), np.zeros(graphs.n_atoms), np.zeros(graphs.n_pairs))[0]


@pytest.mark.parametrize(
    "name", ["classification", "regression, unscaled", "multiclass", "atoms, undirected"]
)
def test_a_neutral_baseline_scores_closer_to_what_is_wanted_than_zero_does(name, tmp_path):
    for model in models(name, tmp_path):
        task = model.tasks[-1]
        column = len(model.tasks) - 1
        wanted, unit = wanted_output(model.networks, column)
        target = Target.VALUE if model.objective == "regression" else Target.LOGIT
        errors = {
            name: np.abs(baseline_scores(model, Baselines(name, model), [task], target) - wanted).max(
                axis=None
            )
            for name in ("mean", "neutral")
        }
        # Held near the mean features, rows move as far as errors outweigh them.
        assert errors["neutral"] < max(errors["mean"], 0.5 * unit)


def test_it_is_fitted_once_and_shared_by_copies_of_the_model(tmp_path):
    model = models("classification", tmp_path)[0]
    rows = model.neutral_rows(model.tasks[0])
    assert model.neutral_rows(model.tasks[0]) is rows
    assert model.to("cpu").neutral_rows(model.tasks[0]) is rows
    again = models("classification", tmp_path)[0].neutral_rows(model.tasks[0])
    np.testing.assert_array_equal(again[0], rows[0])  # equal models, equal baselines


def test_tasks_have_neutral_baselines_of_their_own(tmp_path):
    model = models("classification", tmp_path)[1]
    records = list(smiles_records(["CCO", "c1ccccc1N"]))
    explainer = Explainer(model)
    assert explainer.baselines.name == "neutral"
    for results in explainer.explain_all_tasks(records):
        for task, one in zip(model.tasks, results, strict=True):
            (alone,) = Explainer(model, task=task).explain_records([records[one.row - 1]])
            assert one.task == task
            assert one.baseline == "neutral"
            assert one.baseline_score == pytest.approx(alone.baseline_score, rel=1e-9)
            np.testing.assert_allclose(one.atom_scores, alone.atom_scores, rtol=1e-7, atol=1e-10)


def test_graphs_without_features(tmp_path):
    model = models("classification", tmp_path)[0]
    molecules, _ = model.parser.parse_many(list(smiles_records(["CCO", "c1ccccc1N"])))
    bare = without_features(model.featurize([m.mol for m in molecules]))
    zero = np.zeros(model.schema.n_atom_columns), np.zeros(model.schema.n_pair_columns)
    np.testing.assert_allclose(
        model.relax(bare).outputs(np.array([0, 1]))[0], at_baseline(model, zero, "CCO"), rtol=1e-9
    )
