"""Explanations as a long table, a row per feature: built in columns, many molecules at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rdkit import Chem

from molig.attribution import Explanation
from molig.attribution.explanation import ABSENT
from molig.errors import UsageError
from molig.features import FeatureSchema

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

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
    """Put explanations into the rows that `Explanation.to_frame` gives, one molecule after the other."""
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


def bonded_pairs(explanation: Explanation) -> npt.NDArray[np.bool_]:
    """Which pairs of an explanation are bonds, shape (n_pairs,)."""
    i, j = explanation.graph.pair_atoms.T
    return np.asarray(Chem.GetAdjacencyMatrix(explanation.mol)[i, j] != 0)


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
) -> tuple[Index, FloatArray, npt.NDArray[np.bool_]]:
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


def _pair_ends(explanations: Sequence[Explanation]) -> tuple[npt.NDArray[np.bool_], Index]:
    bonded = np.concatenate([bonded_pairs(e) for e in explanations])
    return bonded, np.concatenate([e.graph.pair_atoms for e in explanations])


def _encoded(
    texts: Iterable[str], rows: Index, mask: npt.NDArray[np.bool_] | None = None
) -> pa.DictionaryArray:
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
