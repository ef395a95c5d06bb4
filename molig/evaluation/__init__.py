"""Judging explanations against published ground truth: data sets, metrics, ablation, comparison, benchmark.

Metrics and comparison take atom scores, wherever they come from; the benchmark trains and explains as well.

Examples
--------
>>> import numpy as np
>>> truths = [np.array([[1.0, 1.0, 0.0]])]
>>> evaluate("attribution_auroc", truths, [np.array([0.7, 0.4, 0.5])]).value
0.5
"""

from molig.evaluation.ablation import AblationPlan, drop_curves
from molig.evaluation.benchmark import (
    BenchmarkPlan,
    BenchmarkResult,
    judge_models,
    judged_molecules,
    n_explanations,
)
from molig.evaluation.benchmark_files import benchmark_json, benchmark_markdown, benchmark_molecules
from molig.evaluation.benchmark_model import benchmark_models
from molig.evaluation.benchmark_recipe import (
    AttributionOptions,
    BenchmarkRecipe,
    Projection,
    default_benchmark_recipe,
    read_benchmark_recipe,
)
from molig.evaluation.bootstrap import Estimate, Resampling, evaluate, molecule_terms, ratio_estimate
from molig.evaluation.compare import ModelQuality, compare, model_quality, to_markdown
from molig.evaluation.datasets import GroundTruth, read_ground_truth
from molig.evaluation.drop_chart import draw_drop_curves
from molig.evaluation.explained_set import ExplainedSet, explain_set
from molig.evaluation.methods import BENCHMARK_METHODS, resolve_methods
from molig.evaluation.metrics import (
    Metric,
    attribution_auroc,
    evaluation_metric,
    evaluation_metrics,
    kendall_tau,
    merge_ties,
    top_n,
)
from molig.evaluation.model_ablation import ABLATION_METHODS, model_drop_curves, one_task, top_molecules
from molig.evaluation.published import (
    PublishedFigures,
    published_figures,
    read_published_results,
    summarize_published,
)
from molig.evaluation.sets import GroundTruthSet, ground_truth_sets

__all__ = [
    "ABLATION_METHODS",
    "BENCHMARK_METHODS",
    "AblationPlan",
    "AttributionOptions",
    "BenchmarkPlan",
    "BenchmarkRecipe",
    "BenchmarkResult",
    "Estimate",
    "ExplainedSet",
    "GroundTruth",
    "GroundTruthSet",
    "Metric",
    "ModelQuality",
    "Projection",
    "PublishedFigures",
    "Resampling",
    "attribution_auroc",
    "benchmark_json",
    "benchmark_markdown",
    "benchmark_models",
    "benchmark_molecules",
    "compare",
    "default_benchmark_recipe",
    "draw_drop_curves",
    "drop_curves",
    "evaluate",
    "evaluation_metric",
    "evaluation_metrics",
    "explain_set",
    "ground_truth_sets",
    "judge_models",
    "judged_molecules",
    "kendall_tau",
    "merge_ties",
    "model_drop_curves",
    "model_quality",
    "molecule_terms",
    "n_explanations",
    "one_task",
    "published_figures",
    "ratio_estimate",
    "read_benchmark_recipe",
    "read_ground_truth",
    "read_published_results",
    "resolve_methods",
    "summarize_published",
    "to_markdown",
    "top_molecules",
    "top_n",
]
