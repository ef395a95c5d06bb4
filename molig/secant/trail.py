"""Points on the paths of molecules, and the shares of features in the change between two of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.features import PackedGraphs
from molig.network import collate
from molig.secant.readouts import Ends
from molig.secant.rows import Kinds
from molig.secant.weave import SecantNetwork, Stem, StemShares, StemStates, has_bfloat16_units

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


class _Growing:
    """Rows that are appended to, with room for more."""

    def __init__(self, like: Tensor, room: int) -> None:
        self._rows = like.new_empty(room, *like.shape[1:])
        self._n = 0

    @property
    def all(self) -> Tensor:
        return self._rows[: self._n]

    def append(self, rows: Tensor) -> None:
        stop = self._n + len(rows)
        if stop > len(self._rows):
            grown = rows.new_empty(2 * stop, *rows.shape[1:])
            grown[: self._n] = self.all
            self._rows = grown
        self._rows[self._n : stop] = rows
        self._n = stop


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
        batch = collate(graphs, secants.schema, np.ones(len(graphs), dtype=np.float64))
        batch = batch.to(secants.like.device, secants.like.dtype)
        self._kinds = Kinds.of(batch, graphs)
        rows = (base[0].to(secants.like), base[1].to(secants.like))
        self._stem = Stem(secants.network, batch, rows, (secants.owners[0], secants.owners[1]))
        self._budget = _ROWS_CPU if secants.like.device.type == "cpu" else _ROWS_GPU
        self._step_of: dict[float, int] = {}
        self._stem_states: StemStates | None = None
        # Per point: molecule, row of the stem's tables, first row among the atoms of all points.
        self._points = np.zeros((3, 0), dtype=np.int64)
        self._n_rows = 0
        self._atoms: dict[str, _Growing] = {}
        self._head: dict[int, _Growing] = {}

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
        with torch.inference_mode():
            stem, step = self._stem_at(scales)
            counts = self._graphs.atom_counts[molecules]
            found = [
                self._secants.forward(stem, self._kinds.of_points(molecules[part], step[part]), counts[part])
                for part in by_rows(counts, self._budget)
            ]
            for atoms, head in found:
                for name, rows in atoms.items():
                    self._atoms.setdefault(name, _Growing(rows, self._budget)).append(rows)
                for layer, rows in enumerate(head):
                    self._head.setdefault(layer, _Growing(rows, self._budget)).append(rows)
        first = self._n_rows + np.cumsum(counts) - counts
        self._points = np.concatenate([self._points, np.stack([molecules, step, first])], axis=1)
        self._n_rows += int(counts.sum())
        return _array(torch.cat([head[-1] for _, head in found]))

    def share(self, panels: Panels) -> Shares:
        """Share out the change of outputs between two points of the same path among the features."""
        left, right, tasks = panels
        steps, step = np.unique(self._points[1][np.stack([left, right])], axis=1, return_inverse=True)
        counts = self._graphs.atom_counts[self._points[0][left]]
        found = []
        with torch.inference_mode():
            stem = self._stem_shares(steps)
            atom_states = {name: rows.all for name, rows in self._atoms.items()}
            states = atom_states, [rows.all for rows in self._head.values()]
            for part in by_rows(counts, self._budget):
                rows = self._kinds.of_panels(self._points[0][left[part]], step.ravel()[part])
                ends = self._ends(left[part], right[part])
                shares = self._secants.backward(states, ends, tasks[part], stem, rows, fast=self.fast)
                found.append(shares)
        atoms, pairs = zip(*found, strict=True)
        return Shares(_array(torch.cat(atoms)), _array(torch.cat(pairs)))

    def _ends(self, left: Index, right: Index) -> Ends:
        """Distinct panels of some requests, which come together."""
        new = np.append(True, (np.diff(left) != 0) | (np.diff(right) != 0))
        points = left[new], right[new]
        rows = self._points[2]
        counts = self._graphs.atom_counts[self._points[0][points[0]]]
        return Ends(rows[points[0]], rows[points[1]], counts, points, np.cumsum(new) - 1)

    def _stem_at(self, scales: FloatArray) -> tuple[StemStates, Index]:
        """States of the stem at all scales so far, and the rows of the given ones."""
        new = sorted(set(scales.tolist()) - self._step_of.keys())
        if new or self._stem_states is None:
            states = self._stem.at(torch.tensor(new, dtype=torch.float64).to(self._secants.like))
            before = self._stem_states
            self._stem_states = states if before is None else before.extend(states)
            self._step_of |= {scale: len(self._step_of) + i for i, scale in enumerate(new)}
        return self._stem_states, np.array([self._step_of[s] for s in scales.tolist()], dtype=np.int64)

    def _stem_shares(self, steps: Index) -> StemShares:
        if self._stem_states is None:
            raise IndexError("no point was visited yet")
        shares = self._stem.shares(self._stem_states, *self._secants.tensors(steps))
        messages = None if shares.messages is None else shares.messages.flatten(0, 1)
        return StemShares(shares.atoms.flatten(0, 1), shares.pairs.flatten(0, 1), messages)


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
