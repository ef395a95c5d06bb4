"""All figures together are the figures one by one."""

import math

import numpy as np
import pytest
from hypothesis import given
from support.rankings import rankings

from molig.stats import (
    FIGURES,
    RankingQuality,
    bedroc,
    brier_score,
    enrichment_factor,
    pr_auc,
    ranking_quality,
    roc_auc,
    tie_fraction,
)


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
