"""Secant slopes against the mean of the derivative by dense quadrature."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from molig.network import Activation
from molig.secant.slopes import SLOPES, closeness, pull_back, relu_slope, silu_slope, tanh_slope

NODES = (np.arange(4000) + 0.5) / 4000
FUNCTIONS = {
    "relu": (relu_slope, torch.relu, lambda x: 1.0 * (x > 0)),
    "silu": (
        silu_slope,
        torch.nn.functional.silu,
        lambda x: (1 + np.exp(-x) * (1 + x)) / (1 + np.exp(-x)) ** 2,
    ),
    "tanh": (tanh_slope, torch.tanh, lambda x: 1 - np.tanh(x) ** 2),
}
NUMBERS = st.floats(-12, 12)
EITHER = [torch.float32, torch.float64]
each_function = pytest.mark.parametrize("name", FUNCTIONS)


def slope_at(name, left, right, dtype=torch.float64) -> float:
    ends = (torch.tensor([x], dtype=dtype) for x in (left, right))
    return float(FUNCTIONS[name][0](*ends))


@each_function
@given(left=NUMBERS, right=NUMBERS)
def test_mean_of_the_derivative(name, left, right):
    derivative = FUNCTIONS[name][2]
    mean = derivative(left + NODES * (right - left)).mean()
    assert slope_at(name, left, right) == pytest.approx(mean, abs=2e-4)


@each_function
@given(at=NUMBERS, apart=st.sampled_from([0.0, 1e-300, 1e-12, 1e-8, 0.9e-7, 1.1e-7, 1e-6, -1e-6, -1e-9]))
def test_close_ends_in_double_precision(name, at, apart):
    """Nothing is lost in rounding on either side of the switch to the derivative."""
    at = at if abs(at) > 1e-3 else 0.5  # relu has its kink at 0
    assert slope_at(name, at, at + apart) == pytest.approx(FUNCTIONS[name][2](at), abs=2e-6)


@each_function
@given(
    at=st.floats(0.015625, 9, width=32),
    sign=st.sampled_from([-1, 1]),
    apart=st.sampled_from([0.0, 1e-38, 1e-6, 0.9e-4, 1.1e-4, 1e-3, -1e-3, -1e-5]),
)
def test_close_ends_in_single_precision(name, at, sign, apart):
    """Off by no more than the rounding of the function itself, divided by the width.

    A product such as silu's may be two units in the last place off, at either end.
    """
    left, right = np.float32(sign * at), np.float32(sign * at) + np.float32(apart)
    mean = FUNCTIONS[name][2](float(left) + NODES * (float(right) - float(left))).mean()
    allowed = 1e-4 + 4 * float(np.spacing(np.float32(at))) / 1e-4
    assert slope_at(name, left, right, torch.float32) == pytest.approx(mean, abs=allowed)


@each_function
@pytest.mark.parametrize("dtype", EITHER)
def test_slope_times_width_is_the_rise(name, dtype):
    left, right = torch.randn(2, 5000, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 4
    right[:1000] = left[:1000] + torch.logspace(-9, -1, 1000, dtype=dtype)
    slope, function, _ = FUNCTIONS[name]
    rise = (function(right.double()) - function(left.double())).numpy()
    found = slope(left, right).double() * (right.double() - left.double())
    np.testing.assert_allclose(found, rise, rtol=0, atol=2e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("dtype", EITHER)
def test_relu_at_its_kink(dtype):
    left = torch.tensor([0, 0, -1, 0, 1, -2, 1, -3], dtype=dtype)
    right = torch.tensor([0, 1, 0, -1, 0, -1, 2, 1], dtype=dtype)
    assert relu_slope(left, right).tolist() == [0, 1, 0, 0, 1, 0, 1, 0.25]


@pytest.mark.parametrize("activation", list(Activation))
@pytest.mark.parametrize("dtype", EITHER)
def test_pull_back_gathers_both_ends(activation, dtype):
    random = torch.Generator().manual_seed(1)
    inputs = torch.randn(9, 5, dtype=dtype, generator=random)
    inputs[3] = inputs[4]
    left, right = torch.tensor([0, 3, 8, 7, 2, 2]), torch.tensor([1, 4, 0, 7, 6, 5])
    gradient = torch.randn(6, 5, dtype=dtype, generator=random)
    expected = gradient * SLOPES[activation](inputs[left], inputs[right])
    found = pull_back(activation, gradient.clone(), inputs, left, right)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("activation", list(Activation))
def test_what_is_not_a_number_stays_none(activation):
    inputs = torch.tensor([[float("nan")], [1.0], [float("inf")]])
    left, right = torch.tensor([0, 1, 1]), torch.tensor([1, 0, 2])
    found = pull_back(activation, torch.ones(3, 1), inputs, left, right)
    assert found.isnan().all()


def test_nothing_to_pull_back():
    none = torch.zeros(0, dtype=torch.int64)
    assert pull_back(Activation.RELU, torch.zeros(0, 3), torch.zeros(4, 3), none, none).shape == (0, 3)


def test_closeness_depends_on_the_precision():
    assert closeness(torch.float64) < closeness(torch.float32)
