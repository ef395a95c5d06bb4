"""Models of other packages, read without running anything from their files and scored by molig's own code."""

from molig.foreign.admet_ai import ADMET_AI, AdmetAI, load_admet_ai
from molig.foreign.chemprop import ChempropModel, Ensemble, ExtraInputs, InputOptions, load_chemprop
from molig.foreign.chemprop_molecules import ChempropParser
from molig.foreign.estimator_files import FingerprintOptions, load_fingerprint_model
from molig.foreign.fingerprint_model import FingerprintModel
from molig.foreign.fingerprints import MorganFingerprint
from molig.foreign.loading import is_foreign, load_any_model, load_foreign

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
]
