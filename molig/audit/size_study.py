"""A task's scores against size, lipophilicity and element counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import r2_score

from molig.audit.intervals import Estimate, rank_correlation
from molig.audit.size_yardstick import (
    FOLDS,
    SizeTable,
    predict_classes,
    predict_values,
    resampled,
    share_of_quality,
)
from molig.audit.subject import AuditSubject, FloatArray, Index
from molig.ranking import roc_auc

FEWEST = 20
"""Molecules below which a rank correlation says little."""
FOLLOWS, IS_FUNCTION = 0.8, 0.95
"""Rank correlation of the score with one descriptor: above the first, two thirds of the ranking are that
descriptor; above the second, next to nothing else is left."""
COUNTS_FOLLOWS, COUNTS_FUNCTION = 0.92, 0.97
"""The same for a model on all descriptors, which fits more: sound models of toxicity reach 0.6 to 0.85."""
CERTAIN = 0.1
"""The interval's end may lie this far below the thresholds above."""
NEARLY_ALL = 0.9
"""Share of the model's quality above chance, reached by counts, that makes structure superfluous."""
SHARED = 0.7
"""Rank correlation of the score with its prediction by the yardstick from which they share half of the ranks;
below it the model reaches its quality by other means than counts."""
BETTER_THAN_CHANCE = 0.05
"""Quality above chance without which a model has nothing that a yardstick could reach a share of."""
LABELS_ARE_COUNTS = 0.9
"""Quality above chance, of 1, of the yardstick, from which the labels themselves are a matter of counts."""
_FEWEST_OF_CLASS = 10
_DESCRIPTORS_SHOWN = 12


@dataclass(frozen=True)
class CountsQuality:
    """How well model and yardstick rank the labels: 2 ROC-AUC - 1, or Spearman's correlation."""

    model: float
    counts: float
    share: Estimate
    model_low: float
    numbers: Mapping[str, float]

    @property
    def compares(self) -> bool:
        """Whether the model is better than chance, so that a share means something."""
        return self.model_low > 2 * BETTER_THAN_CHANCE


@dataclass(frozen=True)
class TaskOnCounts:
    """Scores and attributions of a task against each descriptor, and against all of them."""

    name: str
    score: dict[str, Estimate]  # rank correlation of the score with each descriptor
    total: dict[str, Estimate]  # of the total attribution
    mean: dict[str, Estimate]  # of the mean |attribution|
    from_counts: Estimate  # rank correlation of the score with its prediction by the yardstick
    quality: CountsQuality | None

    @property
    def worst(self) -> str:
        """Descriptor with which the score correlates most."""
        return max(self.score, key=lambda name: abs(self.score[name].value))

    @property
    def worst_value(self) -> float:
        """Its rank correlation."""
        return self.score[self.worst].value

    @property
    def follows(self) -> bool:
        """Whether scores follow one descriptor, or counts."""
        single = any(_above(one, FOLLOWS) for one in [*self.score.values(), *self.total.values()])
        return single or _above(self.from_counts, COUNTS_FOLLOWS)

    @property
    def is_function(self) -> bool:
        """Whether the ranking is next to nothing but one descriptor, or counts."""
        single = any(_above(one, IS_FUNCTION) for one in self.score.values())
        return single or _above(self.from_counts, COUNTS_FUNCTION)

    @property
    def deserved(self) -> bool:
        """Whether the labels, too, are a matter of counts."""
        return self.quality is not None and self.quality.counts >= LABELS_ARE_COUNTS

    def numbers(self) -> dict[str, Any]:
        """What to report."""
        shown = sorted(self.score, key=lambda name: -abs(self.score[name].value))[:_DESCRIPTORS_SHOWN]
        found: dict[str, Any] = {
            "score_rank_correlation": {name: self.score[name].value for name in shown},
            "worst": {"descriptor": self.worst, **self.score[self.worst].to_dict()},
            "score_from_counts_rank_correlation": self.from_counts.to_dict(),
        }
        if self.total:
            found["attribution_rank_correlation"] = {name: self.total[name].value for name in shown}
            found["mean_abs_attribution_rank_correlation"] = {name: self.mean[name].value for name in shown}
        if self.quality:
            found |= {**self.quality.numbers, "share": self.quality.share.to_dict()}
        return found


