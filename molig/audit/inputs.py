"""Molecules and labels to audit a model with, from lists, files, or what its training held out."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.audit.subject import AuditSettings, AuditSubject, Progress
from molig.errors import InputError, UsageError
from molig.files import read_regular
from molig.model import Objective, ScoringModel, ScreeningModel, find_model, load_info
from molig.molecules import Record, Rejection, smiles_records
from molig.molecules.causes import likely_cause
from molig.molecules.records import batched
from molig.screening.hits import HIT_COLUMN, warn_of_scores
from molig.screening.store import read_library
from molig.training.labels import Cut, read_label
from molig.training.recipe import locate_table, read_recipe

_BATCH = 256
_READING = ("smiles_column", "id_column", "file_format", "delimiter")
_SPLIT, _RECIPE = "split.csv", "recipe.toml"


def subject_of(
    model: ScoringModel,
    smiles: Iterable[str],
    labels: npt.ArrayLike | None = None,
    settings: AuditSettings | None = None,
) -> AuditSubject:
    """Audit a model with SMILES, in order, all of them.

    Parameters
    ----------
    model : ScoringModel
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
        Any file that `molig.molecules.read_records` reads, or a feature store.
    labels : mapping of str to str
        Task to label column, where the column is not called like the task.
    smiles_column, id_column, file_format, delimiter : str, optional
        As for `molig.molecules.read_records`.
    rows : collection of int, optional
        Only these rows, counted from 1.
    """

    source: str | Path
    labels: Mapping[str, str] = field(default_factory=dict)
    smiles_column: str | None = None
    id_column: str | None = None
    file_format: str | None = None
    delimiter: str | None = None
    rows: frozenset[int] | None = None

    def columns(self, model: ScoringModel) -> dict[str, str]:
        """Task to the column that holds its labels, if the file has it."""
        for task in self.labels:
            model.task_index(task)
        return {task: self.labels.get(task, task) for task in model.tasks}

    def of_part(self, part: ScoringModel) -> Self:
        """The same with the label columns of the tasks of a part of the model."""
        return replace(self, labels={task: name for task, name in self.labels.items() if task in part.tasks})

    def records(self, model: ScoringModel) -> Iterator[Record]:
        """The chosen rows; label columns that were named must be there, those called like tasks may be.

        Columns of a hit table of molig that are called like tasks hold its scores: only named ones are read.
        """
        named = dict.fromkeys(self.labels.values())
        wanted = [column for column in dict.fromkeys(self.columns(model).values()) if column not in named]
        reading = {name: getattr(self, name) for name in _READING}
        records = read_library(
            self.source, model, columns=list(named), optional=[*wanted, HIT_COLUMN], **reading
        )
        first = next(records)
        labels = {*named, *wanted}
        if HIT_COLUMN in first.fields:
            labels = set(named)
            if scores := [name for name in wanted if name in first.fields]:
                warn_of_scores(self.source, scores, f"{scores[0]}=")
        for record in chain([first], records):
            if self.rows is None or record.row in self.rows:
                fields = {name: value for name, value in record.fields.items() if name in labels}
                yield replace(record, fields=fields)


def read_subject(
    model: ScoringModel,
    file: LabelledFile,
    settings: AuditSettings | None = None,
    progress: Progress | None = None,
) -> AuditSubject:
    """Read molecules to audit a model with, and their labels where the file has columns for them.

    Parameters
    ----------
    model : ScoringModel
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
    settings = settings or AuditSettings()
    columns, sampler = file.columns(model), _Sampler(settings, model)
    for batch in batched(file.records(model), _BATCH):
        for record in batch:
            sampler.add(record)
        if progress:
            progress(len(batch))
    chosen = sampler.chosen()
    molecules, rejections = model.parser.parse_many(chosen)
    if not molecules:
        where = "standard input" if str(file.source) == "-" else file.source
        raise InputError(f"{where}: {_none_usable(rejections)}")
    fields = {record.row: record.fields for record in chosen}
    labels = None
    if any(fields[molecule.row] for molecule in molecules):
        rows = [
            [_label(model, molecule.row, column, fields[molecule.row]) for column in columns.values()]
            for molecule in molecules
        ]
        labels = np.array(rows, dtype=np.float64)
    return AuditSubject(model, molecules, labels, settings, rejections)


