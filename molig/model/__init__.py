"""Trained models: loading, saving, predicting."""

from molig.model.card import model_card
from molig.model.files import build_network, bundled_models, find_model, load_model, save_model
from molig.model.info import (
    BaselineScore,
    BaselineValue,
    ModelInfo,
    MoleculePolicy,
    Objective,
    Provenance,
    RegressionMetrics,
    TaskMetrics,
)
from molig.model.relaxed import Densities, FeatureRows, RelaxedMolecules
from molig.model.screening_model import Predictions, ScreeningModel, resolve_device

__all__ = [
    "BaselineScore",
    "BaselineValue",
    "Densities",
    "FeatureRows",
    "ModelInfo",
    "MoleculePolicy",
    "Objective",
    "Predictions",
    "Provenance",
    "RegressionMetrics",
    "RelaxedMolecules",
    "ScreeningModel",
    "TaskMetrics",
    "build_network",
    "bundled_models",
    "find_model",
    "load_model",
    "model_card",
    "resolve_device",
    "save_model",
]
