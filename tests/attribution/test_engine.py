"""The engine: batches, several tensors, bad functions; test_axioms.py has the method's properties."""

import numpy as np
import pytest
import torch

from molig.attribution import engine, integrated_gradients
from molig.errors import UsageError


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def random_network(seed: int, n: int = 4) -> torch.nn.Module:
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(
        torch.nn.Linear(n, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1), torch.nn.Flatten(0)
    )
    return layers.double().requires_grad_(False)


def attributions(function, x, **options):
    return integrated_gradients(function, x, **{"tol": 1e-6, **options}).attributions[0]


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


@pytest.mark.parametrize("tol", [1e-2, 1e-4])
@pytest.mark.parametrize(
    ("function", "x", "exact"),
    [
        (lambda x: (x[:, 0].relu() - 1 - x[:, 1].relu()).relu(), (3.0, 1.0), (1.5, -0.5)),
        (lambda x: x[:, 0].clamp(max=5), (8.0,), (5.0,)),
        (lambda x: (x[:, 0] - 0.37).relu() - (x[:, 1] - 0.37).relu(), (1.0, 1.0), (0.63, -0.63)),
        (lambda x: (x[:, 0] - 0.3).relu() - (x[:, 1] - 0.37).relu(), (1.0, 1.0), (0.7, -0.63)),
    ],
)
def test_no_attribution_is_off_by_more_than_stated(function, x, exact, tol):
    found = integrated_gradients(function, row(*x), tol=tol)
    off = np.abs(found.attributions[0].numpy() - exact)
    assert found.converged.all()
    assert (off <= found.error[0].numpy() + 1e-12).all()
    assert off.max() <= tol * np.abs(exact).max()


def test_errors_have_the_shapes_of_the_inputs():
    x, y = torch.rand(3, 2, 2, dtype=torch.float64), torch.rand(3, 5)
    found = integrated_gradients(lambda x, y: x.flatten(1).relu().sum(1) * y.sum(1), (x, y))
    assert [e.shape for e in found.error] == [x.shape, y.shape]
    assert [e.dtype for e in found.error] == [x.dtype, y.dtype]


def test_rows_in_groups_are_rows_together(monkeypatch):
    network, x = random_network(3), torch.rand(5, 4, dtype=torch.float64)
    together = integrated_gradients(network, x, tol=1e-4)
    sizes = []

    def watched(x):
        sizes.append(len(x))
        return network(x)

    monkeypatch.setattr(engine, "_GRADIENTS", 40)  # of 4 features: 10 points a call, one row at a time
    alone = integrated_gradients(watched, x, tol=1e-4, check_rows=False)
    assert max(sizes) <= 10
    np.testing.assert_allclose(alone.attributions[0], together.attributions[0], atol=1e-12)
    np.testing.assert_allclose(alone.error[0], together.error[0], atol=1e-12)


@pytest.mark.parametrize("value", [0, -0.1, float("nan")])
def test_impossible_tolerance(value):
    with pytest.raises(UsageError, match="tol must be greater than 0"):
        integrated_gradients(random_network(0), torch.ones(1, 4, dtype=torch.float64), tol=value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, r"expected shape \(2,\) \(got \(2, 4\)\)"),
        (lambda x: x.sum(), r"expected shape \(2,\) \(got \(\)\)"),
        (lambda x: x.sum(1) * float("nan"), "must be finite"),
    ],
)
def test_a_function_of_the_wrong_kind(function, message):
    with pytest.raises(UsageError, match=message):
        integrated_gradients(function, torch.ones(1, 4, dtype=torch.float64))


def test_baselines_of_the_wrong_shape():
    with pytest.raises(UsageError, match=r"expected \[\(1, 4\)\] \(got \[\(4,\)\]\)"):
        integrated_gradients(random_network(0), torch.ones(1, 4).double(), torch.zeros(4).double())
