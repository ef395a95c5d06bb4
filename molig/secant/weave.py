"""A Weave network that can be followed along paths from baselines to molecules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from molig.errors import UsageError
from molig.features import FeatureSchema
from molig.network import WeaveNet
from molig.network.weave import ACTIVATIONS, WeaveModule, halves
from molig.secant.head import SecantHead
from molig.secant.readouts import Ends, readout_of, request_rows
from molig.secant.rows import PanelRows, PointRows
from molig.secant.slopes import dot_sums, pull_back
from molig.secant.stem import StemShares, StemStates

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
