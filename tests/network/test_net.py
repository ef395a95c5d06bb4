"""The network as a whole: shapes, configuration, learning, devices."""

import numpy as np
import pytest
import torch
from features.molecules import DIVERSE
from pydantic import ValidationError
from torch import nn

from molig.network import NetworkConfig, Readout, WeaveNet, collate
from molig.network.readout import MoleculeReadout

from .nets import MIXED, SMALL, assert_close, featurizer, graphs_of, make_net, scores

readouts = pytest.mark.parametrize("readout", ["gaussian", "sum", "rms"])


# --- configuration and shapes -------------------------------------------------------------------


def test_defaults_are_those_of_the_paper():
    config = NetworkConfig()
    assert (config.n_modules, config.depth, config.atom_depth, config.hidden) == (2, 50, 128, (2000, 100))
    assert (config.readout, config.activation) == ("gaussian", "relu")


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_modules": 0},
        {"depth": 0},
        {"atom_depth": 0},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"readout": "mean"},
        {"activation": "tanh"},
        {"n_module": 2},
    ],
    ids=str,
)
def test_configuration_names_the_wrong_key(wrong):
    (key,) = wrong
    with pytest.raises(ValidationError, match=key):
        NetworkConfig(**wrong)


def test_configuration_is_frozen_and_survives_json():
    config = NetworkConfig(readout="rms", hidden=(3,))
    assert NetworkConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError):
        config.depth = 3


@readouts
@pytest.mark.parametrize("hidden", [(), (7,), (9, 7, 3)])
@pytest.mark.parametrize("n_tasks", [1, 3])
def test_one_score_per_molecule_and_task(readout, hidden, n_tasks):
    schema = featurizer().schema
    net = make_net(schema, n_tasks, readout=readout, hidden=hidden)
    assert scores(net, graphs_of(MIXED), schema).shape == (len(MIXED), n_tasks)
    widths = [layer.out_features for layer in net.head if isinstance(layer, nn.Linear)]
    assert widths == [*hidden, n_tasks]


@pytest.mark.parametrize(
    ("kind", "expected"), [("sum", [[6.0, -4.0], [2.0, 0.0]]), ("rms", [[5.0, 2.0**1.5], [2.0, 0.0]])]
)
def test_readouts_by_hand(kind, expected):
    atoms = torch.tensor([[7.0, -4.0], [-1.0, 0.0], [2.0, 0.0]])
    readout = MoleculeReadout(Readout(kind), 2)
    assert readout.out_features == 2
    assert_close(readout(atoms, torch.tensor([2, 1])), expected)


def test_rms_has_a_finite_gradient_at_0():
    atoms = torch.zeros(3, 2, requires_grad=True)
    MoleculeReadout(Readout.RMS, 2)(atoms, torch.tensor([2, 1])).sum().backward()
    assert atoms.grad.tolist() == [[0, 0]] * 3


# --- what x and y of WxNy mean --------------------------------------------------------------------


@pytest.mark.parametrize(("n_modules", "apart"), [(1, False), (2, True)])
def test_one_module_cannot_see_which_element_a_neighbor_is(n_modules, apart):
    """Section 2 of the reference: on W1N1 atoms with the same bonds are the same, on W2N1 no longer."""
    net = make_net(featurizer(limit=1).schema, n_modules=n_modules, activation="silu").double()
    fluorine, beside_f, between, beside_cl, _ = atom_states(net, "FCCCCl", limit=1)
    assert (fluorine - between).abs().max() > 1e-3
    for one, other in ((beside_f, between), (between, beside_cl), (beside_f, beside_cl)):
        assert ((one - other).abs().max() > 1e-6) == apart


@pytest.mark.parametrize(
    ("n_modules", "limit", "reach"), [(1, 2, 0), (2, 1, 1), (2, 2, 2), (3, 2, 2), (4, 1, 2), (4, 2, 4)]
)
def test_an_element_is_seen_as_far_as_x_and_y_allow(n_modules, limit, reach):
    """An element goes y bonds in two modules: one tells it to the pairs, the next to their atoms.

    So replacing the last atom of a chain by nitrogen changes all atoms within y * (x // 2) bonds.
    """
    net = make_net(featurizer(limit=limit).schema, n_modules=n_modules, activation="silu").double()
    chain, amine = (atom_states(net, smiles, limit) for smiles in ("CCCCCCCCC", "CCCCCCCCN"))
    changed = (chain - amine).abs().amax(1) > 1e-12
    assert changed.flip(0).tolist() == [distance <= reach for distance in range(9)]


def atom_states(net: WeaveNet, smiles: str, limit: int) -> torch.Tensor:
    return net.atom_states(
        collate(graphs_of([smiles], limit=limit), featurizer(limit=limit).schema, np.ones(1))
    )


# --- learning -------------------------------------------------------------------------------------


