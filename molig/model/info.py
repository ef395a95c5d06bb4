"""What a model says about itself: the content of ``model.json``."""

from __future__ import annotations

from statistics import median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from molig.molecules import StandardizationPolicy
from molig.network import NetworkConfig

FORMAT: Literal["molig-model"] = "molig-model"
FORMAT_VERSION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MoleculePolicy(_Strict):
    """How SMILES become molecules, the same in training and in screening."""

    standardization: StandardizationPolicy = StandardizationPolicy.PARENT
    max_heavy_atoms: int = Field(default=200, ge=1)


class TaskMetrics(_Strict):
    """Held-out quality of one task; None where a part has one class only."""

    roc_auc: float | None
    pr_auc: float | None
    n_actives: int
    n_inactives: int


class BaselineScore(_Strict):
    """Probability at the zero baseline, over the molecules it was measured on."""

    median: float
    max: float
    share_neutral: float = Field(description="share of molecules whose baseline probability is at most 0.02")


class Provenance(_Strict):
    """Where the weights come from."""

    data_file: str
    data_sha256: str
    n_rows: int
    n_rejected: int
    n_train: int
    n_validation: int
    n_test: int
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
    feature_schema : dict
        Plain data of the `molig.features.FeatureSchema`.
    schema_hash : str
        Hash of that schema; checked when the model is loaded.
    network : NetworkConfig
        Architecture.
    molecules : MoleculePolicy
        Standardisation and size limit.
    training : Provenance, optional
        Data, split, seed and versions.
    metrics : dict
        Part ("validation", "test") to task to `TaskMetrics`.
    baseline : dict
        Task to `BaselineScore`.
    """

    format: Literal["molig-model"] = FORMAT
    format_version: int = FORMAT_VERSION
    molig_version: str
    name: str
    tasks: tuple[str, ...] = Field(min_length=1)
    feature_schema: dict[str, Any]
    schema_hash: str
    network: NetworkConfig
    molecules: MoleculePolicy = MoleculePolicy()
    training: Provenance | None = None
    metrics: dict[str, dict[str, TaskMetrics]] = {}
    baseline: dict[str, BaselineScore] = {}
    weights_dtype: Literal["float16", "float32"] = "float32"
    weights_sha256: str = ""

    def median_auc(self, part: str) -> float | None:
        """Median over the tasks of the ROC-AUC on a part of the split; None if there is none."""
        areas = [m.roc_auc for m in self.metrics.get(part, {}).values() if m.roc_auc is not None]
        return median(areas) if areas else None
