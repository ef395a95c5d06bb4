"""The stem as tables of distinct rows, for features that are all categorical."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from molig.network import GraphBatch, WeaveNet
from molig.network.weave import ACTIVATIONS, WeaveModule, halves
from molig.secant.rows import Kinds, Points, Sums
from molig.secant.slopes import SLOPES, dot_sums

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# With categorical features the first Weave module, and the pairs that it hands to the second one, take few
# distinct values at each point of the path. They are computed once per distinct row, and so is the share of
# every feature in their change between two points.

Slope = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class FirstLayer:
    """A linear layer on scaled features: a constant, and the change per unit of a, entry by entry."""

    constant: Tensor  # (depth,)
    parts: Tensor  # (n_rows, n_entries, depth)

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None, base: Tensor, step: Tensor, owner: Tensor) -> FirstLayer:
        """From a weight (depth, columns), the baseline row, rows minus baseline, and columns to entries."""
        parts = torch.einsum("kc,ce,dc->ked", step, owner, weight)
        constant = weight @ base
        return cls(constant if bias is None else constant + bias, parts)

    def at(self, scales: Tensor) -> Tensor:
        """Values at points a, shape (n_scales, n_rows, depth)."""
        return self.constant + scales[:, None, None] * self.parts.sum(1)


@dataclass(frozen=True)
class TableStates:
    """Values at points of the path, one leading row per point."""

    scales: Tensor
    inputs: dict[str, Tensor]
    atom_terms: Tensor
    pair_terms: Tensor
    message_terms: Tensor | None

    def extend(self, other: TableStates) -> TableStates:
        """Append points."""
        join = torch.cat
        messages = None
        if self.message_terms is not None and other.message_terms is not None:
            messages = join([self.message_terms, other.message_terms])
        return TableStates(
            join([self.scales, other.scales]),
            {name: join([value, other.inputs[name]]) for name, value in self.inputs.items()},
            join([self.atom_terms, other.atom_terms]),
            join([self.pair_terms, other.pair_terms]),
            messages,
        )


@dataclass(frozen=True)
class TableShares:
    """Shares of the entries in the change of the stem's results between two points, per pair of points."""

    atoms: Tensor
    """Brought by an atom into its own new state; (n, n atom kinds, n atom entries, depth)."""
    pairs: Tensor
    """Brought by a pair into its atoms' new states; (n, n pair kinds, n pair entries, depth)."""
    messages: Tensor | None
    """Brought by a pair into the second module's atoms: entries of the triple's first atom, of its second, of
    the pair itself; (n, n triples, 2 * n atom entries + n pair entries, depth)."""


class Tables:
    """First module on distinct rows."""

    def __init__(
        self,
        network: WeaveNet,
        batch: GraphBatch,
        base: tuple[Tensor, Tensor],
        owner: tuple[Tensor, Tensor],
    ) -> None:
        modules = cast("list[WeaveModule]", list(network.modules_))
        first = self._module = modules[0]
        self._next = modules[1] if len(modules) > 1 else None
        self._act = ACTIVATIONS[network.config.activation]
        self._slope: Slope = SLOPES[network.config.activation]
        self._triples = batch.triples
        atom_step, pair_step = batch.atom_inputs - base[0], batch.pair_inputs - base[1]

        def on_atoms(weight: Tensor, bias: Tensor | None) -> FirstLayer:
            return FirstLayer.of(weight, bias, base[0], atom_step, owner[0])

        def on_pairs(layer: nn.Linear) -> FirstLayer:
            return FirstLayer.of(layer.weight, layer.bias, base[1], pair_step, owner[1])

        self._layers = {"own": on_atoms(first.atom_to_atom.weight, first.atom_to_atom.bias)}
        self._layers["pair"] = on_pairs(first.pair_to_atom)
        if self._next is not None:
            left, right = torch.tensor_split(first.atom_to_pair.weight, 2, dim=1)
            self._layers["left"] = on_atoms(left, first.atom_to_pair.bias)
            self._layers["right"] = on_atoms(right, None)
            self._layers["pair_own"] = on_pairs(first.pair_to_pair)

    def at(self, scales: Tensor) -> TableStates:
        """Values at points a of the path, shape (n,)."""
        inputs = {name: layer.at(scales) for name, layer in self._layers.items()}
        own, others = halves(self._module.atom_out)
        atom_terms = self._act(inputs["own"]) @ own
        pair_terms = self._act(inputs["pair"]) @ others
        if self._next is None:
            return TableStates(scales, inputs, atom_terms, pair_terms, None)
        first, second, pair, _ = self._triples
        left, right = inputs.pop("left"), inputs.pop("right")
        inputs["forth"] = left[:, first] + right[:, second]
        inputs["back"] = left[:, second] + right[:, first]
        both = self._act(inputs["forth"]) + self._act(inputs["back"])
        from_atoms, from_pairs = halves(self._module.pair_out)
        alone = self._act(inputs["pair_own"]) @ from_pairs
        inputs["new_pair"] = both @ from_atoms + alone[:, pair] + self._module.pair_out.bias
        inputs["message"] = self._next.pair_to_atom(self._act(inputs["new_pair"]))
        messages = self._act(inputs["message"]) @ halves(self._next.atom_out)[1]
        return TableStates(scales, inputs, atom_terms, pair_terms, messages)

    def shares(self, states: TableStates, left: Tensor, right: Tensor) -> TableShares:
        """Shares of the entries in the changes from points ``left`` to points ``right`` of ``states``."""
        width = (states.scales[right] - states.scales[left])[:, None, None, None]

        def slope(name: str) -> Tensor:
            value = states.inputs[name]
            return self._slope(value[left], value[right])[:, :, None]

        def change(name: str) -> Tensor:
            return self._layers[name].parts * width

        own, others = halves(self._module.atom_out)
        atoms = (slope("own") * change("own")) @ own
        pairs = (slope("pair") * change("pair")) @ others
        if self._next is None:
            return TableShares(atoms, pairs, None)
        first, second, pair, _ = self._triples
        forth, back = slope("forth"), slope("back")
        from_left, from_right = change("left"), change("right")
        from_atoms, from_pairs = halves(self._module.pair_out)
        of_first = (forth * from_left[:, first] + back * from_right[:, first]) @ from_atoms
        of_second = (back * from_left[:, second] + forth * from_right[:, second]) @ from_atoms
        of_pair = ((slope("pair_own") * change("pair_own")) @ from_pairs)[:, pair]
        new_pair = torch.cat([of_first, of_second, of_pair], dim=2) * slope("new_pair")
        into_message = new_pair @ self._next.pair_to_atom.weight.t() * slope("message")
        return TableShares(atoms, pairs, into_message @ halves(self._next.atom_out)[1])


