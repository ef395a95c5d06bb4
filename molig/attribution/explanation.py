"""The result of an attribution: numbers that add up, tables and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from rdkit import Chem

from molig.depiction import Panel, draw_png, draw_svg
from molig.errors import UsageError
from molig.features import FeatureSchema, MolGraph
from molig.molecules.standardize import input_atom_indices

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ABSENT = "none"
"""In the place of a category: the molecule has none of the block, while the baseline has."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model gives a molecule its score.

    Parameters
    ----------
    id, smiles : str
        Identifier and SMILES as given.
    mol : Mol
        The molecule that was scored, after standardisation; all atom numbers refer to it.
    task, target : str
        Output that was attributed, and whether its probability, its logit, or the value of a regression.
    score, baseline_score : float
        F(x), and F(x') where all features are zero.
    residual : float
        F(x) - F(x') minus the sum of all attributions.
    converged : bool
        Whether the residual is within the tolerance.
    n_evaluations : int
        Points of the path where F and its gradient were evaluated.
    schema : FeatureSchema
        Names of the features.
    graph : MolGraph
        The features.
    atom_attributions : array of float, shape (n_atoms, n atom entries)
        Per atom, the score of each feature: one entry per categorical block (its present category) and per
        numeric column.
    pair_attributions : array of float, shape (n_pairs, n pair entries)
        The same for pairs.
    error : float
        Estimate of the largest error of a single attribution; NaN for methods without an estimate.
    method : str
        How the score was attributed, see `Method`. Methods that take whole atoms away give one number per
        atom, shape (n_atoms, 1), and none per pair, shape (n_pairs, 0).
    baseline : str
        What the molecule was compared with; names joined by commas if attributions were averaged.

    Examples
    --------
    >>> import molig
    >>> why = molig.explain("tox21-w2n2-simple", "CC(=O)Oc1ccccc1C(=O)O", task="SR-ARE")
    >>> bool(abs(why.atom_scores.sum() + why.residual - (why.score - why.baseline_score)) < 1e-9)
    True
    """

    id: str
    smiles: str
    mol: Chem.Mol
    task: str
    target: str
    score: float
    baseline_score: float
    residual: float
    converged: bool
    n_evaluations: int
    schema: FeatureSchema
    graph: MolGraph
    atom_attributions: FloatArray
    pair_attributions: FloatArray
    error: float = float("nan")
    method: str = "integrated_gradients"
    baseline: str = "zero"

    def __repr__(self) -> str:
        """One line: molecule, score, baseline, residual."""
        state = "" if self.converged else ", not converged"
        return (
            f"Explanation({self.smiles!r}, {self.task} {self.target} {self.score:.4f}, "
            f"baseline {self.baseline_score:.4f}, residual {self.residual:+.1e}{state})"
        )

    @cached_property
    def own_atom_scores(self) -> FloatArray:
        """Scores of the atoms' own features, shape (n_atoms,)."""
        return np.asarray(self.atom_attributions.sum(axis=1), dtype=np.float64)

    @cached_property
    def pair_scores(self) -> FloatArray:
        """Scores of the pairs, in the order of ``graph.pair_atoms``, shape (n_pairs,)."""
        return np.asarray(self.pair_attributions.sum(axis=1), dtype=np.float64)

    @cached_property
    def atom_scores(self) -> FloatArray:
        """Score of each atom, shape (n_atoms,): its own features and half of each of its pairs.

        They add up to F(x) - F(x') - residual.
        """
        return share_pairs(self.own_atom_scores, self.pair_scores, self.graph.pair_atoms)

    @cached_property
    def bond_scores(self) -> FloatArray:
        """Score of each bond's own pair features, in the order of ``mol.GetBonds()``, shape (n_bonds,).

        Half of each is also part of the `atom_scores` of its two atoms.
        """
        scores = np.zeros(self.mol.GetNumBonds())
        scores[self._bond_of_pair[self.bonded_pairs]] = self.pair_scores[self.bonded_pairs]
        return scores

    @cached_property
    def ledger(self) -> dict[str, float]:
        """Shares of atoms, bonded pairs and non-bonded pairs, in percent of F(x) - F(x')."""
        sums = {
            "atoms": self.own_atom_scores.sum(),
            "bonded pairs": self.pair_scores[self.bonded_pairs].sum(),
            "non-bonded pairs": self.pair_scores[~self.bonded_pairs].sum(),
        }
        change = self.score - self.baseline_score
        return {name: float(100 * total / change) if change else 0.0 for name, total in sums.items()}

    @cached_property
    def bonded_pairs(self) -> Flags:
        """Which pairs are bonds, in the order of ``graph.pair_atoms``, shape (n_pairs,)."""
        i, j = self.graph.pair_atoms.T
        return np.asarray(Chem.GetAdjacencyMatrix(self.mol)[i, j] != 0)

    @cached_property
    def features(self) -> pd.DataFrame:
        """One row per atom and feature: ``atom, input_atom, symbol, block, category, value, score``."""
        names = ["symbol", "block", "category", "value", "score"]
        rows = self._slice("atom", ["atom_i", *names]).rename(columns={"atom_i": "atom"})
        rows.insert(1, "input_atom", np.array(input_atom_indices(self.mol), dtype=np.int64)[rows["atom"]])
        return rows

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per pair and feature: ``atom_i, atom_j, bonded, block, category, value, score``."""
        names = ["atom_i", "atom_j", "bonded", "block", "category", "value", "score"]
        return self._slice("pair", names).astype({"atom_j": np.int64, "bonded": np.bool_})

    def to_frame(self) -> pd.DataFrame:
        """All attributions, of atoms and pairs, as one table with the molecule's id and task."""
        return self._table.copy()

    @cached_property
    def _table(self) -> pd.DataFrame:
        table = pa.Table.from_batches([feature_batch([self])]).cast(TABLE_SCHEMA)
        frame: pd.DataFrame = table.to_pandas()
        return frame.astype({"atom_j": "Int64", "bonded": "boolean"})

    def _slice(self, level: str, columns: list[str]) -> pd.DataFrame:
        return self._table.loc[self._table["level"] == level, columns].reset_index(drop=True)

    def panel(self) -> Panel:
        """Drawing that adds up: bonds carry their own pairs, atoms all the rest.

        An atom shows its own features and half of each of its non-bonded pairs; a bond shows its pair.
        """
        own = share_pairs(
            self.own_atom_scores, np.where(self.bonded_pairs, 0.0, self.pair_scores), self.graph.pair_atoms
        )
        symbol = {"probability": "p"}.get(self.target, self.target)
        lines = (
            f"{self.task} · {symbol} = {self.score:.3f}",
            f"baseline {self.baseline_score:.3f} · residual {self.residual:+.1e}"
            + ("" if self.converged else " · NOT CONVERGED"),
        )
        return Panel(self.mol, own, self.bond_scores, legend=lines, title=self.id)

    def to_svg(self, **options: Any) -> str:
        """Picture as SVG; the options are those of `molig.depiction.draw_svg`."""
        return draw_svg(self.panel(), **options)

    def to_png(self, **options: Any) -> bytes:
        """Picture as PNG; the options are those of `molig.depiction.draw_png`."""
        return draw_png(self.panel(), **options)

    def _repr_html_(self) -> str:
        return self.to_svg()

    @cached_property
    def _bond_of_pair(self) -> Index:
        return bonds_of_pairs(self.mol, self.graph.pair_atoms)


def share_pairs(own: FloatArray, pair_scores: FloatArray, pair_atoms: Index) -> FloatArray:
    """Give each atom its own score and half of each of its pairs': the sum stays the same."""
    projected = own.copy()
    np.add.at(projected, pair_atoms.ravel(), np.repeat(pair_scores / 2, 2))
    return projected


def bonds_of_pairs(mol: Chem.Mol, pair_atoms: Index) -> Index:
    """Index of the bond between the atoms of each pair, shape (n_pairs,); -1 where there is none."""
    number = {
        (min(ends), max(ends)): bond.GetIdx()
        for bond in mol.GetBonds()
        for ends in [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())]
    }
    return np.array([number.get((int(i), int(j)), -1) for i, j in pair_atoms], dtype=np.int64)


# Explanations as a long table, a row per feature.

_LEVELS = ("atom", "pair")

TABLE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("smiles", pa.string()),
        ("task", pa.string()),
        ("target", pa.string()),
        ("level", pa.string()),
        ("atom_i", pa.int64()),
        ("atom_j", pa.int64()),
        ("bonded", pa.bool_()),
        ("symbol", pa.string()),
        ("block", pa.string()),
        ("category", pa.string()),
        ("value", pa.float64()),
        ("score", pa.float64()),
        ("molecule_score", pa.float64()),
        ("baseline_score", pa.float64()),
        ("residual", pa.float64()),
        ("converged", pa.bool_()),
    ]
)
"""Columns of the table, as files have them."""

