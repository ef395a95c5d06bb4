"""A page of explained compounds: its contents as plain values, and the HTML made of them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from molig.errors import UsageError
from molig.text import legible


@dataclass(frozen=True)
class Card:
    """One explained compound.

    Everything but ``svg`` is text that may come from a user's file; it is escaped when rendered.

    Parameters
    ----------
    title : str
        Name of the compound.
    smiles : str
        Its SMILES.
    svg : str
        Its drawing: trusted markup, as `molig.depiction.draw_svg` makes it. It goes into the page as it is.
        May be empty.
    facts : sequence of (str, str), optional
        Names and values, such as ``("score", "0.913")``.
    ledger : sequence of (str, float), optional
        Shares of the score minus the baseline, in percent, such as ``("atoms", 52.1)``. A share that is not
        a finite number is shown as unknown.
    note : str, optional
        One sentence: why.
    warning : str, optional
        Shown prominently, such as "did not converge".
    scored : str, optional
        What was scored instead of the SMILES as given, such as "Scored: CC(=O)O; removed: sodium".
    members : sequence of (str, float), optional
        Shares of the members of a committee, in percent, as in the ledger.
    substructures : sequence of str, optional
        Sentences on substructures, such as "contains CC(=O)N twice: +0.12".

    Raises
    ------
    UsageError
        When ``svg`` is something else than an ``<svg>`` element.

    Examples
    --------
    >>> Card("CPD-1", "CCO", svg="", facts=[("score", "0.913")]).title
    'CPD-1'
    """

    title: str
    smiles: str
    svg: str
    facts: Sequence[tuple[str, str]] = ()
    ledger: Sequence[tuple[str, float]] = ()
    note: str = ""
    warning: str = ""
    scored: str = ""
    members: Sequence[tuple[str, float]] = ()
    substructures: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.svg and not self.svg.startswith("<svg"):
            raise UsageError(f"card {self.title!r}: svg must be an <svg> element (got {self.svg[:20]!r})")

    def _repr_html_(self) -> str:
        return render_card(self)


@dataclass(frozen=True)
class Report:
    """A page of cards, with a ranking table if wished.

    Parameters
    ----------
    title : str
        Heading of the page.
    subtitle : str, optional
        A line below it.
    facts : sequence of (str, str), optional
        Names and values that hold for the whole page: model, library, molecules screened and rejected,
        version, date.
    table_header : sequence of str, optional
        Names of the table's columns.
    table_rows : sequence of sequence of str, optional
        The table, row by row. Cells that name a card link to it.
    cards : sequence of Card, optional
        The compounds, in the order of the page.
    footnotes : sequence of str, optional
        Paragraphs at the end.
    link_column : str, optional
        Header of the column whose cells name cards. By default the column in which most cells do.

    Raises
    ------
    UsageError
        When the rows do not fit the header, or ``link_column`` is not in it.

    Examples
    --------
    >>> Report("Hits", table_header=["rank", "id"], table_rows=[["1"]])
    Traceback (most recent call last):
        ...
    molig.errors.UsageError: table_rows[0]: expected 2 cells, one per header (got 1)
    """

    title: str
    subtitle: str = ""
    facts: Sequence[tuple[str, str]] = ()
    table_header: Sequence[str] = ()
    table_rows: Sequence[Sequence[str]] = ()
    cards: Sequence[Card] = ()
    footnotes: Sequence[str] = ()
    link_column: str | None = None

    def __post_init__(self) -> None:
        for index, row in enumerate(self.table_rows):
            if self.table_header and len(row) != len(self.table_header):
                raise UsageError(
                    f"table_rows[{index}]: expected {len(self.table_header)} cells,"
                    f" one per header (got {len(row)})"
                )
        if self.link_column is not None and self.link_column not in self.table_header:
            header = ", ".join(self.table_header)
            raise UsageError(f"link_column: no column {self.link_column!r} in the table (has: {header})")


# The ranking table, with links to the cards.

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
    """Link a report's table to its cards."""
    # Only one column links, so that a rank of "7" does not lead to a compound called "7".
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


# Signed shares as horizontal bars.


@dataclass(frozen=True)
class Bar:
    """One line of a ledger: its name, its value in words, and its bar in percent of the track's width."""

    name: str
    value: str
    negative: bool
    start: float
    length: float
    axis: float


def bars(ledger: Sequence[tuple[str, float]]) -> list[Bar]:
    """Lay out the bars of a ledger on one common axis."""
    finite = [share for _, share in ledger if math.isfinite(share)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    span = high - low or 1.0
    axis = round(-100 * low / span, 2)
    found = []
    for name, share in ledger:
        if not math.isfinite(share):
            found.append(Bar(name, "n/a", False, axis, 0.0, axis))
            continue
        length = round(100 * abs(share) / span, 2)
        start = round(axis - length, 2) if share < 0 else axis
        found.append(Bar(name, _percent(share), share < 0, max(start, 0.0), length, axis))
    return found


def _percent(share: float) -> str:
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{round(share, 1) + 0.0:.1f} %".replace("-", "−")


# From a report's contents to HTML that needs nothing else.


def render_card(card: Card) -> str:
    """One card with its own style, light whatever surrounds it: a notebook's theme cannot be asked for."""
    return _environment().get_template("fragment.html.j2").render(card=card)


def render_report(report: Report) -> str:
    """Render a report as one self-contained page: no script, nothing loaded from elsewhere.

    Parameters
    ----------
    report : Report
        The contents.

    Returns
    -------
    str
        An HTML document; everything but the drawings is escaped. The same report gives the same text.

    Examples
    --------
    >>> "No compounds" in render_report(Report("Empty"))
    True
    """
    anchors = [f"card-{number}" for number in range(1, len(report.cards) + 1)]
    table = build_table(report, anchors)
    page = _environment().get_template("report.html.j2")
    of_committee = any(card.members or card.substructures for card in report.cards)
    cards = list(zip(anchors, report.cards, strict=True))
    return page.render(report=report, table=table, cards=cards, of_committee=of_committee)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("molig.report"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["bars"] = bars
    return environment


def _finalize(value: object) -> object:
    """Make text from users' files legible on its way out; markup is left alone."""
    return legible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
