"""Two molecules compared: what a change and its surroundings contributed to the difference of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from rdkit import Chem

from molig.attribution import ExplainableModel, Explainer, Explanation
from molig.attribution.explanation import environment_parts, half_bonds
from molig.depiction import Panel, draw_png, draw_svg
from molig.errors import InputError, UsageError
from molig.files import json_text, write_whole
from molig.foreign import load_any_model
from molig.molecules import Record, Rejection
from molig.screening.plan import ALL_TASKS
from molig.series.alignment import laid_out, laid_upon
from molig.series.matching import Index, Overlap, matched_pair, read_template
from molig.tables.writers import OutputTable, check_writable

FloatArray = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def changed_attribution(explanation: Explanation, atoms: Index) -> float:
    """Attribution of atoms: their own features, and all of every pair and substructure with one of them.

    A bond to a changed atom is changed as a whole; half of it would be left with the atom that stays.
    """
    is_changed = np.zeros(explanation.mol.GetNumAtoms(), dtype=bool)
    is_changed[atoms] = True
    return float(_on_changed_atoms(explanation, is_changed).sum())


def _on_changed_atoms(explanation: Explanation, changed: Flags) -> FloatArray:
    """What `changed_attribution` adds up, on the changed atoms that bear it; shape (n_atoms,)."""
    scores = np.where(changed, explanation.own_atom_scores, 0.0)
    ends = explanation.graph.pair_atoms
    bears = changed[ends]
    among = bears.sum(axis=1)
    parts = explanation.pair_scores / np.maximum(among, 1)
    for side in (0, 1):
        np.add.at(scores, ends[bears[:, side], side], parts[bears[:, side]])
    held, shares = explanation.graph.environments, explanation.environment_attributions
    if held is not None and len(shares):
        rows = np.repeat(np.arange(held.n_rows), held.sizes)
        inside = changed[held.atoms]
        n_inside = np.bincount(rows[inside], minlength=held.n_rows)
        np.add.at(scores, held.atoms[inside], (shares / np.maximum(n_inside, 1))[rows[inside]])
    return scores


def _on_kept_atoms(explanation: Explanation, changed: Flags) -> FloatArray:
    """All the rest, pairs and substructures of kept atoms alone; shape (n_atoms,)."""
    scores = np.where(changed, 0.0, explanation.own_atom_scores)
    ends = explanation.graph.pair_atoms
    kept = ~changed[ends].any(axis=1)
    np.add.at(scores, ends[kept].ravel(), np.repeat(explanation.pair_scores[kept] / 2, 2))
    held, shares = explanation.graph.environments, explanation.environment_attributions
    if held is not None and len(shares):
        rows = np.repeat(np.arange(held.n_rows), held.sizes)
        touched = np.zeros(held.n_rows, dtype=bool)
        touched[rows[changed[held.atoms]]] = True
        of_atoms, of_bonds = environment_parts(explanation.mol, held)
        left = np.where(touched, 0.0, shares)
        scores += left @ of_atoms + (left @ of_bonds) @ half_bonds(explanation.mol)
    return scores


class Entry(NamedTuple):
    """A part of two scores: how far from the change, how many atoms, and what it contributes to each."""

    part: str
    bonds: int | None
    atoms: int | None
    first: float
    second: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Why the second of two molecules has another score than the first.

    Everything is told as second minus first, in the unit of the score. What only the one molecule has, its
    own features and all pairs and substructures with an atom of it, is the change; the surroundings are the
    atoms that both have, with the pairs and substructures among them alone.

    Parameters
    ----------
    first, second : Explanation
        Of the same model, task, target and baseline.
    common : Overlap
        Atoms that stand for each other.

    Examples
    --------
    >>> from molig.series import compare
    >>> found = compare("tox21-w2n2-simple", "Cc1ccccc1", "Oc1ccccc1", task="SR-MMP")
    >>> parts = found.change + found.surroundings + found.rest
    >>> bool(abs(parts - found.score_difference) < 1e-12)
    True
    """

    first: Explanation
    second: Explanation
    common: Overlap

    def __repr__(self) -> str:
        """One line: the molecules, and the parts of the difference."""
        return (
            f"Comparison({self.first.smiles!r} -> {self.second.smiles!r}, {self.first.task} "
            f"{self.score_difference:+.4f} = change {self.change:+.4f}, surroundings "
            f"{self.surroundings:+.4f}, rest {self.rest:+.1e})"
        )

    @property
    def score_difference(self) -> float:
        """Score of the second molecule minus that of the first."""
        return self.second.score - self.first.score

    @property
    def change(self) -> float:
        """What the atoms that only the second has contribute, minus those that only the first has."""
        return self.change_second - self.change_first

    @cached_property
    def change_first(self) -> float:
        """Contribution of what only the first molecule has, to its own score."""
        return float(self._changed[0].sum())

    @cached_property
    def change_second(self) -> float:
        """Contribution of what only the second molecule has, to its own score."""
        return float(self._changed[1].sum())

    @cached_property
    def atom_differences(self) -> FloatArray:
        """Difference on each atom of the surroundings, shape (n_common,), in the order of ``common``."""
        first, second = self._kept
        return np.asarray(second[self.common.second] - first[self.common.first])

    @property
    def surroundings(self) -> float:
        """What the atoms that both molecules have contribute to the difference."""
        return float(self.atom_differences.sum())

    @cached_property
    def distances(self) -> Index:
        """Bonds between each atom of the surroundings and the change, shape (n_common,).

        0 for all atoms where no atom is changed (stereoisomers).
        """
        found = [
            Chem.GetDistanceMatrix(one.mol)[np.ix_(kept, np.flatnonzero(changed))].min(axis=1)
            for one, kept, changed in zip(self._both, self._common, self._is_changed, strict=True)
            if changed.any()
        ]
        n_common = len(self.common.first)
        return np.min(found, axis=0).astype(np.int64) if found else np.zeros(n_common, dtype=np.int64)

    @property
    def by_distance(self) -> dict[int, float]:
        """`surroundings`, by their distance from the change in bonds, the nearest first."""
        return {
            int(at): float(self.atom_differences[self.distances == at].sum())
            for at in np.unique(self.distances)
        }

    @property
    def baseline_difference(self) -> float:
        """Difference of the scores without features; a score may depend on the number of atoms alone."""
        return self.second.baseline_score - self.first.baseline_score

    @property
    def residual_difference(self) -> float:
        """Difference of what the attributions leave unexplained."""
        return self.second.residual - self.first.residual

    @property
    def absent_difference(self) -> float:
        """Difference of what the molecules lack and references have; 0 for most models."""
        return self.second.absent_score - self.first.absent_score

    @property
    def rest(self) -> float:
        """Baselines, residuals and what is absent: all that belongs to no atom."""
        return self.baseline_difference + self.residual_difference + self.absent_difference

    def account(self) -> list[Entry]:
        """The difference part by part: change, surroundings, what belongs to no atom; and the sum."""
        kept = [scores[common] for scores, common in zip(self._kept, self._common, strict=True)]
        n_changed = int(self._is_changed[1].sum())
        entries = [Entry("change", None, n_changed, self.change_first, self.change_second)]
        for at in np.unique(self.distances).tolist():
            here = self.distances == at
            first, second = (float(scores[here].sum()) for scores in kept)
            entries.append(Entry("surroundings", at or None, int(here.sum()), first, second))
        ends = {"baseline": "baseline_score", "residual": "residual", "absent": "absent_score"}
        for name, attribute in ends.items():
            first, second = (float(getattr(one, attribute)) for one in self._both)
            if name != "absent" or first or second:
                entries.append(Entry(name, None, None, first, second))
        return [*entries, Entry("score", None, None, self.first.score, self.second.score)]

    def to_frame(self) -> pd.DataFrame:
        """The difference part by part; the last row is their sum.

        Columns: ``part``, ``bonds`` (distance from the change), ``atoms`` (how many, of the second molecule
        for the change), ``first``, ``second`` (contributions to the two scores) and ``difference``.
        """
        frame = pd.DataFrame(self.account(), columns=list(Entry._fields))
        frame["difference"] = frame["second"] - frame["first"]
        return frame.astype({"bonds": "Int64", "atoms": "Int64"})

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with atoms counted as in the input."""
        numbers = [one.input_atoms.tolist() for one in self._both]
        names = ("id", "smiles", "scored_smiles", "score", "baseline_score", "residual")
        common = zip(self.common.first.tolist(), self.common.second.tolist(), strict=True)
        differences, distances = self.atom_differences.tolist(), self.distances.tolist()
        return {
            "task": self.first.task,
            "target": self.first.target,
            "baseline": self.first.baseline,
            "first": {name: getattr(self.first, name) for name in names},
            "second": {name: getattr(self.second, name) for name in names},
            "score_difference": self.score_difference,
            "change": self.change,
            "surroundings": self.surroundings,
            "surroundings_by_distance": {str(at): value for at, value in self.by_distance.items()},
            "baseline_difference": self.baseline_difference,
            "residual_difference": self.residual_difference,
            "absent_difference": self.absent_difference,
            "changed_atoms": [
                [number[i] for i in np.flatnonzero(changed)]
                for number, changed in zip(numbers, self._is_changed, strict=True)
            ],
            "common_atoms": [
                {"first": numbers[0][i], "second": numbers[1][j], "bonds": at, "difference": difference}
                for (i, j), difference, at in zip(common, differences, distances, strict=True)
            ],
        }

    def panels(self) -> tuple[Panel, Panel]:
        """Drawings of both molecules, the second laid upon the first; all colours add up to the difference.

        The first shows what is lost, with the sign turned; the second what is gained, and on the common
        atoms by how much they contribute more or less; what is changed is outlined. What belongs to no atom
        is `rest`.
        """
        lost, gained = self._lost_and_gained
        mols = self._aligned
        first, second = (
            Panel(
                mol,
                scores,
                legend=lines,
                title=one.id or one.smiles,
                atom_numbers=tuple(one.input_atoms.tolist()),
                unit=f"difference of {one.unit}",
                outline=tuple(np.flatnonzero(changed).tolist()),
            )
            for one, mol, scores, lines, changed in zip(
                self._both, mols, (lost, gained), self._legends(), self._is_changed, strict=True
            )
        )
        return first, second

    def _legends(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        task = f"{self.first.task} · {self.first.target}"
        return (
            (f"{task} {self.first.score:.3g}", f"what is changed here carried {self.change_first:+.3g}"),
            (
                f"{task} {self.second.score:.3g} ({self.score_difference:+.3g})",
                f"change {self.change:+.3g} · surroundings {self.surroundings:+.3g} · rest {self.rest:+.1g}",
            ),
        )

    @property
    def _lost_and_gained(self) -> tuple[FloatArray, FloatArray]:
        lost, gained = 0.0 - self._changed[0], self._changed[1].copy()
        gained[self.common.second] += self.atom_differences
        return lost, gained

    @property
    def _aligned(self) -> tuple[Chem.Mol, Chem.Mol]:
        first = laid_out(self.first.mol)
        return first, laid_upon(self.second.mol, first, self.common.places)

    def to_svg(self, **options: Any) -> str:
        """Picture as SVG on one scale; the options are those of `molig.depiction.draw_svg`."""
        return draw_svg(self.panels(), **{"columns": 2} | options)

    def to_png(self, **options: Any) -> bytes:
        """Picture as PNG on one scale; the options are those of `molig.depiction.draw_png`."""
        return draw_png(self.panels(), **{"columns": 2} | options)

    def _repr_html_(self) -> str:
        return self.to_svg()

    @property
    def _both(self) -> tuple[Explanation, Explanation]:
        return self.first, self.second

    @property
    def _common(self) -> tuple[Index, Index]:
        return self.common.first, self.common.second

    @cached_property
    def _is_changed(self) -> tuple[Flags, Flags]:
        first, second = (
            ~np.isin(np.arange(one.mol.GetNumAtoms()), kept)
            for one, kept in zip(self._both, self._common, strict=True)
        )
        return first, second

    @cached_property
    def _changed(self) -> tuple[FloatArray, FloatArray]:
        first, second = map(_on_changed_atoms, self._both, self._is_changed)
        return first, second

    @cached_property
    def _kept(self) -> tuple[FloatArray, FloatArray]:
        first, second = map(_on_kept_atoms, self._both, self._is_changed)
        return first, second


def compare(
    model: ExplainableModel | str | Path | Sequence[str | Path],
    first: str | Record,
    second: str | Record,
    *,
    task: str | None = None,
    template: str | None = None,
    **options: Any,
) -> Comparison:
    """Say what makes the difference between the scores of two similar molecules.

    Parameters
    ----------
    model : ExplainableModel, str, Path or sequence of them
        A model, or what `molig.load_model` reads.
    first, second : str or Record
        The molecules: SMILES, or rows of a file.
    task : str, optional
        Which of the model's tasks; by default the one that scores the first molecule highest.
    template : str, optional
        What the molecules have in common, as SMARTS or SMILES or in an SD file; by default it is searched
        for.
    **options
        Further parameters of `Explainer`: ``target``, ``tol``, ``method``, ``baseline`` and so on.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If a molecule cannot be explained, both are the same one, or they have too little in common.
    UsageError
        For an unknown task or option, or a template that cannot be read.

    Examples
    --------
    >>> found = compare("tox21-w2n2-simple", "CCc1ccccc1", "CCc1ccncc1", task="SR-ARE")
    >>> found.common.first.tolist()
    [0, 1, 2, 3, 4, 6, 7]
    """
    found = compare_all(model, [first, second], task=task, template=template, **options)
    return found.only_pair()[0]


def compared(first: Explanation, second: Explanation, template: Chem.Mol | None = None) -> Comparison:
    """`compare` of explanations that are there already."""
    if canonical(first.mol) == canonical(second.mol):
        shown = first.scored_smiles
        notes = [one.scored_note for one in (first, second) if one.scored_note]
        raise InputError(
            f"{first.smiles!r} and {second.smiles!r} are the same molecule, {shown}: nothing differs"
            + (f" ({'; '.join(notes)})" if notes else "")
        )
    return Comparison(first, second, matched_pair(first.mol, second.mol, template))


def canonical(mol: Chem.Mol) -> str:
    """SMILES by which molecules are the same or not."""
    return str(Chem.MolToSmiles(Chem.RemoveHs(mol)))


# All pairs of several molecules.


class Pair(NamedTuple):
    """Two molecules of several.

    Parameters
    ----------
    first, second : int
        Their places among the molecules that were explained.
    by_task : tuple of Comparison
        A comparison for each task; empty where there is none.
    reason : str
        Why there is none, such as too little in common; "" otherwise.

    Examples
    --------
    >>> Pair(0, 1, reason="no common scaffold").by_task
    ()
    """

    first: int
    second: int
    by_task: tuple[Comparison, ...] = ()
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Several molecules, each compared with each other one.

    Parameters
    ----------
    explained : sequence of list of Explanation
        The molecules, each with an explanation for each task.
    pairs : sequence of Pair
        Each with each later one.
    rejected : sequence of Rejection
        Molecules that cannot be explained.

    Examples
    --------
    >>> from molig.series import compare_all
    >>> found = compare_all("tox21-w2n2-simple", ["Cc1ccccc1", "Oc1ccccc1", "Nc1ccccc1"], task="SR-MMP")
    >>> found.matrix("difference").shape, len(found.pairs)
    ((3, 3), 3)
    """

    explained: Sequence[list[Explanation]]
    pairs: Sequence[Pair]
    rejected: Sequence[Rejection] = ()

    @property
    def tasks(self) -> list[str]:
        """What was explained of each molecule."""
        return [one.task for one in self.explained[0]] if self.explained else []

    def only_pair(self) -> tuple[Comparison, ...]:
        """The comparisons of two molecules, one for each task.

        Raises
        ------
        InputError
            If they cannot be compared.
        """
        (pair,) = self.pairs
        if pair.reason:
            raise InputError(pair.reason)
        return pair.by_task

    def matrix(self, part: str, task: int = 0) -> FloatArray:
        """Differences of molecules, shape (n_molecules, n_molecules): that of the column minus the row.

        Parameters
        ----------
        part : {"difference", "change", "surroundings", "rest"}
            Of the scores, or which part of it; NaN for pairs that cannot be compared.
        task : int
            Place of the task.
        """
        n = len(self.explained)
        matrix = np.zeros((n, n))
        if part == "difference":
            scores = np.array([one[task].score for one in self.explained])
            return np.asarray(scores[None, :] - scores[:, None])
        for pair in self.pairs:
            value = float(getattr(pair.by_task[task], part)) if pair.by_task else np.nan
            matrix[pair.first, pair.second], matrix[pair.second, pair.first] = value, 0.0 - value
        return matrix

    def to_frame(self) -> pd.DataFrame:
        """A row for each pair and task.

        Columns: ``task``, ``first``, ``second`` (identifiers), ``first_smiles``, ``second_smiles``,
        ``first_score``, ``second_score``, ``difference`` and its parts ``change``, ``surroundings`` and
        ``rest`` (see `Comparison`), ``common_atoms``, and the ``reason`` where there are no parts.
        """
        rows = []
        for task in range(len(self.tasks)):
            for pair in self.pairs:
                first, second = (self.explained[place][task] for place in (pair.first, pair.second))
                names = first.id, second.id, first.smiles, second.smiles
                scores = first.score, second.score, second.score - first.score
                parts: tuple[Any, ...] = (None,) * 4
                if pair.by_task:
                    one = pair.by_task[task]
                    parts = one.change, one.surroundings, one.rest, len(one.common.first)
                rows.append((first.task, *names, *scores, *parts, pair.reason))
        return pd.DataFrame(rows, columns=list(_OF_PAIRS)).astype({"common_atoms": "Int64"})


