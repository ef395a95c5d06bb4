"""Metrics of one molecule against their definitions: counting pairs, scipy, listing every order of ties."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from molig.benchmark import attribution_auroc, is_flat, jaccard, kendall_tau, top_n
from molig.benchmark.metrics import Part, evaluation_metric, evaluation_metrics, merge_ties
from molig.errors import UnknownNameError, UsageError

# Few different values, so that ties are common.
SCORES = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 2.0]), min_size=1, max_size=7)


@st.composite
def molecules(draw, labels=(0.0, 1.0), max_alternatives=1):
    scores = np.array(draw(SCORES))
    row = st.lists(st.sampled_from(labels), min_size=len(scores), max_size=len(scores))
    truth = np.array(draw(st.lists(row, min_size=1, max_size=max_alternatives)))
    return truth, scores


def auroc_by_pairs(labels, scores):
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels > 0] for b in scores[labels <= 0]]
    return np.mean(pairs) if pairs else np.nan


@given(molecules(max_alternatives=4))
def test_auroc_is_the_best_share_of_pairs_in_order(molecule):
    truth, scores = molecule
    each = [auroc_by_pairs(labels, scores) for labels in truth]
    expected = np.nan if np.isnan(each).all() else np.nanmax(each)
    assert attribution_auroc(truth, scores) == pytest.approx(expected, nan_ok=True)


@given(molecules(max_alternatives=3))
def test_auroc_sees_the_order_of_scores_only(molecule):
    truth, scores = molecule
    assert attribution_auroc(truth, np.exp(scores) * 7) == pytest.approx(
        attribution_auroc(truth, scores), nan_ok=True
    )


def test_auroc_counts_the_sign():
    truth = np.array([1, 0, 0])
    assert attribution_auroc(truth, np.array([-5.0, 0.0, 1.0])) == 0.0
    assert attribution_auroc(truth, np.zeros(3)) == 0.5


def test_auroc_passes_over_explanations_that_tell_nothing():
    truth = np.array([[1, 1], [0, 0], [1, 0]])
    assert attribution_auroc(truth, np.array([0.0, 1.0])) == 0.0
    assert np.isnan(attribution_auroc(truth[:2], np.array([0.0, 1.0])))


@given(molecules(labels=(-0.3, 0.0, 0.1, 0.15)))
def test_tau_is_that_of_scipy(molecule):
    truth, scores = molecule
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = kendalltau(truth[0], scores).statistic if len(scores) > 1 else np.nan
    assert kendall_tau(truth, scores) == pytest.approx(expected, nan_ok=True, abs=1e-12)


@given(molecules())
def test_top_n_is_the_mean_over_all_orders_of_ties(molecule):
    truth, scores = molecule
    n = int(truth.sum())
    best = sorted(scores)[::-1]
    orders = [list(order) for order in permutations(range(len(scores))) if [scores[i] for i in order] == best]
    hits = np.mean([truth[0][order[:n]].sum() for order in orders])
    assert top_n(truth, scores) == (pytest.approx(hits), n)


def test_bottom_n_and_negative_auroc_look_at_negative_atoms():
    truth, scores = np.array([[-1.0, 0.0, 1.0]]), np.array([-3.0, 0.0, -4.0])
    assert evaluation_metric("bottom_n").terms(truth, scores) == (0.0, 1.0)
    assert evaluation_metric("auroc_negative").terms(truth, scores) == (0.5, 1.0)
    assert evaluation_metric("bottom_n").terms(truth, np.array([-8.0, 0.0, -4.0])) == (1.0, 1.0)


def test_molecules_without_contributing_atoms_do_not_count():
    truth, scores = np.zeros((1, 3)), np.arange(3.0)
    counted = {name for name, metric in evaluation_metrics().items() if metric.terms(truth, scores)[1]}
    assert counted == {"flat", "flat_bonds"}  # which judge just these


def test_jaccard_of_graphxai():
    """Atoms above half of the largest score, against the best of the explanations."""
    scores = np.array([1.0, 0.6, 0.5, -2.0])  # marks the first two: 0.5 is not above half of 1
    assert jaccard(np.array([1, 1, 0, 0]), scores) == 1.0
    assert jaccard(np.array([1, 0, 0, 0]), scores) == 0.5
    assert jaccard(np.array([[0, 0, 1, 1], [1, 1, 1, 0]]), scores) == pytest.approx(2 / 3)
    assert jaccard(np.array([0, 0, 1, 0]), scores) == 0.0
    assert jaccard(np.array([1, 1, 1, 0]), scores, share=0.1) == 1.0
    assert jaccard(np.array([1, 0, 0, 0]), -scores - 3) == 0.0  # nothing is marked below zero
    assert np.isnan(jaccard(np.zeros(4), scores))
    with pytest.raises(UsageError, match="share of the largest"):
        jaccard(np.zeros(4), scores, share=1.0)


@given(molecules(max_alternatives=3))
def test_jaccard_is_that_of_sets(molecule):
    truth, scores = molecule
    marked = {i for i, score in enumerate(scores) if score > 0.5 * max(scores)} if max(scores) > 0 else set()
    sets = [set(np.flatnonzero(row)) for row in truth if row.any()]
    expected = max((len(one & marked) / len(one | marked) for one in sets), default=np.nan)
    assert jaccard(truth, scores) == pytest.approx(expected, nan_ok=True)
    assert jaccard(truth, 3 * scores) == pytest.approx(expected, nan_ok=True)


def test_flat_by_the_fences_of_tukey():
    even = np.array([0.0, 1.0, 2.0, 3.0, 4.0])  # quartiles 1 and 3: fences at -2 and 6
    assert is_flat(even)
    assert is_flat(np.array([0.0, 1.0, 2.0, 3.0, 6.0]))
    assert not is_flat(np.array([0.0, 1.0, 2.0, 3.0, 6.01]))
    assert not is_flat(np.array([0.0, 0.0, 0.0, 0.0, 1e-9]))
    assert is_flat(np.zeros(5))
    with pytest.raises(UsageError, match="expected finite scores"):
        is_flat(np.array([]))


@given(SCORES)
def test_flat_does_not_see_scale_place_or_sign(scores):
    # Powers of two and whole numbers keep ties exact.
    scores = np.array(scores)
    assert is_flat(scores) == is_flat(4 * scores + 8) == is_flat(-scores)


def test_flat_counts_where_the_truth_tells_nothing_apart():
    flat, bonds = evaluation_metric("flat"), evaluation_metric("flat_bonds")
    spike = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
    assert flat.terms(np.zeros((1, 5)), spike) == (0.0, 1.0)
    assert flat.terms(np.ones((1, 5)), np.zeros(5)) == (1.0, 1.0)
    assert flat.terms(np.array([[1, 0, 0, 0, 0]]), spike) == (0.0, 0.0)
    assert bonds.terms(np.zeros((1, 0)), np.zeros(0)) == (0.0, 0.0)
    assert bonds.part is Part.BONDS


@given(molecules(labels=(0.1, 0.2)))
def test_rounding_errors_do_not_split_ties(molecule):
    truth, scores = molecule
    assume(scores.any())  # the tolerance is relative to the largest score
    noisy = scores + 1e-13 * np.random.default_rng(0).random(len(scores))
    merged = merge_ties(noisy)
    assert merged == pytest.approx(scores, abs=1e-12)
    assert kendall_tau(truth, merged) == pytest.approx(kendall_tau(truth, scores), nan_ok=True)


def test_ties_are_merged_only_within_the_tolerance():
    scores = np.array([0.0, 1.0, 1.05, -2.0])
    assert merge_ties(scores, 0.02).tolist() == scores.tolist()
    assert merge_ties(scores, 0.03).tolist() == pytest.approx([0.0, 1.025, 1.025, -2.0])
    assert merge_ties(np.array([])).size == 0
    with pytest.raises(UsageError, match="cannot be negative"):
        merge_ties(scores, -1.0)


@pytest.mark.parametrize("function", [attribution_auroc, jaccard, kendall_tau, top_n])
def test_what_does_not_fit_is_refused(function):
    with pytest.raises(UsageError, match=r"one score per atom, shape \(2,\) \(got shape \(3,\)\)"):
        function(np.array([[0.0, 1.0]]), np.zeros(3))
    with pytest.raises(UsageError, match="score of atom 1 is not finite"):
        function(np.array([[0.0, 1.0]]), np.array([0.0, np.nan]))


@pytest.mark.parametrize("function", [kendall_tau, top_n])
def test_metrics_of_one_truth_refuse_several(function):
    with pytest.raises(UsageError, match="one truth per molecule"):
        function(np.eye(2), np.zeros(2))


def test_unknown_metric_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'kendall_tau'"):
        evaluation_metric("kendal")
