"""Adaptive quadrature against integrals known in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.attribution.engine import AdaptivePath, Tolerance


def integrate(value, slopes, **options):
    path = AdaptivePath(Tolerance(**options))
    rounds = 0
    while len(points := path.pending):
        path.add(value(points), slopes(points))
        rounds += 1
        assert rounds < 200
    return path


def test_a_cubic_needs_no_refinement():
    path = integrate(lambda a: a**4, lambda a: 4 * a[:, None] ** 3, tol=1e-9)
    assert path.n_evaluations == 17
    assert path.attributions[0] == pytest.approx(1)


@given(st.floats(0.01, 0.99), st.floats(0.5, 20))
def test_a_kink_is_found_wherever_it_is(kink, slope):
    path = integrate(
        lambda a: slope * np.maximum(a - kink, 0),
        lambda a: slope * (a[:, None] > kink) * np.array([[0.25, 0.75]]),
        tol=1e-4,
    )
    exact = slope * (1 - kink)
    assert path.converged
    np.testing.assert_allclose(path.attributions, [exact / 4, exact * 3 / 4], atol=1e-4 * max(exact, 0.01))
    assert path.n_evaluations < 90


def test_errors_of_opposite_sign_do_not_count_as_convergence():
    """Two features with kinks whose errors cancel in the sum: each of them must be right all the same."""
    value = lambda a: np.maximum(a - 1 / 3, 0) - np.maximum(a - 2 / 3, 0)  # noqa: E731
    slopes = lambda a: np.stack([a > 1 / 3, -1.0 * (a > 2 / 3)], axis=1)  # noqa: E731
    path = integrate(value, slopes, tol=1e-3)
    np.testing.assert_allclose(path.attributions, [2 / 3, -1 / 3], atol=2e-3)


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(-5, 5)), min_size=1, max_size=4))
def test_the_error_of_jumps_is_bounded(jumps):
    """Each feature jumps at a place of its own; the sum of all stays close to the change of F."""
    places, sizes = np.array(jumps).T
    path = integrate(
        lambda a: np.maximum(a[:, None] - places, 0) @ sizes,
        lambda a: (a[:, None] > places) * sizes,
        tol=1e-2,
    )
    exact = sizes * (1 - places)
    assert path.converged
    assert (np.abs(path.attributions - exact) <= path.errors + 1e-12).all()
    assert path.error <= 0.01 * max(np.abs(path.attributions).max(), 0.01)


def test_jumps_in_opposite_ways_do_not_hide_from_each_other():
    """F stays zero, so that the residual says nothing; only the comparison feature by feature does."""
    path = integrate(
        np.zeros_like, lambda a: np.stack([a > 0.37, -1.0 * (a > 0.37)], axis=1).astype(float), tol=1e-3
    )
    assert path.residual == 0
    np.testing.assert_allclose(path.attributions, [0.63, -0.63], atol=1e-3 * 0.63)
    assert path.converged


def test_a_steep_sigmoid():
    sigmoid = lambda a: 1 / (1 + np.exp(-200 * (a - 0.77)))  # noqa: E731
    path = integrate(sigmoid, lambda a: 200 * (sigmoid(a) * (1 - sigmoid(a)))[:, None], tol=1e-3)
    assert path.converged
    assert path.attributions[0] == pytest.approx(1, abs=1e-3)
    assert path.n_evaluations < 120


def test_gives_up_and_says_so():
    path = integrate(lambda a: (a > 0.5).astype(float), lambda a: np.zeros((len(a), 1)), max_evaluations=50)
    assert not path.converged
    assert path.residual == 1
    assert 50 <= path.n_evaluations < 60


@given(st.integers(1, 6))
def test_the_first_grid_is_uniform_and_holds_both_ends(n_panels):
    pending = AdaptivePath(Tolerance(), n_panels).pending
    np.testing.assert_allclose(pending, np.linspace(0, 1, 4 * n_panels + 1))


def test_values_that_are_not_numbers_end_at_once():
    path = integrate(lambda a: np.full(len(a), np.nan), lambda a: np.zeros((len(a), 1)))
    assert not path.converged
    assert path.n_evaluations == 17
