"""What lies under the ink: discs of atoms, bands of bonds, arcs of pairs, an outline; placed, not painted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem

from molig.depiction.numbers import decimals, number
from molig.depiction.panel import NOISE, RGB, Look, Panel, score_color
from molig.depiction.structure import Ink

# Of the length of a bond: large enough to show behind letters, small enough to part neighbours.
RADIUS, BAND, _OUTLINE = 0.29, 0.3, 0.4
LARGEST_RADIUS = 11.0
# Around letters.
_MARGIN = 2.5
MOST_ARCS = 30
BULGE = 0.22

Point = tuple[float, float]


@dataclass(frozen=True)
class Disc:
    """A disc, or a pill around several letters; without a colour only there to be pointed at."""

    left: float
    top: float
    width: float
    height: float
    fill: RGB | None
    rim: RGB | None
    dashed: bool
    words: str

    @property
    def radius(self) -> float:
        """Of its round ends."""
        return min(self.width, self.height) / 2


@dataclass(frozen=True)
class Band:
    """A bond, coloured along its length, or only there to be pointed at."""

    start: Point
    end: Point
    width: float
    fill: RGB | None
    rim: RGB | None
    dashed: bool
    words: str


@dataclass(frozen=True)
class Arc:
    """A pair of atoms that are not bonded: a curve with one control point."""

    start: Point
    control: Point
    end: Point
    width: float
    color: RGB
    dashed: bool
    words: str


@dataclass(frozen=True)
class Label:
    """A number or value beside an atom; ``x, y`` is its middle."""

    content: str
    x: float
    y: float


@dataclass(frozen=True)
class Marks:
    """All marks of a structure; the outline as its bonds, its lone atoms and its whole rings."""

    outline: tuple[tuple[Point, ...], ...]
    outline_width: float
    bands: tuple[Band, ...]
    arcs: tuple[Arc, ...]
    discs: tuple[Disc, ...]
    labels: tuple[Label, ...]
    label_size: float
    n_pairs: int


def place_marks(panel: Panel, ink: Ink, scale: float, look: Look) -> Marks:
    """Place the marks of a structure that is drawn."""
    discs = tuple(_discs(panel, ink, scale, look))
    arcs, n_pairs = _arcs(panel, ink, scale, look)
    inside = set(panel.outline)
    joined = [
        (ink.places[bond.GetBeginAtomIdx()], ink.places[bond.GetEndAtomIdx()])
        for bond in panel.mol.GetBonds()
        if {bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()} <= inside
    ]
    dots = [(ink.places[atom],) for atom in panel.outline if not _has_neighbour(panel, atom, inside)]
    rings = [
        tuple(ink.places[atom] for atom in ring)
        for ring in Chem.GetSymmSSSR(Chem.Mol(panel.mol))
        if inside.issuperset(ring)
    ]
    return Marks(
        outline=(*joined, *dots, *rings),
        outline_width=2 * _OUTLINE * ink.bond,
        bands=tuple(_bands(panel, ink, scale, look)),
        arcs=arcs,
        discs=discs,
        labels=tuple(_labels(panel, ink, discs, scale, look)),
        label_size=_label_size(ink),
        n_pairs=n_pairs,
    )


def _has_neighbour(panel: Panel, atom: int, inside: set[int]) -> bool:
    return any(neighbour.GetIdx() in inside for neighbour in panel.mol.GetAtomWithIdx(atom).GetNeighbors())


def box_of(atom: int, ink: Ink) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of an atom's disc: as large as its letters, if it is written."""
    x, y = ink.places[atom]
    radius = min(LARGEST_RADIUS, RADIUS * ink.bond)
    left, top, right, bottom = x - radius, y - radius, x + radius, y + radius
    if box := ink.letters.get(atom):
        # As high as the letters of its kind and a circle, but as wide as the whole word.
        left, right = min(left, box[0] - _MARGIN), max(right, box[2] + _MARGIN)
        top, bottom = min(top, box[1] - _MARGIN), max(bottom, box[3] + _MARGIN)
    return left, top, right, bottom


def _discs(panel: Panel, ink: Ink, scale: float, look: Look) -> list[Disc]:
    scores = panel.scores_of("atoms") if "atoms" in panel.layers else np.zeros(len(panel.atom_scores))
    found = []
    for atom, name, told, score in zip(
        panel.mol.GetAtoms(), panel.atom_numbers, panel.atom_scores.tolist(), scores.tolist(), strict=True
    ):
        left, top, right, bottom = box_of(atom.GetIdx(), ink)
        fill = score_color(score, scale, look.noise, look.palette)
        coloured = fill is not None and fill != NOISE
        found.append(
            Disc(
                left,
                top,
                right - left,
                bottom - top,
                fill,
                look.palette.rim(score, scale) if coloured else None,
                dashed=coloured and score < 0,
                words=f"{atom.GetSymbol()}, atom {name}: {number(told)}",
            )
        )
    return found


_SIGNS = {"SINGLE": "–", "DOUBLE": "=", "TRIPLE": "≡", "AROMATIC": "~"}


