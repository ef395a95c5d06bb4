"""Which rows of the stem's tables the atoms, bonds and pairs of many points take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from molig.features import PackedGraphs
from molig.network import GraphBatch

Index = npt.NDArray[np.int64]


class PointRows(NamedTuple):
    """Rows of the atoms of some points, and of the links from each atom to its pairs.

    Parameters
    ----------
    kind : array of int64, shape (n_atoms,)
        Row of each atom in a table (points, atom kinds).
    pair, triple : array of int64, shape (n_links,)
        Row of each link's pair in a table (points, pair kinds) and (points, triples).
    start : array of int64, shape (n_atoms,)
        Where the links of each atom begin.
    """

    kind: Index
    pair: Index
    triple: Index
    start: Index


class PanelRows(NamedTuple):
    """Rows of the atoms and pairs of some panels.

    Parameters
    ----------
    kind : array of int64, shape (n_atoms,)
        Row of each atom in a table (panels, atom kinds).
    pair, triple : array of int64, shape (n_pairs,)
        Row of each pair in a table (panels, pair kinds) and (panels, triples).
    ends : array of int64, shape (2, n_pairs)
        The atoms of each pair.
    triple_ends : array of int64, shape (2, n_pairs)
        The same, in the order of the triple's atoms.
    """

    kind: Index
    pair: Index
    triple: Index
    ends: Index
    triple_ends: Index


@dataclass(frozen=True)
class Kinds:
    """The molecules of a batch, and the distinct rows that their atoms and pairs have.

    Parameters
    ----------
    graphs : PackedGraphs
        The molecules.
    atom, pair, triple : array of int64
        Kind of each atom, kind and triple of each pair.
    incident : array of int64
        Pairs of each atom in turn, numbered through the batch.
    swapped : array of bool, shape (n_pairs,)
        Whether a pair's atoms come in the other order in its triple.
    sizes : tuple of int
        Number of kinds of atoms, kinds of pairs, and triples.
    """

    graphs: PackedGraphs
    atom: Index
    pair: Index
    triple: Index
    incident: Index
    swapped: npt.NDArray[np.bool_]
    sizes: tuple[int, int, int]

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


def ragged(counts: Index, chosen: Index) -> Index:
    """Row numbers of the chosen groups in an array that holds ``counts[g]`` rows of group g."""
    taken = counts[chosen]
    starts = (np.cumsum(counts) - counts)[chosen]
    return np.repeat(starts - (np.cumsum(taken) - taken), taken) + np.arange(int(taken.sum()))
