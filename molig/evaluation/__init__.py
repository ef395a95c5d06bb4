"""Judging how well networks rank, beside simple methods on the same folds.

Examples
--------
>>> [baseline.title for baseline in resolve_baselines()]
['Random forest', 'Logistic regression', 'Nearest active']
"""

from molig.evaluation.baselines import resolve_baselines
from molig.evaluation.card import attach_to_model
from molig.evaluation.held_out import HeldOut, judge_held_out, table_of_model, write_reproduction
from molig.evaluation.plan import EvaluationPlan, plan_evaluation
from molig.evaluation.report import write_evaluation
from molig.evaluation.run import Evaluation, EvaluationRun, evaluate

__all__ = [
    "Evaluation",
    "EvaluationPlan",
    "EvaluationRun",
    "HeldOut",
    "attach_to_model",
    "evaluate",
    "judge_held_out",
    "plan_evaluation",
    "resolve_baselines",
    "table_of_model",
    "write_evaluation",
    "write_reproduction",
]
