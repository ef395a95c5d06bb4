"""The page of hits: one file that a browser opens without a network, to sort, search and look into.

Python puts numbers, structures in ink and names into the page as JSON; `hit_page.js`, beside the template,
draws what is looked at. Everything that came with the molecules is text there, never markup, and the page's
policy (Content-Security-Policy) forbids any other script, any request, and any style but its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment
from markupsafe import Markup
from rdkit import Chem, rdBase
from rdkit.Chem import FunctionalGroups, rdDepictor

from molig.attribution import Explanation
from molig.attribution.explanation import ABSENT, feature_batch, share_pairs
from molig.depiction import draw_outline
from molig.depiction.marks import BAND, BULGE, LARGEST_RADIUS, MOST_ARCS, RADIUS
from molig.depiction.panel import NOISE, PALETTES, VISIBLE, diverging_color, hex_color
from molig.features import FeatureSchema
from molig.files import html_templates
from molig.model import ApplicabilityFlag
from molig.molecules import Record, Rejection
from molig.report.tables import Result
from molig.text import legible

_WIDTH, _HEIGHT = 360, 270
_STOPS = 21
# Features below this share of a molecule's sum are left out of the page.
_LEAST_SHARE = 0.005
_SUBSTRUCTURES = 10
_ABSENT = 4


@dataclass(frozen=True)
class PageLook:
    """How the pictures of a page begin; a reader of the page may choose otherwise.

    Parameters
    ----------
    scale : {"shared", "molecule"} or float
        What gets the full colour: the largest score that is coloured on the page, in each molecule, or this
        number.
    noise : float
        Grey out scores below this share of the scale.
    palette : str
        One of `molig.depiction.panel.PALETTES`.
    layers : sequence of {"atoms", "bonds", "pairs"}
        What is coloured, as of `molig.attribution.Explanation.panel`.
    label : {"none", "numbers", "values"}
        What stands beside atoms.
    threshold : float
        Arcs are drawn of pairs whose score is at least this share of the scale, thirty at most.
    """

    scale: float | str = "shared"
    noise: float = 0.0
    palette: str = "red-blue"
    layers: Sequence[str] = ("atoms",)
    label: str = "none"
    threshold: float = 0.2


@dataclass(frozen=True)
class HitPage:
    """What a page of hits tells.

    Parameters
    ----------
    title : str
        Heading of the page.
    rows : sequence of (Record, list of Explanation or Rejection)
        The molecules in their order, as `molig.attribution.Explainer.explain_rows` yields them: with one
        explanation each, or one per task.
    meaning : str, optional
        What a score is.
    facts : sequence of (str, str), optional
        Names and values that hold for the whole page, such as the model's name.
    columns : sequence of str, optional
        Names of the values in `Record.kept`: the user's own columns.
    flags : mapping of int to ApplicabilityFlag, optional
        By `Record.row`, whether the model knows molecules like it. Empty for models without a domain.
    sentence : callable, optional
        What is said of an explanation in words.
    look : PageLook, optional
        How its pictures are coloured.

    Examples
    --------
    >>> page = render_hits(HitPage("Hits", [(Record(1, "a", "C("), Rejection(1, "a", "C(", "no SMILES"))]))
    >>> page.startswith("<!DOCTYPE html>"), "no SMILES" in page
    (True, True)
    """

    title: str
    rows: Sequence[tuple[Record, Result]]
    meaning: str = ""
    facts: Sequence[tuple[str, str]] = ()
    columns: Sequence[str] = ()
    flags: Mapping[int, ApplicabilityFlag] = field(default_factory=dict)
    sentence: Callable[[Explanation], str] = str
    look: PageLook = PageLook()


def render_hits(page: HitPage) -> str:
    """Make the page.

    Parameters
    ----------
    page : HitPage
        The contents.

    Returns
    -------
    str
        An HTML document of about 9 KB a molecule, which needs nothing else. The same contents give the same
        text.
    """
    contents = _Contents(page)
    script, style = _source("smarts.js") + _source("hit_page.js"), _source("hit_page.css")
    return (
        _environment()
        .get_template("hit_page.html.j2")
        .render(
            page=page,
            explained=contents.explained,
            rejected=[result for _, result in page.rows if isinstance(result, Rejection)],
            script=Markup(script),  # noqa: S704 - our own files
            style=Markup(style),  # noqa: S704
            script_hash=_digest(script),
            style_hash=_digest(style),
            data=Markup(_as_script(contents.data())),  # noqa: S704 - escaped there
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return html_templates("molig.report")


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _as_script(data: object) -> str:
    """JSON that may stand in a <script>: nothing in it ends the element or opens a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


