"""What a report tells: plain values, no markup but the drawings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from molig.errors import UsageError


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

    def __post_init__(self) -> None:
        if self.svg and not self.svg.startswith("<svg"):
            raise UsageError(f"card {self.title!r}: svg must be an <svg> element (got {self.svg[:20]!r})")

    def _repr_html_(self) -> str:
        # Imported late: the renderer is built on this module.
        from molig.report.render import render_card  # noqa: PLC0415

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
