"""How well the atom scores of one molecule agree with the truth.

Ties count in expectation over random orders of the tied atoms, so a method gains nothing from scores that do
not distinguish atoms, and the order of the atoms in the SMILES plays no part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, rankdata

from molig.errors import UnknownNameError, UsageError

FloatArray = npt.NDArray[np.float64]


class Part(StrEnum):
    """What of a molecule a metric looks at."""

    ATOMS = "atoms"
    BONDS = "bonds"


@dataclass(frozen=True)
class Metric:
    """One way to judge atom scores.

    The metric of a set is the sum of the numerators of its molecules over the sum of their denominators. A
    mean over molecules has denominators of 1, and of 0 where the molecule does not count.
    """

    name: str
    label: str  # in tables
    terms: Callable[[FloatArray, FloatArray], tuple[float, float]]  # (truth, scores) of one molecule
    part: Part = Part.ATOMS  # what truth and scores are of


def attribution_auroc(truth: FloatArray, scores: FloatArray) -> float:
    """Attribution AUROC of one molecule: the best ROC-AUC over the valid explanations.

    Atoms above zero in the truth are positive, all others negative; scores count with their sign. A tie of a
    positive and a negative atom counts one half. Explanations of no atom or of all atoms are passed over.

    Parameters
    ----------
    truth : array of float, shape (n_alternatives, n_atoms)
        Valid explanations, one a row; one array of shape (n_atoms,) is taken as the only one.
    scores : array of float, shape (n_atoms,)
        Atom scores.

    Returns
    -------
    float
        From 0 to 1; NaN where no explanation tells atoms apart.

    Raises
    ------
    UsageError
        If the shapes do not fit, or a value is not finite.

    References
    ----------
    Sanchez-Lengeling et al., Evaluating Attribution for Graph Neural Networks, NeurIPS 2020. Their code takes
    the maximum over explanations per molecule and the mean over molecules where it is defined.

    Examples
    --------
    >>> attribution_auroc(np.array([[1, 1, 0, 0], [0, 0, 1, 1]]), np.array([0.1, 0.2, 0.5, 0.7]))
    1.0
    """
    truth, scores = checked(truth, scores)
    positive = truth > 0
    n_positive = positive.sum(axis=1)
    pairs = n_positive * (len(scores) - n_positive)
    defined = pairs > 0
    if not defined.any():
        return float("nan")
    # Mann-Whitney: the rank sum of the positive atoms, less what it is when they all come last.
    rank_sums = positive[defined] @ rankdata(scores)
    below = rank_sums - n_positive[defined] * (n_positive[defined] + 1) / 2
    return float((below / pairs[defined]).max())


def kendall_tau(truth: FloatArray, scores: FloatArray) -> float:
    """Kendall's tau-b of one molecule, over all atoms of the truth.

    Parameters
    ----------
    truth : array of float, shape (1, n_atoms) or (n_atoms,)
        True contribution of each atom (of hydrogen atoms too, where the set has them).
    scores : array of float, shape (n_atoms,)
        Atom scores.

    Returns
    -------
    float
        From -1 to 1; NaN where all true contributions or all scores are equal.

    Raises
    ------
    UsageError
        If the shapes do not fit, or a value is not finite.

    References
    ----------
    The code of Sanchez-Lengeling et al. (NeurIPS 2020) uses this variant for Crippen's logP, over all atoms
    of molecules with explicit hydrogens, and the mean over molecules where it is defined.

    Examples
    --------
    >>> round(kendall_tau(np.array([0.1, 0.2, 0.2]), np.array([1.0, 3.0, 2.0])), 4)
    0.8165
    """
    truth, scores = checked(truth, scores)
    if len(truth) != 1:
        raise UsageError(f"Kendall's tau needs one truth per molecule (got {len(truth)} alternatives)")
    if len(scores) < 2:
        return float("nan")  # of which scipy warns
    return float(kendalltau(truth[0], scores).statistic)


def top_n(truth: FloatArray, scores: FloatArray) -> tuple[float, int]:
    """Truly contributing atoms among the n best-scored, where n is how many there are.

    Parameters
    ----------
    truth : array of float, shape (1, n_atoms) or (n_atoms,)
        Above zero for the contributing atoms. Negate truth and scores for the bottom-n score.
    scores : array of float, shape (n_atoms,)
        Atom scores.

    Returns
    -------
    hits : float
        Expected number of contributing atoms among the n best, ties in random order.
    n : int
        Number of contributing atoms; 0 where the molecule does not count.

    Raises
    ------
    UsageError
        If the shapes do not fit, or a value is not finite.

    References
    ----------
    Matveieva & Polishchuk, J. Cheminform. 2021, 13, 41, doi:10.1186/s13321-021-00519-x. As in their code, the
    score of a set is the sum of hits over the sum of n. Their code keeps all tied atoms and counts them in
    the denominator as well; without ties both are the same.

    Examples
    --------
    >>> top_n(np.array([1, 1, 0, 0]), np.array([3.0, 1.0, 1.0, 0.0]))
    (1.5, 2)
    """
    truth, scores = checked(truth, scores)
    if len(truth) != 1:
        raise UsageError(f"top-n needs one truth per molecule (got {len(truth)} alternatives)")
    positive = truth[0] > 0
    n = int(positive.sum())
    if n == 0:
        return 0.0, 0
    threshold = np.sort(scores)[-n]
    above, tied = scores > threshold, scores == threshold
    places = n - int(above.sum())
    hits = positive[above].sum() + places * positive[tied].mean()
    return float(hits), n


def jaccard(truth: FloatArray, scores: FloatArray, share: float = 0.5) -> float:
    """Graph explanation accuracy (GEA) of GraphXAI: the best Jaccard index over the valid explanations.

    An atom is marked if its score is above `share` of the molecule's largest; the index is the number of
    atoms that are marked and in the explanation, over those that are either. Nothing is marked where no score
    is above zero.

    Parameters
    ----------
    truth : array of float, shape (n_alternatives, n_atoms) or (n_atoms,)
        Valid explanations, one a row: atoms above zero belong to it.
    scores : array of float, shape (n_atoms,)
        Atom scores.
    share : float
        From 0 to below 1. The scripts that made the published table for molecules pass 0.5; the default of
        their library is 0.1.

    Returns
    -------
    float
        From 0 to 1; NaN where no explanation names an atom. The published means count such molecules as 0.

    Raises
    ------
    UsageError
        If the shapes do not fit, a value is not finite, or the share is not within its limits.

    References
    ----------
    Agarwal, Queen, Lakkaraju & Zitnik, Sci. Data 2023, 10, 144, doi:10.1038/s41597-023-01974-x. Threshold,
    and the best over explanations: ``graph_exp_acc_graph`` in github.com/mims-harvard/GraphXAI
    (graphxai/metrics/metrics_graph.py), called in formal/realworld/graph_eval.py.

    Examples
    --------
    >>> jaccard(np.array([[1, 1, 0, 0], [0, 0, 1, 1]]), np.array([0.1, 0.6, 0.2, 1.0]))
    0.3333333333333333
    """
    if not 0 <= share < 1:
        raise UsageError(f"the share of the largest score must lie from 0 to below 1 (got {share})")
    truth, scores = checked(truth, scores)
    explained = truth > 0
    explained = explained[explained.any(axis=1)]
    if not len(explained):
        return float("nan")
    largest = scores.max()
    marked = scores > share * largest if largest > 0 else np.zeros(len(scores), dtype=bool)
    return float(((explained & marked).sum(axis=1) / (explained | marked).sum(axis=1)).max())


def is_flat(scores: FloatArray) -> bool:
    """Whether no score stands out: none lies more than 1.5 interquartile ranges outside the quartiles.

    Parameters
    ----------
    scores : array of float, shape (n,)
        Scores of the atoms, or of the bonds, of one molecule.

    Returns
    -------
    bool
        True where all scores are equal, too.

    Raises
    ------
    UsageError
        If there is no score, or one is not finite.

    References
    ----------
    Proszewska, Danel & Rymarczyk, B-XAIC, arXiv:2505.22252 (2025): where nothing in a molecule matters, the
    share of molecules without such outliers is reported (``no_outliers`` in github.com/mproszewska/B-XAIC,
    evaluate_explanations.py).

    Examples
    --------
    >>> is_flat(np.array([0.1, 0.2, 0.15, 0.12])), is_flat(np.array([0.1, 0.2, 0.15, 0.12, 0.9]))
    (True, False)
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
        raise UsageError(f"expected finite scores, one per atom or bond (got shape {scores.shape})")
    low, high = np.quantile(scores, [0.25, 0.75])
    margin = 1.5 * (high - low)
    return bool(((scores >= low - margin) & (scores <= high + margin)).all())


