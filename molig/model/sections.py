"""Sections of ``model.json``: figures, audit, provenance and applicability, as plain checked data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of the sections: immutable, and nothing unknown is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskMetrics(Section):
    """Held-out quality of one task of a classification.

    A figure is None where it cannot be told (one class only) or was not measured.

    Parameters
    ----------
    roc_auc, pr_auc : float or None
        Areas under the ROC and the precision-recall curve.
    n_actives, n_inactives : int
        Molecules measured.
    bedroc : float or None
        BEDROC with alpha 20.
    ef_0_5, ef_1, ef_5 : float or None
        Enrichment factor among the best 0.5, 1 and 5 % of the ranking; 1 is chance.
    brier : float or None
        Mean squared difference of probability and class.
    tie_fraction : float or None
        How much of the ranking is undecided by equal scores; see `molig.ranking`.
    intervals : dict
        Name of a figure above to the ends of its 95 % bootstrap interval over molecules.
    """

    roc_auc: float | None
    pr_auc: float | None
    n_actives: int
    n_inactives: int
    bedroc: float | None = None
    ef_0_5: float | None = None
    ef_1: float | None = None
    ef_5: float | None = None
    brier: float | None = None
    tie_fraction: float | None = None
    intervals: dict[str, tuple[float, float]] = {}


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
