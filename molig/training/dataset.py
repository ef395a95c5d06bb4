"""A table of molecules and labels: read, settled, featurized once, and kept for the next run."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import rdkit
from rdkit import Chem

from molig.datasets.places import cache_directory
from molig.errors import InputError, UsageError
from molig.features import Featurizer, PackedGraphs
from molig.files import digest_of, replacing
from molig.model import Objective
from molig.model.info import RESERVED_TASK_NAMES
from molig.molecules import Hydrogens, MoleculeParser, Rejection, read_records
from molig.molecules.causes import likely_cause
from molig.molecules.records import batched
from molig.molecules.standardize import PARENT_VERSION
from molig.training.labels import Cut, LabelReader, check_variety
from molig.training.memory import MemoryWatch
from molig.training.recipe import ConflictPolicy, SplitColumn
from molig.training.split_column import PARTS, SplitReader
from molig.version import __version__

FloatArray = npt.NDArray[np.float64]
OnRows = Callable[[int], None]

_CHUNK = 512


@dataclass(frozen=True)
class TrainingData:
    """Featurized molecules with their labels and, if the split goes by a column, what it says of them."""

    graphs: PackedGraphs
    labels: FloatArray  # (n_mols, n_tasks): 1 active, 0 inactive, or values; NaN not measured
    tasks: tuple[str, ...]
    rows: npt.NDArray[np.int64]  # in the file, from 1
    smiles: tuple[str, ...]  # canonical, after standardisation, hydrogens implicit; copies share it
    rejections: tuple[Rejection, ...]
    split_values: tuple[str, ...] | None = None  # parts, groups ("" for none) or times as numbers
    conflicts: LabelConflicts | None = None  # None for a regression
    notes: tuple[str, ...] = ()  # sentences on how labels were read

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self.rows)


@dataclass(frozen=True)
class AssayTable:
    """A table of molecules and what was measured of them, and how it is read."""

    source: str | Path
    targets: Sequence[str]  # label columns
    parser: MoleculeParser
    featurizer: Featurizer
    objective: Objective = Objective.CLASSIFICATION
    split_column: SplitColumn | None = None
    smiles_column: str | None = None  # None: found by its name
    delimiter: str | None = None  # None: guessed
    conflicts: ConflictPolicy = ConflictPolicy.KEEP
    cut: Cut | None = None  # where values become classes
    compared: int = 0  # molecules at most that a kernel machine will compare, each with each


class _Row(NamedTuple):
    """What is kept of a usable row beside its graph."""

    number: int
    id: str
    written: str
    smiles: str
    split_value: str


def read_training_data(assay: AssayTable, progress: OnRows | None = None) -> TrainingData:
    """Read, parse and featurize a table; rows without a usable molecule and label are its rejections.

    Raises InputError if no row can be used, a target has one class or one value only, a column holds no
    labels, a row names no part of the split, or the table is too large for the memory.
    """
    source, targets, by = assay.source, assay.targets, assay.split_column
    if not targets:
        raise UsageError("name at least one target column")
    if by and by.name in targets:
        raise UsageError(f"column {by.name!r} cannot be a target and decide about the split")
    reader, split_reader = LabelReader(targets, assay.objective, assay.cut), SplitReader(by)
    columns = [*targets, *([by.name] if by else [])]
    records = read_records(
        source, smiles_column=assay.smiles_column, columns=columns, delimiter=assay.delimiter
    )
    memory = MemoryWatch(source, assay.compared)
    graphs: list[PackedGraphs] = []
    labels: list[FloatArray] = []
    rows: list[_Row] = []
    rejections: list[Rejection] = []
    for chunk in batched(records, _CHUNK):
        mols, known = [], []
        for record in chunk:
            parsed = assay.parser.parse(record)
            found, problem = reader.labels(record)
            said, undealt = split_reader.value(record)
            problem = problem or undealt
            if isinstance(parsed, Rejection):
                rejections.append(parsed)
            elif problem:
                rejections.append(Rejection(record.row, record.id, parsed.smiles, problem))
            else:
                mols.append(parsed.mol)
                canonical = _canonical(parsed.mol, assay.parser)
                rows.append(_Row(record.row, record.id, parsed.smiles, canonical, said))
                known.append(found)
        if mols:
            graphs.append(assay.featurizer.featurize(mols, occurrences=False))
            memory.add(len(mols), _size(graphs[-1]))
            labels.append(np.array(known, dtype=np.float64))
        if progress:
            progress(len(chunk))
    reader.check_columns(source)
    if not rows:
        first = rejections[0] if rejections else None
        reason = f"row {first.row}: {first.reason}" if first else "the file has no rows"
        cause = likely_cause(rejections)
        raise InputError(f"{source}: no row can be used for training; first reason: {reason}{cause}")
    data = TrainingData(
        graphs=_end_to_end(graphs),
        labels=np.concatenate(labels),
        tasks=tuple(targets),
        rows=np.array([row.number for row in rows]),
        smiles=tuple(row.smiles for row in rows),
        rejections=tuple(rejections),
        split_values=split_reader.settled([row.split_value for row in rows]),
        notes=reader.notes(),
    )
    if assay.objective is Objective.CLASSIFICATION:
        data = _settled(data, rows, assay.conflicts)
    check_variety(source, data.labels, targets, assay.objective, assay.cut)
    return data


def _size(graphs: PackedGraphs) -> int:
    return sum(array.nbytes for array in graphs.arrays().values())


def _end_to_end(chunks: list[PackedGraphs]) -> PackedGraphs:
    """Chunks put end to end and taken from the list, field by field: never all of them twice in memory."""
    held = [chunk.arrays() for chunk in chunks]
    chunks.clear()
    return PackedGraphs.from_arrays(
        {name: np.concatenate([each.pop(name) for each in held]) for name in list(held[0])}
    )


def _canonical(mol: Chem.Mol, parser: MoleculeParser) -> str:
    # The same text whether hydrogens are atoms or not, so that the same seed deals the same split.
    heavy = Chem.RemoveHs(mol) if parser.hydrogens is Hydrogens.EXPLICIT else mol
    return str(Chem.MolToSmiles(heavy))


def _settled(data: TrainingData, rows: Sequence[_Row], policy: ConflictPolicy) -> TrainingData:
    """The data after the policy for conflicting labels; rows that have no label left are rejected."""
    labels, conflicts = settle_conflicts(data.smiles, data.labels, policy)
    left = ~np.isnan(labels).all(axis=1)
    kept, lost = np.flatnonzero(left), np.flatnonzero(~left)
    reason = f"copies of the molecule have other labels in every task (policy {policy.value})"
    dropped = [rows[int(i)] for i in lost]
    rejected = [Rejection(row.number, row.id, row.written, reason) for row in dropped]
    values = data.split_values
    return replace(
        data,
        graphs=data.graphs.select(kept) if len(lost) else data.graphs,
        labels=labels[kept],
        rows=data.rows[kept],
        smiles=tuple(data.smiles[i] for i in kept),
        rejections=tuple(sorted([*data.rejections, *rejected], key=lambda r: r.row)),
        split_values=tuple(values[i] for i in kept) if values else None,
        conflicts=conflicts,
    )


# Copies of a molecule that disagree about a label.


@dataclass(frozen=True)
class LabelConflicts:
    """Copies with different labels, and what was done about them."""

    policy: ConflictPolicy
    molecules: int  # different molecules with different labels in a task
    labels: int  # of such rows and tasks
    changed: int  # replaced or taken away

    def to_dict(self) -> dict[str, str | int]:
        """Policy and counts as plain data."""
        return asdict(self) | {"policy": self.policy.value}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(**data | {"policy": ConflictPolicy(data["policy"])})

    def __str__(self) -> str:
        """One sentence, empty if there was nothing to settle."""
        if not self.molecules:
            return ""
        advice = '; to settle them, write conflicts = "majority" or "drop" in [data] of a recipe'
        return (
            f"{self.molecules} molecules have copies with different labels ({self.labels} labels); "
            f"policy {self.policy.value}: {self.changed} labels changed"
            f"{advice if self.policy is ConflictPolicy.KEEP else ''}"
        )


def settle_conflicts(
    smiles: Sequence[str], labels: FloatArray, policy: ConflictPolicy
) -> tuple[FloatArray, LabelConflicts]:
    """Apply a policy where copies of a molecule have different class labels in a task.

    Returns a copy of the labels, in which rows may have no label left.
    """
    unique, copy_of = np.unique(np.array(smiles, dtype=object), return_inverse=True)
    inactive, active = np.zeros((2, len(unique), labels.shape[1]))
    np.add.at(inactive, copy_of, labels == 0)
    np.add.at(active, copy_of, labels == 1)
    torn = (inactive > 0) & (active > 0)
    affected = torn[copy_of] & ~np.isnan(labels)
    settled = labels.copy()
    if policy is ConflictPolicy.DROP:
        settled[affected] = np.nan
    elif policy is ConflictPolicy.MAJORITY:
        verdict = np.where(active == inactive, np.nan, (active > inactive).astype(float))
        settled[affected] = verdict[copy_of][affected]
    changed = affected & ~(settled == labels)
    counts = (int(torn.any(axis=1).sum()), int(affected.sum()), int(changed.sum()))
    return settled, LabelConflicts(policy, *counts)


# What to know about a table before a model trained on it is believed.

_NAMED = 5
ENOUGH = 20
"""Actives, or inactives, of a task from which its figures are worth something."""


def data_concerns(
    data: TrainingData, parts: npt.NDArray[np.str_], objective: Objective, rejected: Path
) -> list[str]:
    """Sentences about rows that are not used, labels that disagree, and classes that are rare or absent."""
    concerns = []
    if data.rejections:
        first = data.rejections[0]
        concerns.append(
            f"{len(data.rejections)} rows cannot be used (first: row {first.row}: {first.reason}); "
            f"all of them go to {rejected}"
        )
    concerns += data.notes
    if data.conflicts and str(data.conflicts):
        concerns.append(str(data.conflicts))
    if objective is not Objective.REGRESSION:
        concerns += _few(data, parts)
        for part in PARTS:
            concerns += _one_class(data.labels[parts == part], data.tasks, part)
    return concerns


def check_training_part(data: TrainingData, parts: npt.NDArray[np.str_]) -> None:
    """Refuse tasks of which the training part lacks a class, so that there is nothing to learn."""
    missing = missing_classes(data.labels[parts == "train"], data.tasks)
    if not missing:
        return
    task, kind = next(iter(missing.items()))
    counts = _counts(data, parts, data.tasks.index(task), kind)
    more = f" ({len(missing) - 1} more tasks lack a class)" if len(missing) > 1 else ""
    raise InputError(
        f"no {kind} of {task!r} are left for training: {counts}{more}; add data, leave the task out, or "
        "split otherwise (--split, --validation, --test)"
    )


def _few(data: TrainingData, parts: npt.NDArray[np.str_]) -> list[str]:
    """What it means that a task has few molecules of a class."""
    sentences = []
    for kind, label in (("actives", 1), ("inactives", 0)):
        totals = (data.labels == label).sum(axis=0)
        few = np.flatnonzero(totals < ENOUGH)
        if not len(few):
            continue
        named = [f"{data.tasks[i]} ({_counts(data, parts, int(i), kind)})" for i in few[:_NAMED]]
        more = f" and {len(few) - _NAMED} more tasks" if len(few) > _NAMED else ""
        sentences.append(
            f"fewer than {ENOUGH} {kind} of {', '.join(named)}{more}: the model may have learnt single "
            "compounds, and a figure of so few depends on which ones are tested; add data, and judge the "
            "recipe with `molig evaluate`, which tests on all of them"
        )
    return sentences


def _counts(data: TrainingData, parts: npt.NDArray[np.str_], task: int, kind: str) -> str:
    members = data.labels[:, task] == (kind == "actives")
    each = ", ".join(f"{int((members & (parts == part)).sum())} {part}" for part in PARTS)
    return f"{int(members.sum())}: {each}"


def missing_classes(labels: npt.NDArray[np.float64], tasks: tuple[str, ...]) -> dict[str, str]:
    """Tasks of which molecules have no actives, or else no inactives."""
    active, inactive = ((labels == value).any(axis=0) for value in (1, 0))
    pairs = zip(tasks, active, inactive, strict=True)
    return {task: "inactives" if some else "actives" for task, some, others in pairs if not (some and others)}


def _one_class(labels: npt.NDArray[np.float64], tasks: tuple[str, ...], part: str) -> list[str]:
    missing = missing_classes(labels, tasks) if len(labels) else {}
    sentences = []
    for kind in ("actives", "inactives"):
        named = [task for task, what in missing.items() if what == kind]
        if named:
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            sentences.append(f"the {part} part has no {kind} of {', '.join(named[:_NAMED])}{more}")
    return sentences


# Featurized tables on disk, so that the next run on the same table starts at once.

_LAYOUT = 2
MAX_TASKS = 2_000
"""Most tasks of a model: all labels of a table are in memory, and each task is judged by itself."""

_LEAST_ROWS = 5_000
"""Smaller tables are read in seconds; they are not worth a file."""


def check_targets(targets: Sequence[str]) -> None:
    """Refuse columns that cannot name tasks, before they are trained."""
    reserved = sorted(RESERVED_TASK_NAMES & {target.casefold() for target in targets})
    if reserved:
        raise UsageError(f"target columns cannot be called {', '.join(reserved)}: hit tables use these names")
    if len(set(targets)) < len(targets):
        raise UsageError("a target column is named twice")
    if len(targets) > MAX_TASKS:
        raise UsageError(
            f"{len(targets):,} target columns are more than a model takes ({MAX_TASKS:,}): train several "
            "models"
        )


def read_or_load(assay: AssayTable, progress: OnRows | None = None) -> TrainingData:
    """Read a table as `read_training_data` does, or load what an earlier run has kept of it.

    Kept in the cache directory under a digest of the table's content and of everything else that matters:
    targets, options, feature schema, standardisation, versions.
    """
    check_targets(assay.targets)
    path = _cached(assay)
    loaded = _load(path, tuple(assay.targets)) if path else None
    if loaded is not None:
        # It lies end to end already, so that it only takes as much again.
        MemoryWatch(assay.source, assay.compared).add(len(loaded), _size(loaded.graphs) // 2)
        if progress:
            progress(len(loaded) + len(loaded.rejections))
        return loaded
    data = read_training_data(assay, progress)
    if path and len(data) >= _LEAST_ROWS:
        # A cache that cannot be written costs the next run some time, and nothing else.
        with contextlib.suppress(OSError):
            _save(data, path)
    return data


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file."""
    return digest_of(Path(path))


