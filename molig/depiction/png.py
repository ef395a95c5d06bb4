"""Drawings as PNG, with the plan of the SVG at a higher resolution."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from PIL import Image, ImageDraw

from molig.depiction.layout import Box, Cell, Words, font_for, plan
from molig.depiction.marks import Marks
from molig.depiction.panel import RGB, Look, Panel, PanelError, bar_stops, hex_color
from molig.depiction.structure import ink_png

_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
_MOST_PIXELS = 120_000_000
# Marks are painted this many times as large and made smaller, so that their edges are smooth.
_FINER = 3


def draw_png(
    panels: Panel | Sequence[Panel],
    *,
    size: tuple[int, int] | None = None,
    columns: int = 3,
    scale: float | str | None = "shared",
    noise: float = 0.0,
    palette: str = "red-blue",
    label: str = "none",
    threshold: float = 0.2,
    resolution: float = 2.0,
) -> bytes:
    r"""Draw molecules coloured by score as one PNG: red raises, blue lowers.

    Parameters
    ----------
    panels : Panel or sequence of Panel
        What to draw, row by row.
    size, columns, scale, noise, palette, label, threshold
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
        When there is nothing to draw, an option is out of range, or the image would be too large.

    Examples
    --------
    >>> from rdkit import Chem
    >>> draw_png(Panel(Chem.MolFromSmiles("CCO"), [0.1, -0.2, 0.4]))[:4]
    b'\x89PNG'
    """
    if not 0.5 <= resolution <= 8:
        raise PanelError(f"resolution: expected a number from 0.5 to 8 (got {resolution})")
    look = Look.of(palette, noise, label, threshold)
    sheet = plan(panels, size, columns, scale, look)
    shape = round(sheet.width * resolution), round(sheet.height * resolution)
    if shape[0] * shape[1] > _MOST_PIXELS:
        raise PanelError(
            f"panels: an image of {shape[0]:,} x {shape[1]:,} pixels is too large; draw fewer at a time, or"
            " at a lower resolution"
        )
    image = Image.new("RGB", shape, "white")
    canvas = ImageDraw.Draw(image)
    for cell in sheet.cells:
        box = cell.structure
        corner = (math.ceil(box.x * resolution), math.ceil(box.y * resolution))
        image.paste(_structure(cell, resolution), corner)
        if cell.bar:
            _paint_bar(canvas, cell.bar, look, resolution)
        for words in cell.words:
            _paint_words(canvas, words, resolution)
    buffer = io.BytesIO()
    dots = round(96 * resolution)
    image.save(buffer, format="PNG", optimize=True, dpi=(dots, dots))
    return buffer.getvalue()


def _paint_bar(canvas: ImageDraw.ImageDraw, bar: Box, look: Look, ratio: float) -> None:
    left, top = round(bar.x * ratio), round(bar.y * ratio)
    right, bottom = round((bar.x + bar.width) * ratio), round((bar.y + bar.height) * ratio)
    stops = bar_stops(look.noise, look.palette)
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


# The structure: marks, finer than the image and made smaller, below the ink.


def _structure(cell: Cell, ratio: float) -> Image.Image:
    width, height = (int(length * ratio) for length in cell.structure.size)
    image = Image.new("RGB", (width * _FINER, height * _FINER), "white")
    _paint_marks(ImageDraw.Draw(image), cell.marks, ratio * _FINER)
    image = image.resize((width, height), Image.Resampling.BOX)
    ink = Image.open(io.BytesIO(ink_png(cell.mol, cell.structure.size, cell.padding, ratio))).convert("RGBA")
    image.paste(ink, (0, 0), ink)
    canvas = ImageDraw.Draw(image)
    for label in cell.marks.labels:
        font, content = font_for(label.content, round(cell.marks.label_size * ratio))
        place = (round(label.x * ratio), round(label.y * ratio))
        halo = round(ratio)
        canvas.text(
            place, content, font=font, fill="#333", anchor="mm", stroke_width=halo, stroke_fill="white"
        )
    return image


def _paint_marks(canvas: ImageDraw.ImageDraw, marks: Marks, ratio: float) -> None:
    rim = 0.9
    for color, width in (("#777777", marks.outline_width + 2), ("white", marks.outline_width)):
        for points in marks.outline:
            _paint_outline(canvas, points, width, color, ratio)
    for wider in (2 * rim, 0.0):
        for band in marks.bands:
            if shade := band.rim if wider else band.fill:
                pen = _Pen(band.width + wider, hex_color(shade), band.dashed and wider > 0)
                _stroke(canvas, [band.start, band.end], pen, ratio)
    for disc in marks.discs:
        if not disc.fill:
            continue
        corners = [disc.left, disc.top, disc.left + disc.width, disc.top + disc.height]
        box = [part * ratio for part in corners]
        radius = disc.radius * ratio
        canvas.rounded_rectangle(box, radius, fill=hex_color(disc.fill))
        if disc.rim:
            path = _round_path(disc.left, disc.top, disc.width, disc.height, disc.radius)
            _stroke(canvas, path, _Pen(rim, hex_color(disc.rim), disc.dashed), ratio)
    for arc in marks.arcs:
        path = [_on_arc(arc.start, arc.control, arc.end, step / 60) for step in range(61)]
        _stroke(canvas, path, _Pen(arc.width, hex_color(arc.color), arc.dashed), ratio)


Point = tuple[float, float]
_DASH, _GAP = 2.0, 1.6


def _paint_outline(
    canvas: ImageDraw.ImageDraw, points: Sequence[Point], width: float, color: str, ratio: float
) -> None:
    """Paint a dot, a line or a filled ring, broad and with round ends."""
    places = [(x * ratio, y * ratio) for x, y in points]
    if len(places) > 2:
        canvas.polygon(places, fill=color)
        return
    radius = width * ratio / 2
    canvas.line(places, fill=color, width=round(width * ratio))
    for x, y in places:
        canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)


def _round_path(left: float, top: float, width: float, height: float, radius: float) -> list[Point]:
    """Points along a pill."""
    centres = [
        (left + width - radius, top + height - radius, 0),
        (left + radius, top + height - radius, 1),
        (left + radius, top + radius, 2),
        (left + width - radius, top + radius, 3),
    ]
    path = [
        (x + radius * math.cos(angle), y + radius * math.sin(angle))
        for x, y, quarter in centres
        for angle in ((quarter + step / 12) * math.pi / 2 for step in range(13))
    ]
    return [*path, path[0]]


def _on_arc(start: Point, control: Point, end: Point, t: float) -> Point:
    x, y = (
        (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c for a, b, c in zip(start, control, end, strict=True)
    )
    return x, y


class _Pen(NamedTuple):
    """How a line is painted."""

    width: float
    color: str
    dashed: bool


def _stroke(canvas: ImageDraw.ImageDraw, path: list[Point], pen: _Pen, ratio: float) -> None:
    """Paint a line through points."""
    width, color, dashed = pen
    done = 0.0
    for start, end in pairwise(path):
        length = math.dist(start, end)
        n = max(1, math.ceil(length / 0.4)) if dashed else 1
        for piece in range(n):
            at = done + length * (piece + 0.5) / n
            if not dashed or at % (_DASH + _GAP) < _DASH:
                ends = [
                    tuple((a + (b - a) * share) * ratio for a, b in zip(start, end, strict=True))
                    for share in (piece / n, (piece + 1) / n)
                ]
                canvas.line(ends, fill=color, width=max(1, round(width * ratio)))
        done += length
