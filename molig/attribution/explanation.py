"""The result of an attribution: numbers that add up, tables and a picture."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from rdkit import Chem

from molig.attribution.groups import MainGroup, ScoredGroup, main_groups
from molig.attribution.ledger import TYPES, Ledger, ledger_of
from molig.attribution.substructures import (
    Substructure,
    main_substructures,
    names_of_occurrences,
    substructures_of,
)
from molig.attribution.targets import Target
from molig.depiction import PairMatrix, Panel, draw_png, draw_svg
from molig.depiction.numbers import decimals
from molig.errors import UsageError
from molig.features import FeatureSchema, MolGraph
from molig.features.environments import PackedEnvironments, bonds_of_environments
from molig.molecules import Molecule, Rejection
from molig.molecules.groups import named_groups, ring_systems
from molig.molecules.records import scored_note
from molig.text import legible

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# Parts that exceed the change of the score by more than the inverse of this are not told in percent of it.
_MATERIAL = 0.5

# An outline is drawn around a group of fewer than this share of the atoms.
_MOST_OF = 0.85

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
        The molecule that was scored, after standardisation; the arrays refer to its atoms.
    task, target : str
        Output that was attributed, and whether its probability, its logit, or the value of a regression.
    score, baseline_score : float
        F(x), and F(x') where all features are zero.
    residual : float
        F(x) - F(x') minus the sum of all attributions, those of `absent` substructures among them.
    converged : bool
        Whether the residual, and the error but for its part `sampling_error`, are within the tolerance.
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
        Bound of the largest error of a single attribution; NaN for methods without an estimate.
    sampling_error : float
        Part of it that comes of the choice of references that were drawn from a library: the largest standard
        error of a mean over them. No tolerance makes it smaller, only more references.
    method : str
        How the score was attributed, see `Method`. Methods that take whole atoms away give one number per
        atom, shape (n_atoms, 1), and none per pair, shape (n_pairs, 0).
    baseline : str
        What the molecule was compared with; names joined by commas if attributions were averaged.
    row : int
        1-based number of the record in its file or list.
    scored_smiles : str
        SMILES of ``mol``: ``smiles`` itself where nothing was changed.
    removed : tuple of str
        Counter-ions, solvents and other parts that were taken away before, by name or SMILES.
    origin : tuple of int, optional
        Index of each atom of ``mol`` among the atoms of the input, -1 for an added hydrogen; None where the
        indices are the same. Inputs are counted from 0, as the SMILES or the mol block is written: explicit
        hydrogens and all fragments have a number.
    n_input_atoms : int, optional
        Atoms of the input; None where ``mol`` has as many.
    environment_attributions : array of float, shape (n environment rows,)
        Of a committee: the score of every occurrence of a substructure, in the order of
        ``graph.environments``; empty for a network alone and for methods that take whole atoms away.
    members : dict of str to float
        Of a committee: what each member contributes to F(x) - F(x'); they add up to it.
    calibrated : bool
        Whether the model's probabilities were fitted to shares of actives.
    absent : dict of str to float
        Of a model on fingerprints that is compared with reference molecules: score of every bit that the
        references have and the molecule lacks, the largest first, named by the bit and the commonest
        substructure that sets it in the references. No atom bears them; `absent_score` is their sum.

    reference : str
        What scores are counted from instead of the baseline: a compound, or the mean of several; "" for none.
    reference_score : float
        Its score; NaN without a reference. The baseline then is the molecule's graph with the reference's
        mean features, and `size_and_shape` the difference of the two scores.

    Examples
    --------
    >>> import molig
    >>> why = molig.explain("tox21-w2n2-simple", "CC(=O)Oc1ccccc1C(=O)O", task="SR-ARE")
    >>> bool(abs(why.atom_scores.sum() + why.residual - (why.score - why.baseline_score)) < 1e-9)
    True
    >>> salt = molig.explain("tox21-w2n2-simple", "[Na+].CC(=O)[O-]", task="SR-ARE")
    >>> salt.scored_smiles, salt.removed, salt.input_atoms.tolist()
    ('CC(=O)O', ('sodium',), [1, 2, 3, 4])
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
    row: int = 1
    scored_smiles: str = ""
    removed: tuple[str, ...] = ()
    origin: tuple[int, ...] | None = None
    n_input_atoms: int | None = None
    environment_attributions: FloatArray = field(default_factory=lambda: np.zeros(0))
    members: dict[str, float] = field(default_factory=dict)
    calibrated: bool = False
    absent: dict[str, float] = field(default_factory=dict)
    sampling_error: float = 0.0
    reference: str = ""
    reference_score: float = float("nan")

    def __post_init__(self) -> None:
        if not self.scored_smiles:
            object.__setattr__(self, "scored_smiles", self.smiles)

    def __repr__(self) -> str:
        """One line: molecule, score, baseline, residual."""
        state = "" if self.converged else ", not converged"
        return (
            f"Explanation({self.smiles!r}, {self.task} {self.target} {self.score:.4f}, "
            f"{self.start_name} {self.start:.4f}, residual {self.residual:+.1e}{state})"
        )

    @cached_property
    def largest(self) -> float:
        """Size of the largest attribution of a single feature, of which the tolerance is a share."""
        held = (self.atom_attributions, self.pair_attributions, self.environment_attributions)
        return max(float(np.abs(each).max(initial=0.0)) for each in held)

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
        """Score of each atom of ``mol``, shape (n_atoms,): its own features and half of each of its pairs.

        Of a committee also its part of the substructures that it belongs to, and half of the parts of its
        bonds. They add up to F(x) - F(x') - residual - `absent_score`.
        """
        scores = share_pairs(self.own_atom_scores, self.pair_scores, self.graph.pair_atoms)
        return scores + self.substructure_scores

    @cached_property
    def input_atom_scores(self) -> FloatArray:
        """Score of each atom of the input, shape (n_input_atoms,); NaN where it is no atom of ``mol``.

        That is so for atoms of removed parts, and for explicit hydrogens, which count with their heavy atoms.
        The others add up to F(x) - F(x') - residual - `absent_score`.
        """
        n_input = self.mol.GetNumAtoms() if self.n_input_atoms is None else self.n_input_atoms
        scores = np.full(n_input, np.nan)
        scores[self.bearing_atoms] = 0.0
        np.add.at(scores, self.bearing_atoms, self.atom_scores)
        return scores

    @cached_property
    def input_atoms(self) -> Index:
        """Index of each atom of ``mol`` in the input, shape (n_atoms,); added hydrogens come behind."""
        return self._molecule.input_atoms

    @cached_property
    def bearing_atoms(self) -> Index:
        """The same, but for an added hydrogen the atom that bears it."""
        atoms = self.input_atoms.copy()
        for hydrogen in np.flatnonzero(self.is_added).tolist():
            (bearer,) = self.mol.GetAtomWithIdx(hydrogen).GetNeighbors()
            atoms[hydrogen] = atoms[bearer.GetIdx()]
        return atoms

    @cached_property
    def is_added(self) -> Flags:
        """Which atoms of ``mol`` are hydrogens that the model wanted as atoms, shape (n_atoms,)."""
        if self.origin is None:
            return np.zeros(len(self.graph.atom_codes), dtype=bool)
        return np.array(self.origin) < 0

    @cached_property
    def bond_scores(self) -> FloatArray:
        """Score of each bond's own pair features, in the order of ``mol.GetBonds()``, shape (n_bonds,).

        Of a committee also its part of the substructures that it belongs to. Half of each is also part of
        the `atom_scores` of its two atoms.
        """
        scores = self._of_environments.bonds.copy()
        scores[self._bond_of_pair[self.bonded_pairs]] += self.pair_scores[self.bonded_pairs]
        return scores

    @cached_property
    def _of_environments(self) -> _EnvironmentShares:
        return _EnvironmentShares.of(self)

    @property
    def substructure_scores(self) -> FloatArray:
        """Of a committee: score that each atom of ``mol`` has from substructures, shape (n_atoms,).

        Its part of those that it belongs to, and half of the parts of its bonds.
        """
        return self._of_environments.atoms + self._of_environments.bonds_by_atom

    @cached_property
    def substructures(self) -> pd.DataFrame:
        """Of a committee: what each substructure contributes, the largest first; empty otherwise.

        Columns: ``block`` ("environment", whose atoms are told apart as in ECFP, "element_environment", by
        their element alone, or "element_pair"), ``substructure`` (its SMILES, see
        `Substructure.name`), ``count``, ``score`` of all its occurrences together, and ``atoms``, the tuple
        of atom indices in the input of each occurrence. A substructure's score is spread evenly over its
        atoms and bonds.
        """
        rows = [(s.block, s.name, s.count, s.score, s.atoms) for s in self._substructures(by_block=True)]
        return pd.DataFrame(rows, columns=["block", "substructure", "count", "score", "atoms"])

    def main_substructures(self, n: int = 3) -> list[Substructure]:
        """Of a committee: the `n` substructures that say most about the score; empty otherwise.

        Of substructures within each other, which share a score among them, the largest is named that carries
        nearly as much as the others; blocks count together.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Substructure
            The largest contribution first, with atom indices in the input.
        """
        return main_substructures(self._substructures(by_block=False), n)

    def substructure_sentences(self, n: int = 3) -> list[str]:
        """`main_substructures` in words.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of str
            Such as ``"contains c1ccc(O)cc1 twice: +0.12"``.
        """
        return [one.sentence for one in self.main_substructures(n)]

    def absent_sentences(self, n: int = 3) -> list[str]:
        """What the molecule lacks that says most about the score, in words; see `absent`.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of str
            Such as ``"lacks CC(=O)N (bit 512): -0.03"``.
        """
        return [f"lacks {name}: {score:+.2g}" for name, score in list(self.absent.items())[:n]]

    def _substructures(self, *, by_block: bool) -> list[Substructure]:
        held = self.graph.environments
        if held is None or not len(self.environment_attributions):
            return []
        found = substructures_of(
            self.mol,
            held,
            self.schema.environment_blocks,
            self.environment_attributions,
            by_block=by_block,
        )
        number = self.input_atoms.tolist()
        return [
            replace(one, atoms=tuple(tuple(number[atom] for atom in place) for place in one.atoms))
            for one in found
        ]

    @property
    def absent_score(self) -> float:
        """Score of everything that the molecule lacks and references have; 0 of most models."""
        return float(sum(self.absent.values()))

    @property
    def removed_text(self) -> str:
        """What was removed, on one line; "" if nothing was."""
        return "; ".join(self.removed)

    @property
    def scored_note(self) -> str:
        """What was scored instead of the input, on one line; "" where nothing was changed."""
        return scored_note(self.smiles, self.scored_smiles, self.removed)

    @property
    def start(self) -> float:
        """Score that the explanation counts from: that of the reference, else F(x')."""
        return self.reference_score if self.reference else self.baseline_score

    @property
    def start_name(self) -> str:
        """What `start` is the score of."""
        return f"reference {self.reference}" if self.reference else f"{self.baseline} baseline"

    @property
    def change(self) -> float:
        """What is explained: the score minus `start`."""
        return self.score - self.start

    @property
    def size_and_shape(self) -> float:
        """What the reference's mean features score more on this molecule's graph than on its own; else 0."""
        return self.baseline_score - self.start

    @cached_property
    def parts(self) -> dict[str, float]:
        """Contributions of atoms, pairs and, of a committee, substructures: sums, in the unit of the score.

        With the residual they add up to `change`. `ledger` has them entry by entry.
        """
        sums = {
            "atoms": self.own_atom_scores.sum(),
            "bonded pairs": self.pair_scores[self.bonded_pairs].sum(),
            "non-bonded pairs": self.pair_scores[~self.bonded_pairs].sum(),
        }
        if len(self.environment_attributions):
            sums["substructures"] = self.environment_attributions.sum()
        if self.absent:
            sums["absent substructures"] = self.absent_score
        if self.reference:
            sums["size and shape"] = self.size_and_shape
        return {name: float(total) for name, total in sums.items()}

    @property
    def shares(self) -> dict[str, float] | None:
        """`parts` in percent of `change`; None where that is small against them, so that they mislead."""
        change = self.change
        largest = max(map(abs, self.parts.values()))
        if abs(change) < _MATERIAL * largest or not change:
            return None
        # Added to 0, a share of nothing is not written as -0 %.
        return {name: 0.0 + 100 * total / change for name, total in self.parts.items()}

    def ledger(self, by: str = TYPES) -> Ledger:
        """How the score adds up from the baseline's, see `molig.attribution.ledger_of`.

        Parameters
        ----------
        by : {"types", "groups"}
            How atoms are divided.

        Returns
        -------
        Ledger
        """
        return ledger_of([self], by)

    @cached_property
    def groups(self) -> tuple[ScoredGroup, ...]:
        """Functional groups, ring systems and chains of ``mol``, with the sums of their `atom_scores`."""
        return tuple(
            ScoredGroup(g.name, g.atoms, g.kind, g.generic, float(self.atom_scores[list(g.atoms)].sum()))
            for g in named_groups(self.mol)
        )

    def main_groups(self, n: int = 3) -> list[MainGroup]:
        """The groups that carry most of the change of the score, in its direction.

        Parameters
        ----------
        n : int
            How many, at most; of those after the first only such as come near it.

        Returns
        -------
        list of MainGroup
            The largest contribution first; groups of one name and sign count together.
        """
        return main_groups(self.groups, self.change, self.input_atoms.tolist(), n)

    @cached_property
    def bonded_pairs(self) -> Flags:
        """Which pairs are bonds, in the order of ``graph.pair_atoms``, shape (n_pairs,)."""
        i, j = self.graph.pair_atoms.T
        return np.asarray(Chem.GetAdjacencyMatrix(self.mol)[i, j] != 0)

    @cached_property
    def features(self) -> pd.DataFrame:
        """One row per atom and feature: ``atom, input_atom, symbol, block, category, value, score``.

        ``atom`` is an index of ``mol``, ``input_atom`` the one in the input.
        """
        names = ["symbol", "block", "category", "value", "score"]
        rows = self._slice("atom", ["atom_i", *names]).rename(columns={"atom_i": "input_atom"})
        rows = rows.astype({"input_atom": np.int64})
        rows.insert(0, "atom", self._place_of_input(rows["input_atom"].to_numpy()))
        return rows

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per pair and feature: ``atom_i, atom_j, bonded, block, category, value, score``.

        Atoms are counted as in the input.
        """
        names = ["atom_i", "atom_j", "bonded", "block", "category", "value", "score"]
        return self._slice("pair", names).astype({"atom_i": np.int64, "atom_j": np.int64, "bonded": np.bool_})

    def to_frame(self) -> pd.DataFrame:
        """All attributions, of atoms and pairs, as one table with the molecule's id and task.

        ``atom_i`` and ``atom_j`` are indices in the input; hydrogens that the model wanted as atoms are
        numbered behind its atoms. Of a committee also those of substructures: a row for every occurrence with
        a score, whose ``atom_i`` is its centre and whose ``category`` is its name (see `Substructure`). What
        is `absent` has rows of the level "absent", which stand at no atom.
        """
        return self._table.copy()

    @cached_property
    def _table(self) -> pd.DataFrame:
        table = pa.Table.from_batches([feature_batch([self])]).cast(TABLE_SCHEMA)
        frame: pd.DataFrame = table.to_pandas()
        whole = {"atom_i": "Int64"} if self.absent else {}
        return frame.astype({"atom_j": "Int64", "bonded": "boolean", **whole})

    @property
    def _molecule(self) -> Molecule:
        given = (self.row, self.id, self.smiles, self.mol, self.origin, self.removed)
        return Molecule(*given, n_input_atoms=self.n_input_atoms)

    def _place_of_input(self, atoms: Index) -> Index:
        order = np.argsort(self.input_atoms)
        return np.asarray(order[np.searchsorted(self.input_atoms[order], atoms)])

    def _slice(self, level: str, columns: list[str]) -> pd.DataFrame:
        return self._table.loc[self._table["level"] == level, columns].reset_index(drop=True)

    def panel(self, layers: Sequence[str] = ("atoms",)) -> Panel:
        """Drawing that adds up, whatever is shown.

        Parameters
        ----------
        layers : sequence of {"atoms", "bonds", "pairs"}
            What is coloured. By default atoms alone, each with its `atom_scores`. Bonds that are coloured
            carry their own pairs (`bond_scores`), and arcs the non-bonded ones, which atoms then lack.

        Returns
        -------
        Panel
        """
        own, bonded = self.own_atom_scores, self.bonded_pairs
        parts = self._of_environments
        kept = np.where(bonded if "bonds" in layers else False, 0.0, self.pair_scores)
        kept = np.where(~bonded if "pairs" in layers else False, 0.0, kept)
        atoms = share_pairs(own, kept, self.graph.pair_atoms) + parts.atoms
        if "bonds" not in layers:
            atoms = atoms + parts.bonds_by_atom
        main = self.main_groups(1)
        # An outline around nearly everything tells nothing.
        outline = main[0].atoms if main and len(main[0].atoms) < _MOST_OF * len(atoms) else ()
        return Panel(
            self.mol,
            atoms,
            self.bond_scores,
            legend=self._legend(main[0] if outline else None),
            title=self.id,
            atom_numbers=tuple(self.input_atoms.tolist()),
            pair_atoms=self.graph.pair_atoms[~bonded],
            pair_scores=self.pair_scores[~bonded],
            layers=tuple(layers),
            unit=self.unit,
            outline=outline,
        )

    @property
    def pair_matrix(self) -> FloatArray:
        """Scores of atoms against atoms, shape (n_atoms, n_atoms), symmetric.

        On the diagonal what an atom has by itself, of a committee with its part of substructures; elsewhere
        half of each pair's score, with half of what bonds have of substructures. Rows add up to
        `atom_scores`.
        """
        parts, matrix = self._of_environments, np.diag(self.own_atom_scores)
        matrix[np.diag_indices_from(matrix)] += parts.atoms
        ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in self.mol.GetBonds()]
        for pairs, scores in ((self.graph.pair_atoms, self.pair_scores), (ends, parts.bonds)):
            i, j = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
            np.add.at(matrix, (i, j), scores / 2)
            np.add.at(matrix, (j, i), scores / 2)
        return matrix

    def to_pair_matrix(self) -> PairMatrix:
        """`pair_matrix` to be drawn by `molig.depiction.draw_pair_matrix`."""
        names = [f"{s}{n}" for s, n in zip(_symbols(self.mol), self.input_atoms.tolist(), strict=True)]
        bonded = Chem.GetAdjacencyMatrix(self.mol) != 0
        title = f"{self.id or self.smiles} · {self.task}"
        return PairMatrix(names, self.pair_matrix, bonded, title, self.unit)

    @property
    def unit(self) -> str:
        """What the numbers are: "probability", "logit", or the name of the task whose values they are."""
        return self.task if self.target == Target.VALUE.value else self.target

    def _legend(self, outlined: MainGroup | None) -> tuple[str, ...]:
        symbol = {"probability": "p"}.get(self.target, self.target)
        change = self.change
        score, start = (f"{end:.{decimals(end, least=3)}f}" for end in (self.score, self.start))
        lines: tuple[str, ...] = (
            f"{self.task} · {symbol} = {score}",
            f"{self.start_name} {start} · residual {self.residual:+.1e}"
            + (f" · sampling error {self.sampling_error:.1e}" if self.sampling_error else "")
            + ("" if self.converged else " · NOT CONVERGED"),
        )
        if self.members:
            shares = (f"{name} {share:+z.{decimals(change)}f}" for name, share in self.members.items())
            lines += (" · ".join(shares),)
        if self.reference:
            whole = f"{change:+z.{decimals(change, least=3)}f}"
            lines += (f"size and shape {self.size_and_shape:+z.{decimals(change)}f} · all {whole}",)
        if outlined:
            lines += (f"outlined: {outlined.words} {outlined.score:+z.{decimals(change)}f}",)
        return lines

    def to_svg(self, layers: Sequence[str] = ("atoms",), **options: Any) -> str:
        """Picture as SVG; layers as of `panel`, options as of `molig.depiction.draw_svg`."""
        return draw_svg(self.panel(layers), **options)

    def to_png(self, layers: Sequence[str] = ("atoms",), **options: Any) -> bytes:
        """Picture as PNG; layers as of `panel`, options as of `molig.depiction.draw_png`."""
        return draw_png(self.panel(layers), **options)

    def _repr_html_(self) -> str:
        return self.to_svg()

    @property
    def target_in_words(self) -> str:
        """The target, and that a probability is calibrated if it is."""
        of_class = self.target == Target.PROBABILITY.value
        return f"calibrated {self.target}" if self.calibrated and of_class else self.target

    @cached_property
    def _bond_of_pair(self) -> Index:
        return bonds_of_pairs(self.mol, self.graph.pair_atoms)


_SHOWN = 12
"""Drawings, and rejected rows, of a set in a notebook."""


class Explanations(list[Explanation | Rejection]):
    """Explanations of several molecules, in their order, with rejections in the places of others.

    An ordinary list, which a notebook shows as drawings on one scale.

    Parameters
    ----------
    iterable : iterable of Explanation or Rejection, optional
        What is in it.

    Examples
    --------
    >>> import molig
    >>> why = molig.explain("tox21-w2n2-simple", ["CCO", "nonsense"], task="SR-ARE")
    >>> len(why), len(why.explained), why.rejected[0].reason
    (2, 1, 'not parsable: syntax error')
    """

    @property
    def explained(self) -> list[Explanation]:
        """Those that are explanations."""
        return [one for one in self if isinstance(one, Explanation)]

    @property
    def rejected(self) -> list[Rejection]:
        """The others."""
        return [one for one in self if isinstance(one, Rejection)]

    def to_frame(self) -> pd.DataFrame:
        """All attributions as one table, see `Explanation.to_frame`."""
        return pd.concat([one.to_frame() for one in self.explained], ignore_index=True)

    def to_svg(self, layers: Sequence[str] = ("atoms",), **options: Any) -> str:
        """Drawings of all as one SVG; the options are those of `molig.depiction.draw_svg`."""
        return draw_svg([one.panel(layers) for one in self.explained], **options)

    def _repr_html_(self) -> str:
        explained, rejected = self.explained, self.rejected
        drawn = Explanations(explained[:_SHOWN]).to_svg() if explained else "<p>no explanations</p>"
        left = len(explained) - _SHOWN
        told = [f"{left:,} more are not drawn"] if left > 0 else []
        told += [f"row {one.row} ({one.id}) {one.smiles}: {one.reason}" for one in rejected[:_SHOWN]]
        told += [f"{len(rejected) - _SHOWN:,} more rejected"] if len(rejected) > _SHOWN else []
        return drawn + "".join(f"<p>{html.escape(legible(line))}</p>" for line in told)


@dataclass(frozen=True)
class _EnvironmentShares:
    """The scores of substructures, spread evenly over their atoms and bonds."""

    atoms: FloatArray
    bonds: FloatArray
    bonds_by_atom: FloatArray  # half of each bond's on both of its atoms

    @classmethod
    def of(cls, explanation: Explanation) -> _EnvironmentShares:
        mol, shares = explanation.mol, explanation.environment_attributions
        held = explanation.graph.environments
        if held is None or not len(shares):
            atoms = np.zeros(mol.GetNumAtoms())
            return cls(atoms, np.zeros(mol.GetNumBonds()), atoms)
        of_atoms, of_bonds = environment_parts(mol, held)
        bonds = shares @ of_bonds
        return cls(shares @ of_atoms, bonds, bonds @ half_bonds(mol))


def environment_parts(mol: Chem.Mol, held: PackedEnvironments) -> tuple[FloatArray, FloatArray]:
    """Part of each occurrence that each atom and bond has: shapes (n_rows, n_atoms) and (n_rows, n_bonds).

    The atoms and bonds of an occurrence have equal parts, which add up to 1.
    """
    inside = bonds_of_environments(mol, held)
    atoms = np.zeros((held.n_rows, mol.GetNumAtoms()))
    atoms[np.repeat(np.arange(held.n_rows), held.sizes), held.atoms] = 1
    places = held.sizes + inside.sum(axis=1)
    return atoms / places[:, None], inside / places[:, None]


def half_bonds(mol: Chem.Mol) -> FloatArray:
    """Half of each bond for each of its two atoms, shape (n_bonds, n_atoms)."""
    halves = np.zeros((mol.GetNumBonds(), mol.GetNumAtoms()))
    for bond in mol.GetBonds():
        halves[bond.GetIdx(), [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()]] = 0.5
    return halves


def share_pairs(own: FloatArray, pair_scores: FloatArray, pair_atoms: Index) -> FloatArray:
    """Give each atom its own score and half of each of its pairs': the sum stays the same."""
    projected = own.copy()
    np.add.at(projected, pair_atoms.ravel(), np.repeat(pair_scores / 2, 2))
    return projected


def share_rings(mol: Chem.Mol, atom_scores: FloatArray) -> FloatArray:
    """Let the atoms of a ring have its mean score, as one reads a ring: whole.

    A network that knows a ring by two of its atoms puts the ring's attribution on these two. An atom of
    several rings has the mean of theirs. The sum over the atoms of fused rings stays the same, and so does
    the score of every atom outside of rings.

    Parameters
    ----------
    mol : Mol
        The scored molecule.
    atom_scores : array of float, shape (n_atoms,)
        Scores of its atoms.

    Returns
    -------
    array of float, shape (n_atoms,)

    Examples
    --------
    >>> from rdkit import Chem
    >>> share_rings(Chem.MolFromSmiles("OC1CC1"), np.array([0.5, 0.3, 0.0, 0.0])).round(3).tolist()
    [0.5, 0.1, 0.1, 0.1]
    """
    shared, n_rings = np.zeros(len(atom_scores)), np.zeros(len(atom_scores))
    for ring in map(list, Chem.GetSymmSSSR(Chem.Mol(mol))):
        shared[ring] += atom_scores[ring].mean()
        n_rings[ring] += 1
    result = np.where(n_rings > 0, shared / np.maximum(n_rings, 1), atom_scores)
    for system in ring_systems(mol):
        result[system] += (atom_scores[system].sum() - result[system].sum()) / len(system)
    return result


def bonds_of_pairs(mol: Chem.Mol, pair_atoms: Index) -> Index:
    """Index of the bond between the atoms of each pair, shape (n_pairs,); -1 where there is none."""
    number = {
        (min(ends), max(ends)): bond.GetIdx()
        for bond in mol.GetBonds()
        for ends in [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())]
    }
    return np.array([number.get((int(i), int(j)), -1) for i, j in pair_atoms], dtype=np.int64)


# Explanations as a long table, a row per feature.

_LEVELS = ("atom", "pair")
_SUBSTRUCTURE = "substructure"
_ABSENT_LEVEL = "absent"
_ENVIRONMENT = "environment"

TABLE_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("smiles", pa.string()),
        ("scored_smiles", pa.string()),
        ("removed", pa.string()),
        ("task", pa.string()),
        ("target", pa.string()),
        ("level", pa.string()),
        ("atom_i", pa.int64()),
        ("atom_j", pa.int64()),
        ("bonded", pa.bool_()),
        ("symbol", pa.string()),
        ("block", pa.string()),
        ("category", pa.string()),
        ("value", pa.float64()),
        ("score", pa.float64()),
        ("molecule_score", pa.float64()),
        ("baseline_score", pa.float64()),
        ("residual", pa.float64()),
        ("converged", pa.bool_()),
    ]
)
"""Columns of the table, as files have them."""

