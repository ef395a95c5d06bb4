"""The sheet: words measured and everything placed; one plan, painted by the SVG and the PNG writer alike."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont
from rdkit import RDConfig

from molig.depiction.panel import Panel, PanelError, as_panels, symmetric_scale
from molig.text import legible

MARGIN = 10
TITLE_SIZE, LEGEND_SIZE, BAR_SIZE = 15, 13, 12
TITLE_COLOR, LEGEND_COLOR, BAR_COLOR = "#111111", "#333333", "#555555"
_TITLE_LINE, _LEGEND_LINE, _BAR_LINE = 24, 18, 20
_BAR_WIDTH, _BAR_HEIGHT = 110, 10
_SMALLEST = 80
_LARGEST = 20_000


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
    """One panel with its place on the sheet: the structure's box, the colour bar and the words around."""

    panel: Panel
    scale: float
    label: str
    structure: Box
    bar: Box | None
    words: tuple[Words, ...]


@dataclass(frozen=True)
class Sheet:
    """All cells of a drawing, and the size they need."""

    width: int
    height: int
    title: str
    noise: float
    cells: tuple[Cell, ...]


def plan(
    panels: Panel | Sequence[Panel], size: tuple[int, int], columns: int, scale: float | None, noise: float
) -> Sheet:
    """Place panels on a grid, row by row."""
    drawn = as_panels(panels)
    _check(drawn, size, columns, scale, noise)
    across, room = size[0], size[0] - 2 * MARGIN
    top = _TITLE_LINE if any(panel.title for panel in drawn) else 0
    legends = [[line for text in p.legend for line in wrap(legible(text), LEGEND_SIZE, room)] for p in drawn]
    bottom = _BAR_LINE + _LEGEND_LINE * max(map(len, legends))
    down = max(size[1], top + bottom + size[1] // 2 + MARGIN)
    columns = min(columns, len(drawn))
    rows = -(-len(drawn) // columns)
    if max(columns * across, rows * down) > _LARGEST:
        raise PanelError(
            f"panels: {len(drawn)} of {across} x {down} pixels in {columns} columns exceed {_LARGEST} pixels;"
            " draw fewer at a time"
        )
    cells = []
    for index, (panel, legend) in enumerate(zip(drawn, legends, strict=True)):
        row, column = divmod(index, columns)
        place = Box(column * across, row * down, across, down)
        own = symmetric_scale(panel) if scale is None else scale
        cells.append(_cell(panel, own, legend, place, (top, bottom)))
    return Sheet(columns * across, rows * down, _sheet_title(drawn), noise, tuple(cells))


def _cell(panel: Panel, scale: float, legend: list[str], place: Box, around: tuple[int, int]) -> Cell:
    top, bottom = around
    middle = place.x + place.width / 2
    words = []
    if panel.title:
        title = shorten(legible(panel.title), TITLE_SIZE, place.width - 2 * MARGIN)
        words.append(Words(title, middle, place.y + 20, TITLE_SIZE, TITLE_COLOR, heavy=True))
    structure = Box(place.x, place.y + top, place.width, place.height - top - bottom - MARGIN / 2)
    under = structure.y + structure.height
    bar_width = min(_BAR_WIDTH, place.width / 3)
    bar = Box(middle - bar_width / 2, under + 4, bar_width, _BAR_HEIGHT) if scale > 0 else None
    if bar:
        base = bar.y + _BAR_HEIGHT - 1
        words += [
            Words(number(-scale), bar.x - 6, base, BAR_SIZE, BAR_COLOR, anchor="end"),
            Words("0", middle, base, BAR_SIZE - 1, BAR_COLOR),
            Words(number(scale), bar.x + bar_width + 6, base, BAR_SIZE, BAR_COLOR, anchor="start"),
        ]
    base = under + _BAR_LINE - 4
    for line in legend:
        base += _LEGEND_LINE
        words.append(Words(line, middle, base, LEGEND_SIZE, LEGEND_COLOR))
    return Cell(panel, scale, _label(panel, scale), structure, bar, tuple(words))


def _label(panel: Panel, scale: float) -> str:
    """Describe a panel in words, for screen readers."""
    name = legible(panel.title) or "molecule"
    facts = [legible(line) for line in panel.legend]
    colors = f"red raises, blue lowers, full colour at {scale:.3g}" if scale > 0 else "no atom has a score"
    return "; ".join([name, *facts, colors])


def _sheet_title(panels: tuple[Panel, ...]) -> str:
    if len(panels) == 1:
        return legible(panels[0].title) or "Molecule coloured by score"
    return f"{len(panels)} molecules coloured by score"


def _check(
    panels: tuple[Panel, ...], size: tuple[int, int], columns: int, scale: float | None, noise: float
) -> None:
    if not panels:
        raise PanelError("panels: expected at least one Panel (got none)")
    if len(size) != 2 or not all(isinstance(n, int) and _SMALLEST <= n <= _LARGEST for n in size):
        raise PanelError(f"size: expected two whole numbers from {_SMALLEST} to {_LARGEST} (got {size!r})")
    if columns < 1:
        raise PanelError(f"columns: expected at least 1 (got {columns})")
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise PanelError(f"scale: expected a finite number above 0, or None (got {scale})")
    if not 0 <= noise < 1:
        raise PanelError(f"noise: expected a part of the scale, from 0 to below 1 (got {noise})")


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


def number(value: float) -> str:
    """Write a score with its sign and three digits."""
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "−")


def decimals(value: float, digits: int = 2, least: int = 2) -> int:
    """Decimals that show so many digits of a number: at least `least`, and six at most.

    Examples
    --------
    >>> decimals(0.79), decimals(-0.00051)
    (2, 5)
    """
    if not value or not math.isfinite(value):
        return least
    return min(max(least, digits - 1 - math.floor(math.log10(abs(value)))), max(least, 6))


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
