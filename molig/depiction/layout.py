"""The sheet: words measured and everything placed; one plan, painted by the SVG and the PNG writer alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ImageFont
from rdkit import Chem, RDConfig

from molig.depiction.marks import Marks, place_marks
from molig.depiction.numbers import number
from molig.depiction.panel import Look, Panel, PanelError, as_panels, scales_of
from molig.depiction.structure import Ink, bond_pixels, draw_ink, prepared
from molig.text import legible

MARGIN = 10
TITLE_SIZE, LEGEND_SIZE, BAR_SIZE = 15, 13, 11
TITLE_COLOR, LEGEND_COLOR, BAR_COLOR = "#111111", "#333333", "#555555"
_TITLE_LINE, _LEGEND_LINE, _BAR_LINE = 24, 18, 14
_BAR_WIDTH, _BAR_HEIGHT = 150, 9
_SIZE = (420, 340)
_SMALLEST = 80
_LARGEST = 20_000
# Bonds of fewer pixels than this are hard to read: a drawing without a given size grows, a grid of them less.
_LEGIBLE_BOND, _GROWTH, _GROWTH_OF_GRIDS = 22.0, 3.0, 1.5
# Room around a structure, as a part of its box; arcs, outlines and labels need more.
_PADDING, _OUTLINE_PADDING, _WIDE_PADDING = 0.05, 0.12, 0.14


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        return self.width, self.height


@dataclass(frozen=True)
class Words:
    """One line of text; ``x, y`` is the middle, the start or the end (``anchor``) of its base line."""

    content: str
    x: float
    y: float
    size: int
    color: str
    anchor: str = "middle"
    heavy: bool = False


@dataclass(frozen=True)
class Cell:
    """One panel with its place on the sheet: the structure, what lies under it, colour bar and words."""

    panel: Panel
    mol: Chem.Mol
    ink: Ink
    marks: Marks
    scale: float
    label: str
    structure: Box
    padding: float
    bar: Box | None
    words: tuple[Words, ...]


@dataclass(frozen=True)
class Sheet:
    """All cells of a drawing, and the size they need."""

    width: int
    height: int
    title: str
    look: Look
    cells: tuple[Cell, ...]


def plan(
    panels: Panel | Sequence[Panel],
    size: tuple[int, int] | None,
    columns: int,
    scale: float | str | None,
    look: Look,
) -> Sheet:
    """Place panels on a grid, row by row."""
    drawn = as_panels(panels)
    _check(drawn, size, columns)
    scales, scope = scales_of(drawn, scale)
    mols = [prepared(panel.mol) for panel in drawn]
    across, down = _SIZE if size is None else size
    if size is None:
        shortest = min(bond_pixels(mol, across, 0.7 * down) for mol in mols)
        growth = min(max(1.0, _LEGIBLE_BOND / shortest), _GROWTH if len(drawn) == 1 else _GROWTH_OF_GRIDS)
        across, down = round(across * growth), round(down * growth)
    room = across - 2 * MARGIN
    top = _TITLE_LINE if any(panel.title for panel in drawn) else 0
    contents = [
        _Content(
            panel,
            mol,
            of_it,
            [line for text in _said_of(panel, scope) for line in wrap(legible(text), BAR_SIZE, room)],
            [line for text in panel.legend for line in wrap(legible(text), LEGEND_SIZE, room)],
        )
        for panel, mol, of_it in zip(drawn, mols, scales, strict=True)
    ]
    captions, legends = (
        [len(lines) for lines in each] for each in zip(*(c[3:] for c in contents), strict=True)
    )
    bottom = _BAR_LINE * (2 + max(captions)) + _LEGEND_LINE * max(legends)
    down = max(down, top + bottom + down // 2 + MARGIN)
    columns = min(columns, len(drawn))
    rows = -(-len(drawn) // columns)
    if max(columns * across, rows * down) > _LARGEST:
        raise PanelError(
            f"panels: {len(drawn)} of {across} x {down} pixels in {columns} columns exceed {_LARGEST} pixels;"
            " draw fewer at a time"
        )
    cells = []
    for index, content in enumerate(contents):
        row, column = divmod(index, columns)
        place = Box(column * across, row * down, across, down)
        cells.append(_cell(content, place, (top, bottom), look))
    return Sheet(columns * across, rows * down, _sheet_title(drawn), look, tuple(cells))


class _Content(NamedTuple):
    """What stands in a cell, before it is placed."""

    panel: Panel
    mol: Chem.Mol
    scale: float
    caption: list[str]
    legend: list[str]


def _cell(content: _Content, place: Box, around: tuple[int, int], look: Look) -> Cell:
    panel, mol, scale, caption, legend = content
    top, bottom = around
    middle = place.x + place.width / 2
    words = []
    if panel.title:
        title = shorten(legible(panel.title), TITLE_SIZE, place.width - 2 * MARGIN)
        words.append(Words(title, middle, place.y + 20, TITLE_SIZE, TITLE_COLOR, heavy=True))
    structure = Box(place.x, place.y + top, place.width, place.height - top - bottom - MARGIN / 2)
    under = structure.y + structure.height
    bar_width = min(_BAR_WIDTH, place.width / 2.5)
    bar = Box(middle - bar_width / 2, under + 4, bar_width, _BAR_HEIGHT) if scale > 0 else None
    if bar:
        base = bar.y + _BAR_HEIGHT + _BAR_LINE - 3
        ends = ((number(-scale), bar.x), ("0", middle), (number(scale), bar.x + bar_width))
        words += [Words(text, x, base, BAR_SIZE, BAR_COLOR) for text, x in ends]
        for line in caption:
            base += _BAR_LINE
            words.append(Words(line, middle, base, BAR_SIZE, BAR_COLOR))
    base = under + bottom - _LEGEND_LINE * len(legend) if not bar else base + 2
    for line in legend:
        base += _LEGEND_LINE
        words.append(Words(line, middle, base, LEGEND_SIZE, LEGEND_COLOR))
    wide = look.label != "none" or len(panel.scores_of("pairs"))
    padding = _WIDE_PADDING if wide else _OUTLINE_PADDING if panel.outline else _PADDING
    ink = draw_ink(mol, structure.size, padding)
    marks = place_marks(panel, ink, scale, look)
    return Cell(
        panel, mol, ink, marks, scale, _label(panel, scale, look), structure, padding, bar, tuple(words)
    )


def _said_of(panel: Panel, scope: str) -> list[str]:
    """What stands at the colour bar: what the scores are, of which molecules the scale is, and which arcs."""
    facts = [*([f"contribution to {panel.unit}"] if panel.unit else []), *([scope] if scope else [])]
    n_pairs = np.count_nonzero(panel.scores_of("pairs"))
    arcs = [f"arcs: the strongest of {n_pairs:,} non-bonded pairs"] if n_pairs else []
    return [" · ".join(facts), *arcs]


def _label(panel: Panel, scale: float, look: Look) -> str:
    """Describe a panel in words, for screen readers."""
    name = legible(panel.title) or "molecule"
    facts = [legible(line) for line in panel.legend]
    raises, lowers = look.palette.positive_name, look.palette.negative_name
    colors = f"{raises} raises, {lowers} lowers, full colour at {scale:.3g}"
    return "; ".join([name, *facts, colors if scale > 0 else "no atom has a score"])


def _sheet_title(panels: tuple[Panel, ...]) -> str:
    if len(panels) == 1:
        return legible(panels[0].title) or "Molecule coloured by score"
    return f"{len(panels)} molecules coloured by score"


def _check(panels: tuple[Panel, ...], size: tuple[int, int] | None, columns: int) -> None:
    if not panels:
        raise PanelError("panels: expected at least one Panel (got none)")
    whole = size is None or (
        len(size) == 2 and all(isinstance(n, int) and _SMALLEST <= n <= _LARGEST for n in size)
    )
    if not whole:
        raise PanelError(f"size: expected two whole numbers from {_SMALLEST} to {_LARGEST} (got {size!r})")
    if columns < 1:
        raise PanelError(f"columns: expected at least 1 (got {columns})")


# Words: measured, wrapped and shortened.

# RDKit brings this typeface along, so measures and PNGs are the same on every machine.
_TYPEFACE = Path(RDConfig.RDDataDir, "Fonts", "Telex-Regular.ttf")
# Asked only for characters that the first one lacks (Greek, Cyrillic, Chinese), in this order.
_SYSTEM_TYPEFACES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "arial.ttf",
)
# The reader's sans-serif is unknown when an SVG is made; the widest in use (DejaVu, Verdana) run over Telex
# by this.
_READERS_FONT = 1.14

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def width(text: str, size: float) -> float:
    """Estimate how wide a text can become in the sans-serif of any reader."""
    return _READERS_FONT * size * sum(_advance(character) for character in text)


def shorten(text: str, size: float, room: float) -> str:
    """Cut a text to a width, with an ellipsis in the middle: identifiers differ in their last characters."""
    if width(text, size) <= room:
        return text
    kept = len(text) - 1
    while kept > 1 and width(_without_middle(text, kept), size) > room:
        kept -= 1
    return _without_middle(text, kept)


def wrap(text: str, size: float, room: float) -> list[str]:
    """Break a text into lines of a width, at spaces where there are any."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        for piece in _pieces(word, size, room):
            longer = f"{line} {piece}" if line else piece
            if line and width(longer, size) > room:
                lines.append(line)
                longer = piece
            line = longer
    return [*lines, line] if line else lines