_TEXT = pa.dictionary(pa.int32(), pa.string())

FEATURE_SCHEMA = pa.schema(
    [(field.name, _TEXT if pa.types.is_string(field.type) else field.type) for field in TABLE_SCHEMA]
)
"""The same columns on their way there: texts that repeat stand in dictionaries."""


def feature_batch(explanations: Sequence[Explanation]) -> pa.RecordBatch:
    """Rows of `Explanation.to_frame`, one molecule after the other; built in columns, many at a time."""
    schema = _common_schema(explanations)
    symbols = [symbol for e in explanations for symbol in _symbols(e.mol)]
    if _takes_whole_atoms(explanations):
        atoms, pairs, names = _whole_atoms(explanations, symbols)
    else:
        atoms, pairs = (_level_rows(explanations, schema, level) for level in _LEVELS)
        names = [(column.block, column.name) for level in _LEVELS for column in schema.columns(level)]
        names += [(block.name, ABSENT) for level in _LEVELS for block in schema.blocks(level)]
    inside, inside_names = _occurrence_rows(explanations, schema, len(names))
    names += inside_names
    lacking, lacking_names = _absent_rows(explanations, len(names))
    names += lacking_names
    levels = (*_LEVELS, *((_SUBSTRUCTURE, _ABSENT_LEVEL) if len(inside.row) + len(lacking.row) else ()))
    parts = (atoms, pairs, inside, lacking)
    place = _Interleaving([part.counts for part in parts])
    level = place.merge([np.full(len(part.row), number) for number, part in enumerate(parts)])
    name = place.merge([part.name for part in parts])
    given = np.concatenate([e.input_atoms for e in explanations])
    bonded, ends = _pair_ends(explanations)
    no_pair, nowhere = level != 1, level == len(_LEVELS) + 1
    of_atoms, of_inside, of_lacking = (np.zeros_like(part.row) for part in (atoms, inside, lacking))
    whole = _Molecules(explanations, np.sum([part.counts for part in parts], axis=0))
    firsts = [given[atoms.row], ends[pairs.row, 0], given[inside.row], of_lacking]
    seconds = [of_atoms, ends[pairs.row, 1], of_inside, of_lacking]
    joined = [none.astype(bool) for none in (of_atoms, bonded[pairs.row], of_inside, of_lacking)]
    centres = [atoms.row, np.zeros_like(pairs.row), inside.row, of_lacking]
    arrays = {
        "row": whole.numbers("row", np.int64),
        "id": whole.texts("id"),
        "smiles": whole.texts("smiles"),
        "scored_smiles": whole.texts("scored_smiles"),
        "removed": whole.texts("removed_text"),
        "task": whole.texts("task"),
        "target": whole.texts("target"),
        "level": _encoded(levels, level),
        "atom_i": pa.array(place.merge(firsts), mask=nowhere if nowhere.any() else None),
        "atom_j": pa.array(place.merge(seconds), mask=no_pair),
        "bonded": pa.array(place.merge(joined), mask=no_pair),
        "symbol": _encoded(symbols, place.merge(centres), mask=~no_pair | nowhere),
        "block": _encoded([block for block, _ in names], name),
        "category": _encoded([category for _, category in names], name),
        "value": pa.array(place.merge([part.value for part in parts])),
        "score": pa.array(place.merge([part.score for part in parts])),
        "molecule_score": whole.numbers("score"),
        "baseline_score": whole.numbers("baseline_score"),
        "residual": whole.numbers("residual"),
        "converged": whole.numbers("converged", np.bool_),
    }
    return pa.record_batch([arrays[name] for name in FEATURE_SCHEMA.names], schema=FEATURE_SCHEMA)


