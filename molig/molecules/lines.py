"""What all text formats have in common: empty lines at the end, and rows that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from molig.molecules.reasons import Reason
from molig.molecules.records import MAX_SHOWN_SMILES, Record
from molig.molecules.sources import Line

KEPT_OF_BAD_LINE = MAX_SHOWN_SMILES + 1  # one more than is shown, so that the cut is visible


def without_trailing_blanks(lines: Iterator[Line]) -> Iterator[Line]:
    """Drop the empty lines at the end of a file, and only those; others come as ``""``."""
    held = 0
    for line in lines:
        if line.too_long or line.text.strip():
            # Only their number is kept: a file may end in any number of empty lines.
            yield from (Line("") for _ in range(held))
            held = 0
            yield line
        else:
            held += line.n_lines


def line_problem(line: Line) -> str:
    """Why a line cannot be read at all; ``""`` if it can."""
    if line.too_long:
        return Reason.LINE_TOO_LONG.text()
    return Reason.NULL_BYTES.text() if "\0" in line.text else ""


def bad_line(row: int, line: Line, problem: str) -> Record:
    """The record of a line that cannot be read; it shows the beginning of the line."""
    return Record(row, str(row), _shown(line.text[:KEPT_OF_BAD_LINE]), problem=problem)


def with_null_bytes(record: Record) -> Record:
    """The record of a row that has null bytes somewhere, with its identifier."""
    problem = Reason.NULL_BYTES.text()
    kept = tuple(_shown(value) if isinstance(value, str) else value for value in record.kept)
    return Record(record.row, _shown(record.id), _shown(record.smiles), problem=problem, kept=kept)


def _shown(text: str) -> str:
    return text.replace("\0", r"\x00")
