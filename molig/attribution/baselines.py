"""Baselines: the features that a molecule is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.attribution.protocol import ExplainableModel
from molig.errors import InputError, UnknownNameError, UsageError
from molig.features import BlockKind, FeatureSchema, PackedGraphs
from molig.features.schema import Block
from molig.molecules import Rejection
from molig.molecules.library import library_molecules

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
        rows = []
        for level in (graphs.level("atom"), graphs.level("pair")):
            sums = [np.zeros(0)]
            for place in schema.places(level.name):
                if place.is_categorical:
                    codes = level.codes[:, place.stored.start]
                    counts = np.bincount(codes[codes >= 0], minlength=place.block.width)
                    sums.append(counts.astype(np.float64))
                else:
                    sums.append(level.values[:, place.stored].sum(axis=0, dtype=np.float64))
            rows.append(np.concatenate(sums) / max(len(level.codes), 1))
        return cls("mean", rows[0], rows[1])


class Baselines:
    """The baselines of a model's explanations: the same for every task, or one for each.

    Parameters
    ----------
    given : str, Baseline, or several, optional
        Baselines, or their names, which may be joined by commas. Beside those of `Baseline.named`:
        ``"neutral"``, where the task scores next to nothing whatever the molecule's size; ``"mean"``, mean
        features of library molecules; ``"library"``, 16 molecules drawn from it, with each of which molecules
        are compared in turn (expected gradients); ``"library:FILE"``, the same from a library of one's own;
        ``"compound:SMILES"``, the mean features of a reference compound. Default: what the model has found
        best (its ``default_baseline``), else ``"zero"``.
    model : ExplainableModel
        The model.

    Raises
    ------
    UnknownNameError
        For an unknown name.
    UsageError
        If rows do not fit the model, or it has no neutral baseline.
    InputError
        If a library or a compound cannot be read.
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
    def by_task(self) -> bool:
        """Whether tasks have baselines of their own."""
        return self._neutral

    def of(self, task: str) -> tuple[Baseline, ...]:
        """Those of a task; attributions over several are averaged."""
        if not self._neutral:
            return tuple(self._same)
        atom, pair = self._model.neutral_rows(task)  # type: ignore[attr-defined]
        return Baseline(NEUTRAL, atom, pair), *self._same


def _named(name: str, model: ExplainableModel) -> list[Baseline]:
    """Baselines of a name."""
    kind, _, rest = name.partition(":")
    if kind == LIBRARY:
        mols = library_molecules(model.parser, _N_REFERENCES, rest or None)
        return [replace(_mean([mol], model, LIBRARY), drawn=True) for mol in mols]
    if name == MEAN:
        return [_mean(library_molecules(model.parser, _N_MEAN), model, MEAN)]
    if kind == COMPOUND:
        parsed = model.parser.parse_smiles(rest)
        if isinstance(parsed, Rejection):
            raise InputError(f"the reference compound {rest!r} cannot be used: {parsed.reason}")
        return [_mean([parsed.mol], model, name)]
    if name == NEUTRAL:
        raise UsageError(f"{model.name} has no neutral baseline; it would have to be fitted (neutral_rows)")
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
