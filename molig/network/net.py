"""WxNy: Weave modules, a last atom layer, a readout and fully connected layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molig.network.batch import GraphBatch, Triples
from molig.network.config import NetworkConfig
from molig.network.readout import MoleculeReadout
from molig.network.table import hyperbolic_tangent
from molig.network.weave import ACTIVATIONS, Rows, WeaveModule


class WeaveNet(nn.Module):
    """Ligand-screening network WxNy of Kearnes et al. 2016 (arXiv:1603.00856).

    Parameters
    ----------
    config : NetworkConfig
        Architecture.
    n_atom_columns, n_pair_columns : int
        Input columns of atoms and pairs.
    n_tasks : int
        Number of outputs.
    """

    def __init__(self, config: NetworkConfig, n_atom_columns: int, n_pair_columns: int, n_tasks: int) -> None:
        super().__init__()
        self.config = config
        widths = [(n_atom_columns, n_pair_columns)] + [(config.depth, config.depth)] * (config.n_modules - 1)
        self.modules_ = nn.ModuleList(
            WeaveModule(atom, pair, config.depth, config.activation, update_pairs=i + 1 < config.n_modules)
            for i, (atom, pair) in enumerate(widths)
        )
        self.last_atom_layer = nn.Linear(config.depth, config.atom_depth)
        self.atom_norm = nn.BatchNorm1d(config.atom_depth) if config.atom_batch_norm else nn.Identity()
        self.readout = MoleculeReadout(config.readout, config.atom_depth, config.size_exponent)
        self.head = Head(config, self.readout.out_features, n_tasks)

    @property
    def last(self) -> nn.Linear:
        """The layer that puts out the tasks."""
        layer = self.head[-1]
        if not isinstance(layer, nn.Linear):
            raise TypeError("the last layer of a head is linear")
        return layer

    def replace_last(self, layer: nn.Linear) -> None:
        """Put another layer there; a setter is of no use, as nn.Module keeps every module assigned to it."""
        self.head[-1] = layer

    def spread_states(self) -> None:
        """Draw the weights of modules and last atom layer so that atoms differ from the first step on.

        By default states shrink from layer to layer, all atoms fall into the middle bin of a Gaussian
        histogram, and training needs epochs to pull them apart. Normal weights of variance 2 / columns
        (He et al. 2015, arXiv:1502.01852), and 2 / (rows + columns) before the tanh, keep their spread.
        """
        for linear in self.modules_.modules():
            if isinstance(linear, nn.Linear):
                nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
                nn.init.zeros_(linear.bias)
        nn.init.xavier_normal_(self.last_atom_layer.weight)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Score molecules.

        Parameters
        ----------
        batch : GraphBatch
            Molecules, possibly scaled towards the zero baseline.

        Returns
        -------
        Tensor, shape (n_mols, n_tasks)
            One logit (or regression value) per task.
        """
        logits: Tensor = self.head(self.readout(self.atom_states(batch), batch.atom_counts))
        return logits

    def atom_states(self, batch: GraphBatch) -> Tensor:
        """States of the atoms before the readout, shape (n_atoms, atom_depth)."""
        atoms, pairs = Rows(batch.atom_inputs, batch.atom_kind), Rows(batch.pair_inputs, batch.pair_kind)
        triples = batch.triples
        for module in self.modules_:
            new_atoms, new_pairs = module(atoms, pairs, triples, batch)
            atoms = Rows(new_atoms, torch.arange(batch.n_atoms, device=new_atoms.device))
            if new_pairs is not None:
                pairs = Rows(new_pairs, triples.of_pair)
                triples = _pairs_as_triples(batch, triples)
        states: Tensor = self.atom_norm(hyperbolic_tangent(self.last_atom_layer(atoms.values)))
        return states


class Head(nn.Sequential):
    """Fully connected layers after the readout."""

    # Weights of the first layer in bfloat16, where its product is to be made so.
    narrow_weight: Tensor | None

    def __init__(self, config: NetworkConfig, in_features: int, n_tasks: int) -> None:
        layers: list[nn.Module] = []
        for width in config.hidden:
            layers.append(nn.Linear(in_features, width))
            if config.batch_norm:
                layers.append(nn.BatchNorm1d(width))
            layers += [_Activation(config), nn.Dropout(config.dropout)]
            in_features = width
        super().__init__(*layers, nn.Linear(in_features, n_tasks))
        self.register_buffer("narrow_weight", None, persistent=False)

    def narrow(self) -> None:
        """Make the largest product, that of the first layer, in bfloat16 from now on."""
        self.narrow_weight = self._first.weight.detach().to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of rows of the readout, shape (n_mols, n_tasks)."""
        first, *rest = self
        x = first(x) if self.narrow_weight is None else self._narrow_product(x, self.narrow_weight)
        for layer in rest:
            x = layer(x)
        return x

    def _narrow_product(self, x: Tensor, weight: Tensor) -> Tensor:
        return nn.functional.linear(x.to(weight.dtype), weight).to(x.dtype) + self._first.bias

    @property
    def _first(self) -> nn.Linear:
        layer = self[0]
        if not isinstance(layer, nn.Linear):
            raise TypeError("the first layer of a head is linear")
        return layer


class _Activation(nn.Module):
    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.act = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


def _pairs_as_triples(batch: GraphBatch, triples: Triples) -> Triples:
    """After the first module atoms differ, so every pair is a combination of its own."""
    first, second = batch.pair_atoms
    every_pair = torch.arange(len(first), device=first.device)
    return Triples(first, second, triples.of_pair, every_pair)