_TEXT = pa.dictionary(pa.int32(), pa.string())

FEATURE_SCHEMA = pa.schema(
    [(field.name, _TEXT if pa.types.is_string(field.type) else field.type) for field in TABLE_SCHEMA]
)
"""The same columns on their way there: texts that repeat stand in dictionaries."""


def feature_batch(explanations: Sequence[Explanation]) -> pa.RecordBatch:
    """Rows of `Explanation.to_frame`, one molecule after the other; built in columns, many at a time."""
    schema = _common_schema(explanations)
    symbols = [symbol for e in explanations for symbol in _symbols(e.mol)]
    if _takes_whole_atoms(explanations):
        atoms, pairs, names = _whole_atoms(explanations, symbols)
    else:
        atoms, pairs = (_level_rows(explanations, schema, level) for level in _LEVELS)
        names = [(column.block, column.name) for level in _LEVELS for column in schema.columns(level)]
        names += [(block.name, ABSENT) for level in _LEVELS for block in schema.blocks(level)]
    place = _Interleaving(atoms.counts, pairs.counts)
    name = place.merge(atoms.name, pairs.name)
    atom_starts = _starts([len(e.graph.atom_codes) for e in explanations])
    bonded, ends = _pair_ends(explanations)
    only_pairs = place.merge(np.zeros(len(atoms.row), dtype=bool), np.ones(len(pairs.row), dtype=bool))
    local_atom = atoms.row - np.repeat(atom_starts, atoms.counts)
    whole = _Molecules(explanations, atoms.counts + pairs.counts)
    arrays = {
        "id": whole.texts("id"),
        "smiles": whole.texts("smiles"),
        "task": whole.texts("task"),
        "target": whole.texts("target"),
        "level": _encoded(_LEVELS, only_pairs.astype(np.int64)),
        "atom_i": pa.array(place.merge(local_atom, ends[pairs.row, 0])),
        "atom_j": pa.array(place.merge(np.zeros_like(atoms.row), ends[pairs.row, 1]), mask=~only_pairs),
        "bonded": pa.array(place.merge(np.zeros(len(atoms.row), bool), bonded[pairs.row]), mask=~only_pairs),
        "symbol": _encoded(symbols, place.merge(atoms.row, np.zeros_like(pairs.row)), mask=only_pairs),
        "block": _encoded([block for block, _ in names], name),
        "category": _encoded([category for _, category in names], name),
        "value": pa.array(place.merge(atoms.value, pairs.value)),
        "score": pa.array(place.merge(atoms.score, pairs.score)),
        "molecule_score": whole.numbers("score"),
        "baseline_score": whole.numbers("baseline_score"),
        "residual": whole.numbers("residual"),
        "converged": whole.flags("converged"),
    }
    return pa.record_batch([arrays[name] for name in FEATURE_SCHEMA.names], schema=FEATURE_SCHEMA)


