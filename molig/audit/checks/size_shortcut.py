"""Size and trivial shortcuts: scores that follow size, lipophilicity or element counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcCrippenDescriptors, _CalcMolWt
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

from molig.audit.figures import bars, scatter
from molig.audit.findings import (
    MOST_EXAMPLES,
    Evidence,
    Example,
    Figure,
    Finding,
    NotApplicable,
    Outcome,
    Severity,
    scored_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, Index
from molig.stats import roc_auc
from molig.stats.intervals import Estimate, rank_correlation

NAME = "size-shortcut"

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
FOLDS = 5
MOST_FITTED = 1500
"""Molecules that the yardstick is fitted on, for each task; of more, a sample."""
RESAMPLES = 200

_FEWEST_OF_CLASS = 10
_DESCRIPTORS_SHOWN = 12
_FEW = 3  # examples of a finding that is no more than a comparison
_SETTINGS = {"max_iter": 30, "max_leaf_nodes": 8, "learning_rate": 0.15, "min_samples_leaf": 5}


@register(
    NAME,
    title="Size and trivial shortcuts",
    question="Does the score say more than size, lipophilicity and element counts do?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare scores with size and composition, and with a model that knows nothing else."""
    n = len(subject.molecules)
    if n < FEWEST:
        raise NotApplicable(f"there are {n} molecules; rank correlations need at least {FEWEST}")
    table = size_table([molecule.mol for molecule in subject.molecules])
    rng = subject.rng(NAME)
    chosen = np.sort(rng.permutation(n)[:MOST_FITTED])
    tasks = [study_task(subject, task, table, chosen, rng) for task in subject.tasks]
    return Outcome(
        _findings(subject, tasks, table),
        {task.name: task.numbers() for task in tasks},
        _figures(subject, tasks, table),
        _remark(subject, tasks, len(chosen)),
    )


def _findings(subject: AuditSubject, tasks: list[TaskOnCounts], table: SizeTable) -> list[Finding]:
    following = [task for task in tasks if task.follows]
    reached = [task for task in tasks if task.is_reached]
    perhaps = [task for task in tasks if task.may_be_reached and not task.is_reached]
    findings = [_follows(subject, following, table)] if following else []
    if reached:
        findings.append(_reached(subject, reached, table, Severity.WARNING))
    if perhaps:
        findings.append(_reached(subject, perhaps, table, Severity.INFO))
    return findings


def _follows(subject: AuditSubject, tasks: list[TaskOnCounts], table: SizeTable) -> Finding:
    misleading = any(task.is_function and not task.deserved for task in tasks)
    worst = max(tasks, key=lambda task: max(abs(task.worst_value), task.from_counts.value))
    one = worst.score[worst.worst]
    excuse = " The labels, too, follow from size and composition." if all(t.deserved for t in tasks) else ""
    return Finding(
        NAME,
        Severity.ERROR if misleading else Severity.WARNING,
        f"The score follows the size or composition of the molecule on {len(tasks)} of {len(subject.tasks)} "
        f"tasks: on {worst.name} its rank correlation with {worst.worst} is {one.value:+.2f} "
        f"({one.low:+.2f} to {one.high:+.2f}), and heavy atoms, molecular weight, logP and element counts "
        f"alone predict it with rank correlation {worst.from_counts.value:.2f}.{excuse}",
        Evidence({task.name: task.numbers() for task in tasks}, molecules=_examples(subject, worst, table)),
        "A ranking by this score is a ranking by that descriptor, and the attributions show how it was "
        "counted, not what the molecule does. Compare within groups of equal size, train with inactives "
        "matched in size and composition, or use the descriptor itself.",
    )


