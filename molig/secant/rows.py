"""Points of paths, and which rows of the stem their atoms, bonds and pairs take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from molig.features import PackedGraphs
from molig.features.environments import ragged
from molig.network import GraphBatch

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


class Points(NamedTuple):
    """Points on the paths of molecules; those of a trail lie end to end."""

    molecule: Index
    scale: FloatArray  # 0 is the baseline and 1 the molecule
    atom: Index  # first row among the atoms of all points
    pair: Index  # first row among the pairs of all points

    def take(self, which: Index) -> Points:
        """The points of the given numbers."""
        return Points(self.molecule[which], self.scale[which], self.atom[which], self.pair[which])


class Sums(NamedTuple):
    """What the stem brings into the new states of atoms, or a gradient there; shape (n_atoms, depth)."""

    first: Tensor  # of the first module
    second: Tensor | None  # of the second one, if there is one


class Growing:
    """Rows that are appended to, with room for more."""

    def __init__(self) -> None:
        self._rows: Tensor | None = None
        self._n = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._n

    @property
    def all(self) -> Tensor:
        """The rows so far."""
        if self._rows is None:
            raise IndexError("no point was visited yet")
        return self._rows[: self._n]

    def append(self, rows: Tensor) -> None:
        """Add rows at the end."""
        stop = self._n + len(rows)
        if self._rows is None or stop > len(self._rows):
            grown = rows.new_empty(2 * stop, *rows.shape[1:])
            if self._rows is not None:
                grown[: self._n] = self.all
            self._rows = grown
        self._rows[self._n : stop] = rows
        self._n = stop


class PointRows(NamedTuple):
    """Rows of the atoms of some points, and of the links from each atom to its pairs."""

    kind: Index  # (n_atoms,), row in a table (points, atom kinds)
    pair: Index  # (n_links,), row in a table (points, pair kinds)
    triple: Index  # (n_links,), row in a table (points, triples)
    start: Index  # (n_atoms,), where the links of each atom begin


class PanelRows(NamedTuple):
    """Rows of the atoms and pairs of some panels."""

    kind: Index  # (n_atoms,), row in a table (panels, atom kinds)
    pair: Index  # (n_pairs,), row in a table (panels, pair kinds)
    triple: Index  # (n_pairs,), row in a table (panels, triples)
    ends: Index  # (2, n_pairs), the atoms of each pair
    triple_ends: Index  # (2, n_pairs), the same in the order of the triple's atoms


@dataclass(frozen=True)
class Kinds:
    """The molecules of a batch, and the distinct rows that their atoms and pairs have."""

    graphs: PackedGraphs
    atom: Index
    pair: Index
    triple: Index
    incident: Index  # pairs of each atom in turn, numbered through the batch
    swapped: npt.NDArray[np.bool_]  # whether a pair's atoms come in the other order in its triple
    sizes: tuple[int, int, int]  # kinds of atoms, kinds of pairs, triples

    @classmethod
    def of(cls, batch: GraphBatch, graphs: PackedGraphs) -> Kinds:
        """Take them from a collated batch."""
        atom, triple = batch.atom_kind.cpu().numpy(), batch.triples.of_pair.cpu().numpy()
        left = atom[batch.pair_atoms[0].cpu().numpy()]
        sizes = len(batch.atom_inputs), len(batch.pair_inputs), len(batch.triples.first)
        return cls(
            graphs,
            atom,
            batch.pair_kind.cpu().numpy(),
            triple,
            batch.incident.cpu().numpy(),
            left != batch.triples.first.cpu().numpy()[triple],
            sizes,
        )

    def of_points(self, molecules: Index, step: Index) -> PointRows:
        """Rows of points: a molecule and a row of the tables each."""
        graphs = self.graphs
        links = self.incident[ragged(2 * graphs.pair_counts, molecules)]
        atoms = ragged(graphs.atom_counts, molecules)
        link_step = np.repeat(step, 2 * graphs.pair_counts[molecules])
        degrees = graphs.degrees[atoms]
        return PointRows(
            np.repeat(step, graphs.atom_counts[molecules]) * self.sizes[0] + self.atom[atoms],
            link_step * self.sizes[1] + self.pair[links],
            link_step * self.sizes[2] + self.triple[links],
            np.cumsum(degrees) - degrees,
        )

    def of_panels(self, molecules: Index, step: Index) -> PanelRows:
        """Rows of requests: a molecule and a row of the tables each."""
        graphs = self.graphs
        atoms, pairs = ragged(graphs.atom_counts, molecules), ragged(graphs.pair_counts, molecules)
        counts, n_pairs = graphs.atom_counts[molecules], graphs.pair_counts[molecules]
        pair_step = np.repeat(step, n_pairs)
        ends = (graphs.pair_atoms[pairs] + np.repeat(np.cumsum(counts) - counts, n_pairs)[:, None]).T
        return PanelRows(
            np.repeat(step, counts) * self.sizes[0] + self.atom[atoms],
            pair_step * self.sizes[1] + self.pair[pairs],
            pair_step * self.sizes[2] + self.triple[pairs],
            np.ascontiguousarray(ends),
            np.where(self.swapped[pairs], ends[::-1], ends),
        )
