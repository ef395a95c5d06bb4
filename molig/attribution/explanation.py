"""The result of an attribution: numbers that add up, tables and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import Chem

from molig.depiction import Panel, draw_png, draw_svg
from molig.features import FeatureSchema, MolGraph
from molig.molecules.standardize import input_atom_indices

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

ABSENT = "none"
"""In the place of a category: the molecule has none of the block, while the baseline has."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model gives a molecule its score.

    Parameters
    ----------
    id, smiles : str
        Identifier and SMILES as given.
    mol : Mol
        The molecule that was scored, after standardisation; all atom numbers refer to it.
    task, target : str
        Output that was attributed, and whether its probability, its logit, or the value of a regression.
    score, baseline_score : float
        F(x), and F(x') where all features are zero.
    residual : float
        F(x) - F(x') minus the sum of all attributions.
    converged : bool
        Whether the residual is within the tolerance.
    n_evaluations : int
        Points of the path where F and its gradient were evaluated.
    schema : FeatureSchema
        Names of the features.
    graph : MolGraph
        The features.
    atom_attributions : array of float, shape (n_atoms, n atom entries)
        Per atom, the score of each feature: one entry per categorical block (its present category) and per
        numeric column.
    pair_attributions : array of float, shape (n_pairs, n pair entries)
        The same for pairs.
    error : float
        Estimate of the largest error of a single attribution; NaN for methods without an estimate.
    method : str
        How the score was attributed, see `Method`. Methods that take whole atoms away give one number per
        atom, shape (n_atoms, 1), and none per pair, shape (n_pairs, 0).
    baseline : str
        What the molecule was compared with; names joined by commas if attributions were averaged.

    Examples
    --------
    >>> import molig
    >>> why = molig.explain("tox21-w2n2-simple", "CC(=O)Oc1ccccc1C(=O)O", task="SR-ARE")
    >>> bool(abs(why.atom_scores.sum() + why.residual - (why.score - why.baseline_score)) < 1e-9)
    True
    """

    id: str
    smiles: str
    mol: Chem.Mol
    task: str
    target: str
    score: float
    baseline_score: float
    residual: float
    converged: bool
    n_evaluations: int
    schema: FeatureSchema
    graph: MolGraph
    atom_attributions: FloatArray
    pair_attributions: FloatArray
    error: float = float("nan")
    method: str = "integrated_gradients"
    baseline: str = "zero"

    def __repr__(self) -> str:
        """One line: molecule, score, baseline, residual."""
        state = "" if self.converged else ", not converged"
        return (
            f"Explanation({self.smiles!r}, {self.task} {self.target} {self.score:.4f}, "
            f"baseline {self.baseline_score:.4f}, residual {self.residual:+.1e}{state})"
        )

    @cached_property
    def own_atom_scores(self) -> FloatArray:
        """Scores of the atoms' own features, shape (n_atoms,)."""
        return np.asarray(self.atom_attributions.sum(axis=1), dtype=np.float64)

    @cached_property
    def pair_scores(self) -> FloatArray:
        """Scores of the pairs, in the order of ``graph.pair_atoms``, shape (n_pairs,)."""
        return np.asarray(self.pair_attributions.sum(axis=1), dtype=np.float64)

    @cached_property
    def atom_scores(self) -> FloatArray:
        """Score of each atom, shape (n_atoms,): its own features and half of each of its pairs.

        They add up to F(x) - F(x') - residual.
        """
        return share_pairs(self.own_atom_scores, self.pair_scores, self.graph.pair_atoms)

    @cached_property
    def bond_scores(self) -> FloatArray:
        """Score of each bond's own pair features, in the order of ``mol.GetBonds()``, shape (n_bonds,).

        Half of each is also part of the `atom_scores` of its two atoms.
        """
        scores = np.zeros(self.mol.GetNumBonds())
        scores[self._bond_of_pair[self._bonded]] = self.pair_scores[self._bonded]
        return scores

    @cached_property
    def ledger(self) -> dict[str, float]:
        """Shares of atoms, bonded pairs and non-bonded pairs, in percent of F(x) - F(x')."""
        sums = {
            "atoms": self.own_atom_scores.sum(),
            "bonded pairs": self.pair_scores[self._bonded].sum(),
            "non-bonded pairs": self.pair_scores[~self._bonded].sum(),
        }
        change = self.score - self.baseline_score
        return {name: float(100 * total / change) if change else 0.0 for name, total in sums.items()}

    @cached_property
    def features(self) -> pd.DataFrame:
        """One row per atom and feature: ``atom, input_atom, symbol, block, category, value, score``."""
        origin = input_atom_indices(self.mol)
        symbols = [atom.GetSymbol() for atom in self.mol.GetAtoms()]
        rows = [
            (atom, origin[atom], symbols[atom], block, category, value, score)
            for atom, block, category, value, score in self._entries("atom")
        ]
        return pd.DataFrame(
            rows, columns=["atom", "input_atom", "symbol", "block", "category", "value", "score"]
        )

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per pair and feature: ``atom_i, atom_j, bonded, block, category, value, score``."""
        ends = self.graph.pair_atoms.tolist()
        rows = [
            (*ends[pair], bool(self._bonded[pair]), block, category, value, score)
            for pair, block, category, value, score in self._entries("pair")
        ]
        return pd.DataFrame(
            rows, columns=["atom_i", "atom_j", "bonded", "block", "category", "value", "score"]
        )

    def to_frame(self) -> pd.DataFrame:
        """All attributions, of atoms and pairs, as one table with the molecule's id and task."""
        table = pd.concat([self.features.rename(columns={"atom": "atom_i"}), self.pairs])
        level = ["atom"] * len(self.features) + ["pair"] * len(self.pairs)
        head = {"id": self.id, "smiles": self.smiles, "task": self.task, "target": self.target}
        totals = {
            "molecule_score": self.score,
            "baseline_score": self.baseline_score,
            "residual": self.residual,
            "converged": self.converged,
        }
        table = table.assign(**head, level=level, **totals)
        first = [
            *head,
            "level",
            "atom_i",
            "atom_j",
            "bonded",
            "symbol",
            "block",
            "category",
            "value",
            "score",
        ]
        table = table[[*first, *totals]].astype({"atom_j": "Int64", "bonded": "boolean"})
        return table.reset_index(drop=True)

    def panel(self) -> Panel:
        """Drawing that adds up: bonds carry their own pairs, atoms all the rest.

        An atom shows its own features and half of each of its non-bonded pairs; a bond shows its pair.
        """
        own = share_pairs(
            self.own_atom_scores, np.where(self._bonded, 0.0, self.pair_scores), self.graph.pair_atoms
        )
        symbol = {"probability": "p"}.get(self.target, self.target)
        lines = (
            f"{self.task} · {symbol} = {self.score:.3f}",
            f"baseline {self.baseline_score:.3f} · residual {self.residual:+.1e}"
            + ("" if self.converged else " · NOT CONVERGED"),
        )
        return Panel(self.mol, own, self.bond_scores, legend=lines, title=self.id)

    def to_svg(self, **options: Any) -> str:
        """Picture as SVG; the options are those of `molig.depiction.draw_svg`."""
        return draw_svg(self.panel(), **options)

    def to_png(self, **options: Any) -> bytes:
        """Picture as PNG; the options are those of `molig.depiction.draw_png`."""
        return draw_png(self.panel(), **options)

    def _repr_html_(self) -> str:
        return self.to_svg()

    @cached_property
    def _bond_of_pair(self) -> Index:
        return bonds_of_pairs(self.mol, self.graph.pair_atoms)

    @cached_property
    def _bonded(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self._bond_of_pair >= 0)

    def _entries(self, level: str) -> list[tuple[int, str, str, float, float]]:
        """(row, block, category, value, score) of every feature here or in the baseline."""
        if not self.pair_attributions.shape[1] and self.graph.level("pair").n_entries:
            return self._whole_atoms() if level == "atom" else []
        _, codes, values, _ = self.graph.level(level)
        scores = self.atom_attributions if level == "atom" else self.pair_attributions
        entries: list[tuple[int, str, str, float, float]] = []
        for place in self.schema.places(level):
            name, columns, own = place.block.name, place.block.columns, scores[:, place.entries]
            if place.is_categorical:
                code = codes[:, place.stored.start]
                for row in np.flatnonzero((code >= 0) | (own[:, 0] != 0)).tolist():
                    present = code[row] >= 0
                    category = columns[code[row]] if present else ABSENT
                    entries.append((row, name, category, float(present), float(own[row, 0])))
                continue
            numbers = values[:, place.stored]
            for i, column in enumerate(columns):
                for row in np.flatnonzero((numbers[:, i] != 0) | (own[:, i] != 0)).tolist():
                    entries.append((row, name, column, float(numbers[row, i]), float(own[row, i])))
        return sorted(entries, key=lambda item: item[0])

    def _whole_atoms(self) -> list[tuple[int, str, str, float, float]]:
        symbols = [atom.GetSymbol() for atom in self.mol.GetAtoms()]
        scores = enumerate(zip(symbols, self.own_atom_scores.tolist(), strict=True))
        return [(i, "atom", symbol, 1.0, score) for i, (symbol, score) in scores]


def share_pairs(own: FloatArray, pair_scores: FloatArray, pair_atoms: Index) -> FloatArray:
    """Give each atom its own score and half of each of its pairs': the sum stays the same."""
    projected = own.copy()
    np.add.at(projected, pair_atoms.ravel(), np.repeat(pair_scores / 2, 2))
    return projected


def bonds_of_pairs(mol: Chem.Mol, pair_atoms: Index) -> Index:
    """Index of the bond between the atoms of each pair, shape (n_pairs,); -1 where there is none."""
    number = {
        (min(ends), max(ends)): bond.GetIdx()
        for bond in mol.GetBonds()
        for ends in [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())]
    }
    return np.array([number.get((int(i), int(j)), -1) for i, j in pair_atoms], dtype=np.int64)
