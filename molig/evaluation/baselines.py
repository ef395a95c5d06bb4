"""Simple methods that a screener already has, to be run in the same folds as a network.

Each learns one model per task from Morgan fingerprints, of the molecules with a label in that task only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.special import expit, logit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from molig.errors import UnknownNameError, UsageError
from molig.evaluation.fingerprints import as_bits, as_logs, nearest_similarities

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class Baseline(ABC):
    """A method that learns the tasks one by one; subclasses make features of counts, and rank by them."""

    name: ClassVar[str]  # in recipes and on the command line
    title: ClassVar[str]  # in tables
    probabilities: ClassVar[bool]  # whether scores are probabilities of being active; if not, they only rank

    def fit_predict(
        self,
        fingerprints_train: csr_matrix,
        labels_train: FloatArray,
        fingerprints_test: csr_matrix,
        seed: int,
        *,
        wanted: BoolArray | None = None,
    ) -> FloatArray:
        """Learn every task from one part and score the other; larger is more likely active.

        Fingerprints are counts of environments, shape (n_mols, columns); labels and wanted scores have shape
        (n_mols, n_tasks). By default all scores are wanted. Those that are not, and those of a task with one
        class in training, are NaN.
        """
        _check(fingerprints_train, labels_train, fingerprints_test, wanted)
        train, test = self.columns(fingerprints_train), self.columns(fingerprints_test)
        scores = np.full((test.shape[0], labels_train.shape[1]), np.nan)
        for task, labels in enumerate(labels_train.T):
            known = np.flatnonzero(~np.isnan(labels))
            active = labels[known] == 1
            asked = np.arange(len(scores)) if wanted is None else np.flatnonzero(wanted[:, task])
            if len(asked) and active.any() and not active.all():
                scores[asked, task] = self.rank(train[known], active, test[asked], seed)
        return scores

    @abstractmethod
    def columns(self, counts: csr_matrix) -> csr_matrix:
        """Features that the method learns from, of counts of environments."""

    @abstractmethod
    def rank(self, train: csr_matrix, active: BoolArray, test: csr_matrix, seed: int) -> FloatArray:
        """Learn a task that has both classes; return scores, shape (n_test,)."""


@dataclass(frozen=True)
class RandomForest(Baseline):
    """Random forest on counts (Breiman 2001), balanced by class.

    With very many inactives a task is learned by groups of trees, each from all actives and its own random
    choice of inactives: together the trees see most of them, and the time stays bounded. The defaults were
    chosen on validation parts of Tox21, MUV and AID 1706.
    """

    n_trees: int = 200  # of a task, over all groups
    min_samples_leaf: int = 2
    max_features: str | int | float = 0.05
    max_inactives: int = 20_000  # that one group sees; up to so many there is one group, an ordinary forest
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


@dataclass(frozen=True)
class LogisticModel(Baseline):
    """Logistic regression on the logarithms of counts, balanced by class, with a quadratic penalty."""

    C: float = 0.03
    max_iter: int = 1000

    name: ClassVar[str] = "logistic-regression"
    title: ClassVar[str] = "Logistic regression"
    probabilities: ClassVar[bool] = True

    def columns(self, counts: csr_matrix) -> csr_matrix:
        """Logarithms of one plus the counts."""
        return as_logs(counts)

    def rank(self, train: csr_matrix, active: BoolArray, test: csr_matrix, seed: int) -> FloatArray:
        """Probabilities; nothing is random, the seed has no effect."""
        model = LogisticRegression(C=self.C, class_weight="balanced", max_iter=self.max_iter)
        logits: FloatArray = model.fit(train, active).decision_function(test)
        # Balanced classes are as if half of the molecules were active: back to the share there is.
        scores: FloatArray = expit(logits + logit(active.mean()))
        return scores


@dataclass(frozen=True)
class NearestActive(Baseline):
    """Tanimoto similarity, on bits, to the most similar active of the training part."""

    name: ClassVar[str] = "nearest-active"
    title: ClassVar[str] = "Nearest active"
    probabilities: ClassVar[bool] = False

    def columns(self, counts: csr_matrix) -> csr_matrix:
        """Bits: which environments occur."""
        return as_bits(counts)

    def rank(self, train: csr_matrix, active: BoolArray, test: csr_matrix, seed: int) -> FloatArray:
        """Similarities; nothing is random, the seed has no effect."""
        return nearest_similarities(test, train[np.flatnonzero(active)])


BASELINES = MappingProxyType({method.name: method for method in (RandomForest, LogisticModel, NearestActive)})


def resolve_baselines(names: Iterable[str] | None = None) -> tuple[Baseline, ...]:
    """Baseline methods by name, each once and in the order given; all of them by default."""
    chosen: dict[str, Baseline] = {}
    for name in BASELINES if names is None else names:
        folded = name.strip().lower().replace("_", "-")
        if folded not in BASELINES:
            raise UnknownNameError("baseline", name, BASELINES)
        chosen.setdefault(folded, BASELINES[folded]())
    return tuple(chosen.values())


def _check(train: csr_matrix, labels: FloatArray, test: csr_matrix, wanted: BoolArray | None) -> None:
    if labels.ndim != 2 or labels.shape[0] != train.shape[0]:
        raise UsageError(
            f"expected labels of shape ({train.shape[0]}, n_tasks), one row per training fingerprint "
            f"(got {labels.shape})"
        )
    if train.shape[1] != test.shape[1]:
        raise UsageError(
            f"training fingerprints have {train.shape[1]} columns and test fingerprints {test.shape[1]}; "
            "compute both with the same settings"
        )
    odd = labels[~(np.isnan(labels) | (labels == 0) | (labels == 1))]
    if odd.size:
        raise UsageError(f"baselines learn classes: label {odd[0]:g} is not 0, 1 or NaN")
    if wanted is not None and wanted.shape != (test.shape[0], labels.shape[1]):
        raise UsageError(
            f"expected wanted scores of shape {(test.shape[0], labels.shape[1])} (got {wanted.shape})"
        )


def _shares(total: int, n: int) -> Iterator[int]:
    """Split a number of trees into groups that differ by one at most."""
    for i in range(n):
        yield total * (i + 1) // n - total * i // n