class _Sampler:
    """Keeps a sample of the rows of a stream: half active ones, if there are so many."""

    def __init__(self, settings: AuditSettings, model: ScoringModel) -> None:
        self._most, self._cut = settings.max_molecules, _cut(model)
        self._rng = np.random.default_rng([settings.seed, 1])
        self._kept: dict[bool, list[Record]] = {True: [], False: []}
        self._seen = {True: 0, False: 0}

    def add(self, record: Record) -> None:
        """Keep the row, or not, so that every row of its kind is kept with the same chance (reservoir)."""
        active = any(read_label(label, cut=self._cut).value == 1 for label in record.fields.values())
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


def _some(records: list[Record], n: int, rng: np.random.Generator) -> list[Record]:
    if n >= len(records):
        return records
    return [records[i] for i in np.sort(rng.choice(len(records), n, replace=False))]


def _label(model: ScoringModel, row: int, column: str, fields: Mapping[str, Any]) -> float:
    raw = fields.get(column)
    label = read_label(raw, model.objective, _cut(model))
    if label.is_odd:
        values = model.objective is Objective.REGRESSION or _cut(model) is not None
        expected = "a number" if values else "1, 0, a word such as active or inactive,"
        raise InputError(f"row {row}: column {column!r} holds {raw!r}; expected {expected} or nothing")
    return label.value


def _cut(model: ScoringModel) -> Cut | None:
    """Where training made classes of values; None where it did not."""
    training = model.info.training if isinstance(model, ScreeningModel) else None
    if training is None or (training.active_above is None and training.active_below is None):
        return None
    return Cut(training.active_above, training.active_below)


def _none_usable(rejections: Sequence[Rejection]) -> str:
    if not rejections:
        return "there is no molecule"
    first = rejections[0]
    reason = f"row {first.row}: {first.reason}{likely_cause(rejections)}"
    return f"none of the {len(rejections)} molecules can be used; {reason}"


def held_out_file(model: str | Path, source: Path | None = None) -> tuple[LabelledFile, str]:
    """The test part (else the validation part) of the table that a model was trained with, and its name."""
    folder = find_model(model)
    if not (folder / _SPLIT).is_file() or not (folder / _RECIPE).is_file():
        raise UsageError(
            f"{folder.name} does not record what its training held out ({_SPLIT}, {_RECIPE}): give molecules "
            "with --input"
        )
    try:
        split = pd.read_csv(io.BytesIO(read_regular(folder / _SPLIT)))
        part = "test" if (split["part"] == "test").any() else "validation"
        rows = frozenset(int(row) for row in split.loc[split["part"] == part, "row"])
    except (OSError, KeyError, ValueError, OverflowError) as err:
        raise InputError(f"{folder / _SPLIT} is damaged: {err}") from err
    if not rows:
        raise UsageError(f"{folder.name} held out no molecules in training: give some with --input")
    recipe = read_recipe(folder / _RECIPE)
    table = source or _table(folder)
    data = recipe.data
    file = LabelledFile(table, smiles_column=data.smiles_column, delimiter=data.delimiter, rows=rows)
    return file, part


def _table(folder: Path) -> Path:
    """The table that the recipe names; where there is none, training's advice is no help for an audit."""
    file = folder / _RECIPE
    recipe = read_recipe(file)
    named = recipe.data.name or recipe.data.file
    if not named:
        raise UsageError(
            f"{folder.name} does not record which table it was trained with, so what was held out cannot be "
            f"located: give molecules with --input, or name the table as file in [data] of {file}"
        )
    table = locate_table(recipe, file, targets=load_info(folder).tasks).source
    if not table.exists():
        raise UsageError(
            f"{file} names {named} as the table that {folder.name} was trained with, but there is none: put "
            "it there to audit what was held out of it, or give molecules with --input"
        )
    return table
