"""Judging how well networks rank, beside simple methods on the same folds."""

from molig.evaluation.plan import EvaluationPlan, plan_evaluation
from molig.evaluation.report import write_evaluation
from molig.evaluation.run import Evaluation, EvaluationRun, evaluate

__all__ = [
    "Evaluation",
    "EvaluationPlan",
    "EvaluationRun",
    "evaluate",
    "plan_evaluation",
    "write_evaluation",
]
