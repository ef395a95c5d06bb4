"""The stem atom by atom and pair by pair, for features of which some are numbers.

A partial charge makes nearly every atom a row of its own, so tables of distinct rows (`molig.secant.tables`)
save nothing. And they cost much: they carry the share of every entry forward through the layers of the stem,
31 entries of a pair with all features. Here a gradient goes backward, one row for each atom and pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from molig.features import PackedGraphs
from molig.features.environments import ragged
from molig.network import GraphBatch, WeaveNet
from molig.network.weave import ACTIVATIONS, WeaveModule, halves
from molig.secant.rows import Growing, Points, Sums
from molig.secant.slopes import Line, add_at_ends, line_pull_back, pull_back, sum_of_ends

Index = npt.NDArray[np.int64]


class _Rows(NamedTuple):
    """Atoms and pairs of some points or panels."""

    atom: Tensor  # (n_atoms,), row of the molecules' atoms
    pair: Tensor  # (n_pairs,), row of the molecules' pairs
    ends: Tensor  # (2, n_pairs), the atoms of each pair, numbered through the points


class UnfoldedStem:
    """The stem of some molecules at the points of a trail."""

    def __init__(
        self,
        network: WeaveNet,
        batch: GraphBatch,
        graphs: PackedGraphs,
        base: tuple[Tensor, Tensor],
        owner: tuple[Tensor, Tensor],
    ) -> None:
        self._graphs, self._owner, self._like = graphs, owner, base[0]
        self._activation = network.config.activation
        self._act = ACTIVATIONS[self._activation]
        modules = cast("list[WeaveModule]", list(network.modules_))
        first = self._first = modules[0]
        self._second = modules[1] if len(modules) > 1 else None
        self._steps = batch.atom_inputs - base[0], batch.pair_inputs - base[1]
        atom_step, pair_step = self._steps
        self._own = Line.of(first.atom_to_atom.weight, first.atom_to_atom.bias, base[0], atom_step)
        self._pair = Line.of(first.pair_to_atom.weight, first.pair_to_atom.bias, base[1], pair_step)
        if self._second is not None:
            weights = torch.tensor_split(first.atom_to_pair.weight, 2, dim=1)
            left = Line.of(weights[0], first.atom_to_pair.bias, base[0], atom_step)
            right = Line.of(weights[1], None, base[0], atom_step)
            self._forth = Line.of_pairs(left, right, batch.pair_atoms[0], batch.pair_atoms[1])
            self._back = Line.of_pairs(left, right, batch.pair_atoms[1], batch.pair_atoms[0])
            self._pair_own = Line.of(first.pair_to_pair.weight, first.pair_to_pair.bias, base[1], pair_step)
        # Of the pairs of all points: inputs of the activations that are no straight lines.
        self._new_pair, self._message = Growing(), Growing()

    def visit(self, points: Points) -> Callable[[slice], Sums]:
        """See `molig.secant.trail.Stem`."""

        def sums(part: slice) -> Sums:
            molecules, scales = points.molecule[part], points.scale[part]
            rows = self._rows(molecules)
            atom_scale, pair_scale = self._scales(molecules, scales)
            links, start = self._links(molecules)

            def summed(pairs: Tensor) -> Tensor:
                return functional.embedding_bag(links, pairs, start, mode="sum")

            own, others = halves(self._first.atom_out)
            from_pairs = summed(self._act(self._pair.at(rows.pair, pair_scale)))
            first = self._act(self._own.at(rows.atom, atom_scale)) @ own + from_pairs @ others
            if self._second is None:
                return Sums(first, None)
            messages = summed(self._act(self._messages(rows.pair, pair_scale)))
            return Sums(first, messages @ halves(self._second.atom_out)[1])

        return sums

    def panels(self, left: Points, right: Points) -> Callable[[slice, Sums], tuple[Tensor, Tensor]]:
        """See `molig.secant.trail.Stem`."""

        def shares(part: slice, gradients: Sums) -> tuple[Tensor, Tensor]:
            molecules = left.molecule[part]
            rows = self._rows(molecules)
            from_left, from_right = (self._scales(molecules, p.scale[part]) for p in (left, right))
            atom_ends, pair_ends = zip(from_left, from_right, strict=True)
            own, others = halves(self._first.atom_out)
            into_own = line_pull_back(
                self._activation, gradients.first @ own.t(), self._own, rows.atom, atom_ends
            )
            into_pair = sum_of_ends(gradients.first @ others.t(), rows.ends)
            into_pair = line_pull_back(self._activation, into_pair, self._pair, rows.pair, pair_ends)
            atoms = into_own @ self._first.atom_to_atom.weight
            pairs = into_pair @ self._first.pair_to_atom.weight
            if gradients.second is not None:
                n_pairs = self._graphs.pair_counts[molecules]
                points = [_runs(p.pair[part], n_pairs).to(rows.pair.device) for p in (left, right)]
                more = self._behind_messages(gradients.second, rows, (points[0], points[1]), pair_ends)
                atoms, pairs = atoms + more[0], pairs + more[1]
            found = []
            for gradient, step, row, (start, stop), owner in zip(
                (atoms, pairs), self._steps, rows[:2], (atom_ends, pair_ends), self._owner, strict=True
            ):
                found.append((gradient * step[row]) @ owner * (stop - start)[:, None])
            return found[0], found[1]

        return shares

    def _messages(self, pairs: Tensor, scales: Tensor) -> Tensor:
        """Inputs of the activation of the second module's messages; they are remembered."""
        module, second = self._first, cast("WeaveModule", self._second)
        both = self._act(self._forth.at(pairs, scales)) + self._act(self._back.at(pairs, scales))
        from_atoms, from_pairs = halves(module.pair_out)
        new_pair = both @ from_atoms + module.pair_out.bias
        new_pair += self._act(self._pair_own.at(pairs, scales)) @ from_pairs
        message: Tensor = second.pair_to_atom(self._act(new_pair))
        self._new_pair.append(new_pair)
        self._message.append(message)
        return message

    def _behind_messages(
        self,
        into_second: Tensor,
        rows: _Rows,
        points: tuple[Tensor, Tensor],
        scales: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Gradients of the columns of atoms and pairs, from what the second module's atoms get of pairs."""
        module, second = self._first, cast("WeaveModule", self._second)
        act = self._activation
        gradient = sum_of_ends(into_second @ halves(second.atom_out)[1].t(), rows.ends)
        gradient = pull_back(act, gradient, self._message.all, *points) @ second.pair_to_atom.weight
        gradient = pull_back(act, gradient, self._new_pair.all, *points)
        from_atoms, from_pairs = halves(module.pair_out)
        into_own = line_pull_back(act, gradient @ from_pairs.t(), self._pair_own, rows.pair, scales)
        gradient = gradient @ from_atoms.t()
        forth = line_pull_back(act, gradient.clone(), self._forth, rows.pair, scales)
        back = line_pull_back(act, gradient, self._back, rows.pair, scales)
        left = add_at_ends(forth, back, rows.ends, len(rows.atom))
        right = add_at_ends(back, forth, rows.ends, len(rows.atom))
        weights = torch.tensor_split(module.atom_to_pair.weight, 2, dim=1)
        return left @ weights[0] + right @ weights[1], into_own @ module.pair_to_pair.weight

    def _rows(self, molecules: Index) -> _Rows:
        graphs = self._graphs
        atoms, pairs = ragged(graphs.atom_counts, molecules), ragged(graphs.pair_counts, molecules)
        counts = graphs.atom_counts[molecules]
        first_atom = np.repeat(np.cumsum(counts) - counts, graphs.pair_counts[molecules])
        ends = (graphs.pair_atoms[pairs] + first_atom[:, None]).T
        return _Rows(*(self._tensor(array) for array in (atoms, pairs, ends)))

    def _links(self, molecules: Index) -> tuple[Tensor, Tensor]:
        """The pairs of each atom in turn, numbered through the points, and where those of an atom begin."""
        graphs = self._graphs
        n_pairs = graphs.pair_counts[molecules]
        links = graphs.incident[ragged(2 * graphs.pair_counts, molecules)]
        degrees = graphs.degrees[ragged(graphs.atom_counts, molecules)]
        links = links + np.repeat(np.cumsum(n_pairs) - n_pairs, 2 * n_pairs)
        return self._tensor(links), self._tensor(np.cumsum(degrees) - degrees)

    def _scales(self, molecules: Index, scales: npt.NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """The scale of each atom and of each pair."""
        counts = self._graphs.atom_counts[molecules], self._graphs.pair_counts[molecules]
        atom, pair = (self._tensor(np.repeat(scales, count)).to(self._like) for count in counts)
        return atom, pair

    def _tensor(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._like.device)


def _runs(starts: Index, counts: Index) -> Tensor:
    """Runs of rows from the given starts, end to end."""
    shift = np.repeat(starts - (np.cumsum(counts) - counts), counts)
    return torch.from_numpy(shift + np.arange(int(counts.sum())))
