"""The sign test against scipy's binomial test."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from molig.errors import UsageError
from molig.stats import sign_test

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