def _reached(
    subject: AuditSubject, tasks: list[TaskOnCounts], table: SizeTable, severity: Severity
) -> Finding:
    qualities = {task.name: task.quality for task in tasks if task.quality}
    task = max(tasks, key=lambda task: qualities[task.name].share.low)
    quality = qualities[task.name]
    share, figures = quality.share, (quality.counts, quality.model)
    if not subject.is_regression:
        figures = (1 + quality.counts) / 2, (1 + quality.model) / 2
    measure = "rank correlation" if subject.is_regression else "ROC-AUC"
    sure = "reach" if share.low >= NEARLY_ALL else "may reach (the interval is wide)"
    return Finding(
        NAME,
        severity,
        f"Size, logP and element counts alone {sure} the quality of the model on {len(tasks)} of "
        f"{len(subject.tasks)} tasks: on {task.name} they have {measure} {figures[0]:.3f}, the model "
        f"{figures[1]:.3f}; that is {share.value:.0%} ({share.low:.0%} to {share.high:.0%}) of the "
        "model's margin over chance.",
        Evidence(
            {task.name: task.numbers() for task in tasks}, molecules=_examples(subject, task, table, _FEW)
        ),
        f"The score has rank correlation {task.from_counts.value:.2f} with its prediction from counts. These "
        "labels do not show that the model has learnt anything about structure. Evaluate on molecules "
        "matched in size and composition before reading chemistry into its attributions.",
    )


def _examples(
    subject: AuditSubject, task: TaskOnCounts, table: SizeTable, most: int = MOST_EXAMPLES
) -> list[Example]:
    """Molecules from the smallest to the largest value of the descriptor."""
    values = table.values[:, table.names.index(task.worst)]
    order = np.argsort(values, kind="stable")
    places = order[np.linspace(0, len(order) - 1, min(most, len(order))).astype(int)]
    scores = subject.scores[:, subject.column(task.name)]
    return [
        scored_example(
            subject.molecules[i],
            np.zeros(subject.molecules[i].mol.GetNumAtoms()),
            f"{task.worst} {values[i]:.4g}, score {scores[i]:.3f}",
        )
        for i in places
    ]


def _figures(subject: AuditSubject, tasks: list[TaskOnCounts], table: SizeTable) -> list[Figure]:
    worst = max(tasks, key=lambda task: abs(task.worst_value))
    rho = worst.worst_value
    figures = [
        scatter(
            table.values[:, table.names.index(worst.worst)],
            subject.logits[:, subject.column(worst.name)],
            f"{worst.name}: score against {worst.worst} (rank correlation {rho:+.2f})",
            (worst.worst, "value" if subject.is_regression else "logit"),
            most=400,
        )
    ]
    compared = {task.name: task.quality for task in tasks if task.quality}
    if compared:
        lengths: dict[str, float] = {}
        for name, quality in compared.items():
            keys = [key for key in quality.numbers if key.endswith(("_roc_auc", "_spearman"))]
            lengths |= {f"{name}: {key.split('_')[0]}": quality.numbers[key] for key in keys}
        measure, chance = ("rank correlation", None) if subject.is_regression else ("ROC-AUC", 0.5)
        figures.append(bars(lengths, "Model, and counts alone", measure, reference=chance))
    return figures


def _remark(subject: AuditSubject, tasks: list[TaskOnCounts], fitted: int) -> str:
    text = (
        f"Yardstick: gradient boosting on heavy atoms, weight, logP and element counts, predictions of "
        f"{FOLDS}-fold cross-validation on {fitted} molecules; attributions of {len(subject.sample)}."
    )
    without = [task.name for task in tasks if task.quality is None]
    if not without:
        return text
    if len(without) == len(tasks):
        return f"{text} Without labels of both classes the qualities are not compared."
    return f"{text} Too few labels for {', '.join(without)}."


# A task's scores against size, lipophilicity and element counts.


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
    def is_reached(self) -> bool:
        """Whether counts surely reach the model's quality, and much of its score."""
        surely = self.quality is not None and self.quality.compares and self.quality.share.low >= NEARLY_ALL
        return surely and self.from_counts.value >= SHARED

    @property
    def may_be_reached(self) -> bool:
        """Whether counts reach the quality of a model that is better than chance."""
        return self.quality is not None and self.quality.compares and self.quality.share.value >= NEARLY_ALL

    @property
    def deserved(self) -> bool:
        """Whether the labels, too, are a matter of counts."""
        return self.quality is not None and self.quality.counts >= LABELS_ARE_COUNTS

    def numbers(self) -> dict[str, Any]:
        """What to report."""
        shown = sorted(self.score, key=lambda name: -abs(self.score[name].value))[:_DESCRIPTORS_SHOWN]
        figures: dict[str, Any] = {
            "score_rank_correlation": {name: self.score[name].value for name in shown},
            "worst": {"descriptor": self.worst, **self.score[self.worst].to_dict()},
            "score_from_counts_rank_correlation": self.from_counts.to_dict(),
        }
        if self.total:
            figures["attribution_rank_correlation"] = {name: self.total[name].value for name in shown}
            figures["mean_abs_attribution_rank_correlation"] = {name: self.mean[name].value for name in shown}
        if self.quality:
            figures |= {**self.quality.numbers, "share": self.quality.share.to_dict()}
        return figures


