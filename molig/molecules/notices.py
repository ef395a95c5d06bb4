"""What a reader tells once about a whole file, as a warning."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from molig.errors import called


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

    def no_header(self, smiles: int, identifier: int | None) -> None:
        """Tell that the first line is taken for a row, and where the SMILES and identifiers are."""
        ids = (
            "row numbers are the identifiers" if identifier is None else f"identifiers in column {identifier}"
        )
        options = f"{called('smiles_column')} and {called('id_column')} take numbers, too"
        self._once("header", f"no line names the columns: SMILES in column {smiles}, {ids} ({options})")

    def changed(self) -> None:
        """Tell that something wrote to the file while it was read."""
        self._once(
            "changed",
            "the file changed while it was read, so rows may be missing or mixed; run again when nothing "
            "writes to it any more",
        )

    def not_seen_yet(self, tag: str) -> None:
        """Tell that a property that shall come along is not among those of the first records."""
        self._once(
            f"not seen {tag}",
            f"none of the first records has the property {tag!r}: its column is empty up to one that has",
        )

    def left_out(self, row: int, tag: str) -> None:
        """Tell of a property that none of the first records has, when the columns are settled already."""
        self._once(
            "left out",
            f"row {row} has the property {tag!r}, which none of the first records has: it and others like it "
            f"do not come along; name all that shall with {called('keep')}",
        )

    def cell_left_out(self, row: int, column: str) -> None:
        """Tell of a cell that is too long to come along."""
        self._once(
            "cell",
            f"row {row} is the first with a cell of {column!r} that is too long to come along to the output, "
            "where it is empty",
        )

    def only_first_sheet(self, title: str, n_sheets: int) -> None:
        """Tell that a workbook has more sheets than the one that is read."""
        self._once("sheets", f"only the first of {n_sheets} sheets is read, {title!r}")

    def smiles_elsewhere(self, here: str, there: str, name: str) -> None:
        """Tell that another column than the one that is read looks like the SMILES."""
        self._once(
            "elsewhere",
            f"{here} of the first rows holds no SMILES, and {there} does; if that is meant, say "
            f"{called('smiles_column')} {shlex.quote(name)}",
        )

    def _once(self, kind: str, message: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(f"{self.where}: {message}", stacklevel=3)
