"""Small networks and batches for tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor, nn

from molig.features import FeatureSchema, Featurizer, PackedGraphs, preset
from molig.network import NetworkConfig, WeaveNet, collate

SMALL = {"depth": 6, "atom_depth": 5, "hidden": (9, 7)}

# Includes molecules without pairs, a salt, and repeats of whole molecules.
MIXED = ("C", "CCO", "c1ccncc1", "[Na+]", "CC(=O)[O-].[Na+]", "CCO", "CC#N", "O=C(O)c1ccccc1Cl", "O")


@cache
def featurizer(name: str = "simple", limit: int | None = 2) -> Featurizer:
    return Featurizer(preset(name, max_pair_distance=limit))


def graphs_of(smiles: Sequence[str], name: str = "simple", limit: int | None = 2) -> PackedGraphs:
    return featurizer(name, limit).featurize([Chem.MolFromSmiles(s) for s in smiles])


def make_net(schema: FeatureSchema, n_tasks: int = 2, seed: int = 0, **config: object) -> WeaveNet:
    """A network in evaluation mode that tells molecules well apart and has seen batch statistics."""
    torch.manual_seed(seed)
    net = WeaveNet(NetworkConfig(**(SMALL | config)), schema.n_atom_columns, schema.n_pair_columns, n_tasks)
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 1.5 / module.in_features**0.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return net.eval()


def scores(net: WeaveNet, graphs: PackedGraphs, schema: FeatureSchema, scales=None, **how) -> Tensor:
    """Scores, with scales in the floating-point type of the network."""
    dtype = np.float64 if next(net.parameters()).dtype == torch.float64 else np.float32
    scales = np.ones(len(graphs), dtype) if scales is None else np.asarray(scales, dtype)
    return net(collate(graphs, schema, scales, **how))


def assert_close(found, expected, tolerance: float = 1e-5) -> None:
    """Equal to ``tolerance``, relative to the largest expected value (at least 1)."""
    found, expected = (
        np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x) for x in (found, expected)
    )
    assert found.shape == expected.shape
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max(initial=0))
    )
