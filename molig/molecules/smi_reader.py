"""SMILES files: one molecule a line, its name behind it, perhaps a header."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice

from molig.errors import InputError, UnknownNameError
from molig.molecules.columns import ID_NAMES, SMILES_NAMES, Layout, Request, find_layout, folded
from molig.molecules.csv_reader import read_csv
from molig.molecules.delimiters import N_GUESSED_FROM, guess_delimited, is_smiles, warn_if_swapped
from molig.molecules.lines import bad_line, line_problem, with_null_bytes, without_trailing_blanks
from molig.molecules.notices import Notices
from molig.molecules.reasons import ASCII_BLANKS, Reason
from molig.molecules.records import Record
from molig.molecules.sources import Line

_BLANK_OR_GUESSED = (None, " ", "\t")
_USUAL_NAMES = {*SMILES_NAMES, *ID_NAMES}


def read_smi(lines: Iterator[Line], request: Request, where: str) -> Iterator[Record]:
    """Read a SMILES file; empty lines are rows, but for those at the end; comments (# ...) are none."""
    notices = Notices(where)
    lines = without_trailing_blanks(_without_comments(lines, request, notices))
    head = list(islice(lines, N_GUESSED_FROM))
    if not head:
        return
    texts = [line.text for line in head if not line.too_long and line.text.strip()]
    lines = chain(head, lines)
    if request.delimiter not in _BLANK_OR_GUESSED or (
        not request.delimiter and guess_delimited(texts, request)
    ):
        yield from read_csv(lines, request, where)
        return
    problem = line_problem(head[0])
    if problem and not all(name.isdecimal() for name in request.named):
        raise InputError(f"{where}: the header line cannot be read ({problem}); mend or rewrite it")
    rows: _Plain | _Table = _Plain(request.delimiter)
    if is_header(head[0].text, request):
        rows = _Table(next(lines).text, request, notices)
    elif request.named:
        rows = _Table.without_header(head[0].text, request, notices)
    else:
        warn_if_swapped(texts, notices)
    for row, line in enumerate(lines, start=request.first_row):
        if line.recoded:
            notices.recoded(row)
        if line.too_long:
            yield bad_line(row, line, Reason.LINE_TOO_LONG.text())
        else:
            record = rows.record(row, line.text)
            yield with_null_bytes(record) if "\0" in line.text else record


def _without_comments(lines: Iterator[Line], request: Request, notices: Notices) -> Iterator[Line]:
    """Drop lines that begin with #, which no SMILES does; a header may be written as ``#smiles id``."""
    any_rows, number = False, 0
    for line in lines:
        number += line.n_lines
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
    words = _cells(text, _separator(text, request))
    if request.named:
        return set(request.named) <= set(words)
    known = {folded(word) for word in words} - {""}
    return text[:1] not in ASCII_BLANKS and bool(known & set(SMILES_NAMES)) and known <= _USUAL_NAMES


def is_header(line: str, request: Request) -> bool:
    """Whether the first line names columns.

    It does if it holds a column that was asked for, or if its first word is no SMILES and one of its words is
    a usual name of a SMILES column. So a file without a header never loses its first molecule.
    """
    words = [word.strip() for word in _cells(line, _separator(line, request))]
    missing = [name for name in request.named if name not in words]
    if missing and not all(name.isdecimal() for name in missing):
        raise UnknownNameError("column", missing[0], words)
    if request.named and not missing:
        return True
    if any(name in words for name in request.optional):
        return True
    if not any(folded(word) in SMILES_NAMES for word in words):
        return False
    return not is_smiles(words[0].split(" ", 1)[0])


class _Plain:
    """Lines without a header: SMILES first, the rest is the name."""

    def __init__(self, delimiter: str | None) -> None:
        self._only_tabs = delimiter == "\t"

    def record(self, row: int, line: str) -> Record:
        if self._only_tabs:
            smiles, _, rest = line.partition("\t")
            return Record(row, rest.strip(ASCII_BLANKS) or str(row), smiles.strip(ASCII_BLANKS))
        smiles, rest = split_first(line)
        if rest.startswith("|"):
            smiles, rest = split_extension(smiles, rest)
        return Record(row, rest or str(row), smiles)


class _Table:
    """Lines under a header, separated as the header is."""

    def __init__(self, header: str, request: Request, notices: Notices) -> None:
        self._separator = _separator(header, request)
        self._layout: Layout = find_layout(_cells(header, self._separator), request, notices)

    @classmethod
    def without_header(cls, line: str, request: Request, notices: Notices) -> _Table:
        """Columns that are named by their numbers."""
        separator = _separator(line, request)
        numbers = [str(i) for i, _ in enumerate(_cells(line, separator), start=1)]
        smiles = request.smiles_column or "1"
        others = [number for number in numbers if number != smiles]
        identifier = request.id_column or (others[0] if others else None)
        return cls(
            (separator or " ").join(numbers),
            replace(request, smiles_column=smiles, id_column=identifier),
            notices,
        )

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
        kept = tuple([by_place.get(i) for i in layout.kept])
        return Record(row, name or str(row), smiles, fields, problem=problem, kept=kept)


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


def _separator(header: str, request: Request) -> str | None:
    if request.delimiter is not None:
        return None if request.delimiter == " " else request.delimiter
    return "\t" if "\t" in header.strip(ASCII_BLANKS) else None


def _cells(line: str, separator: str | None, maxsplit: int = -1) -> list[str]:
    if separator is not None:
        return line.split(separator, maxsplit)
    words, rest = list[str](), line.strip(ASCII_BLANKS)
    while rest and len(words) != maxsplit:
        word, rest = split_first(rest)
        words.append(word)
    return [*words, rest] if rest else words
