"""Drawings as PNG, with the plan of the SVG at a higher resolution."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

from molig.depiction.layout import Box, Words, font_for, plan
from molig.depiction.panel import RGB, Panel, PanelError, bar_stops, hex_color, structure_png

_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def draw_png(
    panels: Panel | Sequence[Panel],
    *,
    size: tuple[int, int] = (420, 340),
    columns: int = 3,
    scale: float | None = None,
    noise: float = 0.0,
    resolution: float = 2.0,
) -> bytes:
    r"""Draw molecules coloured by score as one PNG: red raises, blue lowers.

    Parameters
    ----------
    panels : Panel or sequence of Panel
        What to draw, row by row.
    size, columns, scale, noise
        As in `draw_svg`.
    resolution : float, default=2.0
        Pixels of the image per pixel of ``size``, from 0.5 to 8.

    Returns
    -------
    bytes
        A PNG file on white. The same input gives the same bytes.

    Raises
    ------
    PanelError
        When there is nothing to draw, or an option is out of range.

    Examples
    --------
    >>> from rdkit import Chem
    >>> draw_png(Panel(Chem.MolFromSmiles("CCO"), [0.1, -0.2, 0.4]))[:4]
    b'\x89PNG'
    """
    if not 0.5 <= resolution <= 8:
        raise PanelError(f"resolution: expected a number from 0.5 to 8 (got {resolution})")
    sheet = plan(panels, size, columns, scale, noise)
    image = Image.new("RGB", (round(sheet.width * resolution), round(sheet.height * resolution)), "white")
    canvas = ImageDraw.Draw(image)
    for cell in sheet.cells:
        box = cell.structure
        structure = structure_png(cell.panel, box.size, cell.scale, noise, resolution)
        corner = (math.ceil(box.x * resolution), math.ceil(box.y * resolution))
        image.paste(Image.open(io.BytesIO(structure)), corner)
        if cell.bar:
            _paint_bar(canvas, cell.bar, noise, resolution)
        for words in cell.words:
            _paint_words(canvas, words, resolution)
    buffer = io.BytesIO()
    dots = round(96 * resolution)
    image.save(buffer, format="PNG", optimize=True, dpi=(dots, dots))
    return buffer.getvalue()


def _paint_bar(canvas: ImageDraw.ImageDraw, bar: Box, noise: float, ratio: float) -> None:
    left, top = round(bar.x * ratio), round(bar.y * ratio)
    right, bottom = round((bar.x + bar.width) * ratio), round((bar.y + bar.height) * ratio)
    stops = bar_stops(noise)
    for x in range(left, right):
        color = _between(stops, (x - left + 0.5) / (right - left))
        canvas.line([(x, top), (x, bottom - 1)], fill=hex_color(color))
    canvas.rectangle([left, top, right - 1, bottom - 1], outline="#999999")


def _between(stops: list[tuple[float, RGB]], place: float) -> RGB:
    """Colour of the bar at a place from 0 to 1."""
    for (start, first), (end, last) in pairwise(stops):
        if start <= place <= end and end > start:
            share = (place - start) / (end - start)
            red, green, blue = (a + share * (b - a) for a, b in zip(first, last, strict=True))
            return red, green, blue
    return stops[-1][1]


def _paint_words(canvas: ImageDraw.ImageDraw, words: Words, ratio: float) -> None:
    font, content = font_for(words.content, round(words.size * ratio))
    place = (round(words.x * ratio), round(words.y * ratio))
    canvas.text(place, content, font=font, fill=words.color, anchor=_ANCHORS[words.anchor])