# What stands in the JSON. `hit_page.js` reads it by these names.


class _Contents:
    """The page's JSON, and the tables of texts that its numbers point into."""

    def __init__(self, page: HitPage) -> None:
        self.page = page
        self.explained = [(r, result) for r, result in page.rows if not isinstance(result, Rejection)]
        self._columns = _of_the_user(page.columns, page.rows)
        self._features: dict[str, int] = {}
        self._kinds: dict[tuple[Any, ...], int] = {}
        every = [one for _, result in self.explained for one in result]
        self._tasks = {task: i for i, task in enumerate(dict.fromkeys(one.task for one in every))}
        self._every = every

    def data(self) -> dict[str, Any]:
        """Everything; plain values only."""
        molecules = [self._molecule(number, *row) for number, row in enumerate(self.explained)]
        for number, note in _twins(self.explained).items():
            molecules[number]["notes"].append(note)
        target = self._every[0].target if self._every else "probability"
        look, palette = self.page.look, PALETTES[self.page.look.palette]
        return {
            "title": legible(self.page.title),
            "tasks": [legible(task) for task in self._tasks],
            "several": any(len(result) > 1 for _, result in self.explained),
            "target": self._every[0].target_in_words if self._every else target,
            "start": legible(self._every[0].start_name) if self._every else "",
            "reference": any(one.reference for one in self._every),
            # Values of several tasks have units of their own.
            "units": len({one.unit for one in self._every}) > 1,
            "palette": [
                hex_color(diverging_color(2 * i / (_STOPS - 1) - 1, 1.0, palette)) for i in range(_STOPS)
            ],
            "own": look.scale == "molecule",
            "fixed": look.scale if isinstance(look.scale, float) else None,
            "layers": list(look.layers),
            "label": look.label,
            "threshold": look.threshold,
            "marks": _MARKS,
            "rims": [hex_color(palette.rim(sign)) for sign in (1.0, -1.0)],
            "noise": look.noise,
            "names": [palette.positive_name, palette.negative_name],
            "grey": hex_color(NOISE),
            "size": [_WIDTH, _HEIGHT],
            "columns": [legible(self.page.columns[place]) for place in self._columns],
            "unseen": cannot_see(self._every[0].schema) if self._every else [],
            "groups": functional_groups([result[0].mol for _, result in self.explained]),
            "features": list(self._features),
            "kinds": [list(kind) for kind in self._kinds],
            "molecules": molecules,
        }

    def _molecule(self, number: int, record: Record, result: list[Explanation]) -> dict[str, Any]:
        first = result[0]
        drawn = draw_outline(first.mol, (_WIDTH, _HEIGHT))
        shown, spans = smiles_spans(first)
        flag = self.page.flags.get(record.row)
        named = first.id != first.smiles
        return {
            "id": legible(first.id) if first.id and named else "",
            "row": record.row,
            "smiles": legible(first.smiles),
            "scored": legible(first.scored_smiles) if first.scored_smiles != first.smiles else "",
            "removed": [legible(part) for part in first.removed],
            "text": shown,
            "spans": spans,
            "numbers": first.input_atoms.tolist(),
            "atoms": [self._kinds.setdefault(kind, len(self._kinds)) for kind in _atom_kinds(first.mol)],
            "bonds": _bonds(first.mol),
            "rings": _rings(first.mol),
            "xy": [round(coordinate) for place in drawn.places for coordinate in place],
            "boxes": [_figure(n) for atom, box in drawn.boxes.items() for n in (atom, *box)],
            "free": [round(math.degrees(angle)) for angle in drawn.directions],
            "bond": _figure(drawn.bond),
            "ink": drawn.ink,
            "block": _mol_block(first.mol),
            "domain": [flag.status.value, _figure(flag.similarity), legible(flag.detail)] if flag else None,
            "cells": [cell(value) for value in _chosen(record.kept, self._columns)],
            "notes": blind_spots(first),
            "why": self._whys(result),
        }

    def _whys(self, result: list[Explanation]) -> list[dict[str, Any]]:
        return [self._why(one, _features_of(one, feature_batch([one]))) for one in result]

    def _why(self, one: Explanation, table: _Features) -> dict[str, Any]:
        substructures = one.main_substructures(_SUBSTRUCTURES)
        place = {number: index for index, number in enumerate(one.input_atoms.tolist())}
        totals = defaultdict[str, float](float)
        for name, score in zip(table.names, table.scores, strict=True):
            totals[name] += score
        for each in substructures:
            totals[f"substructure {each.name}"] += each.score
        least = _LEAST_SHARE * sum(map(abs, totals.values()))
        return {
            "task": self._tasks[one.task],
            "score": _figure(one.score, 5),
            "start": _figure(one.start, 4),
            "base": _figure(one.baseline_score, 4),
            "residual": _figure(one.residual, 2),
            "converged": one.converged,
            "atoms": [_figure(score) for score in one.atom_scores.tolist()],
            "bonds": [_figure(score) for score in one.bond_scores.tolist()],
            "own": self._of_places(table, table.atom, one.mol.GetNumAtoms(), least),
            "pairs": self._of_places(table, table.bond, one.mol.GetNumBonds(), least),
            **self._arcs(one, table, least),
            "totals": self._numbered(totals.items(), least),
            "sums": [[name, _figure(score)] for name, score in sums(one).items()],
            "members": [[legible(name), _figure(score)] for name, score in one.members.items()],
            "substructures": [
                [legible(s.name), s.count, _figure(s.score), [[place[a] for a in at] for at in s.atoms]]
                for s in substructures
            ],
            "absent": [legible(text) for text in one.absent_sentences(_ABSENT)],
            "note": legible(self.page.sentence(one)),
        }

    def _arcs(self, one: Explanation, table: _Features, least: float) -> dict[str, Any]:
        """The strongest pairs that are no bonds, and what each atom has of all of them."""
        scores = np.where(one.bonded_pairs, 0.0, one.pair_scores)
        if not scores.any():
            return {"arcs": [], "others": [], "n_arcs": 0}
        chosen = _strongest(one)
        features = self._of_places(table, table.arc, len(chosen), least)
        others = share_pairs(np.zeros(one.mol.GetNumAtoms()), scores, one.graph.pair_atoms)
        return {
            "arcs": [
                [*one.graph.pair_atoms[pair].tolist(), _figure(scores[pair]), *of_it]
                for pair, of_it in zip(chosen, features, strict=True)
            ],
            "others": [_figure(score) for score in others.tolist()],
            "n_arcs": int(np.count_nonzero(scores)),
        }

    def _of_places(
        self, table: _Features, places: npt.NDArray[np.int64], n: int, least: float
    ) -> list[list[float]]:
        """Features of each atom, bond or arc, as number, score, number, score."""
        found = defaultdict[int, list[tuple[str, float]]](list)
        for row in np.flatnonzero(places >= 0).tolist():
            found[int(places[row])].append((table.names[row], table.scores[row]))
        return [self._numbered(found[index], least / 10) for index in range(n)]

    def _numbered(self, scores: Iterable[tuple[str, float]], least: float) -> list[float]:
        kept = sorted(
            ((name, s) for name, s in scores if s and abs(s) >= least), key=lambda one: -abs(one[1])
        )
        flat: list[float] = []
        for name, score in kept:
            flat += [self._features.setdefault(legible(name), len(self._features)), _figure(score)]
        return flat


