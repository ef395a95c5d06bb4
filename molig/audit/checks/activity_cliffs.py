"""Whether attribution explains why similar molecules differ in activity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator, rdFMCS
from scipy.stats import binomtest

from molig.attribution import Explanation
from molig.audit.figures import draw
from molig.audit.findings import (
    MOST_EXAMPLES,
    Evidence,
    Example,
    Figure,
    Finding,
    NotApplicable,
    Outcome,
    Severity,
    explained_example,
)
from molig.audit.registry import register
from molig.audit.subject import ActivityPair, AuditSubject, FloatArray, explain_molecules
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import ScreeningModel
from molig.molecules import Molecule, Record, read_records
from molig.stats.intervals import Estimate, bootstrap_median, bootstrap_share, spearman, wilson

# What two similar molecules share, and how attribution is divided between that and what differs.

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


# Cliffs of a task, or of all: shares of pairs in which scores and attributions have the right sign.

CERTAIN = 0.01
"""Chance by which a difference between scores and attributions must not be luck."""
Z_TASK = 2.5758
"""99 % intervals for single tasks, of which there are many."""
_BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class CliffGroup:
    """The cliffs of one task, or of all."""

    name: str
    cliffs: list[Cliff]
    z: float

    def share(self, measure: str) -> tuple[float, float, float]:
        """Share and its interval; ties count as half."""
        values = self.values(measure)
        n = len(values)
        return (float(values.mean()) if n else float("nan"), *wilson(float(values.sum()), n, self.z))

    def values(self, measure: str) -> FloatArray:
        """A measure of every cliff that has it: 1 right, 0 wrong, 0.5 tied."""
        values = np.array([getattr(cliff, measure)() for cliff in self.cliffs], dtype=float)
        return np.asarray(values[np.isfinite(values)])

    def numbers(self) -> dict[str, Any]:
        """What to report."""
        names = {
            "direction": "attribution_has_sign_of_activity",
            "ordered": "score_has_sign_of_activity",
            "faithful": "attribution_has_sign_of_score",
        }
        found: dict[str, Any] = {"pairs": len(self.cliffs)}
        for measure, name in names.items():
            found[name] = dict(zip(("share", "low", "high"), self.share(measure), strict=True))
        return found

    @property
    def worse_than_scores(self) -> bool:
        """Whether attributions go wrong significantly more often than scores (sign test over pairs)."""
        difference = self.values("ordered") - self.values("direction")
        lost, won = int((difference > 0).sum()), int((difference < 0).sum())
        return bool(lost + won and binomtest(lost, lost + won, alternative="greater").pvalue < CERTAIN)


@dataclass(frozen=True)
class CommonAtoms:
    """How far attributions of the atoms that two similar molecules share agree.

    Parameters
    ----------
    same_sign : Estimate
        Share of the matched atoms with the same sign in both molecules.
    strong : Estimate
        The same of atoms that matter in both.
    n_strong : int
        How many such atoms there are.
    """

    same_sign: Estimate
    strong: Estimate
    n_strong: int

    def numbers(self) -> dict[str, Any]:
        """What to report; no share without atoms."""
        shares = {"same_sign": self.same_sign, "same_sign_of_strong_atoms": self.strong}
        found: dict[str, Any] = {
            name: None if np.isnan(one.value) else [one.value, one.low, one.high]
            for name, one in shares.items()
        }
        return found | {"strong_atoms": self.n_strong}


def common_atoms(cliffs: list[Cliff], rng: np.random.Generator) -> CommonAtoms:
    """Count common atoms whose attributions have the same sign; intervals by resampling pairs.

    Parameters
    ----------
    cliffs : list of Cliff
        The pairs.
    rng : Generator
        Draws the samples.

    Returns
    -------
    CommonAtoms
    """
    every = np.array([cliff.same_sign() for cliff in cliffs], dtype=np.int64).reshape(-1, 2)
    strong = np.array([cliff.same_sign(strong=True) for cliff in cliffs], dtype=np.int64).reshape(-1, 2)
    return CommonAtoms(
        bootstrap_share(every[:, 0], every[:, 1], rng),
        bootstrap_share(strong[:, 0], strong[:, 1], rng),
        int(strong[:, 1].sum()),
    )


def by_common_share(cliffs: list[Cliff], rng: np.random.Generator) -> dict[str, Any]:
    """Agreement of attributions by the share of the molecules that is common.

    Parameters
    ----------
    cliffs : list of Cliff
        The pairs.
    rng : Generator
        Draws the samples of the intervals.

    Returns
    -------
    dict
        By bin, such as ``"0.8-0.9"``: number of pairs, and shares and a median, each with its interval.
    """
    found: dict[str, Any] = {}
    (signs,) = rng.spawn(1)
    for low, high in pairwise(_BINS):
        inside = [c for c in cliffs if low <= c.common.share < high or (high == 1.0 == c.common.share)]
        if not inside:
            continue
        correlations = [spearman(*cliff.common_atoms()) for cliff in inside]
        known = [value for value in correlations if np.isfinite(value)]
        found[f"{low:.1f}-{high:.1f}"] = {
            "pairs": len(inside),
            "direction": list(CliffGroup("", inside, 1.96).share("direction")),
            "rank_correlation": [float(np.median(known)), *bootstrap_median(known, rng)] if known else None,
            **common_atoms(inside, signs).numbers(),
        }
    return found


def cliff_figures(groups: list[CliffGroup], shares: dict[str, Any]) -> list[Figure]:
    """Shares by task, and agreement by the common share."""

    def directions(axes: Any) -> None:
        for row, group in enumerate(groups):
            for offset, measure, colour in ((-0.15, "direction", "#0072B2"), (0.15, "ordered", "#D55E00")):
                share, low, high = group.share(measure)
                axes.plot([low, high], [row + offset] * 2, color=colour, linewidth=1.2)
                axes.plot([share], [row + offset], "o", color=colour, markersize=4)
        axes.set_yticks(range(len(groups)), [f"{g.name} ({len(g.cliffs)})" for g in groups], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.axvline(0.5, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_xlabel("share of pairs with the sign of activity: blue attribution, orange score")

    size = (5.2, max(1.8, 1.1 + 0.3 * len(groups)))
    return [
        draw("Pairs of similar molecules: direction", directions, size),
        draw("Agreement by what both molecules have", lambda axes: _agreement(axes, shares)),
    ]


_AGREEMENT = {
    "direction": ("#0072B2", "pairs: what differs has the sign of activity"),
    "same_sign": ("#009E73", "common atoms: same sign"),
    "rank_correlation": ("#D55E00", "common atoms: rank correlation, median"),
}


def _agreement(axes: Any, shares: dict[str, Any]) -> None:
    for offset, (measure, (colour, label)) in zip((-0.15, 0.0, 0.15), _AGREEMENT.items(), strict=True):
        known = [
            (place + offset, item[measure]) for place, item in enumerate(shares.values()) if item[measure]
        ]
        for place, (_, low, high) in known:
            axes.plot([place] * 2, [low, high], color=colour, linewidth=1.2)
        at = [place for place, _ in known]
        axes.plot(at, [values[0] for _, values in known], "o", color=colour, markersize=4, label=label)
    axes.axhline(0.5, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_xticks(range(len(shares)), [f"{k}\n({v['pairs']})" for k, v in shares.items()], fontsize=8)
    axes.set_xlabel("common substructure, share of the larger molecule (pairs)")
    axes.set_ylim(top=1.45)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    axes.legend(frameon=False, fontsize=7.5, loc="upper left")


# What to say of pairs of similar molecules: findings of the check of activity cliffs.

NAME = "activity-cliffs"

ENOUGH = 25
"""Pairs below which a share tells nothing: its 95 % interval is wider than 0.36."""
UNTOLD = 0.65
"""Scores, or attributions, whose interval stays below this share of pairs in the right order are of no use
for close analogues; a wider one proves nothing either way."""

DISAGREEING, FEWEST_ATOMS = 0.6, 50
"""Attributions of the atoms that both molecules have disagree if, over at least so many atoms that matter in
both, the interval of the share with the same sign stays below this: little more than chance, 50 %. In sound
models the share is 0.65 to 1, even where an edit turns the score; of all common atoms, most of which matter
little, it comes down to 0.5 there, so they are not judged."""


def judge_cliffs(everything: CliffGroup, groups: list[CliffGroup], common: CommonAtoms) -> list[Finding]:
    """Judge scores and attributions of pairs of similar molecules.

    Parameters
    ----------
    everything : CliffGroup
        All pairs.
    groups : list of CliffGroup
        Those of each task.
    common : CommonAtoms
        Agreement about the atoms that the molecules of a pair share.

    Returns
    -------
    list of Finding
    """
    if len(everything.cliffs) < ENOUGH:
        return [
            Finding(
                NAME,
                Severity.INFO,
                f"Only {len(everything.cliffs)} pairs of similar molecules differ in activity: too few "
                f"to judge.",
                Evidence(everything.numbers()),
                "Give pairs of your own with --pairs.",
            )
        ]
    judged = [everything, *(group for group in groups if len(group.cliffs) >= ENOUGH)]
    if len(groups) == 1:
        judged = [everything]
    reversed_ = [g for g in judged if g.share("ordered")[2] < 0.5]
    wrong = [
        g
        for g in judged
        if g not in reversed_ and (g.share("direction")[2] < 0.5 or g.share("faithful")[2] < 0.5)
    ]
    lost = [
        g
        for g in judged
        if g not in wrong
        and g.share("ordered")[1] > 0.5
        and g.share("direction")[1] <= 0.5
        and g.worse_than_scores
    ]
    # Where attributions follow the scores, the explanations are true to the model; what is lost is precision.
    blind = [g for g in lost if g.share("faithful")[1] <= 0.5]
    findings = []
    if reversed_:
        findings.append(_reversed(reversed_))
    if wrong:
        findings.append(_wrong(wrong))
    if blind:
        findings.append(_blind(blind))
    elif lost:
        findings.append(_partly(lost))
    _, low, high = everything.share("ordered")
    if not findings and low <= 0.5 and high < UNTOLD:
        findings.append(_unordered(everything))
    if common.n_strong >= FEWEST_ATOMS and common.strong.high < DISAGREEING:
        findings.append(_disagreeing(everything, common))
    return findings


def _evidence(groups: list[CliffGroup]) -> Evidence:
    cliffs = [cliff for cliff in groups[0].cliffs if cliff.direction() == 0.0]
    cliffs.sort(key=lambda cliff: -abs(cliff.attribution_difference))
    return Evidence({group.name: group.numbers() for group in groups}, molecules=_examples(cliffs))


def _examples(cliffs: list[Cliff]) -> list[Example]:
    shown = []
    for number, cliff in enumerate(cliffs[: MOST_EXAMPLES // 2], start=1):
        for which, explanation in zip(("first", "second"), cliff.explained, strict=True):
            note = (
                f"pair {number}, {which}: {cliff.pair.task}, difference of activity "
                f"{cliff.pair.difference:+.3g}, "
                f"of scores {cliff.score_difference:+.3g}, of attribution of what differs "
                f"{cliff.attribution_difference:+.3g}"
            )
            shown.append(explained_example(explanation, note))
    return shown


def _reversed(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    share, low, high = worst.share("ordered")
    return Finding(
        NAME,
        Severity.ERROR,
        f"Among similar molecules the more active one gets the lower score: only {share:.0%} of "
        f"{len(worst.cliffs)} pairs ({worst.name}; interval {low:.0%} to {high:.0%}) are in the right order.",
        _evidence(groups),
        "Look whether labels or the sign of the differences are reversed, or columns of tasks are "
        "swapped; if not, the model is wrong about what makes these molecules active.",
    )


def _wrong(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    share, low, high = worst.share("direction")
    return Finding(
        NAME,
        Severity.ERROR,
        f"Attribution of what differs between similar molecules points the wrong way: it has the sign of the "
        f"difference in activity in only {share:.0%} of {len(worst.cliffs)} pairs ({worst.name}; interval "
        f"{low:.0%} to {high:.0%}).",
        _evidence(groups),
        "Do not use these explanations to choose what to change in a molecule; score the changed molecules.",
    )


def _blind(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    share, low, high = worst.share("direction")
    return Finding(
        NAME,
        Severity.WARNING if worst.share("direction")[2] < UNTOLD else Severity.INFO,
        f"Scores tell similar molecules apart better than attribution of what differs does: scores have the "
        f"sign of the difference in activity in {worst.share('ordered')[0]:.0%} of {len(worst.cliffs)} pairs "
        f"({worst.name}), attribution in {share:.0%} (interval {low:.0%} to {high:.0%}; chance is 50%).",
        _evidence(groups),
        "Attribution lies on atoms that the molecules share; compare whole pairs of explanations, not the "
        "changed atoms only.",
    )


def _partly(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    direction, faithful = worst.share("direction"), worst.share("faithful")
    return Finding(
        NAME,
        Severity.INFO,
        f"Attribution of what differs between similar molecules follows the scores ({faithful[0]:.0%} of "
        f"{len(worst.cliffs)} pairs, {worst.name}), but has the sign of the difference in activity in "
        f"{direction[0]:.0%} only, the scores in {worst.share('ordered')[0]:.0%}.",
        _evidence(groups),
        "Part of what tells such molecules apart is attributed to atoms that they share; to decide between "
        "them, compare their scores.",
    )


def _unordered(group: CliffGroup) -> Finding:
    share, low, high = group.share("ordered")
    return Finding(
        NAME,
        Severity.WARNING,
        f"The model does not tell similar molecules of different activity apart: {share:.0%} of "
        f"{len(group.cliffs)} pairs are in the right order (interval {low:.0%} to {high:.0%}; chance is "
        f"50%).",
        _evidence([group]),
        "Do not use scores or explanations to decide between close analogues.",
    )


def _disagreeing(everything: CliffGroup, common: CommonAtoms) -> Finding:
    strong = common.strong
    cliffs = sorted(everything.cliffs, key=lambda cliff: -_opposed(cliff))
    return Finding(
        NAME,
        Severity.WARNING,
        f"Attributions of the atoms that similar molecules share disagree: of {common.n_strong} atoms that "
        f"matter in both molecules of a pair only {strong.value:.0%} have the same sign (interval "
        f"{strong.low:.0%} to {strong.high:.0%}; chance is 50%).",
        Evidence({"common_atoms": common.numbers()}, molecules=_examples([c for c in cliffs if _opposed(c)])),
        "What an atom is said to do changes with parts of the molecule that are far from it. Do not carry "
        "explanations over from one molecule to its analogues, and look for features that say the same of "
        "every atom of a molecule.",
    )


def _opposed(cliff: Cliff) -> int:
    """Common atoms that matter in both molecules, with opposite signs."""
    same, counted = cliff.same_sign(strong=True)
    return counted - same


# Pairs of similar molecules with different activities: from a file, or from labels.

FIRST, SECOND, DIFFERENCE, TASK = "smiles_a", "smiles_b", "difference", "task"
"""Columns of a file of pairs."""

_N_BITS = 2048
_BLOCK = 512


def read_pairs(path: str | Path, model: ScreeningModel) -> list[ActivityPair]:
    r"""Read pairs of molecules with the difference of their activities.

    Parameters
    ----------
    path : str or Path
        A CSV, TSV or Parquet file with the columns ``smiles_a``, ``smiles_b``, ``difference`` (activity of
        the first minus that of the second) and, if the model has several tasks, ``task``.
    model : ScreeningModel
        Its tasks are meant, and its parser must accept the molecules.

    Returns
    -------
    list of ActivityPair

    Raises
    ------
    InputError
        Naming the row, for a molecule, a difference or a task that cannot be used.
    UsageError
        If the file or one of the columns does not exist, or no column says which task is meant.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import molig
    >>> model = molig.load_model("hiv-w2n2")
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "pairs.csv"
    ...     _ = path.write_text("smiles_a,smiles_b,difference\nCCO,CCN,-1.5\n")
    ...     [(pair.first, pair.difference, pair.task) for pair in read_pairs(path, model)]
    [('CCO', -1.5, 'HIV_active')]
    """
    columns = [SECOND, DIFFERENCE, TASK]
    try:
        records = read_records(path, smiles_column=FIRST, columns=columns)
    except UnknownNameError as error:
        if error.kind != "column" or error.name != TASK:
            raise
        if len(model.tasks) > 1:
            raise UsageError(
                f"{path}: model {model.name!r} has {len(model.tasks)} tasks; name the one that each pair is "
                f"about in a column {TASK!r}"
            ) from error
        records = read_records(path, smiles_column=FIRST, columns=columns[:2])
    return [_pair(path, model, record) for record in records]


def _pair(path: str | Path, model: ScreeningModel, record: Record) -> ActivityPair:
    where = f"{path}, row {record.row}"
    if record.problem:
        raise InputError(f"{where}: {record.problem}")
    second = _text(record.fields.get(SECOND))
    for column, smiles in ((FIRST, record.smiles), (SECOND, second)):
        for rejection in model.parser.parse_many([Record(record.row, record.id, smiles)])[1]:
            raise InputError(f"{where}: {column} {smiles!r} cannot be used: {rejection.reason}")
    text = _text(record.fields.get(DIFFERENCE))
    try:
        difference = float(text)
    except ValueError:
        difference = math.nan
    if not math.isfinite(difference) or difference == 0:
        raise InputError(f"{where}: {DIFFERENCE} is {text!r}; expected a number other than 0")
    task = _text(record.fields.get(TASK)) or (model.tasks[0] if len(model.tasks) == 1 else "")
    if task not in model.tasks:
        raise InputError(f"{where}: {UnknownNameError('task', task, model.tasks)}")
    return ActivityPair(record.smiles, second, difference, task)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def similar_pairs(
    mols: list[Chem.Mol],
    values: npt.NDArray[np.float64],
    least: npt.NDArray[np.float64],
    threshold: float,
) -> list[list[tuple[int, int]]]:
    """Find pairs of similar molecules whose values differ, for every column of values at once.

    Parameters
    ----------
    mols : list of Mol
        The molecules.
    values : array of float, shape (n_mols, n_columns)
        Their values; NaN where not known.
    least : array of float, shape (n_columns,)
        Least difference of the values.
    threshold : float
        Least Tanimoto similarity of Morgan fingerprints of radius 2, below 1: identical fingerprints show
        nothing that could be the cause.

    Returns
    -------
    list of list of (int, int)
        For each column places, the molecule of the higher value first; similarities are found
        block by block in bounded memory.
    """
    found: list[list[tuple[int, int]]] = [[] for _ in least]
    if len(mols) < 2:
        return found
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=_N_BITS)
    bits = np.array([generator.GetFingerprintAsNumPy(with_rings(mol)) for mol in mols], dtype=np.float32)
    sizes = bits.sum(axis=1)
    for start in range(0, len(mols), _BLOCK):
        shared = bits[start : start + _BLOCK] @ bits.T
        either = sizes[start : start + _BLOCK, None] + sizes[None] - shared
        similarity = shared / np.maximum(either, 1)
        rows, columns = np.nonzero((similarity >= threshold) & (similarity < 1))
        rows += start
        for place, column in enumerate(values.T):
            # NaN, a value that is not known, makes no pair.
            wanted = column[rows] - column[columns] >= least[place]
            found[place] += zip(rows[wanted].tolist(), columns[wanted].tolist(), strict=True)
    return found


SIMILAR = 0.6
"""Tanimoto similarity from which molecules of different activity make a cliff."""
PAIRS_PER_TASK, PAIRS = 60, 300
"""Pairs compared of a task, and of all tasks together; of more, a sample drawn with the seed. Of a
single task half as many as of all, and of many tasks enough of each."""


@register(
    NAME,
    title="Activity cliffs",
    question="Where similar molecules differ in activity, does attribution point at what differs?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare attributions within pairs of similar molecules; see `Outcome`."""
    given = subject.settings.pairs
    pairs = [p for p in given if p.task in subject.tasks] if given else _pairs_of_labels(subject)
    if not pairs:
        where = "among those given for the audited tasks" if given else "among the labelled molecules"
        raise NotApplicable(f"there is no pair of similar molecules with different activity {where}")
    most = _most_per_task(len({pair.task for pair in pairs}))
    chosen = _sample(subject, pairs, most)
    searches = Searches()
    cliffs = _cliffs(subject, chosen, searches)
    groups = [CliffGroup(t, [c for c in cliffs if c.pair.task == t], Z_TASK) for t in subject.tasks]
    groups = [group for group in groups if group.cliffs]
    everything = CliffGroup("all tasks", cliffs, 1.96)
    common = common_atoms(cliffs, subject.rng(f"{NAME}: common atoms"))
    shares = by_common_share(cliffs, subject.rng(NAME))
    measured = {
        "sign_of_differences": {group.name: group.numbers() for group in [everything, *groups]},
        "common_atoms": common.numbers(),
        "by_share_of_common_substructure": shares,
    }
    source = "given" if given else f"found in the labels (similarity at least {SIMILAR})"
    remark = (
        f"{len(pairs)} pairs {source}; {len(cliffs)} compared of {len(chosen)} drawn with seed "
        f"{subject.settings.seed} (at most {most} per task). Left out are pairs of which a molecule cannot "
        f"be used or has more than {MOST_ATOMS} atoms, or whose common part is nothing or everything; and "
        f"{searches}."
    )
    return Outcome(judge_cliffs(everything, groups, common), measured, cliff_figures(groups, shares), remark)


