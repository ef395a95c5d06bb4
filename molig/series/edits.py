"""What would change the verdict: the smallest single edits of a molecule that move its score most.

The edits are the transformations of `transformations.toml`, changes that medicinal chemists try. Their
products are molecules like any other: sanitised, standardised, and asked whether the model knows their kind.
"""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from molig.series.comparison import Comparison, FloatArray, canonical, frame_of_tasks, of_tasks
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
    nothing : str
        Why none is listed, of several tasks for which edits were asked for; "" otherwise.
    """

    start: Explanation
    start_flag: ApplicabilityFlag | None
    listed: tuple[Edit, ...]
    n_edits: int
    n_outside: int
    n_rejected: int
    nothing: str = ""

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
                    f"{self.start.task} {edit.score:.3g} ({edit.difference:+.3g})",
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
    record = molecule if isinstance(molecule, Record) else Record(1, "", molecule)
    (found,) = _Search(record, most, sites, direction, outside, options).of(model, [task])
    if found.nothing:
        raise InputError(found.nothing)
    return found


def find_edits_of_all_tasks(
    model: ScoringModel | str | Path | Sequence[str | Path],
    molecule: str | Record,
    *,
    most: int = 12,
    sites: int = 2,
    direction: str = Direction.BOTH,
    outside: bool = False,
    **options: Any,
) -> list[Edits]:
    """Find the smallest single edits of a molecule that move its score most, in each task of a model.

    Parameters
    ----------
    model, molecule, most, sites, direction, outside, **options
        As of `find_edits`.

    Returns
    -------
    list of Edits
        In the model's order of tasks; of a task where nothing is left to list, `Edits.nothing` says why.

    Raises
    ------
    InputError, UsageError
        As `find_edits`; the first if nothing is left to list in any task.

    Examples
    --------
    >>> found = find_edits_of_all_tasks("tox21-w1n2-simple", "Oc1ccccc1", most=1, outside=True)
    >>> [(edits.start.task, len(edits.listed)) for edits in found][-1]
    ('SR-p53', 1)
    """
    record = molecule if isinstance(molecule, Record) else Record(1, "", molecule)
    found = _Search(record, most, sites, direction, outside, options).of(model, None)
    if all(edits.nothing for edits in found):
        raise InputError(found[0].nothing)
    return found


@dataclass(frozen=True)
class _Search:
    """What is asked for of a molecule."""

    record: Record
    most: int
    sites: int
    direction: str
    outside: bool
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.direction not in list(Direction):
            raise UnknownNameError(called("direction"), self.direction, [one.value for one in Direction])
        if min(self.most, self.sites) < 1:
            lowest = min(self.most, self.sites)
            raise UsageError(f"at least 1 edit and 1 site must be asked for (got {lowest})")

    def of(
        self, model: ScoringModel | str | Path | Sequence[str | Path], tasks: Sequence[str | None] | None
    ) -> list[Edits]:
        """Edits for each of some tasks, None for the one that scores highest, or for all tasks."""
        loaded = load_any_model(model) if isinstance(model, str | Path | Sequence) else model
        explainer = Explainer(loaded, task=tasks[0] if tasks else None, **self.options)
        ((_, result),) = explainer.explain_rows([self.record], all_tasks=tasks is None)
        if isinstance(result, Rejection):
            raise InputError(f"{result.smiles!r} cannot be explained: {result.reason}")
        if tasks is not None:
            loaded = loaded.for_task(result[0].task)
        start = result[0]
        edits, n_rejected = _read(loaded, start, _products(heavy_atoms_of(start.mol)))
        if not edits:
            raise InputError(
                f"none of the {len(transformations())} transformations applies to {start.scored_smiles}"
            )
        flags = _flags(loaded, [start.mol, *(edit.molecule.mol for edit in edits)])
        edits = [replace(edit, flag=flag) for edit, flag in zip(edits, flags[1:], strict=True)]
        scores = loaded.score_molecules([edit.molecule for edit in edits])
        return [
            replace(
                self._listed(loaded, one, edits, scores[:, loaded.task_index(one.task)]),
                start_flag=flags[0],
                n_rejected=n_rejected,
            )
            for one in result
        ]

    def _listed(
        self, model: ScoringModel, start: Explanation, edits: Sequence[Edit], scores: FloatArray
    ) -> Edits:
        """The edits that move the score of one task most, explained."""
        if start.target == Target.LOGIT.value:
            inside = np.clip(scores, _SURE, 1 - _SURE)
            scores = np.log(inside / (1 - inside))
        scored = [
            replace(edit, score=float(score), difference=float(score) - start.score)
            for edit, score in zip(edits, scores, strict=True)
            if np.isfinite(score)
        ]
        n_outside = sum(not edit.in_domain for edit in scored)
        allowed = scored if self.outside else [edit for edit in scored if edit.in_domain]
        chosen = _ranked(allowed, self.direction, self.sites)[: self.most]
        found = Edits(start, None, (), len(scored), n_outside, 0)
        if not chosen:
            return replace(found, nothing=_nothing_left(found, self.direction, self.outside))
        explainer = Explainer(model, task=start.task, **self.options)
        explained = explainer.explain_molecules([edit.molecule for edit in chosen])
        listed = tuple(_compared(start, edit, why) for edit, why in zip(chosen, explained, strict=True))
        return replace(found, listed=listed)


def _compared(start: Explanation, edit: Edit, why: Explanation) -> Edit:
    found = Comparison(start, why, overlap_of(list(edit.places), start.mol, why.mol))
    return replace(edit, score=why.score, difference=found.score_difference, comparison=found)


def _nothing_left(found: Edits, direction: str, outside: bool) -> str:
    smiles, n_edits = found.start.scored_smiles, found.n_edits
    if found.n_outside == n_edits and not outside:
        return (
            f"no edit of {smiles} stays in the model's applicability domain ({n_edits} tried); "
            f"{called('outside')} lists them, but scores there mean little"
        )
    way = {Direction.UP: "raises", Direction.DOWN: "lowers"}.get(Direction(direction), "moves")
    return f"none of the {n_edits} edits of {smiles} {way} the score of {found.start.task}"


def _ranked(edits: Iterable[Edit], direction: str, sites: int) -> list[Edit]:
    """The largest difference first; of equal ones in the order of the transformations."""
    wanted = [
        edit
        for edit in edits
        if edit.difference
        and (direction == Direction.BOTH or (edit.difference > 0) == (direction == Direction.UP))
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


def write_edits(by_task: Sequence[Edits], path: Path) -> None:
    """Write a picture (.svg, .png), or the list (.csv; .json with the parts of each difference).

    Parameters
    ----------
    by_task : sequence of Edits
        Of one molecule; for several tasks the table has a column ``task``, the numbers are a list ``tasks``.
    path : Path
        The file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        frames = {edits.start.task: edits.to_frame() for edits in by_task}
        write_whole(path, frame_of_tasks(frames).to_csv(index=False, lineterminator="\n"))
    elif suffix == ".json":
        write_whole(path, json_text(of_tasks([_as_json(edits) for edits in by_task])))
    else:
        panels = [panel for edits in by_task for panel in edits.panels()]
        draw = draw_png if suffix == ".png" else draw_svg
        write_whole(path, draw(panels, columns=max(_COLUMNS, math.isqrt(len(panels)))))


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