# How marks lie on a structure, as `molig.depiction` has them.
_MARKS = {
    "disc": RADIUS,
    "largest": LARGEST_RADIUS,
    "band": BAND,
    "bulge": BULGE,
    "visible": VISIBLE,
}


def _strongest(one: Explanation) -> list[int]:
    """Pairs that are no bonds and may become arcs, the strongest first."""
    scores = np.abs(np.where(one.bonded_pairs, 0.0, one.pair_scores))
    order = np.argsort(-scores, kind="stable")[:MOST_ARCS]
    return [pair for pair in order.tolist() if scores[pair]]


def sums(explanation: Explanation) -> dict[str, float]:
    """What adds up to the score minus the baseline: atoms, pairs, other parts and the residual."""
    named = {_PARTS.get(name, name): part for name, part in explanation.parts.items()}
    return {**named, "residual": explanation.residual}


_PARTS = {
    "bonded pairs": "bonds",
    "non-bonded pairs": "other pairs of atoms",
    "absent substructures": "what it lacks",
}


def _figure(value: float, digits: int = 3) -> float:
    """A number with as many digits as are worth their bytes; 0 where it is not finite."""
    if not math.isfinite(value):
        return 0
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 1e15 else rounded


def cell(value: object) -> str | float | None:
    """A value of the user's, fit for JSON: numbers stay numbers, so that they sort as such."""
    if value is None or isinstance(value, bool):
        return None if value is None else str(value)
    if isinstance(value, int | float):
        if math.isnan(value):
            return None
        return value if abs(value) < 2**53 else str(value)  # larger ones lose digits in a browser
    if isinstance(value, bytes):
        return legible(value.decode(errors="replace"))
    return value.isoformat() if isinstance(value, date | datetime) else legible(value)


