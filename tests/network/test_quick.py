from __future__ import annotations

import pytest
import torch

from molig.network import WeaveNet, collate
from molig.network.quick import quick_network
from tests.network.nets import MIXED, featurizer, graphs_of, make_net

SCHEMA = featurizer().schema


def outputs(network: WeaveNet) -> torch.Tensor:
    with torch.inference_mode():
        return network(collate(graphs_of(MIXED), SCHEMA))


@pytest.mark.parametrize(
    "changes", [{}, {"batch_norm": False}, {"readout": "sum"}, {"hidden": ()}, {"size_exponent": 0.5}]
)
def test_a_quick_network_scores_the_same_and_leaves_the_other_alone(changes):
    network = make_net(SCHEMA, **changes)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    exact = outputs(network)
    torch.testing.assert_close(outputs(quick_network(network)), exact, atol=3e-4, rtol=3e-4)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())
    assert not network.readout.tabulated
