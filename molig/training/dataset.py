"""A table of molecules and labels, featurized once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import rdkit
from rdkit import Chem

from molig.datasets import cache_directory
from molig.errors import InputError, UsageError
from molig.features import Featurizer, PackedGraphs
from molig.model import Objective
from molig.molecules import Hydrogens, Molecule, MoleculeParser, Record, Rejection, batched, read_records
from molig.training.recipe import ConflictPolicy
from molig.version import __version__

# Labels and parts of the split, as the rows of a table state them.


PARTS = ("train", "validation", "test")
"""Parts of a split."""

_SYNONYMS = {"valid": "validation", "val": "validation"}
_MISSING = {"", "nan", "na", "null", "none"}
_MOST_ODD = 0.1


class LabelReader:
    """Reads the labels of records, and notices where values are taken for classes.

    Parameters
    ----------
    targets : sequence of str
        Label columns.
    objective : Objective
        Whether labels are classes or values.
    split_column : str, optional
        Column with the part of every row.
    """

    def __init__(self, targets: Sequence[str], objective: Objective, split_column: str | None = None) -> None:
        self.targets, self.objective, self.split_column = targets, objective, split_column
        self._n_labelled = self._n_values = 0
        self._first_value = ""

    def labels(self, record: Record) -> tuple[list[float], str | None]:
        """Labels of a row, NaN where not measured, and what is wrong with them, if anything."""
        labels = []
        for target in self.targets:
            label, problem = self._label(target, record)
            if problem:
                return [], problem
            labels.append(label)
        if all(math.isnan(v) for v in labels):
            return [], "no label in any target column"
        self._n_labelled += 1
        return labels, None

    def _label(self, target: str, record: Record) -> tuple[float, str | None]:
        raw = record.fields.get(target)
        value = _number(raw)
        if self.objective is Objective.REGRESSION:
            if value is None or math.isinf(value):
                return math.nan, f"label {target} = {raw!r} is neither a finite number nor empty"
            return value, None
        if value is None or not (math.isnan(value) or value in (0.0, 1.0)):
            if value is not None and math.isfinite(value):
                self._n_values += 1
                self._first_value = self._first_value or f"row {record.row}: {target} = {raw!r}"
            return math.nan, f"label {target} = {raw!r} is neither 0, 1 nor empty"
        return value, None

    def part(self, record: Record) -> str:
        """Part of a row; empty if there is no such column, or the row could not be read.

        Raises
        ------
        InputError
            Naming row and value, if it is none of `PARTS`.
        """
        if self.split_column is None or record.problem is not None:
            return ""
        raw = record.fields.get(self.split_column)
        part = "" if raw is None else str(raw).strip().casefold()
        part = _SYNONYMS.get(part, part)
        if part not in PARTS:
            raise InputError(
                f"row {record.row}: column {self.split_column!r} says {raw!r}; a given split needs "
                f"{', '.join(PARTS[:-1])} or {PARTS[-1]} in every row"
            )
        return part

    def check_values(self, source: str | Path) -> None:
        """Refuse values where classes are asked for: a few odd rows are rejected, many mean a mistake.

        Raises
        ------
        InputError
            If more than a tenth of the labelled rows have a number other than 0 and 1.
        """
        if self._n_values > _MOST_ODD * (self._n_values + self._n_labelled):
            raise InputError(
                f"{source}: {self._n_values} rows have numbers other than 0 and 1 as labels "
                f"(first: {self._first_value}); "
                'to predict values write objective = "regression" in a recipe, to predict classes code them '
                "as 1 and 0"
            )


def check_variety(source: str | Path, labels: FloatArray, tasks: Sequence[str], objective: Objective) -> None:
    """Refuse tasks that have nothing to learn.

    Parameters
    ----------
    source : str or Path
        The table, for messages.
    labels : array of float, shape (n_mols, n_tasks)
        Labels of the usable rows; NaN not measured.
    tasks : sequence of str
        Names of the columns.
    objective : Objective
        Whether labels are classes or values.

    Raises
    ------
    InputError
        If a task has one class only, or one value only.
    """
    for column, task in enumerate(tasks):
        known = labels[~np.isnan(labels[:, column]), column]
        if objective is Objective.REGRESSION:
            if len(np.unique(known)) < 2:
                seen = f"only the value {known[0]:g}" if len(known) else "no value"
                raise InputError(
                    f"{source}: target {task!r} has {seen} among the usable rows; a regression needs "
                    "different values: leave it out or add data"
                )
            continue
        actives, inactives = int((known == 1).sum()), int((known == 0).sum())
        if not actives or not inactives:
            raise InputError(
                f"{source}: target {task!r} has {actives} actives and {inactives} inactives among the usable "
                "rows; a task needs both classes: leave it out or add data"
            )


def _number(value: Any) -> float | None:
    """Label as a number, NaN if missing, None if it is no number at all."""
    if value is None or str(value).strip().lower() in _MISSING:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


# Copies of a molecule that disagree about a label.


@dataclass(frozen=True)
class LabelConflicts:
    """What was found, and what was done about it.

    Parameters
    ----------
    policy : ConflictPolicy
        What was done.
    molecules : int
        Different molecules that have rows with different labels in a task.
    labels : int
        Labels of such rows and tasks.
    changed : int
        Labels that were replaced or taken away.
    """

    policy: ConflictPolicy
    molecules: int
    labels: int
    changed: int

    def to_dict(self) -> dict[str, str | int]:
        """Policy and counts as plain data."""
        return {
            "policy": self.policy.value,
            "molecules": self.molecules,
            "labels": self.labels,
            "changed": self.changed,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        counts = (int(data[name]) for name in ("molecules", "labels", "changed"))
        return cls(ConflictPolicy(data["policy"]), *counts)

    def __str__(self) -> str:
        """One sentence, empty if there was nothing to settle."""
        if not self.molecules:
            return ""
        return (
            f"{self.molecules} molecules have copies with different labels ({self.labels} labels); "
            f"policy {self.policy.value}: {self.changed} labels changed"
        )


def settle_conflicts(
    smiles: Sequence[str], labels: FloatArray, policy: ConflictPolicy
) -> tuple[FloatArray, LabelConflicts]:
    """Apply a policy where copies of a molecule have different class labels in a task.

    Parameters
    ----------
    smiles : sequence of str
        Canonical SMILES; copies share theirs.
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, NaN not measured.
    policy : ConflictPolicy
        Keep all labels, take the majority's (none at a tie), or drop them.

    Returns
    -------
    labels : array of float, shape (n_mols, n_tasks)
        A copy; rows may have no label left.
    conflicts : LabelConflicts
        Counts.

    Examples
    --------
    >>> labels = np.array([[1.0], [1.0], [0.0], [0.0]])
    >>> settled, found = settle_conflicts(["C", "C", "C", "N"], labels, ConflictPolicy.MAJORITY)
    >>> settled[:, 0].tolist(), found.molecules, found.changed
    ([1.0, 1.0, 1.0, 0.0], 1, 1)
    """
    unique, copy_of = np.unique(np.array(smiles, dtype=object), return_inverse=True)
    sums = [np.zeros((len(unique), labels.shape[1])) for _ in range(2)]
    for value, total in zip((0.0, 1.0), sums, strict=True):
        np.add.at(total, copy_of, labels == value)
    inactive, active = sums
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


# What somebody who trains a model should be told about the table before it is believed.

_NAMED = 5


def data_concerns(
    data: TrainingData, parts: npt.NDArray[np.str_], objective: Objective, rejected: Path
) -> list[str]:
    """Sentences about rows that are not used, labels that disagree and parts that lack a class.

    Parameters
    ----------
    data : TrainingData
        The table.
    parts : array of str, shape (n_mols,)
        Part of each molecule.
    objective : Objective
        Regressions have no classes.
    rejected : Path
        Where the rejected rows are listed.

    Returns
    -------
    list of str
        None if there is nothing to tell.
    """
    told = []
    if data.rejections:
        first = data.rejections[0]
        told.append(
            f"{len(data.rejections)} rows cannot be used (first: row {first.row}: {first.reason}); "
            f"all of them are in {rejected}"
        )
    if data.conflicts and str(data.conflicts):
        told.append(str(data.conflicts))
    if objective is not Objective.REGRESSION:
        for part in PARTS:
            told += _one_class(data.labels[parts == part], data.tasks, part)
    return told


def missing_classes(labels: npt.NDArray[np.float64], tasks: tuple[str, ...]) -> dict[str, str]:
    """Tasks of which molecules have no actives, or else no inactives.

    Parameters
    ----------
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, NaN not measured.
    tasks : tuple of str
        Names of the columns.

    Returns
    -------
    dict of str to str
        Task to ``"actives"`` or ``"inactives"``.

    Examples
    --------
    >>> missing_classes(np.array([[1.0, 0.0], [0.0, np.nan]]), ("a", "b"))
    {'b': 'actives'}
    """
    active, inactive = ((labels == value).any(axis=0) for value in (1, 0))
    pairs = zip(tasks, active, inactive, strict=True)
    return {task: "inactives" if some else "actives" for task, some, others in pairs if not (some and others)}


def _one_class(labels: npt.NDArray[np.float64], tasks: tuple[str, ...], part: str) -> list[str]:
    missing = missing_classes(labels, tasks) if len(labels) else {}
    told = []
    for kind in ("actives", "inactives"):
        named = [task for task, what in missing.items() if what == kind]
        if named:
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            told.append(f"the {part} part has no {kind} of {', '.join(named[:_NAMED])}{more}")
    return told


# Featurized tables on disk, so that the next run on the same table starts at once.

_LAYOUT = 1
_LEAST_ROWS = 5_000
"""Smaller tables are read in seconds; they are not worth a file."""


class ReadOptions(TypedDict, total=False):
    """Options of `read_training_data`, by name."""

    objective: Objective
    split_column: str | None
    smiles_column: str | None
    conflicts: ConflictPolicy


def read_or_load(
    source: str | Path,
    targets: Sequence[str],
    parser: MoleculeParser,
    featurizer: Featurizer,
    *,
    progress: Progress | None = None,
    **options: Unpack[ReadOptions],
) -> TrainingData:
    """Read a table as `read_training_data` does, or take what an earlier run has made of it.

    Kept in the cache directory (see `molig.datasets.cache_directory`) under a digest of the table's content
    and of everything else that matters: targets, options, feature schema, standardisation, versions.

    Parameters
    ----------
    source, targets, parser, featurizer, progress
        As for `molig.training.dataset.read_training_data`.
    **options
        Its other options.

    Returns
    -------
    TrainingData
    """
    path = _place(source, targets, parser, featurizer, options)
    found = _load(path, tuple(targets)) if path else None
    if found is not None:
        if progress:
            progress(len(found) + len(found.rejections))
        return found
    data = read_training_data(source, targets, parser, featurizer, progress=progress, **options)
    if path and len(data) >= _LEAST_ROWS:
        # A cache that cannot be written costs the next run some time, and nothing else.
        with contextlib.suppress(OSError):
            _save(data, path)
    return data


def _place(
    source: str | Path,
    targets: Sequence[str],
    parser: MoleculeParser,
    featurizer: Featurizer,
    options: ReadOptions,
) -> Path | None:
    try:
        digest = file_digest(source)
    except OSError:  # the reader will say what is wrong
        return None
    policy = [str(parser.policy), parser.max_heavy_atoms, str(parser.hydrogens)]
    versions = [_LAYOUT, __version__, rdkit.__version__]
    # In one order, and with what was not said, so that all commands find the same file.
    said: ReadOptions = {
        "objective": Objective.CLASSIFICATION,
        "split_column": None,
        "smiles_column": None,
        "conflicts": ConflictPolicy.KEEP,
    }
    key = [digest, list(targets), policy, featurizer.schema.hash, said | options, versions]
    name = hashlib.sha256(json.dumps(key, default=str).encode()).hexdigest()
    return cache_directory() / "features" / f"{name}.npz"


def _save(data: TrainingData, path: Path) -> None:
    text = {
        "smiles": list(data.smiles),
        "rejections": [[r.row, r.id, r.smiles, r.reason] for r in data.rejections],
        "given_parts": list(data.given_parts) if data.given_parts is not None else None,
        "conflicts": data.conflicts.to_dict() if data.conflicts else None,
    }
    arrays: dict[str, Any] = {f.name: getattr(data.graphs, f.name) for f in fields(PackedGraphs)}
    arrays |= {"labels": data.labels, "rows": data.rows}
    arrays["text"] = np.frombuffer(json.dumps(text).encode(), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        np.savez(temporary, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _load(path: Path, targets: tuple[str, ...]) -> TrainingData | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
        text = json.loads(held["text"].tobytes())
        graphs = PackedGraphs(**{f.name: held[f.name] for f in fields(PackedGraphs)})
        given, conflicts = text["given_parts"], text["conflicts"]
        return TrainingData(
            graphs=graphs,
            labels=held["labels"],
            tasks=targets,
            rows=held["rows"],
            smiles=tuple(text["smiles"]),
            rejections=tuple(Rejection(*r) for r in text["rejections"]),
            given_parts=tuple(given) if given is not None else None,
            conflicts=LabelConflicts.from_dict(conflicts) if conflicts else None,
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        # Absent or damaged: made again.
        return None
