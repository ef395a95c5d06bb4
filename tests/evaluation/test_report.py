"""Mean curves: those of `molig.stats` at a few shares."""

import numpy as np
import pytest

from molig.evaluation.report import mean_enrichment, mean_roc, pooled_reliability
from molig.stats import roc_auc
from molig.stats.curves import reliability_curve, roc_curve_points

from .folds import changed, made_up


def only(fold, column):
    """The same with no labels in the other tasks."""
    for other in {0, 1, 2} - {column}:
        fold = changed(fold, other, labels=np.nan)
    return fold


def rising(curve, x, y) -> bool:
    return (np.diff(getattr(curve, x)) >= 0).all() and (np.diff(getattr(curve, y)) >= -1e-12).all()


def test_a_single_curve_is_itself():
    fold = only(made_up(0), 0)
    known = ~np.isnan(fold.labels[:, 0])
    expected = roc_curve_points(fold.labels[known, 0], fold.scores[known, 0])
    found = mean_roc([fold])
    np.testing.assert_array_equal(found.true_positive_rate, expected.true_positive_rate)


def test_the_area_under_the_mean_is_the_mean_area():
    folds = [made_up(seed) for seed in range(2)]
    found = mean_roc(folds)
    areas = [roc_auc(fold.labels[:, column], fold.scores[:, column]) for fold in folds for column in range(3)]
    area = np.trapezoid(found.true_positive_rate, found.false_positive_rate)
    assert area == pytest.approx(np.mean(areas), abs=0.005)
    assert rising(found, "false_positive_rate", "true_positive_rate")
    assert (found.false_positive_rate[-1], found.true_positive_rate[-1]) == (1, 1)


def test_mean_enrichment_ends_with_all_actives():
    found = mean_enrichment([made_up(seed) for seed in range(2)])
    assert rising(found, "screened", "found")
    assert found.found[-1] == pytest.approx(1)
    assert 50 < found.n_molecules < 80
    assert found.n_actives == 0  # no one order is the best for both


def test_reliability_is_of_all_tasks_and_folds_together():
    folds = [made_up(seed) for seed in range(2)]
    labels = np.concatenate([fold.labels.ravel() for fold in folds])
    probabilities = np.concatenate([fold.probabilities.ravel() for fold in folds])
    known = ~np.isnan(labels)
    expected = reliability_curve(labels[known], probabilities[known])
    found = pooled_reliability(folds)
    np.testing.assert_array_equal(found.observed, expected.observed)


@pytest.mark.parametrize("change", [{"labels": 0.0}, {"labels": np.nan}, {"scores": np.nan}])
def test_where_nothing_is_defined_there_are_no_points(change):
    fold = made_up(0)
    for column in range(3):
        fold = changed(fold, column, **change)
    assert len(mean_roc([fold]).true_positive_rate) == 0
    assert len(mean_enrichment([fold]).found) == 0


def test_methods_that_only_rank_have_no_reliability():
    fold = made_up(0)
    assert pooled_reliability([type(fold)(fold.rows, fold.labels, fold.scores)]) is None
