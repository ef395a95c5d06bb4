"""Curves against scikit-learn, and the figures read off them."""

import numpy as np
import pytest
from hypothesis import given
from sklearn.metrics import roc_curve
from support.rankings import rankings

from molig.stats import enrichment_curve, enrichment_factor, roc_auc, roc_curve_points


@given(rankings(max_size=15, both_classes=True))
def test_roc_curve_is_that_of_scikit_learn(ranking):
    labels, scores = ranking
    curve = roc_curve_points(labels, scores)
    x, y, _ = roc_curve(labels, scores, drop_intermediate=False)
    # Every point of the full curve lies on a segment between two corners.
    for px, py in zip(x, y, strict=True):
        assert distance_to_line(px, py, curve.false_positive_rate, curve.true_positive_rate) < 1e-9
    assert curve.area == pytest.approx(roc_auc(labels, scores))
    assert len(curve.false_positive_rate) <= len(x)


def distance_to_line(px, py, x, y):
    """Shortest distance of a point from a line through corners."""
    step = np.stack([np.diff(x), np.diff(y)])
    offset = np.stack([px - x[:-1], py - y[:-1]])
    along = np.clip((offset * step).sum(axis=0) / (step**2).sum(axis=0), 0, 1)
    return np.sqrt(((offset - along * step) ** 2).sum(axis=0)).min()


@given(rankings(max_size=15, both_classes=True))
def test_enrichment_factors_can_be_read_off_the_curve(ranking):
    labels, scores = ranking
    curve = enrichment_curve(labels, scores)
    for top in range(1, len(labels) + 1):
        share = top / len(labels)
        found = np.interp(share, curve.screened, curve.found)
        assert found / share == pytest.approx(enrichment_factor(labels, scores, share))
    assert (curve.n_molecules, curve.n_actives) == (len(labels), labels.sum())


@pytest.mark.parametrize("scores", [np.zeros(5), np.arange(5)])
def test_curves_begin_at_none_and_end_at_all(scores):
    labels = [1, 0, 1, 0, 0]
    roc, enrichment = roc_curve_points(labels, scores), enrichment_curve(labels, scores)
    for values in (roc.false_positive_rate, roc.true_positive_rate, enrichment.screened, enrichment.found):
        assert (values[0], values[-1]) == (0, 1)


def test_ties_are_one_straight_segment():
    assert roc_curve_points([1, 0, 1], np.zeros(3)).true_positive_rate.tolist() == [0, 1]


def test_without_both_classes_there_is_no_curve():
    assert np.isnan(roc_curve_points([1, 1], [1, 2]).area)
    assert len(enrichment_curve([0, np.nan], [1, 2]).found) == 0
