"""What is drawn: a molecule with the scores of its atoms, bonds and pairs, and the colours of scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.errors import UnknownNameError, UsageError

LAYERS = ("atoms", "bonds", "pairs")
"""What can be coloured: atoms and bonds of the structure, and arcs between atoms that are not bonded."""


class PanelError(UsageError, ValueError):
    """A drawing was asked for that cannot be made; the message names the argument and what was expected."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One molecule with a score for each atom and, if wished, for bonds and pairs of atoms.

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
    pair_atoms : array-like, shape (n_pairs, 2), optional
        Atoms of pairs that are not bonded.
    pair_scores : array-like, shape (n_pairs,), optional
        Signed scores of these pairs, drawn as arcs.
    layers : sequence of str
        Which of "atoms", "bonds" and "pairs" are coloured. Scores of bonds that are not are still told when
        one points at them.
    unit : str, optional
        What the scores are, such as "probability": said at the colour bar. Panels of different units share no
        scale.
    outline : sequence of int, optional
        Indices of atoms that are drawn in an outline, such as those of a group that the legend names.

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
    pair_atoms: npt.NDArray[np.int64] | None = None
    pair_scores: npt.NDArray[np.float64] | None = None
    layers: tuple[str, ...] = LAYERS
    unit: str = ""
    outline: tuple[int, ...] = ()

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
        if self.pair_atoms is not None or self.pair_scores is not None:
            scores = () if self.pair_scores is None else self.pair_scores
            ends = _checked_pairs(self.pair_atoms, n_atoms)
            object.__setattr__(self, "pair_atoms", ends)
            object.__setattr__(self, "pair_scores", _checked_scores("pair", scores, len(ends)))
        for layer in self.layers:
            if layer not in LAYERS:
                raise UnknownNameError("layer", layer, LAYERS)
        object.__setattr__(self, "layers", tuple(self.layers))
        outline = tuple(map(int, self.outline))
        if any(not 0 <= atom < n_atoms for atom in outline):
            raise PanelError(f"outline: expected atoms from 0 to {n_atoms - 1} (got {max(outline)})")
        object.__setattr__(self, "outline", outline)

    def scores_of(self, layer: str) -> npt.NDArray[np.float64]:
        """Scores of a layer; none where it is not coloured."""
        held = {"atoms": self.atom_scores, "bonds": self.bond_scores, "pairs": self.pair_scores}[layer]
        return held if held is not None and layer in self.layers else np.zeros(0)


def symmetric_scale(panels: Panel | Sequence[Panel]) -> float:
    """Largest absolute score that is coloured in any of the panels; 0 for none."""
    scores = (panel.scores_of(layer) for panel in as_panels(panels) for layer in LAYERS)
    return max((float(np.abs(part).max(initial=0.0)) for part in scores), default=0.0)


SHARED, OWN = "shared", "molecule"


def scales_of(panels: Sequence[Panel], scale: float | str | None) -> tuple[list[float], str]:
    """The scale of each panel, and what to say of it where there are several."""
    if scale is None or scale == SHARED:
        largest = {
            unit: symmetric_scale([p for p in panels if p.unit == unit]) for unit in {p.unit for p in panels}
        }
        return [largest[panel.unit] for panel in panels], "one scale for all" if len(panels) > 1 else ""
    if scale == OWN:
        return [symmetric_scale(p) for p in panels], "a scale of its own" if len(panels) > 1 else ""
    try:
        given = float(scale)
    except (TypeError, ValueError):
        raise UnknownNameError("scale", str(scale), [SHARED, OWN, "a number above 0"]) from None
    if not (math.isfinite(given) and given > 0):
        raise PanelError(f"scale: expected shared, molecule, or a finite number above 0 (got {scale})")
    return [given] * len(panels), "a fixed scale"


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


def _checked_pairs(pairs: npt.ArrayLike | None, n_atoms: int) -> npt.NDArray[np.int64]:
    try:
        ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise PanelError(f"pair_atoms: expected two atoms for each pair (got {repr(pairs)[:60]})") from None
    if ends.size and not (ends.min() >= 0 and ends.max() < n_atoms and (ends[:, 0] != ends[:, 1]).all()):
        raise PanelError(f"pair_atoms: expected pairs of different atoms from 0 to {n_atoms - 1}")
    ends.setflags(write=False)
    return ends


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


