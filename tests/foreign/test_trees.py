"""Shapley values of trees and linear scores against the definition: every subset of the columns."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, StandardScaler

from molig.errors import ModelFormatError
from molig.foreign.estimators import Scale, read_estimator
from molig.foreign.shares import Background
from molig.foreign.trees import NEVER, TreeEnsemble

N_COLUMNS = 6
RANDOM = np.random.default_rng(7)
COUNTS = RANDOM.poisson(0.8, (120, N_COLUMNS)).astype(float)
VALUES = COUNTS[:, 0] - COUNTS[:, 1] * COUNTS[:, 2] + 0.5 * (COUNTS[:, 3] > 1) + RANDOM.normal(0, 0.2, 120)
CLASSES = (VALUES > 0.3).astype(int)

FITTED = {
    "forest": RandomForestClassifier(8, random_state=0).fit(COUNTS, CLASSES),
    "several classes": RandomForestClassifier(5, random_state=0).fit(COUNTS, np.digitize(VALUES, [0, 1])),
    "values": RandomForestRegressor(8, random_state=0).fit(COUNTS, VALUES),
    "boosted": GradientBoostingClassifier(n_estimators=15, random_state=0).fit(COUNTS, CLASSES),
    "histogram": HistGradientBoostingRegressor(max_iter=15, min_samples_leaf=5).fit(COUNTS, VALUES),
    "scaled": make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)).fit(COUNTS, CLASSES),
    "linear": make_pipeline(StandardScaler(), LogisticRegression()).fit(COUNTS, CLASSES),
    "bits": make_pipeline(Binarizer(), RandomForestRegressor(5, random_state=0)).fit(COUNTS, VALUES),
}


def own(estimator, scale, rows):
    """Scores by the estimator's own code."""
    if scale is Scale.VALUE:
        return estimator.predict(rows).reshape(len(rows), -1)
    if scale is Scale.LOGIT:
        return estimator.decision_function(rows).reshape(len(rows), -1)
    found = estimator.predict_proba(rows)
    return found[:, 1:] if found.shape[1] == 2 else found


def by_subsets(score, row, references):
    """Shapley values by the definition."""
    n = len(row)
    values = np.zeros(n)
    for column in range(n):
        others = [other for other in range(n) if other != column]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for subset in combinations(others, size):
                mixed = references.copy()
                mixed[:, list(subset)] = row[list(subset)]
                with_it = mixed.copy()
                with_it[:, column] = row[column]
                values[column] += weight * (score(with_it) - score(mixed)).mean()
    return values


@pytest.mark.parametrize("n_references", [1, 13, 70])
@pytest.mark.parametrize("name", FITTED)
def test_shares_are_shapley_values(name, n_references):
    estimator = FITTED[name]
    read = read_estimator(estimator)
    references = COUNTS[:n_references] if n_references > 1 else np.zeros((1, N_COLUMNS))
    background = Background.of_fingerprints(csr_matrix(references))
    output = len(read.tasks) - 1
    for row in COUNTS[100:102]:
        found = read.scores.shares(csr_matrix(row[None]), output, background)
        expected = by_subsets(lambda rows: own(estimator, read.scale, rows)[:, output], row, references)
        np.testing.assert_allclose(found.columns, expected, atol=1e-12)
        assert found.end == pytest.approx(own(estimator, read.scale, row[None])[0, output], abs=1e-12)
        start = own(estimator, read.scale, references)[:, output].mean()
        assert found.start == pytest.approx(start, abs=1e-12)
        assert (found.errors == 0).all() == (n_references == 1)


@given(
    st.lists(st.integers(0, 4), min_size=N_COLUMNS, max_size=N_COLUMNS),
    st.lists(st.lists(st.integers(0, 4), min_size=N_COLUMNS, max_size=N_COLUMNS), min_size=1, max_size=80),
    st.sampled_from(sorted(FITTED)),
)
def test_properties(row, references, name):
    read = READ[name]
    background = Background.of_fingerprints(csr_matrix(np.array(references, dtype=float)))
    row, rows = np.array([row], dtype=float), np.array(references)
    found = read.scores.shares(csr_matrix(row), 0, background)
    assert found.columns.sum() == pytest.approx(found.end - found.start, abs=1e-10)
    # A column that is everywhere the same has no share, however it is used.
    same = (rows == row).all(axis=0)
    assert (found.columns[same] == 0).all()
    # The mean over references is the mean of the shares against each.
    each = [
        read.scores.shares(csr_matrix(row), 0, Background.of_fingerprints(csr_matrix(one[None] * 1.0)))
        for one in rows[:5]
    ]
    first = read.scores.shares(csr_matrix(row), 0, Background.of_fingerprints(csr_matrix(rows[:5] * 1.0)))
    np.testing.assert_allclose(first.columns, np.mean([one.columns for one in each], axis=0), atol=1e-10)


READ = {name: read_estimator(estimator) for name, estimator in FITTED.items()}


def test_errors_cover_the_mean_of_the_library():
    read = READ["forest"]
    library = np.random.default_rng(1).poisson(0.8, (20_000, N_COLUMNS)).astype(float)
    row = csr_matrix(COUNTS[:1])
    truth = read.scores.shares(row, 0, Background.of_fingerprints(csr_matrix(library))).columns
    off = []
    for part in np.split(library, 200):
        found = read.scores.shares(row, 0, Background.of_fingerprints(csr_matrix(part)))
        off.append((found.columns - truth) / np.maximum(found.errors, 1e-300))
    spread = np.std(off, axis=0)[truth != 0]
    assert ((spread > 0.8) & (spread < 1.3)).all()


def stump(**changes):
    tables = {
        "tree_starts": np.array([0, 3]),
        "column": np.array([0, -1, -1], dtype=np.int32),
        "least": np.array([1, 0, 0], dtype=np.int32),
        "left": np.array([1, 0, 0], dtype=np.int32),
        "right": np.array([2, 0, 0], dtype=np.int32),
        "value": np.array([[0.0], [1.0], [3.0]]),
        "base": np.zeros(1),
        "n_columns": 2,
    }
    given = tables | changes
    return TreeEnsemble(given.pop("tree_starts"), given.pop("column"), given.pop("least"), **given)


def test_stump():
    background = Background.empty(2)
    found = stump().shares(csr_matrix([[2.0, 5.0]]), 0, background)
    assert (found.start, found.end, found.columns.tolist()) == (1.0, 3.0, [2.0, 0.0])
    assert stump(least=np.array([NEVER, 0, 0], np.int32)).scores(csr_matrix([[9.0, 0.0]])) == 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"left": np.array([0, 0, 0], np.int32)},
        {"right": np.array([3, 0, 0], np.int32)},
        {"right": np.array([-1, 0, 0], np.int32)},
        {"right": np.array([1, 0, 0], np.int32)},
        {"column": np.array([2, -1, -1], np.int32)},
        {"column": np.array([0, 1, -1], np.int32)},
        {"column": np.array([-2, -1, -1], np.int32)},
        {"value": np.array([[0.0], [np.nan], [3.0]])},
        {"value": np.zeros((3, 2))},
        {"base": np.array([np.inf])},
        {"tree_starts": np.array([0, 2])},
        {"tree_starts": np.array([0, 0, 3])},
        {"tree_starts": np.array([0])},
        {"least": np.array([-1, 0, 0], np.int32)},
    ],
)
def test_tables_that_make_no_trees_are_refused(changes):
    with pytest.raises(ModelFormatError, match="do not make trees"):
        stump(**changes)
