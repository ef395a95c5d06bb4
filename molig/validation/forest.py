"""A random forest that stays affordable where inactives are very many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.ensemble import RandomForestClassifier

from molig.errors import UsageError
from molig.validation.by_task import BoolArray, FloatArray, TaskByTask


@dataclass(frozen=True)
class RandomForest(TaskByTask):
    """Random forest on counts (Breiman 2001), balanced by class.

    Tasks with very many inactives are learned by groups of trees, each from all actives and its own random
    choice of inactives: together the trees see most of them, and the time stays bounded. The defaults were
    chosen on validation parts of Tox21, MUV and AID 1706.

    Parameters
    ----------
    n_trees : int
        Trees of a task, over all groups.
    min_samples_leaf : int
        Least number of molecules in a leaf.
    max_features : str, int or float
        Columns tried at a split, as scikit-learn's ``max_features``.
    max_inactives : int
        Inactives that one group of trees sees; up to so many there is one group, an ordinary forest.
    n_groups : int
        Groups of trees, where there are more inactives.
    n_jobs : int
        Cores.

    Examples
    --------
    >>> counts = csr_matrix(np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 1, 1]])
    >>> labels = np.array([[0.0], [0], [0], [1], [1], [1]])
    >>> RandomForest(n_trees=50).fit_predict(counts, labels, counts[2:4], seed=0).ravel().round().tolist()
    [0.0, 1.0]
    """

    n_trees: int = 200
    min_samples_leaf: int = 2
    max_features: str | int | float = 0.05
    max_inactives: int = 20_000
    n_groups: int = 10
    n_jobs: int = 1

    name: ClassVar[str] = "random-forest"
    title: ClassVar[str] = "Random forest"
    probabilities: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a forest that cannot be grown."""
        for field in ("n_trees", "max_inactives", "n_groups", "n_jobs"):
            if getattr(self, field) < 1:
                raise UsageError(f"random forest: {field} = {getattr(self, field)} must be 1 or more")

    def columns(self, counts: csr_matrix) -> csr_matrix:
        """Counts as they are."""
        return counts

    def rank(self, train: csr_matrix, active: BoolArray, test: csr_matrix, seed: int) -> FloatArray:
        """Mean over trees of the share of actives in the leaf."""
        random = np.random.default_rng(seed)
        n_inactives = int((~active).sum())
        kept = min(1.0, self.max_inactives / n_inactives)
        groups = _shares(self.n_trees, min(self.n_groups, self.n_trees) if kept < 1 else 1)
        total = np.zeros(test.shape[0])
        for trees in groups:
            rows = self._drawn(active, random) if kept < 1 else np.arange(len(active))
            forest = self._forest(trees, int(random.integers(2**31)))
            total += trees * forest.fit(train[rows].tocsc(), active[rows]).predict_proba(test)[:, 1]
        scores = total / self.n_trees
        # Odds among the drawn inactives, back to odds among all (no change to the order).
        return kept * scores / (1 - (1 - kept) * scores)

    def _drawn(self, active: BoolArray, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Rows of all actives and of some inactives."""
        inactives = random.choice(np.flatnonzero(~active), self.max_inactives, replace=False)
        return np.sort(np.concatenate([np.flatnonzero(active), inactives]))

    def _forest(self, n_trees: int, seed: int) -> RandomForestClassifier:
        return RandomForestClassifier(
            n_estimators=n_trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            class_weight="balanced_subsample",
            n_jobs=self.n_jobs,
            random_state=seed,
        )


def _shares(total: int, n: int) -> Iterator[int]:
    """Split a number of trees into groups that differ by one at most."""
    for i in range(n):
        yield total * (i + 1) // n - total * i // n
