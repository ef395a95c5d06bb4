"""Interior gradients against derivatives known in closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molig.attribution import integrated_gradients, interior_gradients
from molig.errors import UsageError

GRID = np.linspace(0, 1, 11)


def network(n_in: int, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    layers = (torch.nn.Linear(n_in, 7), torch.nn.SiLU(), torch.nn.Linear(7, 1), torch.nn.Flatten(0))
    return torch.nn.Sequential(*layers).double().requires_grad_(False)


@settings(max_examples=30)
@given(
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_a_polynomial(x, baseline, at):
    """F = u v + w^2 has the gradient (v, u, 2 w)."""
    ends, starts = (torch.tensor([v], dtype=torch.float64) for v in (x, baseline))
    found = interior_gradients(lambda x: x[:, 0] * x[:, 1] + x[:, 2] ** 2, ends, starts, at=at)
    here = np.array(baseline) + np.array(at)[:, None] * (np.array(x) - baseline)
    u, v, w = here.T
    gradients = np.stack([v, u, 2 * w], axis=1)
    densities = gradients * (np.array(x) - baseline)
    np.testing.assert_allclose(found.scores[0], u * v + w**2, atol=1e-12)
    np.testing.assert_allclose(found.gradients[0][0], gradients, atol=1e-12)
    np.testing.assert_allclose(found.densities[0][0], densities, atol=1e-12)
    np.testing.assert_allclose(found.attribution_rate[0], densities.sum(axis=1), atol=1e-12)
    np.testing.assert_array_equal(found.at, at)


def test_a_sigmoid_has_its_steepest_rate_inside_the_path():
    x = torch.tensor([[20.0]]).double()
    found = interior_gradients(lambda x: (x[:, 0] - 5).sigmoid(), x, at=GRID)
    s = 1 / (1 + np.exp(5 - 20 * GRID))
    np.testing.assert_allclose(found.attribution_rate[0], 20 * s * (1 - s), rtol=1e-9)
    assert found.attribution_rate[0, -1] < 1e-4
    assert found.attribution_rate[0].max() > 1


def test_the_rate_is_the_slope_of_the_score():
    x = torch.rand(4, 5, dtype=torch.float64)
    found = interior_gradients(network(5), x, -x, at=np.linspace(0, 1, 2001))
    slopes = np.gradient(found.scores, found.at, axis=1)
    np.testing.assert_allclose(found.attribution_rate[:, 1:-1], slopes[:, 1:-1], atol=1e-6)


def test_their_mean_is_the_integrated_gradient():
    x = torch.rand(3, 5, dtype=torch.float64)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    found = interior_gradients(network(5), x, at=(nodes + 1) / 2)
    mean = torch.einsum("rpf,p->rf", found.densities[0], torch.from_numpy(weights / 2))
    exact = integrated_gradients(network(5), x, tol=1e-6).attributions[0]
    np.testing.assert_allclose(mean, exact, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 33, 1024])
def test_several_tensors_in_calls_of_bounded_size(batch_size):
    x, y = torch.rand(3, 2, 2, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    sizes = []

    def function(x, y):
        sizes.append(len(x))
        return x.flatten(1).sum(1) * y

    found = interior_gradients(function, (x, y), at=GRID, batch_size=batch_size)
    assert max(sizes) <= batch_size
    assert sum(sizes) == 33
    assert [tuple(g.shape) for g in found.gradients] == [(3, 11, 2, 2), (3, 11)]
    total = x.flatten(1).sum(1)
    np.testing.assert_allclose(found.scores, GRID**2 * (total * y).numpy()[:, None], atol=1e-12)
    np.testing.assert_allclose(found.gradients[1], GRID * total.numpy()[:, None], atol=1e-12)
    np.testing.assert_allclose(found.gradients[0][:, :, 1, 0], GRID * y.numpy()[:, None], atol=1e-12)
    np.testing.assert_allclose(found.attribution_rate, 2 * GRID * (total * y).numpy()[:, None], atol=1e-12)


def test_an_ignored_tensor_has_zero_gradients():
    found = interior_gradients(lambda x, y: x.sum(1), (torch.ones(2, 3), torch.ones(2, 4)), at=[1])
    assert found.gradients[1].shape == (2, 1, 4)
    assert not found.gradients[1].any()


def test_single_precision_stays_single_precision():
    found = interior_gradients(lambda x: x.sum(1), torch.ones(2, 3), at=GRID)
    assert found.gradients[0].dtype == torch.float32
    assert found.scores.dtype == found.attribution_rate.dtype == np.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": [0, 1.5]}, r"from 0 to 1 \(got 1.5 at position 1\)"),
        ({"at": [-0.1]}, r"got -0.1 at position 0"),
        ({"at": [0, float("nan")]}, "got nan at position 1"),
        ({"at": []}, r"shape \(n_points,\) \(got shape \(0,\)\)"),
        ({"at": 0.5}, r"got shape \(\)"),
        ({"at": [[0, 1]]}, r"got shape \(1, 2\)"),
        ({"at": [1], "batch_size": 0}, r"batch_size must be at least 1 \(got 0\)"),
    ],
)
def test_impossible_requests(options, message):
    with pytest.raises(UsageError, match=message):
        interior_gradients(lambda x: x.sum(1), torch.ones(2, 3), **options)
