"""The score that is attributed, as a function of a model's output."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from molig.errors import UnknownNameError, UsageError

FloatArray = npt.NDArray[np.float64]

# Below this distance of two outputs the difference quotient of the score is lost in rounding.
_CLOSE = 1e-6


class Target(StrEnum):
    """The score that is attributed."""

    PROBABILITY = "probability"
    """Of being active."""

    LOGIT = "logit"
    """Of being active."""

    VALUE = "value"
    """What a regression model predicts."""

    @classmethod
    def of(cls, name: str | None, objective: str) -> Target:
        """Choose a target for a model.

        Parameters
        ----------
        name : str or None
            Name of the target; None takes the probability of a classification, the value of a regression.
        objective : {"classification", "regression"}
            What the model's outputs are.

        Raises
        ------
        UsageError
            If there is no such target, or the model has no such score.
        """
        regression = objective == "regression"
        if name is None:
            return cls.VALUE if regression else cls.PROBABILITY
        if name not in list(cls):
            raise UnknownNameError("target", name, [t.value for t in cls])
        target = cls(name)
        if regression != (target is cls.VALUE):
            valid = "value" if regression else "probability or logit"
            raise UsageError(f"a {objective} model has no {target.value} to attribute; use {valid}")
        return target

    @property
    def meaning(self) -> str:
        """How it follows from a score, in a sentence that goes before what scores mean; "" of scores."""
        return "Explained is the logit, log(p / (1 - p)) of a score p. " if self is Target.LOGIT else ""

    def score(self, outputs: FloatArray) -> FloatArray:
        """Scores of outputs of a model."""
        if self is not Target.PROBABILITY:
            return outputs
        half = 0.5 * np.tanh(0.5 * outputs)
        return 0.5 + half

    def slope(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """Mean derivative of the score between two outputs."""
        if self is not Target.PROBABILITY:
            return np.ones_like(left)
        with np.errstate(invalid="ignore"):  # NaN where outputs are not finite; the path then ends there
            width = right - left
        middle = self.score((left + right) / 2)
        close = np.abs(width) < _CLOSE
        rise = self.score(right) - self.score(left)
        return np.where(close, middle * (1 - middle), rise / np.where(close, 1.0, width))
