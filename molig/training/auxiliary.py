"""Other tables whose tasks a network learns along; the finished model does not have them.

A table with a few dozen actives cannot teach a network what atoms are like. Learning the tasks of other
collections at the same time can (Ramsundar et al. 2015, arXiv:1502.02072).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from molig.datasets import find_dataset
from molig.errors import UsageError
from molig.features import Featurizer, PackedGraphs
from molig.model import AuxiliaryTable
from molig.network import WeaveNet
from molig.training.dataset import PARTS, FloatArray, TrainingData, file_digest, read_or_load
from molig.training.recipe import AuxiliaryRecipe, Recipe
from molig.training.sampling import EpochSampler

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Auxiliary:
    """Molecules and labels of another table.

    Parameters
    ----------
    recipe : AuxiliaryRecipe
        Which table, and how much of it an epoch sees.
    graphs : PackedGraphs
        The molecules.
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, NaN not measured.
    tasks : tuple of str
        Names of the label columns.
    n_left_out : int
        Molecules of the table that are not used, since the main table holds them out.
    file : str
        Name of the table's file.
    digest : str
        SHA-256 of the file.
    """

    recipe: AuxiliaryRecipe
    graphs: PackedGraphs
    labels: FloatArray
    tasks: tuple[str, ...]
    n_left_out: int = 0
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
    """Read the auxiliary tables of a recipe, without the molecules that the main table holds out.

    Parameters
    ----------
    recipe : Recipe
        Its ``auxiliary`` sections.
    data : TrainingData
        The main table.
    parts : array of str, shape (n_mols,)
        Part of each molecule of the main table. Molecules of the others that have the SMILES of one in
        validation or test are left out.

    Returns
    -------
    list of Auxiliary

    Raises
    ------
    InputError
        If the table of a public data set is not there yet.
    UsageError
        If a table has nothing left to learn from.
    """
    held_out = {data.smiles[i] for i in np.flatnonzero(np.isin(parts, PARTS[1:]))}
    return [_read(recipe, auxiliary, held_out) for auxiliary in recipe.auxiliary]


def auxiliary_digests(recipe: Recipe) -> list[str]:
    """SHA-256 of the auxiliary tables, which belong to the fingerprint of a run.

    Parameters
    ----------
    recipe : Recipe
        Its ``auxiliary`` sections.

    Returns
    -------
    list of str
    """
    return [file_digest(find_dataset(auxiliary.name)) for auxiliary in recipe.auxiliary]


def _read(recipe: Recipe, auxiliary: AuxiliaryRecipe, held_out: set[str]) -> Auxiliary:
    source = find_dataset(auxiliary.name)
    found = read_or_load(
        source,
        auxiliary.columns(),
        recipe.molecules.parser(),
        Featurizer(recipe.features.schema_()),
        conflicts=recipe.data.conflicts,
    )
    used = np.array([smiles not in held_out for smiles in found.smiles])
    if not used.any():
        raise UsageError(
            f"auxiliary table {auxiliary.name!r} has no molecule that the main one does not hold out"
        )
    chosen = np.flatnonzero(used)
    return Auxiliary(
        auxiliary,
        found.graphs.select(chosen),
        found.labels[chosen],
        found.tasks,
        int((~used).sum()),
        source.name,
        file_digest(source),
    )


def join_tables(
    graphs: PackedGraphs, labels: FloatArray, auxiliaries: Sequence[Auxiliary]
) -> tuple[PackedGraphs, FloatArray]:
    """Put tables end to end; the tasks of one table are not measured for molecules of another.

    Parameters
    ----------
    graphs : PackedGraphs
        Molecules of the main table.
    labels : array of float, shape (n_mols, n_tasks)
        Their labels.
    auxiliaries : sequence of Auxiliary
        The other tables.

    Returns
    -------
    graphs : PackedGraphs
        All molecules, those of the main table first.
    labels : array of float, shape (n all molecules, n all tasks)
        The tasks of the main table come first.
    """
    blocks = [labels, *(auxiliary.labels for auxiliary in auxiliaries)]
    rows = np.cumsum([0, *(len(block) for block in blocks)])
    columns = np.cumsum([0, *(block.shape[1] for block in blocks)])
    joined = np.full((rows[-1], columns[-1]), np.nan)
    for i, block in enumerate(blocks):
        joined[rows[i] : rows[i + 1], columns[i] : columns[i + 1]] = block
    return PackedGraphs.concatenate([graphs, *(auxiliary.graphs for auxiliary in auxiliaries)]), joined


def first_tasks(network: WeaveNet, n_tasks: int) -> WeaveNet:
    """Copy of a network that has its first outputs only, those of the main table.

    Parameters
    ----------
    network : WeaveNet
        Network of all tasks.
    n_tasks : int
        Outputs to keep.

    Returns
    -------
    WeaveNet
        The network itself if it has no others.
    """
    every = cast(nn.Linear, network.head[-1])
    if every.out_features == n_tasks:
        return network
    kept = copy.deepcopy(network)
    last = nn.Linear(every.in_features, n_tasks).to(every.weight)
    with torch.no_grad():
        last.weight.copy_(every.weight[:n_tasks])
        last.bias.copy_(every.bias[:n_tasks])
    kept.head[-1] = last
    return kept


class JointSampler:
    """Draws the molecules of an epoch from several tables, from each as an `EpochSampler` does.

    Parameters
    ----------
    main : EpochSampler
        Of the main table.
    auxiliaries : sequence of Auxiliary
        The other tables, which follow it in the joined one.

    Attributes
    ----------
    size : int
        Molecules per epoch.
    seen : array of float, shape (n all molecules,)
        Chance of each molecule to be seen in an epoch.
    """

    def __init__(self, main: EpochSampler, auxiliaries: Sequence[Auxiliary]) -> None:
        others = [EpochSampler(each.labels, each.recipe.inactives_per_epoch) for each in auxiliaries]
        self._samplers = [main, *others]
        self._starts = np.cumsum([0, *(len(sampler.seen) for sampler in self._samplers)])
        self.size = sum(sampler.size for sampler in self._samplers)
        self.seen = np.concatenate([sampler.seen for sampler in self._samplers])

    def draw(self, rng: np.random.Generator) -> Index:
        """Molecules of one epoch in random order, shape (size,)."""
        drawn = [
            sampler.draw(rng) + start for sampler, start in zip(self._samplers, self._starts, strict=False)
        ]
        return drawn[0] if len(drawn) == 1 else rng.permutation(np.concatenate(drawn))
