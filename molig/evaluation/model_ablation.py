"""The ablation test of a model: its score when the best-ranked atoms of a molecule go to the baseline."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.attribution import ExplainableModel, Target
from molig.attribution.baselines import resolve_baselines
from molig.errors import InputError, UnknownNameError, UsageError
from molig.evaluation.ablation import AblationPlan, drop_curves
from molig.evaluation.atom_order import projected_scores
from molig.evaluation.benchmark_recipe import AttributionOptions
from molig.evaluation.methods import explainer_of, resolve_methods
from molig.features import MolGraph
from molig.model import ScreeningModel
from molig.molecules import Molecule, Record, batched

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Advance = Callable[[int], None]

ABLATION_METHODS = ("integrated_gradients", "gradient_x_input", "occlusion")
_BATCH = 256


def one_task(model: ScreeningModel, task: str | None) -> str:
    """The task that is meant.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    task : str, optional
        Its name; may be left out where the model has one task only.

    Returns
    -------
    str

    Raises
    ------
    UsageError
        If the model has no such task, or several and none is named.
    """
    if task is None:
        if len(model.tasks) > 1:
            raise UsageError(f"name one of the tasks of {model.name}: {', '.join(model.tasks)}")
        return model.tasks[0]
    if task not in model.tasks:
        raise UnknownNameError("task", task, model.tasks)
    return task


def top_molecules(
    model: ScreeningModel,
    records: Iterable[Record],
    task: str,
    n: int,
    advance: Advance | None = None,
) -> list[Molecule]:
    """The best-scored molecules of a library.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    records : iterable of Record
        Rows of the library; those that cannot be scored are passed over.
    task : str
        Task whose score counts.
    n : int
        How many.
    advance : callable, optional
        Called with the number of rows read since the last call.

    Returns
    -------
    list of Molecule
        Best first; of equal scores the earlier row.

    Raises
    ------
    UsageError
        If n is less than 1.
    InputError
        If no molecule can be scored.
    """
    if n < 1:
        raise UsageError(f"the number of molecules must be at least 1 (got {n})")
    column = model.task_index(task)
    best: list[tuple[float, int, Molecule]] = []
    for chunk in batched(records, _BATCH):
        molecules, _ = model.parser.parse_many(chunk)
        scores = model.score_molecules(molecules)[:, column].tolist()
        best += [(s, -m.row, m) for s, m in zip(scores, molecules, strict=True) if np.isfinite(s)]
        best = heapq.nlargest(n, best, key=lambda entry: entry[:2])
        if advance:
            advance(len(chunk))
    if not best:
        raise InputError("none of the molecules could be scored; see `molig screen` for the reasons")
    return [molecule for _, _, molecule in best]


def model_drop_curves(
    model: ExplainableModel,
    molecules: Sequence[Molecule],
    task: str,
    *,
    methods: Sequence[str] = ABLATION_METHODS,
    options: AttributionOptions | None = None,
    plan: AblationPlan | None = None,
    advance: Advance | None = None,
) -> pd.DataFrame:
    """Drop of a model's score when the top-ranked atoms and their pairs are set to the baseline.

    Parameters
    ----------
    model : ExplainableModel
        The model.
    molecules : sequence of Molecule
        Accepted by the model's parser.
    task : str
        One of the model's tasks.
    methods : sequence of str
        Methods that rank the atoms, out of `BENCHMARK_METHODS`.
    options : AttributionOptions, optional
        Target whose drop is reported, baseline that atoms are set to, projection and tolerance.
    plan : AblationPlan, optional
        How many atoms to remove, and random orders to compare with.
    advance : callable, optional
        Called with 1 for each molecule that is done.

    Returns
    -------
    DataFrame
        As `drop_curves` returns it.

    Raises
    ------
    UsageError
        For an unknown name, or an explanation that is not finite.
    """
    options = options or AttributionOptions()
    without = _Ablated(model, molecules, task, options, advance)
    rankings = {
        method: [
            projected_scores(found, options.projection)
            for found in explainer_of(model, method, options, task).explain_molecules(molecules)
        ]
        for method in resolve_methods(methods)
    }
    return drop_curves(without, rankings, plan)


class _Ablated:
    """Scores of molecules without some of their atoms."""

    def __init__(
        self,
        model: ExplainableModel,
        molecules: Sequence[Molecule],
        task: str,
        options: AttributionOptions,
        advance: Advance | None,
    ) -> None:
        (baseline,) = resolve_baselines([options.baseline], model.schema)
        self._graphs = model.featurize([molecule.mol for molecule in molecules])
        self._relaxed = model.relax(self._graphs, (baseline.atom_row, baseline.pair_row))
        self._column = model.tasks.index(task)
        self._target = Target.of(options.target, model.objective)
        self._advance = advance

    def __call__(self, molecule: int, atom_sets: list[IntArray]) -> FloatArray:
        """Scores without each set of atoms."""
        graph = self._graphs[molecule]
        factors = [_kept(graph, atoms) for atoms in atom_sets]
        outputs = self._relaxed.outputs(
            np.full(len(atom_sets), molecule),
            np.concatenate([atoms for atoms, _ in factors]),
            np.concatenate([pairs for _, pairs in factors]),
        )
        if self._advance:
            self._advance(1)
        return self._target.score(outputs[:, self._column])


def _kept(graph: MolGraph, removed: IntArray) -> tuple[FloatArray, FloatArray]:
    """1 for the atoms and pairs that keep their features, 0 for removed atoms and their pairs."""
    atoms = np.ones(len(graph.atom_codes))
    atoms[removed] = 0
    return atoms, np.asarray(atoms[graph.pair_atoms].prod(axis=1), dtype=np.float64)
