"""Two molecules compared: what a change and its surroundings contributed to the difference of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import Chem

from molig.attribution import ExplainableModel, Explainer, Explanation
from molig.attribution.explanation import environment_parts, half_bonds
from molig.depiction import Panel, draw_png, draw_svg
from molig.errors import InputError, UsageError
from molig.files import json_text, write_whole
from molig.foreign import load_any_model
from molig.molecules import Record, Rejection
from molig.series.alignment import laid_out, laid_upon
from molig.series.matching import Index, Overlap, matched_pair, read_template
from molig.tables.writers import check_writable

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
            )
            for one, mol, scores, lines in zip(self._both, mols, (lost, gained), self._legends(), strict=True)
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
    pattern = None if template is None else read_template(template)
    loaded = load_any_model(model) if isinstance(model, str | Path | Sequence) else model
    records = [
        one if isinstance(one, Record) else Record(row, name, one)
        for row, name, one in ((1, "A", first), (2, "B", second))
    ]
    explainer = Explainer(loaded, task=task, **options)
    why = _explained(explainer, records[0])
    if task is None and len(loaded.tasks) > 1:
        explainer = Explainer(loaded, task=why.task, **options)
    return compared(why, _explained(explainer, records[1]), pattern)


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


OUTPUTS = (".svg", ".png", ".csv", ".json")
"""Names of files that a comparison, or edits, can be written to."""


def check_picture_or_numbers(path: Path) -> None:
    """Refuse an output of unknown format, or one that could not be written."""
    if path.suffix.lower() not in OUTPUTS:
        raise UsageError(f"cannot tell the format of {path}; use a name ending in {', '.join(OUTPUTS)}")
    check_writable(path)


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write a picture (.svg, .png), the parts as a table (.csv) or everything as numbers (.json).

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        write_whole(path, json_text(comparison.to_dict()))
    elif suffix == ".csv":
        write_whole(path, comparison.to_frame().to_csv(index=False, lineterminator="\n"))
    else:
        write_whole(path, comparison.to_png() if suffix == ".png" else comparison.to_svg())


def _explained(explainer: Explainer, record: Record) -> Explanation:
    (found,) = explainer.explain_records([record])
    if isinstance(found, Rejection):
        raise InputError(f"{found.id} {found.smiles!r} cannot be explained: {found.reason}")
    return found
