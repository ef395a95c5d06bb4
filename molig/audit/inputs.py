"""Molecules and labels to audit a model with, from lists, files, or what its training held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molig.audit.pipes import repeatable
from molig.audit.settings import AuditSettings
from molig.audit.subject import AuditSubject
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import Objective, ScreeningModel
from molig.molecules import Record, Rejection, batched, read_records, smiles_records

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int], object]

_BATCH = 256
_MISSING = {"", "nan", "na", "none", "null"}


def subject_of(
    model: ScreeningModel,
    smiles: Iterable[str],
    labels: npt.ArrayLike | None = None,
    settings: AuditSettings | None = None,
) -> AuditSubject:
    """Audit a model with SMILES, in order, all of them.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    smiles : iterable of str
        The molecules.
    labels : array-like of float, shape (n,) or (n, n_tasks), optional
        1 active, 0 inactive, or values of a regression; NaN not measured.
    settings : AuditSettings, optional
        Seeds and samples.

    Returns
    -------
    AuditSubject
        SMILES that the model rejects are among its ``rejections``.

    Raises
    ------
    InputError
        If no SMILES can be used.
    UsageError
        If the labels do not fit.

    Examples
    --------
    >>> import molig
    >>> subject = subject_of(molig.load_model("tox21-w2n2-simple"), ["CCO", "nonsense"])
    >>> len(subject.molecules), len(subject.rejections)
    (1, 1)
    """
    molecules, rejections = model.parser.parse_many(list(smiles_records(smiles)))
    if not molecules:
        raise InputError(_none_usable(rejections))
    known = None
    if labels is not None:
        table = np.asarray(labels, dtype=np.float64)
        table = table[:, None] if table.ndim == 1 else table
        if table.shape != (len(molecules) + len(rejections), len(model.tasks)):
            expected = (len(molecules) + len(rejections), len(model.tasks))
            raise UsageError(f"labels must have shape {expected} (got {table.shape})")
        known = table[[molecule.row - 1 for molecule in molecules]]
    return AuditSubject(model, molecules, known, settings or AuditSettings(), rejections)


@dataclass(frozen=True)
class LabelledFile:
    """A file of molecules, perhaps with labels.

    Parameters
    ----------
    source : str or Path
        Any file that `molig.molecules.read_records` reads.
    labels : mapping of str to str
        Task to label column, where the column is not called like the task.
    smiles_column, id_column, file_format : str, optional
        As for `molig.molecules.read_records`.
    rows : collection of int, optional
        Only these rows, counted from 1.
    """

    source: str | Path
    labels: Mapping[str, str] = field(default_factory=dict)
    smiles_column: str | None = None
    id_column: str | None = None
    file_format: str | None = None
    rows: frozenset[int] | None = None

    def records(self, columns: Sequence[str]) -> Iterator[Record]:
        """Read the file, or the chosen rows of it.

        Parameters
        ----------
        columns : sequence of str
            Label columns.
        """
        records = read_records(
            self.source,
            smiles_column=self.smiles_column,
            id_column=self.id_column,
            columns=columns,
            file_format=self.file_format,
        )
        return (record for record in records if self.rows is None or record.row in self.rows)


def read_subject(
    model: ScreeningModel,
    file: LabelledFile,
    settings: AuditSettings | None = None,
    progress: Progress | None = None,
) -> AuditSubject:
    """Read molecules to audit a model with, and their labels where the file has columns for them.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    file : LabelledFile
        Where the molecules are.
    settings : AuditSettings, optional
        Of more than ``max_molecules`` rows a sample is taken, half of it active in some task.
    progress : callable, optional
        Called with the number of rows read since the last call.

    Returns
    -------
    AuditSubject

    Raises
    ------
    InputError
        If no row can be used, or a label is not a number, or not 0 or 1 in a classification.
    UsageError
        If the file, or a column that was named, does not exist.
    """
    with repeatable(file) as readable:
        return _read(model, readable, settings or AuditSettings(), progress)


def _read(
    model: ScreeningModel, file: LabelledFile, settings: AuditSettings, progress: Progress | None
) -> AuditSubject:
    columns = _label_columns(model, file)
    reader = _Sampler(settings, sorted(columns.values()))
    for batch in batched(file.records(sorted(set(columns.values()))), _BATCH):
        for record in batch:
            reader.add(record)
        if progress:
            progress(len(batch))
    molecules, rejections = model.parser.parse_many(reader.chosen())
    if not molecules:
        raise InputError(f"{file.source}: {_none_usable(rejections)}")
    labels = None
    if columns:
        fields = reader.fields
        rows = [[_label(model, fields[m.row], m.row, t, columns) for t in model.tasks] for m in molecules]
        labels = np.array(rows, dtype=np.float64)
    return AuditSubject(model, molecules, labels, settings, rejections)


class _Sampler:
    """Keeps a sample of the rows of a stream: half active ones, if there are so many."""

    def __init__(self, settings: AuditSettings, columns: Sequence[str]) -> None:
        self._columns, self._most = columns, settings.max_molecules
        self._rng = np.random.default_rng([settings.seed, 1])
        self._kept: dict[bool, list[Record]] = {True: [], False: []}
        self._seen = {True: 0, False: 0}

    def add(self, record: Record) -> None:
        """Keep the row, or not, so that every row of its kind is kept with the same chance (reservoir)."""
        active = any(
            str(record.fields.get(column)).strip() in {"1", "1.0", "True"} for column in self._columns
        )
        kept = self._kept[active]
        self._seen[active] += 1
        if len(kept) < self._most:
            kept.append(record)
            return
        place = int(self._rng.integers(self._seen[active]))
        if place < self._most:
            kept[place] = record

    def chosen(self) -> list[Record]:
        """The sample, in the order of the file."""
        active, others = self._kept[True], self._kept[False]
        n_active = min(len(active), max(self._most // 2, self._most - len(others)))
        picked = [*_some(active, n_active, self._rng), *_some(others, self._most - n_active, self._rng)]
        return sorted(picked, key=lambda record: record.row)

    @property
    def fields(self) -> dict[int, Mapping[str, Any]]:
        """Label columns by row."""
        return {record.row: record.fields for kept in self._kept.values() for record in kept}


def _some(records: list[Record], n: int, rng: np.random.Generator) -> list[Record]:
    if n >= len(records):
        return records
    return [records[i] for i in np.sort(rng.choice(len(records), n, replace=False))]


def _label_columns(model: ScreeningModel, file: LabelledFile) -> dict[str, str]:
    """Task to label column: as asked for, else the columns called like a task."""
    for task in file.labels:
        model.task_index(task)
    wanted = {task: file.labels.get(task, task) for task in model.tasks}
    asked = set(file.labels.values())
    while wanted:
        try:
            file.records(sorted(set(wanted.values())))
        except UnknownNameError as error:
            if error.kind != "column" or error.name not in wanted.values() or error.name in asked:
                raise
            wanted = {task: column for task, column in wanted.items() if column != error.name}
        else:
            break
    return wanted


def _label(
    model: ScreeningModel, fields: Mapping[str, Any], row: int, task: str, columns: Mapping[str, str]
) -> float:
    column = columns.get(task)
    text = "" if column is None else str(fields.get(column)).strip()
    if text.casefold() in _MISSING | {"<na>"}:
        return float("nan")
    try:
        value = {"true": 1.0, "false": 0.0}.get(text.casefold())
        value = float(text) if value is None else value
    except ValueError as err:
        raise InputError(
            f"row {row}: column {column!r} holds {text!r}; expected a number or nothing"
        ) from err
    if model.objective is Objective.CLASSIFICATION and value not in (0.0, 1.0):
        raise InputError(f"row {row}: column {column!r} holds {text}; expected 0, 1 or nothing")
    return value


def _none_usable(rejections: Sequence[Rejection]) -> str:
    if not rejections:
        return "there is no molecule"
    first = rejections[0]
    return f"none of the {len(rejections)} molecules can be used; row {first.row}: {first.reason}"