def _pairs_of_labels(subject: AuditSubject) -> list[ActivityPair]:
    columns = [subject.column(task) for task in subject.tasks]
    values = subject.require_labels()[:, columns]
    labelled = np.flatnonzero(np.isfinite(values).any(axis=1))
    values = values[labelled]
    least = np.array([_least_difference(column, subject.is_regression) for column in values.T])
    mols = [subject.molecules[int(i)].mol for i in labelled]
    found = []
    places = similar_pairs(mols, values, least, SIMILAR)
    for task, column, pairs in zip(subject.tasks, values.T, places, strict=True):
        for i, j in pairs:
            texts = [subject.molecules[int(labelled[place])].smiles for place in (i, j)]
            found.append(ActivityPair(texts[0], texts[1], float(column[i] - column[j]), task))
    return found


def _least_difference(values: FloatArray, regression: bool) -> float:
    """1 for classes, the spread of values; infinite where nothing differs."""
    known = values[np.isfinite(values)]
    spread = float(known.std()) if len(known) > 1 else 0.0
    if spread == 0:
        return np.inf
    return spread if regression else 1.0


def _most_per_task(n_tasks: int) -> int:
    """Pairs compared of each of so many tasks that have any."""
    return PAIRS // 2 if n_tasks == 1 else min(PAIRS_PER_TASK, max(ENOUGH, PAIRS // n_tasks))


