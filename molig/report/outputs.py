"""Explanations as files to look at and to open elsewhere: drawings, pages, documents, structures."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rdkit import Chem

from molig.attribution import Explanation, ledger_of
from molig.attribution.ledger import TYPES, WAYS
from molig.depiction import Panel, draw_pair_matrix, draw_png, draw_svg, draw_waterfall
from molig.depiction.numbers import decimals
from molig.depiction.panel import SHARED, scales_of, symmetric_scale
from molig.errors import UnknownNameError, UsageError, called
from molig.files import write_whole
from molig.model import Applicability, ApplicabilityFlag
from molig.molecules import Record, Rejection
from molig.report.hit_page import HitPage, PageLook, render_hits
from molig.report.page import Card
from molig.report.structures import pymol_script, sd_text
from molig.report.tables import TABLES, Counts, Result, require_some
from molig.report.workbook import workbook
from molig.series.alignment import AUTO, aligned
from molig.series.matching import read_template
from molig.tables.writers import EXCEL, check_distinct, check_writable, new_workbook
from molig.text import file_name, legible, legible_markdown

_SUBSTRUCTURES_ON_CARDS = 4
_SUBSTRUCTURES_IN_JSON = 10


def sentence(explanation: Explanation) -> str:
    """One line that says where the score comes from: the groups that carry it, and the sums of its parts."""
    change = explanation.change
    if not change and not any(explanation.parts.values()):
        return f"nothing moves the score from the {explanation.start_name}: every part of it is 0"
    digits, shares = decimals(change), explanation.shares

    def told(score: float) -> str:
        return f"{score:+z.{digits}f}"

    groups = [(one.words, told(one.score)) for one in explanation.main_groups()] or [("no group", "any")]
    verb, of = (" carries ", "of") if shares else (" gives ", "in a total of")
    carrying = verb.join(groups[0]) + "".join(f", {words} {score}" for words, score in groups[1:])
    parts = (
        f"{_PARTS_IN_WORDS.get(name, name)} {told(total)}" + (f" ({shares[name]:z.0f} %)" if shares else "")
        for name, total in explanation.parts.items()
    )
    return f"{carrying} {of} {told(change)}; {', '.join(parts)}"


_PARTS_IN_WORDS = {"bonded pairs": "bonds", "non-bonded pairs": "other pairs"}


@dataclass(frozen=True)
class Pictures:
    """How explanations are drawn.

    Parameters
    ----------
    layers : sequence of {"atoms", "bonds", "pairs"}
        What is coloured, as of `molig.attribution.Explanation.panel`.
    scale, noise, palette, label, threshold
        As of `molig.depiction.draw_svg`.
    pairs : Path, optional
        Where heat maps of atoms against atoms go: .svg or .png.
    ledger : Path, optional
        Where ledgers go: .svg, .png or .csv.
    ledger_by : {"types", "groups"}
        How ledgers divide a score.
    each : Path, optional
        Directory for a picture of each molecule, called by number, id and task, and index.csv, which says
        which is which.
    each_kind : {"svg", "png"}
        What these pictures are.
    align : str, optional
        Lays molecules upon each other: ``"auto"``, a SMARTS, or an SD or mol file, as of
        `molig.series.Alignment.of`.
    """

    layers: Sequence[str] = ("atoms",)
    scale: float | str = "shared"
    noise: float = 0.0
    palette: str = "red-blue"
    label: str = "none"
    threshold: float = 0.2
    pairs: Path | None = None
    ledger: Path | None = None
    ledger_by: str = TYPES
    each: Path | None = None
    each_kind: str = "svg"
    align: str | None = None

    @property
    def extras(self) -> list[Path]:
        """Files beside those of the explanations themselves."""
        return [path for path in (self.pairs, self.ledger, self.each) if path]

    def check(self) -> None:
        """Refuse, before a run, what could not be drawn or written at its end."""
        for path, known in ((self.pairs, _OF_PAIRS), (self.ledger, _OF_LEDGERS)):
            if path and path.suffix.lower() not in known:
                raise UsageError(f"cannot tell the format of {path}; use a name ending in {', '.join(known)}")
            if path:
                check_writable(path)
        if self.each:
            _check_directory(self.each, self.each_kind)
        if self.align not in (None, AUTO):
            read_template(str(self.align))
        if self.ledger_by not in WAYS:
            raise UnknownNameError("way to divide a score", self.ledger_by, WAYS)
        carbon = Panel(Chem.MolFromSmiles("C"), np.zeros(1), layers=tuple(self.layers))
        draw_svg(carbon, **self.options)

    @property
    def options(self) -> dict[str, Any]:
        """Those of `molig.depiction.draw_svg`."""
        names = ("scale", "noise", "palette", "label", "threshold")
        return {name: getattr(self, name) for name in names}

    def laid(self, rows: list[tuple[Record, Result]]) -> list[tuple[Record, Result]]:
        """Explanations in the orientation that is asked for."""
        if self.align is None:
            return rows
        listed = [one for _, result in rows if not isinstance(result, Rejection) for one in result]
        turned = iter(aligned(listed, self.align))
        return [
            (record, result if isinstance(result, Rejection) else [next(turned) for _ in result])
            for record, result in rows
        ]

    @property
    def look(self) -> PageLook:
        """How the pictures of a page begin."""
        return PageLook(self.scale, self.noise, self.palette, tuple(self.layers), self.label, self.threshold)

    def fixed(self, explanations: Sequence[Explanation]) -> list[dict[str, Any]]:
        """Options of drawings that stand by themselves on one page, so that they share their scale."""
        scales, _ = scales_of([each.panel(self.layers) for each in explanations], self.scale)
        return [self.options | {"scale": scale or self.scale} for scale in scales]


_PLAIN = Pictures()


def explanation_card(explanation: Explanation, **options: Any) -> Card:
    """Card of one explanation, for a report.

    Parameters
    ----------
    explanation : Explanation
        Any explanation.
    **options
        Of the drawing, as of `molig.attribution.Explanation.to_svg`.

    Returns
    -------
    Card
    """
    return Card(
        title=explanation.id or explanation.smiles,
        smiles=explanation.smiles,
        svg=explanation.to_svg(**options),
        facts=_facts(explanation),
        ledger=tuple((explanation.shares or {}).items()),
        note=sentence(explanation),
        warning=""
        if explanation.converged
        else "The integral did not converge: do not rely on single atoms.",
        scored=explanation.scored_note,
        members=_shares_of_members(explanation),
        substructures=_sentences(explanation),
    )


def _sentences(explanation: Explanation) -> list[str]:
    """What the molecule has and lacks that says most about the score."""
    present = explanation.substructure_sentences(_SUBSTRUCTURES_ON_CARDS)
    return present + explanation.absent_sentences(_SUBSTRUCTURES_ON_CARDS)


def _shares_of_members(explanation: Explanation) -> tuple[tuple[str, float], ...]:
    change = explanation.score - explanation.baseline_score
    return tuple((name, 100 * part / change if change else 0.0) for name, part in explanation.members.items())


def _facts(explanation: Explanation) -> Sequence[tuple[str, str]]:
    return (
        ("task", explanation.task),
        (explanation.target_in_words, f"{explanation.score:.4f}"),
        (explanation.start_name, f"{explanation.start:.4f}"),
        ("residual", f"{explanation.residual:+.1e}"),
    )


PICTURES = (".svg", ".png")
PAGES = (".html",)
DOCUMENTS = (".json", ".md")
STRUCTURES = (".sdf", ".pml")
DRAWN = (*PICTURES, *PAGES, *DOCUMENTS, *STRUCTURES, EXCEL)

_GRID_COLUMNS = 3
# Of drawings in one file, of heat maps, and of ledgers.
_MOST_DRAWN, _MOST_MATRICES, _MOST_LEDGERS = 100, 12, 12
_OF_PAIRS, _OF_LEDGERS = PICTURES, (*PICTURES, ".csv")


def check_explanation_output(path: Path, source: str | None = None) -> None:
    """Refuse an output of unknown format, or one that could not be written."""
    known = (*DRAWN, *TABLES)
    if path.is_dir():
        raise UsageError(
            f"{path} is a directory; give the name of a file, or {called('each')} {path} for a picture of "
            "each molecule"
        )
    if path.suffix.lower() not in known:
        raise UsageError(f"cannot tell the format of {path}; use a name ending in {', '.join(known)}")
    places = (path, path.with_suffix(".sdf")) if path.suffix.lower() == ".pml" else (path,)
    for place in places:
        check_writable(place)
    check_distinct(source, *places)
    if path.suffix.lower() == EXCEL:
        new_workbook(path)


def _check_directory(folder: Path, kind: str) -> None:
    if kind not in (known := [suffix[1:] for suffix in PICTURES]):
        raise UnknownNameError("kind of picture", kind, known)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; {called('each')} writes into a directory")
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UsageError(f"cannot write into {folder}: permission denied")


def write_explanations(
    rows: Iterable[tuple[Record, Result]],
    *paths: Path,
    title: str,
    pictures: Pictures = _PLAIN,
    meaning: str = "",
    facts: Sequence[tuple[str, str]] = (),
    columns: Sequence[str] = (),
    domain: Applicability | None = None,
) -> Counts:
    """Write explanations down for people: as a picture, on a page, or as a document.

    Parameters
    ----------
    rows : iterable of (Record, list of Explanation or Rejection)
        All that belongs on it, as `molig.attribution.Explainer.explain_rows` yields it; it is held in memory.
        For tables of whole libraries see `molig.report.explaining.explain_library`.
    *paths : Path
        Files, each as its name says: .svg or .png (a grid of drawings; of more than a hundred, the others go
        to NAME.2.png and so on), .html (a page of cards), .md (short
        paragraphs), .json (scores of atoms and bonds, and of a committee its members and main
        substructures), .sdf (structures with scores), .pml (a script for PyMOL, and the .sdf beside it in
        three dimensions), or .xlsx (a workbook with pictures).
    title : str
        Title of a page.
    pictures : Pictures
        How explanations are drawn, and where heat maps, ledgers and single pictures go.
    meaning : str
        What a score is, for pages and documents.
    facts : sequence of (str, str)
        Names and values at the head of a page.
    columns : sequence of str
        Names of the values in `Record.kept`, which come along on a page and in structures.
    domain : Applicability, optional
        Says, on a page, whether the model knows molecules like these.

    Returns
    -------
    Counts

    Raises
    ------
    UsageError
        If the name of a file asks for another format.
    InputError
        If there is nothing to draw because every row was rejected, or nothing to align molecules to.
    OutputError
        If a file cannot be written; none stays half-written under its name.
    """
    for path in paths:
        if path.suffix.lower() not in DRAWN:
            raise UsageError(f"{path}: explanations are written as {', '.join(DRAWN)}")
    counts, every = Counts(), list(rows)
    for _, result in every:
        counts.add(result)
    rejections = [result for _, result in every if isinstance(result, Rejection)]
    require_some(counts, rejections)
    every = pictures.laid(every)
    listed = [one for _, result in every if not isinstance(result, Rejection) for one in result]
    along = [
        dict(zip(columns, record.kept, strict=False))
        for record, result in every
        if not isinstance(result, Rejection)
        for _ in result
    ]
    explained = _Explained(title, meaning, listed, rejections, along)
    beside = {path.with_suffix(".sdf") for path in paths if path.suffix.lower() == ".pml"}
    for path in paths:
        if path.suffix.lower() in PICTURES:
            counts.pages += _write_grids(path, listed, pictures)
        elif path.suffix.lower() in PAGES:
            flags = _flags(every, domain)
            page = HitPage(title, every, meaning, facts, columns, flags, sentence, pictures.look)
            write_whole(path, render_hits(page).encode())
        elif path not in beside:
            write_whole(path, _draw(path, explained, pictures))
    for path in beside:
        write_whole(path, sd_text(listed, in_3d=True, along=along))
    if pictures.pairs:
        write_whole(pictures.pairs, _pairs(listed, pictures))
    if pictures.ledger:
        write_whole(pictures.ledger, _ledgers(listed, pictures))
    if pictures.each:
        _write_each(pictures.each, listed, pictures)
    return counts


def _flags(
    rows: Sequence[tuple[Record, Result]], domain: Applicability | None
) -> dict[int, ApplicabilityFlag]:
    """By the number of the row, whether a model knows molecules like it."""
    if domain is None:
        return {}
    accepted = [(record.row, result[0].mol) for record, result in rows if not isinstance(result, Rejection)]
    flags = domain.flag([mol for _, mol in accepted])
    return dict(zip([row for row, _ in accepted], flags, strict=True))


class _Explained(NamedTuple):
    """What a file tells of."""

    title: str
    meaning: str
    listed: list[Explanation]
    rejections: list[Rejection]
    along: list[dict[str, Any]]
    """Columns of the input, of each explanation."""


def _draw(path: Path, explained: _Explained, pictures: Pictures) -> bytes:
    suffix, (title, meaning, listed, rejections, along) = path.suffix.lower(), explained
    if suffix in STRUCTURES:
        if suffix == ".pml":
            return pymol_script(listed, path.with_suffix(".sdf").name).encode()
        return sd_text(listed, along=along).encode()
    if suffix == EXCEL:
        looks = [options | {"layers": pictures.layers} for options in pictures.fixed(listed)]
        return workbook(path, listed, rejections, title=title, meaning=meaning, looks=looks)
    if suffix == ".json":
        return (json.dumps(_as_json(explained), indent=1, ensure_ascii=False) + "\n").encode()
    return legible_markdown(_as_markdown(explained)).encode()


def _write_each(folder: Path, listed: Sequence[Explanation], pictures: Pictures) -> None:
    """A picture for each, and a table of what they show."""
    index = io.StringIO()
    writer = csv.writer(index, lineterminator="\n")
    writer.writerow(["file", "row", "id", "smiles", "task", "score"])
    digits = len(str(len(listed)))
    for number, (e, options) in enumerate(zip(listed, pictures.fixed(listed), strict=True), start=1):
        words = f"{file_name(e.id or e.smiles)}-{file_name(e.task)}"
        name = f"{number:0{digits}d}-{words}.{pictures.each_kind}"
        draw = e.to_svg if pictures.each_kind == "svg" else e.to_png
        write_whole(folder / name, draw(pictures.layers, **options))
        writer.writerow([name, e.row, *map(legible, (e.id, e.smiles, e.task)), f"{e.score:.6g}"])
    write_whole(folder / "index.csv", index.getvalue())


def _write_grids(path: Path, listed: Sequence[Explanation], pictures: Pictures) -> list[Path]:
    """Write a grid of drawings, in several files where they are many; returns those after the first."""
    panels = [explanation.panel(pictures.layers) for explanation in listed]
    options = pictures.options
    if len(panels) > _MOST_DRAWN and pictures.scale == SHARED and len({panel.unit for panel in panels}) == 1:
        options["scale"] = symmetric_scale(panels) or SHARED  # on all pages the same
    written = []
    for start in range(0, len(panels), _MOST_DRAWN):
        some = panels[start : start + _MOST_DRAWN]
        name = path if not start else path.with_suffix(f".{start // _MOST_DRAWN + 1}{path.suffix}")
        columns = max(_GRID_COLUMNS, math.isqrt(len(some)))
        if path.suffix.lower() == ".svg":
            write_whole(name, draw_svg(some, columns=columns, **options).encode())
        else:
            write_whole(name, draw_png(some, columns=columns, **options))
        written.append(name)
    return written[1:]


def _pairs(listed: Sequence[Explanation], pictures: Pictures) -> bytes:
    kind = str(pictures.pairs)[-3:].lower()
    matrices = [explanation.to_pair_matrix() for explanation in listed[:_MOST_MATRICES]]
    note = _left_out(len(matrices), len(listed), "maps")
    scale = pictures.scale if isinstance(pictures.scale, float) else None
    return draw_pair_matrix(matrices, kind=kind, scale=scale, palette=pictures.palette, note=note)


def _ledgers(listed: Sequence[Explanation], pictures: Pictures) -> bytes:
    """Per task the mean of several molecules, and then each one's."""
    by = pictures.ledger_by
    of_tasks: dict[tuple[str, str], list[Explanation]] = {}
    for explanation in listed:
        of_tasks.setdefault((explanation.task, explanation.target), []).append(explanation)
    means = [ledger_of(some, by) for some in of_tasks.values() if len(some) > 1]
    each = [explanation.ledger(by) for explanation in listed]
    suffix = str(pictures.ledger)[-3:].lower()
    if suffix == "csv":
        table: str = pd.concat([ledger.to_frame() for ledger in (*means, *each)]).to_csv(index=False)
        return table.encode()
    shown = [*means, *each][:_MOST_LEDGERS]
    note = _left_out(len(shown), len(means) + len(each), "ledgers") + (
        " The first is a mean." if means else ""
    )
    return draw_waterfall(
        [ledger.waterfall for ledger in shown], kind=suffix, palette=pictures.palette, note=note.strip()
    )


