"""What a column of the table says of the split: the part, the group or the time of a row."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from typing import Any

from molig.errors import InputError
from molig.molecules import Record
from molig.training.labels import MISSING
from molig.training.recipe import SplitColumn, SplitKind

PARTS = ("train", "validation", "test")
"""Parts of a split."""

_SYNONYMS = {"valid": "validation", "val": "validation"}
_MONTH = re.compile(r"\d{4}-\d{2}")
_YEARS = (datetime.MINYEAR, datetime.MAXYEAR)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_DAY = datetime.timedelta(days=1)


class SplitReader:
    """Reads the split column of records, if the split goes by one."""

    def __init__(self, column: SplitColumn | None = None) -> None:
        self.column = column
        self._first_number = ""  # that is no year
        self._has_dates = False

    def value(self, record: Record) -> tuple[str, str | None]:
        """Part, group ("" for none) or time of a row, and why the row cannot be dealt, if it cannot.

        Raises InputError for what is no part, or no time.
        """
        if self.column is None or record.problem is not None:
            return "", None
        raw = record.fields.get(self.column.name)
        text = "" if raw is None else str(raw).strip()
        if self.column.kind is SplitKind.GIVEN:
            return self._part(record, raw, text.casefold()), None
        if text.casefold() in MISSING:
            no_time = f"no time in column {self.column.name!r}, by which the split goes"
            return "", no_time if self.column.kind is SplitKind.TIME else None
        return (self._time(record, raw) if self.column.kind is SplitKind.TIME else text), None

    def _part(self, record: Record, raw: Any, text: str) -> str:
        part = _SYNONYMS.get(text, text)
        if part not in PARTS:
            raise InputError(
                f"row {record.row}: column {self._name!r} says {raw!r}; a given split needs "
                f"{', '.join(PARTS[:-1])} or {PARTS[-1]} in every row"
            )
        return part

    def _time(self, record: Record, raw: Any) -> str:
        """A number or an ISO date as text."""
        text = str(raw).strip()
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            if not self._first_number and not _is_year(number):
                self._first_number = f"row {record.row}: {raw!r}"
            return repr(number)
        try:
            date = datetime.datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text)
        except ValueError:
            raise InputError(
                f"row {record.row}: column {self._name!r} says {raw!r}; a time split needs ISO dates "
                "(2024-05-31), years or numbers, or nothing"
            ) from None
        self._has_dates = True
        return date.replace(tzinfo=date.tzinfo or datetime.UTC).isoformat()

    @property
    def _name(self) -> str:
        return self.column.name if self.column else ""

    def settled(self, values: Sequence[str]) -> tuple[str, ...] | None:
        """The values of the usable rows, times as numbers; None if the split goes by no column."""
        if self.column is None:
            return None
        if self.column.kind is not SplitKind.TIME:
            return tuple(values)
        if self._has_dates and self._first_number:
            raise InputError(
                f"column {self._name!r} has both dates and numbers ({self._first_number}); write ISO dates "
                "(2024-05-31) or years throughout"
            )
        return tuple(repr(_days(value)) if self._has_dates else value for value in values)


def _is_year(number: float) -> bool:
    return number == round(number) and _YEARS[0] <= number <= _YEARS[1]


def _days(text: str) -> float:
    """Days since 1970; a year is its first day."""
    try:
        date = datetime.datetime(round(float(text)), 1, 1, tzinfo=datetime.UTC)
    except ValueError:
        date = datetime.datetime.fromisoformat(text)
    return (date - _EPOCH) / _DAY
