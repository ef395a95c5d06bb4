"""Scores and attribution densities of counterfactuals: molecules with their features scaled by a."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.features import BlockKind, FeatureSchema, PackedGraphs
from molig.model import ScreeningModel
from molig.network import GraphBatch, collate

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Atoms per forward and backward pass: enough to keep the matrix products busy, few enough for the cache.
_ATOMS_PER_BATCH = 4096


class Target(StrEnum):
    """The score that is attributed."""

    PROBABILITY = "probability"
    LOGIT = "logit"


@dataclass(frozen=True)
class Densities:
    """Per-feature rate of change of the score along the path, a point per entry.

    Parameters
    ----------
    values : array of float, shape (n_points,)
        The score F.
    atoms, pairs : list of array
        One array per point, shapes (n_atoms, n atom entries) and (n_pairs, n pair entries). Their sum is
        dF/da.
    """

    values: FloatArray
    atoms: list[FloatArray]
    pairs: list[FloatArray]


class RelaxedMolecules:
    """Molecules whose features can be scaled, seen by one output of a model.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    graphs : PackedGraphs
        Featurized molecules.
    tasks : array of int, shape (n_mols,)
        Output to look at, for each molecule.
    target : Target
        Probability or logit.
    """

    def __init__(self, model: ScreeningModel, graphs: PackedGraphs, tasks: Index, target: Target) -> None:
        self.model, self.graphs, self.tasks, self.target = model, graphs, tasks, target
        self._atom_entries = _entry_matrix(model.schema, "atom").to(model.device, model.dtype)
        self._pair_entries = _entry_matrix(model.schema, "pair").to(model.device, model.dtype)

    def densities(self, molecules: Index, scales: FloatArray) -> Densities:
        """Evaluate F and x * dF/dx at points ``scales`` of the paths of ``molecules``.

        Parameters
        ----------
        molecules : array of int, shape (n_points,)
            Which molecule; it may come several times.
        scales : array of float, shape (n_points,)
            Where on its path.

        Returns
        -------
        Densities
        """
        values: list[FloatArray] = []
        atoms: list[FloatArray] = []
        pairs: list[FloatArray] = []
        for part in _by_atom_budget(self.graphs.atom_counts[molecules]):
            value, atom, pair = self._evaluate(molecules[part], scales[part])
            values.append(value)
            atoms += _split(atom, self.graphs.atom_counts[molecules[part]])
            pairs += _split(pair, self.graphs.pair_counts[molecules[part]])
        return Densities(np.concatenate(values), atoms, pairs)

    def _evaluate(self, molecules: Index, scales: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        graphs = self.graphs.select(molecules)
        whole = collate(graphs, self.model.schema, fold=False).to(self.model.device, self.model.dtype)
        batch = _scaled(whole, graphs, scales)
        logits = self.model.network(batch)
        tasks = torch.from_numpy(self.tasks[molecules]).to(logits.device)
        score = logits.gather(1, tasks[:, None])[:, 0]
        if self.target is Target.PROBABILITY:
            score = score.sigmoid()
        atom_gradient, pair_gradient = torch.autograd.grad(
            score.sum(), (batch.atom_inputs, batch.pair_inputs)
        )
        return (
            _numpy(score),
            _numpy((whole.atom_inputs * atom_gradient) @ self._atom_entries),
            _numpy((whole.pair_inputs * pair_gradient) @ self._pair_entries),
        )


def _scaled(whole: GraphBatch, graphs: PackedGraphs, scales: FloatArray) -> GraphBatch:
    """The batch with each molecule's rows times its scale, ready to be differentiated."""
    scale = torch.from_numpy(scales).to(whole.atom_inputs)
    atom_scale = scale.repeat_interleave(torch.from_numpy(graphs.atom_counts).to(scale.device))
    pair_scale = scale.repeat_interleave(torch.from_numpy(graphs.pair_counts).to(scale.device))
    return replace(
        whole,
        atom_inputs=(whole.atom_inputs * atom_scale[:, None]).requires_grad_(),
        pair_inputs=(whole.pair_inputs * pair_scale[:, None]).requires_grad_(),
    )


def _entry_matrix(schema: FeatureSchema, level: str) -> Tensor:
    """0/1 matrix from columns to entries: a categorical block is one entry, a numeric column is one."""
    owner: list[int] = []
    for block in schema.blocks(level):
        first = owner[-1] + 1 if owner else 0
        categorical = block.kind is BlockKind.CATEGORICAL
        owner += [first if categorical else first + i for i in range(block.width)]
    return torch.nn.functional.one_hot(torch.tensor(owner)).to(torch.float64)


def _by_atom_budget(atom_counts: Index) -> Iterator[slice]:
    start = atoms = 0
    for i, count in enumerate(atom_counts.tolist()):
        if i > start and atoms + count > _ATOMS_PER_BATCH:
            yield slice(start, i)
            start, atoms = i, 0
        atoms += count
    yield slice(start, len(atom_counts))


def _split(rows: FloatArray, counts: Sequence[int] | Index) -> list[FloatArray]:
    return np.split(rows, np.cumsum(counts)[:-1])


def _numpy(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().double().cpu().numpy(), dtype=np.float64)