def study_task(
    subject: AuditSubject, task: str, table: SizeTable, chosen: Index, rng: np.random.Generator
) -> TaskOnCounts:
    """Correlate scores and attributions of a task with counts, and fit the yardstick."""
    scores = subject.logits[:, subject.column(task)]
    seed = int(rng.integers(2**31))
    predicted = predict_values(table.values[chosen], scores[chosen], seed)
    atoms = [found[task].atom_scores for found in subject.explanations]
    explained = table.values[subject.sample]
    total = np.array([one.sum() for one in atoms])
    mean = np.array([np.abs(one).mean() for one in atoms])
    return TaskOnCounts(
        task,
        _correlations(table.names, table.values, scores),
        _correlations(table.names, explained, total),
        _correlations(table.names, explained, mean),
        rank_correlation(predicted, scores[chosen]),
        _quality(subject, task, table, chosen, rng),
    )


def _correlations(names: tuple[str, ...], table: FloatArray, values: FloatArray) -> dict[str, Estimate]:
    if len(values) < FEWEST:
        return {name: Estimate(0.0, -1.0, 1.0) for name in names}
    return {name: rank_correlation(column, values) for name, column in zip(names, table.T, strict=True)}


def _quality(
    subject: AuditSubject, task: str, table: SizeTable, chosen: Index, rng: np.random.Generator
) -> CountsQuality | None:
    """Compare the model with the yardstick on the labels; None without enough of them."""
    if subject.labels is None:
        return None
    labels = subject.labels[chosen, subject.column(task)]
    known = np.isfinite(labels)
    labels, places = labels[known], chosen[known]
    scores = subject.logits[places, subject.column(task)]
    seed = int(rng.integers(2**31))
    if subject.is_regression:
        if len(labels) < FEWEST or np.ptp(labels) == 0:
            return None
        counts = predict_values(table.values[places], labels, seed)
        figure, strata = _spearman, np.zeros(len(labels))
    else:
        if min(np.sum(labels == 1), np.sum(labels == 0)) < max(_FEWEST_OF_CLASS, FOLDS):
            return None
        counts = predict_classes(table.values[places], labels, seed)
        figure, strata = _gini, labels
    drawn = resampled(
        lambda at: np.array([figure(labels[at], scores[at]), figure(labels[at], counts[at])]), strata, rng
    )
    shares = share_of_quality(drawn[:, 1], drawn[:, 0])
    low, high = np.quantile(shares, [0.025, 0.975], method="nearest")
    model, yardstick = figure(labels, scores), figure(labels, counts)
    share = float(share_of_quality(np.array([yardstick]), np.array([model]))[0])
    numbers = _named(subject.is_regression, model, yardstick, labels, scores)
    return CountsQuality(
        model, yardstick, Estimate(share, low, high), float(np.quantile(drawn[:, 0], 0.025)), numbers
    )


def _gini(labels: FloatArray, scores: FloatArray) -> float:
    return 2 * roc_auc(labels, scores) - 1


def _spearman(labels: FloatArray, scores: FloatArray) -> float:
    return rank_correlation(labels, scores).value


def _above(one: Estimate, threshold: float) -> bool:
    """Whether a correlation is that large, in either direction, and not by chance."""
    low = min(abs(one.low), abs(one.high)) if one.low * one.high > 0 else 0.0
    return abs(one.value) >= threshold and low >= threshold - CERTAIN


def _named(
    regression: bool, model: float, counts: float, labels: FloatArray, scores: FloatArray
) -> dict[str, float]:
    if not regression:
        return {
            "model_roc_auc": (1 + model) / 2,
            "counts_roc_auc": (1 + counts) / 2,
            "actives": float(np.sum(labels == 1)),
        }
    return {"model_spearman": model, "counts_spearman": counts, "model_r2": float(r2_score(labels, scores))}
