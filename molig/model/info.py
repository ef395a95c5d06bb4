"""What a model says about itself: the content of ``model.json``."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from statistics import median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from molig.molecules import Hydrogens, MoleculeParser, StandardizationPolicy
from molig.network import NetworkConfig

FORMAT: Literal["molig-model"] = "molig-model"
FORMAT_VERSION = 2
"""2 since objectives, hydrogens and given splits; models of version 1 are read as before."""


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


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MoleculePolicy(_Strict):
    """How SMILES become molecules, the same in training and in screening."""

    standardization: StandardizationPolicy = StandardizationPolicy.PARENT
    max_heavy_atoms: int = Field(default=200, ge=1)
    hydrogens: Hydrogens = Hydrogens.IMPLICIT

    def parser(self) -> MoleculeParser:
        """Parser that follows this policy."""
        return MoleculeParser(self.standardization, self.max_heavy_atoms, self.hydrogens)


class TaskMetrics(_Strict):
    """Held-out quality of one task; None where a part has one class only."""

    roc_auc: float | None
    pr_auc: float | None
    n_actives: int
    n_inactives: int


class RegressionMetrics(_Strict):
    """Held-out quality of one task with measured values.

    Parameters
    ----------
    r2 : float or None
        Coefficient of determination, 1 - sum (y - f)^2 / sum (y - mean y)^2; None where all values are equal.
    rmse : float or None
        Root mean square error in the unit of the labels; None where nothing was measured.
    spearman : float or None
        Correlation of the ranks; None where all values or all predictions are equal.
    n : int
        Molecules measured.
    """

    r2: float | None
    rmse: float | None
    spearman: float | None
    n: int


class BaselineScore(_Strict):
    """Probability at the zero baseline, over the molecules it was measured on."""

    median: float
    max: float
    share_neutral: float = Field(description="share of molecules whose baseline probability is at most 0.02")


class BaselineValue(_Strict):
    """Value of a regression task at the zero baseline, in the unit of its labels.

    Parameters
    ----------
    median : float
        Median over the molecules it was measured on.
    farthest : float
        The value farthest from ``neutral``.
    share_neutral : float
        Share of the molecules whose baseline value is within ``tolerance`` of ``neutral``.
    neutral : float
        Value that training drew the baseline to.
    tolerance : float
        A tenth of the standard deviation of the training labels.
    """

    median: float
    farthest: float
    share_neutral: float
    neutral: float
    tolerance: float


class Provenance(_Strict):
    """Where the weights come from.

    ``n_test_in_train`` counts the test molecules that have a copy in the training part; only a given split
    can have any.
    """

    data_file: str
    data_sha256: str
    n_rows: int
    n_rejected: int
    n_train: int
    n_validation: int
    n_test: int
    n_test_in_train: int = 0
    split: dict[str, Any]
    seed: int
    epochs_run: int
    best_epoch: int
    command: str
    versions: dict[str, str]
    date: str


class ModelInfo(_Strict):
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
    baseline : dict
        Task to `BaselineScore`, or `BaselineValue` for a regression.
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
    metrics: dict[str, dict[str, TaskMetrics | RegressionMetrics]] = {}
    baseline: dict[str, BaselineScore | BaselineValue] = {}
    weights_dtype: Literal["float16", "float32"] = "float32"
    weights_sha256: str = ""

    def median_auc(self, part: str) -> float | None:
        """Median over the tasks of the ROC-AUC on a part of the split; None if there is none."""
        tasks = self.metrics.get(part, {}).values()
        return _median(m.roc_auc for m in tasks if isinstance(m, TaskMetrics))

    def median_r2(self, part: str) -> float | None:
        """Median over the tasks of the R2 on a part of the split; None if there is none."""
        tasks = self.metrics.get(part, {}).values()
        return _median(m.r2 for m in tasks if isinstance(m, RegressionMetrics))


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
