"""What a model says about a list of SMILES."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.errors import UsageError
from molig.model.domain import ApplicabilityFlag
from molig.model.info import Objective
from molig.molecules import Rejection

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Scores of a list of SMILES, with the reasons of those that got none.

    Parameters
    ----------
    scores : array of float, shape (n, n_tasks)
        Probability of being active, or for a regression the value in the unit of the labels; a row of NaN
        for every rejected SMILES.
    tasks : tuple of str
        Names of the columns.
    rejections : list of Rejection
        Why a row has no score; ``row`` counts from 1.
    objective : Objective
        What the scores are.
    applicability : list of ApplicabilityFlag or None, optional
        If it was asked for: for every row whether the model knows molecules like it; None where a SMILES
        was rejected.
    """

    scores: FloatArray
    tasks: tuple[str, ...]
    rejections: list[Rejection]
    objective: Objective = Objective.CLASSIFICATION
    applicability: list[ApplicabilityFlag | None] | None = None

    @property
    def proba(self) -> FloatArray:
        """The scores of a classification, shape (n, n_tasks).

        Raises
        ------
        UsageError
            If the model predicts values: a regression has no probabilities.
        """
        if self.objective is not Objective.CLASSIFICATION:
            raise UsageError("a regression model predicts values, not probabilities; use scores")
        return self.scores

    def to_frame(self) -> pd.DataFrame:
        """Scores as a table with one column per task; then ``applicability`` and ``similarity``, if asked."""
        frame = pd.DataFrame(self.scores, columns=list(self.tasks))
        if self.applicability is None:
            return frame
        flags = self.applicability
        extra = {
            "applicability": [f and f.status.value for f in flags],
            "similarity": np.array([f.similarity if f else np.nan for f in flags], dtype=float),
        }
        # Not by assignment: a task may bear one of these names.
        return pd.concat([frame, pd.DataFrame(extra, index=frame.index)], axis=1)
