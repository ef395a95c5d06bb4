"""Molecules and labels to audit a model with, from lists, files, or what its training held out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.audit.subject import AuditSettings, AuditSubject
from molig.errors import InputError, UnknownNameError, UsageError
from molig.evaluation import table_of_model
from molig.model import Objective, ScreeningModel, find_model
from molig.molecules import Record, Rejection, batched, read_records, resolve_format, smiles_records
from molig.report import is_repeatable
from molig.training import read_recipe

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


# Molecules from standard input or a pipe, kept where they can be read twice.


@contextmanager
def repeatable(file: LabelledFile) -> Iterator[LabelledFile]:
    """Make a file of molecules one that can be read twice: for its columns, then for its rows."""
    source = str(file.source)
    if is_repeatable(source) or (source != "-" and not Path(source).is_fifo()):
        yield file  # what is no file at all is refused by the reader
        return
    kind = resolve_format(source, file.file_format)
    name = "standard input" if source == "-" else source
    with TemporaryDirectory(prefix="molig-") as folder:
        copy = Path(folder) / "molecules"
        try:
            with copy.open("wb") as target:
                if source == "-":
                    shutil.copyfileobj(sys.stdin.buffer, target)
                else:
                    with open(source, "rb") as pipe:
                        shutil.copyfileobj(pipe, target)
        except OSError as err:
            raise InputError(f"{name} cannot be read: {err.strerror or err}") from err
        try:
            yield replace(file, source=copy, file_format=kind)
        except UnknownNameError:
            raise  # names a column, no file
        except (InputError, UsageError) as err:
            raise type(err)(str(err).replace(str(copy), name)) from err


# The molecules that a model's training held out, to audit it with.

_SPLIT, _RECIPE = "split.csv", "recipe.toml"


def held_out_file(model: str | Path, source: Path | None = None) -> tuple[LabelledFile, str]:
    """Find the test part (else the validation part) of the table that a model was trained with.

    Parameters
    ----------
    model : str or Path
        Directory of the model, or the name of a bundled one.
    source : Path, optional
        The table, if not where the model's recipe says.

    Returns
    -------
    file : LabelledFile
        The table, restricted to the held-out rows.
    part : str
        ``"test"`` or ``"validation"``.

    Raises
    ------
    UsageError
        If the model's directory does not tell what was held out or of which table, or the table is not there.
    InputError
        If the split is damaged, or a public data set is not there yet.
    """
    folder = find_model(model)
    if not (folder / _SPLIT).is_file() or not (folder / _RECIPE).is_file():
        raise UsageError(
            f"{folder.name} does not tell what its training held out ({_SPLIT}, {_RECIPE}): give molecules "
            "with --input"
        )
    try:
        split = pd.read_csv(folder / _SPLIT)
        part = "test" if (split["part"] == "test").any() else "validation"
        rows = frozenset(int(row) for row in split.loc[split["part"] == part, "row"])
    except (KeyError, ValueError) as err:
        raise InputError(f"{folder / _SPLIT} is damaged: {err}") from err
    if not rows:
        raise UsageError(f"{folder.name} held out no molecules in training: give some with --input")
    recipe = read_recipe(folder / _RECIPE)
    table = source or _table(folder)
    return LabelledFile(table, smiles_column=recipe.data.smiles_column, rows=rows), part


def _table(folder: Path) -> Path:
    """The table that the recipe names; where there is none, training's advice is no help for an audit."""
    recipe = read_recipe(folder / _RECIPE)
    if not recipe.data.name and not recipe.data.file:
        raise UsageError(
            f"{folder.name} does not tell which table it was trained with, so what was held out cannot be "
            f"found: give molecules with --input, or name the table as file in [data] of {folder / _RECIPE}"
        )
    try:
        return table_of_model(folder)
    except UsageError as err:
        raise UsageError(
            f"{folder / _RECIPE} names {recipe.data.name or recipe.data.file} as the table that "
            f"{folder.name} was trained with, but there is none: put it there to audit what was held out of "
            "it, or give molecules with --input"
        ) from err
