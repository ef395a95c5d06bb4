"""A table of molecules and labels, featurized once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.errors import InputError, UsageError
from molig.features import Featurizer, PackedGraphs
from molig.model import Objective
from molig.molecules import Hydrogens, Molecule, MoleculeParser, Record, Rejection, batched, read_records
from molig.training.conflicts import LabelConflicts, settle_conflicts
from molig.training.labels import LabelReader, check_variety
from molig.training.sections import ConflictPolicy

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int], None]

_CHUNK = 512


@dataclass(frozen=True)
class TrainingData:
    """Featurized molecules with their labels and, if the table tells, their parts of the split.

    Parameters
    ----------
    graphs : PackedGraphs
        The molecules.
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, or any finite value for a regression; NaN not measured.
    tasks : tuple of str
        Names of the label columns.
    rows : array of int, shape (n_mols,)
        Row of each molecule in its file, from 1.
    smiles : tuple of str
        Canonical SMILES after standardisation, hydrogens implicit; copies of a molecule share it.
    rejections : tuple of Rejection
        Rows that cannot be used, with reasons.
    given_parts : tuple of str, optional
        ``"train"``, ``"validation"`` or ``"test"`` of each molecule, as a column of the table gives it.
    conflicts : LabelConflicts, optional
        Copies with different labels; None for a regression.
    """

    graphs: PackedGraphs
    labels: FloatArray
    tasks: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    smiles: tuple[str, ...]
    rejections: tuple[Rejection, ...]
    given_parts: tuple[str, ...] | None = None
    conflicts: LabelConflicts | None = None

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self.rows)


def read_training_data(
    source: str | Path,
    targets: Sequence[str],
    parser: MoleculeParser,
    featurizer: Featurizer,
    *,
    objective: Objective = Objective.CLASSIFICATION,
    split_column: str | None = None,
    smiles_column: str | None = None,
    conflicts: ConflictPolicy = ConflictPolicy.KEEP,
    progress: Progress | None = None,
) -> TrainingData:
    """Read, parse and featurize a table.

    Parameters
    ----------
    source : str or Path
        File that `molig.molecules.read_records` can read.
    targets : sequence of str
        Label columns: 1 active, 0 inactive, or values for a regression; empty or NaN not measured.
    parser : MoleculeParser
        Standardisation policy and size limit.
    featurizer : Featurizer
        Feature schema.
    objective : Objective
        Whether labels are classes or values.
    split_column : str, optional
        Column with the part of every row.
    smiles_column : str, optional
        Where to find the SMILES, if not under a usual name.
    conflicts : ConflictPolicy
        What to do where copies of a molecule have different class labels.
    progress : callable, optional
        Called with the number of rows done since the last call.

    Returns
    -------
    TrainingData
        Rows with an unusable molecule or label, or without any label, are among its rejections.

    Raises
    ------
    InputError
        If no row can be used, a target has one class or one value only, class labels look like values, or a
        row names no part of the split.
    """
    if not targets:
        raise UsageError("name at least one target column")
    if split_column in targets:
        raise UsageError(f"column {split_column!r} cannot be a target and name the parts of the split")
    reader = LabelReader(targets, objective, split_column)
    columns = [*targets, *([split_column] if split_column else [])]
    records = read_records(source, smiles_column=smiles_column, columns=columns)
    graphs: list[PackedGraphs] = []
    rows: list[_Row] = []
    rejections: list[Rejection] = []
    for chunk in batched(records, _CHUNK):
        molecules, found, rejected = _usable(chunk, reader, parser)
        rejections += rejected
        if molecules:
            graphs.append(featurizer.featurize([m.mol for m in molecules]))
            rows += found
        if progress:
            progress(len(chunk))
    reader.check_values(source)
    if not rows:
        raise InputError(f"{source}: no row can be used for training; first reason: {_first(rejections)}")
    data = TrainingData(
        graphs=PackedGraphs.concatenate(graphs),
        labels=np.array([row.labels for row in rows]),
        tasks=tuple(targets),
        rows=np.array([row.number for row in rows]),
        smiles=tuple(row.smiles for row in rows),
        rejections=tuple(rejections),
        given_parts=tuple(row.part for row in rows) if split_column else None,
    )
    if objective is Objective.CLASSIFICATION:
        data = _settled(data, rows, conflicts)
    check_variety(source, data.labels, targets, objective)
    return data


def _settled(data: TrainingData, rows: Sequence[_Row], policy: ConflictPolicy) -> TrainingData:
    """The data after the policy for conflicting labels; rows that have no label left are rejected."""
    labels, conflicts = settle_conflicts(data.smiles, data.labels, policy)
    left = ~np.isnan(labels).all(axis=1)
    kept, lost = np.flatnonzero(left), np.flatnonzero(~left)
    reason = f"copies of the molecule have other labels in every task (policy {policy.value})"
    dropped = [rows[int(i)] for i in lost]
    rejected = [Rejection(row.number, row.id, row.written, reason) for row in dropped]
    given = data.given_parts
    return TrainingData(
        graphs=data.graphs.select(kept) if len(lost) else data.graphs,
        labels=labels[kept],
        tasks=data.tasks,
        rows=data.rows[kept],
        smiles=tuple(data.smiles[i] for i in kept),
        rejections=tuple(sorted([*data.rejections, *rejected], key=lambda r: r.row)),
        given_parts=tuple(given[i] for i in kept) if given else None,
        conflicts=conflicts,
    )


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Row(NamedTuple):
    """What is kept of a usable row beside its graph."""

    number: int
    id: str
    written: str
    smiles: str
    labels: list[float]
    part: str


def _usable(
    records: Sequence[Record], reader: LabelReader, parser: MoleculeParser
) -> tuple[list[Molecule], list[_Row], list[Rejection]]:
    molecules, rows, rejections = [], [], []
    for record in records:
        parsed = parser.parse(record)
        labels, problem = reader.labels(record)
        part = reader.part(record)
        if isinstance(parsed, Rejection):
            rejections.append(parsed)
        elif problem:
            rejections.append(Rejection(record.row, record.id, record.smiles, problem))
        else:
            molecules.append(parsed)
            canonical = _canonical(parsed.mol, parser)
            rows.append(_Row(record.row, record.id, record.smiles, canonical, labels, part))
    return molecules, rows, rejections


def _canonical(mol: Chem.Mol, parser: MoleculeParser) -> str:
    # The same text whether hydrogens are atoms or not, so that the same seed deals the same split.
    heavy = Chem.RemoveHs(mol) if parser.hydrogens is Hydrogens.EXPLICIT else mol
    return str(Chem.MolToSmiles(heavy))


def _first(rejections: Iterable[Rejection]) -> str:
    for rejection in rejections:
        return f"row {rejection.row}: {rejection.reason}"
    return "the file has no rows"
