"""What a model says about itself: the content of ``model.json``."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from statistics import median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from molig.molecules import Hydrogens, MoleculeParser, StandardizationPolicy
from molig.network import NetworkConfig
from molig.stats import RankingQuality

# Sections of ``model.json``: figures, audit, provenance and applicability, as plain checked data.


class Section(BaseModel):
    """Base of the sections: immutable, and nothing unknown is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RegressionMetrics(Section):
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


class BaselineScore(Section):
    """Probability at the zero baseline, over the molecules it was measured on."""

    median: float
    max: float
    share_neutral: float = Field(description="share of molecules whose baseline probability is at most 0.02")


class BaselineValue(Section):
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


class AuditedFinding(Section):
    """A finding of an audit, in short.

    Parameters
    ----------
    check, severity, summary : str
        What found it, how bad it is ("info", "warning", "error"), and one sentence.
    """

    check: str
    severity: str
    summary: str


class AuditSummary(Section):
    """Result of an audit of the model.

    Parameters
    ----------
    source : str
        The molecules it was made with.
    n_molecules, n_explained : int
        Molecules audited, and explained among them.
    seed : int
        Seed of the samples.
    checks : dict
        Name of a check to "ok", the highest severity it found, "skipped" or "failed".
    findings : tuple of AuditedFinding
        Worst first.
    command : str
        The command that repeats it.
    """

    source: str
    n_molecules: int
    n_explained: int
    seed: int
    checks: dict[str, str]
    findings: tuple[AuditedFinding, ...] = ()
    command: str = ""


class AuxiliaryTable(Section):
    """Another table that the network learned along.

    Parameters
    ----------
    name, file, sha256 : str
        The public data set, and the file it was read from.
    n_molecules, n_tasks : int
        How much of it was learned.
    n_left_out : int
        Its molecules that were not used, since the model's own table holds them out.
    """

    name: str
    file: str
    sha256: str
    n_molecules: int
    n_tasks: int
    n_left_out: int


class Provenance(Section):
    """Where the weights come from.

    ``n_test_in_train`` counts the test molecules that have a copy in the training part; only a given split
    can have any. ``label_conflicts`` says what was done about copies of a molecule with different labels;
    ``positive_weight`` is the exponent of inactives / actives in the weight of an active; ``keep`` tells
    whether the best epoch on the validation part or the last one was kept, None where that is not known.
    """

    data_file: str
    data_sha256: str
    data_source: str = ""
    data_licence: str = ""
    label_conflicts: dict[str, Any] | None = None
    positive_weight: float = 1.0
    n_rows: int
    n_rejected: int
    n_train: int
    n_validation: int
    n_test: int
    n_test_in_train: int = 0
    auxiliary: tuple[AuxiliaryTable, ...] = ()
    split: dict[str, Any]
    seed: int
    epochs_run: int
    best_epoch: int
    keep: Literal["best", "last"] | None = None
    command: str
    versions: dict[str, str]
    date: str


class SizeRange(Section):
    """Numbers of heavy atoms of the training molecules.

    Parameters
    ----------
    min, max : int
        Of the smallest and the largest.
    q1, q99 : float
        Quantiles at 1 and 99 %.
    """

    min: int
    q1: float
    q99: float
    max: int


class ApplicabilityInfo(Section):
    """What the training part was like; the fingerprints themselves are in a file beside ``model.json``.

    Parameters
    ----------
    n_molecules : int
        Different molecules of the training part.
    n_reference : int
        How many of them, drawn at random, have their fingerprint kept.
    seed : int
        Seed of the draw.
    radius, n_bits : int
        Of the Morgan fingerprints.
    similarity : dict
        Percentage to that quantile of the Tanimoto similarity of a reference molecule to the nearest other.
    threshold : float
        Molecules less similar than this to their nearest reference molecule are far from training.
    elements : dict
        Symbol of an element, hydrogen apart, to the number of training molecules with it.
    heavy_atoms : SizeRange
        Numbers of heavy atoms.
    categories : dict
        Name of a categorical block, such as "atom.type", to the columns ever seen; "none" is none of them.
    ranges : dict
        Name of a numeric column that held whole numbers only to its least and greatest value.
    sha256 : str
        Digest of the fingerprint file.
    """

    n_molecules: int = Field(ge=1)
    n_reference: int = Field(ge=1)
    seed: int
    radius: int = Field(ge=0)
    n_bits: int = Field(ge=8, multiple_of=8)
    similarity: dict[int, float]
    threshold: float
    elements: dict[str, int]
    heavy_atoms: SizeRange
    categories: dict[str, tuple[str, ...]]
    ranges: dict[str, tuple[float, float]]
    sha256: str = ""


# The section of ``model.json`` that states an evaluation of the model's recipe.


class TasksWon(Section):
    """Sign test of the model against another method over tasks, for one figure.

    Parameters
    ----------
    wins, losses, ties : int
        Tasks in which the model's mean figure is the higher one, the lower one, and the same.
    p_value : float
        Of the two-sided test.

    Examples
    --------
    >>> TasksWon(wins=3, losses=9, p_value=0.146).mostly_lost
    True
    """

    wins: int
    losses: int
    ties: int = 0
    p_value: float

    @property
    def n_tasks(self) -> int:
        """Tasks in which both methods have the figure."""
        return self.wins + self.losses + self.ties

    @property
    def mostly_lost(self) -> bool:
        """Whether the other method has the higher figure in more than half of the tasks."""
        return 2 * self.losses > self.n_tasks


class BaselineComparison(Section):
    """Another method on the same folds, against the model.

    Parameters
    ----------
    median_auc : float
        Median over tasks of the other method's mean ROC-AUC.
    wins, losses : int
        Tasks in which the model's mean ROC-AUC is the higher, and the lower one.
    p_value : float
        Two-sided sign test over the tasks.
    figures : dict
        Figure ("roc_auc", "pr_auc", "bedroc", "ef_1") to `TasksWon`; empty in files of older versions, which
        know the ROC-AUC only.
    """

    median_auc: float
    wins: int
    losses: int
    p_value: float
    figures: dict[str, TasksWon] = Field(default={})

    @property
    def tests(self) -> dict[str, TasksWon]:
        """Figure to its sign test, that of the ROC-AUC at least."""
        auc = TasksWon(wins=self.wins, losses=self.losses, p_value=self.p_value)
        return {"roc_auc": auc} | self.figures


class CrossValidation(Section):
    """Quality of the model's recipe over folds; every fold trains a network of its own.

    Parameters
    ----------
    folds : int
        Number of folds; 1 for a single split.
    scheme : str
        How molecules were dealt to folds, such as "stratified" or "scaffold".
    seed : int
        Seed of the folds.
    same_weights : bool
        Whether the one fold is the model's own split and was scored by the model's own weights.
    tasks : dict
        Task to figure ("roc_auc", "bedroc", ...) to its mean over the folds.
    medians : dict
        Figure to the median over tasks of these means.
    baselines : dict
        Name of another method to its `BaselineComparison`.
    source : str
        File with the results in full.
    """

    folds: int = Field(ge=1)
    scheme: str
    seed: int
    same_weights: bool = False
    tasks: dict[str, dict[str, float | None]]
    medians: dict[str, float | None]
    baselines: dict[str, BaselineComparison] = Field(default={})
    source: str = ""


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
        Part ("validation", "test") to task to `molig.stats.RankingQuality`, or `RegressionMetrics`.
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
    metrics: dict[str, dict[str, RankingQuality | RegressionMetrics]] = Field(default={})
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
            A field of `molig.stats.RankingQuality` or `RegressionMetrics`, such as "bedroc".

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