def _bands(panel: Panel, ink: Ink, scale: float, look: Look) -> list[Band]:
    if panel.bond_scores is None:
        return []
    coloured_layer = "bonds" in panel.layers
    found = []
    for bond, score in zip(panel.mol.GetBonds(), panel.bond_scores.tolist(), strict=True):
        ends = bond.GetBeginAtom(), bond.GetEndAtom()
        first, second = (panel.atom_numbers[end.GetIdx()] for end in ends)
        sign = _SIGNS.get(str(bond.GetBondType()), "–")
        words = (
            f"{ends[0].GetSymbol()}{sign}{ends[1].GetSymbol()}, atoms {first} and {second}: {number(score)}"
        )
        if not coloured_layer:
            words += ", half of it with each atom"
        fill = score_color(score, scale, look.noise, look.palette) if coloured_layer else None
        coloured = fill is not None and fill != NOISE
        found.append(
            Band(
                ink.places[ends[0].GetIdx()],
                ink.places[ends[1].GetIdx()],
                BAND * ink.bond,
                fill,
                look.palette.rim(score, scale) if coloured else None,
                dashed=coloured and score < 0,
                words=words,
            )
        )
    return found


def _arcs(panel: Panel, ink: Ink, scale: float, look: Look) -> tuple[tuple[Arc, ...], int]:
    """Arcs of the strongest pairs, and how many pairs there are."""
    scores = panel.scores_of("pairs")
    if not len(scores) or panel.pair_atoms is None:
        return (), 0
    least = max(look.threshold, look.noise) * scale
    strongest = np.argsort(-np.abs(scores), kind="stable")[:MOST_ARCS]
    chosen = [index for index in strongest.tolist() if abs(scores[index]) >= least and scores[index]]
    arcs = []
    for index in sorted(chosen):
        i, j = panel.pair_atoms[index].tolist()
        score = float(scores[index])
        first, second = panel.mol.GetAtomWithIdx(i).GetSymbol(), panel.mol.GetAtomWithIdx(j).GetSymbol()
        numbers = panel.atom_numbers[i], panel.atom_numbers[j]
        share = min(1.0, abs(score) / scale) if scale else 0.0
        arcs.append(
            Arc(
                ink.places[i],
                _control(ink.places[i], ink.places[j], ink.places),
                ink.places[j],
                width=(0.6 + 1.6 * share) * min(1.0, ink.bond / 20),
                color=look.palette.rim(score),
                dashed=score < 0,
                words=f"{first}…{second}, atoms {numbers[0]} and {numbers[1]}: {number(score)}",
            )
        )
    return tuple(arcs), len(scores)


def _control(start: Point, end: Point, places: Sequence[Point]) -> Point:
    """Control point of an arc that bends away from the middle of the molecule."""
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    across = np.array([start[1] - end[1], end[0] - start[0]])
    outwards = np.array(middle) - np.mean(places, axis=0)
    side = 1.0 if float(across @ outwards) >= 0 else -1.0
    x, y = np.array(middle) + side * 2 * BULGE * across
    return float(x), float(y)


def _labels(panel: Panel, ink: Ink, discs: Sequence[Disc], scale: float, look: Look) -> list[Label]:
    if look.label == "none":
        return []
    size = _label_size(ink)
    labels = []
    for atom, name, score in zip(
        panel.mol.GetAtoms(), panel.atom_numbers, panel.atom_scores.tolist(), strict=True
    ):
        if look.label == "values" and score_color(score, scale, look.noise, look.palette) in (None, NOISE):
            continue
        content = str(name) if look.label == "numbers" else _short(score, scale)
        angle = freest(atom, ink.places)
        disc = discs[atom.GetIdx()]
        x, y = ink.places[atom.GetIdx()]
        cosine, sine = math.cos(angle), math.sin(angle)
        # From the atom to the edge of its disc in this direction, and as far as half of the label is long.
        reach_x = (disc.left + disc.width - x) if cosine > 0 else (x - disc.left)
        reach_y = (disc.top + disc.height - y) if sine > 0 else (y - disc.top)
        half = 0.29 * size * len(content)
        labels.append(Label(content, x + cosine * (reach_x + half + 1), y + sine * (reach_y + size / 2 + 1)))
    return labels


def _label_size(ink: Ink) -> float:
    return min(10.0, max(5.0, 0.34 * ink.bond))


def _short(score: float, scale: float) -> str:
    """A score with the decimals that two digits of the scale need, and no nought before the point."""
    return f"{score:+z.{decimals(scale, least=0)}f}".replace("0.", ".", 1).replace("-", "−")


def freest(atom: Chem.Atom, places: Sequence[Point]) -> float:
    """Direction from an atom into the widest gap between its bonds."""
    x, y = places[atom.GetIdx()]
    ends = [places[neighbour.GetIdx()] for neighbour in atom.GetNeighbors()]
    angles = sorted(math.atan2(end[1] - y, end[0] - x) for end in ends)
    if not angles:
        return -math.pi / 2
    gaps = [
        ((angles[i + 1] if i + 1 < len(angles) else angles[0] + 2 * math.pi) - angle, angle)
        for i, angle in enumerate(angles)
    ]
    widest, start = max(gaps)
    return start + widest / 2
