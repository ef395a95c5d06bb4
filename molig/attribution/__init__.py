"""Integrated gradients: why a model gives a molecule its score."""

from molig.attribution.api import explain
from molig.attribution.baselines import Baseline
from molig.attribution.curves import Saturation, saturation
from molig.attribution.engine import Attributions, Tolerance, integrated_gradients
from molig.attribution.explainer import Explainer
from molig.attribution.explanation import ABSENT, Explanation
from molig.attribution.functions import check_independent_rows
from molig.attribution.interior import InteriorGradients, interior_gradients
from molig.attribution.methods import Method
from molig.attribution.molecule_curves import MoleculeCurves, molecule_curves
from molig.attribution.panels import PanelPath
from molig.attribution.protocol import ExplainableModel, PathShares, RelaxedInputs
from molig.attribution.quadrature import AdaptivePath
from molig.attribution.targets import Target

__all__ = [
    "ABSENT",
    "AdaptivePath",
    "Attributions",
    "Baseline",
    "ExplainableModel",
    "Explainer",
    "Explanation",
    "InteriorGradients",
    "Method",
    "MoleculeCurves",
    "PanelPath",
    "PathShares",
    "RelaxedInputs",
    "Saturation",
    "Target",
    "Tolerance",
    "check_independent_rows",
    "explain",
    "integrated_gradients",
    "interior_gradients",
    "molecule_curves",
    "saturation",
]
