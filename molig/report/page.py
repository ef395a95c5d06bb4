"""A card of one explained compound, for notebooks: plain values, and the HTML made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Environment

from molig.errors import UsageError
from molig.files import html_templates


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


# From a card's contents to HTML that needs nothing else.


def render_card(card: Card) -> str:
    """One card with its own style, light whatever surrounds it: a notebook's theme cannot be asked for."""
    return _environment().get_template("fragment.html.j2").render(card=card)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = html_templates("molig.report")
    environment.filters["bars"] = bars
    return environment