def _of_the_user(columns: Sequence[str], rows: Sequence[tuple[Record, Result]]) -> list[int]:
    """Places of the columns to show: of a hit table, not what the page says by itself."""
    own = {"row", "scored_smiles", "removed"}
    if not own <= set(columns):
        return list(range(len(columns)))
    tasks = {one.task for _, result in rows if not isinstance(result, Rejection) for one in result}
    told = own | tasks | {"best_task", "applicability", "similarity"}
    return [place for place, name in enumerate(columns) if name not in told]


def _chosen(kept: Sequence[object], places: Sequence[int]) -> list[object]:
    return [kept[place] if place < len(kept) else None for place in places]


# Features of atoms and bonds, out of the table that files have.


@dataclass(frozen=True)
class _Features:
    """Features of one explanation, and the atom, bond or arc of ``mol`` that each belongs to, or -1."""

    names: list[str]
    scores: list[float]
    atom: npt.NDArray[np.int64]
    bond: npt.NDArray[np.int64]
    arc: npt.NDArray[np.int64]


def _features_of(one: Explanation, batch: Any) -> _Features:
    columns = ("level", "block", "category", "atom_i", "atom_j", "score")
    level, block, category, first, second, score = (batch.column(name).to_pylist() for name in columns)
    place = {number: index for index, number in enumerate(one.input_atoms.tolist())}
    bonds = {
        frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())): bond.GetIdx()
        for bond in one.mol.GetBonds()
    }
    arcs = {
        frozenset(one.graph.pair_atoms[pair].tolist()): number for number, pair in enumerate(_strongest(one))
    }
    names, scores, atoms = [], [], []
    pairs: list[frozenset[int]] = []
    for row, kind in enumerate(level):
        if kind not in ("atom", "pair"):
            continue  # substructures are told by `main_substructures`
        names.append(_feature_name(kind, block[row], category[row]))
        scores.append(float(score[row]))
        atoms.append(place[first[row]] if kind == "atom" else -1)
        pairs.append(frozenset((place[first[row]], place[second[row]])) if kind == "pair" else frozenset())
    whole = (np.array([found.get(at, -1) for at in pairs], np.int64) for found in (bonds, arcs))
    return _Features(names, scores, np.array(atoms, np.int64), *whole)


def _feature_name(level: str, block: str, category: str) -> str:
    what = "none" if category == ABSENT else category
    return f"{level} {block.replace('_', ' ')}: {what}"


# The molecule as a graph: for searching, exporting and pointing at.


def _atom_kinds(mol: Chem.Mol) -> list[tuple[Any, ...]]:
    """What a search asks of each atom: symbol, number, charge, hydrogens, isotope, aromatic, hidden H."""
    return [
        (
            atom.GetSymbol(),
            atom.GetAtomicNum(),
            atom.GetFormalCharge(),
            atom.GetTotalNumHs(includeNeighbors=True),
            atom.GetIsotope(),
            int(atom.GetIsAromatic()),
            atom.GetTotalNumHs(),
            atom.GetTotalValence(),
        )
        for atom in mol.GetAtoms()
    ]


