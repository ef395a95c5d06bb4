"""Curves against scikit-learn, and the figures read off them."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_curve
from support.rankings import rankings

from molig.errors import UnknownNameError, UsageError
from molig.stats import brier_score, enrichment_factor, roc_auc
from molig.stats.curves import (
    enrichment_curve,
    expected_calibration_error,
    reliability_curve,
    roc_curve_points,
)

# Curves against scikit-learn, and the figures read off them.


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


# Calibration against scikit-learn, and Wilson's interval against the equation it solves.


PROBABILITIES = st.lists(
    st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])), min_size=2, max_size=30
)


@st.composite
def forecasts(draw):
    probabilities = draw(PROBABILITIES)
    labels = draw(st.lists(st.sampled_from([0, 1]), min_size=len(probabilities), max_size=len(probabilities)))
    labels[:2] = 1, 0
    return np.array(labels), np.array(probabilities)


@given(forecasts())
def test_brier_score_is_that_of_scikit_learn(forecast):
    assert brier_score(*forecast) == pytest.approx(brier_score_loss(*forecast))


@given(forecasts(), st.integers(1, 12))
def test_bins_are_those_of_scikit_learn(forecast, n_bins):
    observed, predicted = calibration_curve(*forecast, n_bins=n_bins)
    curve = reliability_curve(*forecast, n_bins)
    assert curve.observed == pytest.approx(observed)
    assert curve.mean_predicted == pytest.approx(predicted)
    assert curve.count.sum() == len(forecast[0])


@given(st.integers(1, 40), st.integers(1, 12))
def test_quantile_bins_hold_as_many_molecules_each(n, n_bins):
    probabilities = np.random.default_rng(n).permutation(n) / n
    count = reliability_curve(np.zeros(n), probabilities, n_bins, "quantile").count
    assert count.sum() == n
    assert len(count) == min(n, n_bins)
    assert count.max() - count.min() <= 1


@given(forecasts(), st.integers(1, 12))
def test_equal_probabilities_share_a_quantile_bin(forecast, n_bins):
    labels, probabilities = forecast
    count = reliability_curve(labels, np.round(probabilities), n_bins, "quantile").count
    assert count.tolist() in (
        [len(labels)],
        np.unique(np.round(probabilities), return_counts=True)[1].tolist(),
    )


@given(forecasts())
def test_limits_are_the_shares_that_a_score_test_just_accepts(forecast):
    curve = reliability_curve(*forecast)
    z = NormalDist().inv_cdf(0.975)
    assert (curve.low >= 0).all()
    assert (curve.low <= curve.observed).all()
    assert (curve.observed <= curve.high).all()
    assert (curve.high <= 1).all()
    for limit in (curve.low, curve.high):
        assert (curve.observed - limit) ** 2 * curve.count == pytest.approx(
            z**2 * limit * (1 - limit), abs=1e-9
        )


@given(forecasts())
def test_error_is_the_weighted_gap_of_the_curve(forecast):
    labels, probabilities = forecast
    # Edges of equal width by counting: a bin is open below and closed above, the first closed on both sides.
    total = 0.0
    for k in range(10):
        low, high = np.linspace(0, 1, 11)[[k, k + 1]]
        inside = (probabilities <= high) & ((probabilities > low) | (k == 0))
        total += abs((labels[inside] - probabilities[inside]).sum())
    assert expected_calibration_error(labels, probabilities) == pytest.approx(total / len(labels))


def test_right_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    probabilities = rng.random(20_000)
    labels = (rng.random(20_000) < probabilities).astype(float)
    assert expected_calibration_error(labels, probabilities) < 0.02
    assert expected_calibration_error(labels, probabilities**3) > 0.1


def test_molecules_that_were_not_measured_are_left_out():
    labels, probabilities = [1, 0, math.nan], [0.75, 0.5, math.nan]
    assert brier_score(labels, probabilities) == brier_score(labels[:2], probabilities[:2])
    assert reliability_curve(labels, probabilities).count.tolist() == [1, 1]


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
def test_nothing_measured_gives_nan_and_an_empty_curve(binning):
    assert math.isnan(brier_score([math.nan], [0.5]))
    assert math.isnan(expected_calibration_error([math.nan], [0.5], binning=binning))
    assert len(reliability_curve([], [], binning=binning).count) == 0


@pytest.mark.parametrize("wrong", [-0.1, 1.2, math.nan, math.inf])
def test_what_is_no_probability_is_refused(wrong):
    for judge in (brier_score, reliability_curve, expected_calibration_error):
        with pytest.raises(UsageError, match="probability of molecule 1, counted from 0, is"):
            judge([1, 0], [0.5, wrong])


def test_impossible_bins_are_refused():
    with pytest.raises(UsageError, match="at least one bin"):
        reliability_curve([1], [0.5], n_bins=0)
    with pytest.raises(UnknownNameError, match="did you mean 'quantile'"):
        reliability_curve([1], [0.5], binning="quantiles")
