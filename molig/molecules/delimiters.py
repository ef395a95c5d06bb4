"""How the columns of a text table are separated, and whether its first line names them: asked, or guessed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass

from rdkit import Chem, rdBase

from molig.errors import UsageError, called
from molig.molecules.columns import Layout, Request, known_position, position_of
from molig.molecules.notices import Notices
from molig.molecules.reasons import ASCII_BLANKS

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " "}
"""Names of what may separate columns; any other single character may, too."""

N_GUESSED_FROM = 50
"""Rows that a guess looks at."""

_LONGEST_GUESSED = 2000
_MOST = 0.8


def as_delimiter(text: str) -> str:
    """The character that is meant by its name or by itself."""
    character = DELIMITERS.get(text.lower(), "\t" if text == r"\t" else text)
    if len(character) != 1 or character in '"\r\n\0':
        names = ", ".join(DELIMITERS)
        raise UsageError(f"{called('delimiter')} must be {names} or another single character (got {text!r})")
    return character


def is_smiles(text: str) -> bool:
    """Whether a text can be read as a SMILES, were it chemically sensible or not."""
    word, *extension = text.split(" |", 1)
    if not word.isascii() or not 0 < len(word) <= _LONGEST_GUESSED or any(c in word for c in ASCII_BLANKS):
        return False
    if extension and not text.endswith("|"):
        return False
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(word, sanitize=False) is not None


@dataclass(frozen=True, slots=True)
class Table:
    """How to cut the lines of a table; ``layout`` only where no line names the columns."""

    delimiter: str
    layout: Layout | None = None


def guess_table(texts: Sequence[str], request: Request, default: str, notices: Notices) -> Table:
    """Find out how the first lines of a delimited table are cut, unless the request says so."""
    others = [d for d in DELIMITERS.values() if d != default]
    candidates = [request.delimiter] if request.delimiter else [default, *others]
    delimiter = _of_header(texts, request, candidates)
    if delimiter is not None:
        rows = [split_line(text, delimiter) for text in texts]
        warn_if_elsewhere(rows, request, notices)
        return Table(delimiter)
    for delimiter in candidates:
        layout = headless_layout([split_line(text, delimiter) for text in texts], request, notices)
        if layout is not None:
            return Table(delimiter, layout)
    # A column that was asked for is missing: say so in the names of the columns that are there.
    only_smiles = Request(request.smiles_column)
    known = (_of_header(texts, some, candidates, least=2) for some in (only_smiles, Request()))
    return Table(next((delimiter for delimiter in known if delimiter), candidates[0]))


def guess_delimited(texts: Sequence[str], request: Request) -> bool:
    """Whether lines of a SMILES file, which blanks should separate, are those of a delimited table."""
    if not texts:
        return False
    marks = [d for d in DELIMITERS.values() if d not in ASCII_BLANKS]
    if _of_header(texts, request, marks, least=2) is not None:
        return True
    if _share([text.split(None, 1)[0] if text.split() else "" for text in texts]) > 1 - _MOST:
        return False
    return any(
        len(rows[0]) > 1 and _best_column(rows) is not None
        for rows in ([split_line(text, mark) for text in texts] for mark in marks)
    )


def split_line(text: str, delimiter: str) -> list[str]:
    """The cells of one line by itself."""
    if '"' not in text:
        cells = text.split(delimiter)
    else:
        try:
            cells = next(csv.reader([text], delimiter=delimiter), [])
        except csv.Error:
            cells = text.split(delimiter)
    return [cell.strip() for cell in cells]


def headless_layout(rows: Sequence[list[str]], request: Request, notices: Notices) -> Layout | None:
    """Positions in a table whose first line is a row already; None if that is not so."""
    if not rows or not all(name.isdecimal() for name in request.named):
        return None
    names = tuple(str(i) for i in range(1, len(rows[0]) + 1))
    wanted = request.smiles_column
    smiles = _best_column(rows) if wanted is None else position_of(wanted, names)
    if smiles is None or not is_smiles(rows[0][smiles]):
        return None
    others = [i for i in range(len(names)) if i != smiles]
    identifier = others[0] if others else None
    if request.id_column is not None:
        identifier = position_of(request.id_column, names)
    fields = {name: position_of(name, names) for name in request.columns}
    notices.no_header(smiles + 1, None if identifier is None else identifier + 1)
    kept = request.keep.choose(names, (smiles, identifier))
    return Layout(smiles, identifier, fields, names, kept)


def _of_header(
    texts: Sequence[str], request: Request, candidates: Sequence[str], least: int = 1
) -> str | None:
    """The delimiter with which the first line names a SMILES column, best first: by a usual name, default."""
    found: list[tuple[bool, bool, int, str]] = []
    for rank, delimiter in enumerate(candidates):
        names = split_line(texts[0], delimiter) if texts else []
        place = known_position(names, request)
        if place is None or len(names) < least:
            continue
        exact, position = place
        is_default = rank == 0
        fitting = sum(len(split_line(text, delimiter)) == len(names) for text in texts)
        if is_smiles(names[position]) or (not is_default and fitting < len(texts) / 2):
            continue
        found.append((not exact, len(names) == 1, rank, delimiter))
    return min(found)[-1] if found else None


def warn_if_elsewhere(rows: Sequence[list[str]], request: Request, notices: Notices) -> None:
    """Warn where the column of the SMILES holds none, and another one does."""
    names, rows = rows[0], rows[1:]
    place = known_position(names, request)
    if place is None or not rows or _share([_cell(row, place[1]) for row in rows]) > 0:
        return
    better = _best_column(rows)
    if better is not None and better < len(names):
        notices.smiles_elsewhere(f"column {names[place[1]]!r}", f"column {names[better]!r}", names[better])


def warn_if_swapped(texts: Sequence[str], notices: Notices) -> None:
    """Warn where the second words of the lines of a SMILES file are SMILES, and the first ones none."""
    words = [text.split(None, 2) for text in texts]
    if words and _share([_cell(row, 0) for row in words]) == 0 and _best_column(words) == 1:
        notices.smiles_elsewhere("the first column", "the second one", "2")


def _best_column(rows: Sequence[list[str]]) -> int | None:
    """The column with the most SMILES, if most of its cells are SMILES."""
    shares = [_share([_cell(row, i) for row in rows]) for i in range(len(rows[0]))]
    best = max(range(len(shares)), key=shares.__getitem__, default=None)
    return best if best is not None and shares[best] >= _MOST else None


def _cell(row: Sequence[str], place: int) -> str:
    return row[place] if place < len(row) else ""


def _share(cells: Sequence[str]) -> float:
    return sum(map(is_smiles, cells)) / len(cells) if cells else 0.0
