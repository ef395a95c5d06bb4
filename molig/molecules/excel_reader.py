"""Excel files (.xlsx): the first sheet, read row by row with openpyxl, an optional dependency."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import ParseError

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

_MAX_UNPACKED_FREELY = 16 << 20
_DAMAGE = (*READ_ERRORS, zipfile.BadZipFile, ParseError, KeyError, ValueError, TypeError, IndexError)


def read_excel(source: str | Path, request: Request) -> Iterator[Record]:
    """Read the first sheet of a workbook; empty rows count, but for those at the end."""
    where = "standard input" if str(source) == STDIN else str(source)
    row = 0
    with ExitStack() as stack:
        try:
            rows = _without_trailing_blanks(
                _sheet(open_seekable(source, stack, archives=False), where, stack)
            )
            head = list(islice(rows, N_GUESSED_FROM))
            if not head:
                return
            layout, has_header = _layout(head, request, Notices(where))
            for row, cells in enumerate(chain(head[has_header:], rows), start=1):
                yield _record(row, cells, layout)
        except _DAMAGE as error:
            reached = f"damaged after row {row}" if row else "not a readable Excel file"
            raise InputError(f"{where}: {reached} ({one_line(error)}); save it again, or as .csv") from error


def _sheet(stream: BinaryIO, where: str, stack: ExitStack) -> Iterator[list[str]]:
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
    return ([_text(value) for value in values] for values in sheet.iter_rows(values_only=True))


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


def _without_trailing_blanks(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    held = 0
    for cells in rows:
        if any(cells):
            yield from ([] for _ in range(held))
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
