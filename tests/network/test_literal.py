"""The network against a literal reading of its equations."""

import numpy as np
import pytest
from features.molecules import DIVERSE

from molig.network import collate

from .literal import dense_features, literal_atom_states, literal_scores
from .nets import assert_close, featurizer, graphs_of, make_net, scores

SMILES = [
    smiles for name, smiles in DIVERSE.items() if name not in ("cholesterol", "triphenylphosphine oxide")
]

NETWORKS = {
    "W1N1": (1, {"n_modules": 1}),
    "W1N2": (2, {"n_modules": 1}),
    "W2N2": (2, {"n_modules": 2}),
    "W2N2-atom-norm": (2, {"atom_batch_norm": True}),
    "W3N2": (2, {"n_modules": 3}),
    "W4N1": (1, {"n_modules": 4}),
    "W2N-unlimited": (None, {"n_modules": 2}),
    "W2N3-sum": (3, {"readout": "sum", "atom_batch_norm": True}),
    "W2N2-rms": (2, {"readout": "rms"}),
    "W2N2-silu": (2, {"activation": "silu"}),
    "W3N1-silu-rms": (1, {"n_modules": 3, "activation": "silu", "readout": "rms", "atom_batch_norm": True}),
    "W2N2-no-norm": (2, {"batch_norm": False}),
    "W2N2-one-hidden": (2, {"hidden": (8,)}),
    "W2N2-no-hidden": (2, {"hidden": ()}),
    "W2N2-root-of-size": (2, {"size_exponent": 0.5}),
    "W2N2-sum-mean": (2, {"readout": "sum", "size_exponent": 1.0}),
    "W2N2-rms-size": (2, {"readout": "rms", "size_exponent": 0.3}),
}
networks = pytest.mark.parametrize(("limit", "config"), NETWORKS.values(), ids=NETWORKS)


def parameters(net) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().astype(np.float64) for name, tensor in net.state_dict().items()}


def literal(net, smiles, limit, scales=None) -> np.ndarray:
    p, factors = parameters(net), np.ones(len(smiles)) if scales is None else scales
    molecules = [dense_features(s, limit).scaled(a) for s, a in zip(smiles, factors, strict=True)]
    return np.array([literal_scores(p, net.config, molecule) for molecule in molecules])


@networks
def test_scores_are_those_of_the_equations(limit, config):
    schema = featurizer(limit=limit).schema
    net = make_net(schema, **config)
    graphs = graphs_of(SMILES, limit=limit)
    expected = literal(net, SMILES, limit)
    assert expected.std(axis=0).min() > 0.02, "a network that says the same of all proves nothing"
    assert_close(scores(net, graphs, schema), expected, 1e-5)
    net.double()
    # Weights of float64 nets were rounded to float32 before, so both compute with the same numbers.
    assert_close(scores(net, graphs, schema), expected, 1e-10)


@networks
def test_scaled_inputs_are_scaled_one_hots(limit, config):
    schema = featurizer(limit=limit).schema
    net = make_net(schema, **config).double()
    scales = np.random.default_rng(5).choice([0.0, 0.02, 0.25, 0.5, 0.98, 1.0], size=len(SMILES))
    found = scores(net, graphs_of(SMILES, limit=limit), schema, scales)
    assert_close(found, literal(net, SMILES, limit, scales), 1e-10)


def test_default_widths():
    smiles, schema = ["CC(=O)Oc1ccccc1C(=O)O", "C"], featurizer().schema
    net = make_net(schema, n_tasks=12, depth=50, atom_depth=128, hidden=(2000, 100))
    assert net.head[0].weight.shape == (2000, 1408)
    assert_close(scores(net, graphs_of(smiles), schema), literal(net, smiles, 2), 1e-5)


@pytest.mark.parametrize("atom_batch_norm", [True, False])
def test_atom_states_before_the_readout(atom_batch_norm):
    smiles, schema = ["[Na+]", "CC(=O)Oc1ccccc1C(=O)O"], featurizer().schema
    net = make_net(schema, atom_batch_norm=atom_batch_norm).double()
    found = net.atom_states(collate(graphs_of(smiles), schema, np.ones(len(smiles))))
    p = parameters(net)
    expected = [literal_atom_states(p, net.config, dense_features(s, 2)) for s in smiles]
    assert_close(found, np.concatenate(expected), 1e-12)