def _cached(assay: AssayTable) -> Path | None:
    """File of a table in the cache; None if the table cannot be read, which the reader explains."""
    parser = assay.parser
    options = {
        "objective": assay.objective,
        "split_column": assay.split_column,
        "smiles_column": assay.smiles_column,
        "delimiter": assay.delimiter,
        "conflicts": assay.conflicts,
        "cut": assay.cut,
    }
    try:
        key = [
            file_digest(assay.source),
            list(assay.targets),
            [str(parser.policy), PARENT_VERSION, parser.max_heavy_atoms, str(parser.hydrogens)],
            assay.featurizer.schema.hash,
            options,
            [_LAYOUT, __version__, rdkit.__version__],
        ]
    except OSError:
        return None
    name = digest_of(json.dumps(key, default=str))
    return cache_directory() / "features" / f"{name}.npz"


def _save(data: TrainingData, path: Path) -> None:
    text = {
        "smiles": list(data.smiles),
        "rejections": [[r.row, r.id, r.smiles, r.reason] for r in data.rejections],
        "split_values": list(data.split_values) if data.split_values is not None else None,
        "notes": list(data.notes),
        "conflicts": data.conflicts.to_dict() if data.conflicts else None,
    }
    arrays: dict[str, Any] = data.graphs.arrays() | {"labels": data.labels, "rows": data.rows}
    arrays["text"] = np.frombuffer(json.dumps(text).encode(), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _load(path: Path, targets: tuple[str, ...]) -> TrainingData | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
        text = json.loads(held["text"].tobytes())
        graphs = PackedGraphs.from_arrays(held)
        values, conflicts = text["split_values"], text["conflicts"]
        return TrainingData(
            graphs=graphs,
            labels=held["labels"],
            tasks=targets,
            rows=held["rows"],
            smiles=tuple(text["smiles"]),
            rejections=tuple(Rejection(*r) for r in text["rejections"]),
            split_values=tuple(values) if values is not None else None,
            notes=tuple(text["notes"]),
            conflicts=LabelConflicts.from_dict(conflicts) if conflicts else None,
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        # Absent or damaged: made again.
        return None
