"""A random forest as a table of nodes, with exact Shapley values against no environments at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import exp, factorial, lgamma
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.committee.vocabulary import Counts, MemberShares, Vocabulary
from molig.compiled import compiled
from molig.errors import ModelFormatError
from molig.features import PackedGraphs

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_LEAF = -1


class _Trees(NamedTuple):
    """Nodes of all trees, end to end; see `Forest`."""

    task_of_tree: Index
    tree_starts: Index
    feature: npt.NDArray[np.int32]
    least: npt.NDArray[np.uint8]
    right: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]


class _Questions(NamedTuple):
    """The different questions that nodes ask, "at least so often?", those about a column together."""

    starts: Index
    """Where the questions about each column begin, shape (n_columns + 1,)."""
    least: npt.NDArray[np.uint8]
    """Ascending for each column, shape (n_questions,)."""
    of_node: npt.NDArray[np.int32]
    """Question of each node, -1 for a leaf, shape (n_nodes,)."""


# Counts above it are taken for it; no tree has asked for more.
_MOST = 255
# Molecules that go down a tree together, a bit each.
_TOGETHER = 64


class Forest:
    """Trees of all tasks; a task's score is the mean of its trees' leaves.

    Parameters
    ----------
    vocabulary : Vocabulary
        The environments, a column each.
    task_of_tree, tree_starts : array of int64, shape (n_trees,) and (n_trees + 1,)
        Task of each tree, and where its nodes begin.
    feature : array of int32, shape (n_nodes,)
        Column that a node asks for; -1 for a leaf.
    least : array of uint8, shape (n_nodes,)
        Least count with which a molecule goes right; the left child is the next node.
    right : array of int32, shape (n_nodes,)
        Right child, counted from the start of the tree.
    value : array of float32, shape (n_nodes,)
        Score of a leaf.
    n_tasks : int
        Number of outputs.
    """

    kind = "forest"

    def __init__(
        self,
        vocabulary: Vocabulary,
        task_of_tree: Index,
        tree_starts: Index,
        *,
        feature: npt.NDArray[np.int32],
        least: npt.NDArray[np.uint8],
        right: npt.NDArray[np.int32],
        value: npt.NDArray[np.float32],
        n_tasks: int,
    ) -> None:
        self.vocabulary, self.n_tasks = vocabulary, n_tasks
        self.task_of_tree, self.tree_starts = task_of_tree, tree_starts
        self.feature, self.least, self.right, self.value = feature, least, right, value
        self._check()

    @classmethod
    def of_trees(cls, vocabulary: Vocabulary, trees: Sequence[Sequence[Any]], values: Sequence[Any]) -> Self:
        """Forest of fitted scikit-learn trees, task by task, and the scores of their nodes likewise."""
        parts, tasks = [], []
        for task, (of_task, scores) in enumerate(zip(trees, values, strict=True)):
            tasks += [task] * len(of_task)
            parts += [(tree, score) for tree, score in zip(of_task, scores, strict=True)]

        def joined(name: str) -> npt.NDArray[Any]:
            return np.concatenate([getattr(tree, name) for tree, _ in parts])

        leaf = joined("children_left") < 0
        return cls(
            vocabulary,
            np.array(tasks, dtype=np.int64),
            np.concatenate([[0], np.cumsum([tree.node_count for tree, _ in parts])]).astype(np.int64),
            feature=np.where(leaf, _LEAF, joined("feature")).astype(np.int32),
            least=np.where(leaf, 0, np.clip(np.floor(joined("threshold")) + 1, 1, _MOST)).astype(np.uint8),
            right=np.where(leaf, 0, joined("children_right")).astype(np.int32),
            value=np.where(leaf, np.concatenate([score for _, score in parts]), 0).astype(np.float32),
            n_tasks=len(trees),
        )

    def outputs(self, graphs: PackedGraphs, factors: npt.ArrayLike | None = None) -> FloatArray:
        """Scores of molecules, shape (n_mols, n_tasks); an occurrence counts by its factor."""
        return self._scores(self.vocabulary.count(graphs, factors))

    def along_path(self, graphs: PackedGraphs, scales: FloatArray) -> FloatArray:
        """Scores where each molecule's counts are multiplied by its scale, shape (n_mols, n_tasks)."""
        counts = self.vocabulary.count(graphs)
        return self._scores(counts._replace(values=counts.values * scales[counts.mol_of_entry]))

    def rates(self, graphs: PackedGraphs, scales: FloatArray, tasks: Index) -> list[FloatArray]:
        """Zero: a forest is flat but for its steps."""
        rows = graphs.environments.row_counts if graphs.environments is not None else [0] * len(graphs)
        return [np.zeros(n) for n in rows]

    def shares(
        self, graphs: PackedGraphs, molecules: Index, tasks: Index, *, probability: bool
    ) -> MemberShares:
        """Shapley values of the molecule's environments, each absent or with its count.

        Of one tree and one baseline they have a closed form: a leaf that is reached if environments A are
        there and B are not, and whatever the others are, gives (a-1)! b! / (a+b)! of its score to each of A
        and takes a! (b-1)! / (a+b)! from each of B (Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9).
        """
        counts = self.vocabulary.count(graphs)
        per_entry, ends = _shapley(self._trees, counts, molecules, tasks, len(self.vocabulary))
        none = np.zeros(0, dtype=np.int64)
        starts = self._scores(
            counts._replace(starts=np.zeros(2, np.int64), columns=none, values=np.zeros(0))
        )[0]
        edges = np.concatenate([[0], np.cumsum(np.diff(counts.starts)[molecules])])
        shares = [
            counts.to_rows(int(molecule), per_entry[edges[path] : edges[path + 1]])
            for path, molecule in enumerate(molecules)
        ]
        return MemberShares(starts[tasks], ends, shares)

    @property
    def size(self) -> int:
        """Trees of all tasks."""
        return len(self.task_of_tree)

    def arrays(self) -> dict[str, Tensor]:
        """Tables by name, for a file, in the smallest types that hold them."""
        tables = {
            "task_of_tree": self.task_of_tree.astype(np.int16),
            "tree_starts": self.tree_starts,
            "feature": _small(self.feature),
            "least": self.least,
            "right": _small(self.right),
            "value": self.value,
        }
        return {name: torch.from_numpy(table) for name, table in tables.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], vocabulary: Vocabulary, n_tasks: int) -> Self:
        """The forest again; ModelFormatError if the tables do not make one."""
        whole = ("task_of_tree", "tree_starts", "feature", "least", "right")
        if any(arrays[name].dim() != 1 for name in (*whole, "value")) or any(
            arrays[name].is_floating_point() for name in whole
        ):
            raise ModelFormatError("the tables of a forest must be lists of whole numbers")
        held = {name: arrays[name].numpy() for name in (*whole, "value")}
        # No number may become another one in the smaller types below.
        largest = dict.fromkeys(whole, 2**31 - 1) | {"least": _MOST}
        for name, most in largest.items():
            least = _LEAF if name == "feature" else 0
            if len(held[name]) and not (held[name].min() >= least and held[name].max() <= most):
                raise ModelFormatError(
                    f"the forest of the model is damaged: {name} must be from {least} to {most}"
                )
        return cls(
            vocabulary,
            held["task_of_tree"].astype(np.int64),
            held["tree_starts"].astype(np.int64),
            feature=held["feature"].astype(np.int32),
            least=held["least"].astype(np.uint8),
            right=held["right"].astype(np.int32),
            value=held["value"].astype(np.float32),
            n_tasks=n_tasks,
        )

    @cached_property
    def _trees(self) -> _Trees:
        tables = _small(self.feature), self.least, _small(self.right), self.value
        return _Trees(self.task_of_tree, self.tree_starts, *tables)

    @cached_property
    def _questions(self) -> _Questions:
        inner = self.feature >= 0
        keys = self.feature[inner].astype(np.int64) * (_MOST + 1) + self.least[inner]
        distinct, question = np.unique(keys, return_inverse=True)
        column, least = np.divmod(distinct, _MOST + 1)
        of_node = np.full(len(inner), _LEAF, dtype=np.int32)
        of_node[inner] = question
        starts = np.searchsorted(column, np.arange(len(self.vocabulary) + 1))
        return _Questions(starts, least.astype(np.uint8), of_node)

    def _scores(self, counts: Counts) -> FloatArray:
        totals = np.zeros((counts.n_mols, self.n_tasks))
        _add_leaves(self._trees, self._questions, counts, totals)
        return totals / np.maximum(np.bincount(self.task_of_tree, minlength=self.n_tasks), 1)

    def _has_one_parent_each(self, inner: npt.NDArray[np.bool_]) -> bool:
        """Whether every node but the roots is the child of one other: more would be no tree, and no end."""
        starts = np.repeat(self.tree_starts[:-1], np.diff(self.tree_starts))
        children = np.concatenate([np.flatnonzero(inner) + 1, (starts + self.right)[inner]])
        others = np.setdiff1d(np.arange(len(inner)), self.tree_starts[:-1])
        return bool(np.array_equal(np.sort(children), others))

    def _check(self) -> None:
        """Refuse tables that would lead out of a tree, or round in circles."""
        sizes = np.diff(self.tree_starts)
        n_nodes = int(self.tree_starts[-1]) if len(self.tree_starts) else 0
        sound = 0 < self.size == len(sizes) and (sizes > 0).all() and self.tree_starts[0] == 0
        sound = sound and all(len(a) == n_nodes for a in (self.feature, self.least, self.right, self.value))
        sound = sound and np.array_equal(np.unique(self.task_of_tree), np.arange(self.n_tasks))
        if sound:
            place = np.arange(n_nodes) - np.repeat(self.tree_starts[:-1], sizes)
            size = np.repeat(sizes, sizes)
            inner = self.feature != _LEAF
            sound = bool(
                ((self.feature >= _LEAF) & (self.feature < len(self.vocabulary))).all()
                and ((self.right > place + 1) & (self.right < size))[inner].all()
                and (self.least[inner] > 0).all()
                and self._has_one_parent_each(inner)
                and np.isfinite(self.value).all()
            )
        if not sound:
            raise ModelFormatError("the forest of the model is damaged: its nodes do not make trees")


