"""The tabulated histogram of a training step against the plain formula."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molig.network import Readout, collate
from molig.network.readout import MoleculeReadout
from molig.network.table import gaussian_histogram, tabulated_histogram

from .literal import plain_histogram
from .nets import MIXED, featurizer, graphs_of, make_net

COUNTS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def states(seed: int, counts, channels: int = 5) -> torch.Tensor:
    spread = np.random.default_rng(seed).normal(0, 2, (sum(counts), channels))
    return torch.from_numpy(np.tanh(spread).astype(np.float32))


@given(seed=st.integers(0, 999), counts=COUNTS)
@settings(max_examples=30)
def test_values_are_those_of_the_plain_formula(seed, counts):
    atoms = states(seed, counts)
    found = tabulated_histogram(atoms, torch.tensor(counts)).numpy()
    parts = np.split(atoms.double().numpy(), np.cumsum(counts)[:-1])
    errors = np.abs(found - [plain_histogram(part) for part in parts])
    assert (errors.max(axis=1) <= 2e-5 * np.array(counts)).all()


@given(seed=st.integers(0, 999), counts=COUNTS)
@settings(max_examples=30)
def test_gradients_are_those_of_the_plain_formula(seed, counts):
    """The slope of a cell is that of its chord: off by half a cell times the curvature."""
    atoms, sizes = states(seed, counts), torch.tensor(counts)
    weights = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(counts), 55)))
    gradients = []
    for histogram, given_atoms in ((gaussian_histogram, atoms.double()), (tabulated_histogram, atoms)):
        leaf = given_atoms.clone().requires_grad_()
        (histogram(leaf, sizes) * weights.to(leaf.dtype)).sum().backward()
        gradients.append(leaf.grad.double())
    plain, tabulated = gradients
    torch.testing.assert_close(tabulated, plain, rtol=0, atol=0.02 * float(plain.abs().max().clamp_min(1)))


def test_gradients_are_those_of_its_own_values():
    """Within a cell the interpolation is linear, so a difference inside one has no error but rounding."""
    middles = (torch.arange(-2047, 2048, 91) + 0.5) / 2048
    step, counts = 2e-4, torch.ones(len(middles), dtype=torch.int64)
    leaf = middles[:, None].clone().requires_grad_()
    weights = torch.linspace(-1, 2, 11)
    (tabulated_histogram(leaf, counts) * weights).sum().backward()
    ends = [
        (tabulated_histogram(middles[:, None] + s, counts).double() @ weights.double()) for s in (-step, step)
    ]
    torch.testing.assert_close(leaf.grad[:, 0].double(), (ends[1] - ends[0]) / (2 * step), rtol=0, atol=5e-3)


def test_the_ends_of_the_table():
    atoms = torch.tensor([[-1.0], [1.0], [0.0]])
    ones = torch.ones(3, dtype=torch.int64)
    torch.testing.assert_close(
        tabulated_histogram(atoms, ones), gaussian_histogram(atoms, ones), rtol=0, atol=1e-5
    )


def test_strided_states_and_gradients():
    atoms = states(0, [4, 3], 6)
    strided = atoms.t().contiguous().t().requires_grad_()
    assert not strided.is_contiguous()
    plain = atoms.clone().requires_grad_()
    counts = torch.tensor([4, 3])
    for leaf in (strided, plain):
        # The gradient of a sum is one number, spread over all places of memory that there are not.
        tabulated_histogram(leaf, counts)[:, ::3].sum().backward()
    assert torch.equal(strided.grad, plain.grad)


def test_a_state_that_is_no_number_stays_visible():
    atoms = states(1, [2, 2], 2)
    atoms[1, 0] = float("nan")
    found = tabulated_histogram(atoms, torch.tensor([2, 2])).view(2, 11, 2)
    assert found[0, :, 0].isnan().any()
    assert found[1].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_readout_reads_the_table_only_if_told_to_and_in_single_precision(dtype):
    readout, atoms, counts = MoleculeReadout(Readout.GAUSSIAN, 5), states(2, [7]).to(dtype), torch.tensor([7])
    plain = readout(atoms, counts)
    assert torch.equal(plain, gaussian_histogram(atoms, counts))
    readout.tabulated = True
    assert torch.equal(readout(atoms, counts), plain) == (dtype == torch.float64)


@pytest.mark.parametrize("size_exponent", [0.0, 0.5])
def test_a_network_that_reads_the_table_scores_and_learns_the_same(size_exponent):
    schema = featurizer().schema
    batch, found = collate(graphs_of(MIXED), schema), []
    for tabulated in (False, True):
        net = make_net(schema, size_exponent=size_exponent)
        net.readout.tabulated = tabulated
        outputs = net(batch)
        outputs.square().sum().backward()
        found.append(
            (outputs.detach(), net.last_atom_layer.weight.grad, net.modules_[0].atom_out.weight.grad)
        )
    for plain, tabulated in zip(*found, strict=True):
        scale = max(1.0, float(plain.abs().max()))
        torch.testing.assert_close(tabulated, plain, rtol=0, atol=0.02 * scale)
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=1e-4)
