"""Made-up scores of folds."""

import numpy as np

from molig.evaluation.methods import FoldScores

TASKS = ("one", "two", "three")


def made_up(seed: int, n: int = 80, skill: float = 1.0, *, network: bool = False) -> FoldScores:
    """Three tasks with gaps; scores that know the labels more or less, some of them tied."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < [0.5, 0.2, 0.1]).astype(float)
    labels[0], labels[1] = 1, 0
    scores = np.round(skill * labels + rng.normal(size=(n, 3)), 1)
    labels[rng.random((n, 3)) < 0.2] = np.nan
    labels[0], labels[1] = 1, 0
    probabilities = 1 / (1 + np.exp(-scores))
    baseline = rng.uniform(0, 0.025, (n, 3)) if network else None
    return FoldScores(np.arange(n) + 1, labels, scores, probabilities, baseline, seconds=1.5)


def changed(fold: FoldScores, column: int, *, labels: float | None = None, scores: float | None = None):
    """The same with one value for all labels, or all scores, of a task."""
    new = {"labels": fold.labels.copy(), "scores": fold.scores.copy()}
    for name, value in (("labels", labels), ("scores", scores)):
        if value is not None:
            new[name][:, column] = value
    return FoldScores(
        fold.rows, new["labels"], new["scores"], fold.probabilities, fold.baseline, fold.seconds
    )
