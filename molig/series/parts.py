"""What parts of molecules contribute: each molecule divided without remainder, and sums over a set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import Chem, rdBase
from rdkit.Chem.BRICS import FindBRICSBonds
from rdkit.Chem.Scaffolds import MurckoScaffold

from molig.attribution import Explanation
from molig.errors import UnknownNameError, UsageError
from molig.molecules.groups import connected_parts, named_groups
from molig.series.matching import heavy_atoms_of
from molig.stats.intervals import mean_estimate

FloatArray = npt.NDArray[np.float64]

GROUPS, MURCKO, BRICS, RGROUPS = "groups", "murcko", "brics", "rgroups"
WAYS = (GROUPS, MURCKO, BRICS, RGROUPS)
"""Ways to divide molecules, beside patterns of one's own."""

REST, BASELINE, ABSENT, RESIDUAL = "rest", "baseline", "absent", "residual"
SCORE = "score"


class Part(NamedTuple):
    """Part of a molecule.

    Parameters
    ----------
    kind : str
        Such as "scaffold", "side chain", "functional group", "pattern" or "R1".
    name : str
        Chemists' name, SMILES with ``*`` where the rest of the molecule goes on, or the pattern.
    atoms : tuple of int
        Its atoms in the scored molecule, without hydrogens.
    """

    kind: str
    name: str
    atoms: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ScoredAtoms:
    """What of an explanation is needed to sum up parts; hydrogens that are atoms count with their bearers.

    Parameters
    ----------
    row, id, smiles : int, str, str
        As of the record.
    mol : Mol
        The scored molecule without hydrogens.
    scores : array of float, shape (n_atoms,)
        Of its atoms.
    input_atoms : tuple of int
        Index of each in the input.
    score, baseline, residual, absent : float
        Of the molecule; ``scores`` and the last three add up to the first.
    """

    row: int
    id: str
    smiles: str
    mol: Chem.Mol
    scores: FloatArray
    input_atoms: tuple[int, ...]
    score: float
    baseline: float
    residual: float
    absent: float

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        """Take it from an explanation."""
        mol = heavy_atoms_of(explanation.mol)
        n_atoms = mol.GetNumAtoms()
        scores = explanation.atom_scores[:n_atoms].copy()
        for hydrogen in range(n_atoms, explanation.mol.GetNumAtoms()):
            (bearer,) = explanation.mol.GetAtomWithIdx(hydrogen).GetNeighbors()
            scores[bearer.GetIdx()] += explanation.atom_scores[hydrogen]
        return cls(
            explanation.row,
            explanation.id,
            explanation.smiles,
            mol,
            scores,
            tuple(explanation.input_atoms[:n_atoms].tolist()),
            explanation.score,
            explanation.baseline_score,
            explanation.residual,
            explanation.absent_score,
        )


# Dividing one molecule.

Divider = Callable[[Chem.Mol], list[Part]]


def divider(by: Sequence[str]) -> Divider:
    """How to divide a molecule: by one of `WAYS` but R-groups, or by SMARTS.

    Parameters
    ----------
    by : sequence of str
        ``"groups"`` (functional groups, ring systems and chains), ``"murcko"`` (scaffold and side chains),
        ``"brics"`` (pieces between bonds that syntheses make), or patterns: SMARTS, each perhaps followed by
        a blank and a name.

    Returns
    -------
    callable
        From a molecule to parts that have no atom in common. Of patterns the first that matches an atom has
        it, and a match that would share an atom with another is none.

    Raises
    ------
    UsageError
        If a pattern is no SMARTS, or a way is given together with patterns.

    Examples
    --------
    >>> divide = divider(["C(=O)[OH] acid"])
    >>> divide(Chem.MolFromSmiles("CC(=O)O"))
    [Part(kind='pattern', name='acid', atoms=(1, 2, 3))]
    """
    known = {GROUPS: _groups, MURCKO: _scaffold_and_side_chains, BRICS: _brics_pieces}
    if len(by) == 1 and by[0].lower() in known:
        return known[by[0].lower()]
    if not by:
        raise UsageError("say what to divide molecules by")
    if ways := [one for one in by if one.lower() in WAYS]:
        raise UsageError(f"{ways[0]} divides whole molecules: it cannot be asked for together with others")
    patterns = [_pattern(text) for text in by]
    return lambda mol: _matches(mol, patterns)


