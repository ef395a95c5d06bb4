"""Methods of attribution: what each makes of relaxed molecules."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from molig.attribution.combined import held_to
from molig.attribution.engine import AdaptivePath, Tolerance, refine
from molig.attribution.panels import Answer, Question, by_secants, of_path
from molig.attribution.protocol import SharedInputs
from molig.attribution.targets import Target
from molig.committee import Combination
from molig.errors import UnknownNameError
from molig.features import MolGraph, PackedGraphs
from molig.features.graphs import pack
from molig.model.relaxed import RelaxedCommittee

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Tolerance from which on products in bfloat16 do.
_COARSE_TOL = 0.005
# Below this change of the members' mean the difference quotient of the score is lost in rounding.
_CLOSE = 1e-9


class Method(StrEnum):
    """How a score is attributed."""

    INTEGRATED_GRADIENTS = "integrated_gradients"
    """Sundararajan, Taly, Yan 2016."""

    GRADIENT_X_INPUT = "gradient_x_input"
    """Gradient at the molecule times the difference to the baseline."""

    OCCLUSION = "occlusion"
    """Fall of the score when an atom's features and those of its pairs are set to the baseline."""

    LEAVE_ONE_ATOM_OUT = "leave_one_atom_out"
    """Fall of the score when an atom and its pairs are taken out of the graph."""

    @classmethod
    def of(cls, name: str) -> Method:
        """Find a method; hyphens count as underscores, and "ig" is integrated gradients.

        Raises
        ------
        UnknownNameError
            Naming the nearest one.
        """
        folded = name.strip().lower().replace("-", "_")
        if folded == "ig":
            return cls.INTEGRATED_GRADIENTS
        if folded not in list(cls):
            raise UnknownNameError("method", name, [m.value for m in cls])
        return cls(folded)

    @property
    def whole_atoms(self) -> bool:
        """Whether there is one number per atom, and none per feature or pair."""
        return self in (Method.OCCLUSION, Method.LEAVE_ONE_ATOM_OUT)


def answers_of(method: Method, question: Question) -> list[Answer]:
    """Attributions of every molecule and task of a question, molecule by molecule."""
    if method is Method.INTEGRATED_GRADIENTS:
        if isinstance(question.relaxed, RelaxedCommittee):
            return _by_members(question, question.relaxed)
        if isinstance(question.relaxed, SharedInputs):
            return _by_shares(question, question.relaxed)
        # Many tasks are many backward passes, whose largest product may be coarse if the tolerance is.
        fast = question.tasks.shape[1] > 1 and question.tolerance.tol >= _COARSE_TOL
        trail = question.relaxed.trail(fast=fast)
        return _along_path(question) if trail is None else by_secants(question, trail)
    if method is Method.GRADIENT_X_INPUT:
        return _gradient(question)
    return _occlusion(question) if method is Method.OCCLUSION else _leave_out(question)


def _by_members(question: Question, committee: RelaxedCommittee) -> list[Answer]:
    """Shares of every member, weighted as its score is; a calibration scales all of them alike."""

    def ask(molecules: Index, of_weave: Tolerance) -> list[Answer]:
        graphs, tasks = question.graphs.select(molecules), question.tasks[molecules]
        return _weighted(replace(question, graphs=graphs, tasks=tasks), committee.select(molecules), of_weave)

    return held_to(question.tolerance, len(question.graphs), ask)