def _above(one: Estimate, threshold: float) -> bool:
    """Whether a correlation is that large, in either direction, and not by chance."""
    low = min(abs(one.low), abs(one.high)) if one.low * one.high > 0 else 0.0
    return abs(one.value) >= threshold and low >= threshold - CERTAIN


def study_task(
    subject: AuditSubject, task: str, table: SizeTable, chosen: Index, rng: np.random.Generator
) -> TaskOnCounts:
    """Correlate scores and attributions of a task with counts, and fit the yardstick."""
    scores = subject.logits[:, subject.column(task)]
    seed = int(rng.integers(2**31))
    predicted = predict_values(table.values[chosen], scores[chosen], seed)
    atoms = [by_task[task].atom_scores for by_task in subject.explanations]
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


# What size and composition alone say about molecules, and how well: the yardstick.


@dataclass(frozen=True)
class SizeTable:
    """Descriptors of size and composition."""

    names: tuple[str, ...]
    values: FloatArray  # (n_mols, n_names) the descriptors


def size_table(mols: Sequence[Chem.Mol]) -> SizeTable:
    """Count heavy atoms and the atoms of each element but hydrogen; molecular weight and Crippen's logP."""
    numbers = [[atom.GetAtomicNum() for atom in mol.GetAtoms() if atom.GetAtomicNum() > 1] for mol in mols]
    elements = sorted({number for one in numbers for number in one})
    symbols = [Chem.GetPeriodicTable().GetElementSymbol(number) for number in elements]
    rows = [
        [
            len(one),
            _CalcMolWt(mol),
            CalcCrippenDescriptors(mol)[0],
            *(one.count(number) for number in elements),
        ]
        for mol, one in zip(mols, numbers, strict=True)
    ]
    names = ("heavy atoms", "molecular weight", "logP", *(f"number of {symbol}" for symbol in symbols))
    return SizeTable(names, np.nan_to_num(np.array(rows, dtype=np.float64)))


def predict_values(table: FloatArray, values: FloatArray, seed: int) -> FloatArray:
    """Predict ranks of values from descriptors, each molecule by a model that was fitted without it."""
    model = HistGradientBoostingRegressor(**_SETTINGS, random_state=seed)
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(model, table, rankdata(values), cv=folds), dtype=np.float64)


def predict_classes(table: FloatArray, labels: FloatArray, seed: int) -> FloatArray:
    """Predict classes from descriptors, each molecule by a model that was fitted without it."""
    model = HistGradientBoostingClassifier(**_SETTINGS, random_state=seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    predicted = cross_val_predict(model, table, labels.astype(int), cv=folds, method="predict_proba")
    return np.asarray(predicted[:, 1], dtype=np.float64)


def resampled(
    figure: Callable[[npt.NDArray[np.int64]], FloatArray], strata: npt.ArrayLike, rng: np.random.Generator
) -> FloatArray:
    """Compute figures on resampled molecules, all figures on the same ones."""
    groups = [np.flatnonzero(np.asarray(strata) == value) for value in np.unique(np.asarray(strata))]
    return np.array(
        [
            figure(np.concatenate([rng.choice(group, len(group)) for group in groups]))
            for _ in range(RESAMPLES)
        ]
    )


def share_of_quality(yardstick: FloatArray, model: FloatArray) -> FloatArray:
    """Share of a model's quality that a yardstick reaches."""
    above = np.maximum(yardstick, 0.0)
    worthless = np.where(above > 0, np.inf, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(model > 0, above / model, worthless)
