"""Input columns over molecules: their values, how the network reads them, and their share of attributions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.attribution import Explanation
from molig.attribution.projection import share_pairs
from molig.audit.block_places import block_places
from molig.features import FeatureSchema, PackedGraphs
from molig.features.schema import Column
from molig.model import ScreeningModel
from molig.network.weave import WeaveModule

FloatArray = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LEVELS = ("atom", "pair")

# Least squares leave this share of a column's variance where it follows from others.
_EXACT = 1e-6
# Rows used for least squares; enough to tell an exact relation from a chance one.
_MOST_ROWS = 50_000


@dataclass(frozen=True)
class ColumnTable:
    """The columns of one level over all atoms, or pairs, of molecules.

    Parameters
    ----------
    columns : sequence of Column
        What they are.
    values : array of float32, shape (n_rows, n_columns)
        One-hot columns of categories, numeric ones as they are.
    molecule : array of int, shape (n_rows,)
        Which molecule each row belongs to.
    """

    columns: Sequence[Column]
    values: npt.NDArray[np.float32]
    molecule: npt.NDArray[np.int64]

    @property
    def active(self) -> FloatArray:
        """Rows where each column is not zero, shape (n_columns,)."""
        return np.asarray(np.count_nonzero(self.values, axis=0), dtype=np.float64)

    def molecules_with(self, column: int) -> int:
        """Molecules in which a column is not zero somewhere.

        Parameters
        ----------
        column : int
            Place of the column.
        """
        return int(np.count_nonzero(np.bincount(self.molecule[self.values[:, column] != 0])))

    @property
    def constant(self) -> Flags:
        """Columns that hold the same value, not zero, in all rows."""
        if not len(self.values):
            return np.zeros(len(self.columns), dtype=bool)
        return np.asarray((self.values == self.values[0]).all(axis=0) & (self.values[0] != 0))


def column_table(graphs: PackedGraphs, schema: FeatureSchema, level: str) -> ColumnTable:
    """Lay out the features of molecules column by column.

    Parameters
    ----------
    graphs : PackedGraphs
        Molecules featurized by ``schema``.
    schema : FeatureSchema
        What the columns are.
    level : {"atom", "pair"}
        Whose columns.

    Returns
    -------
    ColumnTable

    Examples
    --------
    >>> from rdkit import Chem
    >>> from molig.features import Featurizer, preset
    >>> schema = preset("simple", max_pair_distance=2)
    >>> graphs = Featurizer(schema).featurize([Chem.MolFromSmiles("CC=O")])
    >>> column_table(graphs, schema, "pair").active.tolist()
    [1.0, 1.0, 0.0, 0.0, 2.0, 1.0]
    """
    codes, numbers, counts = (
        (graphs.atom_codes, graphs.atom_values, graphs.atom_counts)
        if level == "atom"
        else (graphs.pair_codes, graphs.pair_values, graphs.pair_counts)
    )
    values, columns = np.zeros((len(codes), 0), dtype=np.float32), schema.columns(level)
    parts = [values]
    for place in block_places(schema, level):
        if place.is_categorical:
            parts.append((codes[:, place.stored] == np.arange(place.block.width)).astype(np.float32))
        else:
            parts.append(numbers[:, place.stored])
    return ColumnTable(columns, np.hstack(parts), np.repeat(np.arange(len(counts)), counts))


@dataclass(frozen=True)
class Credit:
    """What the columns of one level are credited with in explanations of one task.

    Parameters
    ----------
    absolute : array of float, shape (n_columns,)
        Sum of |attribution| over all rows.
    uses : array of float, shape (n_columns,)
        Rows in which the column is not zero.
    """

    absolute: FloatArray
    uses: FloatArray


def credits_of(explanations: Iterable[Explanation], schema: FeatureSchema) -> dict[str, Credit]:
    """Add up attributions column by column.

    Parameters
    ----------
    explanations : iterable of Explanation
        Of one task, with attributions feature by feature. Those that are not finite are left out.
    schema : FeatureSchema
        What the columns are.

    Returns
    -------
    dict of str to Credit
        By level.
    """
    absolute = {level: np.zeros(len(schema.columns(level))) for level in LEVELS}
    uses = {level: np.zeros(len(schema.columns(level))) for level in LEVELS}
    for why in explanations:
        for level in LEVELS:
            scores = why.atom_attributions if level == "atom" else why.pair_attributions
            if not np.isfinite(scores).all():
                continue
            _add(why, level, np.abs(scores), absolute[level], uses[level])
    return {level: Credit(absolute[level], uses[level]) for level in LEVELS}


def _add(why: Explanation, level: str, scores: FloatArray, absolute: FloatArray, uses: FloatArray) -> None:
    graph = why.graph
    codes, numbers = (
        (graph.atom_codes, graph.atom_values) if level == "atom" else (graph.pair_codes, graph.pair_values)
    )
    for place in block_places(why.schema, level):
        own = scores[:, place.entries]
        if place.is_categorical:
            code, width = codes[:, place.stored.start].astype(np.int64), place.block.width
            known = code >= 0
            absolute[place.columns] += np.bincount(code[known], own[known, 0], width)
            uses[place.columns] += np.bincount(code[known], minlength=width)
        else:
            absolute[place.columns] += own.sum(axis=0)
            uses[place.columns] += np.count_nonzero(numbers[:, place.stored], axis=0)


def atom_scores_of(why: Explanation, chosen: Mapping[str, Sequence[int]]) -> FloatArray:
    """Attributions of some columns only, those of pairs shared by their atoms; shape (n_atoms,).

    Parameters
    ----------
    why : Explanation
        With attributions feature by feature.
    chosen : mapping of str to sequence of int
        Places of the columns, by level.
    """
    rows = {}
    for level in LEVELS:
        scores = why.atom_attributions if level == "atom" else why.pair_attributions
        codes = why.graph.atom_codes if level == "atom" else why.graph.pair_codes
        rows[level] = np.zeros(len(scores))
        for place in block_places(why.schema, level):
            own = scores[:, place.entries]
            inside = [
                column - place.columns.start
                for column in chosen.get(level, ())
                if place.columns.start <= column < place.columns.stop
            ]
            if place.is_categorical:
                rows[level] += own[:, 0] * np.isin(codes[:, place.stored.start], inside)
            else:
                rows[level] += own[:, inside].sum(axis=1)
    return share_pairs(rows["atom"], rows["pair"], why.graph.pair_atoms)


def first_weights(model: ScreeningModel) -> dict[str, FloatArray]:
    """Largest |weight| by which the first module reads each column, by level; shape (n_columns,).

    Parameters
    ----------
    model : ScreeningModel
        The model.
    """
    module = model.network.modules_[0]
    if not isinstance(module, WeaveModule):
        raise TypeError(f"expected a WeaveModule (got {type(module).__name__})")
    atoms, pairs = [module.atom_to_atom.weight], [module.pair_to_atom.weight]
    if module.update_pairs:
        atoms += torch.tensor_split(module.atom_to_pair.weight, 2, dim=1)
        pairs.append(module.pair_to_pair.weight)
    return {"atom": _largest(atoms), "pair": _largest(pairs)}


def _largest(weights: Sequence[Tensor]) -> FloatArray:
    stacked = torch.cat([weight.detach() for weight in weights]).abs().amax(dim=0)
    return np.asarray(stacked.double().cpu().numpy())


def duplicates(table: ColumnTable, chosen: Sequence[int]) -> list[tuple[int, ...]]:
    """Groups of columns that are equal in every row.

    Parameters
    ----------
    table : ColumnTable
        The columns.
    chosen : sequence of int
        Places of the columns to compare.

    Returns
    -------
    list of tuple of int
        Places of the columns of each group.
    """
    groups: dict[bytes, list[int]] = {}
    for column in chosen:
        groups.setdefault(np.ascontiguousarray(table.values[:, column]).tobytes(), []).append(column)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def dependent(
    table: ColumnTable,
    chosen: Sequence[int],
    rng: np.random.Generator,
    by_design: Mapping[str, frozenset[str]],
) -> list[int]:
    """Columns that follow exactly from the columns of other blocks and a constant, by least squares.

    Parameters
    ----------
    table : ColumnTable
        The columns.
    chosen : sequence of int
        Places of the columns to look at; they may follow from any others.
    rng : Generator
        Draws the rows, of very many.
    by_design : mapping of str to set of str
        Blocks that a block's columns are not to be explained by.

    Returns
    -------
    list of int
        Places of these columns.
    """
    rows = np.arange(len(table.values))
    if len(rows) > _MOST_ROWS:
        rows = np.sort(rng.permutation(rows)[:_MOST_ROWS])
    values = table.values[rows].astype(np.float64)
    values -= values.mean(axis=0) if len(values) else 0.0
    products, found = values.T @ values, []
    varied = np.flatnonzero(products.diagonal() > 0).tolist()
    for column in chosen:
        block = table.columns[column].block
        excluded = by_design.get(block, frozenset()) | {block}
        others = [other for other in varied if table.columns[other].block not in excluded]
        if others and len(rows) > 10 * len(others) and _follows(products, column, others):
            found.append(column)
    return found


def _follows(products: FloatArray, column: int, others: Sequence[int]) -> bool:
    """Least squares from the products of centred columns."""
    shared, spread = products[others, column], products[column, column]
    # Columns of a one-hot block depend on each other: lstsq leaves out what is singular.
    weights = np.linalg.lstsq(products[np.ix_(others, others)], shared, rcond=1e-10)[0]
    return bool(spread > 0 and spread - float(weights @ shared) <= _EXACT * spread)
