"""Explanations as files to look at: drawings and pages."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from molig.attribution import Explanation
from molig.depiction import draw_png, draw_svg
from molig.depiction.numbers import decimals
from molig.errors import UsageError
from molig.files import write_whole
from molig.molecules import Record, Rejection
from molig.report.page import Card, Report, render_report
from molig.report.tables import TABLES, Counts, Result, require_some
from molig.tables.writers import check_distinct, check_writable
from molig.text import legible_markdown

_SUBSTRUCTURES_ON_CARDS = 4
_SUBSTRUCTURES_IN_JSON = 10


def sentence(explanation: Explanation) -> str:
    """One line that says where the score comes from: the groups that carry it, and the sums of its parts."""
    change = explanation.score - explanation.baseline_score
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


def explanation_card(explanation: Explanation, *, noise: float = 0.0) -> Card:
    """Card of one explanation, for a report.

    Parameters
    ----------
    explanation : Explanation
        Any explanation.
    noise : float
        Grey out scores below this share of the largest, in the drawing.

    Returns
    -------
    Card
    """
    return Card(
        title=explanation.id or explanation.smiles,
        smiles=explanation.smiles,
        svg=explanation.to_svg(noise=noise),
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
        (f"{explanation.baseline} baseline", f"{explanation.baseline_score:.4f}"),
        ("residual", f"{explanation.residual:+.1e}"),
    )


PICTURES = (".svg", ".png")
PAGES = (".html",)
DOCUMENTS = (".json", ".md")
DRAWN = (*PICTURES, *PAGES, *DOCUMENTS)

_GRID_COLUMNS = 3


def check_explanation_output(path: Path, source: str | None = None) -> None:
    """Refuse an output of unknown format, or one that could not be written."""
    known = (*DRAWN, *TABLES)
    if path.suffix.lower() not in known:
        raise UsageError(f"cannot tell the format of {path}; use a name ending in {', '.join(known)}")
    check_writable(path)
    check_distinct(source, path)


def write_explanations(
    rows: Iterable[tuple[Record, Result]], *paths: Path, title: str, noise: float = 0.0, meaning: str = ""
) -> Counts:
    """Write explanations down for people: as a picture, on a page, or as a document.

    Parameters
    ----------
    rows : iterable of (Record, list of Explanation or Rejection)
        All that belongs on it, as `molig.attribution.Explainer.explain_rows` yields it; it is held in memory.
        For tables of whole libraries see `molig.report.tables.write_table`.
    *paths : Path
        Files, each as its name says: .svg or .png (a grid of drawings), .html (a page of cards), .md (short
        paragraphs), or .json (scores of atoms and bonds, and of a committee its members and main
        substructures).
    title : str
        Title of a page.
    noise : float
        Grey out scores below this share of the largest.
    meaning : str
        What a score is, for pages and documents.

    Returns
    -------
    Counts

    Raises
    ------
    UsageError
        If the name of a file asks for another format.
    InputError
        If there is nothing to draw because every row was rejected.
    OutputError
        If a file cannot be written; none stays half-written under its name.
    """
    for path in paths:
        if path.suffix.lower() not in DRAWN:
            raise UsageError(f"{path}: explanations are written as {', '.join(DRAWN)}")
    counts, listed, rejections = Counts(), list[Explanation](), list[Rejection]()
    for _, result in rows:
        counts.add(result)
        if isinstance(result, Rejection):
            rejections.append(result)
        else:
            listed += result
    require_some(counts, rejections)
    explained = _Explained(title, meaning, listed, rejections)
    for path in paths:
        write_whole(path, _draw(path.suffix.lower(), explained, noise))
    return counts


class _Explained(NamedTuple):
    """What a file tells of."""

    title: str
    meaning: str
    listed: list[Explanation]
    rejections: list[Rejection]


def _draw(suffix: str, explained: _Explained, noise: float) -> bytes:
    if suffix in PAGES:
        return _page(explained, noise).encode()
    if suffix == ".json":
        return (json.dumps(_as_json(explained), indent=1, ensure_ascii=False) + "\n").encode()
    if suffix == ".md":
        return legible_markdown(_as_markdown(explained)).encode()
    columns = max(_GRID_COLUMNS, math.isqrt(len(explained.listed)))
    panels = [explanation.panel() for explanation in explained.listed]
    if suffix == ".svg":
        return draw_svg(panels, columns=columns, noise=noise).encode()
    return draw_png(panels, columns=columns, noise=noise)


def _page(explained: _Explained, noise: float) -> str:
    title, meaning, listed, rejections = explained
    return render_report(
        Report(
            title=title,
            subtitle=meaning,
            facts=(("explained", str(len(listed))), ("rejected", str(len(rejections)))),
            cards=[explanation_card(e, noise=noise) for e in listed],
            footnotes=[f"Row {r.row} ({r.id}) {r.smiles}: {r.reason}" for r in rejections],
        )
    )


def _as_json(explained: _Explained) -> dict[str, Any]:
    return {
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
    title, meaning, listed, rejections = explained
    lines = [f"# {title}", *(["", meaning] if meaning else [])]
    for explanation in listed:
        lines += ["", f"## {explanation.id or explanation.smiles}", "", f"`{explanation.smiles}`", ""]
        if explanation.scored_note:
            lines.append(f"- {explanation.scored_note}")
        lines.append(
            f"- {explanation.task}: {explanation.target_in_words} {explanation.score:.4f}, "
            f"{explanation.baseline} baseline {explanation.baseline_score:.4f}, "
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
