"""Figures of methods against `molig.stats` itself, fold by fold."""

import numpy as np
import pytest

from molig.evaluation.figures import compare, method_figures
from molig.stats import ranking_quality, sign_test
from molig.stats.intervals import bootstrap_samples
from molig.stats.ranking import FIGURES

from .folds import TASKS, changed, made_up


def figures(folds, **options):
    return method_figures("method", folds, TASKS, **({"n_resamples": 40} | options))


@pytest.fixture(scope="module")
def folds():
    return [made_up(seed, network=True) for seed in range(3)]


def test_means_over_folds(folds):
    found = figures(folds)
    for column, task in enumerate(TASKS):
        direct = []
        for fold in folds:
            known = ~np.isnan(fold.labels[:, column])
            arrays = (fold.labels, fold.scores, fold.probabilities)
            direct.append(ranking_quality(*(a[known, column] for a in arrays)))
        for figure in FIGURES:
            by_fold = [getattr(quality, figure) for quality in direct]
            assert getattr(found.tasks[task].mean, figure) == pytest.approx(np.mean(by_fold))
        assert found.tasks[task].by_fold == direct
        assert found.tasks[task].mean.n_actives == sum(quality.n_actives for quality in direct)
        assert found.tasks[task].mean.n_inactives == sum(quality.n_inactives for quality in direct)
    assert found.seconds == 4.5


def test_medians_over_tasks(folds):
    found = figures(folds)
    for figure in FIGURES:
        assert found.medians[figure] == np.median(
            [getattr(task.mean, figure) for task in found.tasks.values()]
        )


def test_intervals_are_those_of_resampled_folds(folds):
    """Molecules are drawn within every fold, and folds are averaged sample by sample."""
    found = figures(folds, seed=2)
    means = []
    for column, task in enumerate(TASKS):
        samples = []
        for number, fold in enumerate(folds):
            known = ~np.isnan(fold.labels[:, column])
            one = bootstrap_samples(
                fold.labels[known, column], fold.scores[known, column], n_resamples=40, seed=2000 + number
            )
            samples.append(one["roc_auc"])
        means.append(np.mean(samples, axis=0))
        expected = np.quantile(means[-1], [0.025, 0.975])
        assert found.tasks[task].mean.intervals["roc_auc"] == pytest.approx(tuple(expected))
    expected = np.quantile(np.median(means, axis=0), [0.025, 0.975])
    assert found.median_intervals["roc_auc"] == pytest.approx(tuple(expected))
    for task in found.tasks.values():
        assert "brier" not in task.mean.intervals
        for figure, (low, high) in task.mean.intervals.items():
            assert low <= high
            assert figure in FIGURES


def test_the_seed_repeats_the_intervals(folds):
    first, again, other = (figures(folds, seed=s).median_intervals for s in (0, 0, 1))
    assert first == again != other


def test_all_scores_equal_say_nothing():
    found = figures([changed(made_up(0), 0, scores=1.0)]).tasks["one"].mean
    names = ("roc_auc", "ef_0_5", "ef_1", "ef_5", "tie_fraction")
    assert [getattr(found, name) for name in names] == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("change", [{"labels": 0.0}, {"labels": np.nan}, {"scores": np.nan}])
def test_a_fold_where_nothing_is_defined_is_left_out(folds, change):
    found = figures([folds[0], changed(folds[1], 1, **change)])
    alone = figures([folds[0]])
    for figure in ("roc_auc", "pr_auc", "bedroc", "ef_1"):
        two, expected = found.tasks["two"], alone.tasks["two"]
        assert getattr(two.by_fold[1], figure) is None
        assert getattr(two.mean, figure) == getattr(expected.mean, figure)
        assert two.mean.intervals[figure] == expected.mean.intervals[figure]
    both = two.mean.n_actives + two.mean.n_inactives
    expected = (~np.isnan(folds[0].labels[:, 1])).sum()
    expected += 0 if np.isnan(change.get("labels", 0)) else len(folds[1].labels) * ("labels" in change)
    expected += (~np.isnan(folds[1].labels[:, 1])).sum() * ("scores" in change)
    assert both == expected


def test_a_task_that_is_defined_nowhere_does_not_count(folds):
    found = figures([changed(fold, 1, labels=0.0) for fold in folds])
    two, others = found.tasks["two"], [found.tasks[name].mean.roc_auc for name in ("one", "three")]
    assert two.mean.roc_auc is None
    assert two.mean.intervals == {}
    assert found.medians["roc_auc"] == np.median(others)
    assert np.isfinite(found.median_intervals["roc_auc"]).all()


def test_nothing_is_defined_at_all(folds):
    empty = folds[0]
    for column in range(3):
        empty = changed(empty, column, labels=0.0)
    found = figures([empty])
    assert all(found.medians[f] is None for f in ("roc_auc", "bedroc", "ef_5"))
    assert found.median_intervals == {}


def test_the_share_of_neutral_baselines(folds):
    found = figures(folds)
    at_zero = np.concatenate([fold.baseline for fold in folds])
    for column, task in enumerate(TASKS):
        assert found.neutral[task] == (at_zero[:, column] <= 0.02).mean()
    assert figures([made_up(0)]).neutral == {}


def test_sign_tests_are_over_tasks(folds):
    good, poor = figures(folds), figures([made_up(s, skill=0.1) for s in range(3)])
    found = compare(good, [poor, good])
    assert [(c.against, c.figure) for c in found][:2] == [("method", "roc_auc"), ("method", "pr_auc")]
    assert len(found) == 8
    for comparison in found[:4]:
        pairs = [
            [getattr(method.tasks[task].mean, comparison.figure) for task in TASKS] for method in (good, poor)
        ]
        assert comparison.test == sign_test(*pairs)
    assert found[0].test.wins == 3
    assert all(comparison.test.ties == 3 for comparison in found[4:])
