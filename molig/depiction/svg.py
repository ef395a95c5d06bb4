"""Drawings as SVG: valid XML, self-contained, small, and described in words for screen readers."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from rdkit import Chem

from molig.depiction.layout import Box, Cell, Sheet, Words, plan
from molig.depiction.marks import Arc, Band, Disc, Marks, box_of, freest
from molig.depiction.panel import Look, Panel, bar_stops, hex_color
from molig.depiction.structure import draw_ink, prepared

# RDKit's SVG in fewer words: the same shapes, with every style written once.

_Shape: TypeAlias = tuple[str, dict[str, str], str]
"""Tag, geometry and style (as written) of one shape."""

_GEOMETRY = {"path": ("d",), "ellipse": ("cx", "cy", "rx", "ry"), "rect": ("x", "y", "width", "height")}
# RDKit spells out every style; these alone matter, and only where they differ from what a viewer assumes
# anyway.
_STYLES = ("fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin")
_ASSUMED = {
    "fill": "#000",
    "stroke": "none",
    "stroke-width": "1",
    "stroke-linecap": "butt",
    "stroke-linejoin": "miter",
}


def compact(document: str) -> str:
    """Shapes of an RDKit drawing, less its header and repeated styles; lines of one style become one path."""
    # RDKit declares an encoding in a text that is decoded already; a parser would object to that.
    root = ElementTree.fromstring(document[document.index("<svg") :])  # noqa: S314 - made by RDKit just now
    tags = [(element.tag.rpartition("}")[2], element.attrib) for element in root]
    if any(tag not in _GEOMETRY for tag, _ in tags):
        # An RDKit without FreeType writes letters as <text>; what is not understood is left as it is.
        return document[document.index(">", document.index("<svg")) + 1 : document.rindex("</svg>")]
    shapes = [_shape(tag, attributes) for tag, attributes in tags]
    return "".join(_group(style, list(group)) for style, group in groupby(shapes, key=lambda shape: shape[2]))


def short(value: float) -> str:
    """Write a coordinate with at most two decimals and no idle zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def spot(value: float) -> str:
    """Write a coordinate as RDKit's ink has it, with one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def _shape(tag: str, attributes: dict[str, str]) -> _Shape:
    pairs = (part.partition(":") for part in attributes.get("style", "").split(";"))
    style = {key.strip(): value.strip().removesuffix("px") for key, _, value in pairs}
    if "fill" in attributes:  # letters have attributes instead of a style
        style.setdefault("fill", attributes["fill"])
    style = {key: _tight(value).replace("#000000", "#000") for key, value in style.items()}
    if style.get("stroke-width") == "0" or style.get("stroke", "none") == "none":
        style = {key: value for key, value in style.items() if not key.startswith("stroke")}
    geometry = {key: _tight(attributes[key]) for key in _GEOMETRY[tag]}
    if tag == "ellipse" and style.get("stroke") == style["fill"] and geometry["rx"] == geometry["ry"]:
        # A disc with a rim of its own colour is a larger disc.
        radius = float(geometry["rx"]) + float(style.get("stroke-width", "1")) / 2
        tag, geometry = "circle", {"cx": geometry["cx"], "cy": geometry["cy"], "r": short(radius)}
        style = {"fill": style["fill"]}
    kept = (key for key in _STYLES if key in style and style[key] != _ASSUMED.get(key))
    return tag, geometry, "".join(f' {key}="{style[key]}"' for key in kept)


def _group(style: str, shapes: list[_Shape]) -> str:
    if all(tag == "path" for tag, _, _ in shapes) and 'fill="none"' in style:
        shapes = [("path", {"d": "".join(geometry["d"] for _, geometry, _ in shapes)}, style)]
    if len(shapes) == 1:
        return _element(*shapes[0])
    inner = "".join(_element(tag, geometry, "") for tag, geometry, _ in shapes)
    return f"<g{style}>{inner}</g>" if style else inner


def _element(tag: str, geometry: dict[str, str], style: str) -> str:
    written = "".join(f' {key}="{value}"' for key, value in geometry.items())
    return f"<{tag}{written}{style}/>"


def _tight(numbers: str) -> str:
    """Take the idle zeros and the spaces around letters out of coordinates."""
    numbers = re.sub(r"(\d)\.0+(?!\d)", r"\1", numbers)
    return re.sub(r"\s*([A-Za-z,])\s*", r"\1", numbers).strip()


_FONTS = "Helvetica,Arial,'Liberation Sans',sans-serif"
# Stands for the digest of the drawing while that is not known yet; it cannot occur in XML text.
_ID = "\x00"


def draw_svg(
    panels: Panel | Sequence[Panel],
    *,
    size: tuple[int, int] | None = None,
    columns: int = 3,
    scale: float | str | None = "shared",
    noise: float = 0.0,
    palette: str = "red-blue",
    label: str = "none",
    threshold: float = 0.2,
) -> str:
    """Draw molecules coloured by score as one SVG: red raises, blue lowers.

    Under each structure stand its colour bar and its legend. Pointing at an atom, a bond or an arc shows its
    score. The rims of what lowers are dashed, so that no one depends on the colours.

    Parameters
    ----------
    panels : Panel or sequence of Panel
        What to draw, row by row.
    size : (int, int), optional
        Width and height of one panel in pixels. By default (420, 340), and more where a molecule would be too
        small to read. Panels grow higher if words would take more than half of them.
    columns : int, default=3
        Panels in a row, at most.
    scale : {"shared", "molecule"} or float, default="shared"
        The |score| that gets the full colour: the largest of all panels of a unit, each panel's own largest,
        or this number, beyond which colours stay full. What it is stands at each colour bar.
    noise : float, default=0.0
        Scores smaller than this part of the scale, either way, are drawn light grey: rejected as noise. 0
        switches that off.
    palette : {"red-blue", "orange-purple", "grey"}
        Colours of what raises and what lowers; the last for print without colours.
    label : {"none", "numbers", "values"}
        What stands beside atoms: nothing, their numbers, or their scores.
    threshold : float, default=0.2
        Arcs are drawn of pairs whose score is at least this part of the scale, thirty at most.

    Returns
    -------
    str
        An ``<svg>`` element without an XML declaration, fit for a file and for an HTML page. The same input
        gives the same text.

    Raises
    ------
    PanelError
        When there is nothing to draw, or an option is out of range.
    UnknownNameError
        For a palette, a label or a scale that does not exist.

    Examples
    --------
    >>> from rdkit import Chem
    >>> svg = draw_svg(Panel(Chem.MolFromSmiles("CCO"), [0.1, -0.2, 0.4], title="ethanol"))
    >>> "<title" in svg, svg.endswith("</svg>")
    (True, True)
    """
    sheet = plan(panels, size, columns, scale, Look.of(palette, noise, label, threshold))
    body = "".join(_cell(cell) for cell in sheet.cells)
    text = _head(sheet) + body + "</svg>"
    # Named by content: drawings put into one page do not clash, and the same drawing keeps its names.
    return text.replace(_ID, "molig-" + hashlib.sha256(text.encode()).hexdigest()[:10])


@dataclass(frozen=True)
class Outline:
    """A structure in ink alone, for pages that put colours under it and labels beside it.

    Parameters
    ----------
    ink : str
        What stands inside an ``<svg>`` element.
    places : sequence of (float, float)
        Where each atom is, in pixels from the upper left corner.
    boxes : dict of int to (float, float, float, float)
        Left, top, right and bottom of what lies under the letters of the atoms that are written.
    directions : sequence of float
        Where each atom has most room for a label: radians, clockwise from the right.
    bond : float
        Length of a bond in pixels.
    """

    ink: str
    places: Sequence[tuple[float, float]]
    boxes: dict[int, tuple[float, float, float, float]]
    directions: Sequence[float]
    bond: float


def draw_outline(mol: Chem.Mol, size: tuple[int, int] = (360, 270)) -> Outline:
    """Draw a structure in ink alone.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        The molecule; its own 2D coordinates are used if it has any.
    size : (int, int), default=(360, 270)
        Width and height in pixels.

    Returns
    -------
    Outline

    Examples
    --------
    >>> drawn = draw_outline(Chem.MolFromSmiles("CCO"))
    >>> drawn.ink.startswith("<"), len(drawn.places), list(drawn.boxes)
    (True, 3, [2])
    """
    ink = draw_ink(prepared(mol), size, _PADDING)
    return Outline(
        compact(ink.document),
        ink.places,
        {atom: box_of(atom, ink) for atom in sorted(ink.letters)},
        [freest(atom, ink.places) for atom in mol.GetAtoms()],
        ink.bond,
    )


_PADDING = 0.04


def _head(sheet: Sheet) -> str:
    stops = "".join(
        f'<stop offset="{short(place)}" stop-color="{hex_color(color)}"/>'
        for place, color in bar_stops(sheet.look.noise, sheet.look.palette)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sheet.width}" height="{sheet.height}"'
        f' viewBox="0 0 {sheet.width} {sheet.height}" role="group" aria-labelledby="{_ID}-title"'
        f' font-family="{_FONTS}">'
        f'<title id="{_ID}-title">{escape(sheet.title)}</title>'
        f'<defs><linearGradient id="{_ID}-bar">{stops}</linearGradient></defs>'
        '<rect width="100%" height="100%" fill="#fff"/>'
    )


def _cell(cell: Cell) -> str:
    bar = ""
    if cell.bar:
        bar = f'<rect {_corners(cell.bar)} fill="url(#{_ID}-bar)" stroke="#999" stroke-width=".5"/>'
    # A nested <svg> clips what is in it: whatever the structure, it cannot run into the words.
    return (
        f'<g role="img" aria-label={quoteattr(cell.label)}>'
        f"<svg {_corners(cell.structure)}>{_marks(cell.marks)}"
        f'<g pointer-events="none">{compact(cell.ink.document)}{_labels(cell.marks)}</g></svg>'
        f"{bar}{''.join(map(_words, cell.words))}</g>"
    )


# The marks under the ink. What has a score tells it when pointed at.

_RIM = 0.9
_DASHES = ' stroke-dasharray="2 1.6"'


def _marks(marks: Marks) -> str:
    parts = [_outline(marks)]
    for dashed in (True, False):
        lines: dict[str, str] = {}
        for band in marks.bands:
            if band.rim and band.dashed == dashed:
                color = hex_color(band.rim)
                lines[color] = lines.get(color, "") + _line(band.start, band.end)
        if lines:
            shown = "".join(f'<path d="{path}" stroke="{color}"/>' for color, path in lines.items())
            width = short(marks.bands[0].width + 2 * _RIM)
            parts.append(f'<g fill="none" stroke-width="{width}"{_DASHES * dashed}>{shown}</g>')
    if marks.bands:
        shown = "".join(map(_band, marks.bands))
        width = short(marks.bands[0].width)
        parts.append(f'<g fill="none" stroke="none" stroke-width="{width}" pointer-events="all">{shown}</g>')
    if marks.discs:
        discs = "".join(map(_disc, marks.discs))
        parts.append(f'<g fill="none" stroke-width="{_RIM}" pointer-events="all">{discs}</g>')
    for dashed in (True, False):
        arcs = "".join(_arc(arc) for arc in marks.arcs if arc.dashed == dashed)
        if arcs:
            style = f'stroke-linecap="round" pointer-events="stroke"{_DASHES * dashed}'
            parts.append(f'<g fill="none" {style}>{arcs}</g>')
    return "".join(parts)


def _outline(marks: Marks) -> str:
    """A contour around atoms: a broad dark stroke under one that is less broad and white."""
    if not marks.outline:
        return ""
    path = "".join(map(_polygon, marks.outline))
    return "".join(
        f'<path d="{path}" fill="{color}" stroke="{color}" stroke-width="{short(width)}"'
        ' stroke-linecap="round" stroke-linejoin="round"/>'
        for color, width in (("#777", marks.outline_width + 2), ("#fff", marks.outline_width))
    )


def _polygon(points: Sequence[tuple[float, float]]) -> str:
    """A dot, a line or a filled ring."""
    written = [f"{spot(x)},{spot(y)}" for x, y in points]
    return "M" + "L".join(written) + {1: "h0", 2: ""}.get(len(points), "Z")


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    return f"M{spot(start[0])},{spot(start[1])}L{spot(end[0])},{spot(end[1])}"


def _band(band: Band) -> str:
    color = f' stroke="{hex_color(band.fill)}"' if band.fill else ""
    return f'<path d="{_line(band.start, band.end)}"{color}>{_title(band.words)}</path>'


def _disc(disc: Disc) -> str:
    color = f' fill="{hex_color(disc.fill)}"' if disc.fill else ""
    color += (f' stroke="{hex_color(disc.rim)}"' + _DASHES * disc.dashed) if disc.rim else ""
    if math.isclose(disc.width, disc.height):
        x, y, r = (spot(n) for n in (disc.left + disc.radius, disc.top + disc.radius, disc.radius))
        return f'<circle cx="{x}" cy="{y}" r="{r}"{color}>{_title(disc.words)}</circle>'
    corners = _corners(Box(disc.left, disc.top, disc.width, disc.height))
    return f'<rect {corners} rx="{spot(disc.radius)}"{color}>{_title(disc.words)}</rect>'


def _arc(arc: Arc) -> str:
    points = (f"{spot(x)},{spot(y)}" for x, y in (arc.start, arc.control, arc.end))
    path = "M{}Q{} {}".format(*points)
    style = f' stroke="{hex_color(arc.color)}" stroke-width="{short(arc.width)}"'
    return f'<path d="{path}"{style}>{_title(arc.words)}</path>'


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>"


def _labels(marks: Marks) -> str:
    """Numbers or values beside atoms, with a rim of paper so that they can be read on lines."""
    if not marks.labels:
        return ""
    middle = 0.35 * marks.label_size
    texts = "".join(
        f'<text x="{spot(one.x)}" y="{spot(one.y + middle)}">{escape(one.content)}</text>'
        for one in marks.labels
    )
    return (
        f'<g font-size="{short(marks.label_size)}" fill="#333" text-anchor="middle" stroke="#fff"'
        f' stroke-width="2" paint-order="stroke">{texts}</g>'
    )


def _words(words: Words) -> str:
    weight = ' font-weight="600"' if words.heavy else ""
    return (
        f'<text x="{short(words.x)}" y="{short(words.y)}" font-size="{words.size}" fill="{words.color}"'
        f' text-anchor="{words.anchor}"{weight}>{escape(words.content)}</text>'
    )


def _corners(box: Box) -> str:
    return f'x="{spot(box.x)}" y="{spot(box.y)}" width="{spot(box.width)}" height="{spot(box.height)}"'
