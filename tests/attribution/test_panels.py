"""Adaptive panels against shares known in closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molig.attribution.engine import Tolerance, refine
from molig.attribution.panels import PanelPath


def walk(score, shares, tolerance=None, rounds=200):
    """Follow a path whose shares on panels (left, right) are known."""
    path = PanelPath(tolerance or Tolerance())
    for _ in range(rounds):
        if not len(path.pending):
            return path
        left, right = path.pending.T
        path.add(score(left), score(right), shares(left, right))
    raise AssertionError(f"not done after {rounds} rounds")


def parts(*functions):
    """Shares that are exact integrals of densities, from their antiderivatives."""
    return lambda left, right: np.stack([f(right) - f(left) for f in functions], axis=1)


def by_trapezoid(density):
    """Shares with the error of a real rule: the mean of the densities at both ends."""
    return lambda left, right: (density(left) + density(right)) / 2 * (right - left)[:, None]


def test_the_first_panels_cover_the_path_as_wholes_and_halves():
    pending = PanelPath(Tolerance()).pending
    assert pending.shape == (12, 2)
    widths = pending[:, 1] - pending[:, 0]
    assert widths[widths == 0.25].sum() == 1
    assert widths[widths == 0.125].sum() == 1
    assert {0.0, 1.0} < set(pending.ravel())


@pytest.mark.parametrize("tol", [1e-2, 1e-9])
def test_exact_shares_need_no_refinement(tol):
    path = walk(lambda a: a**3, parts(lambda a: 2 * a**3, lambda a: -(a**3)), Tolerance(tol))
    np.testing.assert_allclose(path.attributions, [2, -1], atol=1e-14)
    assert path.converged
    assert path.n_evaluations == 9
    assert path.error < 1e-14
    assert (path.start, path.end) == (0, 1)


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4), st.floats(-5, 5))
def test_quadratic_and_cubic_densities_are_exact_after_extrapolation(coefficients, constant):
    """By the trapezoid rule, whose leading error extrapolation takes away; then it is Simpson's rule."""
    powers = np.arange(4)
    exact = np.array(coefficients) / (powers + 1)
    path = walk(
        lambda a: constant + (a[:, None] ** (powers + 1)) @ exact,
        by_trapezoid(lambda a: a[:, None] ** powers * coefficients),
        Tolerance(0.5, 1e6),
    )
    assert path.n_evaluations == 9
    np.testing.assert_allclose(path.attributions, exact, atol=1e-12)
    assert path.residual == pytest.approx(0, abs=1e-12)


@settings(max_examples=40)
@given(rate=st.floats(0.1, 6), wave=st.floats(0.1, 4), tol=st.sampled_from([1e-2, 1e-3, 1e-4]))
def test_smooth_functions_are_within_the_tolerance(rate, wave, tol):
    assert_within_the_tolerance(rate, wave, tol)


def test_a_wave_is_within_the_tolerance():
    assert_within_the_tolerance(1, 12, 1e-3)


def assert_within_the_tolerance(rate, wave, tol):
    def score(a):
        return 1 - np.exp(-rate * a) + np.sin(wave * a) + a / 2

    def shares(left, right):
        of_two = by_trapezoid(lambda a: np.stack([rate * np.exp(-rate * a), wave * np.cos(wave * a)], axis=1))
        found = of_two(left, right)
        rest = score(right) - score(left) - found.sum(axis=1)
        return np.concatenate([found, rest[:, None]], axis=1)

    exact = np.array([1 - np.exp(-rate), np.sin(wave), 0.5])
    path = walk(score, shares, Tolerance(tol, max_evaluations=10**5))
    error = np.abs(path.attributions - exact).max()
    assert path.converged
    allowed = Tolerance(tol).error(np.abs(path.attributions).max())
    assert path.error <= allowed
    assert error <= allowed
    assert path.residual == pytest.approx(0, abs=1e-12)


@given(st.floats(0.01, 0.99), st.floats(0.5, 20))
def test_a_kink_is_found_wherever_it_is(kink, slope):
    """Two features share the rise after a kink, in proportions that change on the way."""

    def shares(left, right):
        rise = slope * (np.maximum(right - kink, 0) - np.maximum(left - kink, 0))
        middle = (left + right) / 2
        return np.stack([rise * middle, rise * (1 - middle)], axis=1)

    path = walk(lambda a: slope * np.maximum(a - kink, 0), shares, Tolerance(1e-4))
    first = slope * (1 - kink**2) / 2
    exact = np.array([first, slope * (1 - kink) - first])
    assert path.converged
    np.testing.assert_allclose(path.attributions, exact, atol=1e-3 * max(np.abs(exact).max(), 0.01))
    assert path.n_evaluations < 200


def step(at):
    """A step of the score, whose shares depend on the panel: no refinement ever settles them."""

    def score(a):
        return (a > at).astype(float)

    def shares(left, right):
        change = score(right) - score(left)
        mark = np.modf(1e6 * (left + 2 * right) * np.pi)[0]
        return np.stack([change * mark, change * (1 - mark)], axis=1)

    return score, shares