def _small(table: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    return table.astype(np.int16) if table.max(initial=0) < 2**15 else table


# Place of the only bit of a number, by the topmost six bits of its product with a de Bruijn sequence.
_SEQUENCE = np.uint64(0x03F79D71B4CB0A89)
_PLACES = np.zeros(_TOGETHER, dtype=np.int64)
_PLACES[[(int(_SEQUENCE) << i) % 2**64 >> 58 for i in range(_TOGETHER)]] = np.arange(_TOGETHER)


@compiled
def _add_leaves(trees: _Trees, questions: _Questions, counts: Counts, totals: FloatArray) -> None:
    """Add the leaf of every tree that each molecule reaches, by task."""
    # Molecules lack nearly all environments, so 64 of them take much the same way down a tree; a node sends
    # right those whose bit is set in the answers to its question.
    n_mols = len(counts.starts) - 1
    answers = np.zeros(len(questions.least), np.uint64)
    nodes, groups = np.empty(len(trees.feature) + 1, np.int64), np.empty(len(trees.feature) + 1, np.uint64)
    for first_mol in range(0, n_mols, _TOGETHER):
        n_here = min(_TOGETHER, n_mols - first_mol)
        for i in range(n_here):
            _answer(questions, counts, first_mol + i, answers, np.uint64(1) << np.uint64(i))
        everyone = ~np.uint64(0) >> np.uint64(_TOGETHER - n_here)
        for tree in range(len(trees.task_of_tree)):
            root, task = trees.tree_starts[tree], trees.task_of_tree[tree]
            nodes[0], groups[0], n_waiting = root, everyone, 1
            while n_waiting > 0:
                n_waiting -= 1
                node, group = nodes[n_waiting], groups[n_waiting]
                while questions.of_node[node] >= 0:
                    right = group & answers[questions.of_node[node]]
                    if right == 0:
                        node += 1
                    elif right == group:
                        node = root + trees.right[node]
                    else:
                        nodes[n_waiting], groups[n_waiting] = root + trees.right[node], right
                        n_waiting += 1
                        node, group = node + 1, group & ~right
                while group:
                    rest = group & (group - np.uint64(1))
                    mol = first_mol + _PLACES[((group ^ rest) * _SEQUENCE) >> np.uint64(58)]
                    totals[mol, task] += trees.value[node]
                    group = rest
        for i in range(n_here):
            _answer(questions, counts, first_mol + i, answers, np.uint64(0))


@compiled
def _answer(
    questions: _Questions, counts: Counts, mol: int, answers: npt.NDArray[np.uint64], bit: np.uint64
) -> None:
    """Set a molecule's bit in the answers to questions about what it has; without a bit, clear them."""
    for entry in range(counts.starts[mol], counts.starts[mol + 1]):
        # Halves round up, see `_add_shapley`.
        count, column = np.ceil(counts.values[entry] - 0.5), counts.columns[entry]
        for question in range(questions.starts[column], questions.starts[column + 1]):
            if bit == 0:
                answers[question] = 0
            elif questions.least[question] <= count:
                answers[question] |= bit


def _shapley(
    trees: _Trees, counts: Counts, molecules: Index, tasks: Index, n_columns: int
) -> tuple[FloatArray, FloatArray]:
    """Shapley values of the entries of each path in turn, and the scores of the molecules."""
    sizes = np.diff(counts.starts)[molecules]
    stops = np.cumsum(sizes)
    values, ends = np.zeros(int(sizes.sum())), np.zeros(len(molecules))
    n_trees = np.bincount(trees.task_of_tree, minlength=int(tasks.max(initial=0)) + 1)
    for path, (molecule, task) in enumerate(zip(molecules.tolist(), tasks.tolist(), strict=True)):
        own = values[stops[path] - sizes[path] : stops[path]]
        entries = counts.entries(molecule)
        ends[path] = _add_shapley(
            trees, task, counts.columns[entries], counts.values[entries], n_columns, own
        )
    per_path = np.maximum(n_trees[tasks], 1)
    return values / np.repeat(per_path, sizes), ends / per_path


@compiled
def _add_shapley(  # noqa: PLR0917 (compiled functions take no keywords)
    trees: _Trees, task: int, columns: Index, counts: FloatArray, n_columns: int, values: FloatArray
) -> float:
    """Add the Shapley values of a molecule's entries in a task's trees; returns the sum of its leaves."""
    count, entry_of = np.zeros(n_columns), np.zeros(n_columns, np.int64)
    for entry in range(len(columns)):
        count[columns[entry]], entry_of[columns[entry]] = counts[entry], entry
    # What is decided on the way down: each of the molecule's features once at most, there (1) or not (2).
    state, decided = np.zeros(n_columns, np.int8), np.empty(len(columns) + 1, np.int64)
    branches = np.empty((len(columns) + 1, 3), np.int64)  # node, number decided, column that is not there
    reached = 0.0
    for tree in range(len(trees.task_of_tree)):
        if trees.task_of_tree[tree] != task:
            continue
        first = trees.tree_starts[tree]
        branches[0, 0], branches[0, 1], branches[0, 2] = first, 0, -1
        n_branches, n_decided, n_there = 1, 0, 0
        while n_branches > 0:
            n_branches -= 1
            node, kept, without = branches[n_branches, 0], branches[n_branches, 1], branches[n_branches, 2]
            while n_decided > kept:
                n_decided -= 1
                n_there -= state[decided[n_decided]] == 1
                state[decided[n_decided]] = 0
            if without >= 0:
                decided[n_decided], state[without] = without, 2
                n_decided += 1
            while trees.feature[node] >= 0:
                column = trees.feature[node]
                if count[column] <= trees.least[node] - 0.5 or state[column] == 2:
                    node += 1
                    continue
                if state[column] == 0:
                    branch = branches[n_branches]
                    branch[0], branch[1], branch[2] = node + 1, n_decided, column
                    decided[n_decided], state[column] = column, 1
                    n_branches, n_decided, n_there = n_branches + 1, n_decided + 1, n_there + 1
                node = first + trees.right[node]
            leaf, n_not = trees.value[node], n_decided - n_there
            reached += leaf if n_not == 0 else 0.0
            _share_leaf(leaf, n_there, n_not, decided, state, entry_of, values)
        for i in range(n_decided):
            state[decided[i]] = 0
    return reached


_TABULATED = 32
_PARTS = np.array(
    [
        [factorial(max(a - 1, 0)) * factorial(b) / factorial(a + b) for b in range(_TABULATED)]
        for a in range(_TABULATED)
    ]
)


@compiled
def _share_leaf(  # noqa: PLR0917 (compiled functions take no keywords)
    leaf: float,
    n_there: int,
    n_not: int,
    decided: Index,
    state: npt.NDArray[np.int8],
    entry_of: Index,
    values: FloatArray,
) -> None:
    """Credit a leaf to the features that must be there, and charge it to those that must not."""
    n = n_there + n_not
    given = leaf * shapley_part(n_there, n_not) if n_there else 0.0
    taken = leaf * shapley_part(n_not, n_there) if n_not else 0.0
    for i in range(n):
        values[entry_of[decided[i]]] += given if state[decided[i]] == 1 else -taken


@compiled
def shapley_part(n_same: int, n_other: int) -> float:
    """(a - 1)! b! / (a + b)!."""
    if n_same < _TABULATED and n_other < _TABULATED:
        return float(_PARTS[n_same, n_other])
    return exp(lgamma(n_same) + lgamma(n_other + 1) - lgamma(n_same + n_other + 1))
