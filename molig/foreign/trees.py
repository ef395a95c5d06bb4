"""Tree ensembles on fingerprints: their scores, and exact Shapley values against reference molecules.

Shapley values are interventional (Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9): what a molecule and a
reference do not share is taken over column by column, in every order, and the changes of the score are
averaged. Of one tree they have a closed form. A leaf that is reached if a columns are the molecule's and b
the reference's, whatever the others are, gives (a-1)! b! / (a+b)! of its score to each of the a and takes
a! (b-1)! / (a+b)! from each of the b. Up to 64 references go down a tree together, a bit each.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from molig.committee.forest import shapley_part
from molig.compiled import compiled
from molig.errors import ModelFormatError
from molig.foreign.shares import Background, ColumnShares

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Masks = npt.NDArray[np.uint64]

NEVER = 2**31 - 1
"""In the place of a least count that no molecule reaches."""

_LEAF = -1
_TOGETHER = 64
_DENSE_VALUES = 16_000_000  # of molecules whose counts are laid out together


class _Tables(NamedTuple):
    """What compiled functions read of a `TreeEnsemble`."""

    starts: Index
    question: npt.NDArray[np.int32]  # of each node, -1 for a leaf
    column: npt.NDArray[np.int32]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: FloatArray


class TreeEnsemble:
    """Trees that ask how often a molecule has an environment; a score is a constant plus the sum of leaves.

    Parameters
    ----------
    tree_starts : array of int64, shape (n_trees + 1,)
        Where the nodes of each tree begin; the first one is its root.
    column : array of int32, shape (n_nodes,)
        Column that a node asks for; -1 for a leaf.
    least : array of int32, shape (n_nodes,)
        Least count with which a molecule goes right.
    left, right : array of int32, shape (n_nodes,)
        Children of a node, counted from the start of its tree; they stand behind it.
    value : array of float64, shape (n_nodes, n_outputs)
        What a leaf adds to each score.
    base : array of float64, shape (n_outputs,)
        The constants.
    n_columns : int
        Columns of the fingerprint.

    Raises
    ------
    ModelFormatError
        If the nodes do not make trees.
    """

    def __init__(
        self,
        tree_starts: Index,
        column: npt.NDArray[np.int32],
        least: npt.NDArray[np.int32],
        *,
        left: npt.NDArray[np.int32],
        right: npt.NDArray[np.int32],
        value: FloatArray,
        base: FloatArray,
        n_columns: int,
    ) -> None:
        self.tree_starts, self.column, self.least = tree_starts, column, least
        self.left, self.right, self.value, self.base = left, right, value, base
        self.n_columns = n_columns
        self._check()

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.tree_starts) - 1

    def scores(self, counts: csr_matrix) -> FloatArray:
        """Scores of fingerprints, shape (n, n_outputs)."""
        totals = np.tile(self.base, (counts.shape[0], 1))
        step = max(1, _DENSE_VALUES // self.n_columns // _TOGETHER) * _TOGETHER
        for first in range(0, counts.shape[0], step):
            for masks, place in self._masks(counts[first : first + step]):
                rows = totals[first + place.start : first + place.stop]
                _add_leaves(self._tables, masks, rows)
        return totals

    def shares(self, fingerprint: csr_matrix, output: int, background: Background) -> ColumnShares:
        """Shapley values of the columns of one fingerprint, shape (1, n_columns), in one score."""
        ((own, _),) = self._masks(fingerprint)
        batch = background.batch_of_reference
        sizes = np.bincount(batch)
        sums = np.zeros((len(sizes), self.n_columns))
        for masks, place in self._answers(background):
            first, last = int(batch[place.start]), int(batch[place.stop - 1])
            inside = (batch[place] == np.arange(first, last + 1)[:, None]).astype(np.uint64)
            batches = (inside << np.arange(inside.shape[1], dtype=np.uint64)).sum(axis=1, dtype=np.uint64)
            shares = sums[first : last + 1]
            _add_shapley(self._tables, self._trees_of_output[output], output, own, masks, batches, shares)
        per_batch = sums / sizes[:, None]
        start = float(self._starts(background)[output])
        return background.averaged(per_batch, start, float(self.scores(fingerprint)[0, output]))

    @cached_property
    def _tables(self) -> _Tables:
        question = np.full(len(self.column), _LEAF, dtype=np.int32)
        question[self.column >= 0] = self._questions[1]
        return _Tables(
            self.tree_starts, question, self.column, self.left, self.right, np.ascontiguousarray(self.value)
        )

    @cached_property
    def _questions(self) -> tuple[Index, Index]:
        """The different questions that nodes ask, shape (n_questions, 2), and that of each inner node."""
        inner = self.column >= 0
        keys = self.column[inner].astype(np.int64) << 32 | self.least[inner].astype(np.int64)
        distinct, question = np.unique(keys, return_inverse=True)
        return np.stack([distinct >> 32, distinct & 0xFFFFFFFF], axis=1), question

    @cached_property
    def _trees_of_output(self) -> list[Index]:
        """Trees with a say in each score: of several classes, boosting grows trees for each."""
        says = np.logical_or.reduceat(self.value != 0, self.tree_starts[:-1])
        return [np.flatnonzero(column) for column in says.T]

    def _masks(self, counts: csr_matrix) -> Iterator[tuple[Masks, slice]]:
        """Answers to all questions, a bit for each of 64 fingerprints at a time."""
        column, least = self._questions[0].T
        for first in range(0, counts.shape[0], _TOGETHER):
            place = slice(first, min(first + _TOGETHER, counts.shape[0]))
            dense = counts[place].toarray()
            masks = np.zeros(len(column), dtype=np.uint64)
            for bit, row in enumerate(dense):
                masks |= (row[column] >= least).astype(np.uint64) << np.uint64(bit)
            yield masks, place

    def _answers(self, background: Background) -> list[tuple[Masks, slice]]:
        """Answers of reference molecules; those of the last background are kept."""
        if self._answered is None or self._answered[0] is not background:
            self._answered = (background, list(self._masks(background.counts)))
        return self._answered[1]

    def _starts(self, background: Background) -> FloatArray:
        if self._started is None or self._started[0] is not background:
            self._started = (background, self.scores(background.counts).mean(axis=0))
        return self._started[1]

    _answered: tuple[Background, list[tuple[Masks, slice]]] | None = None
    _started: tuple[Background, FloatArray] | None = None

    def _check(self) -> None:
        """Refuse tables that would lead out of a tree, or round in circles."""
        sizes = np.diff(self.tree_starts)
        n_nodes = len(self.column)
        sound = len(sizes) > 0 and (sizes > 0).all() and self.tree_starts[0] == 0
        sound = sound and self.tree_starts[-1] == n_nodes
        sound = sound and all(len(a) == n_nodes for a in (self.least, self.left, self.right, self.value))
        sound = sound and self.value.ndim == 2 and self.value.shape[1] == len(self.base)
        if sound:
            place = np.arange(n_nodes) - np.repeat(self.tree_starts[:-1], sizes)
            size, inner = np.repeat(sizes, sizes), self.column != _LEAF
            first = np.repeat(self.tree_starts[:-1], sizes)[inner]
            children = np.concatenate([first + self.left[inner], first + self.right[inner]])
            sound = bool(
                ((self.column >= _LEAF) & (self.column < self.n_columns)).all()
                and all(((c > place) & (c < size))[inner].all() for c in (self.left, self.right))
                and np.array_equal(np.sort(children), np.setdiff1d(np.arange(n_nodes), self.tree_starts[:-1]))
                and (self.least >= 0).all()
                and np.isfinite(self.value).all()
                and np.isfinite(self.base).all()
            )
        if not sound:
            raise ModelFormatError("the model is damaged: its nodes do not make trees")


@compiled
def _add_leaves(tables: _Tables, masks: Masks, totals: FloatArray) -> None:
    """Add the leaf of every tree that each of up to 64 molecules reaches."""
    everyone = ~np.uint64(0) >> np.uint64(_TOGETHER - len(totals))
    nodes, groups = np.empty(len(tables.column) + 1, np.int64), np.empty(len(tables.column) + 1, np.uint64)
    n_outputs = tables.value.shape[1]
    for tree in range(len(tables.starts) - 1):
        root = tables.starts[tree]
        nodes[0], groups[0], n_waiting = root, everyone, 1
        while n_waiting > 0:
            n_waiting -= 1
            node, group = nodes[n_waiting], groups[n_waiting]
            while tables.question[node] >= 0:
                right = group & masks[tables.question[node]]
                if right == 0:
                    node = root + tables.left[node]
                elif right == group:
                    node = root + tables.right[node]
                else:
                    nodes[n_waiting], groups[n_waiting] = root + tables.right[node], right
                    n_waiting += 1
                    node, group = root + tables.left[node], group & ~right
            for mol in range(len(totals)):
                if group >> np.uint64(mol) & np.uint64(1):
                    for output in range(n_outputs):
                        totals[mol, output] += tables.value[node, output]


@compiled
def _add_shapley(  # noqa: PLR0917 (compiled functions take no keywords)
    tables: _Tables,
    trees: Index,
    output: int,
    own: Masks,
    masks: Masks,
    batches: Masks,
    shares: FloatArray,
) -> None:
    """Add the Shapley values of a molecule's columns, summed over the references of each of a few batches."""
    n_columns = shares.shape[1]
    # What is decided on the way down: each column once at most, the molecule's (1) or the references' (2).
    state, decided = np.zeros(n_columns, np.int8), np.empty(n_columns + 1, np.int64)
    longest = 2 * np.max(tables.starts[1:] - tables.starts[:-1]) + 2
    # Node, number decided on the way to it, and the column that is decided last, as it is for references.
    waiting, groups = np.empty((longest, 3), np.int64), np.empty(longest, np.uint64)
    everyone = np.uint64(0)
    for batch in batches:
        everyone |= batch
    for tree in trees:
        root = tables.starts[tree]
        n_waiting, n_decided, n_own = _wait(waiting, groups, 0, everyone, (root, 0, -1)), 0, 0
        while n_waiting > 0:
            n_waiting -= 1
            node, kept, column = waiting[n_waiting]
            group = groups[n_waiting]
            while n_decided > kept:
                n_decided -= 1
                n_own -= state[decided[n_decided]] == 1
                state[decided[n_decided]] = 0
            if column >= 0:
                decided[n_decided], state[column] = column, 2
                n_decided += 1
            while tables.question[node] >= 0:
                question, column = tables.question[node], tables.column[node]
                left, right = root + tables.left[node], root + tables.right[node]
                to_right = group & masks[question]
                ours, theirs = (right, left) if own[question] else (left, right)
                alike = to_right if own[question] else group & ~to_right
                if state[column] == 1 or (state[column] == 0 and alike == group):
                    node = ours
                elif state[column] == 2:
                    if alike and alike != group:
                        n_waiting = _wait(waiting, groups, n_waiting, alike, (ours, n_decided, -1))
                        group &= ~alike
                        alike = np.uint64(0)
                    node = ours if alike else theirs
                else:
                    # Those that differ go both ways, those that are like the molecule its way, undecided.
                    group &= ~alike
                    n_waiting = _wait(waiting, groups, n_waiting, group, (theirs, n_decided, column))
                    if alike:
                        n_waiting = _wait(waiting, groups, n_waiting, alike, (ours, n_decided, -1))
                    decided[n_decided], state[column] = column, 1
                    n_decided, n_own, node = n_decided + 1, n_own + 1, ours
            _share_leaf(tables.value[node, output], n_own, decided[:n_decided], state, group, batches, shares)
        for i in range(n_decided):
            state[decided[i]] = 0


