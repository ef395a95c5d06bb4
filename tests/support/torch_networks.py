"""Small torch networks on atoms and bonds, and the features that they read."""

import torch
from torch import nn

from molig.attribution import TorchModel
from molig.features import Block, BlockKind, FeatureSchema

ELEMENTS = ("C", "N", "O", "other")
SCHEMA = FeatureSchema(
    "small",
    (
        Block("element", BlockKind.CATEGORICAL, ELEMENTS, other="other"),
        Block("numbers", BlockKind.NUMERIC, ("charge", "aromatic")),
    ),
    (
        Block("bond", BlockKind.CATEGORICAL, ("single", "double")),
        Block("ring", BlockKind.NUMERIC, ("in ring",)),
    ),
    max_pair_distance=1,
)
SMILES = ["CCO", "CC(=O)Nc1ccc(O)cc1", "C[N+](C)(C)C", "C1CCNC1", "C"]


def features(mol):
    atoms = [
        [
            *(a.GetSymbol() == e for e in ELEMENTS[:3]),
            a.GetSymbol() not in ELEMENTS,
            a.GetFormalCharge(),
            a.GetIsAromatic(),
        ]
        for a in mol.GetAtoms()
    ]
    bonds = [
        [b.GetBondTypeAsDouble() == 1, b.GetBondTypeAsDouble() == 2, b.IsInRing()] for b in mol.GetBonds()
    ]
    return atoms, bonds


class MessagePassing(nn.Module):
    """One round of messages along bonds, summed over atoms."""

    def __init__(self, n_tasks: int = 2, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.atom, self.bond = nn.Linear(6, 8), nn.Linear(3, 8)
        self.head = nn.Linear(8, n_tasks)

    def states(self, x, edge_index, edge_attr):
        atoms = self.atom(x)
        messages = torch.tanh(atoms[edge_index[0]] + self.bond(edge_attr))
        return torch.relu(atoms.index_add(0, edge_index[1], messages))

    def forward(self, x, edge_index, edge_attr, batch):
        atoms = self.states(x, edge_index, edge_attr)
        return self.head(atoms.new_zeros(int(batch.max()) + 1, 8).index_add(0, batch, atoms))


class Altered(MessagePassing):
    """The same with something done to its outputs."""

    def __init__(self, alter, **options) -> None:
        super().__init__(**options)
        self.alter = alter

    def forward(self, x, edge_index, edge_attr, batch):
        return self.alter(super().forward(x, edge_index, edge_attr, batch))


def torch_model(network=None, **options) -> TorchModel:
    network = (network or MessagePassing()).eval()
    given = {"features": features, "schema": SCHEMA, "tasks": ["one", "two"]} | options
    return TorchModel(network, **given)
