"""The ablation test: the drop of the score when the atoms said to matter are removed."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.attribution import ExplainableModel, Target
from molig.attribution.baselines import ZERO, Baselines
from molig.benchmark.estimates import Resampling, ratio_estimate
from molig.benchmark.explained import explainer_of, read_scores, resolve_methods
from molig.benchmark.recipe import AttributionOptions
from molig.errors import InputError, UnknownNameError, UsageError
from molig.features import MolGraph
from molig.model import ScoringModel
from molig.molecules import Molecule, Record
from molig.molecules.records import batched
from molig.stats.plots import COLORS, GREY, in_legend, plot_style, titled_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ScoreWithout = Callable[[int, list[IntArray]], npt.ArrayLike]
Advance = Callable[[int], None]

RANDOM = "random"
COLUMNS = ["ranking", "removed", "drop", "low", "high", "n_molecules"]


@dataclass(frozen=True)
class AblationPlan:
    """How many atoms to remove, and what to compare with.

    Parameters
    ----------
    counts : sequence of int
        Numbers of atoms to remove. Molecules with fewer atoms do not count at that number.
    fractions : sequence of float, optional
        Remove these shares of the atoms instead, rounded up to whole atoms.
    random_repeats : int
        Random orders per molecule, averaged; 0 leaves the random ranking out.
    resampling : Resampling
        How intervals are made. Its seed also seeds the random orders and the order of tied atoms.

    Raises
    ------
    UsageError
        If there is nothing to remove, or a number makes no sense.

    Examples
    --------
    >>> AblationPlan(counts=(1, 2)).random_repeats
    10
    """

    counts: Sequence[int] = tuple(range(1, 11))
    fractions: Sequence[float] | None = None
    random_repeats: int = 10
    resampling: Resampling = field(default_factory=Resampling)

    def __post_init__(self) -> None:
        steps = self.steps
        if not len(steps):
            raise UsageError("an ablation needs at least one number of atoms to remove")
        if self.fractions is not None and not all(0 < share <= 1 for share in self.fractions):
            raise UsageError(
                f"shares of removed atoms must lie above 0 and up to 1 (got {list(self.fractions)})"
            )
        if self.fractions is None and not all(count >= 1 for count in self.counts):
            raise UsageError(f"numbers of removed atoms must be at least 1 (got {list(self.counts)})")
        if self.random_repeats < 0:
            raise UsageError(f"random orders per molecule cannot be negative (got {self.random_repeats})")

    @property
    def steps(self) -> Sequence[float]:
        """What the column "removed" of the result holds."""
        return self.counts if self.fractions is None else self.fractions

    def removed(self, n_atoms: int) -> list[int | None]:
        """Atoms to remove from a molecule at each step; None where it has too few."""
        if self.fractions is None:
            return [count if count <= n_atoms else None for count in self.counts]
        # Away from the noise of float: 0.1 of 20 atoms are 2, not 3.
        return [int(np.ceil(round(share * n_atoms, 9))) for share in self.fractions]


def drop_curves(
    score_without: ScoreWithout,
    rankings: Mapping[str, Sequence[FloatArray]],
    plan: AblationPlan | None = None,
) -> pd.DataFrame:
    """Drop of the score when the best-ranked atoms are removed, per ranking.

    Parameters
    ----------
    score_without : callable
        ``(molecule, atom_sets) -> scores``: the molecule's number (counted from 0) and a list of integer
        arrays; returns the score without the atoms of each array, shape (len(atom_sets),). The first array is
        empty: the whole molecule. Equal sets are asked for once.
    rankings : mapping of str to sequence of array of float, shape (n_atoms,)
        Per method the atom scores of every molecule. The highest go first, tied ones in random order.
    plan : AblationPlan, optional
        How many atoms to remove, random orders, and intervals.

    Returns
    -------
    DataFrame
        One row per ranking (the given ones, then "random") and step: mean drop over molecules, its interval
        and the number of molecules. Columns ranking, removed, drop, low, high, n_molecules.

    Raises
    ------
    UsageError
        If the rankings do not cover the same molecules and atoms, hold values that are not finite, or
        `score_without` returns another number of scores or such that are not finite.

    Examples
    --------
    >>> weights = np.array([3.0, 1.0, 0.0])
    >>> def score_without(molecule, atom_sets):
    ...     return [weights.sum() - weights[atoms].sum() for atoms in atom_sets]
    >>> drop_curves(score_without, {"right": [weights]}, AblationPlan(counts=(1, 2)))["drop"].tolist()[:2]
    [3.0, 4.0]
    """
    plan = plan or AblationPlan()
    sizes = _sizes(rankings)
    names = [*rankings, *([RANDOM] if plan.random_repeats else [])]
    drops = np.full((len(names), len(plan.steps), len(sizes)), np.nan)
    for molecule, n_atoms in enumerate(sizes):
        rng = np.random.default_rng([plan.resampling.seed, molecule])
        orders = [[_order(scores[molecule], rng)] for scores in rankings.values()]
        if plan.random_repeats:
            orders.append([rng.permutation(n_atoms) for _ in range(plan.random_repeats)])
        drops[:, :, molecule] = _drops(score_without, molecule, orders, plan.removed(n_atoms))
    rows = []
    for name, curve in zip(names, drops, strict=True):
        for step, values in zip(plan.steps, curve, strict=True):
            known = ~np.isnan(values)
            mean = ratio_estimate(np.where(known, values, 0.0), known.astype(float), plan.resampling)
            rows.append((name, step, mean.value, mean.low, mean.high, mean.n_molecules))
    return pd.DataFrame(rows, columns=COLUMNS)


def _order(scores: FloatArray, rng: np.random.Generator) -> IntArray:
    """Atoms from the highest score down, tied ones in random order."""
    return np.lexsort((rng.random(len(scores)), -np.asarray(scores, dtype=float)))


def _drops(
    score_without: ScoreWithout, molecule: int, orders: list[list[IntArray]], removed: list[int | None]
) -> FloatArray:
    """Mean drop over the orders of each ranking at each step; NaN where the molecule is too small."""
    place: dict[tuple[int, ...], int] = {(): 0}

    def place_of(order: IntArray, count: int) -> int:
        return place.setdefault(tuple(sorted(order[:count].tolist())), len(place))

    wanted = [
        [None if count is None else [place_of(order, count) for order in repeats] for count in removed]
        for repeats in orders
    ]
    atom_sets = [np.array(atoms, dtype=np.int64) for atoms in place]
    scores = np.asarray(score_without(molecule, atom_sets), dtype=float)
    if scores.shape != (len(atom_sets),) or not np.isfinite(scores).all():
        raise UsageError(
            f"molecule {molecule} (counted from 0): expected {len(atom_sets)} finite scores "
            f"(got shape {scores.shape}, {int((~np.isfinite(scores)).sum())} of them not finite)"
        )
    return np.array(
        [
            [np.nan if places is None else scores[0] - scores[places].mean() for places in steps]
            for steps in wanted
        ]
    )


def _sizes(rankings: Mapping[str, Sequence[FloatArray]]) -> list[int]:
    """Atoms of each molecule, once all rankings agree on them."""
    if not rankings:
        raise UsageError("an ablation needs at least one ranking of the atoms")
    if RANDOM in rankings:
        raise UsageError(f"the name {RANDOM!r} is taken by the random ranking; call yours otherwise")
    first, *others = rankings
    sizes = [len(scores) for scores in rankings[first]]
    for name in others:
        for molecule, (scores, size) in enumerate(zip(rankings[name], sizes, strict=False)):
            if len(scores) != size:
                raise UsageError(
                    f"ranking {name!r} has {len(scores)} atoms in molecule {molecule}, "
                    f"ranking {first!r} has {size}"
                )
        if len(rankings[name]) != len(sizes):
            raise UsageError(
                f"ranking {name!r} has {len(rankings[name])} molecules, ranking {first!r} has {len(sizes)}"
            )
    for name, ranking in rankings.items():
        for molecule, scores in enumerate(ranking):
            if not np.isfinite(scores).all():
                raise UsageError(f"ranking {name!r} has a score that is not finite in molecule {molecule}")
    return sizes


# The ablation test of a model: its score when the best-ranked atoms of a molecule go to the baseline.

ABLATION_METHODS = ("integrated_gradients", "gradient_x_input", "occlusion")
_BATCH = 256


def one_task(model: ScoringModel, task: str | None) -> str:
    """The named task; it need not be named where the model has one only."""
    if task is None:
        if len(model.tasks) > 1:
            raise UsageError(f"name one of the tasks of {model.name}: {', '.join(model.tasks)}")
        return model.tasks[0]
    if task not in model.tasks:
        raise UnknownNameError("task", task, model.tasks)
    return task


def top_molecules(
    model: ScoringModel,
    records: Iterable[Record],
    task: str,
    n: int,
    advance: Advance | None = None,
) -> list[Molecule]:
    """The n best-scored molecules of a library, best first; rows that cannot be scored are passed over."""
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

    Without options, that is what explanations of the model compare with; of several, scores are averaged.
    """
    options = options or AttributionOptions(baseline=own_baseline(model))
    without = _Ablated(model, molecules, task, options, advance)
    rankings = {
        method: [
            read_scores(explanation, options)
            for explanation in explainer_of(model, method, options, task).explain_molecules(molecules)
        ]
        for method in resolve_methods(methods)
    }
    return drop_curves(without, rankings, plan)


