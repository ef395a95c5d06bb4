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
    """Read a SMILES file line by line.

    Parameters
    ----------
    lines : iterator of Line
        The lines of the file.
    request : Request
        Columns asked for by name; they need a header.
    where : str
        Name of the file, for messages.

    Yields
    ------
    Record
        One per line behind the header; an empty line has an empty SMILES, those at the end are left out.

    Raises
    ------
    UnknownNameError
        If a column was asked for and the first line does not have it.

    Notes
    -----
    The first line is a header only if it names a column that was asked for, or if its first word is no SMILES
    and one of its words is a usual name of a SMILES column. So a file without a header never loses its first
    molecule.
    """
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
    """Tell whether the first line of a SMILES file names columns.

    Parameters
    ----------
    line : str
        The first line.
    request : Request
        Columns asked for by name.

    Returns
    -------
    bool
        True for a header.

    Raises
    ------
    UnknownNameError
        If columns were asked for by name and this line does not name them.

    Examples
    --------
    >>> is_header("SMILES Name", Request()), is_header("CCO smiles", Request())
    (True, False)
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
    """Drop the empty lines at the end of a file, and only those.

    Parameters
    ----------
    lines : iterator of Line
        Lines of a file.

    Yields
    ------
    Line
        All lines up to the last that is not blank; lines of blanks as empty ones.
    """
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
    """Return why a line cannot be read at all; ``""`` if it can.

    Parameters
    ----------
    line : Line
        One line of a text file.

    Returns
    -------
    str
        A rejection text, or ``""``.
    """
    if line.too_long:
        return Reason.LINE_TOO_LONG.text()
    return Reason.NULL_BYTES.text() if "\0" in line.text else ""


def bad_line(row: int, line: Line, problem: str) -> Record:
    """Make the record of a line that cannot be read; it shows the beginning of the line.

    Parameters
    ----------
    row : int
        Record number.
    line : Line
        The line as read.
    problem : str
        What is wrong with it.

    Returns
    -------
    Record
        With ``problem`` set and the row number for its identifier.
    """
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
        found = dict(enumerate(cells))
        smiles = found.get(layout.smiles, "")
        name = "" if layout.id is None else found.get(layout.id, "")
        missing = [field for field, i in layout.fields.items() if i not in found]
        problem = Reason.COLUMNS.text(f"no value for {', '.join(missing)}") if missing and smiles else None
        fields = {field: found[i] for field, i in layout.fields.items() if i in found}
        return Record(row, name or str(row), smiles, fields, problem=problem)


def split_first(line: str) -> tuple[str, str]:
    """Split a line behind its first word; a leading tab means that the first word is missing.

    Parameters
    ----------
    line : str
        One line.

    Returns
    -------
    tuple of str
        First word and the rest, both stripped.

    Examples
    --------
    >>> split_first("CCO  ethyl alcohol")
    ('CCO', 'ethyl alcohol')
    """
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
