"""Judging how well networks rank, beside simple methods on the same folds.

Examples
--------
>>> [baseline.title for baseline in resolve_baselines()]
['Random forest', 'Logistic regression', 'Nearest active']
"""

from molig.validation.attach import attach_to_model, summary_for_card
from molig.validation.baselines import BASELINES, Baseline, resolve_baselines
from molig.validation.files import evaluation_json, write_evaluation
from molig.validation.heldout import HeldOut, judge_held_out, table_of_model
from molig.validation.markdown import evaluation_markdown, method_title
from molig.validation.plan import EvaluationPlan, plan_evaluation
from molig.validation.predictions import FoldScores
from molig.validation.protocol import Evaluation, EvaluationRun, evaluate, judge
from molig.validation.reproduction import TOLERANCE, FigureDifference
from molig.validation.reproduction_files import write_reproduction
from molig.validation.results import Comparison, MethodFigures, TaskFigures, compare, method_figures

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