def font_for(text: str, size: int) -> tuple[Font, str]:
    """Typeface that can write a text, and the text as it can be written."""
    best = _typeface(str(_TYPEFACE), size) or ImageFont.load_default(size)
    fonts = (font for name in _SYSTEM_TYPEFACES if (font := _typeface(name, size)) is not None)
    while missing := sum(not _has(best, c) for c in text):
        better = next((f for f in fonts if sum(not _has(f, c) for c in text) < missing), None)
        if better is None:
            break
        best = better
    return best, "".join(c if _has(best, c) else "?" for c in text)


def _without_middle(text: str, kept: int) -> str:
    return text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]


def _pieces(word: str, size: float, room: float) -> list[str]:
    """Cut a word that is wider than a whole line (a SMILES, a hash)."""
    pieces = [""]
    for character in word:
        if pieces[-1] and width(pieces[-1] + character, size) > room:
            pieces.append("")
        pieces[-1] += character
    return pieces


@lru_cache(maxsize=4096)
def _advance(character: str) -> float:
    """Width of a character, in units of the type's height."""
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    font = _typeface(str(_TYPEFACE), 100) or ImageFont.load_default(100)
    return font.getlength(character) / 100 if _has(font, character) else 0.7


@lru_cache(maxsize=64)
def _typeface(name: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        # The basic layout gives the same positions whether or not the optional Raqm library is there.
        return ImageFont.truetype(name, size, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        return None


def _has(font: Font, character: str) -> bool:
    """Whether a typeface has a character; fonts draw the same box, or nothing, for all they lack."""
    return character.isspace() or bytes(font.getmask(character)) != bytes(font.getmask("\uffff"))