_BOND_CODES = {Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3}


def _bonds(mol: Chem.Mol) -> list[int]:
    """Begin, end and order (4: aromatic, 0: other) of each bond, one after the other."""
    found: list[int] = []
    for bond in mol.GetBonds():
        order = 4 if bond.GetIsAromatic() else _BOND_CODES.get(bond.GetBondType(), 0)
        found += [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), order]
    return found


def _with_exact_rings(mol: Chem.Mol) -> Chem.Mol:
    """A copy whose rings are those that SMARTS mean; standardisation may have dropped or simplified them."""
    copy = Chem.Mol(mol)
    with rdBase.BlockLogs():
        Chem.GetSymmSSSR(copy)
    return copy


def _rings(mol: Chem.Mol) -> list[list[int]]:
    copy = _with_exact_rings(mol)  # RDKit's ring information dies with its molecule
    return [list(ring) for ring in copy.GetRingInfo().AtomRings()]


def _mol_block(mol: Chem.Mol) -> str:
    """Mol block for export, without the name: that is text from elsewhere, and the page writes it."""
    copy = Chem.Mol(mol)
    with rdBase.BlockLogs():
        if not copy.GetNumConformers():
            rdDepictor.Compute2DCoords(copy)
        try:
            block = Chem.MolToMolBlock(copy)
        except (Chem.KekulizeException, Chem.AtomKekulizeException):
            block = Chem.MolToMolBlock(copy, kekulize=False)
    return str(block).split("\n", 1)[1]


_TOKEN = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]|%\(\d+\)|%\d\d|\D|\d")
_IS_ATOM = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")


def smiles_spans(explanation: Explanation) -> tuple[str, list[int]]:
    """Where the atoms of the scored molecule stand in its SMILES.

    Parameters
    ----------
    explanation : Explanation
        Of one molecule.

    Returns
    -------
    str
        The SMILES as given, or, where its atoms are in another order (SD files), a SMILES of what was scored.
    list of int
        Start and end of each atom of ``mol``, one after the other; 0, 0 for an atom that is not written.

    Examples
    --------
    >>> import molig
    >>> salt = molig.explain("tox21-w2n2-simple", "[Na+].CC(=O)[O-]", task="SR-ARE")
    >>> text, spans = smiles_spans(salt)
    >>> [text[start:end] for start, end in zip(spans[::2], spans[1::2])]
    ['C', 'C', 'O', '[O-]']
    """
    words = explanation.smiles.split()
    text = words[0] if words else ""
    tokens = [match.span() for match in _TOKEN.finditer(text) if _IS_ATOM.fullmatch(match.group())]
    mol, numbers = explanation.mol, explanation.input_atoms.tolist()
    n_input = explanation.n_input_atoms
    expected = mol.GetNumAtoms() if n_input is None else n_input
    fits = legible(text) == text and len(tokens) == expected
    if not fits or any(
        not _names(text[slice(*tokens[number])], atom.GetSymbol())
        for atom, number in zip(mol.GetAtoms(), numbers, strict=True)
        if number < len(tokens)
    ):
        return _written_spans(mol)
    spans = [tokens[number] if number < len(tokens) else (0, 0) for number in numbers]
    return text, [place for span in spans for place in span]


def _written_spans(mol: Chem.Mol) -> tuple[str, list[int]]:
    copy = Chem.Mol(mol)
    with rdBase.BlockLogs():
        text = str(Chem.MolToSmiles(copy))
    order = [int(i) for i in copy.GetProp("_smilesAtomOutputOrder").strip("[], ").split(",") if i.strip()]
    tokens = [match.span() for match in _TOKEN.finditer(text) if _IS_ATOM.fullmatch(match.group())]
    place = dict(zip(order, tokens, strict=False))
    return text, [end for i in range(mol.GetNumAtoms()) for end in place.get(i, (0, 0))]


