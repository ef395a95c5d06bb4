"""A sheet: pictures and tables on one page, as `molig compare`, `edits` and `substructures` write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
from jinja2 import Environment

from molig.depiction import draw_svg
from molig.files import html_templates, write_whole
from molig.series import Comparison, Comparisons, Edits
from molig.text import legible

SHEETS = (".html",)
"""Endings of the names of sheets."""


@dataclass(frozen=True)
class Section:
    """One picture with its table.

    Parameters
    ----------
    heading : str
        What it shows.
    table : DataFrame
        Its numbers; an index without a name is not shown.
    svg : str, optional
        The picture: trusted markup, as `molig.depiction.draw_svg` makes it.
    sentences : sequence of str, optional
        What has to be known of it.
    """

    heading: str
    table: pd.DataFrame
    svg: str = ""
    sentences: Sequence[str] = ()

    @property
    def shown(self) -> pd.DataFrame:
        """The table with all that is shown of it in columns."""
        return self.table.reset_index() if self.table.index.name else self.table

    @property
    def header(self) -> list[tuple[str, bool]]:
        """Names of the columns, and whether they hold numbers."""
        return [(str(name), kind.kind in "iuf") for name, kind in self.shown.dtypes.items()]


@dataclass(frozen=True)
class Sheet:
    """What a page of series tells.

    Parameters
    ----------
    title : str
        Heading of the page.
    sections : sequence of Section
        Its pictures and tables.
    facts : sequence of (str, str), optional
        Names and values that hold for the whole page.
    sentences : sequence of str, optional
        What has to be known besides, such as rows that were rejected.

    Examples
    --------
    >>> sheet = Sheet("Parts", [Section("SR-MMP", pd.DataFrame({"part": ["<b>"], "mean": [0.25]}))])
    >>> page = sheet.to_html()
    >>> "&lt;b&gt;" in page, "0.25" in page
    (True, True)
    """

    title: str
    sections: Sequence[Section]
    facts: Sequence[tuple[str, str]] = ()
    sentences: Sequence[str] = ()

    def to_html(self) -> str:
        """A page that needs nothing else and runs no script; all text in it is escaped."""
        return _environment().get_template("sheet.html.j2").render(sheet=self)

    def write(self, path: Path) -> None:
        """Write the page; raises `OutputError`."""
        write_whole(path, self.to_html())


def sheet_of_comparison(by_task: Sequence[Comparison]) -> Sheet:
    """Two molecules: for each task both drawings, and the difference part by part."""
    ends = by_task[0].first, by_task[0].second
    first, second = (one.id or one.smiles for one in ends)
    sections = []
    for one in by_task:
        scores = f"{one.first.score:.3g} to {one.second.score:.3g} ({one.score_difference:+.3g})"
        table = one.to_frame().rename(columns={"first": first, "second": second})
        heading = f"{one.first.task}, {one.first.target_in_words}: {scores}"
        sections.append(Section(heading, table, one.to_svg()))
    notes = [f"{one.id or one.smiles}: {one.scored_note}" for one in ends if one.scored_note]
    facts = [("from", ends[0].smiles), ("to", ends[1].smiles)]
    return Sheet(f"From {first} to {second}", sections, facts, notes)


def sheet_of_comparisons(found: Comparisons) -> Sheet:
    """Several molecules: for each task their drawings, and by how much each scores more than each other."""
    names = [by_task[0].id or str(by_task[0].row) for by_task in found.explained]
    sections = []
    for place, task in enumerate(found.tasks):
        every = [by_task[place] for by_task in found.explained]
        parts = {
            part: pd.DataFrame(found.matrix(part, place), names, names).rename_axis(index="minus row")
            for part in ("difference", "change")
        }
        svg = draw_svg([one.panel() for one in every], columns=min(_COLUMNS, len(every)))
        sections.append(
            Section(f"{task}: {every[0].target_in_words}, column minus row", parts["difference"], svg)
        )
        sections.append(Section(f"{task}: what the change contributed to that", parts["change"]))
    told = [f"row {one.row} ({one.id}) {one.smiles}: {one.reason}" for one in found.rejected]
    for pair in found.pairs:
        if pair.reason:
            told.append(f"{names[pair.first]} and {names[pair.second]}: {pair.reason}")
    return Sheet(f"{len(names)} molecules, each compared with each", sections, sentences=told)


def sheet_of_edits(by_task: Sequence[Edits]) -> Sheet:
    """A molecule: for each task the edits that move its score most, drawn and listed."""
    start = by_task[0].start
    sections = []
    for found in by_task:
        one = found.start
        heading = f"{one.task}, {one.target_in_words} {one.score:.3g}"
        sections.append(
            Section(heading, found.to_frame(), found.to_svg(), [found.nothing] * bool(found.nothing))
        )
    facts = [("molecule", start.smiles), ("edits tried", f"{by_task[0].n_edits:,}")]
    if by_task[0].has_domain:
        facts.append(("outside the applicability domain", f"{by_task[0].n_outside:,}"))
    notes = [start.scored_note] * bool(start.scored_note)
    return Sheet(f"Edits of {start.id or start.smiles}", sections, facts, notes)


def sheet_of_parts(tables: Mapping[str, pd.DataFrame], title: str, sentences: Sequence[str] = ()) -> Sheet:
    """A set of molecules: for each task what their parts contribute, as `PartSums.to_frame` tells."""
    return Sheet(title, [Section(task, table) for task, table in tables.items()], sentences=sentences)


_COLUMNS = 4


def _cell(value: object) -> str:
    """A cell as text, with three digits of a number; nothing for what is not known."""
    if value is None or value is pd.NA or value != value:  # noqa: PLR0124 - NaN
        return ""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}") if isinstance(value, float) else legible(str(value))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = html_templates("molig.report")
    environment.filters["cell"] = _cell
    return environment
