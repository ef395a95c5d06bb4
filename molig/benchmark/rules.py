"""Truths made by rules: labels of library molecules that a rule decides, and what in them it looks at.

Two kinds. Where a *presence* is asked for (in the manner of B-XAIC, Proszewska, Danel & Rymarczyk,
arXiv:2505.22252), nothing in a molecule of label 0 matters and an explanation must be flat. *Three-part
rules* (in the style of logic7 and logic10 of Sanchez-Lengeling et al., NeurIPS 2020) ask for three groups at
once; among the molecules of label 0 are decoys that hold two of them.

Sets are made from a library in the data directory, are the same for the same library and RDKit, and are kept
in the cache directory in the layout of a user's own truth.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, combinations, product
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import rdkit
from rdkit import Chem, rdBase
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from molig.benchmark.ground_truth import GroundTruth, GroundTruthSet, find_data_file, read_table
from molig.benchmark.own_truth import ATOMS, BONDS, ID, LABEL, SMILES, SPLIT, own_truth
from molig.datasets.places import cache_directory
from molig.errors import InputError, MoligError, UnknownNameError
from molig.files import digest_of, write_whole
from molig.model import Objective

FloatArray = npt.NDArray[np.float64]
Places = list[tuple[tuple[int, ...], tuple[int, ...]]]  # atoms and bonds of each place where a part is found

_SEED, _TEST_SHARE = 0, 0.2
_MOST_ATOMS, _MOST_ALTERNATIVES = 60, 600
_MOSES, _HIV = ("library_moses_1m.parquet", "molecularsets/moses"), ("hiv.parquet", "deepchem/deepchem")
_LAYOUT = 1  # of the kept tables; counts up when a rule's molecules or truths would be others


@dataclass(frozen=True)
class Marks:
    """What a rule finds in one molecule."""

    holds: bool
    n_parts: int  # how many of its parts are there
    atoms: FloatArray  # (n_alternatives, n_atoms), 1 where an atom matters
    bonds: FloatArray  # (n_alternatives, n_bonds)


@dataclass(frozen=True)
class Rule:
    """A rule, and the molecules that are labelled by it."""

    name: str
    words: str
    parts: tuple[str, ...]  # SMARTS, or the name of one of `_PRESENCES`
    group: Literal["null", "choosing", "reporting"]
    library: tuple[str, str] = _MOSES  # file, and where it comes from
    distance: int | None = None  # bonds between the nearest atoms of two parts
    n_true: int = 1000
    n_decoys: int = 1400  # of label 0, with all parts but one
    n_others: int = 600  # of label 0, with fewer parts
    has_bonds: bool = True

    @property
    def description(self) -> GroundTruthSet:
        """As of the published sets."""
        nothing_matters = ("flat", *(["flat_bonds"] if self.has_bonds else []))
        of_bonds = ("bond_auroc",) if self.has_bonds else ()
        of_group = nothing_matters if self.group == "null" else ("jaccard",)
        return GroundTruthSet(
            name=self.name,
            file=self.library[0],
            target=LABEL,
            objective=Objective.CLASSIFICATION,
            id_column=ID,
            truth_column=ATOMS,
            rule=self.words,
            metrics=("attribution_auroc", *of_bonds, *of_group),
            source=self.library[1],
            recipe="rule",
        )

    def marks(self, mol: Chem.Mol) -> Marks | None:
        """What the rule finds in a molecule; None where too many explanations are right."""
        places = [_places(part, mol) for part in self.parts]
        n_parts = sum(bool(found) for found in places)
        if self.distance is not None:
            places = _at_distance(mol, places, self.distance)
        if not all(places):
            nothing = np.zeros((1, mol.GetNumAtoms())), np.zeros((1, mol.GetNumBonds()))
            return Marks(False, n_parts, *nothing)
        if self.group == "null":
            return Marks(True, n_parts, *_drawn(mol, [[place for found in places for place in found]]))
        found_at = places[:1] if self.distance is not None else places
        if math.prod(2 ** len(found) - 1 for found in found_at) > _MOST_ALTERNATIVES:
            return None
        if self.distance is not None:
            return Marks(True, n_parts, *_drawn(mol, _subsets(list(zip(*places, strict=True)))))
        picked = product(*(_subsets([(place,) for place in found]) for found in places))
        return Marks(True, n_parts, *_drawn(mol, [list(chain.from_iterable(one)) for one in picked]))


def _presence(
    name: str, words: str, *, part: str = "", library: tuple[str, str] = _MOSES, has_bonds: bool = True
) -> Rule:
    return Rule(
        name,
        words,
        (part or name.removeprefix("has_"),),
        "null",
        library,
        n_true=1000,
        n_decoys=0,
        n_others=1000,
        has_bonds=has_bonds,
    )


def _three(
    name: str, words: str, parts: tuple[str, str, str], group: Literal["choosing", "reporting"]
) -> Rule:
    return Rule(name, words, parts, group)


_CARBONYL, _FLUORINE, _METHOXY = "[CX3]=O", "[FX1]", "[CH3][OX2][#6]"
_PYRIDINE, _PYRAZOLE, _THIOPHENE, _FURAN = "c1ccncc1", "c1cn[n]c1", "c1ccsc1", "c1ccoc1"

# Which rules are for choosing and which for reporting was fixed before any model was trained on them.
_RULES = (
    # The library has neither boron, phosphorus nor PAINS: these are of the molecules of the set HIV.
    _presence("has_B", "a boron atom", part="[#5]", library=_HIV, has_bonds=False),
    _presence("has_P", "a phosphorus atom", part="[#15]", library=_HIV, has_bonds=False),
    _presence("has_X", "a halogen atom", part="[F,Cl,Br,I]", has_bonds=False),
    _presence("has_indole", "an indole", part="c1ccc2c(c1)cc[nX3]2"),
    _presence("has_PAINS", "a PAINS alert", part="PAINS", library=_HIV),
    _presence("rings4", "at least four rings", part="four rings"),
    _presence("ring7", "a ring of more than six atoms", part="large ring"),
    _three("triple1", "a chlorine, a carbonyl and a pyridine", ("[Cl]", _CARBONYL, _PYRIDINE), "choosing"),
    _three("triple2", "a nitrile, a methoxy and an NH", ("C#N", _METHOXY, "[NX3;H1]"), "choosing"),
    _three(
        "triple3",
        "a hydroxyl, an NH and a benzene ring",
        ("[OX2H]", "[NX3;H1]", "c1ccccc1"),
        "choosing",
    ),
    _three(
        "triple4",
        "a thiophene, an amide NC=O and an sp3 ring CH2",
        (_THIOPHENE, "[NX3][CX3]=O", "[CX4H2;R]"),
        "choosing",
    ),
    _three(
        "triple5", "a pyrazole, a fluorine and a carbonyl", (_PYRAZOLE, _FLUORINE, _CARBONYL), "reporting"
    ),
    _three(
        "triple6",
        "a sulfonyl, a methoxy and a benzene ring",
        ("[SX4](=O)=O", _METHOXY, "c1ccccc1"),
        "reporting",
    ),
    _three("triple7", "a furan, an NH and a sulfur", (_FURAN, "[NX3;H1]", "[#16]"), "reporting"),
    _three(
        "triple8",
        "a cyclopropyl, an NH2 or NH and a carbonyl",
        ("C1CC1", "[NX3;H1,H2]", _CARBONYL),
        "reporting",
    ),
    _three(
        "triple9",
        "an ester, a halogen and an aromatic nitrogen",
        ("[#6][CX3](=O)[OX2][#6]", "[F,Cl,Br]", "n"),
        "reporting",
    ),
    Rule(
        "distant",
        "an NH and a halogen on an aromatic ring, eight bonds apart",
        ("[NX3;H1,H2]", "[F,Cl,Br;$(*c)]"),
        "reporting",
        distance=8,
    ),
)


def rule_sets() -> dict[str, GroundTruthSet]:
    """Sets that are made by a rule, by name.

    Returns
    -------
    dict of str to GroundTruthSet
        In a fixed order: presences, where label 0 means that nothing matters; three-part rules; and one of
        two groups at a distance.

    Examples
    --------
    >>> list(rule_sets())[:7]
    ['has_B', 'has_P', 'has_X', 'has_indole', 'has_PAINS', 'rings4', 'ring7']
    """
    return {rule.name: rule.description for rule in _RULES}


def rule_groups() -> dict[str, tuple[str, ...]]:
    """Names of the sets to choose a recipe with (``choosing``), to report (``reporting``), and ``null``."""
    groups: dict[str, tuple[str, ...]] = {"null": (), "choosing": (), "reporting": ()}
    for rule in _RULES:
        groups[rule.group] += (rule.name,)
    return groups


def read_rule_set(name: str, directory: str | Path | None = None) -> GroundTruth:
    """Molecules of a library, labelled by a rule, with what the rule looks at.

    Parameters
    ----------
    name : str
        Name of the set; see `rule_sets`.
    directory : str or Path, optional
        Where the library lies; by default what the environment variable ``MOLIG_DATA_DIR`` says.

    Returns
    -------
    GroundTruth
        A fifth of the molecules, drawn with a fixed seed, are test molecules. Truths are all non-empty
        choices of the places where a part is found, for presences all places together.

    Raises
    ------
    UnknownNameError
        If there is no such set.
    UsageError
        If neither a directory is given nor the variable set.
    InputError
        If the library is missing or damaged.

    Examples
    --------
    >>> read_rule_set("has_Br")
    Traceback (most recent call last):
        ...
    molig.errors.UnknownNameError: unknown rule 'has_Br'; did you mean 'has_B'? Valid: ...
    """
    rule = known_rule(name)
    library = find_data_file(*rule.library, directory)
    key = digest_of(f"{_LAYOUT} {rule} {digest_of(library)} {rdkit.__version__}")
    kept = cache_directory() / "rules" / f"{name}-{key[:16]}.parquet"
    frame = _load(kept)
    if frame is None:
        column = read_table(library, ["smiles"], rule.library[1]).column("smiles")
        frame = labelled(rule, [str(text) for text in column.to_pylist()])
        # A cache that cannot be written costs the next run some time, and nothing else.
        with contextlib.suppress(MoligError, OSError):
            _save(frame, kept)
    return replace(own_truth(frame, f"{rule.name} of {library.name}"), description=rule.description)


def known_rule(name: str) -> Rule:
    """A rule by name; an unknown one is refused with the nearest valid name."""
    rules = {rule.name: rule for rule in _RULES}
    if name not in rules:
        raise UnknownNameError("rule", name, rules)
    return rules[name]


def labelled(rule: Rule, smiles: Sequence[str]) -> pd.DataFrame:
    """Draw molecules until there are enough of each kind; the layout is that of a user's own truth."""
    rng = np.random.default_rng(_SEED)
    wanted = {"true": rule.n_true, "decoy": rule.n_decoys, "other": rule.n_others}
    rows = []
    for place in rng.permutation(len(smiles)).tolist():
        if not any(wanted.values()):
            break
        with rdBase.BlockLogs():
            mol = Chem.MolFromSmiles(smiles[place]) if "." not in smiles[place] else None
        if mol is None or not 1 < mol.GetNumAtoms() <= _MOST_ATOMS:
            continue
        marks = rule.marks(mol)
        if marks is None:
            continue
        close = marks.n_parts >= len(rule.parts) - (rule.distance is None)
        kind = "true" if marks.holds else "decoy" if rule.n_decoys and close else "other"
        if wanted[kind]:
            wanted[kind] -= 1
            rows.append((str(place), smiles[place], int(marks.holds), marks.atoms, marks.bonds))
    if not any(row[2] for row in rows) or all(row[2] for row in rows):
        raise InputError(f"{rule.library[0]}: {rule.name} needs molecules with and without {rule.words}")
    frame = pd.DataFrame(rows, columns=[ID, SMILES, LABEL, ATOMS, BONDS])
    for column in (ATOMS, BONDS):
        frame[column] = [marks.tolist() for marks in frame[column]]
    if not rule.has_bonds:
        frame = frame.drop(columns=BONDS)
    frame[SPLIT] = np.where(rng.permutation(len(frame)) < _TEST_SHARE * len(frame), "test", "train")
    return frame


