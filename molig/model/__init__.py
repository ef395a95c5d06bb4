"""Trained models: loading, saving, predicting."""

from molig.model.card import model_card
from molig.model.device import resolve_device
from molig.model.domain import Applicability, ApplicabilityFlag, DomainStatus
from molig.model.files import build_network, bundled_models, find_model, load_info, load_model, save_model
from molig.model.info import (
    ApplicabilityInfo,
    AuditedFinding,
    AuditSummary,
    AuxiliaryTable,
    BaselineComparison,
    BaselineScore,
    BaselineValue,
    CrossValidation,
    ModelInfo,
    MoleculePolicy,
    Objective,
    Provenance,
    RegressionMetrics,
    SizeRange,
    TasksWon,
)
from molig.model.predictions import Predictions
from molig.model.relaxed import Densities, FeatureRows, RelaxedMolecules
from molig.model.screening_model import ScreeningModel

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
    "CrossValidation",
    "Densities",
    "DomainStatus",
    "FeatureRows",
    "ModelInfo",
    "MoleculePolicy",
    "Objective",
    "Predictions",
    "Provenance",
    "RegressionMetrics",
    "RelaxedMolecules",
    "ScreeningModel",
    "SizeRange",
    "TasksWon",
    "build_network",
    "bundled_models",
    "find_model",
    "load_info",
    "load_model",
    "model_card",
    "resolve_device",
    "save_model",
]
