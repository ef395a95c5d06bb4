"""The ranking table, with links to the cards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from molig.report.contents import Report

_NUMBER = re.compile(r"\s*[+\-−]?(\d[\d,]*(\.\d*)?|\.\d+)([eE][+\-]?\d+)?\s*%?\s*")


@dataclass(frozen=True)
class Cell:
    """One cell: its text, the anchor of the card it names (or ""), and whether its column holds numbers."""

    text: str
    anchor: str
    numeric: bool


@dataclass(frozen=True)
class Table:
    """Header and rows, ready to be written."""

    header: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


def build_table(report: Report, anchors: Sequence[str]) -> Table:
    """Link a report's table to its cards.

    Only one column links, so that a rank of "7" does not lead to a compound called "7".

    Parameters
    ----------
    report : Report
        The report; of cards with the same title the first is linked.
    anchors : sequence of str
        The anchor of each card.

    Returns
    -------
    Table
        The cells in order.
    """
    rows = [[str(cell) for cell in row] for row in report.table_rows]
    targets = {card.title: anchor for card, anchor in reversed(list(zip(report.cards, anchors, strict=True)))}
    width = max(map(len, rows), default=len(report.table_header))
    columns = [[row[index] for row in rows if index < len(row)] for index in range(width)]
    numeric = [_is_numeric(column) for column in columns]
    linked = _linked_column(report, columns, targets)
    header = tuple(Cell(str(name), "", numeric[index]) for index, name in enumerate(report.table_header))
    return Table(
        header,
        tuple(
            tuple(
                Cell(text, targets.get(text, "") if index == linked else "", numeric[index])
                for index, text in enumerate(row)
            )
            for row in rows
        ),
    )


def _linked_column(report: Report, columns: list[list[str]], targets: dict[str, str]) -> int | None:
    if report.link_column is not None:
        return list(report.table_header).index(report.link_column)
    hits = [sum(text in targets for text in column) for column in columns]
    # Of equals the last: where compounds are numbered, the rank comes before the number.
    return max(range(len(hits)), key=lambda index: (hits[index], index), default=None)


def _is_numeric(column: list[str]) -> bool:
    filled = [text for text in column if text.strip()]
    return bool(filled) and all(_NUMBER.fullmatch(text) for text in filled)
