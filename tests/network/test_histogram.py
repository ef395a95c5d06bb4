import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from molig.network import table as histogram
from molig.network.table import gaussian_histogram, hyperbolic_tangent

from .literal import BINS, plain_histogram
from .nets import assert_close

WIDE = torch.linspace(-10, 10, 401, dtype=torch.float64)


def memberships(values: torch.Tensor) -> torch.Tensor:
    """Shape (n values, 11): every value is the only atom of a molecule."""
    return gaussian_histogram(values[:, None], torch.ones(len(values), dtype=torch.int64))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-9)])
def test_plain_formula(dtype, tolerance):
    found = memberships(WIDE.to(dtype))
    expected = [plain_histogram(np.array([[x]])) for x in WIDE.to(dtype).double().tolist()]
    assert found.dtype == dtype
    assert_close(found, np.array(expected), tolerance)


@pytest.mark.parametrize("bin_", range(11))
def test_a_value_at_a_mean_belongs_mostly_to_that_bin(bin_):
    members = memberships(torch.tensor([BINS[bin_][0]]))[0]
    assert members.argmax() == bin_
    assert members[bin_] > 0.7


@given(
    values=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.floats(width=32)
    ),
    data=st.data(),
)
@settings(deadline=None)
def test_memberships_sum_to_the_number_of_atoms_whatever_the_values(values, data):
    values = np.nan_to_num(values)  # infinities become the largest numbers
    cut = data.draw(st.integers(0, len(values) - 1))
    counts = torch.tensor([n for n in (cut, len(values) - cut) if n])
    found = gaussian_histogram(torch.from_numpy(values), counts).view(len(counts), 11, -1)
    np.testing.assert_allclose(found.sum(1), counts[:, None].expand(-1, values.shape[1]), rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_values_fall_into_the_outermost_bins(dtype):
    big = torch.finfo(dtype).max
    values = torch.tensor(
        [-torch.inf, -big, -1e6, -10, 10, 1e6, big, torch.inf], dtype=dtype, requires_grad=True
    )
    found = memberships(values)
    assert found[:4].argmax(1).tolist() == [0] * 4
    assert found[4:].argmax(1).tolist() == [10] * 4
    found.square().sum().backward()
    assert values.grad.tolist() == [0] * 8


def test_no_denormal_numbers():
    """They would cost ten times as much as any other number."""
    values = torch.cat([torch.linspace(-10, 10, 2001), torch.tensor([1e30, -1e30, 1e-40])])
    found = memberships(values)
    assert found[found != 0].min() >= torch.finfo(torch.float32).tiny


def test_gradient_is_that_of_finite_differences():
    atoms = torch.randn(12, 3, dtype=torch.float64, requires_grad=True)
    counts = torch.tensor([5, 1, 6])
    assert torch.autograd.gradcheck(lambda x: gaussian_histogram(x, counts), (atoms,))


def test_layout_is_bins_of_channels():
    atoms = torch.tensor([[-1.645, 0.0], [1.645, 0.0]])
    found = gaussian_histogram(atoms, torch.tensor([2])).view(11, 2)
    assert found.round().T.tolist() == [[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("limit", [1, 2, 7, 96, 10_000])
def test_chunks_leave_no_seam(monkeypatch, limit):
    """Many molecules, and one that is larger than any chunk; values and gradients."""
    counts = torch.tensor([3, 1, 1, 120, 2, 50, 47, 1, *[4] * 60, 9])
    atoms = torch.randn(int(counts.sum()), 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(counts), 33, dtype=torch.float64)
    monkeypatch.setattr(histogram, "_CHUNK_ATOMS_CPU", limit)
    found = gaussian_histogram(atoms, counts)
    expected = np.array([plain_histogram(part.detach().numpy()) for part in atoms.split(counts.tolist())])
    assert_close(found, expected, 1e-9)

    (gradient,) = torch.autograd.grad((found * weights).sum(), atoms)
    plain = atoms.detach().clone().requires_grad_()
    mean, deviation = torch.tensor(BINS, dtype=torch.float64).T[:, :, None, None]
    members = torch.softmax(-((plain - mean) ** 2) / (2 * deviation**2), dim=0)
    owner = torch.repeat_interleave(torch.arange(len(counts)), counts)
    (members.transpose(0, 1).flatten(1) * weights[owner]).sum().backward()
    assert_close(gradient, plain.grad, 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_on_a_gpu_are_the_same_sums(dtype, monkeypatch):
    states, counts = torch.randn(20, 3, dtype=dtype), torch.tensor([5, 1, 14])
    expected = gaussian_histogram(states, counts), histogram.segment_sum(states, counts)
    monkeypatch.setattr(histogram, "segment_sum", histogram._bag_sum)
    assert_close(histogram._in_bags(states, counts), expected[0], 1e-5)
    assert_close(histogram._bag_sum(states, counts), expected[1], 1e-5)


class TestCompiledLoops:
    """Large batches of single precision."""

    @staticmethod
    def states(n_atoms: int = 1100, channels: int = 128) -> torch.Tensor:
        assert n_atoms * channels >= histogram._WORTH_COMPILING
        return torch.from_numpy(np.random.default_rng(3).normal(0, 2, (n_atoms, channels))).float()

    @staticmethod
    def counts(n_atoms: int = 1100) -> torch.Tensor:
        return torch.tensor([1, n_atoms - 30, 29])

    def test_they_are_as_close_to_double_precision_as_the_plain_formula(self, monkeypatch):
        states, counts = self.states().tanh(), self.counts()
        right = gaussian_histogram(states.double(), counts)
        looped = gaussian_histogram(states, counts)
        monkeypatch.setattr(histogram, "worth_compiling", lambda _: False)
        plain = gaussian_histogram(states, counts)
        assert not torch.equal(looped, plain)
        errors = [((found - right) / counts[:, None]).square().mean().sqrt() for found in (looped, plain)]
        assert errors[0] < 1.5 * errors[1]
        assert ((looped - right) / counts[:, None]).abs().max() < 3e-7

    def test_beyond_the_means(self):
        states, counts = 5 * self.states(), self.counts()
        states[0, :4] = torch.tensor([torch.inf, -torch.inf, 1e30, -1e30])
        found, right = gaussian_histogram(states, counts), gaussian_histogram(states.double(), counts)
        assert_close(found, right, 1e-5)
        assert found.min() >= torch.finfo(torch.float32).tiny

    def test_no_number_stays_none(self):
        states = self.states()
        states[0, 5] = torch.nan
        found = gaussian_histogram(states, self.counts()).isnan().view(3, 11, -1)
        assert found[0, :, 5].all()
        assert found.sum() == 11
        assert hyperbolic_tangent(states).isnan().nonzero().tolist() == [[0, 5]]

    def test_gradient_is_that_of_the_plain_formula(self):
        states = self.states().tanh()
        weights = torch.from_numpy(np.random.default_rng(4).normal(size=(3, 11 * 128)))
        gradients = []
        for values in (states, states.double()):
            values.requires_grad_()
            (gaussian_histogram(values, self.counts()) * weights).sum().backward()
            gradients.append(values.grad)
        assert_close(gradients[0], gradients[1], 1e-4)

    def test_tangent(self):
        numbers = torch.cat(
            [self.states().flatten(), torch.tensor([0.0, 1e-9, 100.0, torch.inf, -torch.inf])]
        )
        found = hyperbolic_tangent(numbers)
        assert (found - numbers.double().tanh()).abs().max() < 2e-7
        assert found.abs().max() == 1
        assert torch.equal(hyperbolic_tangent(-numbers), -found)
        assert torch.equal(hyperbolic_tangent(numbers[:9]), torch.tanh(numbers[:9]))