def evaluation_metrics() -> dict[str, Metric]:
    """Metrics by name; top-n and bottom-n pool all atoms, the others are means over molecules."""
    return {metric.name: metric for metric in _METRICS}


def evaluation_metric(name: str) -> Metric:
    """One of `evaluation_metrics`; an unknown name is refused with the nearest valid one."""
    metrics = evaluation_metrics()
    if name not in metrics:
        raise UnknownNameError("metric", name, metrics)
    return metrics[name]


def merge_ties(scores: FloatArray, tolerance: float = 1e-6) -> FloatArray:
    """Make scores equal that differ by rounding errors only.

    Symmetry-equivalent atoms have the same score in exact arithmetic, but sums in floating point split them,
    which Kendall's tau-b counts as a disagreement with a truth that ties them. Neighbours in rank that differ
    by at most `tolerance` of the largest absolute score all get the mean of their group.
    """
    if not tolerance >= 0:
        raise UsageError(f"a tolerance cannot be negative (got {tolerance})")
    scores = np.asarray(scores, dtype=float)
    if not scores.size:
        return scores
    order = np.argsort(scores, kind="stable")
    steps = np.diff(scores[order]) > tolerance * np.abs(scores).max()
    group = np.empty(len(scores), dtype=np.int64)
    group[order] = np.concatenate([[0], np.cumsum(steps)])
    means: FloatArray = np.bincount(group, weights=scores) / np.bincount(group)
    return means[group]


