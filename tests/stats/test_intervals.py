"""Intervals and tests against resampling, scipy and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from molig.errors import UsageError
from molig.stats import bootstrap_intervals, ranking_quality, sign_test
from molig.stats import intervals as room
from molig.stats.intervals import bootstrap_samples, percentile_interval

# Bootstrap intervals against resampling molecules one by one.


NAMES = ["roc_auc", "pr_auc", "bedroc", "ef_0_5", "ef_1", "ef_5"]


def screen(n_actives, n_inactives, decimals=None, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat([1.0, 0.0], [n_actives, n_inactives])
    scores = rng.normal(size=len(labels)) + 1.2 * labels
    return labels, scores if decimals is None else scores.round(decimals)


def plain_intervals(labels, scores, n_resamples):
    """Draw molecules of each class with replacement, and judge each sample by itself."""
    rng = np.random.default_rng(1)
    classes = [np.flatnonzero(labels == label) for label in (1, 0)]
    found = []
    for _ in range(n_resamples):
        drawn = np.concatenate([rng.choice(members, len(members)) for members in classes])
        quality = ranking_quality(labels[drawn], scores[drawn])
        found.append([getattr(quality, name) for name in NAMES])
    return np.quantile(found, [0.25, 0.75], axis=0).T, np.std(found, axis=0)


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize(("n_actives", "n_inactives"), [(40, 800), (300, 300)])
def test_intervals_are_those_of_drawing_molecules(n_actives, n_inactives, decimals):
    labels, scores = screen(n_actives, n_inactives, decimals)
    expected, spread = plain_intervals(labels, scores, 500)
    # Quartiles: samples are dense there, so that few of them tell a wrong distribution from a right one.
    intervals = bootstrap_intervals(labels, scores, n_resamples=3000, level=0.5)
    assert list(intervals) == NAMES
    found = np.array(list(intervals.values()))
    # By chance they differ by about 0.07 of the spread; enrichment factors move in steps of one hit.
    top = np.ceil(len(labels) * np.array([0.005, 0.01, 0.05]))
    one_hit = np.concatenate([np.zeros(3), len(labels) / n_actives / top])
    assert (np.abs(found - expected) <= np.maximum(0.25 * spread, 1.001 * one_hit)[:, None]).all()


def test_an_interval_holds_the_figure_itself():
    labels, scores = screen(100, 900)
    quality = ranking_quality(labels, scores)
    for name, (low, high) in bootstrap_intervals(labels, scores, n_resamples=500).items():
        assert low <= getattr(quality, name) <= high


def test_both_ways_of_drawing_have_one_distribution(monkeypatch):
    counts = np.array([3, 0, 5, 1])
    samples = {}
    for cost in (0, 100):
        monkeypatch.setattr(room, "_GROUP_COST", cost)
        samples[cost] = room._drawn(counts, 40_000, np.random.default_rng(0))
    for drawn in samples.values():
        assert (drawn.sum(axis=1) == 9).all()
        assert drawn.mean(axis=0) == pytest.approx(counts, abs=0.05)
        assert drawn.var(axis=0) == pytest.approx(counts * (1 - counts / 9), abs=0.08)


def test_blocks_hold_all_resamples(monkeypatch):
    labels, scores = screen(10, 40)
    monkeypatch.setattr(room, "_CELLS_PER_BLOCK", 100)
    blocks = list(room._resamples(room.ranking_of(labels, scores), 33, np.random.default_rng(0)))
    assert len(blocks) > 5
    assert sum(len(block.sizes) for block in blocks) == 33
    assert all((block.sizes.sum(axis=1) == 50).all() and block.n_actives == 10 for block in blocks)


def test_the_seed_decides_and_a_wider_level_widens():
    labels, scores = screen(30, 300)
    once, again, other = (
        bootstrap_intervals(labels, scores, n_resamples=200, seed=seed) for seed in (3, 3, 4)
    )
    assert once == again
    assert once != other
    wide = bootstrap_intervals(labels, scores, n_resamples=200, seed=3, level=0.99)
    assert all(wide[name][0] <= once[name][0] and once[name][1] <= wide[name][1] for name in NAMES)


def test_equal_scores_have_no_spread():
    intervals = bootstrap_intervals([1, 0, 0, 1, 0], [0.5] * 5, n_resamples=50)
    assert intervals["roc_auc"] == (0.5, 0.5)
    assert intervals["ef_5"] == pytest.approx((1.0, 1.0))


def test_intervals_are_the_middle_of_the_samples():
    labels, scores = screen(30, 300)
    samples = bootstrap_samples(labels, scores, n_resamples=200, seed=3)
    intervals = bootstrap_intervals(labels, scores, n_resamples=200, seed=3, level=0.9)
    for name in NAMES:
        low, high = intervals[name]
        assert samples[name].shape == (200,)
        # Enrichment factors have few values, of which the limits take in all that are equal.
        assert ((samples[name] >= low) & (samples[name] <= high)).mean() >= 0.9
        assert percentile_interval(samples[name], 0.9) == intervals[name]


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan])
def test_impossible_levels_are_refused(level):
    with pytest.raises(UsageError, match="between 0 and 1"):
        percentile_interval(np.arange(5.0), level)


@pytest.mark.parametrize("labels", [[], [1.0, 1.0], [0.0, math.nan]])
def test_without_both_classes_nothing_is_defined(labels):
    intervals = bootstrap_intervals(labels, np.zeros(len(labels)))
    assert list(intervals) == NAMES
    assert np.isnan(list(intervals.values())).all()


@pytest.mark.parametrize(
    ("options", "words"), [({"n_resamples": 0}, "at least 1"), ({"level": 1.0}, "between 0 and 1")]
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        bootstrap_intervals([1, 0], [1.0, 0.0], **options)


# The sign test against scipy's binomial test.


FIGURES = st.lists(
    st.tuples(st.sampled_from([0.7, 0.8, 0.9]), st.sampled_from([0.7, 0.8, math.nan])), max_size=30
)


@given(FIGURES)
def test_p_value_is_that_of_scipy(pairs):
    first, second = np.array(pairs).reshape(-1, 2).T
    found = sign_test(first, second)
    assert found.wins + found.losses + found.ties == np.isfinite(second).sum()
    n = found.wins + found.losses
    assert found.p_value == pytest.approx(binomtest(found.wins, n).pvalue if n else 1.0)


def test_exchanging_the_methods_exchanges_wins_and_losses():
    found, back = sign_test([3, 2, 2, 5], [1, 2, 3, 4]), sign_test([1, 2, 3, 4], [3, 2, 2, 5])
    assert (found.wins, found.losses, found.ties) == (back.losses, back.wins, back.ties) == (2, 1, 1)
    assert found.p_value == back.p_value


def test_twelve_of_twelve():
    assert sign_test(np.ones(12), np.zeros(12)).p_value == 2 / 2**12


@pytest.mark.parametrize("pair", [([1, 2], [1]), ([[1]], [[2]])])
def test_unpaired_figures_are_refused(pair):
    with pytest.raises(UsageError, match="one figure per task"):
        sign_test(*pair)
