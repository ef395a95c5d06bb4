"""Figures of values against scikit-learn and scipy, and their resamples against single ones drawn alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import r2_score, root_mean_squared_error

from molig.evaluation.criteria import RANKING, VALUES, criteria_of
from molig.evaluation.figures import compare, method_figures
from molig.evaluation.methods import FoldScores
from molig.model import Objective


def made_up(seed, n=60, noise=0.5):
    """Two tasks of values with gaps, some of them tied."""
    rng = np.random.default_rng(seed)
    labels = np.round(rng.normal(6, 1.5, (n, 2)), 1)
    scores = np.round(labels + rng.normal(0, noise, (n, 2)), 1)
    labels[rng.random((n, 2)) < 0.2] = np.nan
    return FoldScores(np.arange(n) + 1, labels, scores)


def expected(labels, scores):
    return {
        "rmse": root_mean_squared_error(labels, scores),
        "r2": r2_score(labels, scores),
        "spearman": spearmanr(labels, scores).statistic,
    }


def test_figures_of_values():
    labels, scores = made_up(0).labels[:, 0], made_up(0).scores[:, 0]
    known = ~np.isnan(labels)
    found = VALUES.quality(labels[known], scores[known], None)
    assert found.figures() == pytest.approx(expected(labels[known], scores[known]))
    assert VALUES.counts(found) == {"n_measured": known.sum()}


@settings(max_examples=30)
@given(st.integers(2, 25), st.integers(0, 1000), st.booleans())
def test_every_resample_is_judged_as_such(n, seed, in_blocks):
    rng = np.random.default_rng(seed)
    labels, scores = np.round(rng.normal(5, 1, n), 1), np.round(rng.normal(5, 1, n), 1)
    with pytest.MonkeyPatch.context() as patch:
        if in_blocks:
            patch.setattr("molig.evaluation.criteria._CELLS_PER_BLOCK", 3 * n)
        found = VALUES.samples(labels, scores, 7, seed)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=7)
    for number, often in enumerate(drawn):
        rows = np.repeat(np.arange(n), often)
        of_labels, of_scores = labels[rows], scores[rows]
        assert found["rmse"][number] == pytest.approx(root_mean_squared_error(of_labels, of_scores))
        if np.ptp(of_labels) == 0:
            assert np.isnan(found["r2"][number])
        else:
            assert found["r2"][number] == pytest.approx(r2_score(of_labels, of_scores))
        if np.ptp(of_labels) == 0 or np.ptp(of_scores) == 0:
            assert np.isnan(found["spearman"][number])
        else:
            assert found["spearman"][number] == pytest.approx(spearmanr(of_labels, of_scores).statistic)


def test_nothing_to_judge():
    found = VALUES.quality(np.empty(0), np.empty(0), None)
    assert set(found.figures().values()) == {None}
    assert np.isnan(VALUES.samples(np.empty(0), np.empty(0), 3, 0)["rmse"]).all()
    one = VALUES.quality(np.array([2.0]), np.array([3.0]), None)
    assert one.figures() == {"rmse": 1.0, "r2": None, "spearman": None}
    unknown = VALUES.quality(np.ones(2), np.array([np.nan, 1.0]), None)
    assert (unknown.rmse, unknown.n) == (None, 2)


def test_means_medians_and_intervals_of_values():
    folds = [made_up(seed) for seed in range(3)]
    found = method_figures("method", folds, ("a", "b"), criteria=VALUES, seed=1, n_resamples=50)
    for column, task in enumerate("ab"):
        rmses = []
        for fold in folds:
            known = ~np.isnan(fold.labels[:, column])
            rmses.append(root_mean_squared_error(fold.labels[known, column], fold.scores[known, column]))
        mean = found.tasks[task].mean
        assert mean.rmse == pytest.approx(np.mean(rmses))
        assert mean.n == sum((~np.isnan(fold.labels[:, column])).sum() for fold in folds)
        low, high = mean.intervals["rmse"]
        assert low < mean.rmse < high
    assert found.medians["r2"] == np.median([task.mean.r2 for task in found.tasks.values()])
    assert set(found.median_intervals) == {"rmse", "r2", "spearman"}
    assert found.neutral == {}


def test_a_method_without_scores_in_a_task_has_no_figures_there():
    fold = made_up(0)
    fold.scores[:, 1] = np.nan
    found = method_figures("method", [fold], ("a", "b"), criteria=VALUES, n_resamples=10)
    assert found.tasks["b"].mean.rmse is None
    assert found.tasks["b"].mean.intervals == {}
    assert found.medians["rmse"] == found.tasks["a"].mean.rmse


def test_the_smaller_error_wins():
    good, poor = (
        method_figures(name, [made_up(0, noise=noise)], ("a", "b"), criteria=VALUES, n_resamples=10)
        for name, noise in (("molig", 0.2), ("other", 1.5))
    )
    for network, other, wins in ((good, poor, 2), (poor, good, 0)):
        for comparison in compare(network, [other], VALUES):
            assert (comparison.test.wins, comparison.test.losses) == (wins, 2 - wins)
    assert [c.figure for c in compare(good, [poor], VALUES)] == ["rmse", "r2", "spearman"]


def test_criteria_of_objectives():
    assert criteria_of(Objective.REGRESSION) is VALUES
    assert criteria_of(Objective.CLASSIFICATION) is RANKING
    assert RANKING.principal == ("roc_auc", "pr_auc", "bedroc", "ef_1")
    assert "tie_fraction" not in RANKING.of_merit
