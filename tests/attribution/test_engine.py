"""The engine on functions whose attributions are known, and the axioms of the paper."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import relu

from molig.attribution import integrated_gradients
from molig.errors import UsageError


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


KNOWN = {
    # function, input, integrated gradients (baseline 0), as published
    "nested relu": (lambda x: relu(relu(x[:, 0]) - 1 - relu(x[:, 1])), (3, 1), (1.5, -0.5)),
    "same function, other form": (lambda x: relu(relu(x[:, 0] - 1) - relu(x[:, 1])), (3, 1), (1.5, -0.5)),
    "minimum": (lambda x: x.min(dim=1).values, (1, 3), (1, 0)),
    "product and sum": (lambda x: x[:, 0] * x[:, 1] + x[:, 2], (1, 1, 1), (0.5, 0.5, 1)),
    "saturated": (lambda x: x[:, 0].clamp(max=5), (8,), (5,)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_values(name):
    function, x, expected = KNOWN[name]
    found = integrated_gradients(function, row(*x), tol=1e-7)
    assert found.converged.all()
    np.testing.assert_allclose(found.attributions[0][0], expected, atol=1e-5)


def test_gradient_of_the_saturated_function_is_zero_where_its_attribution_is_not():
    x = row(8.0).requires_grad_()
    (gradient,) = torch.autograd.grad(x.clamp(max=5).sum(), x)
    assert gradient.item() == 0


def random_network(seed: int, n: int = 4) -> torch.nn.Module:
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(
        torch.nn.Linear(n, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1), torch.nn.Flatten(0)
    )
    return layers.double().requires_grad_(False)


def attributions(function, x, **options):
    return integrated_gradients(function, x, **{"tol": 1e-6, **options}).attributions[0]


seeds = st.integers(0, 10_000)
points = st.lists(st.floats(-3, 3), min_size=4, max_size=4).map(lambda v: row(*v))


@settings(max_examples=30)
@given(seeds, points, points)
def test_completeness(seed, x, baseline):
    network = random_network(seed)
    found = integrated_gradients(network, x, baseline, tol=1e-5)
    change = (network(x) - network(baseline)).item()
    assert found.converged.all()
    assert abs(found.attributions[0].sum().item() - change) <= 1e-5 * max(abs(change), 1e-6) + 1e-12
    np.testing.assert_allclose(found.residual[0], change - found.attributions[0].sum().item(), atol=1e-9)


@settings(max_examples=30)
@given(seeds, points, st.integers(0, 3))
def test_a_single_differing_feature_takes_all_of_the_difference(seed, x, feature):
    baseline = x.clone()
    baseline[0, feature] += 1
    network = random_network(seed)
    found = attributions(network, x, baselines=baseline)[0]
    change = (network(x) - network(baseline)).item()
    assert found[feature].item() == pytest.approx(change, rel=1e-5, abs=1e-9)
    assert (np.delete(found.numpy(), feature) == 0).all()


@settings(max_examples=30)
@given(seeds, points, st.integers(0, 3))
def test_an_ignored_feature_gets_exactly_zero(seed, x, feature):
    network = random_network(seed)
    network[0].weight[:, feature] = 0
    assert attributions(network, x)[0, feature].item() == 0


@settings(max_examples=20)
@given(seeds, points, st.floats(-2, 2), st.floats(-2, 2))
def test_linearity(seed, x, a, b):
    first, second = random_network(seed), random_network(seed + 1)
    combined = attributions(lambda x: a * first(x) + b * second(x), x, floor=1.0)
    separate = a * attributions(first, x, floor=1.0) + b * attributions(second, x, floor=1.0)
    np.testing.assert_allclose(combined, separate, atol=2e-4)


@settings(max_examples=20)
@given(seeds, st.floats(-3, 3))
def test_symmetric_features_of_equal_value_get_equal_attribution(seed, value):
    network = random_network(seed)
    network[0].weight[:, 1] = network[0].weight[:, 0]
    found = attributions(network, row(value, value, 0.5, -0.5))[0]
    assert found[0].item() == pytest.approx(found[1].item(), abs=1e-9)


@settings(max_examples=20)
@given(seeds, points)
def test_implementation_invariance(seed, x):
    """A network with its hidden units doubled and halved computes the same function."""
    network = random_network(seed)

    def doubled(x):
        hidden = relu(torch.cat([network[0](x)] * 2, dim=1))
        return hidden @ torch.cat([network[2].weight[0] / 2] * 2) + network[2].bias

    np.testing.assert_allclose(
        attributions(doubled, x, floor=1.0), attributions(network, x, floor=1.0), atol=1e-6
    )


def test_several_tensors_and_rows_of_any_shape():
    x, y = torch.rand(3, 2, 2, dtype=torch.float64), torch.rand(3, 5, dtype=torch.float64)
    found = integrated_gradients(lambda x, y: (x.flatten(1).sum(1) ** 2) * y.sum(1), (x, y), tol=1e-6)
    assert [a.shape for a in found.attributions] == [x.shape, y.shape]
    # A product of degree 2 and 1: two thirds of the value go to x, one third to y.
    value = x.flatten(1).sum(1) ** 2 * y.sum(1)
    np.testing.assert_allclose(found.attributions[0].flatten(1).sum(1), value * 2 / 3, rtol=1e-4)
    np.testing.assert_allclose(found.attributions[1].sum(1), value / 3, rtol=1e-4)


def test_rows_do_not_depend_on_each_other():
    network = random_network(1)
    x = torch.rand(6, 4, dtype=torch.float64)
    together = attributions(network, x)
    alone = torch.cat([attributions(network, x[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(together, alone, atol=1e-12)


def test_input_equal_to_its_baseline():
    found = integrated_gradients(random_network(0), torch.zeros(2, 4, dtype=torch.float64))
    assert found.converged.all()
    assert not found.attributions[0].any()
    assert not found.residual.any()


def test_a_discontinuity_is_reported_and_not_hidden():
    found = integrated_gradients(
        lambda x: (x[:, 0] > 0.3).double() + 0 * x[:, 0], row(1.0), max_evaluations=200
    )
    assert not found.converged.any()
    assert found.residual[0] == pytest.approx(1)


@pytest.mark.parametrize("value", [0, -0.1, float("nan")])
def test_impossible_tolerance(value):
    with pytest.raises(UsageError, match="tol must be greater than 0"):
        integrated_gradients(random_network(0), torch.ones(1, 4, dtype=torch.float64), tol=value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, r"expected shape \(17,\) \(got \(17, 4\)\)"),
        (lambda x: x.sum(), r"expected shape \(17,\) \(got \(\)\)"),
        (lambda x: x.sum(1) * float("nan"), "not finite"),
    ],
)
def test_a_function_of_the_wrong_kind(function, message):
    with pytest.raises(UsageError, match=message):
        integrated_gradients(function, torch.ones(1, 4, dtype=torch.float64))


def test_baselines_of_the_wrong_shape():
    with pytest.raises(UsageError, match=r"expected \[\(1, 4\)\] \(got \[\(4,\)\]\)"):
        integrated_gradients(random_network(0), torch.ones(1, 4).double(), torch.zeros(4).double())
