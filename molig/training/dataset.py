"""A table of molecules and labels, featurized once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.errors import InputError, UsageError
from molig.features import Featurizer, PackedGraphs
from molig.molecules import Molecule, MoleculeParser, Record, Rejection, batched, read_records

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int], None]

_MISSING = {"", "nan", "na", "null", "none"}
_CHUNK = 512


@dataclass(frozen=True)
class TrainingData:
    """Featurized molecules with their labels.

    Parameters
    ----------
    graphs : PackedGraphs
        The molecules.
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, NaN not measured.
    tasks : tuple of str
        Names of the label columns.
    rows : array of int, shape (n_mols,)
        Row of each molecule in its file, from 1.
    smiles : tuple of str
        Canonical SMILES after standardisation; copies of a molecule share it.
    rejections : tuple of Rejection
        Rows that cannot be used, with reasons.
    """

    graphs: PackedGraphs
    labels: FloatArray
    tasks: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    smiles: tuple[str, ...]
    rejections: tuple[Rejection, ...]

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self.rows)


def read_training_data(
    source: str | Path,
    targets: Sequence[str],
    parser: MoleculeParser,
    featurizer: Featurizer,
    *,
    smiles_column: str | None = None,
    progress: Progress | None = None,
) -> TrainingData:
    """Read, parse and featurize a table.

    Parameters
    ----------
    source : str or Path
        File that `molig.molecules.read_records` can read.
    targets : sequence of str
        Label columns: 1 active, 0 inactive, empty or NaN not measured.
    parser : MoleculeParser
        Standardisation policy and size limit.
    featurizer : Featurizer
        Feature schema.
    smiles_column : str, optional
        Where to find the SMILES, if not under a usual name.
    progress : callable, optional
        Called with the number of rows done since the last call.

    Returns
    -------
    TrainingData
        Rows with an unusable molecule or label, or without any label, are among its rejections.

    Raises
    ------
    InputError
        If no row can be used, or a target has one class only.
    """
    if not targets:
        raise UsageError("name at least one target column")
    records = read_records(source, smiles_column=smiles_column, columns=targets)
    parts: list[PackedGraphs] = []
    labels: list[list[float]] = []
    rows: list[int] = []
    smiles: list[str] = []
    rejections: list[Rejection] = []
    for chunk in batched(records, _CHUNK):
        molecules, values, rejected = _usable(chunk, targets, parser)
        rejections += rejected
        if molecules:
            parts.append(featurizer.featurize([m.mol for m in molecules]))
            labels += values
            rows += [m.row for m in molecules]
            smiles += [Chem.MolToSmiles(m.mol) for m in molecules]
        if progress:
            progress(len(chunk))
    if not rows:
        raise InputError(f"{source}: no row can be used for training; first reason: {_first(rejections)}")
    data = TrainingData(
        graphs=PackedGraphs.concatenate(parts),
        labels=np.array(labels),
        tasks=tuple(targets),
        rows=np.array(rows),
        smiles=tuple(smiles),
        rejections=tuple(rejections),
    )
    _check_classes(source, data)
    return data


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _usable(
    records: Sequence[Record], targets: Sequence[str], parser: MoleculeParser
) -> tuple[list[Molecule], list[list[float]], list[Rejection]]:
    molecules, values, rejections = [], [], []
    for record in records:
        parsed = parser.parse(record)
        labels, problem = _labels(record, targets)
        if isinstance(parsed, Rejection):
            rejections.append(parsed)
        elif problem:
            rejections.append(Rejection(record.row, record.id, record.smiles, problem))
        else:
            molecules.append(parsed)
            values.append(labels)
    return molecules, values, rejections


def _labels(record: Record, targets: Sequence[str]) -> tuple[list[float], str | None]:
    labels = []
    for target in targets:
        value = _number(record.fields.get(target))
        if value is None or not (math.isnan(value) or value in (0.0, 1.0)):
            return [], f"label {target} = {record.fields.get(target)!r} is neither 0, 1 nor empty"
        labels.append(value)
    if all(math.isnan(v) for v in labels):
        return [], "no label in any target column"
    return labels, None


def _number(value: Any) -> float | None:
    """Label as a number, NaN if missing, None if it is no number at all."""
    if value is None or str(value).strip().lower() in _MISSING:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _check_classes(source: str | Path, data: TrainingData) -> None:
    for column, task in enumerate(data.tasks):
        labels = data.labels[:, column]
        actives, inactives = int((labels == 1).sum()), int((labels == 0).sum())
        if not actives or not inactives:
            raise InputError(
                f"{source}: target {task!r} has {actives} actives and {inactives} inactives among the usable "
                "rows; a task needs both classes: leave it out or add data"
            )


def _first(rejections: Iterable[Rejection]) -> str:
    for rejection in rejections:
        return f"row {rejection.row}: {rejection.reason}"
    return "the file has no rows"
