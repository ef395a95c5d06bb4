"""Explanations as files to look at: drawings and pages."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from molig.attribution import Explanation
from molig.depiction import draw_png, draw_svg
from molig.errors import UsageError
from molig.molecules import Rejection
from molig.report.contents import Report
from molig.report.explanations import explanation_card
from molig.report.render import render_report
from molig.report.stream import Counts, Result, require_some
from molig.report.tables import TABLES
from molig.screening import check_distinct, check_writable, write_whole

PICTURES = (".svg", ".png")
PAGES = (".html",)
DRAWN = (*PICTURES, *PAGES)

_GRID_COLUMNS = 3


def check_explanation_output(path: Path, source: str | None = None) -> None:
    """Refuse an output of unknown format, or one that could not be written.

    Parameters
    ----------
    path : Path
        The file to be written.
    source : str, optional
        The file that is read, which must not be overwritten.

    Raises
    ------
    UsageError
        Saying what would be accepted.
    """
    known = (*DRAWN, *TABLES)
    if path.suffix.lower() not in known:
        raise UsageError(f"cannot tell the format of {path}; use a name ending in {', '.join(known)}")
    check_writable(path)
    check_distinct(source, path)


def write_explanations(results: Iterable[Result], path: Path, *, title: str, noise: float = 0.0) -> Counts:
    """Draw explanations, as a picture or on a page.

    Parameters
    ----------
    results : iterable of Explanation or Rejection
        All that shall be on it; it is held in memory. For tables of whole libraries see `write_table`.
    path : Path
        .svg or .png (a grid of drawings), or .html (a page of cards).
    title : str
        Title of a page.
    noise : float
        Grey out scores below this share of the largest.

    Returns
    -------
    Counts

    Raises
    ------
    UsageError
        If the name of the file asks for another format.
    InputError
        If there is nothing to draw because every row was rejected.
    OutputError
        If the file cannot be written; none stays half-written under its name.
    """
    suffix = path.suffix.lower()
    if suffix not in DRAWN:
        raise UsageError(f"{path}: explanations are drawn as {', '.join(DRAWN)}")
    counts, listed, rejections = Counts(), list[Explanation](), list[Rejection]()
    for result in results:
        counts.add(result)
        if isinstance(result, Rejection):
            rejections.append(result)
        else:
            listed.append(result)
    require_some(counts, rejections[0] if rejections else None)
    write_whole(path, _draw(suffix, listed, rejections, title, noise))
    return counts


def _draw(
    suffix: str, listed: list[Explanation], rejections: list[Rejection], title: str, noise: float
) -> bytes:
    if suffix in PAGES:
        return _page(listed, rejections, title, noise).encode()
    columns = max(_GRID_COLUMNS, math.isqrt(len(listed)))
    panels = [explanation.panel() for explanation in listed]
    if suffix == ".svg":
        return draw_svg(panels, columns=columns, noise=noise).encode()
    return draw_png(panels, columns=columns, noise=noise)


def _page(listed: list[Explanation], rejections: list[Rejection], title: str, noise: float) -> str:
    return render_report(
        Report(
            title=title,
            facts=(("explained", str(len(listed))), ("rejected", str(len(rejections)))),
            cards=[explanation_card(e, noise=noise) for e in listed],
            footnotes=[f"Row {r.row} ({r.id}) {r.smiles}: {r.reason}" for r in rejections],
        )
    )