def _pattern(text: str) -> tuple[str, Chem.Mol]:
    smarts, _, name = text.strip().partition(" ")
    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None or not pattern.GetNumAtoms():
        raise UnknownNameError("SMARTS or way to divide molecules", text, WAYS)
    return name.strip() or smarts, pattern


def _matches(mol: Chem.Mol, patterns: Iterable[tuple[str, Chem.Mol]]) -> list[Part]:
    free, parts = set(range(mol.GetNumAtoms())), []
    for name, pattern in patterns:
        for match in mol.GetSubstructMatches(pattern, maxMatches=10_000):
            if free.issuperset(match):
                free.difference_update(match)
                parts.append(Part("pattern", name, tuple(sorted(match))))
    return parts


def _groups(mol: Chem.Mol) -> list[Part]:
    found = []
    for group in named_groups(mol):
        name = group.name
        if group.generic:
            name += f" {Chem.MolFragmentToSmiles(mol, list(group.atoms), isomericSmiles=False)}"
        found.append(Part(group.kind, name, group.atoms))
    return found


def _scaffold_and_side_chains(mol: Chem.Mol) -> list[Part]:
    # Atoms are marked, since a match of the scaffold may lie elsewhere.
    marked = Chem.Mol(mol)
    for atom in marked.GetAtoms():
        atom.SetIntProp(_MARK, atom.GetIdx())
    scaffold = MurckoScaffold.GetScaffoldForMol(marked)  # type: ignore[no-untyped-call]
    kept = {atom.GetIntProp(_MARK) for atom in scaffold.GetAtoms()}
    if not kept:
        return [Part("no ring", str(Chem.MolToSmiles(mol, isomericSmiles=False)), _all_of(mol))]
    whole = Part("scaffold", str(Chem.MolToSmiles(scaffold, isomericSmiles=False)), tuple(sorted(kept)))
    others = connected_parts(mol, set(range(mol.GetNumAtoms())) - kept)
    return [whole, *(_cut_out(mol, "side chain", set(atoms)) for atoms in others)]


_MARK = "_molig_atom"


def _all_of(mol: Chem.Mol) -> tuple[int, ...]:
    return tuple(range(mol.GetNumAtoms()))


def _cut_out(mol: Chem.Mol, kind: str, atoms: set[int]) -> Part:
    """A part with ``*`` in place of what is bonded to it."""
    outside = {
        neighbour.GetIdx()
        for atom in atoms
        for neighbour in mol.GetAtomWithIdx(atom).GetNeighbors()
        if neighbour.GetIdx() not in atoms
    }
    named = Chem.RWMol(mol)
    for atom in outside:
        named.ReplaceAtom(atom, Chem.Atom(0))
    name = Chem.MolFragmentToSmiles(named, sorted(atoms | outside), isomericSmiles=False)
    return Part(kind, str(name), tuple(sorted(atoms)))


def _brics_pieces(mol: Chem.Mol) -> list[Part]:
    cuts = FindBRICSBonds(mol)  # type: ignore[no-untyped-call]
    bonds = [mol.GetBondBetweenAtoms(*ends).GetIdx() for ends, _ in cuts]
    if not bonds:
        return [_cut_out(mol, "piece", set(_all_of(mol)))]
    cut = Chem.FragmentOnBonds(mol, bonds, addDummies=False)
    return [_cut_out(mol, "piece", set(atoms)) for atoms in Chem.GetMolFrags(cut)]


# Summing up.


class Divided(NamedTuple):
    """A molecule with its parts and what each contributes; with the rest they add up to its score."""

    molecule: ScoredAtoms
    parts: list[tuple[Part, float]]

    @classmethod
    def of(cls, molecule: ScoredAtoms, parts: Iterable[Part]) -> Self:
        """Sum up the scores of each part's atoms."""
        return cls(molecule, [(part, float(molecule.scores[list(part.atoms)].sum())) for part in parts])

    @property
    def rest(self) -> float:
        """What atoms of no part contribute."""
        inside = {atom for part, _ in self.parts for atom in part.atoms}
        return float(sum(score for i, score in enumerate(self.molecule.scores) if i not in inside))

    def others(self) -> dict[str, float]:
        """What belongs to no part: other atoms, baseline, residual and, if there is any, what is absent."""
        ends = {REST: self.rest, BASELINE: self.molecule.baseline, RESIDUAL: self.molecule.residual}
        return ends | ({ABSENT: self.molecule.absent} if self.molecule.absent else {})

    def rows(self) -> Iterator[tuple[str, str, tuple[int, ...], float]]:
        """Kind, name, atoms as the input counts them, and contribution; they add up to the score."""
        number = self.molecule.input_atoms
        for part, score in self.parts:
            yield part.kind, part.name, tuple(number[atom] for atom in part.atoms), score
        for name, value in self.others().items():
            yield name, "", (), value