@dataclass(frozen=True)
class _LevelRows:
    """The present features of the atoms, or of the pairs, of all molecules."""

    row: Index
    name: Index
    value: FloatArray
    score: FloatArray
    counts: Index


def _takes_whole_atoms(explanations: Sequence[Explanation]) -> bool:
    """Whether the attributions are one number per atom instead of one per feature."""
    found = {not e.pair_attributions.shape[1] and bool(e.graph.level("pair").n_entries) for e in explanations}
    if len(found) > 1:
        raise UsageError("explanations by atoms and by features cannot share a table")
    return found.pop()


def _whole_atoms(
    explanations: Sequence[Explanation], symbols: Sequence[str]
) -> tuple[_LevelRows, _LevelRows, list[tuple[str, str]]]:
    """One feature per atom, named by its symbol, and none per pair."""
    scores = np.concatenate([e.own_atom_scores for e in explanations])
    counts = np.array([len(e.graph.atom_codes) for e in explanations], dtype=np.int64)
    row = np.arange(len(scores))
    none = np.empty(0, dtype=np.int64)
    return (
        _LevelRows(row, row, np.ones(len(row)), scores, counts),
        _LevelRows(none, none, np.empty(0), np.empty(0), np.zeros_like(counts)),
        [("atom", symbol) for symbol in symbols],
    )


def _level_rows(explanations: Sequence[Explanation], schema: FeatureSchema, level: str) -> _LevelRows:
    sides = [e.graph.level(level) for e in explanations]
    codes = np.concatenate([side.codes for side in sides])
    values = np.concatenate([side.values for side in sides])
    n_rows = np.concatenate([side.counts for side in sides])
    scores = np.concatenate(
        [e.atom_attributions if level == "atom" else e.pair_attributions for e in explanations]
    )
    name, value, present = _entries(schema, level, codes, values)
    # In the order of rows, and of entries within a row; what only the baseline has counts, too.
    present |= scores != 0
    row, entry = np.nonzero(present)
    per_row = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    ends = np.cumsum(n_rows)
    return _LevelRows(
        row=row,
        name=name[row, entry],
        value=value[row, entry],
        score=np.asarray(scores[row, entry], dtype=np.float64),
        counts=per_row[ends] - per_row[ends - n_rows],
    )


