"""What two similar molecules share, and how attribution is divided between that and what differs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdFMCS

from molig.attribution import Explanation
from molig.audit.subject import ActivityPair

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

MOST_ATOMS, TIMEOUT = 40, 5
"""Pairs with a larger molecule are not compared: the search for what is common may take minutes. Any other
search is given up after so many seconds, several times what the slowest of 99 % take."""
MOST_GIVEN_UP = 12
"""Searches given up, after which no further pair is searched: a minute is enough for nothing."""
STRONG = 0.25
"""An atom matters whose attribution is at least this share of its molecule's largest."""
TIE = 1e-3
"""Differences below this share of the unit (1 for probabilities) have no direction."""
SLIGHT = 0.05
"""Nor has attribution that accounts for less than this share of the difference of scores."""


def with_rings(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with ring information, which standardisation may have dropped; on a copy if need be."""
    try:
        # RDKit would log that there is none.
        with rdBase.BlockLogs():
            mol.GetRingInfo().NumRings()
    except RuntimeError:
        mol = Chem.Mol(mol)
        Chem.GetSymmSSSR(mol)
    return mol


@dataclass(frozen=True)
class Overlap:
    """Maximum common substructure of two molecules.

    Parameters
    ----------
    first, second : array of int, shape (n_common,)
        Matched atoms of the two, in the same order.
    share : float
        Matched atoms, as a share of the larger molecule's.
    """

    first: Index
    second: Index
    share: float


def overlap(first: Chem.Mol, second: Chem.Mol) -> Overlap | None:
    """Find the maximum common substructure: same elements, same bonds, ring atoms on ring atoms, whole rings.

    Parameters
    ----------
    first, second : Mol
        Sanitized molecules.

    Returns
    -------
    Overlap or None
        None if they share nothing, or one is too large.

    Raises
    ------
    TimeoutError
        If the search took longer than `TIMEOUT`.

    Examples
    --------
    >>> found = overlap(Chem.MolFromSmiles("CCO"), Chem.MolFromSmiles("CCN"))
    >>> found.first.tolist(), round(found.share, 2)
    ([0, 1], 0.67)
    """
    if max(first.GetNumAtoms(), second.GetNumAtoms()) > MOST_ATOMS:
        return None
    with rdBase.BlockLogs():
        first, second = with_rings(first), with_rings(second)
        result = rdFMCS.FindMCS(
            [first, second],
            timeout=TIMEOUT,
            ringMatchesRingOnly=True,
            completeRingsOnly=True,
            bondCompare=rdFMCS.BondCompare.CompareOrderExact,
        )
        if result.canceled:
            raise TimeoutError(f"the search for a common substructure took longer than {TIMEOUT} s")
        if not result.numAtoms or not result.smartsString:
            return None
        pattern = Chem.MolFromSmarts(result.smartsString)
        atoms = [np.array(mol.GetSubstructMatch(pattern), dtype=np.int64) for mol in (first, second)]
    if len(atoms[0]) != len(atoms[1]) or not len(atoms[0]):
        return None
    return Overlap(atoms[0], atoms[1], len(atoms[0]) / max(first.GetNumAtoms(), second.GetNumAtoms()))


@dataclass
class Searches:
    """Searches for common substructures, until too many of them had to be given up.

    Parameters
    ----------
    given_up : int
        Searches that took longer than `TIMEOUT`, which depends on the load of the machine.
    not_begun : int
        Searches that were not begun because `MOST_GIVEN_UP` others had been given up.
    """

    given_up: int = 0
    not_begun: int = 0

    def overlap(self, first: Chem.Mol, second: Chem.Mol) -> Overlap | None:
        """As `overlap`; None, too, for a search that is given up or not begun."""
        if self.given_up >= MOST_GIVEN_UP:
            self.not_begun += 1
            return None
        try:
            return overlap(first, second)
        except TimeoutError:
            self.given_up += 1
            return None

    def __str__(self) -> str:
        """For a remark."""
        text = f"{self.given_up} pairs whose common part took longer than {TIMEOUT} s to find"
        if self.given_up:
            text += " (how many depends on the load of the machine)"
        if self.not_begun:
            text += f", {self.not_begun} more that were not searched after so many"
        return text


@dataclass(frozen=True)
class Cliff:
    """A pair of molecules, compared.

    Parameters
    ----------
    pair : ActivityPair
        The pair.
    explained : (Explanation, Explanation)
        Of its two molecules.
    common : Overlap
        What they share.
    unit : float
        1 for probabilities, the spread of values of a regression.
    """

    pair: ActivityPair
    explained: tuple[Explanation, Explanation]
    common: Overlap
    unit: float

    @property
    def changed(self) -> tuple[Index, Index]:
        """Atoms outside the common substructure."""
        first, second = self.explained
        return (
            np.setdiff1d(np.arange(first.mol.GetNumAtoms()), self.common.first),
            np.setdiff1d(np.arange(second.mol.GetNumAtoms()), self.common.second),
        )

    @property
    def attribution_difference(self) -> float:
        """Attribution of what is changed in the first molecule minus that in the second."""
        sums = [changed_attribution(e, a) for e, a in zip(self.explained, self.changed, strict=True)]
        return sums[0] - sums[1]

    @property
    def score_difference(self) -> float:
        """Score of the first molecule minus that of the second."""
        return self.explained[0].score - self.explained[1].score

    def direction(self) -> float:
        """1 if attribution has the sign of the difference in activity, 0 if not, 0.5 without a direction."""
        return _agree(self.attribution_difference, self.pair.difference, self._least)

    def ordered(self) -> float:
        """The same for the scores."""
        return _agree(self.score_difference, self.pair.difference, TIE * self.unit)

    def faithful(self) -> float:
        """1 if attribution has the sign of the difference of scores, 0 if not, NaN where scores are equal."""
        if abs(self.score_difference) < TIE * self.unit:
            return float("nan")
        return _agree(self.attribution_difference, self.score_difference, self._least)

    @property
    def _least(self) -> float:
        return max(TIE * self.unit, SLIGHT * abs(self.score_difference))

    def common_atoms(self) -> tuple[FloatArray, FloatArray]:
        """Scores of the matched atoms in both molecules."""
        first, second = self.explained
        return first.atom_scores[self.common.first], second.atom_scores[self.common.second]

    def same_sign(self, *, strong: bool = False) -> tuple[int, int]:
        """Matched atoms of one sign in both molecules, out of those with a sign.

        Parameters
        ----------
        strong : bool
            Count only atoms that matter in both molecules.
        """
        first, second = self.common_atoms()
        counted = first * second != 0
        if strong:
            for scores, explanation in zip((first, second), self.explained, strict=True):
                counted &= np.abs(scores) >= STRONG * np.abs(explanation.atom_scores).max(initial=0.0)
        return int((counted & (first * second > 0)).sum()), int(counted.sum())


def changed_attribution(explanation: Explanation, atoms: Index) -> float:
    """Attribution of atoms: their own features and all of every pair with one of them.

    A bond to a changed atom is changed as a whole; half of it would be left with the atom that stays.
    """
    is_changed = np.zeros(explanation.mol.GetNumAtoms(), dtype=bool)
    is_changed[atoms] = True
    touched = is_changed[explanation.graph.pair_atoms].any(axis=1)
    return float(explanation.own_atom_scores[is_changed].sum() + explanation.pair_scores[touched].sum())


def _agree(value: float, truth: float, least: float) -> float:
    if abs(value) < least:
        return 0.5
    return float((value > 0) == (truth > 0))
