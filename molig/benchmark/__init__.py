"""Judging explanations against published ground truth: data sets, metrics, ablation, comparison, benchmark.

Metrics and comparison take atom scores, wherever they come from; the benchmark trains and explains as well.

Examples
--------
>>> import numpy as np
>>> truths = [np.array([[1.0, 1.0, 0.0]])]
>>> evaluate("attribution_auroc", truths, [np.array([0.7, 0.4, 0.5])]).value
0.5
"""

from molig.benchmark.ablation import AblationPlan, drop_curves
from molig.benchmark.compare import ModelQuality, compare
from molig.benchmark.estimates import Estimate, Resampling, evaluate
from molig.benchmark.ground_truth import GroundTruth, ground_truth_sets, read_ground_truth
from molig.benchmark.metrics import attribution_auroc, is_flat, jaccard, kendall_tau, top_n
from molig.benchmark.own_truth import read_own_truth
from molig.benchmark.rules import read_rule_set, rule_sets

__all__ = [
    "AblationPlan",
    "Estimate",
    "GroundTruth",
    "ModelQuality",
    "Resampling",
    "attribution_auroc",
    "compare",
    "drop_curves",
    "evaluate",
    "ground_truth_sets",
    "is_flat",
    "jaccard",
    "kendall_tau",
    "read_ground_truth",
    "read_own_truth",
    "read_rule_set",
    "rule_sets",
    "top_n",
]
