"""The structure in ink, drawn by RDKit without colours, and where its atoms and letters are."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from statistics import median
from typing import Any
from xml.etree import ElementTree

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

# Pixels at a ratio of 1. Bonds get shorter when a molecule needs the room, never longer.
_BOND, _BOND_LENGTH = 1.5, 34.0
_LARGEST_FONT, _SMALLEST_FONT = 17, 5
_LINE = 1.6
# Bonds shorter than this many pixels get thinner lines, down to a part of the usual width.
_ROOMY_BOND, _THINNEST = 20.0, 0.4
# Of the usual length; a bond of a drawing may be stretched, but not so far.
_LONGEST_BOND = 10.0


@dataclass(frozen=True)
class Ink:
    """A structure drawn without colours, and where everything is, in pixels from the upper left corner.

    Parameters
    ----------
    document : str
        RDKit's SVG.
    places : tuple of (float, float)
        Where each atom is.
    letters : dict of int to (float, float, float, float)
        Left, top, right and bottom of what is written at atoms that are.
    bond : float
        Length of a bond.
    """

    document: str
    places: tuple[tuple[float, float], ...]
    letters: dict[int, tuple[float, float, float, float]]
    bond: float


def draw_ink(mol: Chem.Mol, size: tuple[float, float], padding: float) -> Ink:
    """Draw a prepared molecule as SVG."""
    drawer = rdMolDraw2D.MolDraw2DSVG(int(size[0]), int(size[1]))
    _draw(drawer, mol, padding, 1.0)
    document = drawer.GetDrawingText()
    points = [drawer.GetDrawCoords(index) for index in range(mol.GetNumAtoms())]
    places = tuple((point.x, point.y) for point in points)
    ends = ((places[b.GetBeginAtomIdx()], places[b.GetEndAtomIdx()]) for b in mol.GetBonds())
    lengths = [length for start, end in ends if (length := math.dist(start, end)) > 0]
    return Ink(document, places, _letters(document), median(lengths) if lengths else _BOND_LENGTH)


def ink_png(mol: Chem.Mol, size: tuple[float, float], padding: float, ratio: float) -> bytes:
    """Draw a prepared molecule as PNG without paper."""
    drawer = rdMolDraw2D.MolDraw2DCairo(int(size[0] * ratio), int(size[1] * ratio))
    _draw(drawer, mol, padding, ratio)
    data: bytes = drawer.GetDrawingText()
    return data


def bond_pixels(mol: Chem.Mol, width: float, height: float) -> float:
    """Estimate how long RDKit will draw a bond of 1.5, with a margin of one bond for letters."""
    spread = np.ptp(mol.GetConformer().GetPositions()[:, :2], axis=0) + _BOND
    return float(min(_BOND_LENGTH, *(_BOND * np.array([width, height]) / spread)))


def prepared(mol: Chem.Mol) -> Chem.Mol:
    """Copy a molecule and make it ready to draw: kekulised, with wedges and 2D coordinates, order kept."""
    copy = Chem.Mol(mol)
    copy.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(copy)
    if not _has_layout(copy):
        # Templates make bridged ring systems recognisable. CoordGen would set counter-ions on top of rings;
        # it is ruled out even where a program has made it the default.
        rdDepictor.Compute2DCoords(copy, clearConfs=True, forceRDKit=True, useRingTemplates=True)
        rdDepictor.StraightenDepiction(copy)
    try:
        return rdMolDraw2D.PrepareMolForDrawing(copy, kekulize=True, wedgeBonds=True)
    except Chem.KekulizeException:
        # A fragment cut from an aromatic ring has no Kekule form; the dashed aromatic form still shows it.
        return rdMolDraw2D.PrepareMolForDrawing(copy, kekulize=False, wedgeBonds=True)


def _draw(drawer: Any, mol: Chem.Mol, padding: float, ratio: float) -> None:
    options = drawer.drawOptions()
    options.useBWAtomPalette()
    options.prepareMolsBeforeDrawing = False
    options.clearBackground = False
    options.fixedBondLength = _BOND_LENGTH * ratio
    options.minFontSize, options.maxFontSize = int(_SMALLEST_FONT * ratio), int(_LARGEST_FONT * ratio)
    # RDKit's lines keep their width when it shrinks a molecule; a crowded one would clog.
    pixels = bond_pixels(mol, drawer.Width() / ratio, drawer.Height() / ratio)
    options.bondLineWidth = _LINE * ratio * min(1.0, max(_THINNEST, pixels / _ROOMY_BOND))
    options.padding = padding
    drawer.DrawMolecule(mol)
    drawer.FinishDrawing()


def _has_layout(mol: Chem.Mol) -> bool:
    """Whether a molecule brings a flat layout; damaged files have atoms on one spot, or miles away."""
    if mol.GetNumConformers() == 0 or mol.GetConformer().Is3D():
        return False
    places = np.round(mol.GetConformer().GetPositions(), 2)
    if len(np.unique(places, axis=0)) < mol.GetNumAtoms():
        return False
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    lengths = [math.dist(places[i], places[j]) for i, j in ends]
    return not lengths or max(lengths) <= _LONGEST_BOND * median(lengths)


_NUMBER = re.compile(r"-?\d+\.?\d*")


def _letters(document: str) -> dict[int, tuple[float, float, float, float]]:
    """Boxes around the letters of atoms: paths of the class "atom-N" that are filled."""
    # RDKit declares an encoding in a text that is decoded already; a parser would object to that.
    root = ElementTree.fromstring(document[document.index("<svg") :])  # noqa: S314 - made by RDKit just now
    boxes: dict[int, tuple[float, float, float, float]] = {}
    for element in root:
        kind, _, number = element.get("class", "").partition("-")
        if kind != "atom" or "fill" not in element.attrib or "d" not in element.attrib:
            continue
        numbers = list(map(float, _NUMBER.findall(element.attrib["d"])))
        box = min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
        left, top, right, bottom = boxes.get(int(number), box)
        boxes[int(number)] = (
            min(left, box[0]),
            min(top, box[1]),
            max(right, box[2]),
            max(bottom, box[3]),
        )
    return boxes
