"""Counterfactuals of molecules for Chemprop: their features moved between a baseline and their own values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.features import FeatureSchema, PackedGraphs
from molig.foreign.chemprop_batch import MessageBatch, Passing, message_batch
from molig.foreign.chemprop_network import ChempropNetwork
from molig.foreign.secants import ChempropTrail, has_secants
from molig.model.relaxed import Densities, FeatureRows
from molig.secant.trail import by_rows
from molig.secant.weave import entry_matrix

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Atoms per forward and backward pass.
_ATOMS_PER_BATCH = 2048


class RelaxedChemprop:
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
        self.graphs = graphs
        self._ensembles, self._schema = [tuple(networks) for networks in ensembles], schema
        zero = np.zeros(schema.n_atom_columns), np.zeros(schema.n_pair_columns)
        self._like = self._ensembles[0][0].message_passing.start.weight
        self._base = [torch.from_numpy(row).to(self._like) for row in base or zero]
        self._entries = [entry_matrix(schema, level).to(self._like) for level in ("atom", "pair")]

    def outputs(
        self,
        molecules: Index,
        atom_factors: npt.ArrayLike | None = None,
        pair_factors: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Outputs, shape (n_points, n_tasks), with a of its own for every atom and bond; default 1."""
        counts = self.graphs.atom_counts[molecules], self.graphs.pair_counts[molecules]
        factors = [
            np.ones(int(count.sum())) if given is None else np.asarray(given, dtype=np.float64)
            for given, count in zip((atom_factors, pair_factors), counts, strict=True)
        ]
        starts = [np.concatenate([[0], np.cumsum(count)]) for count in counts]
        found = []
        for part in by_rows(counts[0], _ATOMS_PER_BATCH):
            chosen = [f[s[part.start] : s[part.stop]] for f, s in zip(factors, starts, strict=True)]
            with torch.inference_mode():
                batches = self._batches(molecules[part])
                inputs = self._moved(next(iter(batches.values())), chosen)
                found.append(_array(self._outputs(batches, inputs)))
        return np.concatenate(found)

    def densities(self, molecules: Index, scales: FloatArray, tasks: Index) -> Densities:
        """Outputs and (x - x') dF/dx, feature by feature, at points a of the paths of molecules."""
        values: list[FloatArray] = []
        rows: tuple[list[FloatArray], list[FloatArray]] = [], []
        for part in by_rows(self.graphs.atom_counts[molecules], _ATOMS_PER_BATCH):
            counts = [c[molecules[part]] for c in (self.graphs.atom_counts, self.graphs.pair_counts)]
            value, *levels = self._differentiate(molecules[part], scales[part], tasks[part], counts)
            values.append(value)
            for kept, level, count in zip(rows, levels, counts, strict=True):
                kept.extend(np.split(level, np.cumsum(count)[:-1]))
        return Densities(np.concatenate(values), rows[0], rows[1])

    def trail(self, *, fast: bool = False) -> ChempropTrail | None:
        """Secant shares along the paths; None where networks are not linear but for their activations."""
        del fast
        if len(self._ensembles) > 1 or not all(map(has_secants, self._ensembles[0])):
            return None
        (networks,) = self._ensembles
        classifies = networks[0].predictor.head.classifies
        base = self._base[0], self._base[1]
        return ChempropTrail(networks, self._schema, self.graphs, base, classifies)

    def _differentiate(
        self, molecules: Index, scales: FloatArray, tasks: Index, counts: Sequence[Index]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        batches = self._batches(molecules)
        whole = next(iter(batches.values()))
        inputs = self._moved(whole, [np.repeat(scales, count) for count in counts])
        for rows in inputs:
            rows.requires_grad_()
        outputs = self._outputs(batches, inputs)
        values = outputs.gather(1, torch.from_numpy(tasks).to(outputs.device)[:, None])[:, 0]
        # Between atoms at depth 1 no bond is read.
        gradients = torch.autograd.grad(values.sum(), inputs, allow_unused=True, materialize_grads=True)
        atoms, bonds = (
            _array(((rows - base) * gradient) @ entries)
            for rows, base, gradient, entries in zip(
                (whole.atom_inputs, whole.bond_inputs), self._base, gradients, self._entries, strict=True
            )
        )
        return _array(values), atoms, bonds

    def _batches(self, molecules: Index) -> dict[Passing, MessageBatch]:
        """Molecules as the networks read them, every atom and bond a row of its own."""
        graphs = self.graphs.select(molecules)
        ways = dict.fromkeys(n.message_passing.passing for networks in self._ensembles for n in networks)
        made = {way: message_batch(graphs, self._schema, way, fold=False) for way in ways}
        return {way: batch.to(self._like.device, self._like.dtype) for way, batch in made.items()}

    def _moved(self, whole: MessageBatch, factors: Sequence[FloatArray]) -> list[Tensor]:
        """Features with every row between the baseline (factor 0) and itself (factor 1)."""
        return [
            base + torch.from_numpy(factor).to(rows)[:, None] * (rows - base)
            for rows, base, factor in zip(
                (whole.atom_inputs, whole.bond_inputs), self._base, factors, strict=True
            )
        ]

    def _outputs(self, batches: dict[Passing, MessageBatch], inputs: Sequence[Tensor]) -> Tensor:
        moved = {way: batch.with_inputs(*inputs) for way, batch in batches.items()}
        return torch.cat([outputs_of(networks, moved) for networks in self._ensembles], dim=1)


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


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().double().cpu().numpy(), dtype=np.float64)
