"""Counterfactuals of molecules: their features moved between a baseline and their own values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.committee import Combination, Vocabulary
from molig.committee.vocabulary import MemberShares, environments_of
from molig.deferred import deferred
from molig.errors import UsageError
from molig.features import FeatureSchema, PackedGraphs
from molig.network import WeaveNet, collate
from molig.secant import SecantNetwork, Trail
from molig.secant.trail import by_rows
from molig.secant.weave import MAX_MODULES, entry_matrix

special = deferred("scipy.special")

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
FeatureRows = tuple[FloatArray, FloatArray]
"""A feature row for every atom and one for every pair: shapes (n atom columns,) and (n pair columns,)."""

# Atoms per forward and backward pass: enough to keep the matrix products busy, few enough for the cache.
_ATOMS_PER_BATCH = 4096


@dataclass(frozen=True)
class Densities:
    """Per-feature rate of change of outputs along the path, a point per entry."""

    values: FloatArray
    """The output at each point."""
    atoms: list[FloatArray]
    """Per point (n_atoms, n atom entries); with the pairs they add up to the derivative with respect to a."""
    pairs: list[FloatArray]
    """Per point (n_pairs, n pair entries)."""
    environments: list[FloatArray] = field(default_factory=list)
    """Per point (n environment rows,); empty where the model reads none."""


class ExactShares(NamedTuple):
    """How scores come about where that is known without a path: path by path, a molecule and a task each."""

    starts: FloatArray
    """What the molecules are compared with, shape (n_paths,)."""
    ends: FloatArray
    """The molecules, shape (n_paths,)."""
    environments: list[FloatArray]
    """Shares of the rows of each molecule's environments."""
    absent: list[dict[int, float]]
    """Shares of what each molecule lacks, by column; with the environments they add up to end - start."""
    errors: FloatArray
    """Largest standard error of a share, that comes of the choice of references, shape (n_paths,)."""
    probabilities: bool
    """Whether these are probabilities; else outputs of the model."""


Read = Callable[[Sequence[Tensor]], Tensor]
"""From feature rows of atoms and of pairs to outputs, shape (n_mols, n_tasks)."""


