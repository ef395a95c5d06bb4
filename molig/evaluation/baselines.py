"""Simple methods that a screener already has, to be run in the same folds as a network.

Each learns one model per task from Morgan fingerprints, one of them from descriptors, too, of the molecules
with a label in that task only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.special import expit, logit
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge

from molig.errors import UnknownNameError, UsageError
from molig.evaluation.fingerprints import Described, as_bits, as_logs, mean_of_nearest, nearest_similarities
from molig.model import Objective

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.int64]

ALL = "all"
"""Stands for every baseline of the objective."""


class Baseline(ABC):
    """A method that learns the tasks one by one."""

    name: ClassVar[str]  # in recipes and on the command line
    title: ClassVar[str]  # in tables
    objective: ClassVar[Objective] = Objective.CLASSIFICATION
    # Whether scores are probabilities of being active; if not, they only rank, or are values.
    probabilities: ClassVar[bool] = False
    uses_descriptors: ClassVar[bool] = False

    def fit_predict(
        self,
        train: Described,
        labels: FloatArray,
        test: Described,
        seed: int,
        *,
        wanted: BoolArray | None = None,
    ) -> FloatArray:
        """Learn every task from one part and score the other; larger is more likely active, or the value.

        Labels and wanted scores have shape (n_mols, n_tasks). By default all scores are wanted. Those that
        are not, and those of a task with one class or one value in training, are NaN.
        """
        self._check(train, labels, test, wanted)
        scores = np.full((len(test), labels.shape[1]), np.nan)
        seen, new = self.columns(train), self.columns(test)
        for task, of_task in enumerate(labels.T):
            known = np.flatnonzero(~np.isnan(of_task))
            asked = np.arange(len(scores)) if wanted is None else np.flatnonzero(wanted[:, task])
            if len(asked) and len(known) and of_task[known].min() < of_task[known].max():
                scores[asked, task] = self.learn(seen[known], of_task[known], new[asked], seed)
        return scores

    def columns(self, molecules: Described) -> Any:
        """What the method learns from, by molecule; counts as they are if it says nothing else."""
        return molecules.counts

    @abstractmethod
    def learn(self, train: Any, labels: FloatArray, test: Any, seed: int) -> FloatArray:
        """Learn a task whose labels vary, all of them known; return scores, shape (n_test,)."""

    def _check(self, train: Described, labels: FloatArray, test: Described, wanted: BoolArray | None) -> None:
        if labels.ndim != 2 or labels.shape[0] != len(train):
            raise UsageError(
                f"expected labels of shape ({len(train)}, n_tasks), one row per training molecule "
                f"(got {labels.shape})"
            )
        if train.counts.shape[1] != test.counts.shape[1]:
            raise UsageError(
                f"training fingerprints have {train.counts.shape[1]} columns and test fingerprints "
                f"{test.counts.shape[1]}; compute both with the same settings"
            )
        if self.uses_descriptors and (train.descriptors is None or test.descriptors is None):
            raise UsageError(f"{self.name} learns from descriptors, too: compute them for both parts")
        odd = labels[~(np.isnan(labels) | (labels == 0) | (labels == 1))]
        if odd.size and self.objective is Objective.CLASSIFICATION:
            raise UsageError(f"{self.name} learns classes: label {odd[0]:g} is not 0, 1 or NaN")
        if wanted is not None and wanted.shape != (len(test), labels.shape[1]):
            raise UsageError(
                f"expected wanted scores of shape {(len(test), labels.shape[1])} (got {wanted.shape})"
            )


# Classes.


@dataclass(frozen=True)
class RandomForest(Baseline):
    """Random forest on counts (Breiman 2001), balanced by class.

    With very many inactives a task is learned by groups of trees, each from all actives and its own random
    choice of inactives: together the trees see most of them, and the time stays bounded. The defaults were
    chosen on validation parts of Tox21, MUV and AID 1706.
    """

    n_trees: int = 500  # of a task, over all groups
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
        _at_least_1(self, "random forest", "n_trees", "max_inactives", "n_groups", "n_jobs")

    def learn(self, train: csr_matrix, labels: FloatArray, test: csr_matrix, seed: int) -> FloatArray:
        """Mean over trees of the share of actives in the leaf."""
        active, random = labels == 1, np.random.default_rng(seed)
        kept = _kept_share(active, self.max_inactives)
        total = np.zeros(test.shape[0])
        for trees in _shares(self.n_trees, min(self.n_groups, self.n_trees) if kept < 1 else 1):
            rows = _drawn(active, self.max_inactives, random)
            forest = self._forest(trees, int(random.integers(2**31)))
            total += trees * forest.fit(train[rows].tocsc(), active[rows]).predict_proba(test)[:, 1]
        return _odds_times(total / self.n_trees, kept)

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
class GradientBoosting(Baseline):
    """Histogram-based gradient boosting (scikit-learn) on counts and RDKit descriptors.

    Counts that few molecules have are left out, and of very many inactives each of several models sees its
    own random choice, so that memory and time stay bounded. The settings were chosen on validation parts of
    Tox21 and MUV.
    """

    n_iterations: int = 100
    learning_rate: float = 0.1
    max_leaves: int = 15
    min_samples_leaf: int = 5
    l2_regularization: float = 10.0
    max_features: float = 0.1  # share of the columns that a node chooses from
    positive_weight: float = 0.5  # exponent of the ratio of inactives to actives in the weight of an active
    min_share: float = 0.01  # of the training molecules that have the environment of a column
    max_inactives: int = 20_000
    n_groups: int = 5

    name: ClassVar[str] = "gradient-boosting"
    title: ClassVar[str] = "Gradient boosting"
    probabilities: ClassVar[bool] = True
    uses_descriptors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        _at_least_1(self, "gradient boosting", "n_iterations", "max_inactives", "n_groups")

    def columns(self, molecules: Described) -> Described:
        """Counts and descriptors; which of the counts depends on the task."""
        return molecules

    def learn(self, train: Described, labels: FloatArray, test: Described, seed: int) -> FloatArray:
        """Probabilities, the mean of the models if there are several."""
        active, random = labels == 1, np.random.default_rng(seed)
        kept = _kept_share(active, self.max_inactives)
        n_models = self.n_groups if kept < 1 else 1
        total = np.zeros(len(test))
        for _ in range(n_models):
            rows = _drawn(active, self.max_inactives, random)
            total += self._one(train[rows], active[rows], test, int(random.integers(2**31)))
        return _odds_times(total / n_models, kept)

    def _one(self, train: Described, active: BoolArray, test: Described, seed: int) -> FloatArray:
        weight = (np.count_nonzero(~active) / np.count_nonzero(active)) ** self.positive_weight
        seen, new = _dense(train, test, self.min_share)
        model = HistGradientBoostingClassifier(**_boosting(self), random_state=seed)
        model.fit(seen, active, sample_weight=np.where(active, weight, 1.0))
        # Heavier actives are as if there were more of them: back to the share there is.
        scores: FloatArray = expit(model.decision_function(new) - np.log(weight))
        return scores


@dataclass(frozen=True)
class LogisticModel(Baseline):
    """Logistic regression on the logarithms of counts, balanced by class, with a quadratic penalty."""

    C: float = 0.03
    max_iter: int = 1000

    name: ClassVar[str] = "logistic-regression"
    title: ClassVar[str] = "Logistic regression"
    probabilities: ClassVar[bool] = True

    def columns(self, molecules: Described) -> csr_matrix:
        """Logarithms of one plus the counts."""
        return as_logs(molecules.counts)

    def learn(self, train: csr_matrix, labels: FloatArray, test: csr_matrix, seed: int) -> FloatArray:
        """Probabilities; nothing is random, the seed has no effect."""
        active = labels == 1
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

    def columns(self, molecules: Described) -> csr_matrix:
        """Bits: which environments occur."""
        return as_bits(molecules.counts)

    def learn(self, train: csr_matrix, labels: FloatArray, test: csr_matrix, seed: int) -> FloatArray:
        """Similarities; nothing is random, the seed has no effect."""
        return nearest_similarities(test, train[np.flatnonzero(labels == 1)])


# Values.


@dataclass(frozen=True)
class ValueForest(Baseline):
    """Random forest of regression trees on counts."""

    n_trees: int = 200
    min_samples_leaf: int = 1
    max_features: str | int | float = 0.1
    n_jobs: int = 1

    name: ClassVar[str] = "random-forest"
    title: ClassVar[str] = "Random forest"
    objective: ClassVar[Objective] = Objective.REGRESSION

    def __post_init__(self) -> None:
        """Refuse a forest that cannot be grown."""
        _at_least_1(self, "random forest", "n_trees", "n_jobs")

    def learn(self, train: csr_matrix, labels: FloatArray, test: csr_matrix, seed: int) -> FloatArray:
        """Mean over trees of the mean label in the leaf."""
        forest = RandomForestRegressor(
            n_estimators=self.n_trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            n_jobs=self.n_jobs,
            random_state=seed,
        )
        values: FloatArray = forest.fit(train.tocsc(), labels).predict(test)
        return values


@dataclass(frozen=True)
class ValueBoosting(Baseline):
    """Histogram-based gradient boosting of values on counts and RDKit descriptors."""

    n_iterations: int = 200
    learning_rate: float = 0.1
    max_leaves: int = 15
    min_samples_leaf: int = 10
    l2_regularization: float = 1.0
    max_features: float = 0.1  # share of the columns that a node chooses from
    min_share: float = 0.01  # of the training molecules that have the environment of a column

    name: ClassVar[str] = "gradient-boosting"
    title: ClassVar[str] = "Gradient boosting"
    objective: ClassVar[Objective] = Objective.REGRESSION
    uses_descriptors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        _at_least_1(self, "gradient boosting", "n_iterations")

    def columns(self, molecules: Described) -> Described:
        """Counts and descriptors; which of the counts depends on the task."""
        return molecules

    def learn(self, train: Described, labels: FloatArray, test: Described, seed: int) -> FloatArray:
        """Values, of the squared error."""
        seen, new = _dense(train, test, self.min_share)
        model = HistGradientBoostingRegressor(**_boosting(self), random_state=seed)
        values: FloatArray = model.fit(seen, labels).predict(new)
        return values


@dataclass(frozen=True)
class RidgeModel(Baseline):
    """Linear regression on the logarithms of counts with a quadratic penalty."""

    alpha: float = 3.0

    name: ClassVar[str] = "ridge-regression"
    title: ClassVar[str] = "Ridge regression"
    objective: ClassVar[Objective] = Objective.REGRESSION

    def columns(self, molecules: Described) -> csr_matrix:
        """Logarithms of one plus the counts."""
        return as_logs(molecules.counts)

    def learn(self, train: csr_matrix, labels: FloatArray, test: csr_matrix, seed: int) -> FloatArray:
        """Values; nothing is random, the seed has no effect."""
        values: FloatArray = Ridge(self.alpha).fit(train.astype(np.float64), labels).predict(test)
        return values


@dataclass(frozen=True)
class NearestNeighbours(Baseline):
    """Mean label of the most similar training molecules, by Tanimoto similarity on bits."""

    n_neighbours: int = 3

    name: ClassVar[str] = "nearest-neighbours"
    title: ClassVar[str] = "Nearest neighbours"
    objective: ClassVar[Objective] = Objective.REGRESSION

    def __post_init__(self) -> None:
        """Refuse to ask nobody."""
        _at_least_1(self, "nearest neighbours", "n_neighbours")

    def columns(self, molecules: Described) -> csr_matrix:
        """Bits: which environments occur."""
        return as_bits(molecules.counts)

    def learn(self, train: csr_matrix, labels: FloatArray, test: csr_matrix, seed: int) -> FloatArray:
        """Means; neighbours as near as the last one count, too, so that no order of rows matters."""
        return mean_of_nearest(test, train, labels, self.n_neighbours)


_CLASSES = (RandomForest, GradientBoosting, LogisticModel, NearestActive)
_VALUES = (ValueForest, ValueBoosting, RidgeModel, NearestNeighbours)

BASELINES: MappingProxyType[Objective, dict[str, type[Baseline]]] = MappingProxyType(
    {
        Objective.CLASSIFICATION: {method.name: method for method in _CLASSES},
        Objective.REGRESSION: {method.name: method for method in _VALUES},
    }
)


def resolve_baselines(
    names: Iterable[str] = (ALL,), objective: Objective = Objective.CLASSIFICATION
) -> tuple[Baseline, ...]:
    """Baseline methods by name, each once and in the order given; ``"all"`` stands for every one."""
    known, chosen = BASELINES[objective], dict[str, Baseline]()
    for name in names:
        folded = name.strip().lower().replace("_", "-")
        if folded != ALL and folded not in known:
            kind = "baseline of a regression" if objective is Objective.REGRESSION else "baseline"
            raise UnknownNameError(kind, name, [*known, ALL])
        for each in known if folded == ALL else [folded]:
            chosen.setdefault(each, known[each]())
    return tuple(chosen.values())


def baseline_title(name: str) -> str | None:
    """What tables call a baseline, of whatever objective; None of other methods."""
    return next((known[name].title for known in BASELINES.values() if name in known), None)


# What several methods share.


def _at_least_1(baseline: Baseline, title: str, *fields: str) -> None:
    for field in fields:
        if getattr(baseline, field) < 1:
            raise UsageError(f"{title}: {field} = {getattr(baseline, field)} must be 1 or more")


def _shares(total: int, n: int) -> Iterator[int]:
    """Split a number of trees into groups that differ by one at most."""
    for i in range(n):
        yield total * (i + 1) // n - total * i // n


def _kept_share(active: BoolArray, max_inactives: int) -> float:
    """Share of the inactives that one model sees."""
    return min(1.0, max_inactives / int((~active).sum()))


def _drawn(active: BoolArray, max_inactives: int, random: np.random.Generator) -> IndexArray:
    """Rows of all actives and of at most so many inactives."""
    inactives = np.flatnonzero(~active)
    if len(inactives) <= max_inactives:
        return np.arange(len(active))
    inactives = random.choice(inactives, max_inactives, replace=False)
    return np.sort(np.concatenate([np.flatnonzero(active), inactives]))


def _odds_times(scores: FloatArray, kept: float) -> FloatArray:
    """Odds among the drawn inactives, back to odds among all; no change to the order."""
    return kept * scores / (1 - (1 - kept) * scores)


def _dense(train: Described, test: Described, min_share: float) -> tuple[Any, Any]:
    """Counts of the commoner environments and all descriptors, of both parts; float32."""
    common = np.flatnonzero(train.counts.getnnz(axis=0) >= max(2.0, min_share * len(train)))
    parts: list[Any] = [
        [part.counts[:, common].toarray(), np.asarray(part.descriptors)] for part in (train, test)
    ]
    return np.hstack(parts[0]), np.hstack(parts[1])


# Counts have few values; twice as fast as with the 255 bins of scikit-learn, and no worse.
_MAX_BINS = 63


def _boosting(baseline: GradientBoosting | ValueBoosting) -> dict[str, Any]:
    return {
        "max_iter": baseline.n_iterations,
        "learning_rate": baseline.learning_rate,
        "max_leaf_nodes": baseline.max_leaves,
        "min_samples_leaf": baseline.min_samples_leaf,
        "l2_regularization": baseline.l2_regularization,
        "max_features": baseline.max_features,
        "max_bins": _MAX_BINS,
        "early_stopping": False,
    }