def _entries(
    schema: FeatureSchema, level: str, codes: npt.NDArray[np.int8], values: npt.NDArray[np.float32]
) -> tuple[Index, FloatArray, Flags]:
    """Number of the name, value and presence of every entry, each of shape (n_rows, n_entries)."""
    column, value, present = [], [], []
    is_pair = level == "pair"
    start = schema.n_atom_columns if is_pair else 0
    absent = schema.n_atom_columns + schema.n_pair_columns + (len(schema.atom_blocks) if is_pair else 0)
    for number, place in enumerate(schema.places(level)):
        first = start + place.columns.start
        if place.is_categorical:
            code = codes[:, place.stored.start].astype(np.int64)
            column.append(np.where(code >= 0, first + code, absent + number))
            value.append((code >= 0).astype(np.float64))
            present.append(code >= 0)
        else:
            for offset, numbers in enumerate(values[:, place.stored].T):
                column.append(np.full(len(codes), first + offset))
                value.append(numbers.astype(np.float64))
                present.append(numbers != 0)
    if not column:
        return np.empty((len(codes), 0), np.int64), np.empty((len(codes), 0)), np.empty((len(codes), 0), bool)
    return np.stack(column, axis=1), np.stack(value, axis=1), np.stack(present, axis=1)


class _Interleaving:
    """Puts the atoms' rows of each molecule before those of its pairs."""

    def __init__(self, atoms: Index, pairs: Index) -> None:
        starts = _starts(np.stack([atoms, pairs], axis=1).ravel())
        self._atoms = np.arange(atoms.sum()) + np.repeat(starts[0::2] - _starts(atoms), atoms)
        self._pairs = np.arange(pairs.sum()) + np.repeat(starts[1::2] - _starts(pairs), pairs)

    def merge(self, atoms: npt.NDArray[np.generic], pairs: npt.NDArray[np.generic]) -> npt.NDArray[Any]:
        merged = np.empty(len(atoms) + len(pairs), dtype=atoms.dtype)
        merged[self._atoms], merged[self._pairs] = atoms, pairs
        return merged


class _Molecules:
    """What is the same in all rows of a molecule."""

    def __init__(self, explanations: Sequence[Explanation], counts: Index) -> None:
        self._explanations, self._counts = explanations, counts
        self._molecule = np.repeat(np.arange(len(counts)), counts)

    def texts(self, name: str) -> pa.DictionaryArray:
        return _encoded([getattr(e, name) for e in self._explanations], self._molecule)

    def numbers(self, name: str) -> pa.Array:
        values = np.array([getattr(e, name) for e in self._explanations], dtype=np.float64)
        return pa.array(np.repeat(values, self._counts))

    def flags(self, name: str) -> pa.Array:
        values = np.array([getattr(e, name) for e in self._explanations], dtype=bool)
        return pa.array(np.repeat(values, self._counts))


def _symbols(mol: Chem.Mol) -> list[str]:
    # RDKit's own loop over the atoms costs three times as much.
    atom = mol.GetAtomWithIdx
    return [atom(index).GetSymbol() for index in range(mol.GetNumAtoms())]


def _pair_ends(explanations: Sequence[Explanation]) -> tuple[Flags, Index]:
    bonded = np.concatenate([e.bonded_pairs for e in explanations])
    return bonded, np.concatenate([e.graph.pair_atoms for e in explanations])


def _encoded(texts: Iterable[str], rows: Index, mask: Flags | None = None) -> pa.DictionaryArray:
    """``texts[rows]``, null where masked; a dictionary must not hold a text twice."""
    number: dict[str, int] = {}
    codes = np.array([number.setdefault(text, len(number)) for text in texts], dtype=np.int32)
    indices = pa.array(codes[rows], mask=mask)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(number), pa.string()))


def _starts(counts: npt.ArrayLike) -> Index:
    counts = np.asarray(counts, dtype=np.int64)
    return np.asarray(np.cumsum(counts) - counts)


def _common_schema(explanations: Sequence[Explanation]) -> FeatureSchema:
    if not explanations:
        raise UsageError("no explanations: a table needs at least one to know its features")
    schema = explanations[0].schema
    if any(e.schema is not schema and e.schema.hash != schema.hash for e in explanations):
        raise UsageError("explanations by models of different feature schemas cannot share a table")
    return schema
