"""A Weave network that can be followed along paths from baselines to molecules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from molig.errors import UsageError
from molig.features import FeatureSchema
from molig.network import GraphBatch, WeaveNet
from molig.network.weave import ACTIVATIONS, WeaveModule, halves
from molig.secant.head import SecantHead
from molig.secant.readouts import Ends, readout_of, request_rows
from molig.secant.rows import PanelRows, PointRows
from molig.secant.slopes import SLOPES, dot_sums, pull_back

# The part of the network that depends on kinds of atoms and pairs only, not on their surroundings.
#
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


MAX_MODULES = 2


class SecantNetwork:
    """The network behind the stem, evaluated at points and pulled back over panels.

    Parameters
    ----------
    network : WeaveNet
        A network of one or two modules, in evaluation mode.
    schema : FeatureSchema
        Its features.

    Raises
    ------
    UsageError
        For a deeper network: its pairs of later modules depend on their surroundings.
    """

    def __init__(self, network: WeaveNet, schema: FeatureSchema) -> None:
        if network.config.n_modules > MAX_MODULES:
            raise UsageError(
                f"secant slopes are for at most {MAX_MODULES} Weave modules (got {network.config.n_modules})"
            )
        self.network, self.schema = network, schema
        self.like = network.last_atom_layer.weight
        self.owners = tuple(entry_matrix(schema, level).to(self.like) for level in ("atom", "pair"))
        self._activation = network.config.activation
        self._act = ACTIVATIONS[self._activation]
        self._readout = readout_of(network)
        self._head = SecantHead(network)

    def tensors(self, arrays: Iterable[npt.NDArray[np.generic]]) -> list[Tensor]:
        """Arrays on the network's device."""
        return [torch.from_numpy(np.ascontiguousarray(a)).to(self.like.device) for a in arrays]

    def forward(
        self, stem: StemStates, rows: PointRows, counts: npt.NDArray[np.int64]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """States at points: of the atoms, by name, and of the readout and the head, outputs last.

        Parameters
        ----------
        stem : StemStates
            The stem at the scales of the points.
        rows : PointRows
            Rows of the stem that atoms and links take.
        counts : array of int64, shape (n_points,)
            Atoms of each point.
        """
        kind, by_pair, by_triple, start = self.tensors(rows)
        first = self._module(0)
        summed = functional.embedding_bag(by_pair, stem.pair_terms.flatten(0, 1), start, mode="sum")
        states = {"new_1": stem.atom_terms.flatten(0, 1)[kind] + summed + first.atom_out.bias}
        hidden = self._act(states["new_1"])
        if stem.message_terms is not None:
            second = self._module(1)
            messages = stem.message_terms.flatten(0, 1)
            summed = functional.embedding_bag(by_triple, messages, start, mode="sum")
            states["own_2"] = second.atom_to_atom(hidden)
            own = self._act(states["own_2"]) @ halves(second.atom_out)[0]
            states["new_2"] = own + summed + second.atom_out.bias
            hidden = self._act(states["new_2"])
        kept, pooled = self._readout.forward(self.network.last_atom_layer(hidden), counts)
        remembered = pooled if self._readout.needs_result else pooled[:, :0]
        return states | kept, [remembered, *self._head.forward(self._sized(pooled, counts))]

    def backward(
        self,
        states: tuple[dict[str, Tensor], list[Tensor]],
        ends: Ends,
        tasks: npt.NDArray[np.int64],
        stem: StemShares,
        rows: PanelRows,
        *,
        fast: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Shares of the entries of atoms and pairs, request by request.

        Parameters
        ----------
        states : tuple
            From `forward`, for all points.
        ends : Ends
            The panels.
        tasks : array of int64, shape (n_requests,)
            Outputs.
        stem : StemShares
            Shares of the entries in the change of the stem, tables flattened.
        rows : PanelRows
            Rows of these tables, request by request.
        fast : bool
            Whether the largest product may be in bfloat16.
        """
        atoms, head = states
        left, right = self.tensors(request_rows(ends)[:2])
        start, stop, outputs = self.tensors((*(point[ends.panel] for point in ends.points), tasks))
        gradient = self._head.pull_back(head[1:], (start, stop), outputs, fast=fast)
        gradient = self._sized(gradient, ends.counts[ends.panel])
        gradient = self._readout.pull_back(gradient, atoms, head[0], ends)
        gradient = gradient @ self.network.last_atom_layer.weight
        into_second = None
        if stem.messages is not None:
            second = self._module(1)
            into_second = pull_back(self._activation, gradient, atoms["new_2"], left, right)
            gradient = into_second @ halves(second.atom_out)[0].t()
            gradient = pull_back(self._activation, gradient, atoms["own_2"], left, right)
            gradient = gradient @ second.atom_to_atom.weight
        into_first = pull_back(self._activation, gradient, atoms["new_1"], left, right)
        return self._contract(into_first, into_second, stem, rows)

    def _sized(self, rows: Tensor, counts: npt.NDArray[np.int64]) -> Tensor:
        """Rows times the readout's factor for molecules of that many atoms, a constant along their paths."""
        readout = self.network.readout
        if not readout.size_exponent:
            return rows
        return rows * readout.size_factor(self.tensors([counts])[0], rows)

    def _contract(
        self, into_first: Tensor, into_second: Tensor | None, stem: StemShares, rows: PanelRows
    ) -> tuple[Tensor, Tensor]:
        """Gradients at the places where the stem enters, times the shares of the entries there."""
        kind, pair, triple, ends, triple_ends = self.tensors(rows)
        here = torch.arange(len(into_first), device=kind.device)
        atom_shares = _products(into_first, here, here, stem.atoms, kind)
        pair_shares = _products(into_first, ends[0], ends[1], stem.pairs, pair)
        if into_second is None or stem.messages is None:
            return atom_shares, pair_shares
        found = _products(into_second, ends[0], ends[1], stem.messages, triple)
        n = atom_shares.shape[1]
        atom_shares.index_add_(0, triple_ends[0], found[:, :n])
        atom_shares.index_add_(0, triple_ends[1], found[:, n : 2 * n])
        return atom_shares, pair_shares + found[:, 2 * n :]

    def _module(self, index: int) -> WeaveModule:
        return cast("WeaveModule", self.network.modules_[index])


def has_bfloat16_units(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in single precision there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and capabilities.get("amx_bf16", False) is True


def entry_matrix(schema: FeatureSchema, level: str) -> Tensor:
    """0/1 matrix (n columns, n entries): a categorical block is one entry, a numeric column is one."""
    owner: list[int] = []
    for place in schema.places(level):
        entries = range(place.entries.start, place.entries.stop)
        owner += entries if not place.is_categorical else [entries.start] * place.block.width
    return functional.one_hot(torch.tensor(owner)).to(torch.float64)


def _products(rows: Tensor, first: Tensor, second: Tensor, table: Tensor, which: Tensor) -> Tensor:
    """Sums of two rows (n, depth) times the entries of table[which] (n, entries, depth)."""
    if rows.device.type == "cpu":
        out = rows.new_empty(len(first), table.shape[1])
        dot_sums(*(t.numpy() for t in (rows, first, second, table, which, out)))
        return out
    both = torch.where((first == second)[:, None], rows[first], rows[first] + rows[second])
    return (both[:, None] * table[which]).sum(-1)
