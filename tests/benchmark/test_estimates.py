"""Metrics of a set, and their intervals."""

import numpy as np
import pytest

from molig.benchmark import Resampling, evaluate
from molig.benchmark.estimates import molecule_terms, ratio_estimate
from molig.errors import UsageError


def test_a_mean_over_molecules_leaves_out_the_undefined():
    truths = [np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]), np.array([[0.0, 1.0]])]
    found = evaluate("attribution_auroc", truths, [np.array([1.0, 0.0])] * 3)
    assert (found.value, found.low, found.high, found.n_molecules) == (0.5, 0.0, 1.0, 2)


def test_top_n_pools_the_atoms():
    truths = [np.array([[1.0, 0.0, 0.0]]), np.array([[1.0, 1.0, 1.0]])]
    found = evaluate("top_n", truths, [np.array([0.0, 1.0, 2.0])] * 2)
    assert found.value == 3 / 4  # 0 of 1 and 3 of 3; the mean of the shares would be 1/2


def test_the_interval_is_that_of_resampled_molecules():
    rng = np.random.default_rng(3)
    above, below = rng.random(50), rng.integers(1, 4, 50).astype(float)
    how = Resampling(n_resamples=4000, seed=1)
    found = ratio_estimate(above, below, how)
    other = np.random.default_rng(99)
    ratios = []
    for _ in range(4000):
        drawn = other.choice(50, 50)
        ratios.append(above[drawn].sum() / below[drawn].sum())
    assert found.low == pytest.approx(np.percentile(ratios, 2.5), abs=0.005)
    assert found.high == pytest.approx(np.percentile(ratios, 97.5), abs=0.005)
    assert found.low < found.value < found.high


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    found = ratio_estimate(values, np.ones(400))
    error = values.std() / np.sqrt(400)
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)


def test_the_same_seed_gives_the_same_interval_whatever_the_chunks(monkeypatch):
    above, below = np.arange(30.0), np.ones(30)
    whole = ratio_estimate(above, below, Resampling(seed=5))
    monkeypatch.setattr("molig.stats.intervals._CELLS_PER_BLOCK", 100)
    assert ratio_estimate(above, below, Resampling(seed=5)) == whole
    assert ratio_estimate(above, below, Resampling(seed=6)) != whole


def test_nothing_that_counts_is_nan():
    found = evaluate("top_n", [np.zeros((1, 2))], [np.zeros(2)])
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.n_molecules == 0


def test_errors_name_the_molecule():
    with pytest.raises(UsageError, match=r"molecule 1 .*not finite"):
        molecule_terms("top_n", [np.zeros((1, 2))] * 2, [np.zeros(2), np.array([0.0, np.inf])])
    with pytest.raises(UsageError, match="of 2 molecules"):
        molecule_terms("top_n", [np.zeros((1, 2))] * 2, [np.zeros(2)])


@pytest.mark.parametrize("settings", [{"n_resamples": 0}, {"level": 1.0}, {"level": 0.0}])
def test_senseless_intervals_are_refused(settings):
    with pytest.raises(UsageError):
        Resampling(**settings)
