"""Excel files (.xlsx): the first sheet, read row by row with openpyxl, an optional dependency."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, time, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from xml.etree.ElementTree import ParseError

import pyarrow as pa

from molig.errors import InputError, UsageError
from molig.molecules.columns import Layout, Request, find_layout, known_position
from molig.molecules.csv_reader import cells_record
from molig.molecules.delimiters import N_GUESSED_FROM, headless_layout, is_smiles, warn_if_elsewhere
from molig.molecules.lines import with_null_bytes
from molig.molecules.notices import Notices
from molig.molecules.reasons import MAX_LINE_CHARACTERS, Reason, one_line
from molig.molecules.records import MAX_SHOWN_SMILES, Record
from molig.molecules.sources import MAX_UNPACKING, READ_ERRORS, STDIN, open_seekable

MAX_EXCEL_BYTES = 512 << 20
"""Largest Excel file that is read (bytes unpacked): its texts are held in memory as a whole."""

_LARGEST_WHOLE = 2**53
"""Numbers of a workbook are floating-point: beyond this, not every whole number is one."""

_MAX_UNPACKED_FREELY = 16 << 20
_DAMAGE = (*READ_ERRORS, zipfile.BadZipFile, ParseError, KeyError, ValueError, TypeError, IndexError)


def read_excel(source: str | Path, request: Request) -> Iterator[Record]:
    """Read the first sheet of a workbook; empty rows count, but for those at the end."""
    where = "standard input" if str(source) == STDIN else str(source)
    row = 0
    with ExitStack() as stack:
        try:
            sheet = _sheet(open_seekable(source, stack, archives=False), where, stack)
            rows = _without_trailing_blanks(map(_Cells.of, sheet.iter_rows(values_only=True)))
            head = list(islice(rows, N_GUESSED_FROM))
            if not head:
                return
            layout, has_header = _layout([cells.texts for cells in head], request, Notices(where))
            kinds = _kinds(sheet, layout.kept, int(has_header)) if layout.kept else ()
            request.keep.describe(
                request.keep.schema.names, [_TYPES.get(kind, pa.string()) for kind in kinds]
            )
            for row, cells in enumerate(chain(head[has_header:], rows), start=request.first_row):
                kept = tuple(cells.kept(i, kind) for i, kind in zip(layout.kept, kinds, strict=True))
                yield replace(_record(row, cells.texts, layout), kept=kept)
        except _DAMAGE as error:
            reached = f"damaged after row {row}" if row else "not a readable Excel file"
            raise InputError(f"{where}: {reached} ({one_line(error)}); save it again, or as .csv") from error


class _Cells(NamedTuple):
    """A row as text, and as the values that it holds."""

    texts: list[str]
    values: Sequence[object]

    @classmethod
    def of(cls, values: Sequence[object]) -> _Cells:
        return cls([_text(value) for value in values], values)

    def kept(self, place: int, kind: type) -> object:
        """The value of a column whose values are of one kind, or its text."""
        if place >= len(self.values) or self.values[place] is None:
            return None
        if kind is not str:
            return float(self.values[place]) if kind is float else self.values[place]  # type: ignore[arg-type]
        return self.texts[place][:MAX_LINE_CHARACTERS]


_TYPES = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us"),
    time: pa.time64("us"),
    timedelta: pa.duration("us"),
}


def _kinds(sheet: Any, places: Sequence[int], n_header: int) -> tuple[type, ...]:
    """What the values of columns are, all of them: text where they are not of one kind."""
    found: list[set[type]] = [set() for _ in places]
    for values in sheet.iter_rows(values_only=True, min_row=1 + n_header):
        for kinds, place in zip(found, places, strict=True):
            if place < len(values) and values[place] is not None:
                kinds.add(_kind(values[place]))
    return tuple(_common(kinds) for kinds in found)


def _kind(value: object) -> type:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LARGEST_WHOLE:
        return float
    return type(value)


def _common(kinds: set[type]) -> type:
    if kinds == {int, float}:
        return float
    kind = kinds.pop() if len(kinds) == 1 else str
    return kind if kind in _TYPES else str


def _sheet(stream: BinaryIO, where: str, stack: ExitStack) -> Any:
    try:
        import openpyxl  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise UsageError(
            f"{where}: reading Excel files needs openpyxl: pip install 'molig[excel]', or save it as .csv"
        ) from None
    _check_size(stream, where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and the like
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
    stack.callback(book.close)
    sheet, *others = book.worksheets
    if others:
        Notices(where).only_first_sheet(sheet.title, len(others) + 1)
    sheet.reset_dimensions()  # what a file states as its size need not be true
    return sheet


def _check_size(stream: BinaryIO, where: str) -> None:
    """Refuse what would not fit into memory; the zip module reads no more of a part than is stated."""
    with zipfile.ZipFile(stream) as archive:
        parts = archive.infolist()
    stream.seek(0)
    size, packed = sum(part.file_size for part in parts), sum(part.compress_size for part in parts)
    if size > MAX_EXCEL_BYTES or size > max(_MAX_UNPACKED_FREELY, MAX_UNPACKING * packed):
        raise InputError(
            f"{where}: unpacks to {size:,} bytes, more than {MAX_EXCEL_BYTES:,} (MAX_EXCEL_BYTES) or than "
            f"{MAX_UNPACKING} times its size (MAX_UNPACKING); save it as .csv"
        )


def _layout(head: Sequence[list[str]], request: Request, notices: Notices) -> tuple[Layout, bool]:
    names = head[0]
    place = known_position(names, request)
    if place is None or is_smiles(names[place[1]]):
        layout = headless_layout(head, request, notices)
        if layout is not None:
            return layout, False
    warn_if_elsewhere(head, request, notices)
    return find_layout(names, request, notices), True


def _record(row: int, cells: list[str], layout: Layout) -> Record:
    cells = cells + [""] * (len(layout.names) - len(cells))  # rows end at their last value
    if any(len(cell) > MAX_LINE_CHARACTERS for cell in cells):
        smiles = cells[layout.smiles][: MAX_SHOWN_SMILES + 1]
        name = "" if layout.id is None else cells[layout.id][: MAX_SHOWN_SMILES + 1]
        return Record(row, name or str(row), smiles, problem=Reason.CELL_TOO_LONG.text())
    record = cells_record(row, " ".join(cells), cells, layout)
    return with_null_bytes(record) if any("\0" in cell for cell in cells) else record


def _without_trailing_blanks(rows: Iterator[_Cells]) -> Iterator[_Cells]:
    held = 0
    for cells in rows:
        if any(cells.texts):
            yield from (_Cells([], []) for _ in range(held))
            held = 0
            yield cells
        else:
            held += 1


def _text(value: object) -> str:
    """Write a cell as text, whole numbers without a decimal point."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