def _load(path: Path) -> pd.DataFrame | None:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError):
        return None
    for column in {ATOMS, BONDS} & set(frame.columns):
        frame[column] = [[one.tolist() for one in marks] for marks in frame[column]]
    return frame


def _save(frame: pd.DataFrame, path: Path) -> None:
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    write_whole(path, file.getvalue())


# What the parts of a rule are found by.


def _places(part: str, mol: Chem.Mol) -> Places:
    if part in _PRESENCES:
        return _PRESENCES[part](mol)
    pattern = _pattern(part)
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in pattern.GetBonds()]
    return [
        (match, tuple(mol.GetBondBetweenAtoms(match[a], match[b]).GetIdx() for a, b in ends))
        for match in mol.GetSubstructMatches(pattern)
    ]


@cache
def _pattern(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)


def _of_atoms(mol: Chem.Mol, atoms: set[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Atoms with all bonds between them."""
    bonds = [b.GetIdx() for b in mol.GetBonds() if {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} <= atoms]
    return tuple(sorted(atoms)), tuple(bonds)


def _pains(mol: Chem.Mol) -> Places:
    alerts = _pains_catalogue().GetMatches(mol)
    found = [match for alert in alerts for match in alert.GetFilterMatches(mol)]
    return [_of_atoms(mol, {atom for _, atom in match.atomPairs}) for match in found]


@cache
def _pains_catalogue() -> FilterCatalog:
    return FilterCatalog(FilterCatalogParams(FilterCatalogParams.FilterCatalogs.PAINS))


def _rings(mol: Chem.Mol, *, least: int = 0, longer_than: int = 0) -> Places:
    info = mol.GetRingInfo()
    rings = [
        (tuple(atoms), tuple(bonds))
        for atoms, bonds in zip(info.AtomRings(), info.BondRings(), strict=True)
        if len(atoms) > longer_than
    ]
    return rings if len(rings) >= least else []


_PRESENCES: dict[str, Callable[[Chem.Mol], Places]] = {
    "PAINS": _pains,
    "four rings": lambda mol: _rings(mol, least=4),
    "large ring": lambda mol: _rings(mol, longer_than=6),
}


def _at_distance(mol: Chem.Mol, places: list[Places], distance: int) -> list[Places]:
    """Pairs of places of two parts that are so many bonds apart, one list per part."""
    apart = Chem.GetDistanceMatrix(mol)
    pairs = [
        (one, other)
        for one, other in product(*places)
        if min(apart[a, b] for a in one[0] for b in other[0]) == distance
    ]
    return [[one for one, _ in pairs], [other for _, other in pairs]]


def _subsets(places: Sequence[tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]]) -> list[Places]:
    """All non-empty choices."""
    sizes = range(1, len(places) + 1)
    return [list(chain.from_iterable(some)) for n in sizes for some in combinations(places, n)]


def _drawn(mol: Chem.Mol, choices: Sequence[Places]) -> tuple[FloatArray, FloatArray]:
    """Each choice of places as a row of marked atoms and one of marked bonds; equal rows once."""
    atoms = np.zeros((len(choices), mol.GetNumAtoms()))
    bonds = np.zeros((len(choices), mol.GetNumBonds()))
    for row, places in enumerate(choices):
        for of_atoms, of_bonds in places:
            atoms[row, list(of_atoms)] = 1
            bonds[row, list(of_bonds)] = 1
    return np.unique(atoms, axis=0), np.unique(bonds, axis=0)