@readouts
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("name", ["simple", "full"])
def test_every_parameter_learns(name, readout, batch_norm):
    """Except biases that batch normalisation takes away again."""
    schema, graphs = featurizer(name).schema, graphs_of(list(DIVERSE.values()), name)
    norm = {"batch_norm": batch_norm, "atom_batch_norm": batch_norm}
    net = make_net(schema, n_modules=3, readout=readout, dropout=0.0, **norm).double().train()
    scores(net, graphs, schema).square().mean().backward()
    idle = {name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    assert idle == ({"head.0.bias", "head.4.bias"} if batch_norm else set())


def test_dropout_acts_in_training_only():
    schema, graphs = featurizer().schema, graphs_of(MIXED)
    net = make_net(schema, dropout=0.5, batch_norm=False)
    assert torch.equal(scores(net, graphs, schema), scores(net, graphs, schema))
    net.train()
    assert not torch.equal(scores(net, graphs, schema), scores(net, graphs, schema))


@readouts
def test_can_overfit_eight_molecules(readout):
    smiles = ["CCO", "CCN", "c1ccccc1", "CC(=O)O", "CC#N", "C1CCCCC1", "CCCl", "C"]
    labels = torch.tensor([[0.0], [1.0], [1.0], [0.0], [0.0], [1.0], [1.0], [0.0]])
    schema, graphs = featurizer().schema, graphs_of(smiles)
    net = make_net(schema, 1, depth=16, atom_depth=16, hidden=(16,), readout=readout, dropout=0.0).train()
    batch, optimizer = collate(graphs, schema), torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(net(batch), labels)
        loss.backward()
        optimizer.step()
    assert loss < 0.02
    assert ((net.eval()(batch) > 0) == (labels > 0)).all()


# --- weights and devices ---------------------------------------------------------------------------


def test_weights_load_into_a_network_of_the_same_configuration():
    schema, graphs = featurizer().schema, graphs_of(MIXED)
    net, fresh = make_net(schema), make_net(schema, seed=1)
    assert not torch.equal(scores(net, graphs, schema), scores(fresh, graphs, schema))
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(scores(net, graphs, schema), scores(fresh, graphs, schema))


def test_no_two_weights_share_memory():
    """Safetensors refuses such weights."""
    state = make_net(featurizer().schema, n_modules=3).state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)


def test_last_module_has_no_pair_update():
    net = WeaveNet(NetworkConfig(**SMALL, n_modules=3), 11, 6, 1)
    assert ["atom_to_pair" in dict(module.named_children()) for module in net.modules_] == [True, True, False]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@readouts
@pytest.mark.parametrize("name", ["simple", "full"])
def test_cuda_agrees_with_the_processor(name, readout):
    schema, graphs = featurizer(name).schema, graphs_of(list(DIVERSE.values()), name)
    net = make_net(schema, readout=readout)
    batch = collate(graphs, schema, np.linspace(0, 1, len(graphs), dtype=np.float32))
    found, gradients = [], []
    for device in ("cpu", "cuda"):
        net.to(device).zero_grad()
        values = net(batch.to(device))
        values.sum().backward()
        found.append(values)
        gradients.append([parameter.grad.cpu() for parameter in net.parameters()])
    assert_close(found[1], found[0].cpu(), 1e-4)
    for cuda, cpu in zip(gradients[1], gradients[0], strict=True):
        assert_close(cuda, cpu, 1e-4)


# --- readouts divided by a power of the size -----------------------------------------------------


@readouts
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_a_readout_is_divided_by_a_power_of_the_number_of_atoms(readout, exponent):
    atoms, counts = torch.randn(7, 3, dtype=torch.float64), torch.tensor([4, 1, 2])
    plain = MoleculeReadout(Readout(readout), 3)(atoms, counts)
    found = MoleculeReadout(Readout(readout), 3, exponent)(atoms, counts)
    expected = [row / n**exponent for row, n in zip(plain, (4, 1, 2), strict=True)]
    assert_close(found, torch.stack(expected), 1e-12)


@pytest.mark.parametrize(("readout", "exponent"), [("gaussian", 1.0), ("sum", 1.0), ("rms", 0.0)])
def test_means_do_not_change_when_a_molecule_is_doubled(readout, exponent):
    schema = featurizer().schema
    net = make_net(schema, readout=readout, size_exponent=exponent).double()
    one, two = scores(net, graphs_of(["CCO", "CCO.CCO"]), schema)
    assert_close(two, one, 1e-10)


@readouts
def test_size_is_that_of_the_molecule_itself(readout):
    """Whatever else is in the batch, and in which order its atoms are listed."""
    schema = featurizer().schema
    net = make_net(schema, readout=readout, size_exponent=0.5).double()
    together = scores(net, graphs_of(MIXED), schema)
    for i, smiles in enumerate(MIXED):
        assert_close(scores(net, graphs_of([smiles]), schema)[0], together[i], 1e-10)
    ways = ["CC(=O)Nc1ccc(O)cc1", "Oc1ccc(NC(C)=O)cc1", "c1(O)ccc(cc1)NC(=O)C"]
    found = scores(net, graphs_of(ways), schema)
    assert_close(found, found[:1].expand_as(found), 1e-10)


@pytest.mark.parametrize("wrong", [-0.1, 1.5])
def test_exponents_beyond_the_mean_are_refused(wrong):
    with pytest.raises(ValidationError, match="size_exponent"):
        NetworkConfig(size_exponent=wrong)
