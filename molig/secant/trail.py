"""Points on the paths of molecules, and the shares of features in the change between two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.features import PackedGraphs
from molig.network import collate
from molig.secant.readouts import Ends
from molig.secant.rows import Growing, Kinds, Points, Sums
from molig.secant.tables import TableStem
from molig.secant.unfolded import UnfoldedStem
from molig.secant.weave import SecantNetwork, has_bfloat16_units

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Atom rows per batch: states of so many rows stay in the processor's cache.
_ROWS_CPU = 4096
_ROWS_GPU = 262_144


class Panels(NamedTuple):
    """Stretches of paths, and the outputs whose change on them is to be shared out.

    Parameters
    ----------
    left, right : array of int, shape (n_requests,)
        Points, numbered in the order of `Trail.visit`; requests for the same stretch come together.
    tasks : array of int, shape (n_requests,)
        Output of the network, for each request.
    """

    left: Index
    right: Index
    tasks: Index


class Shares(NamedTuple):
    """Shares of the features in the change of outputs; they add up to it.

    Parameters
    ----------
    atoms : array of float, shape (n_rows, n atom entries)
        Request by request, the atoms of the molecule.
    pairs : array of float, shape (n_rows, n pair entries)
        The same for pairs.
    """

    atoms: FloatArray
    pairs: FloatArray


class Stem(Protocol):
    """The part of a network that does not depend on the surroundings of atoms and pairs."""

    def visit(self, points: Points) -> Callable[[slice], Sums]:
        """What it brings at new points; call the result for one part of them after the other."""

    def panels(self, left: Points, right: Points) -> Callable[[slice, Sums], tuple[Tensor, Tensor]]:
        """Shares of the entries of atoms and of pairs, from gradients where the stem enters.

        Call the result for some of the requests, whose ends are these points.
        """


class Trail:
    """Points on the straight paths from the baseline to molecules.

    Parameters
    ----------
    secants : SecantNetwork
        The network.
    graphs : PackedGraphs
        The molecules.
    base : tuple of Tensor
        Feature rows of the baseline, for atoms and for pairs.
    fast : bool
        Take the largest product of the backward pass in bfloat16, where the processor has units for it.
        The shares then add up to about 0.1 % of the change.
    """

    def __init__(
        self,
        secants: SecantNetwork,
        graphs: PackedGraphs,
        base: tuple[Tensor, Tensor],
        *,
        fast: bool = False,
    ) -> None:
        self._secants, self._graphs = secants, graphs
        self.fast = fast and secants.like.dtype == torch.float32 and has_bfloat16_units(secants.like.device)
        numeric = bool(graphs.atom_values.shape[1] or graphs.pair_values.shape[1])
        # With numeric columns of pairs alone, collate would still fold the atoms.
        batch = collate(graphs, secants.schema, np.ones(len(graphs), dtype=np.float64), fold=not numeric)
        batch = batch.to(secants.like.device, secants.like.dtype)
        rows = base[0].to(secants.like), base[1].to(secants.like)
        owners = secants.owners[0], secants.owners[1]
        self._stem: Stem
        if numeric:
            self._stem = UnfoldedStem(secants.network, batch, graphs, rows, owners)
        else:
            self._stem = TableStem(secants.network, batch, Kinds.of(batch, graphs), rows, owners)
        self._budget = _ROWS_CPU if secants.like.device.type == "cpu" else _ROWS_GPU
        none = np.zeros(0, dtype=np.int64)
        self._points = Points(none, np.zeros(0), none, none)
        self._n_rows = np.zeros(2, dtype=np.int64)
        self._atoms: dict[str, Growing] = {}
        self._head: dict[int, Growing] = {}

    def visit(self, molecules: Index, scales: FloatArray) -> FloatArray:
        """Evaluate the network at points of paths and remember its states there.

        Parameters
        ----------
        molecules : array of int, shape (n_points,)
            Which molecule; it may come several times.
        scales : array of float, shape (n_points,)
            Where on its path: 0 is the baseline and 1 the molecule.

        Returns
        -------
        array of float, shape (n_points, n_outputs)
        """
        counts = self._graphs.atom_counts[molecules], self._graphs.pair_counts[molecules]
        firsts = [n + np.cumsum(c) - c for n, c in zip(self._n_rows, counts, strict=True)]
        points = Points(molecules, scales, *firsts)
        outputs = []
        with torch.inference_mode():
            sums = self._stem.visit(points)
            for part in by_rows(counts[0], self._budget):
                atoms, head = self._secants.forward(sums(part), counts[0][part])
                for name, rows in atoms.items():
                    self._atoms.setdefault(name, Growing()).append(rows)
                for layer, rows in enumerate(head):
                    self._head.setdefault(layer, Growing()).append(rows)
                outputs.append(head[-1])
        columns = zip(self._points, points, strict=True)
        self._points = Points(*(np.concatenate([old, new]) for old, new in columns))
        self._n_rows += [int(count.sum()) for count in counts]
        return _array(torch.cat(outputs))

    def share(self, panels: Panels) -> Shares:
        """Share out the change of outputs between two points of the same path among the features."""
        left, right, tasks = panels
        counts = self._graphs.atom_counts[self._points.molecule[left]]
        found = []
        with torch.inference_mode():
            shares = self._stem.panels(self._points.take(left), self._points.take(right))
            atom_states = {name: rows.all for name, rows in self._atoms.items()}
            states = atom_states, [rows.all for rows in self._head.values()]
            for part in by_rows(counts, self._budget):
                ends = self._ends(left[part], right[part])
                gradients = self._secants.backward(states, ends, tasks[part], fast=self.fast)
                found.append(shares(part, gradients))
        atoms, pairs = zip(*found, strict=True)
        return Shares(_array(torch.cat(atoms)), _array(torch.cat(pairs)))

    def _ends(self, left: Index, right: Index) -> Ends:
        """Distinct panels of some requests, which come together."""
        new = np.append(True, (np.diff(left) != 0) | (np.diff(right) != 0))
        points = left[new], right[new]
        rows = self._points.atom
        counts = self._graphs.atom_counts[self._points.molecule[points[0]]]
        return Ends(rows[points[0]], rows[points[1]], counts, points, np.cumsum(new) - 1)


def by_rows(counts: Index, budget: int) -> Iterator[slice]:
    """Cut consecutive groups of rows into batches of a bounded number of rows; a group is never cut."""
    start = rows = 0
    for i, count in enumerate(counts.tolist()):
        if i > start and rows + count > budget:
            yield slice(start, i)
            start, rows = i, 0
        rows += count
    yield slice(start, len(counts))


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.double().cpu().numpy(), dtype=np.float64)
