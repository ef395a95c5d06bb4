"""Weighted means of scores, calibrated without a change of their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from molig.committee import Combination
from molig.errors import UsageError


def combination(weights, slope=1.0, offset=0.0, *, probability=True):
    weights = np.array(weights, dtype=float).reshape(-1, 1)
    return Combination(weights, np.array([slope]), np.array([offset]), probability)


def test_known_mean_calibration_and_spread():
    both = combination([0.25, 0.75], slope=2.0, offset=0.5)
    scores = np.array([0.2, 0.6]).reshape(2, 1, 1)
    assert both.mean(scores).item() == pytest.approx(0.5)
    assert both.outputs(both.mean(scores)).item() == pytest.approx(0.5)
    own = expit(2 * logit([0.2, 0.6]) + 0.5)
    middle = 0.25 * own[0] + 0.75 * own[1]
    variance = 0.25 * (own[0] - middle) ** 2 + 0.75 * (own[1] - middle) ** 2
    assert both.spread(scores).item() == pytest.approx(variance**0.5)


def test_values_are_not_calibrated():
    both = combination([0.5, 0.5], probability=False)
    scores = np.array([-3.0, 7.0]).reshape(2, 1, 1)
    assert both.outputs(both.mean(scores)).item() == 2.0
    assert both.spread(scores).item() == 5.0
    assert both.rates(np.array([2.0]), np.array([0])).tolist() == [1.0]


@given(
    st.lists(st.floats(1e-6, 1 - 1e-6), min_size=2, max_size=20, unique=True),
    st.floats(0.1, 5),
    st.floats(-5, 5),
)
def test_calibration_keeps_the_order(means, slope, offset):
    outputs = combination([1.0], slope, offset).outputs(np.array(means)[:, None])[:, 0]
    order = np.argsort(means)
    assert (np.diff(outputs[order]) >= 0).all()
    apart = np.diff(np.array(means)[order]) > 1e-9
    assert (np.diff(outputs[order])[apart] > 0).all()


@given(st.floats(0.01, 0.99), st.floats(0.1, 5), st.floats(-5, 5))
def test_rates_are_derivatives(mean, slope, offset):
    both, step, task = combination([1.0], slope, offset), 1e-6, np.array([0])
    sides = [both.outputs_of(np.array([mean + s]), task)[0] for s in (-step, step)]
    expected = (sides[1] - sides[0]) / (2 * step)
    assert both.rates(np.array([mean]), task)[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "slope", "what"),
    [
        ([0.5, 0.6], 1.0, "add up to 1"),
        ([1.5, -0.5], 1.0, "from 0 to 1"),
        ([np.nan, 1.0], 1.0, "from 0 to 1"),
        ([0.5, 0.5], 0.0, "above 0"),
        ([0.5, 0.5], np.inf, "above 0"),
    ],
)
def test_what_is_no_mean_or_turns_the_order_round_is_refused(weights, slope, what):
    with pytest.raises(UsageError, match=what):
        combination(weights, slope)
