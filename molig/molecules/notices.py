"""What a reader tells once about a whole file, as a warning."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Notices:
    """Warnings about one file, of each kind only the first: a million rows do not warn a million times."""

    where: str
    _told: set[str] = field(default_factory=set)

    def recoded(self, row: int) -> None:
        """Tell of a row that is no UTF-8."""
        self._once(
            "recoded",
            f"row {row} is the first that is not encoded in UTF-8; such rows are read as Windows-1252 "
            r"(cp1252), with \xNN for bytes that have no meaning there either",
        )

    def joined(self, row: int, n_lines: int) -> None:
        """Tell of a quoted field that spans lines."""
        self._once(
            "joined",
            f"row {row} is the first whose quotes span lines: {n_lines} lines were read as one row; if that "
            "is not meant, remove the stray quote",
        )

    def comment(self, line: int) -> None:
        """Tell of a comment between rows."""
        self._once("comment", f"line {line} begins with # and is a comment, not a row; so are others like it")

    def duplicate_columns(self, names: Sequence[str]) -> None:
        """Tell of column names that occur more than once."""
        shown = ", ".join(map(repr, names[:10]))
        self._once("columns", f"columns named more than once: {shown}; the first of each is used")

    def _once(self, kind: str, message: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(f"{self.where}: {message}", stacklevel=3)
