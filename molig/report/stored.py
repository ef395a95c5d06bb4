"""What became of records as rows of a table, from which the explanations are made again, number by number.

Workers answer in such tables, and finished parts of a run that draws are such tables. They hold text, arrays
(safetensors) and molecules in RDKit's own format: nothing in them is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rdkit import Chem
from safetensors import SafetensorError
from safetensors.numpy import load, save

from molig.attribution import Explanation
from molig.errors import ModelFormatError
from molig.features import FeatureSchema, PackedEnvironments
from molig.features.graphs import MolGraph
from molig.molecules import Record, Rejection
from molig.molecules.records import batched
from molig.report.hit_page import cell
from molig.report.tables import Result
from molig.screening.workers import packed_mol
from molig.tables.parts import DamagedPartError

STORED_SCHEMA = pa.schema(
    [
        ("record", pa.string()),
        ("rejection", pa.string()),
        ("explanation", pa.string()),
        ("schema", pa.string()),
        ("mol", pa.binary()),
        ("arrays", pa.binary()),
    ]
)
"""A row per explanation, those of a record behind one another, or per rejected record; all text is JSON."""

_BATCH = 64
_SCORES = ("atom_attributions", "pair_attributions", "environment_attributions")
_OF_GRAPH = ("atom_codes", "atom_values", "pair_codes", "pair_values", "pair_atoms")
_OF_ENVIRONMENTS = tuple(field.name for field in fields(PackedEnvironments))
_PREFIX = "environments_"
_PLAIN = [f.name for f in fields(Explanation) if f.name not in {"mol", "schema", "graph", *_SCORES}]


def stored_batches(rows: Iterable[tuple[Record, Result]]) -> Iterator[pa.RecordBatch]:
    """Put down what became of records; of each what is told of it: its number, id, SMILES and columns."""
    for some in batched(rows, _BATCH):
        found = [row for record, result in some for row in _rows(record, result)]
        yield pa.RecordBatch.from_pylist(found, schema=STORED_SCHEMA)


def results_of(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Record, Result]]:
    """What became of the records again.

    Raises
    ------
    DamagedPartError
        If the table is not as it was written.
    """
    rows = (row for batch in batches for row in batch.to_pylist())
    try:
        for text, same in groupby(rows, key=lambda row: row["record"]):
            row, id_, smiles, kept = json.loads(text)
            yield Record(row, id_, smiles, kept=tuple(kept)), _result(list(same))
    except _DAMAGED as err:
        raise DamagedPartError(f"a finished part holds no explanation: {err}") from err


_DAMAGED = (ValueError, KeyError, TypeError, RuntimeError, SafetensorError, ModelFormatError)


def _rows(record: Record, result: Result) -> Iterator[dict[str, Any]]:
    told = _json([record.row, record.id, record.smiles, [cell(value) for value in record.kept]])
    if isinstance(result, Rejection):
        yield {"record": told, "rejection": _json([result.row, result.id, result.smiles, result.reason])}
        return
    for one in result:
        yield {
            "record": told,
            "explanation": _json({name: getattr(one, name) for name in _PLAIN}),
            "schema": _schema_text(one.schema),
            "mol": packed_mol(one.mol),
            "arrays": save({name: np.ascontiguousarray(array) for name, array in _arrays(one).items()}),
        }


def _result(rows: list[dict[str, Any]]) -> Result:
    if rows[0]["rejection"] is not None:
        return Rejection(*json.loads(rows[0]["rejection"]))
    return [_explanation(row) for row in rows]


def _explanation(row: Mapping[str, Any]) -> Explanation:
    plain, arrays = json.loads(row["explanation"]), load(row["arrays"])
    plain["removed"] = tuple(plain["removed"])
    plain["origin"] = None if plain["origin"] is None else tuple(plain["origin"])
    environments = None
    if _PREFIX + _OF_ENVIRONMENTS[0] in arrays:
        environments = PackedEnvironments(**{name: arrays[_PREFIX + name] for name in _OF_ENVIRONMENTS})
    of_graph: dict[str, Any] = {name: arrays[name] for name in _OF_GRAPH}
    scores: dict[str, Any] = {name: arrays[name] for name in _SCORES}
    return Explanation(
        **plain,
        **scores,
        mol=Chem.Mol(row["mol"]),
        schema=_schema(row["schema"]),
        graph=MolGraph(**of_graph, environments=environments),
    )


def _arrays(one: Explanation) -> dict[str, npt.NDArray[Any]]:
    found = {name: getattr(one, name) for name in _SCORES}
    found |= {name: getattr(one.graph, name) for name in _OF_GRAPH}
    if (held := one.graph.environments) is not None:
        found |= {_PREFIX + name: getattr(held, name) for name in _OF_ENVIRONMENTS}
    return found


def _json(value: object) -> str:
    return json.dumps(value, default=lambda number: number.item())  # numbers of NumPy


@lru_cache(maxsize=8)
def _schema_text(schema: FeatureSchema) -> str:
    return _json(schema.to_dict())


@lru_cache(maxsize=8)
def _schema(text: str) -> FeatureSchema:
    return FeatureSchema.from_dict(json.loads(text))
