"""From a report's contents to HTML that needs nothing else."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from molig.depiction.text import legible
from molig.report.bars import bars
from molig.report.contents import Card, Report
from molig.report.table import build_table


def render_card(card: Card) -> str:
    """Render one card as a fragment of HTML that brings its own style, fit for a notebook.

    The fragment is light whatever surrounds it: a notebook's theme cannot be asked for, and drawings are
    made for white paper.

    Parameters
    ----------
    card : Card
        The compound.

    Returns
    -------
    str
        A ``<div>``; everything but the drawing is escaped.

    Examples
    --------
    >>> "&lt;b&gt;" in render_card(Card("<b>", "CCO", svg=""))
    True
    """
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
    return page.render(report=report, table=table, cards=list(zip(anchors, report.cards, strict=True)))


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
