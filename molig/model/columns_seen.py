"""Which categories and numbers of the input columns occurred in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from molig.features import BlockKind, FeatureSchema, MolGraph, PackedGraphs
from molig.model.sections import ApplicabilityInfo

Flags = npt.NDArray[np.bool_]

NONE = "none"
"""How the absence of all columns of a categorical block is written."""


class _Level(NamedTuple):
    """Codes and values of the atoms, or of the pairs, of molecules."""

    name: str
    codes: npt.NDArray[np.int8]
    values: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]


def _levels(graphs: PackedGraphs) -> Iterator[_Level]:
    yield _Level("atom", graphs.atom_codes, graphs.atom_values, graphs.atom_counts)
    yield _Level("pair", graphs.pair_codes, graphs.pair_values, graphs.pair_counts)


def category_blocks(schema: FeatureSchema, level: str) -> list[tuple[str, tuple[str, ...]]]:
    """Name of every categorical block of a level, such as "atom.type", with its categories by code + 1."""
    blocks = [block for block in schema.blocks(level) if block.kind is BlockKind.CATEGORICAL]
    return [(f"{level}.{block.name}", (NONE, *block.columns)) for block in blocks]


def record_columns(
    schema: FeatureSchema, graphs: PackedGraphs
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[float, float]]]:
    """What the columns of molecules hold.

    Parameters
    ----------
    schema : FeatureSchema
        The columns.
    graphs : PackedGraphs
        The molecules.

    Returns
    -------
    categories : dict
        Name of a categorical block to the categories that occur.
    ranges : dict
        Name of a numeric column that holds whole numbers only to its least and greatest value. Real values
        have no entry: a charge a little beyond those seen is nothing new.
    """
    categories: dict[str, tuple[str, ...]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for level in _levels(graphs):
        for i, (name, names) in enumerate(category_blocks(schema, level.name)):
            found = np.unique(level.codes[:, i]) + 1
            categories[name] = tuple(names[code] for code in found)
        for column, values in zip(_numeric_columns(schema, level.name), level.values.T, strict=True):
            if len(values) and (values == np.rint(values)).all():
                ranges[column] = float(values.min()), float(values.max())
    return categories, ranges


class ColumnsSeen:
    """Finds what no training molecule had in the columns of molecules.

    Parameters
    ----------
    schema : FeatureSchema
        The columns.
    info : ApplicabilityInfo
        What occurred in training.
    """

    def __init__(self, schema: FeatureSchema, info: ApplicabilityInfo) -> None:
        self._schema, self._info = schema, info
        self._seen = {
            name: np.array([category in info.categories.get(name, ()) for category in categories])
            for level in ("atom", "pair")
            for name, categories in category_blocks(schema, level)
        }

    def unseen(self, graphs: PackedGraphs) -> dict[int, list[str]]:
        """Index of a molecule to texts such as ``pair.bond = triple``; the others have no entry."""
        found: dict[int, list[str]] = {}
        for level in _levels(graphs):
            for i, (name, categories) in enumerate(category_blocks(self._schema, level.name)):
                codes = level.codes[:, i] + 1
                rows = np.flatnonzero(~self._seen[name][codes])
                for molecule, code in _distinct(level, rows, codes):
                    found.setdefault(molecule, []).append(f"{name} = {categories[int(code)]}")
            for column, values in zip(
                _numeric_columns(self._schema, level.name), level.values.T, strict=True
            ):
                low, high = self._info.ranges.get(column, (-np.inf, np.inf))
                rows = np.flatnonzero((values < low) | (values > high))
                for molecule, value in _distinct(level, rows, values):
                    found.setdefault(molecule, []).append(f"{column} {value:g}")
        return found

    def unseen_entries(self, graph: MolGraph) -> tuple[Flags, Flags]:
        """Tell which features of one molecule have weights that were never trained.

        Parameters
        ----------
        graph : MolGraph
            The molecule.

        Returns
        -------
        atoms, pairs : array of bool, shapes (n_atoms, n atom entries) and (n_pairs, n pair entries)
            An entry per categorical block and per numeric column, in the order of the schema.
        """
        sides = (graph.atom_codes, graph.atom_values), (graph.pair_codes, graph.pair_values)
        atoms, pairs = (
            self._flags(level, codes, values)
            for level, (codes, values) in zip(("atom", "pair"), sides, strict=True)
        )
        return atoms, pairs

    def _flags(self, level: str, codes: npt.NDArray[np.int8], values: npt.NDArray[np.float32]) -> Flags:
        found = [np.zeros((len(codes), 0), dtype=bool)]
        categorical = numeric = 0
        for block in self._schema.blocks(level):
            if block.kind is BlockKind.CATEGORICAL:
                seen = self._seen[f"{level}.{block.name}"]
                found.append(~seen[codes[:, categorical] + 1][:, None])
                categorical += 1
                continue
            names = _numeric_columns(self._schema, level)[numeric : numeric + block.width]
            # A larger number than any seen is extrapolated with trained weights; one where training had
            # nothing but 0 meets weights that were never trained.
            empty = np.array([self._info.ranges.get(name, (0.0, 1.0)) == (0.0, 0.0) for name in names])
            found.append((values[:, numeric : numeric + block.width] != 0) & empty)
            numeric += block.width
        return np.concatenate(found, axis=1)


def _distinct(
    level: _Level, rows: npt.NDArray[np.int64], values: npt.NDArray[np.generic]
) -> list[tuple[int, float]]:
    """Molecule and value of the given rows, each combination once."""
    if not len(rows):
        return []
    molecules = np.repeat(np.arange(len(level.counts)), level.counts)[rows]
    return sorted({(int(m), float(v)) for m, v in zip(molecules, values[rows], strict=True)})


def _numeric_columns(schema: FeatureSchema, level: str) -> list[str]:
    return [str(column) for column in schema.columns(level) if column.kind is BlockKind.NUMERIC]
