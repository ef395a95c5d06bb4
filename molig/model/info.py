"""What a model says about itself: the content of ``model.json``."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from statistics import median
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from molig.molecules import Hydrogens, MoleculeParser, StandardizationPolicy
from molig.molecules.standardize import PARENT_VERSION
from molig.network import NetworkConfig
from molig.stats import RankingQuality

RESERVED_TASK_NAMES = frozenset(
    {"row", "id", "smiles", "scored_smiles", "removed", "rank", "best_task", "applicability", "similarity"}
)
"""Columns of hit tables, which name theirs after the tasks; in capitals, too: some readers fold them."""

MAX_TASK_NAME = 200

MAX_REFERENCE_MOLECULES = 1_000_000
MAX_FINGERPRINT_BITS = 65_536
MAX_RADIUS = 10
"""Bounds of an applicability domain: far above what is fitted, and a bound on time and memory."""

MAX_HEAVY_ATOMS_ALLOWED = 10_000

FORMAT: Literal["molig-model"] = "molig-model"
FORMAT_VERSION = 4
"""4 since committees, 3 since the applicability domain, 2 since objectives; models of older versions are read
as before.
"""
FORMAT_WITHOUT_COMMITTEE = 3
"""What is written of a network alone, so that an older molig can read it."""


class Section(BaseModel):
    """Base of the sections of model.json: immutable, and nothing unknown is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# Quality and baseline.


class RegressionMetrics(Section):
    """Held-out quality of one task with measured values; None where a figure is not defined."""

    r2: float | None  # 1 - sum (y - f)^2 / sum (y - mean y)^2
    rmse: float | None  # in the unit of the labels
    spearman: float | None
    n: int


class BaselineScore(Section):
    """Probability at the zero baseline, over the molecules it was measured on."""

    median: float
    max: float
    share_neutral: float  # of the molecules, with a baseline probability of at most 0.02


class BaselineValue(Section):
    """Value of a regression task at the zero baseline, in the unit of its labels."""

    median: float
    farthest: float  # from neutral
    share_neutral: float  # of the molecules, within the tolerance of neutral
    neutral: float  # what training drew the baseline to
    tolerance: float  # a tenth of the standard deviation of the training labels


# The last audit.


class AuditedFinding(Section):
    """A finding of an audit: the check that reported it, "info", "warning" or "error", and one sentence."""

    check: str
    severity: str
    summary: str


class AuditSummary(Section):
    """Result of an audit of the model."""

    source: str  # the molecules it was made with
    n_molecules: int
    n_explained: int
    seed: int
    checks: dict[str, str]  # "ok", the highest severity reported, "skipped" or "failed"
    findings: tuple[AuditedFinding, ...] = ()  # worst first
    command: str = ""


# Where the weights come from.


class AuxiliaryTable(Section):
    """Another table that the network was co-trained on."""

    name: str
    file: str
    sha256: str
    n_molecules: int
    n_tasks: int
    n_left_out: int  # molecules not used, since the model's own table holds them out


class Provenance(Section):
    """Data, split, seed and versions of the training."""

    data_file: str
    data_sha256: str
    data_source: str = ""
    data_licence: str = ""
    active_above: float | None = None  # where values became classes, this one included
    active_below: float | None = None
    label_conflicts: dict[str, Any] | None = None  # what was done about copies with different labels
    positive_weight: float = 1.0  # exponent of inactives / actives in the weight of an active
    n_rows: int
    n_rejected: int
    n_train: int
    n_validation: int
    n_test: int
    n_test_in_train: int = 0  # test molecules with a copy in training; only a given split has any
    auxiliary: tuple[AuxiliaryTable, ...] = ()
    split: dict[str, Any]
    seed: int
    epochs_run: int
    best_epoch: int  # on the validation part
    keep: Literal["best", "last"] | None = None  # which epoch was kept, where that is known
    started_from: str = ""  # model whose Weave network the training started from
    started_from_data: str = ""  # what that model was trained on, and what it had started from itself
    command: str
    versions: dict[str, str]
    date: str


# What the training molecules were like; their fingerprints are in a file beside model.json.


class SizeRange(Section):
    """Numbers of heavy atoms of the training molecules, with the quantiles at 1 and 99 %."""

    min: int
    q1: float
    q99: float
    max: int


class ApplicabilityInfo(Section):
    """Similarity, sizes, elements and features of the different molecules of the training part."""

    n_molecules: int = Field(ge=1)
    n_reference: int = Field(
        ge=1, le=MAX_REFERENCE_MOLECULES
    )  # drawn at random, with their fingerprints kept
    seed: int  # of the draw
    radius: int = Field(ge=0, le=MAX_RADIUS)
    n_bits: int = Field(ge=8, le=MAX_FINGERPRINT_BITS, multiple_of=8)
    # Percentage to that quantile of the Tanimoto similarity of a reference molecule to the nearest other.
    similarity: dict[int, Annotated[float, Field(ge=0, le=1)]]
    threshold: float = Field(
        ge=0, le=1
    )  # molecules less similar to their nearest reference are far from training
    elements: dict[str, int]  # symbol, without hydrogen, to the number of molecules with it
    heavy_atoms: SizeRange
    categories: dict[str, tuple[str, ...]]  # block such as "atom.type" to columns ever seen, or "none"
    ranges: dict[str, tuple[float, float]]  # of numeric columns that only ever held whole numbers
    sha256: str = ""  # of the fingerprint file


