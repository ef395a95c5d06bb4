"""Scores of outputs, and their mean slopes between two outputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.attribution import Target
from molig.errors import UnknownNameError, UsageError

OUTPUTS = st.floats(-30, 30)


def test_what_goes_before_the_meaning_of_scores():
    assert Target.LOGIT.meaning.startswith("Explained is the logit, ")
    assert Target.PROBABILITY.meaning == Target.VALUE.meaning == ""


def test_defaults():
    assert Target.of(None, "classification") is Target.PROBABILITY
    assert Target.of(None, "regression") is Target.VALUE
    assert Target.of("logit", "classification") is Target.LOGIT
    assert Target.of("value", "regression") is Target.VALUE


@pytest.mark.parametrize(
    ("name", "objective", "error", "message"),
    [
        ("odds", "classification", UnknownNameError, "unknown target 'odds'"),
        ("probabillity", "classification", UnknownNameError, "did you mean 'probability'"),
        ("value", "classification", UsageError, "has no value to attribute; use probability or logit"),
        ("logit", "regression", UsageError, "a regression model has no logit to attribute; use value"),
        ("probability", "regression", UsageError, "has no probability"),
    ],
)
def test_what_a_model_does_not_have(name, objective, error, message):
    with pytest.raises(error, match=message):
        Target.of(name, objective)


@given(OUTPUTS)
def test_probability(output):
    assert Target.PROBABILITY.score(np.array([output]))[0] == pytest.approx(
        1 / (1 + np.exp(-output)), abs=1e-15
    )
    for target in (Target.LOGIT, Target.VALUE):
        assert target.score(np.array([output]))[0] == output


@given(OUTPUTS, OUTPUTS)
def test_slope_times_the_width_is_the_rise(left, right):
    ends = np.array([left]), np.array([right])
    for target in Target:
        rise = target.score(ends[1]) - target.score(ends[0])
        assert target.slope(*ends) * (right - left) == pytest.approx(rise, abs=1e-14)


@given(OUTPUTS, st.sampled_from([0, 1e-12, 0.9e-6, 1.1e-6, -1e-6, 1e-3]))
def test_slope_of_close_outputs_is_the_derivative(output, apart):
    p = 1 / (1 + np.exp(-(output + apart / 2)))
    found = Target.PROBABILITY.slope(np.array([output]), np.array([output + apart]))[0]
    assert found == pytest.approx(p * (1 - p), abs=1e-7)


def test_extreme_outputs():
    ends = np.array([-1e4, 1e4, -800.0]), np.array([1e4, 1e4, -800.0])
    np.testing.assert_array_equal(Target.PROBABILITY.score(ends[0]), [0, 1, 0])
    np.testing.assert_allclose(Target.PROBABILITY.slope(*ends), [5e-5, 0, 0])
    assert np.isnan(Target.PROBABILITY.slope(np.array([np.nan]), np.array([1.0]))).all()
