"""Counterfactuals of molecules for Chemprop: their features moved between a baseline and their own values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from molig.features import FeatureSchema, PackedGraphs
from molig.foreign.chemprop_batch import MessageBatch, Passing, message_batch
from molig.foreign.chemprop_network import ChempropNetwork
from molig.foreign.secants import ChempropTrail, has_secants
from molig.model.relaxed import FeatureRows, Read, RelaxedRows


class RelaxedChemprop(RelaxedRows):
    """Molecules whose features x may take any value x' + a (x - x') between a baseline x' and their own.

    Outputs are, column by column, the logit of an ensemble's mean probability, or the mean of its values.

    Parameters
    ----------
    ensembles : sequence of sequence of ChempropNetwork
        Networks whose predictions are averaged, for the columns of each ensemble in turn.
    schema : FeatureSchema
        Features of the molecules.
    graphs : PackedGraphs
        The molecules.
    base : FeatureRows, optional
        The baseline; default zero.
    """

    def __init__(
        self,
        ensembles: Sequence[Sequence[ChempropNetwork]],
        schema: FeatureSchema,
        graphs: PackedGraphs,
        base: FeatureRows | None = None,
    ) -> None:
        self._ensembles = [tuple(networks) for networks in ensembles]
        super().__init__(schema, graphs, self._ensembles[0][0].message_passing.start.weight, base)

    def trail(self, *, fast: bool = False) -> ChempropTrail | None:
        """Secant shares along the paths; None where networks are not linear but for their activations."""
        del fast
        if len(self._ensembles) > 1 or not all(map(has_secants, self._ensembles[0])):
            return None
        (networks,) = self._ensembles
        classifies = networks[0].predictor.head.classifies
        base = self._base[0], self._base[1]
        return ChempropTrail(networks, self.schema, self.graphs, base, classifies)

    def _read(self, graphs: PackedGraphs) -> tuple[Sequence[Tensor], Read]:
        ways = dict.fromkeys(n.message_passing.passing for networks in self._ensembles for n in networks)
        made = {way: message_batch(graphs, self.schema, way, fold=False) for way in ways}
        batches = {way: batch.to(self._like.device, self._like.dtype) for way, batch in made.items()}
        whole = next(iter(batches.values()))

        def read(rows: Sequence[Tensor]) -> Tensor:
            moved = {way: batch.with_inputs(*rows) for way, batch in batches.items()}
            return torch.cat([outputs_of(networks, moved) for networks in self._ensembles], dim=1)

        return (whole.atom_inputs, whole.bond_inputs), read


def outputs_of(networks: Sequence[ChempropNetwork], batches: Mapping[Passing, MessageBatch]) -> Tensor:
    """Logits of an ensemble's mean probabilities, or its mean values; shape (n_mols, n_columns)."""
    found = [network(batches[network.message_passing.passing]) for network in networks]
    predictors = [network.predictor for network in networks]
    if not predictors[0].head.classifies:
        values = [p.predictions(outputs) for p, outputs in zip(predictors, found, strict=True)]
        return torch.stack(values).mean(0)
    shares = [p.log_shares(outputs) for p, outputs in zip(predictors, found, strict=True)]
    itself, others = (torch.stack(side).logsumexp(0) for side in zip(*shares, strict=True))
    return itself - others
