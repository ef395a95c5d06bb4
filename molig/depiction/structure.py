"""The structure itself, drawn by RDKit with highlighted atoms and bonds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from molig.depiction.layout import Box
from molig.depiction.panel import RGB, Panel, score_color

# Pixels at a ratio of 1. Bonds get shorter when a molecule needs the room, never longer.
_BOND, _BOND_LENGTH = 1.5, 34.0
_LARGEST_FONT, _SMALLEST_FONT = 17, 5
_LINE = 1.6
# Bonds shorter than this many pixels get thinner lines, down to a part of the usual width.
_ROOMY_BOND, _THINNEST = 20.0, 0.4
# Of a bond's length of 1.5: large enough to show behind a two-letter label, small enough to part neighbours.
_RADIUS = 0.42
_BOND_HIGHLIGHT = 12


def structure_svg(
    panel: Panel, box: Box, scale: float, noise: float
) -> tuple[str, list[tuple[float, float]]]:
    """Draw a structure as SVG."""
    drawer = rdMolDraw2D.MolDraw2DSVG(int(box.width), int(box.height))
    _draw(drawer, panel, scale, noise)
    points = [drawer.GetDrawCoords(index) for index in range(panel.mol.GetNumAtoms())]
    return drawer.GetDrawingText(), [(point.x, point.y) for point in points]


def structure_png(panel: Panel, box: Box, scale: float, noise: float, ratio: float) -> bytes:
    """Draw a structure as PNG."""
    drawer = rdMolDraw2D.MolDraw2DCairo(int(box.width * ratio), int(box.height * ratio))
    _draw(drawer, panel, scale, noise, ratio)
    data: bytes = drawer.GetDrawingText()
    return data


def _draw(drawer: Any, panel: Panel, scale: float, noise: float, ratio: float = 1.0) -> None:
    mol = _prepared(panel.mol)
    _set_options(
        drawer.drawOptions(), ratio, _bond_pixels(mol, drawer.Width() / ratio, drawer.Height() / ratio)
    )
    atoms = _colors(panel.atom_scores, scale, noise)
    bonds = _colors(panel.bond_scores, scale, noise) if panel.bond_scores is not None else {}
    drawer.DrawMolecule(
        mol,
        highlightAtoms=list(atoms),
        highlightAtomColors=atoms,
        highlightBonds=list(bonds),
        highlightBondColors=bonds,
    )
    drawer.FinishDrawing()


def _set_options(options: Any, ratio: float, bond_pixels: float) -> None:
    options.useBWAtomPalette()
    options.prepareMolsBeforeDrawing = False
    options.fixedBondLength = _BOND_LENGTH * ratio
    options.minFontSize, options.maxFontSize = int(_SMALLEST_FONT * ratio), int(_LARGEST_FONT * ratio)
    # RDKit's lines keep their width when it shrinks a molecule; a crowded one would clog.
    thinner = min(1.0, max(_THINNEST, bond_pixels / _ROOMY_BOND))
    options.bondLineWidth = _LINE * ratio * thinner
    # Bond highlights grow with the line's width and with the scale; divided by both, they suit the atoms'.
    options.highlightBondWidthMultiplier = round(_BOND_HIGHLIGHT / (ratio * thinner))
    options.highlightRadius = _RADIUS
    options.atomHighlightsAreCircles = True
    options.padding = 0.04


def _colors(scores: Iterable[float], scale: float, noise: float) -> dict[int, RGB]:
    colors = ((index, score_color(float(score), scale, noise)) for index, score in enumerate(scores))
    return {index: color for index, color in colors if color is not None}


def _bond_pixels(mol: Chem.Mol, width: float, height: float) -> float:
    """Estimate how long RDKit will draw a bond of 1.5, with a margin of one bond for letters."""
    spread = np.ptp(mol.GetConformer().GetPositions()[:, :2], axis=0) + _BOND
    return float(min(_BOND_LENGTH, *(_BOND * np.array([width, height]) / spread)))


def _prepared(mol: Chem.Mol) -> Chem.Mol:
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


def _has_layout(mol: Chem.Mol) -> bool:
    """Whether a molecule brings a flat layout; files without coordinates leave all atoms on one spot."""
    if mol.GetNumConformers() == 0 or mol.GetConformer().Is3D():
        return False
    places = np.round(mol.GetConformer().GetPositions(), 2)
    return len(np.unique(places, axis=0)) == mol.GetNumAtoms()
