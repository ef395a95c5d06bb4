"""A forest against scikit-learn, its Shapley values against the sum over all coalitions."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from committee.members import SMILES, graphs_of, random_counts, vocabulary_of
from molig.committee import Forest, Vocabulary
from molig.committee.forest import shapley_part
from molig.errors import ModelFormatError
from molig.features import PackedGraphs

N_TRAINING = 60


def grown(seed: int, vocabulary: Vocabulary, trees: int = 7) -> tuple[Forest, list[RandomForestClassifier]]:
    """A forest of two tasks, and those of scikit-learn that it was made of."""
    rng = np.random.default_rng(seed)
    counts = random_counts(rng, N_TRAINING, len(vocabulary))
    labels = (counts @ rng.normal(size=(len(vocabulary), 2)) > 0).astype(int)
    forests = [
        RandomForestClassifier(trees, max_features=0.5, random_state=seed).fit(counts, label)
        for label in labels.T
    ]
    parts = [[tree.tree_ for tree in forest.estimators_] for forest in forests]
    values = [[tree.value[:, 0, -1] for tree in part] for part in parts]
    return Forest.of_trees(vocabulary, parts, values), forests


def small(n: int = 6) -> Vocabulary:
    """The commonest environments, few enough for all of their coalitions."""
    return vocabulary_of(most=n)


def paths(graphs: PackedGraphs, task: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(graphs)), np.full(len(graphs), task)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn(seed):
    vocabulary, graphs = vocabulary_of(), graphs_of()
    forest, known = grown(seed, vocabulary)
    counts = vocabulary.matrix(graphs).toarray()
    expected = np.stack([one.predict_proba(counts)[:, -1] for one in known], axis=1)
    np.testing.assert_allclose(forest.outputs(graphs), expected, atol=1e-6)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 131])
def test_company_does_not_matter(n):
    """Molecules go down the trees in groups of 64; each gets the score that it has alone."""
    vocabulary, graphs = vocabulary_of(), graphs_of()
    forest, known = grown(0, vocabulary, trees=30)
    chosen = np.random.default_rng(n).integers(0, len(graphs), n)
    many = graphs.select(chosen)
    counts = vocabulary.matrix(many).toarray()
    expected = np.stack([one.predict_proba(counts)[:, -1] for one in known], axis=1)
    found = forest.outputs(many)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found, forest.outputs(graphs)[chosen])


@pytest.mark.parametrize(("n_same", "n_other"), [(1, 0), (2, 3), (31, 31), (31, 32), (40, 60)])
def test_parts_of_a_leaf(n_same, n_other):
    expected = factorial(n_same - 1) * factorial(n_other) / factorial(n_same + n_other)
    assert shapley_part(n_same, n_other) == pytest.approx(expected, rel=1e-12)


def test_values_are_those_of_scikit_learn():
    vocabulary, graphs, rng = vocabulary_of(), graphs_of(), np.random.default_rng(0)
    counts = random_counts(rng, N_TRAINING, len(vocabulary))
    known = RandomForestRegressor(9, random_state=0).fit(counts, rng.normal(size=N_TRAINING))
    trees = [tree.tree_ for tree in known.estimators_]
    forest = Forest.of_trees(vocabulary, [trees], [[tree.value[:, 0, 0] for tree in trees]])
    expected = known.predict(vocabulary.matrix(graphs).toarray())
    np.testing.assert_allclose(forest.outputs(graphs)[:, 0], expected, atol=1e-6)


def shapley(score, n: int) -> np.ndarray:
    """Shapley values of n players by their definition."""
    values = np.zeros(n)
    for player in range(n):
        others = [other for other in range(n) if other != player]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for coalition in combinations(others, size):
                values[player] += weight * (score((*coalition, player)) - score(coalition))
    return values


@given(seed=st.integers(0, 1000), molecule=st.integers(0, len(SMILES) - 1), task=st.integers(0, 1))
@settings(max_examples=25)
def test_shares_are_shapley_values(seed, molecule, task):
    vocabulary = small()
    forest, known = grown(seed, vocabulary, trees=3)
    graph = graphs_of().select([molecule])
    counts = vocabulary.count(graph)
    whole = vocabulary.matrix(graph).toarray()[0]

    def score(coalition):
        there = np.zeros_like(whole)
        chosen = counts.columns[list(coalition)]
        there[chosen] = whole[chosen]
        return known[task].predict_proba(there[None])[0, -1]

    expected = counts.to_rows(0, shapley(score, len(counts.columns)))
    (share,) = forest.shares(graph, np.zeros(1, np.int64), np.array([task]), probability=True).shares
    np.testing.assert_allclose(share, expected, atol=1e-6)


@given(seed=st.integers(0, 1000), task=st.integers(0, 1))
@settings(max_examples=25)
def test_shares_add_up(seed, task):
    forest, _ = grown(seed, vocabulary_of())
    graphs = graphs_of()
    found = forest.shares(graphs, *paths(graphs, task), probability=True)
    np.testing.assert_allclose(found.ends, forest.outputs(graphs)[:, task], atol=1e-9)
    nothing = forest.along_path(graphs, np.zeros(len(graphs)))[:, task]
    np.testing.assert_allclose(found.starts, nothing, atol=1e-9)
    np.testing.assert_allclose([s.sum() for s in found.shares], found.ends - found.starts, atol=1e-9)


def test_the_path_goes_in_steps():
    forest, _ = grown(0, vocabulary_of())
    graphs = graphs_of()
    everywhere = [forest.along_path(graphs, np.full(len(graphs), a)) for a in np.linspace(0, 1, 201)]
    assert len({one.tobytes() for one in everywhere}) < 40
    assert not any(row.any() for row in forest.rates(graphs, np.ones(len(graphs)), np.zeros(7, np.int64)))


def test_tables_make_the_forest_again():
    forest, _ = grown(1, vocabulary_of())
    read = Forest.from_arrays(forest.arrays(), forest.vocabulary, 2)
    np.testing.assert_array_equal(read.outputs(graphs_of()), forest.outputs(graphs_of()))


def damaged(name, change):
    def spoil(arrays):
        table = arrays[name].clone()
        return arrays | {name: change(table)}

    return spoil


def put(place, value):
    def change(table):
        table[place] = value
        return table

    return change


DAMAGES = {
    "a child outside of its tree": damaged("right", lambda t: t + 30_000),
    "a child before its parent": damaged("right", put(0, 0)),
    "the left child as right child": damaged("right", put(0, 1)),
    "an unknown column": damaged("feature", put(0, 30_000)),
    "a negative column": damaged("feature", put(0, -2)),
    "a column beyond the type": damaged("feature", lambda t: t.to(torch.int64) + 2**40),
    "a value that is no number": damaged("value", put(-1, torch.nan)),
    "a tree without nodes": damaged("tree_starts", put(1, 0)),
    "trees that end early": damaged("tree_starts", lambda t: t[:-1]),
    "no trees": damaged("tree_starts", lambda t: t[:0]),
    "nothing at all": lambda arrays: {name: table[:0] for name, table in arrays.items()},
    "an unknown task": damaged("task_of_tree", put(0, 2)),
    "a table too short": damaged("least", lambda t: t[:-1]),
    "fractions": damaged("feature", lambda t: t.float() / 2),
    "a table of two dimensions": damaged("value", lambda t: t[:, None]),
    "counts beyond a byte": damaged("least", lambda t: t.to(torch.int64) + 256),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_tables_are_refused(damage):
    forest, _ = grown(2, vocabulary_of())
    with pytest.raises(ModelFormatError, match="forest"):
        Forest.from_arrays(damage(forest.arrays()), forest.vocabulary, 2)


def test_a_task_without_trees_is_refused():
    forest, _ = grown(2, vocabulary_of())
    with pytest.raises(ModelFormatError, match="forest"):
        Forest.from_arrays(forest.arrays(), forest.vocabulary, 3)
