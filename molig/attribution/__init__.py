"""Integrated gradients: why a model gives a molecule its score."""

from molig.attribution.baselines import Baseline, Baselines, baseline_scores
from molig.attribution.contract import ContractPart, check_adapter
from molig.attribution.engine import Attributions, check_independent_rows, integrated_gradients
from molig.attribution.explainer import Explainer, explain
from molig.attribution.explanation import Explanation, Explanations
from molig.attribution.interior import InteriorGradients, interior_gradients
from molig.attribution.ledger import Ledger, ledger_of
from molig.attribution.methods import Method
from molig.attribution.molecule_curves import MoleculeCurves, Saturation, molecule_curves, saturation
from molig.attribution.protocol import ExplainableModel
from molig.attribution.targets import Target
from molig.attribution.torch_model import TorchModel

__all__ = [
    "Attributions",
    "Baseline",
    "Baselines",
    "ContractPart",
    "ExplainableModel",
    "Explainer",
    "Explanation",
    "Explanations",
    "InteriorGradients",
    "Ledger",
    "Method",
    "MoleculeCurves",
    "Saturation",
    "Target",
    "TorchModel",
    "baseline_scores",
    "check_adapter",
    "check_independent_rows",
    "explain",
    "integrated_gradients",
    "interior_gradients",
    "ledger_of",
    "molecule_curves",
    "saturation",
]
