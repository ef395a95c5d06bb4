"""Judging rankings of molecules: early enrichment, areas, calibration, intervals, tests and figures.

Everything takes labels (1 active, 0 inactive, NaN not measured) and scores, wherever they come from. Tied
molecules count in expectation over their orders.

Examples
--------
>>> labels, scores = [1, 1, 0, 0, float("nan")], [0.9, 0.4, 0.4, 0.1, 0.8]
>>> roc_auc(labels, scores), enrichment_factor(labels, scores, 0.5)
(0.875, 1.5)
"""

from molig.stats.intervals import bootstrap_intervals, sign_test
from molig.stats.ranking import (
    RankingQuality,
    bedroc,
    brier_score,
    enrichment_factor,
    pr_auc,
    ranking_quality,
    roc_auc,
)

__all__ = [
    "RankingQuality",
    "bedroc",
    "bootstrap_intervals",
    "brier_score",
    "enrichment_factor",
    "pr_auc",
    "ranking_quality",
    "roc_auc",
    "sign_test",
]