@pytest.mark.parametrize("at", [0.3, 1 / 3, 0.5, 0.999])
def test_refinement_of_a_step_ends_at_the_narrowest_panels(at):
    path = walk(*step(at), Tolerance(1e-6, max_evaluations=10**6))
    assert path.attributions.sum() == pytest.approx(1)
    assert not path.converged or path.error <= Tolerance(1e-6).error(1)
    assert path.n_evaluations < 100


def test_points_lie_on_a_grid():
    """So that a molecule and a point make one whole number."""
    path, seen = PanelPath(Tolerance(1e-9, max_evaluations=10**6)), []
    score, shares = step(1 / 3)
    while len(panels := path.pending):
        seen.append(panels)
        path.add(*score(panels.T), shares(*panels.T))
    points = np.concatenate(seen).ravel() * 2**21
    assert (points == np.rint(points)).all()
    assert np.diff(np.concatenate(seen)).min() == 2.0**-21


@pytest.mark.parametrize("most", [1, 9, 30, 100])
def test_evaluations_are_limited(most):
    rough = np.random.default_rng(0).normal(size=2**21 + 1)

    def score(a):
        return rough[np.rint(a * 2**21).astype(int)]

    def shares(left, right):
        change = score(right) - score(left)
        return np.stack([change * left, change * (1 - left)], axis=1)

    path = walk(score, shares, Tolerance(1e-6, max_evaluations=most))
    assert not path.converged
    assert min(most, 9) <= path.n_evaluations <= max(9, 3 * most)
    assert path.residual == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("weird", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["scores", "shares", "both"])
def test_numbers_that_are_not_finite_end_at_once(weird, where):
    path = walk(
        lambda a: np.where((a > 0.6) & (where != "shares"), weird, a),
        lambda left, right: np.where((right > 0.6) & (where != "scores"), weird, right - left)[:, None],
    )
    assert not path.converged
    assert path.n_evaluations == 9


def test_what_is_missing_to_the_change_counts_as_error():
    """Shares rounded to three digits: no halving helps, and the path is not called right."""
    path = walk(lambda a: a, lambda left, right: (right - left)[:, None] * [0.7, 0.299], Tolerance(1e-4))
    assert path.error >= 1e-3 / 2
    assert not path.converged
    assert path.n_evaluations == 9


def test_one_stretch_that_is_wrong_is_halved_alone():
    """A corner in two slopes at once: the others stay as they are."""
    path = PanelPath(Tolerance(1e-2))
    density = lambda a: np.stack([(a > 0.6) * 1.0, (a > 0.6) * (a - 0.6)], axis=1)  # noqa: E731
    while len(panels := path.pending):
        path.add(*panels.T, by_trapezoid(density)(*panels.T))
        assert len(path.pending) <= 4


def test_nothing_changes():
    """An input that equals its baseline."""
    path = walk(lambda a: np.full_like(a, 0.25), lambda left, right: np.zeros((len(left), 3)))
    assert path.attributions.tolist() == [0, 0, 0]
    assert (path.residual, path.error, path.converged) == (0, 0, True)
    assert path.n_evaluations == 9


def test_features_that_cancel_are_held_to_the_largest_of_them():
    """The score hardly changes while single attributions are large: errors are judged by the latter."""
    density = lambda a: 5 * np.exp(5 * a)[:, None] * [1.0, -1.0]  # noqa: E731
    path = walk(np.zeros_like, by_trapezoid(density), Tolerance(1e-3))
    exact = np.exp(5) - 1
    assert path.converged
    np.testing.assert_allclose(path.attributions, [exact, -exact], rtol=2e-3)


@given(st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=25)
def test_paths_together_are_the_paths_alone(n, seed):
    """Some need many rounds, some none; they have different numbers of features."""
    random = np.random.default_rng(seed)
    rates, widths = random.uniform(0, 20, n), random.integers(1, 4, n)

    def one(rate, width):
        density = lambda a: (rate * np.exp(-rate * a))[:, None] * np.arange(1, width + 1)  # noqa: E731
        return lambda a: (1 - np.exp(-rate * a)) * width * (width + 1) / 2, by_trapezoid(density)

    paths = [one(rate, width) for rate, width in zip(rates, widths, strict=True)]

    def share(owners, panels):
        lefts, rights, shares = [], [], []
        for owner, panel in zip(owners, panels, strict=True):
            score, of_panel = paths[owner]
            lefts.append(score(panel[0]))
            rights.append(score(panel[1]))
            shares.append(of_panel(panel[:1], panel[1:])[0])
        return np.array(lefts), np.array(rights), shares

    tolerance = Tolerance(1e-3)
    together = [PanelPath(tolerance) for _ in paths]
    refine(together, share)
    for found, (score, shares) in zip(together, paths, strict=True):
        alone = walk(score, shares, tolerance)
        np.testing.assert_allclose(found.attributions, alone.attributions, atol=1e-13)
        assert found.n_evaluations == alone.n_evaluations


def test_no_paths():
    refine([], lambda owners, panels: pytest.fail("asked for nothing"))
