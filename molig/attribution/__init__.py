"""Integrated gradients: why a model gives a molecule its score."""

from molig.attribution.engine import Attributions, Tolerance, integrated_gradients
from molig.attribution.explanation import Explanation
from molig.attribution.integrated import Explainer, explain
from molig.attribution.quadrature import AdaptivePath
from molig.attribution.relaxed import RelaxedMolecules, Target

__all__ = [
    "AdaptivePath",
    "Attributions",
    "Explainer",
    "Explanation",
    "RelaxedMolecules",
    "Target",
    "Tolerance",
    "explain",
    "integrated_gradients",
]
