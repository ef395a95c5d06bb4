"""Fused loops against the same formulas in torch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molig.network import Activation
from molig.secant.slopes import (
    Line,
    add_at_ends,
    dot_sums,
    line_pull_back,
    relu_pull_back,
    relu_slope,
    sum_of_ends,
)

TYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", TYPES)
@given(n=st.integers(0, 12), width=st.integers(1, 20), seed=st.integers(0, 99))
def test_relu_pull_back(dtype, n, width, seed):
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(7, width)).round(1).astype(dtype)  # rounded: some are equal, some are 0
    left, right = random.integers(0, 7, (2, n))
    gradient = random.normal(size=(n, width)).astype(dtype)
    slope = relu_slope(torch.from_numpy(inputs[left]), torch.from_numpy(inputs[right])).numpy()
    found = gradient.copy()
    relu_pull_back(found, inputs, left, right)
    np.testing.assert_allclose(found, gradient * slope, rtol=1e-6)


@pytest.mark.parametrize("dtype", TYPES)
@given(n=st.integers(0, 12), depth=st.integers(1, 20), entries=st.integers(0, 5), seed=st.integers(0, 99))
def test_dot_sums(dtype, n, depth, entries, seed):
    random = np.random.default_rng(seed)
    gradient = random.normal(size=(6, depth)).astype(dtype)
    table = random.normal(size=(4, entries, depth)).astype(dtype)
    first, second = random.integers(0, 6, (2, n))
    second[::2] = first[::2]
    which = random.integers(0, 4, n)
    out = np.full((n, entries), np.nan, dtype=dtype)
    dot_sums(gradient, first, second, table, which, out)
    both = np.where((first == second)[:, None], gradient[first], gradient[first] + gradient[second])
    expected = np.einsum("nk,nek->ne", both.astype(np.float64), table[which].astype(np.float64))
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", TYPES)
@given(n=st.integers(0, 12), width=st.integers(1, 20), seed=st.integers(0, 99))
def test_relu_along_lines(dtype, n, width, seed):
    random = np.random.default_rng(seed)
    tensors = random.normal(size=width), random.normal(size=(7, width)), random.normal(size=(n, width))
    constant, rates, gradient = (torch.from_numpy(t.astype(dtype)) for t in tensors)
    line, which = Line(constant, rates), torch.from_numpy(random.integers(0, 7, n))
    left, right = torch.from_numpy(random.integers(0, 4, (2, n)).astype(dtype))  # some panels have no width
    expected = gradient * relu_slope(line.at(which, left), line.at(which, right))
    found = line_pull_back(Activation.RELU, gradient.clone(), line, which, (left, right))
    # Both ends are rounded, and a difference quotient divides that by their distance.
    size = (constant.abs() + 3 * rates[which].abs()).double()
    width_of_panel = ((right - left)[:, None] * rates[which]).abs().double()
    rounding = 16 * np.finfo(dtype).eps * size / width_of_panel.clamp_min(1e-300)
    allowed = gradient.abs().double() * torch.where(width_of_panel > 0, rounding, 0.0) + 1e-300
    assert ((found - expected).abs() <= allowed).all()


@pytest.mark.parametrize("dtype", TYPES)
@given(n=st.integers(0, 12), depth=st.integers(1, 20), seed=st.integers(0, 99))
def test_sums_over_pairs_and_ends(dtype, n, depth, seed):
    random = np.random.default_rng(seed)
    ends = torch.from_numpy(random.integers(0, 5, (2, n)))
    rows = torch.from_numpy(random.normal(size=(5, depth)).astype(dtype))
    np.testing.assert_array_equal(sum_of_ends(rows, ends), rows[ends[0]] + rows[ends[1]])
    first, second = torch.from_numpy(random.normal(size=(2, n, depth)).astype(dtype))
    expected = torch.zeros(5, depth, dtype=torch.float64)
    expected.index_add_(0, ends[0], first.double()).index_add_(0, ends[1], second.double())
    np.testing.assert_allclose(add_at_ends(first, second, ends, 5), expected, rtol=0, atol=1e-5)


def test_not_a_number_reaches_the_sum():
    out = np.zeros((1, 1), dtype=np.float32)
    ones = np.ones((1, 1, 3), dtype=np.float32)
    row = np.array([[1, np.nan, 1]], dtype=np.float32)
    dot_sums(row, np.zeros(1, int), np.zeros(1, int), ones, np.zeros(1, int), out)
    assert np.isnan(out).all()