@dataclass(frozen=True)
class _LevelRows:
    """The present features of the atoms, the pairs, or the centres of substructures, of all molecules."""

    row: Index
    name: Index
    value: FloatArray
    score: FloatArray
    counts: Index


def _takes_whole_atoms(explanations: Sequence[Explanation]) -> bool:
    """Whether the attributions are one number per atom instead of one per feature."""
    found = {
        (e.atom_attributions.shape[1], e.pair_attributions.shape[1])
        != (e.graph.level("atom").n_entries, e.graph.level("pair").n_entries)
        for e in explanations
    }
    if len(found) > 1:
        raise UsageError("explanations by atoms and by features cannot share a table")
    return found.pop()


def _whole_atoms(
    explanations: Sequence[Explanation], symbols: Sequence[str]
) -> tuple[_LevelRows, _LevelRows, list[tuple[str, str]]]:
    """One feature per atom, named by its symbol, and none per pair."""
    scores = np.concatenate([e.own_atom_scores for e in explanations])
    counts = np.array([len(e.graph.atom_codes) for e in explanations], dtype=np.int64)
    row = np.arange(len(scores))
    none = np.empty(0, dtype=np.int64)
    return (
        _LevelRows(row, row, np.ones(len(row)), scores, counts),
        _LevelRows(none, none, np.empty(0), np.empty(0), np.zeros_like(counts)),
        [("atom", symbol) for symbol in symbols],
    )