@dataclass(eq=False)
class _Sum:
    """A part over a set: its contributions molecule by molecule."""

    scores: list[float]
    molecule_scores: list[float]
    n: int
    example: ScoredAtoms
    largest: float


class PartSums:
    """Sums over a set of molecules.

    Examples
    --------
    >>> import molig
    >>> why = molig.explain("tox21-w2n2-simple", ["Oc1ccccc1", "Cc1ccccc1"], task="SR-MMP")
    >>> sums = PartSums()
    >>> for one in why:
    ...     sums.add(Divided.of(scored := ScoredAtoms.of(one), divider(["groups"])(scored.mol)))
    >>> sums.to_frame()["part"].tolist()[:3]
    ['benzene', 'phenol OH', 'methyl']
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._others: defaultdict[str, float] = defaultdict(float)
        self.n = 0
        self.score = 0.0

    def add(self, divided: Divided) -> None:
        """Add a molecule.

        Parameters
        ----------
        divided : Divided
            The molecule and its parts.
        """
        self.n += 1
        self.score += divided.molecule.score
        for name, value in divided.others().items():
            self._others[name] += value
        of_molecule: dict[tuple[str, str], list[float]] = {}
        for part, score in divided.parts:
            of_molecule.setdefault((part.kind, part.name), []).append(score)
        for key, scores in of_molecule.items():
            total, molecule = sum(scores), divided.molecule
            held = self._sums.setdefault(key, _Sum([], [], 0, molecule, -1.0))
            held.scores.append(total)
            held.molecule_scores.append(molecule.score)
            held.n += len(scores)
            if abs(total) > held.largest:
                held.example, held.largest = molecule, abs(total)

    def to_frame(self, kinds: Sequence[str] = ()) -> pd.DataFrame:
        """A row for each part, then what belongs to none, and the sum of the scores.

        Parameters
        ----------
        kinds : sequence of str
            Kinds that come first, in this order, such as "core", "R1", "R2".

        Returns
        -------
        DataFrame
            Columns: ``kind``, ``part``, ``molecules`` and ``occurrences`` (how many have it, and how often),
            ``mean``, ``low``, ``high`` (of a molecule's contribution, all its occurrences together, with
            Student's 95 % interval), ``sum`` over the set, ``molecule_score`` (mean of the molecules with
            it), ``example`` and ``example_smiles`` (where it contributes most). The sums of all rows but the
            last add up to that of the last.
        """
        rows: list[tuple[Any, ...]] = []
        for (kind, name), held in self._sums.items():
            mean = mean_estimate(held.scores)
            shown = held.example.id or str(held.example.row), held.example.smiles
            numbers = mean.value, mean.low, mean.high, sum(held.scores), float(np.mean(held.molecule_scores))
            rows.append((kind, name, len(held.scores), held.n, *numbers, *shown))
        place = {kind: number for number, kind in enumerate(kinds)}
        rows.sort(key=lambda row: (place.get(row[0], len(place)), -abs(row[7]), row[1]))
        of_all = (None,) * 2
        for name, total in [*self._others.items(), (SCORE, self.score)]:
            mean_of_all = total / self.n if self.n else float("nan")
            nan = float("nan")
            rows.append((name, "", self.n, self.n, mean_of_all, nan, nan, total, nan, *of_all))
        return pd.DataFrame(rows, columns=list(SUMMARY))


SUMMARY = (
    *("kind", "part", "molecules", "occurrences", "mean", "low", "high", "sum", "molecule_score"),
    *("example", "example_smiles"),
)
"""Columns of `PartSums.to_frame`."""
