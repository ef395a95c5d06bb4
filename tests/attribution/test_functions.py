"""What may be explained: arguments, values and gradients of torch functions."""

import numpy as np
import pytest
import torch

from molig.attribution import check_independent_rows, interior_gradients
from molig.errors import UsageError

X = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]], dtype=torch.float64)


def look(function, inputs=X, baselines=None, at=(0, 0.5, 1), **options):
    return interior_gradients(function, inputs, baselines, at=at, **options)


@pytest.mark.parametrize(
    ("inputs", "baselines", "message"),
    [
        ((), None, "floating-point tensors with rows first"),
        (torch.ones(2, 3, dtype=torch.int64), None, "floating-point"),
        (torch.tensor(1.0), None, "rows first"),
        (torch.ones(0, 3), None, r"at least 1 \(got \[0\]\)"),
        ((torch.ones(2, 3), torch.ones(4)), None, r"same number of rows.*\[2, 4\]"),
        (torch.tensor([[1.0], [float("nan")]]), None, "tensor 0 is not in row 1"),
        (torch.ones(2, 3), torch.ones(3), r"expected \[\(2, 3\)\] \(got \[\(3,\)\]\)"),
        ((torch.ones(2), torch.ones(2)), torch.ones(2), r"expected \[\(2,\), \(2,\)\] \(got \[\(2,\)\]\)"),
        (
            torch.ones(2),
            torch.tensor([0.0, float("inf")]),
            "baselines must be finite: tensor 0 is not in row 1",
        ),
    ],
)
def test_ends_that_have_no_path(inputs, baselines, message):
    with pytest.raises(UsageError, match=message):
        look(lambda *x: x[0].flatten(1).sum(1), inputs, baselines)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, r"expected shape \(9,\) \(got \(9, 2\)\)"),
        (lambda x: x.sum(), r"expected shape \(9,\) \(got \(\)\)"),
        (lambda x: x[:1, 0], r"expected shape \(9,\) \(got \(1,\)\)"),
        (lambda x: x.sum(1).detach().numpy(), r"must return a tensor \(got ndarray\)"),
        (lambda x: x.detach().sum(1), r"no gradient leads .* without detach\(\) or no_grad\(\)"),
        (lambda x: (x[:, 0] - 2.5).log(), "values must be finite on the path.*row 0 at a = 0"),
        (lambda x: (x[:, 0] - 3).abs().sqrt(), "gradients must be finite on the path.*row 1 at a = 1"),
    ],
)
def test_a_function_of_the_wrong_kind(function, message):
    with pytest.raises(UsageError, match=message):
        look(function)


def test_gradients_are_taken_whatever_the_caller_has_switched_off():
    with torch.no_grad():
        assert look(lambda x: x.sum(1)).gradients[0].eq(1).all()


def test_inputs_are_left_as_they_are():
    x = X.clone().requires_grad_()
    found = look(lambda x: x.prod(1), x)
    assert x.grad is None
    assert not found.gradients[0].requires_grad
    np.testing.assert_array_equal(x.detach(), X)


INDEPENDENT = {
    "sum": lambda x: x.sum(1),
    "softmax of a row": lambda x: x.softmax(1)[:, 0],
    "constant": lambda x: torch.zeros(len(x)),
}
DEPENDENT = {
    "mean of the batch": (lambda x: x[:, 0] - x[:, 0].mean(), 0),
    "softmax of a column": (lambda x: x.softmax(0)[:, 0], 0),
    "position in the batch": (lambda x: x[:, 0] + torch.arange(len(x)), 1),
    "running sum": (lambda x: x.sum(1).cumsum(0), 1),
    "maximum of the batch": (lambda x: x[:, 0] / x[:, 0].max(), 0),
}


@pytest.mark.parametrize("name", INDEPENDENT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_independent_rows_pass(name, dtype):
    check_independent_rows(INDEPENDENT[name], X.to(dtype))


@pytest.mark.parametrize("name", DEPENDENT)
def test_the_first_row_that_depends_on_others_is_named(name):
    function, row = DEPENDENT[name]
    with pytest.raises(UsageError, match=f"value for row {row} is .* in a batch of 3 but .* alone"):
        check_independent_rows(function, X)
    with pytest.raises(UsageError, match=f"value for row {row} is"):
        look(function, check_rows=True)


def test_a_single_row_is_compared_with_itself_twice():
    with pytest.raises(UsageError, match=r"row 0 is 0\.5 in a batch of 2 but 1 alone"):
        check_independent_rows(lambda x: x.softmax(0)[:, 0], X[:1])


def test_batch_norm_in_training_mode_is_refused_and_in_evaluation_mode_not():
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(2).double()
    with pytest.raises(UsageError, match="fails on row 0 alone"):
        check_independent_rows(lambda x: norm(x).sum(1), X)
    check_independent_rows(lambda x: norm.eval()(x).sum(1), X)


def test_dropout_in_training_mode_is_refused():
    torch.manual_seed(0)
    with pytest.raises(UsageError, match="call eval"):
        check_independent_rows(lambda x: torch.nn.functional.dropout(x, 0.5).sum(1), torch.rand(9, 50))


def test_only_some_rows_are_tried():
    sizes = []

    def function(x):
        sizes.append(len(x))
        return x.sum(1)

    check_independent_rows(function, torch.rand(50, 2), max_rows=3)
    assert sizes == [50, 1, 1, 1]


def test_the_tolerance_is_the_users():
    noisy = lambda x: x.sum(1) * (1 + 1e-3 * len(x))  # noqa: E731
    check_independent_rows(noisy, X, tol=0.01)
    with pytest.raises(UsageError, match="row 0"):
        check_independent_rows(noisy, X)


def test_a_function_that_returns_no_numbers_is_refused():
    with pytest.raises(UsageError, match="must be finite"):
        check_independent_rows(lambda x: x.sum(1) / 0, X)
