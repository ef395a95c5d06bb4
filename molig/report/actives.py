"""Which molecules of a file to show as actives of a task."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import Objective, ScreeningModel
from molig.molecules import Molecule, Record, Rejection, batched, read_records
from molig.report.identity import is_repeatable

_BATCH = 256
_ABOVE = 0.5
_SHOWN_VALUES = 5


@dataclass(frozen=True)
class Actives:
    """Molecules to show, and how they were chosen.

    Parameters
    ----------
    molecules : list of Molecule
        The molecules, in the order of the file.
    scores : list of float
        What the model says of them: the probability, or for a regression the value.
    rule : str
        How they were chosen, in words that continue "showing".
    rejections : list of Rejection
        Rows that could have been chosen but have no score.
    """

    molecules: list[Molecule]
    scores: list[float]
    rule: str
    rejections: list[Rejection]


def has_labels(source: str | Path, column: str, **columns: str | None) -> bool:
    """Tell whether a file has a column with at least one value in it.

    Parameters
    ----------
    source : str or Path
        File of molecules. Of standard input and pipes, which cannot be read twice, the answer is no.
    column : str
        Name of the column, or of a tag of an SD file.
    **columns
        ``smiles_column``, ``id_column`` and ``file_format`` of `molig.molecules.read_records`.

    Examples
    --------
    >>> has_labels("-", "SR-MMP")
    False
    """
    if not is_repeatable(source):
        return False
    try:
        records = read_records(source, columns=[column], **columns)
    except UnknownNameError as error:
        if error.kind == "column" and error.name == column:
            return False
        raise
    return any(_text(record.fields.get(column)) for record in records)


def choose_actives(
    model: ScreeningModel,
    records: Iterable[Record],
    task: str,
    n: int = 25,
    *,
    label: str | None = None,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Actives:
    """Choose actives of a task, in one pass and with bounded memory.

    With a label column those rows are actives that have a 1 in it; those that the model scores above 0.5
    come first, at random, then the others by their score. Without, the highest-scoring molecules are taken.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    records : iterable of Record
        Rows of a file, with the label column among their fields.
    task : str
        Task of the model.
    n : int
        How many to choose, if there are so many.
    label : str, optional
        Column in which actives have a 1.
    seed : int
        Seed of the random choice.
    progress : callable, optional
        Called with the number of rows done.

    Returns
    -------
    Actives

    Raises
    ------
    UsageError
        For an unknown task, or ``n`` below 1.
    InputError
        If no row is active, or no active can be scored.
    """
    if n < 1:
        raise UsageError(f"choose at least 1 molecule (got {n})")
    pool = _Pool(model, model.task_index(task), label, seed)
    best = heapq.nlargest(n, pool.candidates(records, progress), key=lambda candidate: candidate.key)
    if not best:
        raise InputError(pool.why_none())
    chosen = sorted(best, key=lambda candidate: candidate.molecule.row)
    n_above = sum(candidate.above for candidate in chosen)
    return Actives(
        [candidate.molecule for candidate in chosen],
        [candidate.score for candidate in chosen],
        pool.rule(len(chosen), n_above),
        pool.rejections,
    )


@dataclass(frozen=True)
class _Candidate:
    molecule: Molecule
    score: float
    above: bool
    key: tuple[bool, float]


@dataclass
class _Pool:
    """Molecules that may be chosen, and what became of the other rows."""

    model: ScreeningModel
    column: int
    label: str | None
    seed: int
    n_rows: int = 0
    n_scored: int = 0
    n_above: int = 0
    values: dict[str, None] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def _judges(self) -> bool:
        """Whether the model itself says of a molecule that it is active."""
        return self.label is not None and self.model.objective is Objective.CLASSIFICATION

    def candidates(
        self, records: Iterable[Record], progress: Callable[[int], object] | None
    ) -> Iterator[_Candidate]:
        rng = np.random.default_rng(self.seed)
        for batch in batched(records, _BATCH):
            self.n_rows += len(batch)
            # Of a row that could not be read nobody knows whether it was active.
            wanted = [record for record in batch if record.problem or self._is_active(record)]
            molecules, rejected = self.model.parser.parse_many(wanted)
            self.rejections += rejected
            scores = self.model.score_molecules(molecules)[:, self.column].tolist()
            for molecule, score in zip(molecules, scores, strict=True):
                if not np.isfinite(score):
                    reason = f"its score is not a finite number ({score})"
                    self.rejections.append(Rejection(molecule.row, molecule.id, molecule.smiles, reason))
                    continue
                yield self._candidate(molecule, score, rng.random())
            if progress:
                progress(len(batch))

    def _candidate(self, molecule: Molecule, score: float, chance: float) -> _Candidate:
        above = self.label is not None and (score > _ABOVE or not self._judges)
        self.n_scored += 1
        self.n_above += above
        return _Candidate(molecule, score, above, (above, chance if above else score))

    def _is_active(self, record: Record) -> bool:
        if self.label is None:
            return True
        text = _text(record.fields.get(self.label))
        if len(self.values) < _SHOWN_VALUES:
            self.values.setdefault(text)
        try:
            return text.casefold() == "true" or float(text) == 1
        except ValueError:
            return False

    def why_none(self) -> str:
        """Say why there is nothing to choose from."""
        if self.rejections:
            first, what = self.rejections[0], "molecules" if self.label is None else "actives"
            return f"none of the {len(self.rejections)} {what} can be scored; row {first.row}: {first.reason}"
        seen = ", ".join(value or "(empty)" for value in self.values)
        return (
            f"column {self.label!r} marks no actives: none of {self.n_rows} rows has a 1 (but {seen}); "
            "choose another column"
        )

    def rule(self, n_chosen: int, n_above: int) -> str:
        """How molecules were chosen."""
        if self.label is None:
            return f"the {n_chosen} highest-scoring of {self.n_scored:,} molecules"
        rows = f"rows with {self.label} = 1"
        judged = " that the model scores above 0.5" if self._judges else ""
        if n_above == n_chosen < self.n_above:
            return f"{n_chosen} of the {self.n_above:,} {rows}{judged}, at random (seed {self.seed})"
        if n_above == n_chosen:
            return f"all {n_above} {rows}{judged}" if n_above > 1 else f"the only one of the {rows}{judged}"
        rest = n_chosen - n_above
        if not n_above:
            return f"the {rest} highest-scoring {rows}, none of which the model scores above 0.5"
        return f"the {n_above} {rows}{judged} and the {rest} highest-scoring other ones"


def _text(value: Any) -> str:
    """A cell as text, empty where nothing is known."""
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return ""
    text = str(value).strip()
    return "" if text.casefold() in {"nan", "na", "null", "none"} else text
