"""The ranking as groups of ties, whole and condensed."""

import numpy as np
import pytest
from hypothesis import given
from support.rankings import rankings

from molig.stats.ranking import KERNELS, ranking_of


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
