"""Baselines: the features that a molecule is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.errors import UnknownNameError, UsageError
from molig.features import BlockKind, FeatureSchema, PackedGraphs
from molig.features.schema import Block

FloatArray = npt.NDArray[np.float64]

_CARBON = "C"


@dataclass(frozen=True, eq=False)
class Baseline:
    """One feature row for every atom and one for every pair; the graph stays.

    Parameters
    ----------
    name : str
        How results call it.
    atom_row, pair_row : array of float, shape (n columns,)
        The features.

    Examples
    --------
    >>> from molig.features import preset
    >>> Baseline.named("uniform", preset("simple", max_pair_distance=2)).atom_row.round(3)[:2].tolist()
    [0.091, 0.091]
    """

    name: str
    atom_row: FloatArray
    pair_row: FloatArray

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
