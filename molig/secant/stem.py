"""The part of the network that depends on kinds of atoms and pairs only, not on their surroundings.

With categorical features the first Weave module, and the pairs that it hands to the second one, take few
distinct values at each point of the path. They are computed once per distinct row, and so is the share of
every feature in their change between two points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from molig.network import GraphBatch, WeaveNet
from molig.network.weave import ACTIVATIONS, WeaveModule, halves
from molig.secant.slopes import SLOPES

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
class StemStates:
    """Values at points of the path, one leading row per point."""

    scales: Tensor
    inputs: dict[str, Tensor]
    atom_terms: Tensor
    pair_terms: Tensor
    message_terms: Tensor | None

    def extend(self, other: StemStates) -> StemStates:
        """Append points."""
        join = torch.cat
        messages = None
        if self.message_terms is not None and other.message_terms is not None:
            messages = join([self.message_terms, other.message_terms])
        return StemStates(
            join([self.scales, other.scales]),
            {name: join([value, other.inputs[name]]) for name, value in self.inputs.items()},
            join([self.atom_terms, other.atom_terms]),
            join([self.pair_terms, other.pair_terms]),
            messages,
        )


@dataclass(frozen=True)
class StemShares:
    """Shares of the entries in the change of the stem's results between two points, per pair of points."""

    atoms: Tensor
    """Brought by an atom into its own new state; (n, n atom kinds, n atom entries, depth)."""
    pairs: Tensor
    """Brought by a pair into its atoms' new states; (n, n pair kinds, n pair entries, depth)."""
    messages: Tensor | None
    """Brought by a pair into the second module's atoms: entries of the triple's first atom, of its second, of
    the pair itself; (n, n triples, 2 * n atom entries + n pair entries, depth)."""


class Stem:
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

    def at(self, scales: Tensor) -> StemStates:
        """Values at points a of the path, shape (n,)."""
        inputs = {name: layer.at(scales) for name, layer in self._layers.items()}
        own, others = halves(self._module.atom_out)
        atom_terms = self._act(inputs["own"]) @ own
        pair_terms = self._act(inputs["pair"]) @ others
        if self._next is None:
            return StemStates(scales, inputs, atom_terms, pair_terms, None)
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
        return StemStates(scales, inputs, atom_terms, pair_terms, messages)

    def shares(self, states: StemStates, left: Tensor, right: Tensor) -> StemShares:
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
            return StemShares(atoms, pairs, None)
        first, second, pair, _ = self._triples
        forth, back = slope("forth"), slope("back")
        from_left, from_right = change("left"), change("right")
        from_atoms, from_pairs = halves(self._module.pair_out)
        of_first = (forth * from_left[:, first] + back * from_right[:, first]) @ from_atoms
        of_second = (back * from_left[:, second] + forth * from_right[:, second]) @ from_atoms
        of_pair = ((slope("pair_own") * change("pair_own")) @ from_pairs)[:, pair]
        new_pair = torch.cat([of_first, of_second, of_pair], dim=2) * slope("new_pair")
        into_message = new_pair @ self._next.pair_to_atom.weight.t() * slope("message")
        return StemShares(atoms, pairs, into_message @ halves(self._next.atom_out)[1])
