"""What a method is judged by: figures of rankings where it predicts classes, of errors where values."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from molig.model import Objective
from molig.stats import RankingQuality, ranking_quality
from molig.stats import ranking as rankings
from molig.stats.intervals import bootstrap_samples
from molig.training.metrics import regression_metrics

FloatArray = npt.NDArray[np.float64]
Interval = tuple[float, float]
Samples = Mapping[str, FloatArray]

# Bounds the memory of a block of resamples to some ten arrays of 4 MB.
_CELLS_PER_BLOCK = 500_000


@dataclass(frozen=True)
class Figure:
    """How a figure is shown, and what is good."""

    title: str
    decimals: int = 3
    principal: bool = False  # by these methods are compared
    less_is_better: bool = False
    merit: bool = True  # whether it says how good the method is at all


@dataclass(frozen=True)
class ValueQuality:
    """Figures of predicted values in one task; None where one is not defined."""

    rmse: float | None
    r2: float | None
    spearman: float | None
    n: int
    intervals: dict[str, Interval] = field(default_factory=dict)

    def figures(self) -> dict[str, float | None]:
        """Figures by name."""
        return {name: getattr(self, name) for name in ValueCriteria.figures}


Quality = RankingQuality | ValueQuality


class Criteria(ABC):
    """The figures of an objective, and how they are made of labels and scores."""

    figures: ClassVar[Mapping[str, Figure]]  # by name, in the order of tables
    in_tasks: ClassVar[tuple[str, ...]]  # those shown task by task; the first one with its interval
    about: ClassVar[str]  # what a reader of the tables should know

    @property
    def principal(self) -> tuple[str, ...]:
        """Names of the figures by which methods are compared."""
        return tuple(name for name, figure in self.figures.items() if figure.principal)

    @property
    def of_merit(self) -> tuple[str, ...]:
        """Names of the figures that say how good a method is."""
        return tuple(name for name, figure in self.figures.items() if figure.merit)

    @abstractmethod
    def quality(self, labels: FloatArray, scores: FloatArray, probabilities: FloatArray | None) -> Quality:
        """Figures of molecules with known labels; all None where a score is NaN."""

    @abstractmethod
    def samples(self, labels: FloatArray, scores: FloatArray, n_resamples: int, seed: int) -> Samples:
        """Figures of resampled molecules, arrays of shape (n_resamples,); NaN where they are not defined."""

    @abstractmethod
    def together(
        self, parts: Sequence[Any], means: dict[str, float | None], intervals: dict[str, Interval]
    ) -> Quality:
        """The mean over folds, with the molecules of all of them."""

    @abstractmethod
    def counts(self, quality: Any) -> dict[str, int]:
        """Molecules that were measured, by what they are."""


class RankingCriteria(Criteria):
    """Figures of rankings."""

    figures = MappingProxyType(
        {
            name: Figure(
                figure.title, figure.decimals, figure.principal, name == "brier", name in rankings.OF_MERIT
            )
            for name, figure in rankings.FIGURES.items()
        }
    )
    in_tasks = ("roc_auc", "ef_1")
    about = (
        "BEDROC with alpha 20; EF: enrichment factor of the first part of the ranking; tied molecules count "
        "in expectation over their orders."
    )

    def quality(
        self, labels: FloatArray, scores: FloatArray, probabilities: FloatArray | None
    ) -> RankingQuality:
        """As of `molig.stats.ranking_quality`."""
        if np.isnan(scores).any():
            n_actives, n_inactives = int((labels == 1).sum()), int((labels == 0).sum())
            return RankingQuality(roc_auc=None, pr_auc=None, n_actives=n_actives, n_inactives=n_inactives)
        return ranking_quality(labels, scores, probabilities)

    def samples(self, labels: FloatArray, scores: FloatArray, n_resamples: int, seed: int) -> Samples:
        """Actives and inactives are drawn apart."""
        return bootstrap_samples(labels, scores, n_resamples=n_resamples, seed=seed)

    def together(
        self,
        parts: Sequence[RankingQuality],
        means: dict[str, float | None],
        intervals: dict[str, Interval],
    ) -> RankingQuality:
        """Actives and inactives are those of all folds."""
        return RankingQuality(
            **means,
            n_actives=sum(part.n_actives for part in parts),
            n_inactives=sum(part.n_inactives for part in parts),
            intervals=intervals,
        )

    def counts(self, quality: RankingQuality) -> dict[str, int]:
        """Actives and inactives."""
        return {"n_actives": quality.n_actives, "n_inactives": quality.n_inactives}


class ValueCriteria(Criteria):
    """Errors of values, and how well they rank."""

    figures = MappingProxyType(
        {
            "rmse": Figure("RMSE", principal=True, less_is_better=True),
            "r2": Figure("R2", principal=True),
            "spearman": Figure("Spearman", principal=True),
        }
    )
    in_tasks = ("rmse", "spearman")
    about = (
        "RMSE: root of the mean squared error, in the unit of the labels, smaller is better; R2: share of "
        "the variance of the test labels that is explained; Spearman: rank correlation."
    )

    def quality(
        self, labels: FloatArray, scores: FloatArray, probabilities: FloatArray | None
    ) -> ValueQuality:
        """As of `molig.training.metrics.regression_metrics`."""
        if np.isnan(scores).any():
            return ValueQuality(None, None, None, len(labels))
        found = regression_metrics(labels, scores)
        return ValueQuality(found.rmse, found.r2, found.spearman, found.n)

    def samples(self, labels: FloatArray, scores: FloatArray, n_resamples: int, seed: int) -> Samples:
        """Molecules are drawn with replacement, as many as there are."""
        n, random = len(labels), np.random.default_rng(seed)
        if not n:
            return {name: np.full(n_resamples, math.nan) for name in self.figures}
        blocks = []
        for start in range(0, n_resamples, max(1, _CELLS_PER_BLOCK // n)):
            size = min(max(1, _CELLS_PER_BLOCK // n), n_resamples - start)
            often = random.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
            blocks.append(_figures_of_resamples(labels, scores, often))
        return dict(zip(self.figures, np.concatenate(blocks, axis=1), strict=True))

    def together(
        self,
        parts: Sequence[ValueQuality],
        means: dict[str, float | None],
        intervals: dict[str, Interval],
    ) -> ValueQuality:
        """Molecules are those of all folds."""
        return ValueQuality(**means, n=sum(part.n for part in parts), intervals=intervals)

    def counts(self, quality: ValueQuality) -> dict[str, int]:
        """Molecules measured."""
        return {"n_measured": quality.n}


RANKING, VALUES = RankingCriteria(), ValueCriteria()


def criteria_of(objective: Objective) -> Criteria:
    """What an objective is judged by."""
    return VALUES if objective is Objective.REGRESSION else RANKING


def _figures_of_resamples(labels: FloatArray, scores: FloatArray, often: FloatArray) -> FloatArray:
    """RMSE, R2 and Spearman, shape (3, n_samples), of molecules drawn so often: shape (n_samples, n)."""
    n = len(labels)
    squared = often @ (labels - scores) ** 2
    centred = labels - labels.mean()
    about_mean = often @ centred**2
    spread = about_mean - (often @ centred) ** 2 / n
    # Where all that were drawn have one label there is no spread but what rounding leaves.
    varied = spread > 1e-10 * about_mean
    r2 = 1 - np.divide(squared, spread, out=np.full(len(often), math.nan), where=varied)
    ranks = _ranks(labels, often), _ranks(scores, often)
    return np.stack([np.sqrt(squared / n), r2, _weighted_correlation(*ranks, often)])


def _ranks(values: FloatArray, often: FloatArray) -> FloatArray:
    """Mid-ranks of molecules in every sample, shape (n_samples, n); copies and ties share theirs."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.add.reduceat(often[:, order], starts, axis=1)
    ranks: FloatArray = (sizes.cumsum(axis=1) - (sizes - 1) / 2)[:, group]
    return ranks


def _weighted_correlation(x: FloatArray, y: FloatArray, often: FloatArray) -> FloatArray:
    n = often.sum(axis=1, keepdims=True)
    x, y = (values - (often * values).sum(axis=1, keepdims=True) / n for values in (x, y))
    covariance = (often * x * y).sum(axis=1)
    spread = np.sqrt((often * x**2).sum(axis=1) * (often * y**2).sum(axis=1))
    correlation = np.divide(covariance, spread, out=np.full(len(often), math.nan), where=spread > 1e-9)
    clipped: FloatArray = np.clip(correlation, -1, 1)
    return clipped