@compiled
def _wait(waiting: Index, groups: Masks, n: int, group: np.uint64, what: tuple[int, int, int]) -> int:
    """Keep a branch for later; returns the number of those kept."""
    waiting[n, 0], waiting[n, 1], waiting[n, 2] = what
    groups[n] = group
    return n + 1


@compiled
def _share_leaf(  # noqa: PLR0917 (compiled functions take no keywords)
    leaf: float,
    n_own: int,
    decided: Index,
    state: npt.NDArray[np.int8],
    group: np.uint64,
    batches: Masks,
    shares: FloatArray,
) -> None:
    """Credit a leaf to the molecule's columns, and charge it to the references', for those that reach it."""
    n_theirs = len(decided) - n_own
    given = leaf * shapley_part(n_own, n_theirs) if n_own else 0.0
    taken = leaf * shapley_part(n_theirs, n_own) if n_theirs else 0.0
    for batch in range(len(batches)):
        n_here = _ones(group & batches[batch])
        if n_here:
            for column in decided:
                shares[batch, column] += n_here * (given if state[column] == 1 else -taken)


@compiled
def _ones(bits: np.uint64) -> float:
    """How many bits are set."""
    n = 0.0
    while bits:
        bits &= bits - np.uint64(1)
        n += 1
    return n
