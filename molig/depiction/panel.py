"""What is drawn: a molecule and the scores of its atoms and bonds, their colours, and the structure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from molig.errors import UsageError


class PanelError(UsageError, ValueError):
    """A drawing was asked for that cannot be made; the message names the argument and what was expected."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One molecule with a score for each atom and, if wished, for each bond.

    The scores are copied and checked when the panel is made, so that a mistake shows where it was made and
    not in the drawing.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        The molecule. It is never changed. Its own 2D coordinates are used if it has any, otherwise new ones
        are computed on a copy.
    atom_scores : array-like, shape (n_atoms,)
        Signed scores in the order of ``mol.GetAtoms()``.
    bond_scores : array-like, shape (n_bonds,), optional
        Signed scores in the order of ``mol.GetBonds()``. Without them only atoms are coloured.
    legend : sequence of str, optional
        Lines of text under the picture.
    title : str, optional
        One line above the picture; shortened with an ellipsis if it is too long.
    atom_numbers : sequence of int, optional
        Number of each atom, where numbers are shown; by default its index in ``mol``.

    Raises
    ------
    PanelError
        When scores are missing, superfluous or not finite, or the molecule has no atoms.

    Examples
    --------
    >>> from rdkit import Chem
    >>> mol = Chem.MolFromSmiles("CCO")
    >>> Panel(mol, [0.1, 0.2, -0.3], legend=("p = 0.91",)).atom_scores
    array([ 0.1,  0.2, -0.3])
    >>> Panel(mol, [0.1, 0.2])
    Traceback (most recent call last):
        ...
    molig.depiction.panel.PanelError: atom_scores: expected 3 numbers, one per atom (got 2)
    """

    mol: Chem.Mol
    atom_scores: npt.NDArray[np.float64]
    bond_scores: npt.NDArray[np.float64] | None = None
    legend: tuple[str, ...] = ()
    title: str = ""
    atom_numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.mol, Chem.Mol):
            raise PanelError(f"mol: expected an RDKit molecule (got {type(self.mol).__name__})")
        if self.mol.GetNumAtoms() == 0:
            raise PanelError("mol: a molecule without atoms cannot be drawn")
        legend = (self.legend,) if isinstance(self.legend, str) else tuple(map(str, self.legend))
        object.__setattr__(self, "legend", legend)
        n_atoms = self.mol.GetNumAtoms()
        numbers = tuple(map(int, self.atom_numbers)) or tuple(range(n_atoms))
        if len(numbers) != n_atoms:
            raise PanelError(f"atom_numbers: expected {n_atoms} numbers, one per atom (got {len(numbers)})")
        object.__setattr__(self, "atom_numbers", numbers)
        atoms = _checked_scores("atom", self.atom_scores, self.mol.GetNumAtoms())
        object.__setattr__(self, "atom_scores", atoms)
        if self.bond_scores is not None:
            bonds = _checked_scores("bond", self.bond_scores, self.mol.GetNumBonds())
            object.__setattr__(self, "bond_scores", bonds)


def symmetric_scale(panels: Panel | Sequence[Panel]) -> float:
    """Largest absolute score of all panels, so that they share one colour scale; 0 for none."""
    scores = [
        part
        for panel in as_panels(panels)
        for part in (panel.atom_scores, panel.bond_scores)
        if part is not None and part.size
    ]
    return max((float(np.abs(part).max()) for part in scores), default=0.0)


def as_panels(panels: Panel | Sequence[Panel]) -> tuple[Panel, ...]:
    """Take one panel for a sequence of one."""
    found = (panels,) if isinstance(panels, Panel) else tuple(panels)
    for index, panel in enumerate(found):
        if not isinstance(panel, Panel):
            raise PanelError(f"panels[{index}]: expected a Panel (got {type(panel).__name__})")
    return found


def _checked_scores(kind: str, scores: npt.ArrayLike, expected: int) -> npt.NDArray[np.float64]:
    """Copy scores into a read-only vector of the expected length, or say what is wrong with them."""
    name = f"{kind}_scores"
    try:
        vector = np.array(scores, dtype=np.float64)
    except (TypeError, ValueError):
        shown = repr(scores)[:60]
        raise PanelError(f"{name}: expected {expected} numbers, one per {kind} (got {shown})") from None
    if vector.ndim != 1:
        raise PanelError(f"{name}: expected a vector of {expected} numbers (got shape {vector.shape})")
    if vector.size != expected:
        raise PanelError(f"{name}: expected {expected} numbers, one per {kind} (got {vector.size})")
    wrong = np.flatnonzero(~np.isfinite(vector))
    if wrong.size:
        first = int(wrong[0])
        raise PanelError(
            f"{name}: expected finite numbers"
            f" (got {vector[first]} at {kind} {first}; {wrong.size} of {expected} are not finite)"
        )
    vector.setflags(write=False)
    return vector


# Colours: from a signed score to one on which black text stays readable.

RGB: TypeAlias = tuple[float, float, float]
"""Red, green and blue, each from 0 to 1."""

WHITE: RGB = (1.0, 1.0, 1.0)
# Two ends of nearly equal luminance (0.27 and 0.30): in grey print neither sign looks stronger, and black
# on them keeps a contrast above 6 : 1. Red and blue, not red and green, for readers who cannot tell those
# apart.
POSITIVE: RGB = (0.94, 0.36, 0.32)
NEGATIVE: RGB = (0.38, 0.58, 0.93)
NOISE: RGB = (0.88, 0.88, 0.88)

# Below this part of the scale a colour cannot be told from white; leaving it out keeps drawings small.
_VISIBLE = 0.02


def diverging_color(value: float, scale: float) -> RGB:
    """Colour of a signed score: white at 0, red above, blue below."""
    if not math.isfinite(value):
        raise PanelError(f"a score must be a finite number to have a colour (got {value})")
    if not (math.isfinite(scale) and scale >= 0):
        raise PanelError(f"scale must be a finite number, at least 0 (got {scale})")
    end = POSITIVE if value > 0 else NEGATIVE
    # Comparing before dividing keeps denormal scales from overflowing.
    share = 0.0 if scale == 0 else 1.0 if abs(value) >= scale else abs(value) / scale
    return _mix(end, share)


def score_color(value: float, scale: float, noise: float) -> RGB | None:
    """Colour to highlight a score with, or None where the paper may stay white."""
    if scale == 0:
        return None
    if abs(value) < noise * scale:
        return NOISE
    if abs(value) < _VISIBLE * scale:
        return None
    return diverging_color(value, scale)


def bar_stops(noise: float) -> list[tuple[float, RGB]]:
    """Corners of the colour bar: 0 is -scale, 1 is +scale; two corners at one place are a step."""
    if noise == 0:
        return [(0.0, NEGATIVE), (0.5, WHITE), (1.0, POSITIVE)]
    low, high = 0.5 - noise / 2, 0.5 + noise / 2
    return [
        (0.0, NEGATIVE),
        (low, _mix(NEGATIVE, noise)),
        (low, NOISE),
        (high, NOISE),
        (high, _mix(POSITIVE, noise)),
        (1.0, POSITIVE),
    ]


def hex_color(color: RGB) -> str:
    """Write a colour as ``#rrggbb``."""
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in color)