def own_baseline(model: ExplainableModel) -> str:
    """What explanations of a model compare with unless told otherwise."""
    return str(getattr(model, "default_baseline", ZERO))


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
        baselines = Baselines(options.baseline, model).of(task)
        self._graphs = model.featurize([molecule.mol for molecule in molecules])
        self._relaxed = [model.relax(self._graphs, (each.atom_row, each.pair_row)) for each in baselines]
        self._column = model.tasks.index(task)
        self._target = Target.of(options.target, model.objective)
        self._advance = advance

    def __call__(self, molecule: int, atom_sets: list[IntArray]) -> FloatArray:
        """Scores without each set of atoms."""
        graph = self._graphs[molecule]
        factors = [_kept(graph, atoms) for atoms in atom_sets]
        moved = [np.concatenate(side) for side in zip(*factors, strict=True)]
        places = np.full(len(atom_sets), molecule)
        scores = [self._target.score(each.outputs(places, *moved)[:, self._column]) for each in self._relaxed]
        if self._advance:
            self._advance(1)
        return np.asarray(np.mean(scores, axis=0))


def _kept(graph: MolGraph, removed: IntArray) -> tuple[FloatArray, FloatArray]:
    """1 for the atoms and pairs that keep their features, 0 for removed atoms and their pairs."""
    atoms = np.ones(len(graph.atom_codes))
    atoms[removed] = 0
    return atoms, np.asarray(atoms[graph.pair_atoms].prod(axis=1), dtype=np.float64)


# The ablation test as a picture.

_SIZE = (5.6, 3.6)  # inches


def draw_drop_curves(frame: pd.DataFrame, title: str, score: str = "score") -> Figure:
    """Draw the frame of `drop_curves` with its intervals."""
    known = frame.dropna(subset=["drop"])
    with plot_style():
        figure = titled_figure(title, "", _SIZE, legend_rows=2)
        axes = figure.subplots()
        for place, (name, curve) in enumerate(known.groupby("ranking", sort=False)):
            random = name == RANDOM
            color, dash = (GREY, (0, (4, 3))) if random else (COLORS[place % len(COLORS)], "-")
            axes.fill_between(curve["removed"], curve["low"], curve["high"], color=color, alpha=0.15)
            label = in_legend(str(name).replace("_", " "))
            axes.plot(curve["removed"], curve["drop"], label=label, color=color, linestyle=dash)
        axes.set(xlabel="atoms removed", ylabel=f"mean drop of the {score}")
        axes.set_xticks(sorted(set(known["removed"])))
        axes.set_ylim(bottom=min(0.0, known["low"].min()))
        axes.grid(axis="y", alpha=0.3)
        figure.legend(loc="outside lower center", frameon=False, ncols=3)
    return figure
