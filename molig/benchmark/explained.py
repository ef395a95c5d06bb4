"""Atom scores of the molecules of a set, by every method, in the order of the truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.attribution import ExplainableModel, Explainer, Explanation, Method
from molig.attribution.projection import bonds_of_pairs, share_pairs
from molig.benchmark.ground_truth import GroundTruth, GroundTruthSet
from molig.benchmark.metrics import evaluation_metric, merge_ties
from molig.benchmark.recipe import AttributionOptions, Projection
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import ScreeningModel
from molig.molecules import Record, Rejection, input_atom_indices

# From the atoms of an explained molecule to the atoms that a truth speaks of.


_ADDED = -1


def projected_scores(explanation: Explanation, projection: Projection) -> FloatArray:
    """Atom scores of an explanation.

    Parameters
    ----------
    explanation : Explanation
        Of one molecule.
    projection : Projection
        Which pairs count.

    Returns
    -------
    array of float, shape (n_atoms,)
        In the order of ``explanation.mol``.
    """
    if projection is Projection.ALL:
        return explanation.atom_scores
    own = explanation.own_atom_scores
    if projection is Projection.OWN or not explanation.pair_attributions.shape[1]:
        return own
    pairs = explanation.graph.pair_atoms
    bonded = bonds_of_pairs(explanation.mol, pairs) >= 0
    return share_pairs(own, np.where(bonded, explanation.pair_scores, 0.0), pairs)


def scores_of_truth_atoms(scores: FloatArray, explained: Chem.Mol, truth: Chem.Mol) -> FloatArray:
    """Put atom scores in the order of the truth.

    A hydrogen that the truth does not know adds its score to its neighbour's; an atom that standardisation
    took away scores zero.

    Parameters
    ----------
    scores : array of float, shape (n_atoms,)
        Of the atoms of `explained`.
    explained : Mol
        The molecule that was scored, as its parser made it.
    truth : Mol
        The same molecule in the order of the truth, hydrogens behind the other atoms if it covers them.

    Returns
    -------
    array of float, shape (n_atoms of truth,)

    Raises
    ------
    InputError
        If the molecules do not fit.

    Examples
    --------
    >>> from molig.molecules import MoleculeParser
    >>> mol = MoleculeParser().parse_smiles("Cl.CN").mol
    >>> scores_of_truth_atoms(np.array([0.25, 0.75]), mol, Chem.MolFromSmiles("Cl.CN")).tolist()
    [0.0, 0.25, 0.75]
    """
    found = np.zeros(truth.GetNumAtoms())
    np.add.at(found, truth_atoms(explained, truth), scores)
    return found


def truth_atoms(explained: Chem.Mol, truth: Chem.Mol) -> npt.NDArray[np.int64]:
    """Atom of the truth that each atom of a scored molecule stands for; see `scores_of_truth_atoms`."""
    origin = input_atom_indices(explained)
    hydrogens = _hydrogens_behind(truth)
    places = []
    for atom, index in zip(explained.GetAtoms(), origin, strict=True):
        if index != _ADDED:
            places.append(index)
            continue
        (neighbour,) = atom.GetNeighbors()
        parent = origin[neighbour.GetIdx()]
        # Hydrogens of one atom come in the same order on both sides.
        places.append(hydrogens[parent].pop(0) if hydrogens[parent] else parent)
    if max(places, default=0) >= truth.GetNumAtoms():
        raise InputError(
            f"the scored molecule has atom {max(places)}, the truth only {truth.GetNumAtoms()} atoms"
        )
    return np.array(places, dtype=np.int64)


def _hydrogens_behind(mol: Chem.Mol) -> dict[int, list[int]]:
    """Of each atom its hydrogens that have a higher number than any other atom: those that AddHs added."""
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    last_heavy = max((i for i, number in enumerate(numbers) if number != 1), default=-1)
    found = defaultdict(list)
    for index in range(last_heavy + 1, len(numbers)):
        for neighbour in mol.GetAtomWithIdx(index).GetNeighbors():
            found[neighbour.GetIdx()].append(index)
    return found


# The methods of attribution that are compared.

AVERAGED = "averaged_baselines"
BENCHMARK_METHODS = (*(method.value for method in Method), AVERAGED)
"""Methods of attribution, and integrated gradients averaged over several baselines."""


def resolve_methods(names: Iterable[str] | None = None) -> tuple[str, ...]:
    """Check names of methods.

    Parameters
    ----------
    names : iterable of str, optional
        Hyphens count as underscores, "ig" is integrated gradients; by default all methods.

    Returns
    -------
    tuple of str
        Each once, in the order given.

    Raises
    ------
    UnknownNameError
        Naming the nearest one.
    UsageError
        If there is none.

    Examples
    --------
    >>> resolve_methods(["ig", "gradient-x-input"])
    ('integrated_gradients', 'gradient_x_input')
    """
    if names is None:
        return BENCHMARK_METHODS
    found = {}
    for name in names:
        folded = name.strip().lower().replace("-", "_")
        folded = Method.INTEGRATED_GRADIENTS.value if folded == "ig" else folded
        if folded not in BENCHMARK_METHODS:
            raise UnknownNameError("method", name, BENCHMARK_METHODS)
        found[folded] = True
    if not found:
        raise UsageError(f"name at least one method: {', '.join(BENCHMARK_METHODS)}")
    return tuple(found)


def explainer_of(
    model: ExplainableModel, method: str, options: AttributionOptions, task: str | None = None
) -> Explainer:
    """Explainer of one of the compared methods.

    Parameters
    ----------
    model : ExplainableModel
        The model.
    method : str
        One of `BENCHMARK_METHODS`.
    options : AttributionOptions
        Target, baselines and tolerance.
    task : str, optional
        Which task; by default the first.

    Returns
    -------
    Explainer
    """
    averaged = method == AVERAGED
    return Explainer(
        model,
        task=task or model.tasks[0],
        target=options.target,
        method=Method.INTEGRATED_GRADIENTS if averaged else method,
        baseline=options.averaged_baselines if averaged else options.baseline,
        tol=options.tol,
    )


def explanations_by_members(
    explainers: Sequence[Explainer], records: Sequence[Record]
) -> Iterator[list[Explanation] | Rejection]:
    """Of each record the explanations by all explainers, or why there are none.

    Parameters
    ----------
    explainers : sequence of Explainer
        One per model.
    records : sequence of Record
        The molecules.

    Yields
    ------
    list of Explanation, or Rejection
        One per record.
    """
    for found in zip(*(explainer.explain_records(records) for explainer in explainers), strict=True):
        refused = [each for each in found if isinstance(each, Rejection)]
        yield refused[0] if refused else [each for each in found if isinstance(each, Explanation)]


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
    >>> from molig.benchmark import ground_truth_sets
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
