"""SMILES files: one molecule a line, its name behind it, perhaps a header."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from rdkit import Chem, rdBase

from molig.errors import UnknownNameError
from molig.molecules.columns import ID_NAMES, SMILES_NAMES, Layout, Request, find_layout, folded
from molig.molecules.notices import Notices
from molig.molecules.reasons import ASCII_BLANKS, Reason
from molig.molecules.records import MAX_SHOWN_SMILES, Record
from molig.molecules.sources import Line

_LONGEST_GUESSED = 2000
_USUAL_NAMES = {*SMILES_NAMES, *ID_NAMES}
KEPT_OF_BAD_LINE = MAX_SHOWN_SMILES + 1  # one more than is shown, so that the cut is visible


def read_smi(lines: Iterator[Line], request: Request, where: str) -> Iterator[Record]:
    """Read a SMILES file; empty lines are rows, but for those at the end; comments (# ...) are none."""
    notices = Notices(where)
    lines = without_trailing_blanks(_without_comments(lines, request, notices))
    first = next(lines, None)
    if first is None:
        return
    rows: _Plain | _Table = _Plain()
    if is_header(first.text, request):
        rows = _Table(first.text, request, notices)
    else:
        lines = chain([first], lines)
    for row, line in enumerate(lines, start=1):
        if line.recoded:
            notices.recoded(row)
        if line.too_long:
            yield bad_line(row, line, Reason.LINE_TOO_LONG.text())
        else:
            record = rows.record(row, line.text)
            yield with_null_bytes(record) if "\0" in line.text else record


def _without_comments(lines: Iterator[Line], request: Request, notices: Notices) -> Iterator[Line]:
    """Drop lines that begin with #, which no SMILES does; a header may be written as ``#smiles id``."""
    any_rows = False
    for number, line in enumerate(lines, start=1):
        if not line.text.startswith("#"):
            any_rows = any_rows or bool(line.text.strip())
            yield line
        elif any_rows:
            notices.comment(number)
        elif _is_commented_header(line.text[1:], request):
            any_rows = True
            yield line._replace(text=line.text[1:])


def _is_commented_header(text: str, request: Request) -> bool:
    """Whether the text behind # names columns, without a word that only a sentence would have."""
    words = _cells(text, _separator(text))
    if request.named:
        return set(request.named) <= set(words)
    known = {folded(word) for word in words} - {""}
    return text[:1] not in ASCII_BLANKS and bool(known & set(SMILES_NAMES)) and known <= _USUAL_NAMES


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
    return not is_smiles(words[0])


def is_smiles(text: str) -> bool:
    """Whether a text can be read as a SMILES, were it chemically sensible or not."""
    if not text or not text.isascii() or len(text) > _LONGEST_GUESSED:
        return False
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(text, sanitize=False) is not None


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
    return Record(row, str(row), _shown(line.text[:KEPT_OF_BAD_LINE]), problem=problem)


def with_null_bytes(record: Record) -> Record:
    """The record of a row that has null bytes somewhere, with its identifier."""
    problem = Reason.NULL_BYTES.text()
    return Record(record.row, _shown(record.id), _shown(record.smiles), problem=problem)


def _shown(text: str) -> str:
    return text.replace("\0", r"\x00")


class _Plain:
    """Lines without a header: SMILES first, the rest is the name."""

    def record(self, row: int, line: str) -> Record:
        smiles, rest = split_first(line)
        if rest.startswith("|"):
            smiles, rest = split_extension(smiles, rest)
        return Record(row, rest or str(row), smiles)


class _Table:
    """Lines under a header, separated as the header is."""

    def __init__(self, header: str, request: Request, notices: Notices) -> None:
        self._separator = _separator(header)
        self._layout: Layout = find_layout(_cells(header, self._separator), request, notices)

    def record(self, row: int, line: str) -> Record:
        layout = self._layout
        # The last column takes the rest of the line, so that a name may contain blanks.
        cells = [cell.strip(ASCII_BLANKS) for cell in _cells(line, self._separator, len(layout.names) - 1)]
        if self._separator is None and line.startswith("\t"):
            cells.insert(0, "")  # else the name of a row without SMILES would be taken for its SMILES
        by_place = dict(enumerate(cells))
        smiles = by_place.get(layout.smiles, "")
        if self._separator is None and by_place.get(layout.smiles + 1, "").startswith("|"):
            smiles, rest = split_extension(smiles, line[line.index("|") :].rstrip(ASCII_BLANKS))
            rest_cells = _cells(rest, None, len(layout.names) - layout.smiles - 2)
            by_place = dict(enumerate([*cells[: layout.smiles], smiles, *rest_cells]))
        name = "" if layout.id is None else by_place.get(layout.id, "")
        missing = [field for field, i in layout.fields.items() if i not in by_place]
        problem = Reason.COLUMNS.text(f"no value for {', '.join(missing)}") if missing and smiles else None
        fields = {field: by_place[i] for field, i in layout.fields.items() if i in by_place}
        return Record(row, name or str(row), smiles, fields, problem=problem)


def split_first(line: str) -> tuple[str, str]:
    """Split a line behind its first word; a leading tab means that the first word is missing."""
    # Only blanks and tabs separate: a no-break space within a SMILES is a mistake that must show.
    text = line.strip(ASCII_BLANKS)
    if line.startswith("\t"):
        return "", text
    word, blank, rest = text.partition(" ")
    if "\t" in word:
        word, _, behind = word.partition("\t")
        rest = behind + blank + rest
    return word, rest.lstrip(ASCII_BLANKS)


def split_extension(smiles: str, rest: str) -> tuple[str, str]:
    """Move a CXSMILES extension (``|...|``) from what stands behind a SMILES to the SMILES."""
    end = rest.find("|", 1)
    if end < 0:
        return smiles, rest
    return f"{smiles} {rest[: end + 1]}", rest[end + 1 :].strip(ASCII_BLANKS)


def _separator(header: str) -> str | None:
    return "\t" if "\t" in header.strip(ASCII_BLANKS) else None


def _cells(line: str, separator: str | None, maxsplit: int = -1) -> list[str]:
    if separator is not None:
        return line.split(separator, maxsplit)
    words, rest = list[str](), line.strip(ASCII_BLANKS)
    while rest and len(words) != maxsplit:
        word, rest = split_first(rest)
        words.append(word)
    return [*words, rest] if rest else words
