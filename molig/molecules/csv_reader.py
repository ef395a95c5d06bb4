"""CSV and TSV files: read so that one broken quote costs one row and not the rest of the file."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from molig.errors import InputError
from molig.molecules.columns import Layout, Request, find_layout
from molig.molecules.delimiters import N_GUESSED_FROM, guess_table, is_smiles
from molig.molecules.lines import (
    KEPT_OF_BAD_LINE,
    bad_line,
    line_problem,
    with_null_bytes,
    without_trailing_blanks,
)
from molig.molecules.notices import Notices
from molig.molecules.reasons import ASCII_BLANKS, MAX_LINE_CHARACTERS, Reason
from molig.molecules.records import Record
from molig.molecules.sources import Line

_Split = tuple[Line, list[str] | None, str]
"""A line, its cells or None, and why there are none."""

MAX_LINES_OF_A_RECORD = 100
"""A quoted field that is still open after this many lines was never meant to span them."""


def read_csv(lines: Iterator[Line], request: Request, where: str, default: str = ",") -> Iterator[Record]:
    """Read a delimited table; empty lines are rows, but for those at the end.

    Another delimiter than the usual one, and a missing header, are guessed from the first rows.
    """
    notices = Notices(where)
    lines = without_trailing_blanks(lines)
    head = list(islice(lines, N_GUESSED_FROM))
    table = guess_table([line.text for line in head if not line.too_long], request, default, notices)
    splitter = _Splitter(chain(head, lines), table.delimiter)
    records = splitter.split()
    layout = splitter.layout = table.layout or _named_layout(records, request, notices)
    for row, (line, cells, problem) in enumerate(records, start=request.first_row):
        if line.recoded:
            notices.recoded(row)
        if line.n_lines > 1:
            notices.joined(row, line.n_lines)
        if cells is None:
            yield bad_line(row, line, problem)
        else:
            record = cells_record(row, line.text, cells, layout)
            yield with_null_bytes(record) if "\0" in line.text else record


def _named_layout(records: Iterator[_Split], request: Request, notices: Notices) -> Layout:
    first = next(records, None)
    if first is None:
        raise InputError(f"{notices.where}: holds no molecules, not even a header line")
    line, header, problem = first
    problem = problem or line_problem(line)
    if header is None or problem:
        raise InputError(f"{notices.where}: the header line cannot be read ({problem}); mend or rewrite it")
    return find_layout(header, request, notices)


def cells_record(row: int, text: str, cells: list[str], layout: Layout) -> Record:
    """The record of the cells of one row; ``text`` is shown if they are too few or too many."""
    if not any(cells):  # an empty line, or only separators
        return Record(row, str(row), "", kept=kept_cells(cells, layout))
    n_cells, expected = len(cells), len(layout.names)
    smiles = cells[layout.smiles].strip() if layout.smiles < n_cells else ""
    if n_cells < expected or any(cells[expected:]):
        hint = " (a field that contains the separator needs quotes)" if n_cells > expected else ""
        detail = f"{n_cells} where the header has {expected}{hint}"
        # Of too many cells it cannot be told which are those of the columns.
        kept = kept_cells(cells, layout) if n_cells < expected else ()
        problem = Reason.COLUMNS.text(detail)
        return Record(row, str(row), smiles or text[:KEPT_OF_BAD_LINE], problem=problem, kept=kept)
    name = "" if layout.id is None else cells[layout.id].strip(ASCII_BLANKS)
    fields = {name: cells[i] for name, i in layout.fields.items()}
    return Record(row, name or str(row), smiles, fields, kept=tuple([cells[i] for i in layout.kept]))


def kept_cells(cells: Sequence[Any], layout: Layout) -> tuple[Any, ...]:
    """The values that come along, of a row that may have too few cells."""
    return tuple([cells[i] if i < len(cells) else None for i in layout.kept])


class _Splitter:
    """Cuts lines into cells, and joins the lines of a quoted field.

    The csv module reads on until a quote is closed: after a stray quote that would be the rest of the file,
    or as far as the next stray quote. So when joining lines fails, or one of the joined lines is a row of its
    own, only the first is given up and the others are read again by themselves.
    """

    def __init__(self, lines: Iterator[Line], delimiter: str) -> None:
        self._lines = _Rewindable(lines)
        self._delimiter = delimiter
        self.layout: Layout | None = None

    def split(self) -> Iterator[_Split]:
        """Line, its cells or None, and why there are none."""
        delimiter = self._delimiter
        for line in self._lines:
            if line.too_long:
                yield line, None, Reason.LINE_TOO_LONG.text()
            elif '"' not in line.text:
                yield line, line.text.split(delimiter), ""
            else:
                yield self._quoted(line)

    def _quoted(self, line: Line) -> _Split:
        used = [line]

        def feed() -> Iterator[str]:
            yield line.text + "\n"
            size = len(line.text)
            for following in self._lines:
                used.append(following)
                size += len(following.text)
                if len(used) > MAX_LINES_OF_A_RECORD or size > MAX_LINE_CHARACTERS or following.too_long:
                    return
                yield following.text + "\n"

        problem = ""
        try:
            cells = next(csv.reader(feed(), delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            problem = str(error)
        if not problem and len(used) > 1 and self._swallows_a_row([line.text for line in used[1:]]):
            problem = (
                f"a quote opens here, and one of the {len(used) - 1} lines up to where it closes is a row"
            )
        if problem:
            self._lines.push_back(used[1:])
            return line, None, Reason.QUOTING.text(problem)
        return _joined(used), cells, ""

    def _swallows_a_row(self, texts: list[str]) -> bool:
        *middle, last = texts
        return any(map(self._is_row, middle)) or self._is_row(last.partition('"')[0])

    def _is_row(self, text: str) -> bool:
        cells = text.split(self._delimiter)
        if self.layout is None or len(cells) != len(self.layout.names):
            return False
        return is_smiles(cells[self.layout.smiles].strip())


def _joined(lines: list[Line]) -> Line:
    if len(lines) == 1:
        return lines[0]
    text = "\n".join(line.text for line in lines)
    return Line(text, recoded=any(line.recoded for line in lines), n_lines=len(lines))


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