def _names(token: str, symbol: str) -> bool:
    """Whether an atom of a SMILES can be of an element."""
    letters = re.sub(r"^\[\d*", "", token) if token.startswith("[") else token
    return letters[: len(symbol)].capitalize() == symbol.capitalize() or letters[:1] == "*"


# What the model cannot see.


def cannot_see(schema: FeatureSchema) -> list[str]:
    """Properties of molecules that no feature holds.

    Examples
    --------
    >>> from molig.features import preset
    >>> cannot_see(preset("full"))
    ['double-bond geometry', 'isotopes', 'the number of hydrogens']
    """
    return [name for name, held in _SEEN_BY.items() if not held & _block_names(schema)]


_SEEN_BY = {
    "chirality": {"chirality", "chiral_tag"},
    "double-bond geometry": {"stereo"},
    "formal charge": {"formal_charge"},
    "isotopes": {"mass", "isotope"},
    "the number of hydrogens": {"hydrogens", "n_hydrogens", "num_hs"},
}


def _block_names(schema: FeatureSchema) -> set[str]:
    return {block.name for level in ("atom", "pair") for block in schema.blocks(level)}


def blind_spots(one: Explanation) -> list[str]:
    """What of this molecule the model cannot see, in sentences.

    Examples
    --------
    >>> from molig.attribution import explain
    >>> (alanine,) = explain("tox21-w2n2-simple", ["C[C@H](N)C(=O)O"], task="SR-ARE")
    >>> blind_spots(alanine)
    ['The model does not see its chirality.']
    """
    unseen, atoms = set(cannot_see(one.schema)), list(one.mol.GetAtoms())
    stereo = [bond.GetStereo() for bond in one.mol.GetBonds()]
    has = {
        "chirality": any(atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED for atom in atoms),
        "double-bond geometry": any(mark > Chem.BondStereo.STEREOANY for mark in stereo),
        "formal charge": any(atom.GetFormalCharge() for atom in atoms),
        "isotopes": any(atom.GetIsotope() for atom in atoms),
    }
    found = [name for name, present in has.items() if present and name in unseen]
    return [f"The model does not see its {' and '.join(found)}."] if found else []


def _twins(explained: Sequence[tuple[Record, list[Explanation]]]) -> dict[int, str]:
    """By place on the page: which other molecule differs from it by nothing that the model sees."""
    groups = defaultdict[tuple[str, str], list[int]](list)
    for number, (_, result) in enumerate(explained):
        plain = Chem.MolToSmiles(result[0].mol, isomericSmiles=False)
        groups[plain, f"{result[0].score:.5f}"].append(number)
    found = {}
    for numbers in groups.values():
        for here, there in [*pairwise(numbers), *([(numbers[-1], numbers[0])] if len(numbers) > 1 else [])]:
            one, other = explained[here][1][0], explained[there][1][0]
            same = Chem.MolToSmiles(one.mol) == Chem.MolToSmiles(other.mol)
            name = legible(other.id or other.smiles)
            how = "is the same compound" if same else "differs by nothing that the model sees"
            found[here] = f"{name} {how}, and scores the same."
    return found


def functional_groups(mols: Sequence[Chem.Mol]) -> list[tuple[str, str]]:
    """Name and SMARTS of the functional groups that some of the molecules have, by RDKit's table.

    Examples
    --------
    >>> [name for name, _ in functional_groups([Chem.MolFromSmiles("CC(=O)O")])]
    ['carboxylic acid', 'carboxylic acid: aliphatic']
    """
    known = [_with_exact_rings(mol) for mol in mols]
    return [
        (name, smarts)
        for name, pattern, smarts in _known_groups()
        if any(mol.HasSubstructMatch(pattern) for mol in known)
    ]


@lru_cache(maxsize=1)
def _known_groups() -> list[tuple[str, Chem.Mol, str]]:
    found = []
    waiting = [(node, "") for node in FunctionalGroups.BuildFuncGroupHierarchy()]  # type: ignore[no-untyped-call]
    while waiting:
        node, above = waiting.pop(0)
        name = node.name.lower() if not above else f"{above}: {node.name.lower()}"
        found.append((name, node.pattern, node.smarts))
        waiting = [(child, name) for child in node.children] + waiting
    return found