def _mix(end: RGB, share: float) -> RGB:
    red, green, blue = (1.0 - share * (1.0 - channel) for channel in end)
    return red, green, blue


# The structure, drawn by RDKit with highlighted atoms and bonds.

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
    panel: Panel, size: tuple[float, float], scale: float, noise: float
) -> tuple[str, list[tuple[float, float]]]:
    """Draw a structure as SVG."""
    drawer = rdMolDraw2D.MolDraw2DSVG(int(size[0]), int(size[1]))
    _draw(drawer, panel, scale, noise)
    points = [drawer.GetDrawCoords(index) for index in range(panel.mol.GetNumAtoms())]
    return drawer.GetDrawingText(), [(point.x, point.y) for point in points]


def bare_structure_svg(mol: Chem.Mol, size: tuple[int, int]) -> tuple[str, list[tuple[float, float]]]:
    """Draw a structure without colours and without paper, for pages that colour what lies under it."""
    drawer = rdMolDraw2D.MolDraw2DSVG(*size)
    prepared = _prepared(mol)
    options: Any = drawer.drawOptions()
    _set_options(options, 1.0, _bond_pixels(prepared, *size))
    options.clearBackground = False
    drawer.DrawMolecule(prepared)
    drawer.FinishDrawing()
    points = [drawer.GetDrawCoords(index) for index in range(mol.GetNumAtoms())]
    return drawer.GetDrawingText(), [(point.x, point.y) for point in points]


def structure_png(panel: Panel, size: tuple[float, float], scale: float, noise: float, ratio: float) -> bytes:
    """Draw a structure as PNG."""
    drawer = rdMolDraw2D.MolDraw2DCairo(int(size[0] * ratio), int(size[1] * ratio))
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
