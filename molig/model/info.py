"""What a model says about itself: the content of ``model.json``."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from statistics import median
from typing import Any, Literal

from pydantic import Field

from molig.model.sections import (
    ApplicabilityInfo,
    AuditSummary,
    BaselineScore,
    BaselineValue,
    Provenance,
    RegressionMetrics,
    Section,
    TaskMetrics,
)
from molig.model.sections_evaluation import CrossValidation
from molig.molecules import Hydrogens, MoleculeParser, StandardizationPolicy
from molig.network import NetworkConfig

FORMAT: Literal["molig-model"] = "molig-model"
FORMAT_VERSION = 3
"""3 since the applicability domain, 2 since objectives; models of older versions are read as before."""


class Objective(StrEnum):
    """What the outputs of a model are.

    Examples
    --------
    >>> Objective("regression")
    <Objective.REGRESSION: 'regression'>
    """

    CLASSIFICATION = "classification"
    """Logits of being active; scores are their probabilities."""

    REGRESSION = "regression"
    """Values in the unit of the labels; scores are these values."""


class MoleculePolicy(Section):
    """How SMILES become molecules, the same in training and in screening."""

    standardization: StandardizationPolicy = StandardizationPolicy.PARENT
    max_heavy_atoms: int = Field(default=200, ge=1)
    hydrogens: Hydrogens = Hydrogens.IMPLICIT

    def parser(self) -> MoleculeParser:
        """Parser that follows this policy."""
        return MoleculeParser(self.standardization, self.max_heavy_atoms, self.hydrogens)


class ModelInfo(Section):
    """Everything about a model but its weights.

    Parameters
    ----------
    name : str
        Name of the model.
    tasks : tuple of str
        Names of the outputs, in order.
    objective : Objective
        What the outputs are: logits of being active, or values.
    feature_schema : dict
        Plain data of the `molig.features.FeatureSchema`.
    schema_hash : str
        Hash of that schema; checked when the model is loaded.
    network : NetworkConfig
        Architecture.
    molecules : MoleculePolicy
        Standardisation, size limit and hydrogens.
    training : Provenance, optional
        Data, split, seed and versions.
    metrics : dict
        Part ("validation", "test") to task to `TaskMetrics`, or `RegressionMetrics`.
    cross_validation : CrossValidation, optional
        Quality of the recipe over folds, and of other methods on the same ones.
    audit : AuditSummary, optional
        What the last audit found.
    baseline : dict
        Task to `BaselineScore`, or `BaselineValue` for a regression.
    applicability : ApplicabilityInfo, optional
        What the training molecules were like; written by `molig.model.save_model`.
    known_limits : tuple of str
        Sentences for the card, besides those that follow from the rest.
    """

    format: Literal["molig-model"] = FORMAT
    format_version: int = FORMAT_VERSION
    molig_version: str
    name: str
    tasks: tuple[str, ...] = Field(min_length=1)
    objective: Objective = Objective.CLASSIFICATION
    feature_schema: dict[str, Any]
    schema_hash: str
    network: NetworkConfig
    molecules: MoleculePolicy = MoleculePolicy()
    training: Provenance | None = None
    metrics: dict[str, dict[str, TaskMetrics | RegressionMetrics]] = Field(default={})
    cross_validation: CrossValidation | None = None
    audit: AuditSummary | None = None
    baseline: dict[str, BaselineScore | BaselineValue] = Field(default={})
    applicability: ApplicabilityInfo | None = None
    known_limits: tuple[str, ...] = ()
    weights_dtype: Literal["float16", "float32"] = "float32"
    weights_sha256: str = ""

    @property
    def held_out(self) -> str | None:
        """The part that the model is judged by: "test", or "validation" where there is none."""
        return next((part for part in ("test", "validation") if self.metrics.get(part)), None)

    def median_figure(self, part: str, figure: str) -> float | None:
        """Median over the tasks of a figure on a part of the split.

        Parameters
        ----------
        part : str
            "validation" or "test".
        figure : str
            A field of `TaskMetrics` or `RegressionMetrics`, such as "bedroc".

        Returns
        -------
        float or None
            None if no task has it.
        """
        return _median(getattr(task, figure, None) for task in self.metrics.get(part, {}).values())

    def median_auc(self, part: str) -> float | None:
        """Median over the tasks of the ROC-AUC on a part of the split; None if there is none."""
        return self.median_figure(part, "roc_auc")

    def median_r2(self, part: str) -> float | None:
        """Median over the tasks of the R2 on a part of the split; None if there is none."""
        return self.median_figure(part, "r2")


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
