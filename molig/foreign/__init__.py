"""Models of other packages, read without running anything from their files and scored by molig's own code."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from molig.foreign.admet_ai import ADMET_AI, AdmetAI, load_admet_ai
from molig.foreign.chemprop_files import InputOptions, load_chemprop
from molig.foreign.chemprop_model import ChempropModel, Ensemble, ExtraInputs
from molig.foreign.chemprop_molecules import ChempropParser
from molig.foreign.fingerprints import FingerprintOptions, MorganFingerprint
from molig.foreign.loading import is_foreign, load_any_model, load_foreign, load_models

if TYPE_CHECKING:
    from molig.foreign.estimator_files import load_fingerprint_model
    from molig.foreign.fingerprint_model import FingerprintModel

__all__ = [
    "ADMET_AI",
    "AdmetAI",
    "ChempropModel",
    "ChempropParser",
    "Ensemble",
    "ExtraInputs",
    "FingerprintModel",
    "FingerprintOptions",
    "InputOptions",
    "MorganFingerprint",
    "is_foreign",
    "load_admet_ai",
    "load_any_model",
    "load_chemprop",
    "load_fingerprint_model",
    "load_foreign",
    "load_models",
]

# Loaded at first use: they need scikit-learn, which takes a second.
_HOMES = {
    "FingerprintModel": "molig.foreign.fingerprint_model",
    "load_fingerprint_model": "molig.foreign.estimator_files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'molig.foreign' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