def _weighted(question: Question, committee: RelaxedCommittee, of_weave: Tolerance) -> list[Answer]:
    """The same, with a tolerance for the Weave network, which is held to its own largest attribution."""
    combination = committee.combination
    own = Target.PROBABILITY if combination.probability else Target.VALUE
    of_network = replace(question, relaxed=committee.weave, target=own, tolerance=of_weave)
    weave = answers_of(Method.INTEGRATED_GRADIENTS, of_network)
    molecules, tasks = question.paths
    others = [
        member.shares(question.graphs, molecules, tasks, probability=combination.probability)
        for member in committee.members
    ]
    weights = combination.weights[:, tasks]
    starts = np.stack([np.array([a.start for a in weave]), *(other.starts for other in others)])
    ends = np.stack([np.array([a.end for a in weave]), *(other.ends for other in others)])
    means = [np.einsum("mp,mp->p", side, weights) for side in (starts, ends)]
    scores = [question.target.score(combination.outputs_of(mean, tasks)) for mean in means]
    factor = _mean_slope(question.target, combination, means, scores, tasks)
    answers = []
    for path, answer in enumerate(weave):
        scale = factor[path] * weights[:, path]
        rows = np.sum([s * other.shares[path] for s, other in zip(scale[1:], others, strict=True)], axis=0)
        flat = np.concatenate([scale[0] * answer.attributions, rows])
        start, end = float(scores[0][path]), float(scores[1][path])
        residual, error = end - start - float(flat.sum()), abs(float(scale[0])) * answer.error
        largest = float(np.abs(flat).max(initial=0.0))
        converged = question.tolerance.met(end - start, residual, largest, error)
        members = tuple((scale * (ends[:, path] - starts[:, path])).tolist())
        answers.append(Answer(start, end, flat, residual, error, converged, answer.n_evaluations, members))
    return answers


def _mean_slope(
    target: Target,
    combination: Combination,
    means: list[FloatArray],
    scores: list[FloatArray],
    tasks: Index,
) -> FloatArray:
    """Change of the committee's score for a change of its members' mean, path by path."""
    change = means[1] - means[0]
    close = np.abs(change) < _CLOSE
    outputs = combination.outputs_of(means[1], tasks)
    at_end = combination.rates(means[1], tasks) * target.slope(outputs, outputs)
    with np.errstate(invalid="ignore"):
        return np.where(close, at_end, (scores[1] - scores[0]) / np.where(close, 1.0, change))


def _by_shares(question: Question, relaxed: SharedInputs) -> list[Answer]:
    """Exact shares, all scaled alike where the score is not what they add up to."""
    molecules, tasks = question.paths
    found = relaxed.shares(molecules, tasks)
    of_probabilities = found.probabilities and question.target is Target.LOGIT
    target = Target.VALUE if found.probabilities else question.target
    starts, ends = (
        logit(side) if of_probabilities else target.score(side) for side in (found.starts, found.ends)
    )
    factors = target.slope(found.starts, found.ends)
    if of_probabilities:
        with np.errstate(all="ignore"):  # of a probability of 0 or 1, which has no logit
            at_end = 1 / (found.ends * (1 - found.ends))
            change = found.ends - found.starts
            factors = np.where(np.abs(change) < _CLOSE, at_end, (ends - starts) / change)
    answers = []
    for path, factor in enumerate(factors.tolist()):
        with np.errstate(invalid="ignore"):
            flat = factor * found.environments[path]
        absent = {column: factor * share for column, share in found.absent[path].items()}
        start, end = float(starts[path]), float(ends[path])
        present, lacking = float(flat.sum()), sum(absent.values())
        residual = end - start - present - lacking
        converged = abs(residual) <= question.tolerance.residual(end - start)
        sampling = factor * float(found.errors[path])
        members = (present, lacking) if getattr(question.model, "member_names", ()) else ()
        answers.append(Answer(start, end, flat, residual, 0.0, bool(converged), 1, members, absent, sampling))
    return answers