def _level_rows(explanations: Sequence[Explanation], schema: FeatureSchema, level: str) -> _LevelRows:
    sides = [e.graph.level(level) for e in explanations]
    codes = np.concatenate([side.codes for side in sides])
    values = np.concatenate([side.values for side in sides])
    n_rows = np.concatenate([side.counts for side in sides])
    scores = np.concatenate(
        [e.atom_attributions if level == "atom" else e.pair_attributions for e in explanations]
    )
    name, value, present = _entries(schema, level, codes, values)
    # In the order of rows, and of entries within a row; what only the baseline has counts, too.
    present |= scores != 0
    row, entry = np.nonzero(present)
    per_row = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    ends = np.cumsum(n_rows)
    return _LevelRows(
        row=row,
        name=name[row, entry],
        value=value[row, entry],
        score=np.asarray(scores[row, entry], dtype=np.float64),
        counts=per_row[ends] - per_row[ends - n_rows],
    )


def _entries(
    schema: FeatureSchema, level: str, codes: npt.NDArray[np.int8], values: npt.NDArray[np.float32]
) -> tuple[Index, FloatArray, Flags]:
    """Number of the name, value and presence of every entry, each of shape (n_rows, n_entries)."""
    column, value, present = [], [], []
    is_pair = level == "pair"
    start = schema.n_atom_columns if is_pair else 0
    absent = schema.n_atom_columns + schema.n_pair_columns + (len(schema.atom_blocks) if is_pair else 0)
    for number, place in enumerate(schema.places(level)):
        first = start + place.columns.start
        if place.is_categorical:
            code = codes[:, place.stored.start].astype(np.int64)
            column.append(np.where(code >= 0, first + code, absent + number))
            value.append((code >= 0).astype(np.float64))
            present.append(code >= 0)
        else:
            for offset, numbers in enumerate(values[:, place.stored].T):
                column.append(np.full(len(codes), first + offset))
                value.append(numbers.astype(np.float64))
                present.append(numbers != 0)
    if not column:
        return np.empty((len(codes), 0), np.int64), np.empty((len(codes), 0)), np.empty((len(codes), 0), bool)
    return np.stack(column, axis=1), np.stack(value, axis=1), np.stack(present, axis=1)


