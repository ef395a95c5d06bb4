"""Figures against their definitions: areas by counting, errors by formula."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from molig.training.metrics import (
    all_regression_metrics,
    all_task_metrics,
    median_figure,
    regression_metrics,
    reliability,
    screening_metrics,
    task_metrics,
)

few_values = arrays(float, 12, elements=st.sampled_from([-3.0, 0.0, 1.0, 2.5, 7.0]))


def test_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    labels, scores = (rng.random(60) < 0.3).astype(float), np.round(rng.random(60), 1)
    active, inactive = scores[labels == 1], scores[labels == 0]
    pairs = (active[:, None] > inactive) + 0.5 * (active[:, None] == inactive)
    assert task_metrics(labels, scores).roc_auc == pytest.approx(pairs.mean())


def test_missing_labels_do_not_count():
    found = task_metrics(np.array([1, 0, np.nan, 0]), np.array([0.9, 0.1, 5, 0.2]))
    assert (found.roc_auc, found.pr_auc, found.n_actives, found.n_inactives) == (1.0, 1.0, 1, 2)


def test_one_class_has_no_auc():
    found = task_metrics(np.array([1, 1, np.nan]), np.zeros(3))
    assert found.roc_auc is None
    assert found.pr_auc is None


class TestScreeningMetrics:
    @pytest.fixture
    def ranking(self):
        rng = np.random.default_rng(1)
        labels = (rng.random(300) < 0.2).astype(float)
        scores = rng.normal(size=300) + labels
        labels[::17] = np.nan
        return labels, scores, 1 / (1 + np.exp(-scores))

    def test_the_areas_are_those_of_every_epoch(self, ranking):
        found, areas = screening_metrics(*ranking, n_resamples=20), task_metrics(*ranking[:2])
        for name in ("roc_auc", "pr_auc", "n_actives", "n_inactives"):
            assert getattr(found, name) == pytest.approx(getattr(areas, name))

    def test_early_enrichment_and_calibration(self, ranking):
        labels, scores, probabilities = (a[~np.isnan(ranking[0])] for a in ranking)
        found = screening_metrics(*ranking, n_resamples=0)
        best = labels[np.argsort(-scores)]
        n = 0.05 * len(labels)
        expected = (best[: int(n)].sum() + (n - int(n)) * best[int(n)]) / n / labels.mean()
        assert found.ef_5 == pytest.approx(expected, rel=0.1)
        assert found.brier == pytest.approx(np.mean((labels - probabilities) ** 2))
        assert 0 < found.bedroc < 1
        assert found.tie_fraction == 0

    def test_intervals_hold_their_figure_and_are_left_out_on_demand(self, ranking):
        found = screening_metrics(*ranking, n_resamples=200)
        assert set(found.intervals) == {"roc_auc", "pr_auc", "bedroc", "ef_0_5", "ef_1", "ef_5"}
        for name, (low, high) in found.intervals.items():
            assert low <= getattr(found, name) <= high
        assert screening_metrics(*ranking, n_resamples=0).intervals == {}

    def test_one_class_has_no_figures_but_the_brier_score(self):
        found = screening_metrics(np.array([1, 1, np.nan]), np.arange(3.0), np.full(3, 0.5))
        assert (found.roc_auc, found.bedroc, found.ef_1, found.brier) == (None, None, None, 0.25)
        assert found.intervals == {}

    def test_nothing_measured(self):
        found = screening_metrics(np.full(2, np.nan), np.zeros(2), np.zeros(2))
        assert (found.n_actives, found.n_inactives, found.brier, found.tie_fraction) == (0, 0, None, None)


def test_median_leaves_out_tasks_without_auc():
    labels = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 0]], dtype=float)
    metrics = all_task_metrics(
        labels, np.array([[3, 0, 1], [2, 0, 2], [1, 0, 3]], dtype=float), ["a", "b", "c"]
    )
    assert median_figure(metrics, "roc_auc") == pytest.approx(np.median([1.0, 0.5]))
    assert np.isnan(median_figure({"b": metrics["b"]}, "roc_auc"))


@given(few_values, few_values)
def test_regression_figures_by_formula(labels, values):
    found = regression_metrics(labels, values)
    error = ((labels - values) ** 2).sum()
    assert found.rmse == pytest.approx((error / 12) ** 0.5)
    if len(set(labels)) > 1:
        assert found.r2 == pytest.approx(1 - error / ((labels - labels.mean()) ** 2).sum())
    if len(set(labels)) > 1 and len(set(values)) > 1:
        assert found.spearman == pytest.approx(spearmanr(labels, values).statistic)


@given(few_values, few_values, st.floats(0.1, 50), st.floats(-100, 100))
def test_r2_and_ranks_do_not_know_the_unit(labels, values, scale, shift):
    one, other = (
        regression_metrics(labels, values),
        regression_metrics(labels * scale + shift, values * scale + shift),
    )
    assert (one.r2 is None) == (other.r2 is None)
    if one.r2 is not None:
        assert other.r2 == pytest.approx(one.r2, rel=1e-6, abs=1e-6)
    assert other.rmse == pytest.approx(scale * one.rmse, rel=1e-6, abs=1e-9)


def test_figures_that_cannot_be_told():
    nothing = regression_metrics(np.array([np.nan]), np.array([1.0]))
    assert (nothing.r2, nothing.rmse, nothing.spearman, nothing.n) == (None, None, None, 0)
    constant = regression_metrics(np.array([2.0, 2.0, np.nan]), np.array([1.0, 3.0, 0.0]))
    assert (constant.r2, constant.rmse, constant.spearman, constant.n) == (None, 1.0, None, 2)
    guess = regression_metrics(np.array([1.0, 2.0]), np.array([1.5, 1.5]))
    assert (guess.r2, guess.spearman) == (0.0, None)


def test_median_r2_leaves_out_tasks_without_it():
    labels = np.array([[1, 1, 0], [1, 2, 1]], dtype=float)
    values = np.array([[1, 1, 0], [1, 2, 0]], dtype=float)
    metrics = all_regression_metrics(labels, values, ["a", "b", "c"])
    assert median_figure(metrics, "r2") == pytest.approx(np.median([1.0, -1.0]))
    assert np.isnan(median_figure({"a": metrics["a"]}, "r2"))


def test_reliability_by_hand():
    labels = np.array([[1, 0], [0, np.nan], [1, 0], [1, 1]])
    probabilities = np.array([[0.95, 0.05], [0.15, 0.5], [0.15, 0.05], [0.95, 0.45]])
    found = reliability(labels, probabilities, ["a", "b"])
    bins = [(0.05, 0, 2), (0.15, 0.5, 2), (0.45, 1, 1), (0.95, 1, 2)]
    assert [(b.mean_score, b.share_active, b.n) for b in found.bins] == [pytest.approx(b) for b in bins]
    assert found.expected_error == pytest.approx((2 * 0.05 + 2 * 0.35 + 0.55 + 2 * 0.05) / 7)
    assert found.by_task == pytest.approx({"a": (2 * 0.35 + 2 * 0.05) / 4, "b": (2 * 0.05 + 0.55) / 3})


def test_a_task_without_labels_has_no_reliability():
    labels = np.array([[1, np.nan], [0, np.nan]])
    assert set(reliability(labels, np.full((2, 2), 0.5), ["a", "b"]).by_task) == {"a"}
