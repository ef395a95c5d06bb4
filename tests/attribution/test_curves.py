"""Saturation numbers of curves known in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.attribution import saturation
from molig.errors import UsageError

GRID = np.linspace(0, 1, 101)


def test_a_straight_line_does_not_saturate():
    found = saturation(GRID, 0.2 + 3 * GRID, np.full(101, 3))
    np.testing.assert_allclose([found.change, found.reached_at, found.gradient_share], [3, 0.9, 1])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_saturated_exponential(sign):
    """F = 1 - exp(-k a) reaches 90 % of its change at -ln(1 - 0.9 F(1)) / k, falling or rising."""
    k = 8.0
    found = saturation(GRID, [sign * (1 - np.exp(-k * GRID))], [sign * k * np.exp(-k * GRID)])
    end = 1 - np.exp(-k)
    np.testing.assert_allclose(found.change, [sign * end])
    np.testing.assert_allclose(found.reached_at, [-np.log(1 - 0.9 * end) / k], atol=1e-3)
    np.testing.assert_allclose(found.gradient_share, [k * np.exp(-k) / end])


@given(st.floats(0.05, 1), st.floats(0.05, 0.95))
def test_a_ramp_is_interpolated_exactly(share, knee):
    """Linear up to the knee, flat after it: a share is reached at that share of the knee."""
    at = [0, knee, 1]
    found = saturation(at, [0, 2, 2], [2 / knee, 0, 0], share=share)
    assert found.reached_at == pytest.approx(share * knee)
    assert found.gradient_share == 0


def test_the_first_crossing_counts():
    found = saturation([0, 0.25, 0.5, 0.75, 1], [0, 1.8, 0.2, 0.2, 1], np.zeros(5))
    assert found.reached_at == pytest.approx(0.125)


def test_a_whole_share_is_reached_at_the_end_in_spite_of_rounding():
    scores = np.array([0.1, 0.2, 0.30000000000000004])
    assert saturation([0, 0.5, 1], scores, np.zeros(3), share=1).reached_at == 1


@given(
    st.lists(st.floats(-5, 5), min_size=4, max_size=4),
    st.floats(0.1, 3).flatmap(lambda v: st.sampled_from([v, -v])),
    st.floats(-5, 5),
)
def test_scaling_and_shifting_a_curve_change_nothing(values, scale, shift):
    at, scores = [0, 0.2, 0.7, 1], np.array(values)
    if abs(scores[-1] - scores[0]) < 1e-3:
        scores[-1] = scores[0] + 1
    found = saturation(at, scores, scores)
    moved = saturation(at, shift + scale * scores, scale * scores)
    np.testing.assert_allclose(moved.reached_at, found.reached_at, atol=1e-6)
    np.testing.assert_allclose(moved.gradient_share, found.gradient_share, rtol=1e-6)


def test_too_small_a_change_has_no_shares_and_others_keep_theirs():
    scores = [[0, 0.5, 1], [0.3, 0.7, 0.3], [0, 0, -1e-7]]
    found = saturation([0, 0.5, 1], scores, np.ones((3, 3)))
    np.testing.assert_array_equal(np.isnan(found.reached_at), [False, True, True])
    np.testing.assert_array_equal(np.isnan(found.gradient_share), [False, True, True])
    np.testing.assert_allclose(found.change, [1, 0, -1e-7])


def test_curves_of_any_leading_shape():
    scores = np.broadcast_to(GRID, (4, 12, 101))
    found = saturation(GRID, scores, np.ones((4, 12, 101)))
    assert found.change.shape == found.reached_at.shape == found.gradient_share.shape == (4, 12)


@pytest.mark.parametrize(
    ("at", "scores", "rates", "options", "message"),
    [
        ([0, 0.5], [0, 1], [0, 1], {}, "ascend from 0 to 1"),
        ([0.1, 1], [0, 1], [0, 1], {}, "ascend from 0 to 1"),
        ([0, 0.5, 0.5, 1], [0] * 4, [0] * 4, {}, "ascend from 0 to 1"),
        ([0, float("nan"), 1], [0] * 3, [0] * 3, {}, "ascend from 0 to 1"),
        ([[0, 1]], [0, 1], [0, 1], {}, "ascend from 0 to 1"),
        ([1], [0], [0], {}, "ascend from 0 to 1"),
        (
            [0, 1],
            [0, 1, 2],
            [0, 1],
            {},
            r"scores must have a value per point: expected \(2,\) \(got \(3,\)\)",
        ),
        ([0, 1], 5, [0, 1], {}, r"scores .* expected \(2,\) \(got \(\)\)"),
        ([0, 1], [[0, 1]] * 2, [0, 1], {}, r"rates .* expected \(2, 2\) \(got \(2,\)\)"),
        (
            [0, 1],
            [[0, 1], [0, float("nan")]],
            [[0, 1]] * 2,
            {},
            r"scores must be finite \(got nan at \(1, 1\)\)",
        ),
        ([0, 1], [0, 1], [float("inf"), 1], {}, r"rates must be finite \(got inf at \(0,\)\)"),
        ([0, 1], [0, 1], [0, 1], {"share": 0}, "share must be above 0"),
        ([0, 1], [0, 1], [0, 1], {"share": 1.1}, "share must be above 0"),
        ([0, 1], [0, 1], [0, 1], {"floor": 0}, "floor must be greater than 0"),
    ],
)
def test_impossible_requests(at, scores, rates, options, message):
    with pytest.raises(UsageError, match=message):
        saturation(at, scores, rates, **options)
