"""The closed form of integrated gradients, against sums over the path and against the network itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from committee.members import N_TASKS, SMILES, graphs_of, random_net
from molig.committee import EnvironmentNet
from molig.errors import ModelFormatError

MIDPOINTS = 4000


def by_midpoints(net, graph, task, *, probability):
    """Integrated gradients of a molecule's rows."""
    scales = (np.arange(MIDPOINTS) + 0.5) / MIDPOINTS
    copies = graph.select(np.zeros(MIDPOINTS, dtype=np.int64))
    rates = np.array(net.rates(copies, scales, np.full(MIDPOINTS, task)))
    if probability:
        score = expit(net.along_path(copies, scales)[:, task])
        rates *= (score * (1 - score))[:, None]
    return rates.mean(axis=0)


@pytest.mark.parametrize("probability", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_shares_are_the_integrals_of_the_gradient(seed, probability):
    net, graphs = random_net(seed), graphs_of()
    for task in range(N_TASKS):
        found = net.shares(
            graphs, np.arange(len(graphs)), np.full(len(graphs), task), probability=probability
        )
        for molecule, share in enumerate(found.shares):
            expected = by_midpoints(net, graphs.select([molecule]), task, probability=probability)
            np.testing.assert_allclose(share, expected, atol=2e-3 * max(np.abs(expected).max(), 1e-9))


@given(seed=st.integers(0, 10_000), scale=st.floats(1e-4, 30), probability=st.booleans())
@settings(max_examples=40)
def test_shares_add_up_to_the_change_of_the_score(seed, scale, probability):
    net, graphs = random_net(seed, scale=scale), graphs_of()
    molecules = np.repeat(np.arange(len(graphs)), N_TASKS)
    tasks = np.tile(np.arange(N_TASKS), len(graphs))
    found = net.shares(graphs, molecules, tasks, probability=probability)
    score = expit if probability else np.asarray
    ends = score(net.outputs(graphs))[molecules, tasks]
    starts = score(net.along_path(graphs, np.zeros(len(graphs))))[molecules, tasks]
    size = 1 + np.abs([starts, ends]).max()
    np.testing.assert_allclose(found.ends, ends, atol=1e-9 * size)
    np.testing.assert_allclose(found.starts, starts, atol=1e-9 * size)
    sums = [share.sum() for share in found.shares]
    np.testing.assert_allclose(sums, ends - starts, atol=1e-7 * size)


def test_units_without_bias_are_on_from_the_start():
    """A unit whose bias is exactly 0 turns at the baseline itself; it has no part of the path without it."""
    net, graphs = random_net(0), graphs_of()
    net.bias[:] = 0
    paths = np.arange(len(graphs)), np.zeros(len(graphs), dtype=np.int64)
    shares = net.shares(graphs, *paths, probability=False)
    # Without biases the output is straight all the way.
    np.testing.assert_allclose(
        [share.sum() for share in shares.shares],
        net.outputs(graphs)[:, 0] - shares.starts,
        atol=1e-9,
    )


def test_the_path_and_its_rates_fit_together():
    net, graphs = random_net(1), graphs_of()
    scales, step, tasks = np.linspace(0.13, 0.9, len(graphs)), 1e-6, np.arange(len(graphs)) % N_TASKS
    rates = [row.sum() for row in net.rates(graphs, scales, tasks)]
    sides = [net.along_path(graphs, scales + s)[np.arange(len(graphs)), tasks] for s in (-step, step)]
    np.testing.assert_allclose(rates, (sides[1] - sides[0]) / (2 * step), atol=1e-5)
    np.testing.assert_allclose(net.along_path(graphs, np.ones(len(graphs))), net.outputs(graphs), atol=1e-9)


def test_folding_takes_the_normalisation_into_the_weights():
    torch.manual_seed(0)
    net = EnvironmentNet(random_net(0).vocabulary, 5, N_TASKS)
    with torch.no_grad():
        for values in (net.norm.running_mean, net.norm.running_var, net.norm.weight, net.norm.bias, net.bias):
            values.copy_(torch.rand(5) + 0.5)
    graphs = graphs_of()
    np.testing.assert_allclose(net.folded().outputs(graphs), net.eval().outputs(graphs), atol=1e-5)


def test_factors_scale_occurrences():
    net, graphs = random_net(2), graphs_of()
    n_rows = graphs.environments.n_rows
    nothing = net.along_path(graphs, np.zeros(len(graphs)))
    np.testing.assert_allclose(net.outputs(graphs, np.ones(n_rows)), net.outputs(graphs), atol=1e-12)
    np.testing.assert_allclose(net.outputs(graphs, np.zeros(n_rows)), nothing, atol=1e-12)


def test_tensors_make_the_network_again():
    net, graphs = random_net(3).float(), graphs_of()
    read = EnvironmentNet.from_arrays(net.arrays(), net.vocabulary, N_TASKS)
    np.testing.assert_array_equal(read.outputs(graphs), net.outputs(graphs))


@pytest.mark.parametrize("name", ["weight", "bias", "out", "out_bias"])
def test_tensors_of_another_shape_are_refused(name):
    net = random_net(0)
    for other in (torch.zeros(3, 3, 3), net.arrays()[name].to(torch.int32)):
        with pytest.raises(ModelFormatError, match="must be numbers of shape"):
            EnvironmentNet.from_arrays({**net.arrays(), name: other}, net.vocabulary, N_TASKS)


def test_molecules_without_known_environments_score_as_the_baseline():
    net, strange = random_net(4), graphs_of(["[Xe]"])
    found = net.shares(strange, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), probability=True)
    assert found.starts == found.ends
    assert not found.shares[0].any()
    assert len(found.shares[0]) == strange.environments.n_rows
    assert len(SMILES) == len(graphs_of())