def _occurrence_rows(
    explanations: Sequence[Explanation], schema: FeatureSchema, first_name: int
) -> tuple[_LevelRows, list[tuple[str, str]]]:
    """Occurrences of substructures that have a score, with names that are numbered from `first_name` on."""
    if not any(map(len, (e.environment_attributions for e in explanations))):
        none = np.zeros(0, dtype=np.int64)
        return _LevelRows(none, none, np.zeros(0), np.zeros(0), np.zeros(len(explanations), np.int64)), []
    counts = np.array([np.count_nonzero(e.environment_attributions) for e in explanations], dtype=np.int64)
    rows, scores, names = [np.zeros(0, np.int64)], [np.zeros(0)], list[int]()
    number: dict[tuple[str, str], int] = {}
    known: dict[int, list[tuple[str, str]]] = {}  # of a molecule whose tasks are all explained
    first_atom = 0
    for explanation, count in zip(explanations, counts.tolist(), strict=True):
        held, shares = explanation.graph.environments, explanation.environment_attributions
        if count and held is not None:
            chosen = np.flatnonzero(shares)
            rows.append(first_atom + held.atoms[(np.cumsum(held.sizes) - held.sizes)[chosen]])
            scores.append(shares[chosen])
            key = id(explanation.graph)
            if key not in known:
                known[key] = names_of_occurrences(explanation.mol, held, schema.environment_blocks)
            named = known[key]
            names += [number.setdefault(named[row], first_name + len(number)) for row in chosen.tolist()]
        first_atom += len(explanation.graph.atom_codes)
    row = np.concatenate(rows)
    found = _LevelRows(
        row, np.array(names, dtype=np.int64), np.ones(len(row)), np.concatenate(scores), counts
    )
    return found, list(number)


