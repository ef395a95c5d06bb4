"""Judging how well networks rank, beside simple methods on the same folds.

Examples
--------
>>> [baseline.title for baseline in resolve_baselines()]
['Random forest', 'Logistic regression', 'Nearest active']
"""

from molig.evaluation.baselines import BASELINES, Baseline, resolve_baselines
from molig.evaluation.card import attach_to_model, summary_for_card
from molig.evaluation.figures import Comparison, MethodFigures, TaskFigures, compare, method_figures
from molig.evaluation.held_out import (
    TOLERANCE,
    FigureDifference,
    HeldOut,
    judge_held_out,
    table_of_model,
    write_reproduction,
)
from molig.evaluation.methods import FoldScores
from molig.evaluation.plan import EvaluationPlan, plan_evaluation
from molig.evaluation.report import evaluation_json, evaluation_markdown, method_title, write_evaluation
from molig.evaluation.run import Evaluation, EvaluationRun, evaluate, judge

__all__ = [
    "BASELINES",
    "TOLERANCE",
    "Baseline",
    "Comparison",
    "Evaluation",
    "EvaluationPlan",
    "EvaluationRun",
    "FigureDifference",
    "FoldScores",
    "HeldOut",
    "MethodFigures",
    "TaskFigures",
    "attach_to_model",
    "compare",
    "evaluate",
    "evaluation_json",
    "evaluation_markdown",
    "judge",
    "judge_held_out",
    "method_figures",
    "method_title",
    "plan_evaluation",
    "resolve_baselines",
    "summary_for_card",
    "table_of_model",
    "write_evaluation",
    "write_reproduction",
]