class RelaxedRows:
    """Molecules whose features x may take any value x' + a (x - x') between a baseline x' and their own.

    Of whatever network: a subclass says how it reads molecules.
    """

    def __init__(
        self,
        schema: FeatureSchema,
        graphs: PackedGraphs,
        like: Tensor,
        base: FeatureRows | None = None,
        name: str = "the network",
    ) -> None:
        self.schema, self.graphs, self._like, self._name = schema, graphs, like, name
        zero = np.zeros(schema.n_atom_columns), np.zeros(schema.n_pair_columns)
        self._base = [torch.from_numpy(row).to(like) for row in base or zero]
        self._entries = [entry_matrix(schema, level).to(like) for level in ("atom", "pair")]

    def select(self, molecules: Index) -> Self:
        """Only some of the molecules."""
        chosen = copy.copy(self)
        chosen.graphs = self.graphs.select(molecules)
        return chosen

    def _read(self, graphs: PackedGraphs) -> tuple[Sequence[Tensor], Read]:
        """Feature rows of atoms and pairs, every one by itself, and how outputs follow from such rows."""
        raise NotImplementedError

    def outputs(
        self,
        molecules: Index,
        atom_factors: npt.ArrayLike | None = None,
        pair_factors: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Outputs with every atom and pair at a place of its own between baseline and input."""
        # molecules (n_points,); factors a of all atoms and all pairs of these points, default 1
        counts = self.graphs.atom_counts[molecules], self.graphs.pair_counts[molecules]
        factors = [
            np.ones(int(count.sum())) if given is None else np.asarray(given, dtype=np.float64)
            for given, count in zip((atom_factors, pair_factors), counts, strict=True)
        ]
        starts = [np.concatenate([[0], np.cumsum(count)]) for count in counts]
        outputs = []
        for part in by_rows(counts[0], _ATOMS_PER_BATCH):
            chosen = [f[s[part.start] : s[part.stop]] for f, s in zip(factors, starts, strict=True)]
            with torch.no_grad():
                rows, read = self._read(self.graphs.select(molecules[part]))
                outputs.append(_numpy(read(self._moved(rows, chosen))))
        return np.concatenate(outputs)

    def densities(self, molecules: Index, scales: FloatArray, tasks: Index) -> Densities:
        """Evaluate an output and (x - x') dF/dx at points of the paths of molecules."""
        values: list[FloatArray] = []
        sides: tuple[list[FloatArray], list[FloatArray]] = ([], [])
        for part in by_rows(self.graphs.atom_counts[molecules], _ATOMS_PER_BATCH):
            graphs = self.graphs.select(molecules[part])
            value, found = self._differentiate(graphs, scales[part], tasks[part])
            values.append(value)
            for side, rows, counts in zip(
                sides, found, (graphs.atom_counts, graphs.pair_counts), strict=True
            ):
                side.extend(_split(rows, counts))
        return Densities(np.concatenate(values), *sides)

    def _differentiate(
        self, graphs: PackedGraphs, scales: FloatArray, tasks: Index
    ) -> tuple[FloatArray, list[FloatArray]]:
        whole, read = self._read(graphs)
        counts = graphs.atom_counts, graphs.pair_counts
        moved = [
            rows.requires_grad_()
            for rows in self._moved(whole, [np.repeat(scales, count) for count in counts])
        ]
        with torch.enable_grad():
            outputs = read(moved)
            values = outputs.gather(1, torch.from_numpy(tasks).to(outputs.device)[:, None])[:, 0]
            # A network may leave pairs out.
            gradients: Sequence[Tensor | None] = (None, None)
            if values.requires_grad:
                gradients = torch.autograd.grad(values.sum(), moved, allow_unused=True)
        if all(gradient is None for gradient in gradients):
            raise UsageError(
                f"no gradient leads from the outputs of {self._name!r} to the features: compute them "
                "from x and edge_attr with torch operations, without argmax, rounding, detach() or numbers "
                "of categories (rows @ embedding.weight instead of embedding(number))"
            )
        shares = [
            _numpy((torch.zeros_like(rows) if gradient is None else (rows - base) * gradient) @ entries)
            for rows, base, gradient, entries in zip(whole, self._base, gradients, self._entries, strict=True)
        ]
        return _numpy(values), shares

    def _moved(self, whole: Sequence[Tensor], factors: Sequence[FloatArray]) -> list[Tensor]:
        """Rows between the baseline (factor 0) and themselves (factor 1)."""
        return [
            base + torch.from_numpy(factor).to(rows)[:, None] * (rows - base)
            for rows, base, factor in zip(whole, self._base, factors, strict=True)
        ]


class RelaxedMolecules(RelaxedRows):
    """The same for a Weave network."""

    def __init__(
        self,
        network: WeaveNet,
        schema: FeatureSchema,
        secants: Callable[[], SecantNetwork],
        graphs: PackedGraphs,
        base: FeatureRows | None = None,
    ) -> None:
        super().__init__(schema, graphs, next(network.parameters()), base)
        self.network, self._secants = network, secants

    def trail(self, *, fast: bool = False) -> Trail | None:
        """Secant shares along the paths of these molecules; None if the network is too deep for them."""
        if self.network.config.n_modules > MAX_MODULES:
            return None
        return Trail(self._secants(), self.graphs, (self._base[0], self._base[1]), fast=fast)

    def _read(self, graphs: PackedGraphs) -> tuple[Sequence[Tensor], Read]:
        batch = collate(graphs, self.schema, np.ones(len(graphs)), fold=False)
        whole = batch.to(self._like.device, self._like.dtype)
        return (whole.atom_inputs, whole.pair_inputs), lambda rows: self.network(
            replace(whole, atom_inputs=rows[0], pair_inputs=rows[1])
        )


class Member(Protocol):
    """What a committee asks of a member beside the Weave network."""

    @property
    def kind(self) -> str:
        """What it is, as `molig.model.info.MemberInfo` has it."""

    @property
    def size(self) -> int:
        """Hidden units, trees of all tasks, or molecules to compare with."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The environments that it knows; all members of a committee know the same ones."""

    def outputs(self, graphs: PackedGraphs, factors: npt.ArrayLike | None = None) -> FloatArray:
        """Outputs for molecules, shape (n_mols, n_tasks); an occurrence counts by its factor."""

    def along_path(self, graphs: PackedGraphs, scales: FloatArray) -> FloatArray:
        """Outputs with all features of each molecule multiplied by its scale."""

    def rates(self, graphs: PackedGraphs, scales: FloatArray, tasks: Index) -> list[FloatArray]:
        """Derivative of an output with respect to the scale, row by row of each molecule's environments."""

    def shares(
        self, graphs: PackedGraphs, molecules: Index, tasks: Index, *, probability: bool
    ) -> MemberShares:
        """Exact shares of the environments in the member's score."""

    def arrays(self) -> dict[str, Tensor]:
        """Its tensors, for a file."""


class RelaxedCommittee:
    """The same for a committee: the Weave network's features move, and counts of environments with them."""

    def __init__(
        self,
        weave: RelaxedMolecules,
        members: Sequence[Member],
        names: Sequence[str],
        combination: Combination,
    ) -> None:
        self.weave, self.graphs, self.members, self.names = weave, weave.graphs, tuple(members), tuple(names)
        self.combination = combination

    def select(self, molecules: Index) -> RelaxedCommittee:
        """Only some of the molecules."""
        return RelaxedCommittee(self.weave.select(molecules), self.members, self.names, self.combination)

    def outputs(
        self,
        molecules: Index,
        atom_factors: npt.ArrayLike | None = None,
        pair_factors: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Outputs; an environment counts by the smallest factor of its atoms."""
        first = self._score(self.weave.outputs(molecules, atom_factors, pair_factors))
        graphs = self.graphs.select(molecules)
        factors = None if atom_factors is None else factors_of_environments(graphs, np.asarray(atom_factors))
        others = [
            scores_of(member, member.outputs(graphs, factors), self.combination) for member in self.members
        ]
        return self.combination.outputs(self.combination.mean(np.stack([first, *others])))

    def densities(self, molecules: Index, scales: FloatArray, tasks: Index) -> Densities:
        """Evaluate the output and its derivative by each feature at points of the paths of molecules."""
        weave = self.weave.densities(molecules, scales, tasks)
        graphs, which = self.graphs.select(molecules), np.arange(len(molecules))
        weights = self.combination.weights[:, tasks]
        scores, slopes = [self._score(weave.values)], [self._slope(weave.values)]
        rates = []
        for member in self.members:
            found = member.along_path(graphs, scales)[which, tasks]
            scores.append(scores_of(member, found, self.combination))
            slopes.append(np.ones_like(found) if member.kind == "forest" else self._slope(found))
            rates.append(member.rates(graphs, scales, tasks))
        mean = np.einsum("mn,mn->n", np.stack(scores), weights)
        factors = self.combination.rates(mean, tasks) * weights * np.stack(slopes)
        return Densities(
            self.combination.outputs_of(mean, tasks),
            [f * atom for f, atom in zip(factors[0], weave.atoms, strict=True)],
            [f * pair for f, pair in zip(factors[0], weave.pairs, strict=True)],
            [
                np.sum([f[i] * rate[i] for f, rate in zip(factors[1:], rates, strict=True)], axis=0)
                for i in which
            ],
        )

    def trail(self, *, fast: bool = False) -> None:
        """None: each member has shares of its own."""

    def _score(self, outputs: FloatArray) -> FloatArray:
        return np.asarray(special.expit(outputs)) if self.combination.probability else outputs

    def _slope(self, outputs: FloatArray) -> FloatArray:
        score = self._score(outputs)
        return score * (1 - score) if self.combination.probability else np.ones_like(outputs)


def scores_of(member: Member, outputs: FloatArray, combination: Combination) -> FloatArray:
    """Scores of a member's outputs: probabilities of logits; a forest puts out scores already."""
    if member.kind == "forest" or not combination.probability:
        return outputs
    return np.asarray(special.expit(outputs))


def factors_of_environments(graphs: PackedGraphs, atom_factors: FloatArray) -> FloatArray:
    """Smallest factor of the atoms of each occurrence, shape (n environment rows,)."""
    held = environments_of(graphs)
    if not held.has_atoms:
        raise UsageError(
            "environments without atoms cannot be moved atom by atom; featurize with occurrences"
        )
    starts = np.cumsum(graphs.atom_counts) - graphs.atom_counts
    atoms = held.atoms + np.repeat(starts[held.mol_of_row], held.sizes)
    smallest = np.ones(held.n_rows)
    np.minimum.at(smallest, np.repeat(np.arange(held.n_rows), held.sizes), atom_factors[atoms])
    return smallest


def _split(rows: FloatArray, counts: Index) -> list[FloatArray]:
    return np.split(rows, np.cumsum(counts)[:-1])


def _numpy(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().double().cpu().numpy(), dtype=np.float64)
