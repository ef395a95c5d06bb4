"""Co-training: other tables whose tasks a network learns too; the finished model does not have them.

A table with a few dozen actives cannot teach a network what atoms are like. Training on the tasks of other
collections at the same time can (Ramsundar et al. 2015, arXiv:1502.02072).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from molig.committee import EnvironmentNet
from molig.datasets.places import find_dataset
from molig.errors import UsageError
from molig.features import Featurizer, PackedGraphs
from molig.model import AuxiliaryTable
from molig.network import WeaveNet
from molig.training.dataset import AssayTable, FloatArray, TrainingData, file_digest, read_or_load
from molig.training.recipe import AuxiliaryRecipe, Recipe
from molig.training.sampling import EpochSampler
from molig.training.split_column import PARTS

Net = TypeVar("Net", WeaveNet, EnvironmentNet)


@dataclass(frozen=True)
class Auxiliary:
    """Molecules of another table, with labels of shape (n_mols, n_tasks)."""

    recipe: AuxiliaryRecipe
    graphs: PackedGraphs
    labels: FloatArray
    tasks: tuple[str, ...]
    n_left_out: int = 0  # not used, since the main table holds them out
    file: str = ""
    digest: str = ""

    def provenance(self) -> AuxiliaryTable:
        """What a model says about it."""
        return AuxiliaryTable(
            name=self.recipe.name,
            file=self.file,
            sha256=self.digest,
            n_molecules=len(self.labels),
            n_left_out=self.n_left_out,
            n_tasks=len(self.tasks),
        )


def read_auxiliaries(recipe: Recipe, data: TrainingData, parts: npt.NDArray[np.str_]) -> list[Auxiliary]:
    """Read the auxiliary tables of a recipe, without the molecules that the main table holds out."""
    held_out = {data.smiles[i] for i in np.flatnonzero(np.isin(parts, PARTS[1:]))}
    return [_read(recipe, auxiliary, held_out) for auxiliary in recipe.auxiliary]


def _read(recipe: Recipe, auxiliary: AuxiliaryRecipe, held_out: set[str]) -> Auxiliary:
    source = find_dataset(auxiliary.name)
    assay = AssayTable(
        source,
        auxiliary.columns(),
        recipe.molecules.parser(),
        Featurizer(recipe.schema_()),
        conflicts=recipe.data.conflicts,
    )
    table = read_or_load(assay)
    used = np.flatnonzero([smiles not in held_out for smiles in table.smiles])
    if not len(used):
        raise UsageError(
            f"auxiliary table {auxiliary.name!r} has no molecule that the main one does not hold out"
        )
    return Auxiliary(
        recipe=auxiliary,
        graphs=table.graphs.select(used),
        labels=table.labels[used],
        tasks=table.tasks,
        n_left_out=len(table) - len(used),
        file=source.name,
        digest=file_digest(source),
    )


def auxiliary_digests(recipe: Recipe) -> list[str]:
    """SHA-256 of the auxiliary tables, which belong to the fingerprint of a run."""
    return [file_digest(find_dataset(auxiliary.name)) for auxiliary in recipe.auxiliary]


def join_tables(
    graphs: PackedGraphs, labels: FloatArray, auxiliaries: Sequence[Auxiliary]
) -> tuple[PackedGraphs, FloatArray]:
    """Put tables end to end; the tasks of one table are not measured for molecules of another."""
    blocks = [labels, *(auxiliary.labels for auxiliary in auxiliaries)]
    rows = np.cumsum([0, *(len(block) for block in blocks)])
    columns = np.cumsum([0, *(block.shape[1] for block in blocks)])
    joined = np.full((rows[-1], columns[-1]), np.nan)
    for i, block in enumerate(blocks):
        joined[rows[i] : rows[i + 1], columns[i] : columns[i + 1]] = block
    return PackedGraphs.concatenate([graphs, *(auxiliary.graphs for auxiliary in auxiliaries)]), joined


class JointSampler:
    """Draws the molecules of an epoch from several joined tables, from each as an `EpochSampler` does."""

    def __init__(self, main: EpochSampler, auxiliaries: Sequence[Auxiliary]) -> None:
        others = [EpochSampler(each.labels, each.recipe.inactives_per_epoch) for each in auxiliaries]
        self._samplers = [main, *others]
        self._starts = np.cumsum([0, *(len(sampler.seen) for sampler in self._samplers)])
        self.size = sum(sampler.size for sampler in self._samplers)
        self.seen = np.concatenate([sampler.seen for sampler in self._samplers])

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Molecules of one epoch in random order, shape (size,)."""
        drawn = [
            sampler.draw(rng) + start for sampler, start in zip(self._samplers, self._starts, strict=False)
        ]
        # A second permutation would change what a table alone has always drawn with the same seed.
        return drawn[0] if len(drawn) == 1 else rng.permutation(np.concatenate(drawn))


def first_tasks(network: Net, n_tasks: int) -> Net:
    """Copy of a network with its first outputs only, those of the main table."""
    every = network.last
    if every.out_features == n_tasks:
        return network
    kept = copy.deepcopy(network)
    last = nn.Linear(every.in_features, n_tasks).to(every.weight)
    with torch.no_grad():
        last.weight.copy_(every.weight[:n_tasks])
        last.bias.copy_(every.bias[:n_tasks])
    kept.replace_last(last)
    return kept
