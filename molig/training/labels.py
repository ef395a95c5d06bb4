"""Labels as people write them: words for classes, values with a cut, and ranges such as ``>10``."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from molig.errors import InputError, MoligError, UnknownNameError, called
from molig.model import Objective
from molig.molecules import Record, read_records
from molig.molecules.delimiters import DELIMITERS

FloatArray = npt.NDArray[np.float64]

_PAIRS = (
    ("true", "false"),
    ("t", "f"),
    ("yes", "no"),
    ("y", "n"),
    ("active", "inactive"),
    ("positive", "negative"),
    ("pos", "neg"),
    ("hit", "non-hit"),
    ("+", "-"),
)
_WORDS = {word: label for pair in _PAIRS for word, label in zip(pair, (1.0, 0.0), strict=True)}
# PubChem's words for what was measured without a verdict are the last two.
MISSING = {"", "nan", "na", "n/a", "<na>", "null", "none", "inconclusive", "unspecified"}
"""Texts for a label that was not measured, in lower case."""

UNDERSTOOD = (
    f"1 and 0, {', '.join(' and '.join(pair) for pair in _PAIRS)} (in any case), and an empty cell or NaN "
    "where nothing was measured"
)
"""How classes may be written."""

_DASHES = str.maketrans("\N{MINUS SIGN}\N{EN DASH}", "--")
_RANGE = re.compile(r"(>>|>=|=>|≥|>|<<|<=|=<|≤|<|~|≈|=)\s*(.+)")
_MOST_ODD = 0.1
"""A larger share of labels that are no classes is no slip but a column of something else."""


class Cut(NamedTuple):
    """Where values become classes: active at `above` or higher, or else at `below` or lower."""

    above: float | None = None
    below: float | None = None

    def __str__(self) -> str:
        """The cut in words."""
        return f"{self.above:g} or above" if self.above is not None else f"{self.below:g} or below"

    def label(self, low: float, high: float, *, without_low: bool, without_high: bool) -> float | None:
        """Class of a value known to lie between two ends, perhaps without them; None if it can be either."""
        if self.above is None:
            mirrored = Cut(above=-(self.below or 0.0))
            return mirrored.label(-high, -low, without_low=without_high, without_high=without_low)
        if low >= self.above:
            return 1.0
        return 0.0 if high < self.above or (high == self.above and without_high) else None


_REMEMBERED = 1_000


class Label(NamedTuple):
    """What a cell says."""

    value: float = math.nan  # NaN: not measured, or not understood
    kind: str = ""  # "word", "number", "range", "text" or, for nothing, ""
    is_odd: bool = False  # not understood
    is_decided: bool = True  # False for a range on both sides of the cut


def read_label(raw: Any, objective: Objective = Objective.CLASSIFICATION, cut: Cut | None = None) -> Label:
    """Read a cell of a label column.

    A class is 1, 0 or one of the words in `UNDERSTOOD`; with a cut, a number or a range such as ``>10``, as
    far as the cut decides it. A regression takes finite numbers.
    """
    text = "" if raw is None else str(raw).strip().casefold().translate(_DASHES)
    if text in MISSING:
        return Label()
    value = _finite(raw)
    if cut is not None:
        # True is 1 for Python, but no measured value.
        return _cut(text, None if text in ("true", "false") else value, cut)
    if objective is Objective.CLASSIFICATION:
        if text in _WORDS:
            return Label(_WORDS[text], "word")
        if value is not None and value not in (0.0, 1.0):
            return Label(kind="number", is_odd=True)
    if value is not None:
        return Label(value, "number")
    return Label(kind="text" if _range(text) is None else "range", is_odd=True)


def _cut(text: str, value: float | None, cut: Cut) -> Label:
    found = ("=", value) if value is not None else _range(text)
    if found is None:
        return Label(kind="text", is_odd=True)
    sign, bound = found
    decided = cut.label(
        *_ends(sign, bound), without_low=sign in (">", ">>"), without_high=sign in ("<", "<<")
    )
    kind = "range" if value is None else "number"
    return Label(math.nan if decided is None else decided, kind, is_decided=decided is not None)


def _range(text: str) -> tuple[str, float] | None:
    """Sign and number of a text such as ``>10``."""
    found = _RANGE.fullmatch(text)
    bound = _finite(found[2]) if found else None
    return None if found is None or bound is None else (found[1], bound)


def _ends(sign: str, bound: float) -> tuple[float, float]:
    if sign == "=":
        return bound, bound
    if sign in "~≈":  # how far the value may be away is not said
        return -math.inf, math.inf
    return (bound, math.inf) if sign[0] in ">≥" or sign == "=>" else (-math.inf, bound)


def _finite(raw: Any) -> float | None:
    try:
        value = float(raw)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


@dataclass
class _Column:
    """What was seen of a label column."""

    n_labels: int = 0
    n_numbers: int = 0  # that are no classes, ranges included
    n_texts: int = 0
    n_decided: int = 0
    n_undecided: int = 0
    first_odd: str = ""
    first_undecided: str = ""
    first_minus: str = ""
    has_plus: bool = False

    @property
    def n_odd(self) -> int:
        return self.n_numbers + self.n_texts

    def add(self, record: Record, raw: Any, label: Label) -> None:
        if not label.kind:
            return
        self.n_labels += 1
        if label.kind == "number" and not label.is_odd:
            return
        shown = f"row {record.row}: {raw!r}"
        if label.is_odd:
            self.first_odd = self.first_odd or shown
            self.n_texts += label.kind == "text"
            self.n_numbers += label.kind != "text"
        elif label.kind == "range":
            self.n_decided += label.is_decided
            self.n_undecided += not label.is_decided
            if not label.is_decided:
                self.first_undecided = self.first_undecided or shown
        elif label.kind == "word":
            sign = str(raw).strip().translate(_DASHES)
            self.has_plus |= sign == "+"
            if sign == "-":
                self.first_minus = self.first_minus or shown


class LabelReader:
    """Reads the labels of records, and notices where a column does not hold labels at all."""

    def __init__(self, targets: Sequence[str], objective: Objective, cut: Cut | None = None) -> None:
        self.targets, self.objective, self.cut = targets, objective, cut
        self._columns = {target: _Column() for target in targets}
        self._seen: dict[tuple[type, Any], Label] = {}

    def labels(self, record: Record) -> tuple[list[float], str | None]:
        """Labels of a row, NaN where not measured, and what is wrong with them, if anything."""
        labels, undecided = [], ""
        for target in self.targets:
            raw = record.fields.get(target)
            label = self._read(raw)
            self._columns[target].add(record, raw, label)
            if label.is_odd:
                return [], f"label {target} = {raw!r} is {self._expected()}"
            if not label.is_decided:
                undecided = undecided or (
                    f"label {target} = {raw!r} can lie on either side of the cut (active: {self.cut})"
                )
            labels.append(label.value)
        if all(math.isnan(v) for v in labels):
            return [], undecided or "no label in any target column"
        return labels, None

    def _read(self, raw: Any) -> Label:
        """Read a cell, or remember it: the same few texts and numbers fill millions of cells."""
        if raw is None or raw != raw:  # noqa: PLR0124 - NaN
            return Label()
        key = (raw.__class__, raw)  # the class, since True equals 1
        try:
            label = self._seen.get(key)
        except TypeError:  # a list or the like
            return read_label(raw, self.objective, self.cut)
        if label is None:
            label = read_label(raw, self.objective, self.cut)
            if len(self._seen) < _REMEMBERED:
                self._seen[key] = label
        return label

    def _expected(self) -> str:
        if self.cut is not None or self.objective is Objective.REGRESSION:
            return "neither a finite number nor empty"
        return "neither active (1) nor inactive (0) nor empty"

    def check_columns(self, source: str | Path) -> None:
        """Refuse columns of something else: a few odd rows are rejected, many mean a mistake."""
        for target, column in self._columns.items():
            # A range is a value that a regression cannot use, in whatever number.
            n_odd = column.n_texts if self.objective is Objective.REGRESSION else column.n_odd
            if n_odd > _MOST_ODD * column.n_labels:
                raise InputError(f"{source}: column {target!r} {self._advice(column)}")
            if column.first_minus and not column.has_plus:
                raise InputError(
                    f"{source}: column {target!r} has '-' ({column.first_minus}) but no '+', so '-' may mean "
                    "inactive or not measured: write 0, or leave the cells empty"
                )

    def _advice(self, column: _Column) -> str:
        seen = f"{column.n_odd} of {column.n_labels} labels (first: {column.first_odd})"
        if self.objective is Objective.REGRESSION:
            return f"is no column of values: {seen} are no finite numbers; name another column"
        if self.cut is not None:
            return (
                f"has {seen} that are no numbers, though a cut is given (active: {self.cut}); understood are "
                "numbers, ranges such as >10 and <=5, and empty cells"
            )
        if column.n_numbers >= column.n_texts:
            return (
                f"has numbers other than 0 and 1: {seen}; to predict classes state the cut with "
                f"{called('active_above')} X (or {called('active_below')} X), to predict values add "
                f"{called('objective')} regression"
            )
        return f"is no column of classes: {seen} are not understood; understood are {UNDERSTOOD}"

    def notes(self) -> tuple[str, ...]:
        """Sentences on ranges: how many the cut did not decide, so that they count as not measured."""
        return tuple(
            f"{column.n_undecided} labels of {target} can lie on either side of the cut (active: {self.cut}; "
            f"first: {column.first_undecided}) and count as not measured; {column.n_decided} other ranges "
            "lie on one side"
            for target, column in self._columns.items()
            if column.n_undecided
        )


def check_variety(
    source: str | Path,
    labels: FloatArray,
    tasks: Sequence[str],
    objective: Objective,
    cut: Cut | None = None,
) -> None:
    """Refuse tasks that have nothing to learn."""
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
        move = f"move the cut (active: {cut})"
        actives, inactives = int((known == 1).sum()), int((known == 0).sum())
        if not actives or not inactives:
            raise InputError(
                f"{source}: target {task!r} has {actives} actives and {inactives} inactives among the usable "
                f"rows; a task needs both classes: {'leave it out or add data' if cut is None else move}"
            )


_LOOKED_AT = 1_000
_LARGEST_WIDTH = 1_000


class LikelyColumns(NamedTuple):
    """Columns that could be labels, by name."""

    classes: list[str]
    """With actives and inactives, and little else."""
    numbers: list[str]
    """With other numbers or ranges, and little else."""


def label_columns(
    source: str | Path, *, smiles_column: str | None = None, delimiter: str | None = None
) -> LikelyColumns:
    """Columns whose first rows could be labels.

    None also where the table cannot be read; the reader says why better.
    """
    found = LikelyColumns([], [])
    try:
        names, delimiter = _header(source, delimiter)
        records = read_records(source, smiles_column=smiles_column, columns=names, delimiter=delimiter)
        seen = list(islice(records, _LOOKED_AT))
    except MoligError:
        return found
    for name in names:
        labels = [read_label(record.fields.get(name)) for record in seen]
        kinds = Counter(label.kind if label.is_odd else "class" for label in labels if label.kind)
        n_accepted = (1 - _MOST_ODD) * kinds.total()
        if {0.0, 1.0} <= {label.value for label in labels} and kinds["class"] >= n_accepted:
            found.classes.append(name)
        elif kinds["number"] and kinds.total() - kinds["text"] >= n_accepted:
            found.numbers.append(name)
    return found


def _header(source: str | Path, delimiter: str | None) -> tuple[list[str], str | None]:
    """Names of the columns, and what separates them: what makes the most columns, if nobody says."""
    found: dict[str | None, list[str]] = {}
    for separator in [delimiter] if delimiter else [None, *DELIMITERS]:
        try:
            next(read_records(source, columns=["\0"], delimiter=separator), None)
        except UnknownNameError as err:
            found[separator] = [name for name in err.valid if name][:_LARGEST_WIDTH]
        except MoligError:  # such as a delimiter where a format has none
            continue
    best = max(found, key=lambda separator: len(found[separator]), default=None)
    return found.get(best, []), best
