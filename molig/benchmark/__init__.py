"""Judging explanations against published ground truth: data sets, metrics, ablation, comparison, benchmark.

Metrics and comparison take atom scores, wherever they come from; the benchmark trains and explains as well.

Examples
--------
>>> import numpy as np
>>> truths = [np.array([[1.0, 1.0, 0.0]])]
>>> evaluate("attribution_auroc", truths, [np.array([0.7, 0.4, 0.5])]).value
0.5
"""

from molig.benchmark.ablation import (
    ABLATION_METHODS,
    AblationPlan,
    draw_drop_curves,
    drop_curves,
    model_drop_curves,
    one_task,
    top_molecules,
)
from molig.benchmark.compare import ModelQuality, compare, model_quality, to_markdown
from molig.benchmark.estimates import Estimate, Resampling, evaluate, molecule_terms, ratio_estimate
from molig.benchmark.explained import BENCHMARK_METHODS, ExplainedSet, explain_set, resolve_methods
from molig.benchmark.files import benchmark_json, benchmark_markdown, benchmark_molecules
from molig.benchmark.ground_truth import GroundTruth, GroundTruthSet, ground_truth_sets, read_ground_truth
from molig.benchmark.metrics import (
    Metric,
    attribution_auroc,
    evaluation_metric,
    evaluation_metrics,
    kendall_tau,
    merge_ties,
    top_n,
)
from molig.benchmark.models import benchmark_models
from molig.benchmark.published import (
    PublishedFigures,
    published_figures,
    read_published_results,
    summarize_published,
)
from molig.benchmark.recipe import (
    AttributionOptions,
    BenchmarkRecipe,
    Projection,
    default_benchmark_recipe,
    read_benchmark_recipe,
)
from molig.benchmark.run import BenchmarkPlan, BenchmarkResult, judge_models, judged_molecules, n_explanations

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
