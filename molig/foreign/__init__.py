"""Models of other packages, read without running anything from their files and scored by molig's own code."""

from molig.foreign.admet_ai import AdmetAI, load_admet_ai
from molig.foreign.chemprop import ChempropModel, Ensemble, ExtraInputs, InputOptions, load_chemprop
from molig.foreign.chemprop_molecules import ChempropParser

__all__ = [
    "AdmetAI",
    "ChempropModel",
    "ChempropParser",
    "Ensemble",
    "ExtraInputs",
    "InputOptions",
    "load_admet_ai",
    "load_chemprop",
]
