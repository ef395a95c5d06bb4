"""Drawings as SVG: valid XML, self-contained, small, and described in words for screen readers."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from itertools import groupby
from statistics import median
from typing import TypeAlias
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from rdkit import Chem

from molig.depiction.layout import Box, Cell, Sheet, Words, number, plan
from molig.depiction.panel import Panel, bar_stops, bare_structure_svg, hex_color, structure_svg

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
_HOVER_RADIUS = 11.0


def draw_svg(
    panels: Panel | Sequence[Panel],
    *,
    size: tuple[int, int] = (420, 340),
    columns: int = 3,
    scale: float | None = None,
    noise: float = 0.0,
) -> str:
    """Draw molecules coloured by score as one SVG: red raises, blue lowers.

    Under each structure stand its colour bar and its legend. Pointing at an atom shows its number (from 0,
    as in RDKit) and its score.

    Parameters
    ----------
    panels : Panel or sequence of Panel
        What to draw, row by row.
    size : (int, int), default=(420, 340)
        Width and height of one panel in pixels. Panels grow higher if words would take more than half of
        them.
    columns : int, default=3
        Panels in a row, at most.
    scale : float, optional
        The |score| that gets the full colour in all panels. By default each panel has its own: its largest.
    noise : float, default=0.0
        Scores smaller than this part of the scale, either way, are drawn light grey: rejected as noise. 0
        switches that off.

    Returns
    -------
    str
        An ``<svg>`` element without an XML declaration, fit for a file and for an HTML page. The same input
        gives the same text.

    Raises
    ------
    PanelError
        When there is nothing to draw, or an option is out of range.

    Examples
    --------
    >>> from rdkit import Chem
    >>> svg = draw_svg(Panel(Chem.MolFromSmiles("CCO"), [0.1, -0.2, 0.4], title="ethanol"))
    >>> "<title" in svg, svg.endswith("</svg>")
    (True, True)
    """
    sheet = plan(panels, size, columns, scale, noise)
    body = "".join(_cell(cell, noise) for cell in sheet.cells)
    text = _head(sheet) + body + "</svg>"
    # Named by content: drawings put into one page do not clash, and the same drawing keeps its names.
    return text.replace(_ID, "molig-" + hashlib.sha256(text.encode()).hexdigest()[:10])


def draw_outline(mol: Chem.Mol, size: tuple[int, int] = (360, 270)) -> tuple[str, list[tuple[float, float]]]:
    """Draw a structure in ink alone, for pages that put colours under it.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        The molecule; its own 2D coordinates are used if it has any.
    size : (int, int), default=(360, 270)
        Width and height in pixels.

    Returns
    -------
    str
        What stands inside an ``<svg>`` element of this size.
    list of (float, float)
        Where each atom is, in pixels from the upper left corner.

    Examples
    --------
    >>> from rdkit import Chem
    >>> ink, places = draw_outline(Chem.MolFromSmiles("CCO"))
    >>> ink.startswith("<"), len(places)
    (True, 3)
    """
    document, places = bare_structure_svg(mol, size)
    return compact(document), places


def _head(sheet: Sheet) -> str:
    stops = "".join(
        f'<stop offset="{short(place)}" stop-color="{hex_color(color)}"/>'
        for place, color in bar_stops(sheet.noise)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sheet.width}" height="{sheet.height}"'
        f' viewBox="0 0 {sheet.width} {sheet.height}" role="group" aria-labelledby="{_ID}-title"'
        f' font-family="{_FONTS}">'
        f'<title id="{_ID}-title">{escape(sheet.title)}</title>'
        f'<defs><linearGradient id="{_ID}-bar">{stops}</linearGradient></defs>'
        '<rect width="100%" height="100%" fill="#fff"/>'
    )


def _cell(cell: Cell, noise: float) -> str:
    document, places = structure_svg(cell.panel, cell.structure.size, cell.scale, noise)
    bar = ""
    if cell.bar:
        bar = f'<rect {_corners(cell.bar)} fill="url(#{_ID}-bar)" stroke="#999" stroke-width=".5"/>'
    # A nested <svg> clips what is in it: whatever the structure, it cannot run into the words.
    return (
        f'<g role="img" aria-label={quoteattr(cell.label)}>'
        f"<svg {_corners(cell.structure)}>{compact(document)}{_hover(cell.panel, places)}</svg>"
        f"{bar}{''.join(map(_words, cell.words))}</g>"
    )


def _hover(panel: Panel, places: list[tuple[float, float]]) -> str:
    """Invisible discs over the atoms that show their scores when pointed at."""
    bonds = ((places[b.GetBeginAtomIdx()], places[b.GetEndAtomIdx()]) for b in panel.mol.GetBonds())
    lengths = [length for start, end in bonds if (length := math.dist(start, end)) > 0]
    radius = short(min(_HOVER_RADIUS, 0.4 * median(lengths)) if lengths else _HOVER_RADIUS)
    discs = "".join(
        f'<circle cx="{short(x)}" cy="{short(y)}" r="{radius}">'
        f"<title>{atom.GetSymbol()}, atom {name}: {number(score)}</title></circle>"
        for atom, name, score, (x, y) in zip(
            panel.mol.GetAtoms(), panel.atom_numbers, panel.atom_scores, places, strict=True
        )
    )
    return f'<g fill="none" pointer-events="all">{discs}</g>'


def _words(words: Words) -> str:
    weight = ' font-weight="600"' if words.heavy else ""
    return (
        f'<text x="{short(words.x)}" y="{short(words.y)}" font-size="{words.size}" fill="{words.color}"'
        f' text-anchor="{words.anchor}"{weight}>{escape(words.content)}</text>'
    )


def _corners(box: Box) -> str:
    return f'x="{short(box.x)}" y="{short(box.y)}" width="{short(box.width)}" height="{short(box.height)}"'
