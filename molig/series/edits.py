"""What would change the verdict: the smallest single edits of a molecule that move its score most.

The edits are the transformations of `transformations.toml`, changes that medicinal chemists try. Their
products are molecules like any other: sanitised, standardised, and asked whether the model knows their kind.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase
from rdkit.Chem import rdChemReactions

from molig.attribution import Explainer, Explanation, Target
from molig.depiction import Panel, draw_png, draw_svg
from molig.errors import InputError, UnknownNameError, UsageError, called
from molig.files import json_text, write_whole
from molig.foreign import load_any_model
from molig.model import ScoringModel
from molig.model.domain import ApplicabilityFlag, DomainStatus
from molig.molecules import Molecule, Record, Rejection
from molig.molecules.reasons import CHEMISTRY_ERRORS
from molig.series.alignment import laid_out
from molig.series.comparison import Comparison, canonical
from molig.series.matching import heavy_atoms_of, overlap_of

_MOST_PRODUCTS = 500  # of one transformation
_COLUMNS = 4
_SURE = 1e-12  # keeps logits finite


class Direction(StrEnum):
    """Which edits are wanted.

    Examples
    --------
    >>> Direction("up")
    <Direction.UP: 'up'>
    """

    BOTH = "both"
    """Those that move the score most, either way."""
    UP = "up"
    """Those that raise it."""
    DOWN = "down"
    """Those that lower it."""


@dataclass(frozen=True, eq=False)
class Transformation:
    """A change of a molecule: its name, and the reaction."""

    name: str
    reaction: rdChemReactions.ChemicalReaction
    example: tuple[str, str]


@cache
def transformations() -> tuple[Transformation, ...]:
    """The committed set of transformations."""
    text = (resources.files("molig.series") / "transformations.toml").read_text(encoding="utf-8")
    found = []
    for row in tomllib.loads(text)["transformation"]:
        reaction = rdChemReactions.ReactionFromSmarts(row["smarts"])
        reaction.Initialize()
        before, _, after = row["example"].partition(">>")
        found.append(Transformation(row["name"], reaction, (before, after)))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Edit:
    """A changed molecule.

    Parameters
    ----------
    name : str
        What was changed, such as "aromatic H to F".
    atoms : tuple of int
        Where: atoms of the molecule before, counted as in the input, that went or were replaced, or that
        bear what came.
    molecule : Molecule
        The molecule after the change, as the model reads it.
    places : tuple of (int, int)
        Atoms before and after that stand for each other, by their indices in the molecules that are scored.
    score : float
        Its score.
    difference : float
        Its score minus that of the molecule before.
    flag : ApplicabilityFlag, optional
        Whether the model knows molecules like it; None where the model cannot tell.
    comparison : Comparison, optional
        The explanation of the difference; only of edits that are listed.
    """

    name: str
    atoms: tuple[int, ...]
    molecule: Molecule
    places: tuple[tuple[int, int], ...]
    score: float = float("nan")
    difference: float = float("nan")
    flag: ApplicabilityFlag | None = None
    comparison: Comparison | None = None

    @property
    def in_domain(self) -> bool:
        """Whether nothing speaks against believing the score."""
        return self.flag is None or self.flag.status is DomainStatus.IN


@dataclass(frozen=True, eq=False)
class Edits:
    """The edits of a molecule that move its score most.

    Parameters
    ----------
    start : Explanation
        The molecule as it is.
    start_flag : ApplicabilityFlag, optional
        Whether the model knows molecules like it; None where the model cannot tell.
    listed : tuple of Edit
        The edits, with explanations, the largest difference first.
    n_edits : int
        Different molecules that the transformations make.
    n_outside : int
        Those of them that are not in the applicability domain.
    n_rejected : int
        Products that the model does not read, which are not counted above.
    """

    start: Explanation
    start_flag: ApplicabilityFlag | None
    listed: tuple[Edit, ...]
    n_edits: int
    n_outside: int
    n_rejected: int

    @property
    def has_domain(self) -> bool:
        """Whether the model can tell what it knows."""
        return self.start_flag is not None

    def to_frame(self) -> pd.DataFrame:
        """A row for each edit that is listed.

        Columns: ``edit``, ``atoms``, ``smiles``, ``score``, ``difference`` and its parts ``change``,
        ``surroundings`` and ``rest`` (see `Comparison`), ``applicability`` and ``similarity``.
        """
        return pd.DataFrame([_row(edit) for edit in self.listed], columns=list(_COLUMN_NAMES))

    def panels(self) -> list[Panel]:
        """The molecule, then each edit laid upon it, in the colours of the difference that it makes.

        See `Comparison.panels`; what an edit takes away is not there to be coloured.
        """
        start = laid_out(self.start.mol)
        task = f"{self.start.task} · {self.start.target} {self.start.score:.3g}"
        panels = [
            Panel(
                start,
                np.zeros(start.GetNumAtoms()),
                legend=(task,),
                title=self.start.id or self.start.smiles,
                atom_numbers=tuple(self.start.input_atoms.tolist()),
                unit=f"difference of {self.start.unit}",
            )
        ]
        for edit in self.listed:
            if (found := edit.comparison) is not None:
                legend = (
                    f"{edit.score:.3g} ({edit.difference:+.3g})",
                    f"change {found.change:+.2g} · surroundings {found.surroundings:+.2g}",
                    *(() if edit.in_domain or edit.flag is None else (edit.flag.status.upper(),)),
                )
                panels.append(replace(found.panels()[1], title=edit.name, legend=legend))
        return panels

    def to_svg(self, **options: Any) -> str:
        """Picture as SVG on one scale; the options are those of `molig.depiction.draw_svg`."""
        return draw_svg(self.panels(), **{"columns": _COLUMNS} | options)

    def to_png(self, **options: Any) -> bytes:
        """Picture as PNG on one scale; the options are those of `molig.depiction.draw_png`."""
        return draw_png(self.panels(), **{"columns": _COLUMNS} | options)

    def _repr_html_(self) -> str:
        return self.to_svg()


_COLUMN_NAMES = (
    *("edit", "atoms", "smiles", "score", "difference", "change", "surroundings", "rest"),
    *("applicability", "similarity"),
)


def _row(edit: Edit) -> list[Any]:
    found, flag = edit.comparison, edit.flag
    parts = [None] * 3 if found is None else [found.change, found.surroundings, found.rest]
    known = [None] * 2 if flag is None else [flag.status.value, flag.similarity]
    where = " ".join(map(str, edit.atoms))
    return [edit.name, where, edit.molecule.smiles, edit.score, edit.difference, *parts, *known]


def find_edits(
    model: ScoringModel | str | Path | Sequence[str | Path],
    molecule: str | Record,
    *,
    task: str | None = None,
    most: int = 12,
    sites: int = 2,
    direction: str = Direction.BOTH,
    outside: bool = False,
    **options: Any,
) -> Edits:
    """Find the smallest single edits of a molecule that move its score most.

    Parameters
    ----------
    model : ScoringModel, str, Path or sequence of them
        A model, or what `molig.load_model` reads.
    molecule : str or Record
        SMILES, or a row of a file.
    task : str, optional
        Which of the model's tasks; by default the one that scores the molecule highest.
    most : int
        How many edits to explain and list.
    sites : int
        At how many places of the molecule one kind of edit is listed, those where it does most.
    direction : {"both", "up", "down"}
        Whether those that raise the score are wanted, those that lower it, or the largest of both.
    outside : bool
        Also list molecules outside the applicability domain.
    **options
        Further parameters of `molig.attribution.Explainer`: ``target``, ``tol``, ``method``, ``baseline``.

    Returns
    -------
    Edits

    Raises
    ------
    InputError
        If the molecule cannot be explained, no transformation applies to it, or nothing is left to list.
    UsageError
        For an unknown task, direction or option.

    Examples
    --------
    >>> found = find_edits("tox21-w2n2-simple", "Oc1ccccc1", task="SR-MMP", most=3)
    >>> [edit.molecule.smiles for edit in found.listed if edit.in_domain] == found.to_frame().smiles.tolist()
    True
    """
    if direction not in list(Direction):
        raise UnknownNameError(called("direction"), direction, [one.value for one in Direction])
    if min(most, sites) < 1:
        raise UsageError(f"at least 1 edit and 1 site must be asked for (got {min(most, sites)})")
    loaded = load_any_model(model) if isinstance(model, str | Path | Sequence) else model
    record = molecule if isinstance(molecule, Record) else Record(1, "", molecule)
    explainer = Explainer(loaded, task=task, **options)
    (start,) = explainer.explain_records([record])
    if isinstance(start, Rejection):
        raise InputError(f"{start.smiles!r} cannot be explained: {start.reason}")
    loaded = loaded.for_task(start.task)
    if task is None:
        explainer = Explainer(loaded, task=start.task, **options)
    edits, n_rejected = _read(loaded, start, _products(heavy_atoms_of(start.mol)))
    if not edits:
        raise InputError(
            f"none of the {len(transformations())} transformations applies to {start.scored_smiles}"
        )
    flags = _flags(loaded, [start.mol, *(edit.molecule.mol for edit in edits)])
    column = loaded.task_index(start.task)
    scores = loaded.score_molecules([edit.molecule for edit in edits])[:, column]
    if start.target == Target.LOGIT.value:
        inside = np.clip(scores, _SURE, 1 - _SURE)
        scores = np.log(inside / (1 - inside))
    edits = [
        replace(edit, score=float(score), difference=float(score) - start.score, flag=flag)
        for edit, score, flag in zip(edits, scores, flags[1:], strict=True)
        if np.isfinite(score)
    ]
    n_outside = sum(not edit.in_domain for edit in edits)
    allowed = edits if outside else [edit for edit in edits if edit.in_domain]
    chosen = _ranked(allowed, direction, sites)[:most]
    if not chosen:
        raise InputError(_nothing_left(start, len(edits), n_outside, direction, outside))
    explained = explainer.explain_molecules([edit.molecule for edit in chosen])
    listed = tuple(_compared(start, edit, why) for edit, why in zip(chosen, explained, strict=True))
    return Edits(start, flags[0], listed, len(edits), n_outside, n_rejected)


def _compared(start: Explanation, edit: Edit, why: Explanation) -> Edit:
    found = Comparison(start, why, overlap_of(list(edit.places), start.mol, why.mol))
    return replace(edit, score=why.score, difference=found.score_difference, comparison=found)


def _nothing_left(start: Explanation, n_edits: int, n_outside: int, direction: str, outside: bool) -> str:
    if n_outside == n_edits and not outside:
        return (
            f"no edit of {start.scored_smiles} stays in the model's applicability domain ({n_edits} tried); "
            f"{called('outside')} lists them, but scores there mean little"
        )
    way = "raises" if direction == Direction.UP else "lowers"
    return f"none of the {n_edits} edits of {start.scored_smiles} {way} the score of {start.task}"


def _ranked(edits: Iterable[Edit], direction: str, sites: int) -> list[Edit]:
    """The largest difference first; of equal ones in the order of the transformations."""
    wanted = [
        edit
        for edit in edits
        if direction == Direction.BOTH or (edit.difference > 0) == (direction == Direction.UP)
    ]
    n_of: Counter[str] = Counter()
    kept = []
    for edit in sorted(wanted, key=lambda edit: -abs(edit.difference)):
        n_of[edit.name] += 1
        if n_of[edit.name] <= sites:
            kept.append(edit)
    return kept


def _flags(model: ScoringModel, mols: Sequence[Chem.Mol]) -> Sequence[ApplicabilityFlag | None]:
    """Whether the model knows molecules like these; None for each where it cannot tell."""
    try:
        domain = model.domain()
    except UsageError:
        return [None] * len(mols)
    return domain.flag(mols)


# Products: transformed, written as SMILES, and read by the model's own parser as any other molecule.

_BEFORE = "react_atom_idx"
_ORDER = "_smilesAtomOutputOrder"


@dataclass(frozen=True)
class _Product:
    """A product as text, and which atom before each of its atoms was; None for new ones."""

    name: str
    smiles: str
    before: tuple[int | None, ...]
    touched: tuple[int, ...]


def _products(mol: Chem.Mol) -> Iterator[_Product]:
    with rdBase.BlockLogs():
        ready = _with_free_hydrogens(mol)
        for transformation in transformations():
            for (product,) in transformation.reaction.RunReactants((ready,), _MOST_PRODUCTS):
                try:
                    Chem.SanitizeMol(product)
                    smiles = str(Chem.MolToSmiles(product))
                except CHEMISTRY_ERRORS:  # a valence that cannot be
                    continue
                if "." in smiles:
                    continue
                before = [_before(atom) for atom in product.GetAtoms()]
                order = product.GetPropsAsDict(includePrivate=True, includeComputed=True)[_ORDER]
                touched = _touched(mol, product, before)
                yield _Product(transformation.name, smiles, tuple(before[i] for i in order), touched)


def _before(atom: Chem.Atom) -> int | None:
    return atom.GetIntProp(_BEFORE) if atom.HasProp(_BEFORE) else None


def _with_free_hydrogens(mol: Chem.Mol) -> Chem.Mol:
    """The same with numbers of hydrogens that follow the bonds, but where they say which tautomer it is."""
    ready = Chem.Mol(mol)
    for atom in ready.GetAtoms():
        if not (atom.GetIsAromatic() or atom.GetFormalCharge() or atom.GetNumRadicalElectrons()):
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
    ready.UpdatePropertyCache()
    return ready


def _touched(mol: Chem.Mol, product: Chem.Mol, before: Sequence[int | None]) -> tuple[int, ...]:
    """Atoms that went or were replaced; where there are none, those that bear what came."""
    kept = {there: here for here, there in enumerate(before) if there is not None}
    gone = {i for i in range(mol.GetNumAtoms()) if i not in kept}
    gone |= {
        there
        for there, here in kept.items()
        if mol.GetAtomWithIdx(there).GetAtomicNum() != product.GetAtomWithIdx(here).GetAtomicNum()
    }
    if gone:
        return tuple(sorted(gone))
    bearing = {there for there, here in kept.items() if _ends(mol, there) != _ends(product, here, before)}
    return tuple(sorted(bearing))


_Ends = tuple[tuple[int, int], ...]


def _ends(mol: Chem.Mol, atom: int, before: Sequence[int | None] | None = None) -> _Ends:
    """Neighbours of an atom as they were numbered before, -1 for new ones, with the bonds to them."""
    found = []
    for bond in mol.GetAtomWithIdx(atom).GetBonds():
        other = bond.GetOtherAtomIdx(atom)
        known = other if before is None else before[other]
        found.append((-1 if known is None else known, int(bond.GetBondType())))
    return tuple(sorted(found))


def _read(model: ScoringModel, start: Explanation, products: Iterable[_Product]) -> tuple[list[Edit], int]:
    """Products as the model reads them, each molecule once, and how many it does not read."""
    by_text: dict[str, _Product] = {}
    for product in products:
        by_text.setdefault(product.smiles, product)
    records = [Record(row, product.name, product.smiles) for row, product in enumerate(by_text.values())]
    molecules, rejections = model.parser.parse_many(records)
    seen, edits = {canonical(start.mol)}, []
    given = start.input_atoms
    for molecule in molecules:
        written = canonical(molecule.mol)
        if written in seen:
            continue
        seen.add(written)
        product = by_text[molecule.smiles]
        places = [
            (before, here)
            for here, at in enumerate(molecule.input_atoms.tolist())
            if at < len(product.before) and (before := product.before[at]) is not None
        ]
        atoms = tuple(int(given[atom]) for atom in product.touched)
        edits.append(Edit(product.name, atoms, molecule, tuple(places)))
    return edits, len(rejections)


def write_edits(edits: Edits, path: Path) -> None:
    """Write a picture (.svg, .png), or the list (.csv; .json with the parts of each difference).

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        write_whole(path, edits.to_frame().to_csv(index=False, lineterminator="\n"))
    elif suffix == ".json":
        write_whole(path, json_text(_as_json(edits)))
    else:
        write_whole(path, edits.to_png() if suffix == ".png" else edits.to_svg())


def _as_json(edits: Edits) -> dict[str, Any]:
    counts = {name: getattr(edits, name) for name in ("n_edits", "n_outside", "n_rejected")}
    return {
        "smiles": edits.start.smiles,
        "scored_smiles": edits.start.scored_smiles,
        "task": edits.start.task,
        "target": edits.start.target,
        "score": edits.start.score,
        **counts,
        "edits": [
            {
                "edit": edit.name,
                "atoms": list(edit.atoms),
                "applicability": edit.flag and edit.flag.status.value,
                "comparison": edit.comparison and edit.comparison.to_dict(),
            }
            for edit in edits.listed
        ],
    }