_OF_PAIRS = (
    *("task", "first", "second", "first_smiles", "second_smiles", "first_score", "second_score"),
    *("difference", "change", "surroundings", "rest", "common_atoms", "reason"),
)
MOST_COMPARED = 30
"""Molecules that are compared each with each, at most: 435 pairs, whose common parts are searched for."""


def compare_all(
    model: ExplainableModel | str | Path | Sequence[str | Path],
    molecules: Sequence[str | Record],
    *,
    task: str | None = None,
    template: str | None = None,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> Comparisons:
    """Compare each of several similar molecules with each other one.

    Parameters
    ----------
    model : ExplainableModel, str, Path or sequence of them
        A model, or what `molig.load_model` reads.
    molecules : sequence of str or Record
        SMILES, which are called A, B and so on, or rows of a file.
    task : str, optional
        Which of the model's tasks, or ``"all"``; by default the one that scores the first molecule highest.
    template : str, optional
        What the molecules have in common, as of `compare`.
    progress : callable, optional
        Called with a number of pairs that are done.
    **options
        Further parameters of `Explainer`.

    Returns
    -------
    Comparisons
        Pairs that cannot be compared, and molecules that cannot be explained, are in it with the reason.

    Raises
    ------
    InputError
        If fewer than two of them can be explained.
    UsageError
        For fewer than two molecules or more than `MOST_COMPARED`, an unknown task or option, or a template
        that cannot be read.

    Examples
    --------
    >>> found = compare_all("tox21-w2n2-simple", ["Cc1ccccc1", "Oc1ccccc1", "CCO"], task="SR-MMP")
    >>> [bool(pair.reason) for pair in found.pairs]
    [False, True, True]
    """
    if not 2 <= len(molecules) <= MOST_COMPARED:
        raise UsageError(f"from 2 to {MOST_COMPARED} molecules are compared (got {len(molecules)})")
    pattern = None if template is None else read_template(template)
    loaded = load_any_model(model) if isinstance(model, str | Path | Sequence) else model
    every = task == ALL_TASKS and ALL_TASKS not in loaded.tasks
    explainer = Explainer(loaded, task=None if every else task, **options)
    explained, rejected = list[list[Explanation]](), list[Rejection]()
    for record in lettered(molecules):
        ((_, result),) = explainer.explain_rows([record], all_tasks=every)
        if isinstance(result, Rejection):
            rejected.append(result)
            continue
        if not explained and not every and task is None and len(loaded.tasks) > 1:
            explainer = Explainer(loaded, task=result[0].task, **options)
        explained.append(result)
    if rejected and len(explained) < 2:
        one = rejected[0]
        raise InputError(f"{one.id} {one.smiles!r} cannot be explained: {one.reason}")
    pairs = []
    for first, second in combinations(range(len(explained)), 2):
        pairs.append(_pair(first, second, explained, pattern))
        if progress is not None:
            progress(1)
    return Comparisons(explained, pairs, rejected)


def lettered(molecules: Sequence[str | Record]) -> list[Record]:
    """Molecules as records that are called A, B and so on; records as they are."""
    return [
        one if isinstance(one, Record) else Record(row, _letters(row), one)
        for row, one in enumerate(molecules, start=1)
    ]


def _letters(number: int) -> str:
    """A, B, ... Z, AA, AB."""
    rest, last = divmod(number - 1, len(ascii_uppercase))
    return (_letters(rest) if rest else "") + ascii_uppercase[last]


def _pair(first: int, second: int, explained: Sequence[list[Explanation]], template: Chem.Mol | None) -> Pair:
    one, other = explained[first], explained[second]
    try:
        found = compared(one[0], other[0], template)
    except InputError as error:
        return Pair(first, second, reason=str(error))
    return Pair(first, second, tuple(Comparison(a, b, found.common) for a, b in zip(one, other, strict=True)))


PICTURES = (".svg", ".png")
OUTPUTS = (*PICTURES, ".csv", ".json")
"""Names of files that a comparison, or edits, can be written to."""


def check_picture_or_numbers(path: Path, others: Sequence[str] = ()) -> None:
    """Refuse an output of unknown format, or one that could not be written; others are written elsewhere."""
    if path.suffix.lower() not in (known := (*OUTPUTS, *others)):
        raise UsageError(f"cannot tell the format of {path}; use a name ending in {', '.join(known)}")
    check_writable(path)


def write_comparison(by_task: Sequence[Comparison], path: Path) -> None:
    """Write a picture (.svg, .png), the parts as a table (.csv) or everything as numbers (.json).

    Parameters
    ----------
    by_task : sequence of Comparison
        Of one pair; for several tasks the table has a column ``task``, and the numbers are a list ``tasks``.
    path : Path
        The file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        write_whole(path, json_text(of_tasks([one.to_dict() for one in by_task])))
    elif suffix == ".csv":
        frames = {one.first.task: one.to_frame() for one in by_task}
        write_whole(path, frame_of_tasks(frames).to_csv(index=False, lineterminator="\n"))
    else:
        panels = [panel for one in by_task for panel in one.panels()]
        draw = draw_png if suffix == ".png" else draw_svg
        write_whole(path, draw(panels, columns=2))


def of_tasks(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Plain data of one task, or of several as a list."""
    return found[0] if len(found) == 1 else {"tasks": list(found)}


def frame_of_tasks(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The table of one task, or those of several below each other, with a column ``task``."""
    if len(frames) == 1:
        return next(iter(frames.values()))
    return pd.concat([frame.assign(task=task)[["task", *frame]] for task, frame in frames.items()])


def write_comparisons(found: Comparisons, path: Path, *, csv_safe: bool = False) -> None:
    """Write a row for each pair and task (.csv), or everything as numbers (.json).

    Parameters
    ----------
    found : Comparisons
        The pairs.
    path : Path
        The file.
    csv_safe : bool
        Write text that a spreadsheet would take for a formula behind an apostrophe.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    if path.suffix.lower() == ".csv":
        table = pa.Table.from_pandas(found.to_frame(), preserve_index=False)
        with OutputTable(path, table.schema, csv_safe=csv_safe) as file:
            file.write(table)
        return
    pairs = [
        {
            "first": found.explained[pair.first][0].id,
            "second": found.explained[pair.second][0].id,
            "reason": pair.reason or None,
            "comparisons": [one.to_dict() for one in pair.by_task],
        }
        for pair in found.pairs
    ]
    rejected = [{"row": r.row, "id": r.id, "smiles": r.smiles, "reason": r.reason} for r in found.rejected]
    write_whole(path, json_text({"pairs": pairs, "rejected": rejected}))
