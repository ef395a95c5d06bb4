"""Counterfactuals of molecules: their features moved between a baseline and their own values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.features import FeatureSchema, PackedGraphs
from molig.network import GraphBatch, WeaveNet, collate
from molig.secant import SecantNetwork, Trail
from molig.secant.trail import by_rows
from molig.secant.weave import MAX_MODULES, entry_matrix

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
FeatureRows = tuple[FloatArray, FloatArray]
"""A feature row for every atom and one for every pair: shapes (n atom columns,) and (n pair columns,)."""

# Atoms per forward and backward pass: enough to keep the matrix products busy, few enough for the cache.
_ATOMS_PER_BATCH = 4096


@dataclass(frozen=True)
class Densities:
    """Per-feature rate of change of outputs along the path, a point per entry.

    Parameters
    ----------
    values : array of float, shape (n_points,)
        The output.
    atoms, pairs : list of array
        One array per point, shapes (n_atoms, n atom entries) and (n_pairs, n pair entries). Their sum is
        the derivative of the output with respect to a.
    """

    values: FloatArray
    atoms: list[FloatArray]
    pairs: list[FloatArray]


class RelaxedMolecules:
    """Molecules whose features x may take any value x' + a (x - x') between a baseline x' and their own.

    Parameters
    ----------
    network : WeaveNet
        The network; its weights decide the device and the precision.
    schema : FeatureSchema
        Names of its features.
    secants : callable
        Returns the network as secant slopes need it; called only where they are asked for.
    graphs : PackedGraphs
        Featurized molecules.
    base : tuple of array, optional
        Feature rows of the baseline: one for every atom, one for every pair. Default zero.
    """

    def __init__(
        self,
        network: WeaveNet,
        schema: FeatureSchema,
        secants: Callable[[], SecantNetwork],
        graphs: PackedGraphs,
        base: FeatureRows | None = None,
    ) -> None:
        self.network, self.schema, self.graphs = network, schema, graphs
        self._secants = secants
        zero = np.zeros(schema.n_atom_columns), np.zeros(schema.n_pair_columns)
        self._like = next(network.parameters())
        self._base = [torch.from_numpy(row).to(self._like) for row in base or zero]
        self._entries = [entry_matrix(schema, level).to(self._like) for level in ("atom", "pair")]

    def outputs(
        self,
        molecules: Index,
        atom_factors: npt.ArrayLike | None = None,
        pair_factors: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Outputs of the network with every atom and pair at a place of its own between baseline and input.

        Parameters
        ----------
        molecules : array of int, shape (n_points,)
            Which molecule; it may come several times.
        atom_factors, pair_factors : array-like of float, optional
            a of each atom, shape (n_atoms of all points,), and of each pair; default 1.

        Returns
        -------
        array of float, shape (n_points, n_tasks)
        """
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
                whole = self._collate(self.graphs.select(molecules[part]))
                found.append(_numpy(self.network(self._moved(whole, chosen))))
        return np.concatenate(found)

    def densities(self, molecules: Index, scales: FloatArray, tasks: Index) -> Densities:
        """Evaluate an output and (x - x') dF/dx at points of the paths of molecules.

        Parameters
        ----------
        molecules : array of int, shape (n_points,)
            Which molecule; it may come several times.
        scales : array of float, shape (n_points,)
            Where on its path: 0 is the baseline and 1 the molecule.
        tasks : array of int, shape (n_points,)
            Which output.

        Returns
        -------
        Densities
        """
        values: list[FloatArray] = []
        atoms: list[FloatArray] = []
        pairs: list[FloatArray] = []
        for part in by_rows(self.graphs.atom_counts[molecules], _ATOMS_PER_BATCH):
            value, atom, pair = self._differentiate(molecules[part], scales[part], tasks[part])
            values.append(value)
            atoms += _split(atom, self.graphs.atom_counts[molecules[part]])
            pairs += _split(pair, self.graphs.pair_counts[molecules[part]])
        return Densities(np.concatenate(values), atoms, pairs)

    def trail(self, *, fast: bool = False) -> Trail | None:
        """Secant shares along the paths of these molecules; None if the network is too deep for them.

        Parameters
        ----------
        fast : bool
            Allow the largest product in bfloat16.
        """
        if self.network.config.n_modules > MAX_MODULES:
            return None
        return Trail(self._secants(), self.graphs, (self._base[0], self._base[1]), fast=fast)

    def _differentiate(
        self, molecules: Index, scales: FloatArray, tasks: Index
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        graphs = self.graphs.select(molecules)
        whole = self._collate(graphs)
        factors = [np.repeat(scales, counts) for counts in (graphs.atom_counts, graphs.pair_counts)]
        moved = self._moved(whole, factors)
        rows = moved.atom_inputs.requires_grad_(), moved.pair_inputs.requires_grad_()
        outputs = self.network(moved)
        values = outputs.gather(1, torch.from_numpy(tasks).to(outputs.device)[:, None])[:, 0]
        gradients = torch.autograd.grad(values.sum(), rows)
        steps = whole.atom_inputs - self._base[0], whole.pair_inputs - self._base[1]
        atom, pair = (
            _numpy((step * gradient) @ entries)
            for step, gradient, entries in zip(steps, gradients, self._entries, strict=True)
        )
        return _numpy(values), atom, pair

    def _collate(self, graphs: PackedGraphs) -> GraphBatch:
        batch = collate(graphs, self.schema, np.ones(len(graphs)), fold=False)
        return batch.to(self._like.device, self._like.dtype)

    def _moved(self, whole: GraphBatch, factors: list[FloatArray]) -> GraphBatch:
        """The batch with every row between the baseline (factor 0) and itself (factor 1)."""
        moved = []
        for rows, base, factor in zip(
            (whole.atom_inputs, whole.pair_inputs), self._base, factors, strict=True
        ):
            moved.append(base + torch.from_numpy(factor).to(rows)[:, None] * (rows - base))
        return replace(whole, atom_inputs=moved[0], pair_inputs=moved[1])


def _split(rows: FloatArray, counts: Index) -> list[FloatArray]:
    return np.split(rows, np.cumsum(counts)[:-1])


def _numpy(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().double().cpu().numpy(), dtype=np.float64)
