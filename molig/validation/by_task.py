"""Methods that learn one model per task, of the molecules with a label in that task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from molig.errors import UsageError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class TaskByTask(ABC):
    """Base of methods that learn the tasks apart; a method says how it learns and scores one.

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
        """Learn every task and score other molecules; see `molig.validation.baselines.Baseline`."""
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
        """What the method makes of counts of environments."""

    @abstractmethod
    def rank(self, train: csr_matrix, active: BoolArray, test: csr_matrix, seed: int) -> FloatArray:
        """Learn a task that has both classes; return scores, shape (n_test,)."""


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