def _absent_rows(
    explanations: Sequence[Explanation], first_name: int
) -> tuple[_LevelRows, list[tuple[str, str]]]:
    """What molecules lack and references have, with names that are numbered from `first_name` on."""
    number: dict[tuple[str, str], int] = {}
    names = [
        number.setdefault((_ENVIRONMENT, name), first_name + len(number))
        for e in explanations
        for name in e.absent
    ]
    scores = np.array([score for e in explanations for score in e.absent.values()])
    counts = np.array([len(e.absent) for e in explanations], dtype=np.int64)
    row = np.zeros(len(names), dtype=np.int64)
    found = _LevelRows(row, np.array(names, dtype=np.int64), np.zeros(len(row)), scores, counts)
    return found, list(number)


class _Interleaving:
    """Puts the rows of each molecule together: those of its atoms, then of its pairs, then the rest."""

    def __init__(self, counts: Sequence[Index]) -> None:
        starts, n = _starts(np.stack(counts, axis=1).ravel()), len(counts)
        self._places = [
            np.arange(own.sum()) + np.repeat(starts[part::n] - _starts(own), own) if own.any() else own[:0]
            for part, own in enumerate(counts)
        ]

    def merge(self, parts: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[Any]:
        merged = np.empty(sum(map(len, parts)), dtype=parts[0].dtype)
        for places, part in zip(self._places, parts, strict=True):
            if len(part):
                merged[places] = part
        return merged


class _Molecules:
    """What is the same in all rows of a molecule."""

    def __init__(self, explanations: Sequence[Explanation], counts: Index) -> None:
        self._explanations, self._counts = explanations, counts
        self._molecule = np.repeat(np.arange(len(counts)), counts)

    def texts(self, name: str) -> pa.DictionaryArray:
        return _encoded([getattr(e, name) for e in self._explanations], self._molecule)

    def numbers(self, name: str, kind: npt.DTypeLike = np.float64) -> pa.Array:
        values = np.array([getattr(e, name) for e in self._explanations], dtype=kind)
        return pa.array(np.repeat(values, self._counts))


def _symbols(mol: Chem.Mol) -> list[str]:
    # RDKit's own loop over the atoms costs three times as much.
    atom = mol.GetAtomWithIdx
    return [atom(index).GetSymbol() for index in range(mol.GetNumAtoms())]


def _pair_ends(explanations: Sequence[Explanation]) -> tuple[Flags, Index]:
    bonded = np.concatenate([e.bonded_pairs for e in explanations])
    ends = np.concatenate([e.input_atoms[e.graph.pair_atoms] for e in explanations])
    return bonded, np.sort(ends, axis=1)


def _encoded(texts: Iterable[str], rows: Index, mask: Flags | None = None) -> pa.DictionaryArray:
    """``texts[rows]``, null where masked; a dictionary must not hold a text twice."""
    number: dict[str, int] = {}
    codes = np.array([number.setdefault(text, len(number)) for text in texts], dtype=np.int32)
    indices = pa.array(codes[rows], mask=mask)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(number), pa.string()))


def _starts(counts: npt.ArrayLike) -> Index:
    counts = np.asarray(counts, dtype=np.int64)
    return np.asarray(np.cumsum(counts) - counts)


def _common_schema(explanations: Sequence[Explanation]) -> FeatureSchema:
    if not explanations:
        raise UsageError("no explanations: a table needs at least one to know its features")
    schema = explanations[0].schema
    if any(e.schema is not schema and e.schema.hash != schema.hash for e in explanations):
        raise UsageError("explanations by models of different feature schemas cannot share a table")
    return schema
