"""Judging rankings of molecules: early enrichment, areas, calibration, intervals, tests and figures.

Everything takes labels (1 active, 0 inactive, NaN not measured) and scores, wherever they come from. Tied
molecules count in expectation over their orders.

Examples
--------
>>> labels, scores = [1, 1, 0, 0, float("nan")], [0.9, 0.4, 0.4, 0.1, 0.8]
>>> roc_auc(labels, scores), enrichment_factor(labels, scores, 0.5)
(0.875, 1.5)
"""

from molig.stats.curves import (
    enrichment_curve,
    expected_calibration_error,
    reliability_curve,
    roc_curve_points,
)
from molig.stats.intervals import bootstrap_intervals, sign_test
from molig.stats.plots import draw_enrichment, draw_reliability, draw_roc, save_figure
from molig.stats.ranking import (
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

__all__ = [
    "FIGURES",
    "RankingQuality",
    "bedroc",
    "bootstrap_intervals",
    "brier_score",
    "draw_enrichment",
    "draw_reliability",
    "draw_roc",
    "enrichment_curve",
    "enrichment_factor",
    "expected_calibration_error",
    "pr_auc",
    "ranking_quality",
    "reliability_curve",
    "roc_auc",
    "roc_curve_points",
    "save_figure",
    "sign_test",
    "tie_fraction",
]
