"""Trained models: loading, saving, predicting."""

from molig.model.card import model_card
from molig.model.domain import Applicability, ApplicabilityFlag, DomainStatus
from molig.model.files import bundled_models, find_model, load_info, load_model, save_model
from molig.model.info import (
    ApplicabilityInfo,
    AuditedFinding,
    AuditSummary,
    AuxiliaryTable,
    BaselineComparison,
    BaselineScore,
    BaselineValue,
    CommitteeInfo,
    CrossValidation,
    MemberInfo,
    ModelInfo,
    MoleculePolicy,
    Objective,
    Provenance,
    RegressionMetrics,
    SizeRange,
    TasksWon,
)
from molig.model.scoring import Predictions, Scored, ScoringModel
from molig.model.screening_model import ScreeningModel
from molig.model.side_by_side import SideBySide

__all__ = [
    "Applicability",
    "ApplicabilityFlag",
    "ApplicabilityInfo",
    "AuditSummary",
    "AuditedFinding",
    "AuxiliaryTable",
    "BaselineComparison",
    "BaselineScore",
    "BaselineValue",
    "CommitteeInfo",
    "CrossValidation",
    "DomainStatus",
    "MemberInfo",
    "ModelInfo",
    "MoleculePolicy",
    "Objective",
    "Predictions",
    "Provenance",
    "RegressionMetrics",
    "Scored",
    "ScoringModel",
    "ScreeningModel",
    "SideBySide",
    "SizeRange",
    "TasksWon",
    "bundled_models",
    "find_model",
    "load_info",
    "load_model",
    "model_card",
    "save_model",
]
