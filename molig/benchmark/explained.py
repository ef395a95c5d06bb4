"""Atom scores of the molecules of a set, by every method, in the order of the truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.attribution import ExplainableModel, Explainer, Explanation, Method
from molig.attribution.explanation import bonds_of_pairs, share_pairs, share_rings
from molig.benchmark.ground_truth import GroundTruth
from molig.benchmark.metrics import Part, merge_ties
from molig.benchmark.recipe import AttributionOptions, Projection
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import ScoringModel
from molig.molecules import Record, Rejection
from molig.molecules.standardize import input_atom_indices

FloatArray = npt.NDArray[np.float64]
Advance = Callable[[int], None]

AVERAGED = "averaged_baselines"
BENCHMARK_METHODS = (*(method.value for method in Method), AVERAGED)
"""Methods of attribution, and integrated gradients averaged over several baselines."""
_OF_ATOMS_ONLY = (Method.OCCLUSION.value, Method.LEAVE_ONE_ATOM_OUT.value)


def resolve_methods(names: Iterable[str] | None = None) -> tuple[str, ...]:
    """Check names of methods: hyphens count as underscores, "ig" is integrated gradients; default all."""
    if names is None:
        return BENCHMARK_METHODS
    chosen = {}
    for name in names:
        folded = name.strip().lower().replace("-", "_")
        folded = Method.INTEGRATED_GRADIENTS.value if folded == "ig" else folded
        if folded not in BENCHMARK_METHODS:
            raise UnknownNameError("method", name, BENCHMARK_METHODS)
        chosen[folded] = True
    if not chosen:
        raise UsageError(f"name at least one method: {', '.join(BENCHMARK_METHODS)}")
    return tuple(chosen)


def explainer_of(
    model: ExplainableModel, method: str, options: AttributionOptions, task: str | None = None
) -> Explainer:
    """Explainer of one of the compared methods."""
    averaged = method == AVERAGED
    return Explainer(
        model,
        task=task or model.tasks[0],
        target=options.target,
        method=Method.INTEGRATED_GRADIENTS if averaged else method,
        baseline=options.averaged_baselines if averaged else options.baseline,
        tol=options.tol,
    )


@dataclass(frozen=True)
class ExplainedSet:
    """Molecules that every method has explained."""

    truth: GroundTruth
    scores: dict[str, list[FloatArray]]  # per method, each of shape (n_atoms,), in the order of the truth
    bond_scores: dict[str, list[FloatArray]]  # of bonds, shape (n_bonds,), by methods that score them
    failures: tuple[Rejection, ...]  # molecules that some method could not explain: none is judged on them
    unconverged: dict[str, int]  # per method; only integrated gradients promise to add up

    def scores_of(self, part: Part) -> dict[str, list[FloatArray]]:
        """Scores of what a metric looks at, per method."""
        return self.bond_scores if part is Part.BONDS else self.scores


def explain_set(
    truth: GroundTruth,
    models: Sequence[ScoringModel],
    methods: Sequence[str],
    options: AttributionOptions,
    *,
    advance: Advance | None = None,
    task: str | None = None,
) -> ExplainedSet:
    """Explain molecules by every method, for one task; scores of several models are averaged."""
    records = [
        Record(row + 1, name, smiles)
        for row, (name, smiles) in enumerate(zip(truth.ids, truth.smiles, strict=True))
    ]
    failures: dict[int, Rejection] = {}
    scores: dict[str, dict[int, _Scores]] = {method: {} for method in methods}
    unconverged = dict.fromkeys(methods, 0)
    for method in methods:
        explainers = [explainer_of(model, method, options, task) for model in models]
        by_model = zip(*(explainer.explain_records(records) for explainer in explainers), strict=True)
        for row, results in enumerate(by_model):
            explanations = [each for each in results if isinstance(each, Explanation)]
            refused = [each for each in results if isinstance(each, Rejection)]
            judged = refused[0] if refused else _mean_scores(truth, row, explanations, options)
            if isinstance(judged, Rejection):
                failures.setdefault(row, judged)
            else:
                scores[method][row] = judged
            if not refused:
                unconverged[method] += not all(each.converged for each in explanations)
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
        scores={method: [by_row[row].atoms for row in kept] for method, by_row in scores.items()},
        bond_scores={
            method: [by_row[row].bonds for row in kept]
            for method, by_row in scores.items()
            if method not in _OF_ATOMS_ONLY
        },
        failures=tuple(failures[row] for row in sorted(failures)),
        unconverged=unconverged,
    )


@dataclass(frozen=True)
class _Scores:
    """Of one molecule, in the order of its truth."""

    atoms: FloatArray
    bonds: FloatArray


def _mean_scores(
    truth: GroundTruth, row: int, explanations: Sequence[Explanation], options: AttributionOptions
) -> _Scores | Rejection:
    """Mean over the models, in the order of the truth."""
    try:
        target = truth.molecule(row)
        atoms, bonds = [], []
        for each in explanations:
            places = truth_atoms(each.mol, target)
            atoms.append(_added_up(read_scores(each, options), places, target.GetNumAtoms()))
            bonds.append(_bonds_of_truth(each, places, target))
    except InputError as error:
        return Rejection(row + 1, truth.ids[row], truth.smiles[row], str(error))
    return _Scores(
        merge_ties(np.mean(atoms, axis=0), options.ties), merge_ties(np.mean(bonds, axis=0), options.ties)
    )


# From the atoms of an explained molecule to the atoms that a truth covers.

_ADDED = -1  # origin of a hydrogen that the parser has added


def read_scores(explanation: Explanation, options: AttributionOptions) -> FloatArray:
    """Atom scores of an explanation as a recipe reads them, shape (n_atoms,)."""
    scores = projected_scores(explanation, options.projection)
    return share_rings(explanation.mol, scores) if options.rings else scores


def projected_scores(explanation: Explanation, projection: Projection) -> FloatArray:
    """Atom scores of an explanation, shape (n_atoms,), from the pairs that a projection counts.

    Of a committee, substructures count in all projections.
    """
    if projection is Projection.ALL:
        return explanation.atom_scores
    own = explanation.own_atom_scores + explanation.substructure_scores
    if projection is Projection.OWN or not explanation.pair_attributions.shape[1]:
        return own
    pairs = explanation.graph.pair_atoms
    bonded = bonds_of_pairs(explanation.mol, pairs) >= 0
    return share_pairs(own, np.where(bonded, explanation.pair_scores, 0.0), pairs)


def scores_of_truth_atoms(scores: FloatArray, explained: Chem.Mol, truth: Chem.Mol) -> FloatArray:
    """Put atom scores in the order of the truth.

    A hydrogen that the truth does not know adds its score to its neighbour's; an atom that standardisation
    took away scores zero.
    """
    return _added_up(scores, truth_atoms(explained, truth), truth.GetNumAtoms())


def _added_up(scores: FloatArray, places: npt.NDArray[np.int64], n: int) -> FloatArray:
    placed = np.zeros(n)
    np.add.at(placed, places, scores)
    return placed


def _bonds_of_truth(explanation: Explanation, places: npt.NDArray[np.int64], truth: Chem.Mol) -> FloatArray:
    """Scores of bonds in the order of the truth; a bond that one of the molecules lacks scores zero."""
    placed = np.zeros(truth.GetNumBonds())
    for bond, score in zip(explanation.mol.GetBonds(), explanation.bond_scores, strict=True):
        ends = (int(places[bond.GetBeginAtomIdx()]), int(places[bond.GetEndAtomIdx()]))
        found = truth.GetBondBetweenAtoms(*ends) if ends[0] != ends[1] else None
        if found is not None:
            placed[found.GetIdx()] += score
    return placed


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
    hydrogens = defaultdict(list)
    for index in range(last_heavy + 1, len(numbers)):
        for neighbour in mol.GetAtomWithIdx(index).GetNeighbors():
            hydrogens[neighbour.GetIdx()].append(index)
    return hydrogens
