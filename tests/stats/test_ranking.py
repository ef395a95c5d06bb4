"""Ranking figures against RDKit and scikit-learn, and ties against listing all their orders."""

import math
from functools import partial
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit.ML.Scoring.Scoring import CalcAUC, CalcBEDROC, CalcEnrichment
from sklearn.metrics import average_precision_score, roc_auc_score
from support.rankings import rankings

from molig.errors import UsageError
from molig.stats import (
    RankingQuality,
    bedroc,
    brier_score,
    enrichment_factor,
    pr_auc,
    ranking_quality,
    roc_auc,
)
from molig.stats.ranking import FIGURES, KERNELS, ranking_of, tie_fraction

# Metrics against RDKit and scikit-learn, and ties against listing all their orders.


approx = partial(pytest.approx, abs=1e-9)

METRICS = {
    "roc_auc": roc_auc,
    "pr_auc": pr_auc,
    "bedroc": bedroc,
    "ef_5": lambda labels, scores: enrichment_factor(labels, scores, 0.05),
    "ef_40": lambda labels, scores: enrichment_factor(labels, scores, 0.4),
    "tie_fraction": tie_fraction,
}


def random_ranking(n, n_actives, seed):
    """Labels best first, scores all different."""
    labels = np.zeros(n)
    labels[np.random.default_rng(seed).permutation(n)[:n_actives]] = 1
    return labels, np.arange(n, 0, -1.0)


def column(labels):
    return [[bool(label)] for label in labels]


@pytest.mark.parametrize("alpha", [1.0, 20.0, 160.9, 500.0])
@pytest.mark.parametrize(("n", "n_actives"), [(2, 1), (10, 9), (200, 7), (3000, 1200)])
def test_bedroc_without_ties_is_that_of_rdkit(n, n_actives, alpha):
    labels, scores = random_ranking(n, n_actives, seed=n)
    assert bedroc(labels, scores, alpha) == pytest.approx(CalcBEDROC(column(labels), 0, alpha), abs=1e-9)


@pytest.mark.parametrize("fraction", [0.005, 0.01, 0.05, 0.07, 0.5])
@pytest.mark.parametrize(("n", "n_actives"), [(40, 3), (100, 20), (999, 50), (2000, 11)])
def test_enrichment_without_ties_is_that_of_rdkit(n, n_actives, fraction):
    labels, scores = random_ranking(n, n_actives, seed=n)
    # 7 % of 100 is 7.000000000000001 in floating point, which RDKit rounds up to 8.
    asked = fraction if (n, fraction) != (100, 0.07) else 0.0699
    (expected,) = CalcEnrichment(column(labels), 0, [asked])
    assert enrichment_factor(labels, scores, fraction) == pytest.approx(expected)


@given(rankings(both_classes=True))
def test_areas_are_those_of_scikit_learn(ranking):
    labels, scores = ranking
    assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert pr_auc(labels, scores) == pytest.approx(average_precision_score(labels, scores))


@given(rankings(max_size=6, both_classes=True), st.sampled_from([0.1, 0.3, 0.5, 0.8, 1.0]))
def test_ties_count_their_mean_over_all_orders(ranking, fraction):
    labels, scores = ranking
    top = math.ceil(round(len(labels) * fraction, 9))
    allowed = [
        column(labels[list(order)])
        for order in permutations(range(len(scores)))
        if (np.diff(scores[list(order)]) <= 0).all()
    ]
    assert roc_auc(labels, scores) == approx(np.mean([CalcAUC(ranked, 0) for ranked in allowed]))
    assert bedroc(labels, scores, 5.0) == approx(np.mean([CalcBEDROC(ranked, 0, 5.0) for ranked in allowed]))
    hits = np.mean([np.sum(ranked[:top]) for ranked in allowed])
    assert enrichment_factor(labels, scores, fraction) == approx(hits / top / labels.mean())


def test_equal_scores_are_a_random_order():
    labels = np.repeat([1.0, 0.0], [7, 93])
    scores = np.full(100, 0.3)
    assert [enrichment_factor(labels, scores, f) for f in (0.005, 0.01, 0.05, 1.0)] == approx([1.0] * 4)
    assert roc_auc(labels, scores) == 0.5
    assert pr_auc(labels, scores) == approx(0.07)
    assert tie_fraction(labels, scores) == 1.0


@given(rankings())
def test_tie_fraction_counts_molecules_with_a_double(ranking):
    labels, scores = ranking
    doubles = [np.sum(scores == score) > 1 for score in scores]
    assert tie_fraction(labels, scores) == approx(np.mean(doubles))


@given(rankings(both_classes=True), st.integers(0, 2**32 - 1))
def test_only_the_order_of_the_scores_counts(ranking, seed):
    labels, scores = ranking
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    for metric in METRICS.values():
        figure = metric(labels, scores)
        assert metric(labels, np.exp(scores) * 3 + 7) == figure
        assert metric(labels[shuffled], scores[shuffled]) == approx(figure)