def checked(truth: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both as float arrays, the truth with one row per alternative; refuses what does not fit."""
    truth, scores = np.atleast_2d(np.asarray(truth, dtype=float)), np.asarray(scores, dtype=float)
    if scores.ndim != 1 or truth.ndim != 2 or truth.shape[1] != len(scores):
        raise UsageError(
            f"expected one score per atom, shape ({truth.shape[-1]},) (got shape {scores.shape}); "
            "scores must follow the atom order of the truth"
        )
    for name, values in (("score", scores), ("truth", truth)):
        if not np.isfinite(values).all():
            atom = int(np.argwhere(~np.isfinite(values))[0][-1])
            raise UsageError(f"the {name} of atom {atom} is not finite; evaluate only molecules with numbers")
    return truth, scores


def _mean_of(
    function: Callable[[FloatArray, FloatArray], float], sign: int = 1
) -> Callable[..., tuple[float, float]]:
    def terms(truth: FloatArray, scores: FloatArray) -> tuple[float, float]:
        value = function(sign * np.asarray(truth), sign * np.asarray(scores))
        return (0.0, 0.0) if np.isnan(value) else (value, 1.0)

    return terms


def _pooled(sign: int) -> Callable[[FloatArray, FloatArray], tuple[float, float]]:
    def terms(truth: FloatArray, scores: FloatArray) -> tuple[float, float]:
        hits, n = top_n(sign * np.asarray(truth), sign * np.asarray(scores))
        return hits, float(n)

    return terms


def _flat_terms(truth: FloatArray, scores: FloatArray) -> tuple[float, float]:
    """Counts where the truth tells nothing apart."""
    truth, scores = checked(truth, scores)
    if not scores.size or (truth != truth[:, :1]).any():
        return 0.0, 0.0
    return float(is_flat(scores)), 1.0


_METRICS = (
    Metric("attribution_auroc", "attribution AUROC", _mean_of(attribution_auroc)),
    Metric("bond_auroc", "AUROC of bonds", _mean_of(attribution_auroc), Part.BONDS),
    Metric("jaccard", "Jaccard index (GEA)", _mean_of(jaccard)),
    Metric("flat", "flat where nothing matters", _flat_terms),
    Metric("flat_bonds", "bonds flat where nothing matters", _flat_terms, Part.BONDS),
    Metric("auroc_negative", "AUROC of negative atoms", _mean_of(attribution_auroc, sign=-1)),
    Metric("kendall_tau", "Kendall tau", _mean_of(kendall_tau)),
    Metric("top_n", "top-n", _pooled(1)),
    Metric("bottom_n", "bottom-n", _pooled(-1)),
)