def _along_path(question: Question) -> list[Answer]:
    """Adaptive quadrature of the gradient, for models without secant shares."""
    molecules, tasks = question.paths

    def evaluate(owners: Index, points: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
        return _densities(question, molecules[owners], points, tasks[owners])

    paths = [AdaptivePath(question.tolerance) for _ in molecules]
    refine(paths, evaluate)
    return [of_path(path, path.error) for path in paths]


def _densities(
    question: Question, molecules: Index, scales: FloatArray, tasks: Index
) -> tuple[FloatArray, list[FloatArray]]:
    """Scores, and their rates of change feature by feature."""
    at = question.relaxed.densities(molecules, scales, tasks)
    slopes = question.target.slope(at.values, at.values).tolist()
    environments = at.environments or [np.zeros(0)] * len(slopes)
    flat = [
        slope * np.concatenate([atom.ravel(), pair.ravel(), rows])
        for slope, atom, pair, rows in zip(slopes, at.atoms, at.pairs, environments, strict=True)
    ]
    return question.target.score(at.values), flat


def _gradient(question: Question) -> list[Answer]:
    molecules, tasks = question.paths
    ends, flat = _densities(question, molecules, np.ones(len(molecules)), tasks)
    starts = _scores(question, molecules, tasks, 0.0)
    return [_judged(question, *found, 2) for found in zip(starts, ends, flat, strict=True)]


def _occlusion(question: Question) -> list[Answer]:
    graphs, atoms, pairs = question.graphs, [], []
    for graph in graphs:
        n = len(graph.atom_codes)
        atoms.append(1.0 - np.eye(n))
        touched = np.zeros((n, len(graph.pair_atoms)))
        for end in graph.pair_atoms.T:
            touched[end, np.arange(len(end))] = 1
        pairs.append(1 - touched)
    occluded = np.repeat(np.arange(len(graphs)), graphs.atom_counts)
    factors = [np.concatenate([part.ravel() for part in parts]) for parts in (atoms, pairs)]
    outputs = question.relaxed.outputs(occluded, *factors)
    return _falls(question, np.split(outputs, np.cumsum(graphs.atom_counts)[:-1]))


def _leave_out(question: Question) -> list[Answer]:
    smaller = [[without_atom(graph, i) for i in range(len(graph.atom_codes))] for graph in question.graphs]
    outputs = []
    for index, graphs in enumerate(smaller):
        if len(graphs) == 1:  # Nothing is left of a single atom but the baseline.
            outputs.append(question.relaxed.outputs(np.array([index]), *_zeros(question.graphs, [index])))
        else:
            relaxed = question.model.relax(pack(graphs))
            outputs.append(relaxed.outputs(np.arange(len(graphs))))
    return _falls(question, outputs)


def _falls(question: Question, outputs: list[FloatArray]) -> list[Answer]:
    """Falls of the score, from outputs (n_atoms, n_tasks) without each atom."""
    molecules, tasks = question.paths
    starts, ends = (_scores(question, molecules, tasks, a) for a in (0.0, 1.0))
    found = []
    for molecule, task, start, end in zip(
        molecules.tolist(), tasks.tolist(), starts.tolist(), ends.tolist(), strict=True
    ):
        falls = end - question.target.score(outputs[molecule][:, task])
        found.append(_judged(question, start, end, falls, 2 + len(falls)))
    return found


def _scores(question: Question, molecules: Index, tasks: Index, scale: float) -> FloatArray:
    once, which = np.unique(molecules, return_inverse=True)
    factors = (np.full(len(ones), scale) for ones in _zeros(question.graphs, once))
    outputs = question.relaxed.outputs(once, *factors)
    return question.target.score(outputs[which, tasks])


def _zeros(graphs: PackedGraphs, molecules: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    chosen = np.asarray(molecules)
    return np.zeros(int(graphs.atom_counts[chosen].sum())), np.zeros(int(graphs.pair_counts[chosen].sum()))


def _judged(question: Question, start: float, end: float, flat: FloatArray, n_evaluations: int) -> Answer:
    residual = float(end - start - flat.sum())
    converged = abs(residual) <= question.tolerance.residual(end - start)
    return Answer(float(start), float(end), flat, residual, float("nan"), bool(converged), n_evaluations)


def without_atom(graph: MolGraph, atom: int) -> MolGraph:
    """Graph without an atom and its pairs; the other features stay as they are."""
    kept_atoms = np.arange(len(graph.atom_codes)) != atom
    kept_pairs = (graph.pair_atoms != atom).all(axis=1)
    pairs = graph.pair_atoms[kept_pairs]
    return MolGraph(
        graph.atom_codes[kept_atoms],
        graph.atom_values[kept_atoms],
        graph.pair_codes[kept_pairs],
        graph.pair_values[kept_pairs],
        pairs - (pairs > atom),
        graph.environments.without_atom(atom) if graph.environments is not None else None,
    )
