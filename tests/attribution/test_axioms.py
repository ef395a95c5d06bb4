"""Attributions known in closed form, and the axioms of the method over random small networks."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn.functional import relu

from molig.attribution import integrated_gradients

N = 4
ACTIVATIONS = {"relu": torch.nn.ReLU, "silu": torch.nn.SiLU, "tanh": torch.nn.Tanh}


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def mlp(activation: str, widths: list[int], seed: int) -> torch.nn.Sequential:
    """Network of N inputs and one output whose weights are drawn from the seed."""
    torch.manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for n_in, n_out in zip([N, *widths], widths, strict=False):
        layers += [torch.nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    layers += [torch.nn.Linear(widths[-1], 1), torch.nn.Flatten(0)]
    return torch.nn.Sequential(*layers).double().requires_grad_(False)


def attributions(function, x, baselines=None, tol=1e-6):
    """Attributions with a residual of at most ``tol`` times the change, or times 1 if that is more."""
    found = integrated_gradients(function, x, baselines, tol=tol, floor=1.0)
    assert found.converged.all()
    return found.attributions[0]


# Refinement certifies the residual of the sum; at a kink a single feature may err by a multiple of it.
PER_FEATURE = 100 * 1e-6

features = st.integers(0, N - 1)
seeds = st.integers(0, 10_000)
networks = st.builds(
    mlp, st.sampled_from(sorted(ACTIVATIONS)), st.lists(st.integers(1, 8), min_size=1, max_size=2), seeds
)
values = st.floats(-3, 3)
points = st.lists(values, min_size=N, max_size=N).map(lambda v: row(*v))

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


@given(st.floats(0.1, 5), st.floats(0.1, 5))
def test_nested_relus_of_two_forms(u, v):
    """Both forms are max(u - 1 - v, 0) for positive inputs: the rate is (u, -v) / (u - v) of the rise."""
    end = max(u - 1 - v, 0)
    expected = [u / (u - v) * end, -v / (u - v) * end] if end else [0, 0]
    for form in ("nested relu", "same function, other form"):
        np.testing.assert_allclose(attributions(KNOWN[form][0], row(u, v))[0], expected, atol=PER_FEATURE)


@given(values, values)
def test_the_smaller_input_takes_all_of_a_minimum(u, v):
    assume(abs(u - v) > 0.2)
    found = attributions(KNOWN["minimum"][0], row(u, v))[0]
    np.testing.assert_allclose(found, [u, 0] if u < v else [0, v], atol=PER_FEATURE)


@given(values, values, values)
def test_the_factors_of_a_product_share_it(x, y, z):
    found = attributions(KNOWN["product and sum"][0], row(x, y, z))[0]
    np.testing.assert_allclose(found, [x * y / 2, x * y / 2, z], atol=PER_FEATURE)


@given(st.floats(0, 100))
def test_a_saturated_input_keeps_what_it_brought(x):
    assert attributions(KNOWN["saturated"][0], row(x)).item() == pytest.approx(min(x, 5), abs=1e-5)


@settings(max_examples=50)
@given(networks, points, points)
def test_completeness(network, x, baseline):
    found = integrated_gradients(network, x, baseline, tol=1e-5)
    change = (network(x) - network(baseline)).item()
    assert found.converged.all()
    assert abs(found.attributions[0].sum().item() - change) <= 1e-5 * max(abs(change), 1e-6) + 1e-12
    np.testing.assert_allclose(found.residual[0], change - found.attributions[0].sum().item(), atol=1e-9)


@settings(max_examples=50)
@given(networks, points, features, st.sampled_from([-1.0, 0.5, 2.0]))
def test_sensitivity_a_single_differing_feature_takes_all_of_the_difference(network, x, feature, step):
    baseline = x.clone()
    baseline[0, feature] += step
    found = attributions(network, x, baseline)[0]
    change = (network(x) - network(baseline)).item()
    assert found[feature].item() == pytest.approx(change, rel=1e-5, abs=2e-6)
    assert (np.delete(found.numpy(), feature) == 0).all()


@settings(max_examples=50)
@given(networks, points, features)
def test_sensitivity_b_an_ignored_feature_gets_exactly_zero(network, x, feature):
    network[0].weight[:, feature] = 0
    assert attributions(network, x)[0, feature].item() == 0


@settings(max_examples=30)
@given(networks, networks, points, points, st.tuples(st.floats(-2, 2), st.floats(-2, 2)))
def test_linearity(first, second, x, baseline, factors):
    a, b = factors
    combined = attributions(lambda x: a * first(x) + b * second(x), x, baseline)
    separate = a * attributions(first, x, baseline) + b * attributions(second, x, baseline)
    np.testing.assert_allclose(combined, separate, atol=5 * PER_FEATURE)


@settings(max_examples=30)
@given(networks, points, points)
def test_symmetric_features_of_equal_values_get_equal_attributions(network, x, baseline):
    network[0].weight[:, 1] = network[0].weight[:, 0]
    x[0, 1], baseline[0, 1] = x[0, 0], baseline[0, 0]
    found = attributions(network, x, baseline)[0]
    assert found[0].item() == pytest.approx(found[1].item(), abs=1e-9)


def permuted(network: torch.nn.Sequential) -> torch.nn.Sequential:
    """The same function with the units of the first hidden layer in reverse order."""
    order = torch.arange(len(network[0].weight)).flip(0)
    return rebuilt(network, network[0].weight[order], network[0].bias[order], network[2].weight[:, order])


def split(network: torch.nn.Sequential) -> torch.nn.Sequential:
    """The same function with each hidden unit of the first layer twice, at 1/3 and 2/3 of its weight."""
    weight = network[2].weight
    return rebuilt(
        network,
        network[0].weight.repeat(2, 1),
        network[0].bias.repeat(2),
        torch.cat([weight / 3, weight * 2 / 3], dim=1),
    )


def with_idle_units(network: torch.nn.Sequential) -> torch.nn.Sequential:
    """The same function with three more hidden units that no later layer reads."""
    return rebuilt(
        network,
        torch.cat([network[0].weight, torch.ones(3, N, dtype=torch.float64)]),
        torch.cat([network[0].bias, torch.zeros(3, dtype=torch.float64)]),
        torch.cat([network[2].weight, torch.zeros(len(network[2].weight), 3, dtype=torch.float64)], dim=1),
    )


def with_linear_layers(network: torch.nn.Sequential) -> torch.nn.Sequential:
    """The same function behind an invertible linear layer and its inverse."""
    mix = torch.eye(N, dtype=torch.float64) * 2 + torch.ones(N, N, dtype=torch.float64).tril(-1)
    there, back = (torch.nn.Linear(N, N, bias=False).double().requires_grad_(False) for _ in range(2))
    there.weight.copy_(mix)
    back.weight.copy_(torch.linalg.inv(mix))
    return torch.nn.Sequential(there, back, network)


def rebuilt(
    network: torch.nn.Sequential, weight: torch.Tensor, bias: torch.Tensor, outgoing: torch.Tensor
) -> torch.nn.Sequential:
    """The network with another first hidden layer, and the layer after it to match."""
    first = torch.nn.Linear(N, len(weight)).double().requires_grad_(False)
    second = torch.nn.Linear(len(weight), len(outgoing)).double().requires_grad_(False)
    for layer, values in ((first, (weight, bias)), (second, (outgoing, network[2].bias))):
        layer.weight.copy_(values[0])
        layer.bias.copy_(values[1])
    return torch.nn.Sequential(first, network[1], second, *network[3:])


@pytest.mark.parametrize("other_form", [permuted, split, with_idle_units, with_linear_layers])
@settings(max_examples=20)
@given(networks, points, points)
def test_implementation_invariance(other_form, network, x, baseline):
    other = other_form(network)
    np.testing.assert_allclose(other(x), network(x), atol=1e-12)
    np.testing.assert_allclose(
        attributions(other, x, baseline), attributions(network, x, baseline), atol=2 * PER_FEATURE
    )


@settings(max_examples=20)
@given(st.lists(st.integers(1, 8), min_size=1, max_size=2), seeds, points, st.floats(0.1, 10))
def test_rescaled_relu_layers_are_the_same_implementation(widths, seed, x, scale):
    """relu(c z) = c relu(z): a factor moves from a layer to the next without changing the function."""
    network, other = mlp("relu", widths, seed), mlp("relu", widths, seed)
    other[0].weight.mul_(scale)
    other[0].bias.mul_(scale)
    other[2].weight.div_(scale)
    np.testing.assert_allclose(attributions(other, x), attributions(network, x), atol=2 * PER_FEATURE)
