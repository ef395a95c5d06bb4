"""Explanations as an Excel workbook: molecules with pictures, sheets of atoms, bonds and rejected rows."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from molig.attribution import Explanation
from molig.errors import OutputError
from molig.molecules import Rejection
from molig.report.molecule_table import MOLECULE_SCHEMA
from molig.tables.writers import MOST_EXCEL_ROWS, excel_row, new_workbook

_LISTS = ("atom_scores", "bond_atoms", "bond_scores")
MOLECULES = ("picture", *(name for name in MOLECULE_SCHEMA.names if name not in _LISTS))
ATOMS = ("row", "id", "task", "atom", "symbol", "score")
BONDS = ("row", "id", "task", "atom_i", "atom_j", "score")
REJECTED = ("row", "id", "smiles", "reason")
"""Columns of the sheets."""

ABOUT = (
    ("molecules", "one row for each explanation; score - baseline_score = atoms' scores + residual"),
    ("atoms", "atom is counted from 0, as the SMILES or mol block of the input is written"),
    ("bonds", "half of each bond's score is part of the scores of its two atoms already"),
    ("rejected", "rows that could not be explained, and why"),
)

MOST_PICTURES = 500
_PICTURE_PIXELS = (280, 227)
_POINTS_PER_PIXEL = 0.75
_PIXELS_PER_CHARACTER = 7


def workbook(
    path: Path,
    explanations: Sequence[Explanation],
    rejections: Iterable[Rejection],
    *,
    title: str,
    meaning: str = "",
    looks: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """Make a workbook.

    Parameters
    ----------
    path : Path
        What it will be called, for errors.
    explanations : sequence of Explanation
        A row each, the first 500 with a picture.
    rejections : iterable of Rejection
        Rows without an explanation.
    title, meaning : str
        What it is about, and what a score is.
    looks : sequence of mapping, optional
        How each is drawn, as of `molig.attribution.Explanation.to_png`.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    UsageError
        If openpyxl is not installed.
    OutputError
        If there are more atoms or bonds than a sheet has rows.
    """
    book = new_workbook(path, streamed=False)
    sheet = book.active
    sheet.title = "molecules"
    members = list(dict.fromkeys(name for e in explanations for name in e.members))
    _fill(sheet, (*MOLECULES, *(f"member_{name}" for name in members)), _molecules(explanations, members))
    _add_pictures(sheet, explanations, looks or [{}] * len(explanations))
    _fill(book.create_sheet("atoms"), ATOMS, _atoms(explanations))
    _fill(book.create_sheet("bonds"), BONDS, _bonds(explanations))
    _fill(book.create_sheet("rejected"), REJECTED, ((r.row, r.id, r.smiles, r.reason) for r in rejections))
    _fill(book.create_sheet("about"), ("sheet", "what"), [("", title), ("score", meaning), *ABOUT])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _fill(sheet: Any, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    sheet.append(excel_row(sheet, header))
    sheet.freeze_panes = "A2"
    for number, row in enumerate(rows, start=1):
        if number > MOST_EXCEL_ROWS:
            raise OutputError(
                f"a sheet of Excel holds {MOST_EXCEL_ROWS:,} rows, and there are more {sheet.title}; write "
                ".parquet or .csv"
            )
        sheet.append(excel_row(sheet, row))


def _molecules(explanations: Sequence[Explanation], members: Sequence[str]) -> Iterable[list[object]]:
    for number, e in enumerate(explanations):
        told = [e.removed_text if name == "removed" else getattr(e, name) for name in MOLECULES[1:]]
        not_drawn = f"only the first {MOST_PICTURES} are drawn" if number >= MOST_PICTURES else None
        yield [not_drawn, *told, *(e.members.get(name) for name in members)]


def _atoms(explanations: Sequence[Explanation]) -> Iterable[tuple[object, ...]]:
    for e in explanations:
        symbols = [atom.GetSymbol() for atom in e.mol.GetAtoms()]
        for atom, symbol, score in zip(e.input_atoms.tolist(), symbols, e.atom_scores.tolist(), strict=True):
            yield e.row, e.id, e.task, atom, symbol, score


def _bonds(explanations: Sequence[Explanation]) -> Iterable[tuple[object, ...]]:
    for e in explanations:
        number = e.input_atoms.tolist()
        for bond, score in zip(e.mol.GetBonds(), e.bond_scores.tolist(), strict=True):
            yield e.row, e.id, e.task, number[bond.GetBeginAtomIdx()], number[bond.GetEndAtomIdx()], score


def _add_pictures(
    sheet: Any, explanations: Sequence[Explanation], looks: Sequence[Mapping[str, Any]]
) -> None:
    from openpyxl.drawing.image import Image  # noqa: PLC0415 - an optional dependency

    width, height = _PICTURE_PIXELS
    sheet.column_dimensions["A"].width = width / _PIXELS_PER_CHARACTER
    for row, (explanation, look) in enumerate(
        zip(explanations[:MOST_PICTURES], looks, strict=False), start=2
    ):
        picture = Image(io.BytesIO(explanation.to_png(**look)))
        picture.width, picture.height = width, height
        sheet.add_image(picture, f"A{row}")
        sheet.row_dimensions[row].height = height * _POINTS_PER_PIXEL
