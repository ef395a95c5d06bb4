"""CSV and TSV files: read so that one broken quote costs one row and not the rest of the file."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator

from molig.errors import InputError
from molig.molecules.columns import Layout, Request, find_layout
from molig.molecules.reasons import MAX_LINE_CHARACTERS, Reason
from molig.molecules.records import Record
from molig.molecules.smi_reader import KEPT_OF_BAD_LINE, bad_line, line_problem, without_trailing_blanks
from molig.molecules.sources import Line

MAX_LINES_OF_A_RECORD = 100
"""A quoted field that is still open after this many lines was never meant to span them."""


def read_csv(lines: Iterator[Line], request: Request, where: str, delimiter: str = ",") -> Iterator[Record]:
    """Read a delimited table with a header; empty lines are rows, but for those at the end."""
    records = split_records(without_trailing_blanks(lines), delimiter)
    first = next(records, None)
    if first is None:
        return
    _, header, problem = first
    if header is None:
        raise InputError(f"{where}: the header line cannot be read ({problem}); mend or rewrite it")
    layout = find_layout(header, request, where)
    for row, (line, cells, problem) in enumerate(records, start=1):
        yield bad_line(row, line, problem) if cells is None else _record(row, line, cells, layout)


def _record(row: int, line: Line, cells: list[str], layout: Layout) -> Record:
    if not any(cells):  # an empty line, or only separators
        return Record(row, str(row), "")
    n_cells, expected = len(cells), len(layout.names)
    smiles = cells[layout.smiles].strip() if layout.smiles < n_cells else ""
    if n_cells < expected or any(cells[expected:]):
        hint = " (a field that contains the separator needs quotes)" if n_cells > expected else ""
        detail = f"{n_cells} where the header has {expected}{hint}"
        return Record(
            row, str(row), smiles or line.text[:KEPT_OF_BAD_LINE], problem=Reason.COLUMNS.text(detail)
        )
    name = "" if layout.id is None else cells[layout.id].strip()
    return Record(row, name or str(row), smiles, {name: cells[i] for name, i in layout.fields.items()})


def split_records(lines: Iterator[Line], delimiter: str) -> Iterator[tuple[Line, list[str] | None, str]]:
    """Split lines into cells, joining the lines of a quoted field: line, cells or None, and why not.

    The csv module reads on until a quote is closed: after a stray quote that would be the rest of the file.
    So when joining lines fails, only the first is given up and the others are read again by themselves.
    """
    source = _Rewindable(lines)
    for line in source:
        problem = line_problem(line)
        if problem:
            yield line, None, problem
        elif '"' not in line.text:
            yield line, line.text.split(delimiter), ""
        else:
            yield _quoted(line, source, delimiter)


def _quoted(line: Line, source: _Rewindable, delimiter: str) -> tuple[Line, list[str] | None, str]:
    used = [line]

    def feed() -> Iterator[str]:
        yield line.text + "\n"
        size = len(line.text)
        for following in source:
            used.append(following)
            size += len(following.text)
            if len(used) > MAX_LINES_OF_A_RECORD or size > MAX_LINE_CHARACTERS or line_problem(following):
                return
            yield following.text + "\n"

    try:
        return line, next(csv.reader(feed(), delimiter=delimiter, strict=True)), ""
    except csv.Error as error:
        source.push_back(used[1:])
        return line, None, Reason.QUOTING.text(str(error))


class _Rewindable:
    """An iterator of lines to which lines can be given back."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._returned: deque[Line] = deque()

    def __iter__(self) -> _Rewindable:
        return self

    def __next__(self) -> Line:
        return self._returned.popleft() if self._returned else next(self._lines)

    def push_back(self, lines: list[Line]) -> None:
        """Give lines back, in the order in which they were read."""
        self._returned.extendleft(reversed(lines))
