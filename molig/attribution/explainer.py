"""Explaining molecules in a stream."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.attribution.baselines import COMPOUND, Baseline, Baselines
from molig.attribution.combined import held_to
from molig.attribution.engine import Tolerance
from molig.attribution.explanation import Explanation, Explanations
from molig.attribution.methods import Method, answers_of
from molig.attribution.panels import Answer, Question
from molig.attribution.protocol import (
    ExplainableModel,
    HashedModel,
    PartedModel,
    PreciseModel,
    ReferencedModel,
    check_explainable,
)
from molig.attribution.substructures import name_of_environment
from molig.attribution.targets import Target
from molig.errors import InputError, UnknownNameError, UsageError, called
from molig.features import MolGraph, PackedGraphs
from molig.foreign import load_any_model
from molig.foreign.shares import Example
from molig.molecules import Molecule, Record, Rejection, read_records, records_of
from molig.molecules.library import reference_compound
from molig.molecules.records import batched

Index = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
ByTask = list[Explanation]
_Names = str | Path | Sequence[str | Path]

At = Callable[[int, int, bool], object]

GROUP = 64
"""Records that are explained together: the points of their paths share batches."""
# Atoms and pairs of such molecules where each has states of its own at every point, which are kept.
_NUMERIC_ROWS = 2048
# Of a probability or logit.
_FLOOR = 0.01
# Below this tolerance single precision would be felt.
_SINGLE_PRECISION_TOL = 1e-3


class Explainer:
    """Explanations with fixed options.

    Parameters
    ----------
    model : ExplainableModel
        The model.
    task : str, optional
        Which of its tasks; by default each molecule's highest-scoring one. The values of a regression
        cannot be compared among tasks: of several, one must be named.
    target : {"probability", "logit", "value"}, optional
        Score to attribute; by default the probability, or the value that a regression predicts.
    method : str
        One of `Method`: ``"integrated_gradients"``, ``"gradient_x_input"``, ``"occlusion"`` or
        ``"leave_one_atom_out"``.
    baseline : str, Baseline, or several, optional
        What molecules are compared with, see `Baselines`; attributions over several baselines are averaged.
        Default: ``"zero"``, where molig's own networks are trained to be neutral; for networks of other
        packages ``"neutral"``; for models on fingerprints their own background, else ``"zero"`` (the empty
        fingerprint), ``"library"``, ``"library:FILE"`` or ``"compound:SMILES"``.
    reference : str or sequence of str, optional
        In place of a baseline: SMILES of a compound, or of several whose mean is meant, such as a series.
        Molecules are compared with its mean features, and scores counted from its score
        (`Explanation.reference_score`): what the molecule's size and shape make of these features is a part
        of its own. Models on fingerprints take one compound.
    tol : float
        Allowed error of any attribution, as a share of the largest one, and allowed completeness residual,
        as a share of ``|F(x) - F(x')|``.
    floor : float, optional
        Smallest ``|F(x) - F(x')|``, and smallest attribution, that ``tol`` is applied to; by default 0.01,
        for a regression 0.01 standard deviations of the labels.
    max_evaluations : int
        Points on the path of one molecule after which it is reported as not converged.
    precision : {"auto", "single", "double"}
        Floating-point type; ``"auto"`` takes double for ``tol`` below 0.001.

    Raises
    ------
    UsageError
        For an unknown name, an impossible tolerance, or a model that cannot be explained.

    Examples
    --------
    >>> from molig import load_model
    >>> explainer = Explainer(load_model("tox21-w2n2-simple"), task="SR-ARE", method="occlusion")
    >>> (why,) = explainer.explain_records([Record(1, "phenol", "c1ccccc1O")])
    >>> len(why.atom_scores)
    7
    """

    def __init__(
        self,
        model: ExplainableModel,
        *,
        task: str | None = None,
        target: str | None = None,
        method: str = Method.INTEGRATED_GRADIENTS,
        baseline: str | Baseline | Iterable[str | Baseline] | None = None,
        reference: str | Sequence[str] | None = None,
        tol: float = 0.01,
        floor: float | None = None,
        max_evaluations: int = 2000,
        precision: str = "auto",
    ) -> None:
        check_explainable(model)
        if task is not None and task not in model.tasks:
            raise UnknownNameError("task", task, model.tasks)
        parts = model.parts() if isinstance(model, PartedModel) else (model,)
        if task is not None:
            model = next(part for part in parts if task in part.tasks)
        elif len(parts) > 1 and target is not None:
            raise UsageError(
                f"{model.name} predicts probabilities in some tasks and values in others, so that no "
                f"{called('target')} suits all; leave it out, or name one task by {called('task')}"
            )
        self.task = None if task is None else model.tasks.index(task)
        self.target = Target.of(target, model.objective)
        self.method = Method.of(method)
        compounds = _compounds(reference, baseline)
        options: dict[str, Any] = {"method": method, "baseline": baseline, "tol": tol, "floor": floor}
        if compounds:
            baseline = _baseline_of(compounds, model)
        if isinstance(model, ReferencedModel):
            model, baseline = model.against(baseline), None
        self.baselines = Baselines(baseline, model)
        known = model.floor if isinstance(model, PreciseModel) else _FLOOR
        self.tolerance = Tolerance(tol, known if floor is None else floor, max_evaluations)
        options |= {"max_evaluations": max_evaluations, "precision": precision, "reference": reference}
        self._by_part = [Explainer(part, **options) for part in parts] if task is None and parts[1:] else []
        self.model = model if self._by_part else _with_precision(model, precision, tol)
        self._compounds = compounds
        self._precision = precision
        self._double: ExplainableModel | None = None
        self._numeric = any(
            b.kind != "categorical" for level in ("atom", "pair") for b in model.schema.blocks(level)
        )

    def explain_records(self, records: Iterable[Record]) -> Iterator[Explanation | Rejection]:
        """Explain a stream of records, in order, with bounded memory.

        Parameters
        ----------
        records : iterable of Record
            The molecules.

        Yields
        ------
        Explanation or Rejection
            One per record.
        """
        for _, result in self.explain_rows(records):
            yield result if isinstance(result, Rejection) else result[0]

    def explain_all_tasks(self, records: Iterable[Record]) -> Iterator[ByTask | Rejection]:
        """Explain every task of every record; the tasks of a molecule share their forward passes.

        Parameters
        ----------
        records : iterable of Record
            The molecules.

        Yields
        ------
        list of Explanation, or Rejection
            One per record; the list has one explanation per task, in the model's order.
        """
        for _, result in self.explain_rows(records, all_tasks=True):
            yield result

    def explain_rows(
        self, records: Iterable[Record], *, all_tasks: bool = False, at: At | None = None
    ) -> Iterator[tuple[Record, ByTask | Rejection]]:
        """Explain a stream of records, in order, with bounded memory, for a table or a page of them.

        Parameters
        ----------
        records : iterable of Record
            The molecules.
        all_tasks : bool
            Explain every task of the model instead of one.
        at : callable, optional
            Called before each step with the records that it could fail at: number of the first, of the one
            behind the last, and whether they are explained then, not read.

        Yields
        ------
        record : Record
            Each of the records.
        result : list of Explanation, or Rejection
            One explanation, or with ``all_tasks`` one per task in the model's order.
        """
        done = 0
        for group in batched(records, GROUP):
            molecules, rejections = self.model.parser.parse_many(_told(group, done, at))
            if at is not None:
                at(done, done + len(group), True)
            done += len(group)
            by_row: dict[int, ByTask | Rejection] = {r.row: r for r in rejections}
            explained = self._explain(molecules, all_tasks=all_tasks)
            for molecule, result in zip(molecules, explained, strict=True):
                by_row[molecule.row] = _finite(molecule, result)
            yield from ((record, by_row[record.row]) for record in group)

    def explain_molecules(self, molecules: Sequence[Molecule]) -> list[Explanation]:
        """Explain parsed molecules together.

        Parameters
        ----------
        molecules : sequence of Molecule
            Accepted by the model's parser.

        Returns
        -------
        list of Explanation
            One per molecule.
        """
        return [only for (only,) in self._explain(molecules, all_tasks=False)]

    def explain_molecules_all_tasks(self, molecules: Sequence[Molecule]) -> list[ByTask]:
        """Explain every task of parsed molecules; see `explain_molecules` and `explain_all_tasks`.

        Parameters
        ----------
        molecules : sequence of Molecule
            Accepted by the model's parser.

        Returns
        -------
        list of list of Explanation
            One list per molecule, with one explanation per task.
        """
        return self._explain(molecules, all_tasks=True)

    def _explain(self, molecules: Sequence[Molecule], *, all_tasks: bool) -> list[ByTask]:
        """Of each molecule its one task, or all."""
        if not molecules:
            return []
        if self._by_part:
            return self._explain_by_part(molecules, all_tasks)
        graphs = self.model.featurize([m.mol for m in molecules])
        tasks = self._tasks(graphs, all_tasks)
        found = [f for part in self._parts(graphs) for f in self._answers(graphs.select(part), tasks[part])]
        n_tasks = tasks.shape[1]
        results = []
        for i, (molecule, graph) in enumerate(zip(molecules, graphs, strict=True)):
            scored = molecule.scored_smiles  # costs as much as parsing: once for all tasks
            answers = zip(tasks[i].tolist(), found[i * n_tasks : (i + 1) * n_tasks], strict=True)
            results.append([self._explanation(molecule, scored, graph, *answer) for answer in answers])
        return results

    def _explain_by_part(self, molecules: Sequence[Molecule], all_tasks: bool) -> list[ByTask]:
        if not all_tasks:
            raise UsageError(f"name one of the tasks, whose units differ: {', '.join(self.model.tasks)}")
        parts = [part._explain(molecules, all_tasks=True) for part in self._by_part]
        return [[one for by_task in of_parts for one in by_task] for of_parts in zip(*parts, strict=True)]

    def _tasks(self, graphs: PackedGraphs, all_tasks: bool) -> Index:
        if all_tasks:
            return np.tile(np.arange(len(self.model.tasks)), (len(graphs), 1))
        if self.task is not None:
            return np.full((len(graphs), 1), self.task)
        if self.target is Target.VALUE and len(self.model.tasks) > 1:
            raise UsageError(f"name one of the tasks, whose units differ: {', '.join(self.model.tasks)}")
        outputs = self.model.relax(graphs).outputs(np.arange(len(graphs)))
        return np.asarray(outputs.argmax(axis=1))[:, None]

    def _parts(self, graphs: PackedGraphs) -> list[Index]:
        """Molecules that are explained together."""
        everything = np.arange(len(graphs))
        if not self._numeric:
            return [everything]
        counts = graphs.atom_counts + graphs.pair_counts
        rows = np.cumsum(counts) - counts
        return np.split(everything, np.flatnonzero(np.diff(rows // _NUMERIC_ROWS)) + 1)

    def _answers(self, graphs: PackedGraphs, tasks: Index) -> list[Answer]:
        """Answers of each molecule and task, molecule by molecule."""
        if not self.baselines.by_task:
            return self._averaged(graphs, tasks, self.baselines.of(self.model.tasks[0]))
        answers: dict[tuple[int, int], Answer] = {}
        for task in np.unique(tasks).tolist():
            places = np.argwhere(tasks == task)
            chosen = graphs.select(places[:, 0])
            of_task = self.baselines.of(self.model.tasks[task])
            found = self._averaged(chosen, np.full((len(places), 1), task), of_task)
            answers |= {(int(i), int(j)): answer for (i, j), answer in zip(places, found, strict=True)}
        return [answers[i, j] for i, j in np.ndindex(*tasks.shape)]

    def _averaged(self, graphs: PackedGraphs, tasks: Index, baselines: Sequence[Baseline]) -> list[Answer]:
        def ask(molecules: Index, tolerance: Tolerance) -> list[Answer]:
            return self._mean_of(baselines, graphs.select(molecules), tasks[molecules], tolerance)

        if len(baselines) > 1 and self.method is Method.INTEGRATED_GRADIENTS:
            return held_to(self.tolerance, len(graphs), ask)
        return self._mean_of(baselines, graphs, tasks, self.tolerance)

    def _mean_of(
        self, baselines: Sequence[Baseline], graphs: PackedGraphs, tasks: Index, tolerance: Tolerance
    ) -> list[Answer]:
        """Means over baselines, each of whose integrals is held to a tolerance."""
        model = self._precise(tolerance.tol)
        # All molecules of a library are one baseline.
        by_name: dict[tuple[str, bool, int], list[list[Answer]]] = {}
        for place, baseline in enumerate(baselines):
            relaxed = model.relax(graphs, (baseline.atom_row, baseline.pair_row))
            question = Question(model, graphs, relaxed, tasks, self.target, tolerance)
            key = baseline.name, baseline.drawn, 0 if baseline.drawn else place
            by_name.setdefault(key, []).append(answers_of(self.method, question))
        means = [
            [_mean(each, self.tolerance, drawn=drawn) for each in zip(*found, strict=True)]
            for (_, drawn, _), found in by_name.items()
        ]
        return [_mean(each, self.tolerance, drawn=False) for each in zip(*means, strict=True)]

    def _precise(self, tol: float) -> ExplainableModel:
        """The model, in double precision if a tolerance tighter than the user's asks for that."""
        if tol >= self.tolerance.tol:
            return self.model
        if self._double is None:
            self._double = _with_precision(self.model, self._precision, tol)
        return self._double

    @cached_property
    def _reference_scores(self) -> FloatArray | None:
        """Mean score of the reference compounds in each task."""
        if not self._compounds:
            return None
        mols = [reference_compound(self.model.parser, smiles) for smiles in self._compounds]
        graphs = self.model.featurize(mols)
        scores = self.target.score(self.model.relax(graphs).outputs(np.arange(len(graphs))))
        return np.asarray(scores.mean(axis=0), dtype=np.float64)

    @property
    def parts(self) -> tuple[Explainer, ...]:
        """Explainers of the tasks that share an objective: this one, if all do."""
        return tuple(self._by_part) or (self,)

    @property
    def references(self) -> str:
        """Hash of what molecules are compared with, where it is the same for all tasks."""
        found = hashlib.sha256(self.baselines.name.encode())
        for baseline in self.baselines.fixed:
            found.update(baseline.atom_row.tobytes() + baseline.pair_row.tobytes())
        if isinstance(self.model, ReferencedModel) and isinstance(self.model, HashedModel):
            found.update(self.model.digest().encode())
        return found.hexdigest()[:16]

    def _explanation(
        self, molecule: Molecule, scored: str, graph: MolGraph, task: int, answer: Answer
    ) -> Explanation:
        n_atoms, n_pairs = len(graph.atom_codes), len(graph.pair_codes)
        if self.method.whole_atoms:
            n_entries, n_pair_entries = 1, 0
        else:
            n_entries = graph.atom_codes.shape[1] + graph.atom_values.shape[1]
            n_pair_entries = graph.pair_codes.shape[1] + graph.pair_values.shape[1]
        cut = n_atoms * n_entries
        stop = cut + n_pairs * n_pair_entries
        names, references = self.member_names, self._reference_scores
        return Explanation(
            id=molecule.id,
            smiles=molecule.smiles,
            mol=molecule.mol,
            task=self.model.tasks[task],
            target=self.target.value,
            score=answer.end,
            baseline_score=answer.start,
            residual=answer.residual,
            converged=answer.converged,
            n_evaluations=answer.n_evaluations,
            schema=self.model.schema,
            graph=graph,
            atom_attributions=answer.attributions[:cut].reshape(n_atoms, n_entries),
            pair_attributions=answer.attributions[cut:stop].reshape(n_pairs, n_pair_entries),
            environment_attributions=answer.attributions[stop:],
            members=dict(zip(names, answer.members, strict=True)) if answer.members else {},
            calibrated=bool(getattr(self.model, "calibrated", False)),
            absent=self._absent(answer),
            error=answer.error + answer.sampling,
            sampling_error=answer.sampling,
            method=self._method_name,
            baseline=self._baseline_name,
            row=molecule.row,
            scored_smiles=scored,
            removed=molecule.removed,
            origin=molecule.origin,
            n_input_atoms=molecule.n_input_atoms,
            reference=_name_of_reference(self._compounds),
            reference_score=math.nan if references is None else float(references[task]),
        )

    @property
    def member_names(self) -> tuple[str, ...]:
        """What parts of a score are told by name, see ``Explanation.members``; empty for most models."""
        return tuple(getattr(self.model, "member_names", ()))

    @property
    def _method_name(self) -> str:
        own = self.method is Method.INTEGRATED_GRADIENTS and isinstance(self.model, ReferencedModel)
        return self.model.exact_method if own else self.method.value  # type: ignore[attr-defined]

    @property
    def _baseline_name(self) -> str:
        if isinstance(self.model, ReferencedModel):
            return self.model.background_name
        return self.baselines.name

    def _absent(self, answer: Answer) -> dict[str, float]:
        if not answer.absent or not isinstance(self.model, ReferencedModel):
            return {}
        order = sorted(answer.absent, key=lambda column: -abs(answer.absent[column]))
        return {_name_of(*self.model.example(column)): answer.absent[column] for column in order}


def _told(records: Sequence[Record], first: int, at: At | None) -> Iterator[Record]:
    """The same records; tells before each that it is read."""
    for place, record in enumerate(records, start=first):
        if at is not None:
            at(place, place + 1, False)
        yield record


def _compounds(
    reference: str | Sequence[str] | None, baseline: str | Baseline | Iterable[str | Baseline] | None
) -> tuple[str, ...]:
    if reference is None:
        return ()
    if baseline is not None:
        raise UsageError(f"give either {called('baseline')} or {called('reference')}, not both")
    found = (reference,) if isinstance(reference, str) else tuple(reference)
    if not found:
        raise UsageError("the reference needs at least one compound")
    return found


def _baseline_of(compounds: tuple[str, ...], model: ExplainableModel) -> str | Baseline:
    """Mean features of reference compounds, under their name."""
    if len(compounds) == 1:
        return f"{COMPOUND}:{compounds[0]}"
    if isinstance(model, ReferencedModel):
        raise UsageError(
            f"{model.name} compares with one compound at a time; for a set of them write it to a file and "
            f"take {called('baseline')} library:FILE"
        )
    mols = [reference_compound(model.parser, smiles) for smiles in compounds]
    mean = Baseline.mean(model.featurize(mols), model.schema)
    return replace(mean, name=_name_of_reference(compounds))


def _name_of_reference(compounds: tuple[str, ...]) -> str:
    return f"mean of {len(compounds):,} compounds" if len(compounds) > 1 else "".join(compounds)


@lru_cache(maxsize=100_000)
def _name_of(column: str, example: Example | None) -> str:
    if example is None:
        return column
    return f"{name_of_environment(*example)} ({column})"


def _finite(molecule: Molecule, found: ByTask) -> ByTask | Rejection:
    """Reject a molecule whose score is not a number: nothing about it could be relied on."""
    for explanation in found:
        if not np.isfinite(explanation.score - explanation.baseline_score + explanation.residual):
            reason = (
                f"the {explanation.target} of {explanation.task} is not finite on the path from baseline "
                f"({explanation.baseline_score}) to molecule ({explanation.score})"
            )
            return Rejection(molecule.row, molecule.id, molecule.smiles, reason)
    return found


def _mean(found: Sequence[Answer], tolerance: Tolerance, *, drawn: bool) -> Answer:
    """Average over baselines; those that were drawn have a sampling error: the standard error of the mean."""
    if len(found) == 1:
        return found[0]
    sampling = float(np.mean([f.sampling for f in found]))
    if drawn:
        spread = np.std([f.attributions for f in found], axis=0, ddof=1)
        sampling = float(spread.max(initial=0.0)) / len(found) ** 0.5
    mean = Answer(
        start=float(np.mean([f.start for f in found])),
        end=found[0].end,
        attributions=np.mean([f.attributions for f in found], axis=0),
        residual=float(np.mean([f.residual for f in found])),
        error=float(np.mean([f.error for f in found])),
        converged=False,
        n_evaluations=sum(f.n_evaluations for f in found),
        members=tuple(np.mean([f.members for f in found], axis=0).tolist()),
        sampling=sampling,
    )
    # Attributions may cancel, so that what was allowed of each can be too much for the mean.
    met = tolerance.met(mean.end - mean.start, mean.residual, mean.largest, mean.error)
    return replace(mean, converged=met)


def _with_precision(model: ExplainableModel, precision: str, tol: float) -> ExplainableModel:
    names = ("auto", "single", "double")
    if precision not in names:
        raise UnknownNameError("precision", precision, names)
    if precision == "single" or (precision == "auto" and tol >= _SINGLE_PRECISION_TOL):
        return model
    if isinstance(model, PreciseModel):
        return model.double()
    if precision == "double":
        raise UsageError(f"{type(model).__name__} has no double precision; use precision='single'")
    return model


# SMILES in, explanations out.


@overload
def explain(
    model: ExplainableModel | _Names,
    smiles: str | Chem.Mol,
    task: str | None = None,
    **options: Any,
) -> Explanation: ...


@overload
def explain(
    model: ExplainableModel | _Names,
    smiles: Path | Iterable[Any],
    task: str | None = None,
    **options: Any,
) -> Explanations: ...


def explain(
    model: ExplainableModel | _Names,
    smiles: str | Chem.Mol | Path | Iterable[Any],
    task: str | None = None,
    **options: Any,
) -> Explanation | Explanations:
    """Attribute scores to atoms and pairs.

    Parameters
    ----------
    model : ExplainableModel, str, Path or sequence of them
        A model, or what `molig.load_model` reads.
    smiles : str, rdkit.Chem.Mol, iterable of them, DataFrame or Path
        The molecules: a SMILES or molecule, several, or a table, see `molig.molecules.records_of`; or the
        ``Path`` of a file, see `molig.molecules.read_records`.
    task : str, optional
        Which of the model's tasks; by default each molecule's highest-scoring one. For all tasks at once
        see `Explainer.explain_all_tasks`.
    **options
        Further parameters of `Explainer`: ``target``, ``tol``, ``method``, ``baseline`` and so on.

    Returns
    -------
    Explanation, or Explanations
        One for a SMILES or molecule; for several, a list of the same length and order, with a `Rejection` in
        the place of everything that cannot be explained.

    Raises
    ------
    InputError
        If a single SMILES cannot be explained.
    UsageError
        For an unknown task, target, method or baseline, or an impossible tolerance.

    Examples
    --------
    >>> import molig
    >>> why = molig.explain("tox21-w2n2-simple", "c1ccccc1O", task="SR-ARE")
    >>> why.converged
    True
    """
    loaded = load_any_model(model) if isinstance(model, str | Path | Sequence) else model
    explainer = Explainer(loaded, task=task, **options)
    if isinstance(smiles, str | Chem.Mol):
        (record,) = records_of([smiles])
        (only,) = explainer.explain_records([replace(record, id="") if record.id == "1" else record])
        if isinstance(only, Rejection):
            raise InputError(f"{only.smiles!r} cannot be explained: {only.reason}")
        return only
    records = read_records(smiles) if isinstance(smiles, Path) else records_of(smiles)
    return Explanations(explainer.explain_records(records))
