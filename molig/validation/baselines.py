"""Simple methods that a screener already has, to be run in the same folds as a network.

Each learns one model per task from Morgan fingerprints, of the molecules with a label in that task only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from molig.errors import UnknownNameError
from molig.validation.by_task import BoolArray, FloatArray, TaskByTask
from molig.validation.fingerprints import as_bits, as_logs, nearest_similarities
from molig.validation.forest import RandomForest


class Baseline(Protocol):
    """A method that learns from fingerprints and labels, and scores other molecules.

    Attributes
    ----------
    name : str
        What the registry and the command line call it.
    title : str
        What tables call it.
    probabilities : bool
        Whether scores are probabilities of being active; if not, they only rank.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    probabilities: ClassVar[bool]

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

        Parameters
        ----------
        fingerprints_train : csr_matrix, shape (n_train, columns)
            Counts of environments, from `molig.validation.fingerprints.morgan_counts`.
        labels_train : array of float, shape (n_train, n_tasks)
            1 active, 0 inactive, NaN not measured.
        fingerprints_test : csr_matrix, shape (n_test, columns)
            Counts of the molecules to score.
        seed : int
            Seed of everything random; the same seed gives the same scores.
        wanted : array of bool, shape (n_test, n_tasks), optional
            Which scores are needed, to save the time of the others; by default all.

        Returns
        -------
        array of float, shape (n_test, n_tasks)
            NaN where not wanted, and for the whole of a task with one class in training.

        Raises
        ------
        UsageError
            If shapes do not fit, or a label is not 0, 1 or NaN.
        """


@dataclass(frozen=True)
class LogisticModel(TaskByTask):
    """Logistic regression on the logarithms of counts, balanced by class, with a quadratic penalty.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty, as scikit-learn's ``C``.
    max_iter : int
        Most iterations of the solver (L-BFGS).

    Examples
    --------
    >>> counts = csr_matrix(np.eye(2, dtype=np.float32)[[0, 0, 1, 1]])
    >>> labels = np.array([[0.0], [0], [1], [1]])
    >>> scores = LogisticModel().fit_predict(counts, labels, counts[1:3], seed=0).ravel()
    >>> bool(scores[1] > scores[0])
    True
    """

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
class NearestActive(TaskByTask):
    """Tanimoto similarity, on bits, to the most similar active of the training part.

    Examples
    --------
    >>> counts = csr_matrix(np.float32([[1, 0, 0], [0, 1, 0], [0, 2, 1]]))
    >>> NearestActive().fit_predict(counts[:2], np.array([[0.0], [1.0]]), counts, seed=0).ravel().tolist()
    [0.0, 1.0, 0.5]
    """

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
"""Methods by name."""


def resolve_baselines(names: Iterable[str] | None = None) -> tuple[Baseline, ...]:
    """Find methods by name, with their usual settings.

    Parameters
    ----------
    names : iterable of str, optional
        Names; underscores count as hyphens. By default all methods.

    Returns
    -------
    tuple of Baseline
        Each once, in the order given; none for no names.

    Raises
    ------
    UnknownNameError
        Naming the nearest one.

    Examples
    --------
    >>> [baseline.title for baseline in resolve_baselines(["nearest_active", "random-forest"])]
    ['Nearest active', 'Random forest']
    """
    found: dict[str, Baseline] = {}
    for name in BASELINES if names is None else names:
        folded = name.strip().lower().replace("_", "-")
        if folded not in BASELINES:
            raise UnknownNameError("baseline", name, BASELINES)
        found.setdefault(folded, BASELINES[folded]())
    return tuple(found.values())
