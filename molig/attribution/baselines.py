"""Baselines: the features that a molecule is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import Chem

from molig.attribution.protocol import ExplainableModel
from molig.attribution.targets import Target
from molig.errors import UnknownNameError, UsageError, called
from molig.features import BlockKind, FeatureSchema, PackedGraphs
from molig.features.graphs import mean_rows
from molig.features.schema import Block
from molig.molecules.library import library_molecules, reference_compound

FloatArray = npt.NDArray[np.float64]

ZERO, NEUTRAL, MEAN, LIBRARY, COMPOUND = "zero", "neutral", "mean", "library", "compound"

_CARBON = "C"
# Molecules that are compared with in turn, and whose features are averaged.
_N_REFERENCES, _N_MEAN = 16, 500


@dataclass(frozen=True, eq=False)
class Baseline:
    """One feature row for every atom and one for every pair; the graph stays.

    Parameters
    ----------
    name : str
        How results call it.
    atom_row, pair_row : array of float, shape (n columns,)
        The features.
    drawn : bool
        Whether it is one of a sample, so that means over several have a sampling error.

    Examples
    --------
    >>> from molig.features import preset
    >>> Baseline.named("uniform", preset("simple", max_pair_distance=2)).atom_row.round(3)[:2].tolist()
    [0.091, 0.091]
    """

    name: str
    atom_row: FloatArray
    pair_row: FloatArray
    drawn: bool = False

    @classmethod
    def named(cls, name: str, schema: FeatureSchema) -> Baseline:
        """Make one of the baselines that need no data.

        Parameters
        ----------
        name : {"zero", "uniform", "carbon"}
            All features zero (the paper's); every category of a block equally much; or carbon atoms
            with all other features zero.
        schema : FeatureSchema
            The columns.

        Raises
        ------
        UnknownNameError
            For any other name.
        """
        if name not in _ROWS:
            raise UnknownNameError("baseline", name, _ROWS)
        atom, pair = (
            np.concatenate([np.zeros(0), *(_ROWS[name](block) for block in schema.blocks(level))])
            for level in ("atom", "pair")
        )
        return cls(name, atom, pair)

    @classmethod
    def mean(cls, graphs: PackedGraphs, schema: FeatureSchema) -> Baseline:
        """Mean feature rows of some molecules, called "mean".

        Parameters
        ----------
        graphs : PackedGraphs
            The molecules, featurized by ``schema``.
        schema : FeatureSchema
            The columns.
        """
        atom, pair = mean_rows(graphs, schema)
        return cls("mean", atom, pair)


class Baselines:
    """The baselines of a model's explanations: the same for every task, or one for each.

    Parameters
    ----------
    given : str, Baseline, or several, optional
        Baselines, or their names, which may be joined by commas. Beside those of `Baseline.named`:
        ``"neutral"``, where the task scores as little as features near a library's mean allow, at all sizes;
        ``"mean"``, mean features of library molecules; ``"library"``, 16 molecules drawn from it, with
        each of which molecules are compared in turn (expected gradients); ``"library:FILE"``, from one's own;
        ``"compound:SMILES"``, the mean features of a reference compound. Default: what the model has found
        best (its ``default_baseline``), else ``"zero"``.
    model : ExplainableModel
        The model.

    Raises
    ------
    UnknownNameError
        For an unknown name.
    UsageError
        If rows do not fit the model, a compound cannot be read, or there is no neutral baseline.
    InputError
        If a library cannot be read.
    """

    def __init__(
        self, given: str | Baseline | Iterable[str | Baseline] | None, model: ExplainableModel
    ) -> None:
        if given is None:
            given = str(getattr(model, "default_baseline", ZERO))
        if isinstance(given, str):
            given = [name.strip() for name in given.split(",") if name.strip()]
        listed = [given] if isinstance(given, Baseline) else list(given)
        if not listed:
            raise UsageError("name at least one baseline")
        self._model = model
        self._same: list[Baseline] = []
        self._by_task: dict[str, Baseline] = {}
        self._neutral = False
        names: list[str] = []
        for one in listed:
            if one == NEUTRAL and hasattr(model, "neutral_rows"):
                self._neutral = True
                names.append(NEUTRAL)
                continue
            found = _named(one, model) if isinstance(one, str) else [one]
            self._same += resolve_baselines(found, model.schema)
            names += [str(one)] if isinstance(one, str) else [one.name]
        self.name = ", ".join(names)

    @property
    def fixed(self) -> tuple[Baseline, ...]:
        """Those that are the same for every task."""
        return tuple(self._same)

    @property
    def by_task(self) -> bool:
        """Whether tasks have baselines of their own."""
        return self._neutral

    def of(self, task: str) -> tuple[Baseline, ...]:
        """Those of a task; attributions over several are averaged."""
        if not self._neutral:
            return tuple(self._same)
        if task not in self._by_task:
            atom, pair = self._model.neutral_rows(task)  # type: ignore[attr-defined]
            self._by_task[task] = Baseline(NEUTRAL, atom, pair)
        return self._by_task[task], *self._same


SIZES = (10, 25, 50)
"""Numbers of atoms at which baselines are looked at."""

_PER_SIZE, _LARGE_LIBRARY = 8, 500


def baseline_scores(
    model: ExplainableModel,
    baselines: Baselines,
    tasks: Sequence[str],
    target: Target,
    sizes: Sequence[int] = SIZES,
    *,
    progress: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Score the baseline on graphs of different sizes: a neutral one scores little, and the same on all.

    Parameters
    ----------
    model : ExplainableModel
        The model.
    baselines : Baselines
        Of its explanations; of several, scores are averaged.
    tasks : sequence of str
        Tasks of the model.
    target : Target
        What is scored.
    sizes : sequence of int
        Numbers of atoms; for each, the eight molecules of `molig.molecules.library` that come nearest.
    progress : callable, optional
        Called with 1 when a task is done: neutral baselines are fitted here if they are not yet.

    Returns
    -------
    DataFrame
        Median scores F(x'), a row per task and a column per size.

    Examples
    --------
    >>> import molig
    >>> model = molig.load_model("tox21-w2n2-simple")
    >>> found = baseline_scores(model, Baselines("zero", model), ["SR-MMP"], Target.PROBABILITY)
    >>> bool((found < 0.03).all(axis=None))
    True
    """
    mols = sorted(library_molecules(model.parser, _LARGE_LIBRARY), key=lambda mol: int(mol.GetNumAtoms()))
    counts = np.array([mol.GetNumAtoms() for mol in mols])
    near = [np.argsort(np.abs(counts - size), kind="stable")[:_PER_SIZE] for size in sizes]
    graphs = model.featurize([mols[i] for i in np.concatenate(near).tolist()])
    every = np.arange(len(graphs))
    absent = np.zeros(int(graphs.atom_counts.sum())), np.zeros(int(graphs.pair_counts.sum()))
    found: dict[int, FloatArray] = {}

    def outputs(baseline: Baseline) -> FloatArray:
        if id(baseline) not in found:
            relaxed = model.relax(graphs, (baseline.atom_row, baseline.pair_row))
            found[id(baseline)] = target.score(relaxed.outputs(every, *absent))
        return found[id(baseline)]

    rows = {}
    for task in tasks:
        column = model.tasks.index(task)
        scores = np.mean([outputs(baseline)[:, column] for baseline in baselines.of(task)], axis=0)
        rows[task] = [float(np.median(part)) for part in np.split(scores, len(near))]
        if progress:
            progress(1)
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(sizes))


