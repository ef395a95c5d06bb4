"""RDKit's SVG in fewer words: the same shapes, with every style told once."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TypeAlias
from xml.etree import ElementTree

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
