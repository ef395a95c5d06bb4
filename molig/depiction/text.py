"""Words around a drawing: measured, wrapped and shortened."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont
from rdkit import RDConfig

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