class TableStem:
    """The stem of some molecules, by tables of distinct rows at every scale that one of them visits."""

    def __init__(
        self,
        network: WeaveNet,
        batch: GraphBatch,
        kinds: Kinds,
        base: tuple[Tensor, Tensor],
        owner: tuple[Tensor, Tensor],
    ) -> None:
        self._kinds = kinds
        self._tables = Tables(network, batch, base, owner)
        self._like = base[0]
        self._step_of: dict[float, int] = {}
        self._states: TableStates | None = None

    def visit(self, points: Points) -> Callable[[slice], Sums]:
        """See `molig.secant.trail.Stem`."""
        new = sorted(set(points.scale.tolist()) - self._step_of.keys())
        if new or self._states is None:
            states = self._tables.at(torch.tensor(new, dtype=torch.float64).to(self._like))
            self._states = states if self._states is None else self._states.extend(states)
            self._step_of |= {scale: len(self._step_of) + i for i, scale in enumerate(new)}
        step, states = self._steps(points), self._states

        def sums(part: slice) -> Sums:
            rows = self._kinds.of_points(points.molecule[part], step[part])
            kind, by_pair, by_triple, start = self._tensors(*rows)
            summed = functional.embedding_bag(by_pair, states.pair_terms.flatten(0, 1), start, mode="sum")
            first = states.atom_terms.flatten(0, 1)[kind] + summed
            if states.message_terms is None:
                return Sums(first, None)
            messages = states.message_terms.flatten(0, 1)
            return Sums(first, functional.embedding_bag(by_triple, messages, start, mode="sum"))

        return sums

    def panels(self, left: Points, right: Points) -> Callable[[slice, Sums], tuple[Tensor, Tensor]]:
        """See `molig.secant.trail.Stem`."""
        if self._states is None:
            raise IndexError("no point was visited yet")
        ends = np.stack([self._steps(left), self._steps(right)])
        steps, step = np.unique(ends, axis=1, return_inverse=True)
        tables = self._tables.shares(self._states, *self._tensors(*steps))
        step = step.ravel()

        def shares(part: slice, gradients: Sums) -> tuple[Tensor, Tensor]:
            rows = self._kinds.of_panels(left.molecule[part], step[part])
            kind, pair, triple, pair_ends, triple_ends = self._tensors(*rows)
            into_first, into_second = gradients
            here = torch.arange(len(into_first), device=kind.device)
            atoms = _products(into_first, here, here, tables.atoms.flatten(0, 1), kind)
            pairs = _products(into_first, pair_ends[0], pair_ends[1], tables.pairs.flatten(0, 1), pair)
            if into_second is None or tables.messages is None:
                return atoms, pairs
            messages = tables.messages.flatten(0, 1)
            found = _products(into_second, pair_ends[0], pair_ends[1], messages, triple)
            n = atoms.shape[1]
            atoms.index_add_(0, triple_ends[0], found[:, :n])
            atoms.index_add_(0, triple_ends[1], found[:, n : 2 * n])
            return atoms, pairs + found[:, 2 * n :]

        return shares

    def _steps(self, points: Points) -> Index:
        return np.array([self._step_of[scale] for scale in points.scale.tolist()], dtype=np.int64)

    def _tensors(self, *arrays: npt.NDArray[np.generic]) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(a)).to(self._like.device) for a in arrays]


def _products(rows: Tensor, first: Tensor, second: Tensor, table: Tensor, which: Tensor) -> Tensor:
    """Sums of two rows (n, depth) times the entries of table[which] (n, entries, depth)."""
    if rows.device.type == "cpu":
        out = rows.new_empty(len(first), table.shape[1])
        dot_sums(*(t.numpy() for t in (rows, first, second, table, which, out)))
        return out
    both = torch.where((first == second)[:, None], rows[first], rows[first] + rows[second])
    return (both[:, None] * table[which]).sum(-1)