def _left_out(shown: int, of: int, what: str) -> str:
    return f"{shown} of {of:,} {what}; write a table for all." if shown < of else ""


def _as_json(explained: _Explained) -> dict[str, Any]:
    return {
        "format": "molig explanations",
        "format_version": 1,
        "title": explained.title,
        **({"meaning_of_scores": explained.meaning} if explained.meaning else {}),
        "explanations": [_facts_of(explanation) for explanation in explained.listed],
        "rejected": [
            {"row": r.row, "id": r.id, "smiles": r.smiles, "reason": r.reason} for r in explained.rejections
        ],
    }


def _facts_of(explanation: Explanation) -> dict[str, Any]:
    """One explanation as plain values; atoms are counted as in the input."""
    names = ("row", "id", "smiles", "scored_smiles", "task", "target", "score", "baseline_score", "residual")
    scores = explanation.input_atom_scores
    ends = [
        [int(explanation.bearing_atoms[end]) for end in (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())]
        for bond in explanation.mol.GetBonds()
    ]
    facts: dict[str, Any] = {name: getattr(explanation, name) for name in names}
    facts |= {
        "removed": list(explanation.removed),
        "converged": explanation.converged,
        "atom_scores": [None if np.isnan(score) else float(score) for score in scores],
        "bond_atoms": ends,
        "bond_scores": [float(score) for score in explanation.bond_scores],
    }
    if explanation.reference:
        facts |= {"reference": explanation.reference, "reference_score": explanation.reference_score}
    if explanation.members:
        facts["calibrated"] = explanation.calibrated
        facts["members"] = explanation.members
    if len(explanation.environment_attributions):
        facts["substructures"] = [
            {"substructure": one.name, "count": one.count, "score": one.score, "atoms": one.atoms}
            for one in explanation.main_substructures(_SUBSTRUCTURES_IN_JSON)
        ]
    if explanation.absent:
        facts["absent"] = explanation.absent
    return facts


def _as_markdown(explained: _Explained) -> str:
    title, meaning, listed, rejections, _ = explained
    lines = [f"# {title}", *(["", meaning] if meaning else [])]
    for explanation in listed:
        lines += ["", f"## {explanation.id or explanation.smiles}", "", f"`{explanation.smiles}`", ""]
        if explanation.scored_note:
            lines.append(f"- {explanation.scored_note}")
        lines.append(
            f"- {explanation.task}: {explanation.target_in_words} {explanation.score:.4f}, "
            f"{explanation.start_name} {explanation.start:.4f}, "
            f"residual {explanation.residual:+.1e}"
            + ("" if explanation.converged else "; did not converge: do not rely on single atoms")
        )
        lines.append(f"- {sentence(explanation)}")
        if explanation.members:
            parts = ", ".join(f"{name} {part:+.3g}" for name, part in explanation.members.items())
            lines.append(f"- members: {parts}")
        lines += [f"- {text}" for text in _sentences(explanation)]
    lines += [""] * bool(rejections)
    lines += [f"- row {r.row} ({r.id}) {r.smiles}: {r.reason}" for r in rejections]
    return "\n".join(lines) + "\n"
