"""Atom scores of the molecules of a set, by every method, in the order of the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.attribution import Explanation
from molig.errors import InputError
from molig.evaluation.atom_order import projected_scores, scores_of_truth_atoms
from molig.evaluation.benchmark_recipe import AttributionOptions
from molig.evaluation.datasets import GroundTruth
from molig.evaluation.methods import explainer_of, explanations_by_members
from molig.evaluation.metrics import evaluation_metric, merge_ties
from molig.evaluation.sets import GroundTruthSet
from molig.model import ScreeningModel
from molig.molecules import Record, Rejection

FloatArray = npt.NDArray[np.float64]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class ExplainedSet:
    """Molecules that every method has explained.

    Parameters
    ----------
    truth : GroundTruth
        These molecules.
    scores : dict of str to list of array of float, shape (n_atoms,)
        Per method their atom scores, in the order of the truth.
    failures : tuple of Rejection
        Molecules that some method could not explain: none is judged on them. Rows count from 1 within what
        was asked for.
    unconverged : dict of str to int
        Per method the explanations whose residual is above the tolerance. Only integrated gradients promise
        to add up.
    """

    truth: GroundTruth
    scores: dict[str, list[FloatArray]]
    failures: tuple[Rejection, ...]
    unconverged: dict[str, int]


def counts_in_metrics(what: GroundTruthSet, truth: FloatArray) -> bool:
    """Whether some metric of a set can judge a molecule.

    Parameters
    ----------
    what : GroundTruthSet
        The set.
    truth : array of float, shape (n_alternatives, n_atoms)
        Valid explanations of the molecule.

    Examples
    --------
    >>> from molig.evaluation import ground_truth_sets
    >>> counts_in_metrics(ground_truth_sets()["benzene"], np.array([[0.0, 0.0]]))
    False
    """
    # With scores that all differ, it depends on the truth alone.
    distinct = np.arange(truth.shape[1], dtype=float)
    return any(evaluation_metric(name).terms(truth, distinct)[1] > 0 for name in what.metrics)


def explain_set(
    truth: GroundTruth,
    models: Sequence[ScreeningModel],
    methods: Sequence[str],
    options: AttributionOptions,
    advance: Advance | None = None,
) -> ExplainedSet:
    """Explain molecules by every method; scores of several models are averaged.

    Parameters
    ----------
    truth : GroundTruth
        The molecules.
    models : sequence of ScreeningModel
        At least one.
    methods : sequence of str
        Some of `BENCHMARK_METHODS`.
    options : AttributionOptions
        Target, projection, baselines and tolerance.
    advance : callable, optional
        Called with the number of explanations done since the last call.

    Returns
    -------
    ExplainedSet

    Raises
    ------
    InputError
        If not a single molecule could be explained by all methods.
    """
    records = [
        Record(row + 1, name, smiles)
        for row, (name, smiles) in enumerate(zip(truth.ids, truth.smiles, strict=True))
    ]
    failures: dict[int, Rejection] = {}
    scores: dict[str, dict[int, FloatArray]] = {method: {} for method in methods}
    unconverged = dict.fromkeys(methods, 0)
    for method in methods:
        explainers = [explainer_of(model, method, options) for model in models]
        for row, found in enumerate(explanations_by_members(explainers, records)):
            judged = found if isinstance(found, Rejection) else _mean_scores(truth, row, found, options)
            if isinstance(judged, Rejection):
                failures.setdefault(row, judged)
            else:
                scores[method][row] = judged
            if not isinstance(found, Rejection):
                unconverged[method] += not all(each.converged for each in found)
            if advance:
                advance(1)
    kept = [row for row in range(len(truth)) if row not in failures]
    if not kept:
        first = next(iter(failures.values()), None)
        reason = f"; {first.id} {first.smiles!r}: {first.reason}" if first else ""
        raise InputError(
            f"none of {len(truth)} molecules of {truth.description.name} could be explained by all methods"
            + reason
        )
    return ExplainedSet(
        truth=truth.take(kept),
        scores={method: [by_row[row] for row in kept] for method, by_row in scores.items()},
        failures=tuple(failures[row] for row in sorted(failures)),
        unconverged=unconverged,
    )


def _mean_scores(
    truth: GroundTruth, row: int, found: Sequence[Explanation], options: AttributionOptions
) -> FloatArray | Rejection:
    """Mean over the models, in the order of the truth."""
    try:
        target = truth.molecule(row)
        listed = [
            scores_of_truth_atoms(projected_scores(each, options.projection), each.mol, target)
            for each in found
        ]
    except InputError as error:
        return Rejection(row + 1, truth.ids[row], truth.smiles[row], str(error))
    return merge_ties(np.mean(listed, axis=0), options.ties)
