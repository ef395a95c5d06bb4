"""All figures together are the figures one by one."""

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from support.rankings import rankings

from molig.stats import (
    METRICS,
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
    expected = RankingQuality(
        roc_auc=roc_auc(labels, scores),
        pr_auc=pr_auc(labels, scores),
        bedroc=bedroc(labels, scores),
        ef_0_5=enrichment_factor(labels, scores, 0.005),
        ef_1=enrichment_factor(labels, scores, 0.01),
        ef_5=enrichment_factor(labels, scores, 0.05),
        tie_fraction=tie_fraction(labels, scores),
        brier=brier_score(labels, probabilities),
        n_actives=int(labels.sum()),
        n_inactives=int((1 - labels).sum()),
    )
    assert vars(ranking_quality(labels, scores, probabilities)) == pytest.approx(vars(expected), nan_ok=True)


def test_nothing_measured_gives_nan_throughout():
    found = ranking_quality([math.nan], [1.0], [0.5])
    assert (found.n_actives, found.n_inactives) == (0, 0)
    assert all(math.isnan(getattr(found, metric.name)) for metric in METRICS)


def test_without_probabilities_there_is_no_brier_score():
    assert math.isnan(ranking_quality([1, 0], [2.0, 1.0]).brier)


def test_every_figure_has_a_title():
    names = [field.name for field in fields(RankingQuality) if not field.name.startswith("n_")]
    assert [metric.name for metric in METRICS] == names
    assert len({metric.title for metric in METRICS}) == len(METRICS)