def _named(name: str, model: ExplainableModel) -> list[Baseline]:
    """Baselines of a name."""
    kind, _, rest = name.partition(":")
    if kind == LIBRARY:
        mols = library_molecules(model.parser, _N_REFERENCES, rest or None)
        return [replace(_mean([mol], model, LIBRARY), drawn=True) for mol in mols]
    if name == MEAN:
        return [_mean(library_molecules(model.parser, _N_MEAN), model, MEAN)]
    if kind == COMPOUND:
        return [_mean([reference_compound(model.parser, rest)], model, name)]
    if name == NEUTRAL:
        raise UsageError(
            f"no neutral baseline is fitted for {model.name}: molig's own networks are trained to be neutral "
            f"where all features are zero; take {called('baseline')} zero"
        )
    if name not in _ROWS:
        known = [*_ROWS, NEUTRAL, MEAN, LIBRARY, f"{LIBRARY}:FILE", f"{COMPOUND}:SMILES"]
        raise UnknownNameError("baseline", name, known)
    return [Baseline.named(name, model.schema)]


def _mean(mols: Sequence[Chem.Mol], model: ExplainableModel, name: str) -> Baseline:
    return replace(Baseline.mean(model.featurize(mols), model.schema), name=name)


def resolve_baselines(
    given: str | Baseline | Iterable[str | Baseline], schema: FeatureSchema
) -> tuple[Baseline, ...]:
    """One or several baselines from objects, or from names, which may be joined by commas."""
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",") if name.strip()]
    listed = [given] if isinstance(given, Baseline) else list(given)
    if not listed:
        raise UsageError("name at least one baseline")
    found = tuple(b if isinstance(b, Baseline) else Baseline.named(b, schema) for b in listed)
    for baseline in found:
        shapes = baseline.atom_row.shape, baseline.pair_row.shape
        expected = (schema.n_atom_columns,), (schema.n_pair_columns,)
        if shapes != expected:
            raise UsageError(f"baseline {baseline.name!r} must have rows of shapes {expected} (got {shapes})")
    return found


def _zero(block: Block) -> FloatArray:
    return np.zeros(block.width)


def _uniform(block: Block) -> FloatArray:
    return np.full(block.width, 1 / block.width) if block.kind is BlockKind.CATEGORICAL else _zero(block)


def _carbon(block: Block) -> FloatArray:
    row = _zero(block)
    if block.name == "type" and _CARBON in block.columns:
        row[block.columns.index(_CARBON)] = 1
    return row


_ROWS = {"zero": _zero, "uniform": _uniform, "carbon": _carbon}
