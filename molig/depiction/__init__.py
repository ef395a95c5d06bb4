"""Molecule drawings: atoms and bonds coloured by a signed score.

The room knows molecules and numbers, and nothing about where the numbers come from. Red raises, blue lowers,
white is nought.

Examples
--------
>>> from rdkit import Chem
>>> panel = Panel(Chem.MolFromSmiles("CCO"), [0.1, -0.2, 0.4], title="ethanol")
>>> draw_svg(panel).startswith("<svg")
True
"""

from molig.depiction.matrix import PairMatrix, draw_pair_matrix
from molig.depiction.panel import Panel
from molig.depiction.png import draw_png
from molig.depiction.svg import Outline, draw_outline, draw_svg
from molig.depiction.waterfall import Waterfall, draw_waterfall

__all__ = [
    "Outline",
    "PairMatrix",
    "Panel",
    "Waterfall",
    "draw_outline",
    "draw_pair_matrix",
    "draw_png",
    "draw_svg",
    "draw_waterfall",
]

# A panel as the last line of a notebook cell; said here because drawings are built on panels.
Panel._repr_svg_ = draw_svg  # type: ignore[attr-defined]
