"""Compiled histograms against the plain formula in double precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molig.network.table import N_BINS, gaussian_histogram, histogram, membership_table, memberships
from molig.secant.readouts import histogram_secant


def compiled(states, counts) -> np.ndarray:
    """Histogram from compiled loops, shape (n_points, 11, channels), between guards that must stay."""
    counts = np.asarray(counts)
    guarded = np.full((len(counts) + 2, N_BINS * states.shape[1]), -7, dtype=np.float32)
    states = np.ascontiguousarray(states, dtype=np.float32)
    histogram(states, np.cumsum(counts) - counts, counts, membership_table(), guarded[1:-1])
    assert (guarded[[0, -1]] == -7).all()
    return guarded[1:-1].reshape(len(counts), N_BINS, -1)


def plain(states, counts) -> np.ndarray:
    exact = gaussian_histogram(torch.from_numpy(states).double(), torch.as_tensor(counts))
    return exact.view(len(counts), N_BINS, -1).numpy()


def numbers(seed, n, channels, spread=2.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, (n, channels)).astype(np.float32)


@given(seed=st.integers(0, 999), counts=st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(max_examples=30)
def test_plain_formula(seed, counts):
    states = np.tanh(numbers(seed, sum(counts), 6))
    np.testing.assert_allclose(compiled(states, counts), plain(states, counts), atol=1e-5)


@pytest.mark.parametrize(("spread", "tolerance"), [(0.01, 3e-4), (0.5, 1e-4), (5, 1e-4)])
def test_a_hundred_atoms(spread, tolerance):
    """Where all are alike the errors of interpolation, below 3e-6 each, add up."""
    states = np.tanh(numbers(0, 100, 128, spread))
    assert np.abs(compiled(states, [100]) - plain(states, [100])).max() < tolerance


def test_one_number_at_a_time():
    """The whole range, both ends, all nodes of the table and their neighbours."""
    nodes = np.linspace(-1, 1, 4097).astype(np.float32)
    inside = [np.nextafter(nodes, np.float32(-1)), nodes, np.nextafter(nodes, np.float32(1))]
    states = np.concatenate([*inside, np.tanh(numbers(1, 4000, 1)[:, 0])])[:, None]
    ones = np.ones(len(states), dtype=np.int64)
    found = compiled(states, ones)
    np.testing.assert_allclose(found, plain(states, ones), atol=4e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=4e-6)


def test_exactly_minus_one_and_one():
    states = np.array([[-1, 1], [1, -1], [1, 1]], dtype=np.float32)
    np.testing.assert_allclose(compiled(states, [3]), plain(states, [3]), atol=1e-6)


def test_one_atom_and_one_channel():
    states = np.array([[0.3]], dtype=np.float32)
    np.testing.assert_allclose(compiled(states, [1]), plain(states, [1]), atol=1e-6)


WEIRD = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1.5, -1.5]


@pytest.mark.parametrize("channels", [1, 8, 33, 128])
def test_numbers_outside_the_table_stay_in_their_place(channels):
    """They cannot come from tanh, but NaN can: no other point or channel may be touched."""
    states = np.tanh(numbers(2, 9, channels))
    clean = compiled(states, [3, 3, 3])
    for weird in WEIRD:
        states[4, channels // 2] = weird
        found = compiled(states, [3, 3, 3])
        others = np.ones(channels, dtype=bool)
        others[channels // 2] = False
        np.testing.assert_array_equal(found[[0, 2]], clean[[0, 2]])
        np.testing.assert_array_equal(found[1][:, others], clean[1][:, others])
        if not np.isfinite(weird):
            assert not np.isfinite(found[1][:, ~others]).all()


def secant(inputs, ends, requests, gradients) -> np.ndarray:
    """Compiled pull-back, between guards that must stay."""
    n_rows = sum((requests[p + 1] - requests[p]) * end[2] for p, end in enumerate(ends))
    guarded = np.full((n_rows + 2, inputs.shape[1]), -7, dtype=np.float32)
    units = inputs, np.tanh(inputs)
    histogram_secant(units, np.array(ends), np.array(requests), gradients, membership_table(), guarded[1:-1])
    assert (guarded[[0, -1]] == -7).all()
    return guarded[1:-1]


def plain_secant(inputs, ends, requests, gradients) -> np.ndarray:
    """Difference quotients of histogram after tanh, where ends are far enough apart; else derivatives."""
    inputs = torch.from_numpy(inputs).double()
    found = []
    for panel, (left, right, n) in enumerate(ends):
        low, high = inputs[left : left + n], inputs[right : right + n]
        middle = ((low + high) / 2).requires_grad_()
        width = high - low
        rise = memberships(high.tanh()) - memberships(low.tanh())
        for request in range(requests[panel], requests[panel + 1]):
            weights = torch.from_numpy(gradients[request]).double()[:, None]
            (slope,) = torch.autograd.grad((exact_members(middle) * weights).sum(), middle)
            far = (rise * weights).sum(0) / width
            found.append(torch.where(width.abs() < 1e-6, slope, far))
    return torch.cat(found).numpy()


def exact_members(inputs: torch.Tensor) -> torch.Tensor:
    from network.literal import BINS

    mean, deviation = torch.tensor(BINS, dtype=torch.float64).T[:, :, None, None]
    return torch.softmax(-((inputs.tanh() - mean) ** 2) / (2 * deviation**2), dim=0)


@given(
    seed=st.integers(0, 999),
    channels=st.sampled_from([1, 5, 16]),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    asked=st.integers(0, 3),
    apart=st.sampled_from([0, 1e-5, 1e-2, 0.3, 3]),
)
@settings(max_examples=60)
def test_secants_of_histogram_after_tanh(seed, channels, sizes, asked, apart):
    random = np.random.default_rng(seed)
    total = sum(sizes)
    left = random.normal(0, 1.5, (total, channels))
    inputs = np.concatenate([left, left + apart * random.normal(size=left.shape)]).astype(np.float32)
    starts = np.cumsum([0, *sizes])[:-1]
    ends = [(int(s), int(s) + total, n) for s, n in zip(starts, sizes, strict=True)]
    requests = np.cumsum([0, 1, asked, 2][: len(sizes) + 1]).tolist()
    gradients = random.normal(size=(requests[-1], N_BINS, channels)).astype(np.float32)
    if not requests[-1]:
        return
    found = secant(inputs, ends, requests, gradients)
    expected = plain_secant(inputs, ends, requests, gradients)
    # The table is a broken line: in a cell its slope is off by up to half a cell times the curvature.
    assert np.abs(found - expected).max() < 0.05 * max(1, np.abs(gradients).max())


def test_secants_add_up_to_the_change_of_the_compiled_histogram():
    random = np.random.default_rng(3)
    left = random.normal(0, 2, (40, 32))
    widths = 10.0 ** random.uniform(-7, 1, left.shape)
    inputs = np.concatenate([left, left + widths * random.choice([-1, 1], left.shape)]).astype(np.float32)
    gradients = random.normal(size=(1, N_BINS, 32)).astype(np.float32)
    found = secant(inputs, [(0, 40, 40)], [0, 1], gradients)
    width = inputs[40:].astype(np.float64) - inputs[:40]
    both = compiled(np.tanh(inputs), [1] * 80).astype(np.float64)
    change = ((both[40:] - both[:40]) * gradients).sum(axis=1)
    np.testing.assert_allclose(found * width, change, atol=3e-5)


def test_ends_that_are_equal_or_saturated():
    inputs = np.array([[0.5, 20, -20, 20], [0.5, 20, -20, 30]], dtype=np.float32)
    gradients = np.ones((1, N_BINS, 4), dtype=np.float32) * np.arange(N_BINS, dtype=np.float32)[:, None]
    found = secant(inputs, [(0, 1, 1)], [0, 1], gradients)
    np.testing.assert_allclose(found[0, 1:], 0, atol=1e-6)
    expected = plain_secant(inputs, [(0, 1, 1)], [0, 1], gradients)
    assert found[0, 0] == pytest.approx(expected[0, 0], rel=0.02)


@pytest.mark.parametrize("weird", [np.nan, np.inf, -np.inf])
def test_secants_of_what_is_not_a_number(weird):
    inputs = numbers(5, 6, 16)
    inputs[4, 3] = weird
    gradients = np.ones((1, N_BINS, 16), dtype=np.float32)
    gradients[0] *= np.arange(N_BINS)[:, None]
    found = secant(inputs, [(0, 3, 3)], [0, 1], gradients)
    others = np.ones(found.shape, dtype=bool)
    others[1, 3] = False
    assert np.isfinite(found[others]).all()
    if np.isnan(weird):
        assert np.isnan(found[1, 3])