@dataclass(frozen=True)
class Palette:
    """Full colours of scores that raise and that lower, and what they are called."""

    positive: RGB
    negative: RGB
    positive_name: str
    negative_name: str

    def rim(self, value: float, scale: float = 0.0) -> RGB:
        """Colour of the line around a score's: darker, so that pale ones are seen, too."""
        red, green, blue = self.positive if value > 0 else self.negative
        share = min(1.0, abs(value) / scale) if scale else 1.0
        return _mix((0.72 * red, 0.72 * green, 0.72 * blue), 0.3 + 0.7 * share**0.5)


# Each told apart by readers of any colour vision; a dashed rim marks what lowers, whatever the colours.
PALETTES = {
    "red-blue": Palette(POSITIVE, NEGATIVE, "red", "blue"),
    "orange-purple": Palette((0.93, 0.55, 0.16), (0.66, 0.56, 0.88), "orange", "purple"),
    "grey": Palette((0.62, 0.62, 0.62), (0.62, 0.62, 0.62), "solid rims", "dashed rims"),
}
RED_BLUE = PALETTES["red-blue"]

# Below this part of the scale nothing is drawn: it could not be told from white, and drawings stay small.
VISIBLE = 0.03


def diverging_color(value: float, scale: float, palette: Palette = RED_BLUE) -> RGB:
    """Colour of a signed score: white at 0, red above, blue below."""
    if not math.isfinite(value):
        raise PanelError(f"a score must be a finite number to have a colour (got {value})")
    if not (math.isfinite(scale) and scale >= 0):
        raise PanelError(f"scale must be a finite number, at least 0 (got {scale})")
    end = palette.positive if value > 0 else palette.negative
    # Comparing before dividing keeps denormal scales from overflowing.
    share = 0.0 if scale == 0 else 1.0 if abs(value) >= scale else abs(value) / scale
    return _mix(end, share)


def score_color(value: float, scale: float, noise: float, palette: Palette = RED_BLUE) -> RGB | None:
    """Colour to highlight a score with, or None where the paper may stay white."""
    if scale == 0:
        return None
    if abs(value) < noise * scale:
        return NOISE
    if abs(value) < VISIBLE * scale:
        return None
    return diverging_color(value, scale, palette)


def bar_stops(noise: float, palette: Palette = RED_BLUE) -> list[tuple[float, RGB]]:
    """Corners of the colour bar: 0 is -scale, 1 is +scale; two corners at one place are a step."""
    if noise == 0:
        return [(0.0, palette.negative), (0.5, WHITE), (1.0, palette.positive)]
    low, high = 0.5 - noise / 2, 0.5 + noise / 2
    return [
        (0.0, palette.negative),
        (low, _mix(palette.negative, noise)),
        (low, NOISE),
        (high, NOISE),
        (high, _mix(palette.positive, noise)),
        (1.0, palette.positive),
    ]


def hex_color(color: RGB) -> str:
    """Write a colour as ``#rrggbb``."""
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in color)


def _mix(end: RGB, share: float) -> RGB:
    red, green, blue = (1.0 - share * (1.0 - channel) for channel in end)
    return red, green, blue


# How scores are shown.

LABELS = ("none", "numbers", "values")


@dataclass(frozen=True)
class Look:
    """How scores are shown: colours, what is rejected as noise, labels of atoms, and which arcs are drawn."""

    palette: Palette
    noise: float
    label: str
    threshold: float

    @classmethod
    def of(cls, palette: str, noise: float, label: str, threshold: float) -> Look:
        """Check the options of a drawing."""
        if palette not in PALETTES:
            raise UnknownNameError("palette", palette, PALETTES)
        if label not in LABELS:
            raise UnknownNameError("label", label, LABELS)
        if not 0 <= noise < 1:
            raise PanelError(f"noise: expected a part of the scale, from 0 to below 1 (got {noise})")
        if not 0 <= threshold <= 1:
            raise PanelError(f"threshold: expected a part of the scale, from 0 to 1 (got {threshold})")
        return cls(PALETTES[palette], noise, label, threshold)