@given(rankings(both_classes=True), st.sampled_from([0.01, 0.2, 0.75]))
def test_figures_lie_within_their_bounds(ranking, fraction):
    labels, scores = ranking
    for name in ("roc_auc", "pr_auc", "bedroc", "tie_fraction"):
        assert 0 <= METRICS[name](labels, scores) <= 1
    best = min(1 / fraction, len(labels) / labels.sum())
    assert 0 <= enrichment_factor(labels, scores, fraction) <= best + 1e-9


@given(rankings(both_classes=True))
def test_reversed_scores_reverse_the_roc_curve(ranking):
    labels, scores = ranking
    assert roc_auc(labels, -scores) == approx(1 - roc_auc(labels, scores))


@pytest.mark.parametrize("name", METRICS)
def test_molecules_that_were_not_measured_are_left_out(name):
    labels, scores = random_ranking(60, 9, seed=1)
    more_labels = np.concatenate([labels, [np.nan, np.nan]])
    more_scores = np.concatenate([scores, [1e9, np.nan]])
    assert METRICS[name](more_labels, more_scores) == METRICS[name](labels, scores)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "tie_fraction"])
@pytest.mark.parametrize("labels", [[], [1.0], [0.0, 0.0], [1.0, 1.0], [math.nan, math.nan]])
def test_without_both_classes_nothing_is_defined(name, labels):
    assert math.isnan(METRICS[name](labels, np.arange(len(labels))))


def test_no_molecule_has_no_tie_fraction():
    assert math.isnan(tie_fraction([math.nan], [1.0]))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([1, 0, 0], [0.1, math.nan, math.inf], r"score of molecule 1, counted from 0, is nan \(and 1 more\)"),
        ([1, 2], [0.1, 0.2], "label of molecule 1, counted from 0, is 2; it must be 1"),
        ([1, 0], [0.1], "2 labels, but 1 values"),
        ([[1, 0]], [[0.1, 0.2]], "one label per molecule"),
        (["yes", "no"], [0.1, 0.2], "every label must be a number"),
    ],
)
def test_wrong_input_is_refused_and_named(name, labels, scores, words):
    with pytest.raises(UsageError, match=words):
        METRICS[name](labels, scores)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, math.nan])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(UsageError, match="fraction of an enrichment factor"):
        enrichment_factor([1, 1], [1, 2], fraction)


@pytest.mark.parametrize("alpha", [0.0, -20.0, math.inf, math.nan])
def test_impossible_alphas_are_refused(alpha):
    with pytest.raises(UsageError, match="alpha of BEDROC"):
        bedroc([1, 1], [1, 2], alpha)


# The ranking as groups of ties, whole and condensed.


def test_groups_hold_equal_scores_best_first():
    ranking = ranking_of([1, 0, np.nan, 1, 0, 0], [0.5, 0.5, 0.5, 0.9, 0.1, -0.0])
    assert ranking.actives.tolist() == [1, 1, 0, 0]
    assert ranking.sizes.tolist() == [1, 2, 1, 1]


def test_the_two_zeros_are_equal():
    assert ranking_of([1, 0], [0.0, -0.0]).sizes.tolist() == [2]


def test_condensing_joins_neighbouring_inactives_only():
    condensed = ranking_of([0, 0, 1, 1, 0, 1, 0, 0], np.arange(8, 0, -1)).condensed()
    assert condensed.actives.tolist() == [0, 1, 1, 0, 1, 0]
    assert condensed.sizes.tolist() == [2, 1, 1, 1, 1, 2]


@given(rankings(max_size=12, both_classes=True))
def test_condensing_changes_no_figure(ranking):
    whole = ranking_of(*ranking)
    condensed = whole.condensed()
    for kernel in KERNELS.values():
        assert kernel(condensed) == pytest.approx(kernel(whole))


# All figures together are the figures one by one.


@given(rankings())
def test_figures_are_those_of_the_single_functions(ranking):
    labels, scores = ranking
    probabilities = np.clip(scores, 0, 1)
    single = {
        "roc_auc": roc_auc(labels, scores),
        "pr_auc": pr_auc(labels, scores),
        "bedroc": bedroc(labels, scores),
        "ef_0_5": enrichment_factor(labels, scores, 0.005),
        "ef_1": enrichment_factor(labels, scores, 0.01),
        "ef_5": enrichment_factor(labels, scores, 0.05),
        "tie_fraction": tie_fraction(labels, scores),
        "brier": brier_score(labels, probabilities),
    }
    expected = {name: None if math.isnan(value) else value for name, value in single.items()}
    quality = ranking_quality(labels, scores, probabilities)
    assert quality.figures() == pytest.approx(expected)
    assert (quality.n_actives, quality.n_inactives) == (labels.sum(), (1 - labels).sum())


def test_nothing_measured_defines_no_figure():
    found = ranking_quality([math.nan], [1.0], [0.5])
    assert (found.n_actives, found.n_inactives) == (0, 0)
    assert set(found.figures().values()) == {None}


def test_without_probabilities_there_is_no_brier_score():
    assert ranking_quality([1, 0], [2.0, 1.0]).brier is None


def test_every_figure_has_a_title():
    fields = set(RankingQuality.model_fields) - {"n_actives", "n_inactives", "intervals"}
    assert set(FIGURES) == fields
    assert len({figure.title for figure in FIGURES.values()}) == len(FIGURES)
