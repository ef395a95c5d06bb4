"""SMILES files: one molecule a line, its name behind it, perhaps a header."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from rdkit import Chem, rdBase

from molig.errors import UnknownNameError
from molig.molecules.columns import SMILES_NAMES, Layout, Request, find_layout, folded
from molig.molecules.reasons import Reason
from molig.molecules.records import MAX_SHOWN_SMILES, Record
from molig.molecules.sources import Line

KEPT_OF_BAD_LINE = MAX_SHOWN_SMILES + 1  # one more than is shown, so that the cut is visible


def read_smi(lines: Iterator[Line], request: Request, where: str) -> Iterator[Record]:
    """Read a SMILES file; empty lines are rows, but for those at the end."""
    lines = without_trailing_blanks(lines)
    first = next(lines, None)
    if first is None:
        return
    rows: _Plain | _Table = _Plain()
    if is_header(first.text, request):
        rows = _Table(first.text, request, where)
    else:
        lines = chain([first], lines)
    for row, line in enumerate(lines, start=1):
        problem = line_problem(line)
        if problem:
            yield bad_line(row, line, problem)
        else:
            yield rows.record(row, line.text)


def is_header(line: str, request: Request) -> bool:
    """Whether the first line names columns.

    It does if it holds a column that was asked for, or if its first word is no SMILES and one of its words is
    a usual name of a SMILES column. So a file without a header never loses its first molecule.
    """
    words = [word.strip() for word in _cells(line, _separator(line))]
    if request.named:
        for name in request.named:
            if name not in words:
                raise UnknownNameError("column", name, words)
        return True
    if any(name in words for name in request.optional):
        return True
    if not any(folded(word) in SMILES_NAMES for word in words):
        return False
    if not words[0].isascii():
        return True
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(words[0]) is None


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
            held += 1


def line_problem(line: Line) -> str:
    """Why a line cannot be read at all; ``""`` if it can."""
    if line.too_long:
        return Reason.LINE_TOO_LONG.text()
    return Reason.NULL_BYTES.text() if "\0" in line.text else ""


def bad_line(row: int, line: Line, problem: str) -> Record:
    """The record of a line that cannot be read; it shows the beginning of the line."""
    return Record(row, str(row), line.text[:KEPT_OF_BAD_LINE].replace("\0", "\ufffd"), problem=problem)


class _Plain:
    """Lines without a header: SMILES first, the rest is the name."""

    def record(self, row: int, line: str) -> Record:
        smiles, rest = split_first(line)
        return Record(row, _name(rest) or str(row), smiles)


class _Table:
    """Lines under a header, separated as the header is."""

    def __init__(self, header: str, request: Request, where: str) -> None:
        self._separator = _separator(header)
        self._layout: Layout = find_layout(_cells(header, self._separator), request, where)

    def record(self, row: int, line: str) -> Record:
        layout = self._layout
        # The last column takes the rest of the line, so that a name may contain blanks.
        cells = [cell.strip() for cell in _cells(line, self._separator, len(layout.names) - 1)]
        if self._separator is None and line.startswith("\t"):
            cells.insert(0, "")  # else the name of a row without SMILES would be taken for its SMILES
        by_place = dict(enumerate(cells))
        smiles = by_place.get(layout.smiles, "")
        name = "" if layout.id is None else by_place.get(layout.id, "")
        missing = [field for field, i in layout.fields.items() if i not in by_place]
        problem = Reason.COLUMNS.text(f"no value for {', '.join(missing)}") if missing and smiles else None
        fields = {field: by_place[i] for field, i in layout.fields.items() if i in by_place}
        return Record(row, name or str(row), smiles, fields, problem=problem)


def split_first(line: str) -> tuple[str, str]:
    """Split a line behind its first word; a leading tab means that the first word is missing."""
    if line.startswith("\t"):
        return "", line.strip()
    words = line.split(None, 1)
    if not words:
        return "", ""
    return words[0], words[1].strip() if len(words) > 1 else ""


def _name(rest: str) -> str:
    """Drop a CXSMILES extension (``|...|``), which may stand between SMILES and name."""
    if rest.startswith("|"):
        end = rest.find("|", 1)
        return rest[end + 1 :].strip() if end > 0 else rest
    return rest


def _separator(header: str) -> str | None:
    return "\t" if "\t" in header.strip() else None


def _cells(line: str, separator: str | None, maxsplit: int = -1) -> list[str]:
    return line.split(separator, maxsplit)