# An evaluation of the model's recipe, beside other methods.


class TasksWon(Section):
    """Two-sided sign test of the model's means against another method's over tasks, for one figure."""

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
        """Whether the other method has the better figure in more than half of the tasks."""
        return 2 * self.losses > self.n_tasks


class BaselineComparison(Section):
    """Another method on the same folds, against the model; its test is that of the first figure."""

    median_auc: float | None = None  # over tasks, of the other method's means
    median_r2: float | None = None  # the same of a regression, whose first figure is the R2
    wins: int
    losses: int
    p_value: float
    figures: dict[str, TasksWon] = Field(default={})  # empty in files of older versions

    @property
    def tests(self) -> dict[str, TasksWon]:
        """Figure to its sign test, that of the first one (ROC-AUC or R2) at least."""
        if "r2" in self.figures:
            return self.figures
        auc = TasksWon(wins=self.wins, losses=self.losses, p_value=self.p_value)
        return {"roc_auc": auc} | self.figures


class CrossValidation(Section):
    """Quality of the model's recipe over folds; every fold trains a network of its own."""

    folds: int = Field(ge=1)  # 1 for a single split
    scheme: str  # how molecules were dealt to folds, such as "scaffold"
    seed: int
    same_weights: bool = False  # whether the one fold is the model's own split, scored by its own weights
    tasks: dict[str, dict[str, float | None]]  # task to figure to its mean over folds
    medians: dict[str, float | None]  # figure to the median over tasks of these means
    baselines: dict[str, BaselineComparison] = Field(default={})
    source: str = ""  # file with the results in full


# Members of a committee.


# Weights that were rounded on their way to a file are still a mean.
_WEIGHTS_ROUNDED = 1e-6


class MemberInfo(Section):
    """A member of a committee: what it reads, its size, and its weight in each task's score."""

    name: str
    kind: Literal["weave", "environments", "forest", "kernel"]
    weights: tuple[Annotated[float, Field(ge=0, le=1)], ...]  # in the order of the tasks
    n_columns: int = 0  # different environments that it knows
    size: int = 0  # hidden units, trees of all tasks, or molecules that others are compared with
    figures: dict[str, float | None] = Field(default={})  # alone on the held-out part, medians over tasks


class CommitteeInfo(Section):
    """The members of a committee, the Weave network first, and the calibration of their mean.

    A probability is sigmoid(slope logit(mean) + offset), with the mean of the members' probabilities.
    """

    members: tuple[MemberInfo, ...] = Field(min_length=2, max_length=16)
    slope: tuple[Annotated[float, Field(gt=0)], ...]  # in the order of the tasks
    offset: tuple[float, ...]
    learned: bool = True  # whether the validation part chose the weights, or was too small to
    refit: bool = False  # whether members were then trained again on all but the test part
    numbering: str  # digest of the numbers that RDKit gives to some environments
    idle: tuple[str, ...] = ()  # members that got no weight and are left out
    sha256: str = ""  # of the file that holds the other members


class ReliabilityBin(Section):
    """Scores of one tenth of the range from 0 to 1."""

    mean_score: Annotated[float, Field(ge=0, le=1)]
    share_active: Annotated[float, Field(ge=0, le=1)]
    n: int = Field(ge=1)


class ReliabilityInfo(Section):
    """Scores and shares of actives on a part of the split, in ten bins of the score.

    The expected calibration error is the mean gap between the two, weighted by molecules.
    """

    bins: tuple[ReliabilityBin, ...]  # of all tasks together; those without a label are left out
    expected_error: float
    by_task: dict[str, float] = Field(default={})  # expected error of each task with labels


# The whole of model.json.


class Objective(StrEnum):
    """What the outputs of a model are."""

    CLASSIFICATION = "classification"
    """Logits of being active; scores are their probabilities."""

    REGRESSION = "regression"
    """Values in the unit of the labels; scores are these values."""