def _sample(subject: AuditSubject, pairs: Sequence[ActivityPair], most: int) -> list[ActivityPair]:
    """Of each task as many, in an order that does not depend on the other tasks."""
    rng = subject.rng(NAME)
    chosen: list[ActivityPair] = []
    for task in subject.tasks:
        own = [pair for pair in pairs if pair.task == task]
        if not own:
            continue
        kept = np.sort(rng.permutation(len(own))[:most])
        chosen += [own[i] for i in kept]
    return chosen


def _cliffs(subject: AuditSubject, pairs: Sequence[ActivityPair], searches: Searches) -> list[Cliff]:
    found = []
    for task in subject.tasks:
        own = [pair for pair in pairs if pair.task == task]
        texts = dict.fromkeys(text for pair in own for text in (pair.first, pair.second))
        records = [Record(row, str(row), text) for row, text in enumerate(texts, start=1)]
        molecules = {m.smiles: m for m in subject.model.parser.parse_many(records)[0]}
        matched = [(pair, _matched(molecules, pair, searches)) for pair in own]
        used = [pair for pair, common in matched if common is not None]
        needed = list(dict.fromkeys(text for pair in used for text in (pair.first, pair.second)))
        explained = explain_molecules(subject.model, [molecules[text] for text in needed], [task])
        by_text = {text: one[task] for text, one in zip(needed, explained, strict=True)}
        unit = float(subject.logits[:, subject.column(task)].std()) if subject.is_regression else 1.0
        found += [
            Cliff(pair, (by_text[pair.first], by_text[pair.second]), common, unit)
            for pair, common in matched
            if common is not None
        ]
    return found


def _matched(molecules: dict[str, Molecule], pair: ActivityPair, searches: Searches) -> Overlap | None:
    """What the molecules of a pair share; None if one cannot be used or nothing differs."""
    first, second = molecules.get(pair.first), molecules.get(pair.second)
    if first is None or second is None:
        return None
    common = searches.overlap(first.mol, second.mol)
    whole = first.mol.GetNumAtoms() == second.mol.GetNumAtoms()
    return None if common is None or (common.share == 1.0 and whole) else common