class MoleculePolicy(Section):
    """How SMILES become molecules, the same in training and in screening."""

    standardization: StandardizationPolicy = StandardizationPolicy.PARENT
    standardization_version: int = Field(default=PARENT_VERSION, ge=1)
    max_heavy_atoms: int = Field(default=200, ge=1, le=MAX_HEAVY_ATOMS_ALLOWED)
    hydrogens: Hydrogens = Hydrogens.IMPLICIT

    @property
    def outdated(self) -> bool:
        """Whether the training molecules were standardised by an older version of the policy."""
        return (
            self.standardization is StandardizationPolicy.PARENT
            and self.standardization_version != PARENT_VERSION
        )

    @property
    def in_words(self) -> str:
        """The policy in a few words."""
        return (
            f"policy {self.standardization.value!r}, at most {self.max_heavy_atoms} heavy atoms, "
            f"{self.hydrogens.value} hydrogens"
        )

    def parser(self) -> MoleculeParser:
        """Parser that follows this policy, in the version that this molig has."""
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
    committee : CommitteeInfo, optional
        Members that read substructures beside the Weave network; None where it is alone.
    molecules : MoleculePolicy
        Standardisation, size limit and hydrogens.
    training : Provenance, optional
        Data, split, seed and versions.
    metrics : dict
        Part ("validation", "test") to task to `molig.stats.RankingQuality`, or `RegressionMetrics`.
    reliability : dict
        Part to `ReliabilityInfo`: what the calibrated scores of a committee are worth.
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
    changes : tuple of str
        What these weights change against earlier ones of the same name; sentences for the card.
    """

    format: Literal["molig-model"] = FORMAT
    format_version: int = Field(default=FORMAT_VERSION, ge=1, le=FORMAT_VERSION)
    molig_version: str
    name: str
    tasks: tuple[Annotated[str, Field(min_length=1, max_length=MAX_TASK_NAME)], ...] = Field(min_length=1)
    objective: Objective = Objective.CLASSIFICATION
    feature_schema: dict[str, Any]
    schema_hash: str
    network: NetworkConfig
    committee: CommitteeInfo | None = None
    molecules: MoleculePolicy = MoleculePolicy()
    training: Provenance | None = None
    metrics: dict[str, dict[str, RankingQuality | RegressionMetrics]] = Field(default={})
    reliability: dict[str, ReliabilityInfo] = Field(default={})
    cross_validation: CrossValidation | None = None
    audit: AuditSummary | None = None
    baseline: dict[str, BaselineScore | BaselineValue] = Field(default={})
    applicability: ApplicabilityInfo | None = None
    known_limits: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    weights_dtype: Literal["float16", "float32"] = "float32"
    weights_sha256: str = ""

    @field_validator("tasks")
    @classmethod
    def _distinct_tasks(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        """Tasks name the columns of tables."""
        twice = next((name for name, count in Counter(tasks).items() if count > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is named twice")
        reserved = sorted(RESERVED_TASK_NAMES & {name.casefold() for name in tasks})
        if reserved:
            raise ValueError(f"no task can be called {', '.join(reserved)}: hit tables use these names")
        return tasks

    @model_validator(mode="after")
    def _committee_fits_the_tasks(self) -> Self:
        """Weights and calibrations are lists in the order of the tasks."""
        if self.committee is None:
            return self
        lists = [m.weights for m in self.committee.members] + [self.committee.slope, self.committee.offset]
        if any(len(numbers) != len(self.tasks) for numbers in lists):
            raise ValueError(
                f"the committee must have one weight and calibration for each of {len(self.tasks)} tasks"
            )
        for task, *weights in zip(self.tasks, *(m.weights for m in self.committee.members), strict=True):
            if abs(sum(weights) - 1) > _WEIGHTS_ROUNDED:
                raise ValueError(f"the weights of the committee's members must add up to 1 for {task}")
        names = [member.name for member in self.committee.members]
        if len(set(names)) < len(names):
            raise ValueError("two members of the committee have the same name")
        networks = [place for place, member in enumerate(self.committee.members) if member.kind == "weave"]
        if networks != [0]:
            raise ValueError("the first member of a committee, and no other, must be the Weave network")
        return self

    @property
    def calibrated(self) -> bool:
        """Whether scores are probabilities that were fitted to shares of actives."""
        if self.committee is None or self.objective is not Objective.CLASSIFICATION:
            return False
        return any(s != 1 for s in self.committee.slope) or any(o != 0 for o in self.committee.offset)

    @property
    def meaning_of_score(self) -> str:
        """A phrase that says what a score means, if that is known; otherwise ""."""
        return "calibrated probabilities of being active" if self.calibrated else ""

    @property
    def held_out(self) -> str | None:
        """The part that the model is judged by: "test", or "validation" where there is none."""
        return next((part for part in ("test", "validation") if self.metrics.get(part)), None)

    def median_figure(self, part: str, figure: str) -> float | None:
        """Median over the tasks of a figure such as "bedroc" on a part of the split; None if undefined."""
        values = [getattr(task, figure, None) for task in self.metrics.get(part, {}).values()]
        known = [value for value in values if value is not None]
        return median(known) if known else None

    def median_auc(self, part: str) -> float | None:
        """Median over the tasks of the ROC-AUC on a part of the split; None if there is none."""
        return self.median_figure(part, "roc_auc")

    def median_r2(self, part: str) -> float | None:
        """Median over the tasks of the R2 on a part of the split; None if there is none."""
        return self.median_figure(part, "r2")
