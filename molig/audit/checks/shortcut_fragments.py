"""Shortcut fragments: high attribution without activity wherever they occur, and the reverse."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem, RDConfig
from rdkit.Chem.BRICS import FindBRICSBonds
from rdkit.Chem.Scaffolds import MurckoScaffold
from scipy.stats import false_discovery_control, fisher_exact, wilcoxon

from molig.attribution import Explanation
from molig.audit.figures import BLUE, ORANGE, draw
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
from molig.audit.subject import AuditSubject, FloatArray, Index
from molig.molecules.groups import ring_systems
from molig.stats.intervals import Z95, Estimate
from molig.stats.plots import GREY

NAME = "shortcut-fragments"

FEWEST = 10
"""Molecules with a fragment, of those with labels and of those explained, below which it is left out."""
FALSE_DISCOVERY = 0.01
"""Rate of false discoveries, over all fragments and tasks."""
NO_EFFECT = 3.0
"""Odds ratio below which a fragment separates neither actives from inactives nor high from low scores."""
RAISES = 1.5
"""Lower end of the score's odds ratio from which a fragment raises the score to speak of."""
MARGIN = 1.3
"""Lower end of the score's odds ratio, over the upper end of the labels', where the score exaggerates."""
EXAGGERATES = 3.0
"""The same ratio, from which a fragment is a shortcut though its atoms get no attribution: a network may put
it elsewhere in the molecule."""
STANDS_OUT, EVERYWHERE = 0.25, 0.6
"""A fragment attracts attribution if its atoms have more than the other atoms of the same molecule by this
much, in units of the molecule's mean |attribution| (median), in this share of the molecules."""
UNNOTICED = 0.1
"""Scores do not notice a fragment whose mean score differs by less than this share of what the labels differ
by; of scores that are all near 0, odds ratios say nothing."""
UNEXPLAINED = 0.25
"""A fragment is ignored if its atoms get less than this share of the difference between the labels."""
DOMINATES, DOMINANT_ODDS = 0.5, 10.0
"""Share of the positive attribution, and odds ratio of the score, from which a shortcut decides the score."""
_SAME = 0.6
"""Overlap of the molecules of two fragments (Jaccard) from which only the stronger one is listed."""
_MOST_LISTED = 12  # fragments of a finding
_MOST_VECTOR = 300  # points of a group that are drawn one by one; of more, a picture of them takes less room
BoolArray = npt.NDArray[np.bool_]


@register(
    NAME,
    title="Shortcut fragments",
    question="Do the fragments that attract attribution separate actives from inactives, and the reverse?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare the attribution of fragments with their enrichment among actives."""
    subject.require_labels()
    fragments = find_fragments([molecule.mol for molecule in subject.molecules], FEWEST)
    where = {int(molecule): place for place, molecule in enumerate(subject.sample)}
    pairs = [
        pair
        for task in subject.tasks
        if (labels := TaskLabels.of(subject, task)) is not None
        for fragment in fragments
        if (pair := study_fragment(subject, labels, fragment, where)) is not None
    ]
    if not pairs:
        raise NotApplicable(
            f"no fragment occurs in {FEWEST} molecules with labels of both classes, and {FEWEST} explained"
        )
    label_q, excess_q = adjusted([p.label_p for p in pairs]), adjusted([p.excess_p for p in pairs])
    shortcuts = [pair for pair, q in zip(pairs, excess_q, strict=True) if pair.is_shortcut(q)]
    overlooked = [pair for pair, q in zip(pairs, label_q, strict=True) if pair.is_overlooked(q)]
    findings = [_shortcut(subject, shortcuts)] if shortcuts else []
    if overlooked:
        findings.append(_overlooked(subject, overlooked))
    return Outcome(
        findings,
        _measured(pairs, shortcuts, overlooked, label_q),
        [_figure(pairs, shortcuts, overlooked)],
        f"{len({pair.fragment.name for pair in pairs})} fragments in at least {FEWEST} molecules; "
        f"attributions of {len(subject.sample)} molecules, enrichment among all {len(subject.molecules)}; "
        f"false discovery rate {FALSE_DISCOVERY:.0%} over {len(pairs)} pairs of fragment and task.",
    )


def _shortcut(subject: AuditSubject, pairs: list[FragmentOnTask]) -> Finding:
    listed = _distinct(sorted(pairs, key=lambda pair: -pair.exaggeration))
    worst, tasks = listed[0], _tasks(subject, pairs)
    return Finding(
        NAME,
        Severity.ERROR if any(pair.decides for pair in pairs) else Severity.WARNING,
        f"{_count(listed)} raise the score wherever they occur, though the labels do not bear it out, on "
        f"{len(tasks)} of {len(subject.tasks)} tasks: on {worst.task}, molecules with {worst.fragment.name} "
        f"score {worst.scored[0]:.2f} on average, others {worst.scored[1]:.2f}; active are "
        f"{worst.active[0]:.0%} and {worst.active[1]:.0%} (odds ratio {worst.label.value:.2g}, "
        f"{worst.label.low:.2g} to {worst.label.high:.2g}).",
        _evidence(subject, listed, tasks, high=True),
        "Do not take these fragments for what makes a molecule active. Look for the reason in the training "
        "data (one series, one source, one assay), add inactives that have the fragment, and train again.",
    )


def _overlooked(subject: AuditSubject, pairs: list[FragmentOnTask]) -> Finding:
    listed = _distinct(sorted(pairs, key=lambda pair: -pair.neglect))
    worst, tasks = listed[0], _tasks(subject, pairs)
    return Finding(
        NAME,
        Severity.WARNING,
        f"{_count(listed)} separate actives from inactives, yet get no attribution, on {len(tasks)} of "
        f"{len(subject.tasks)} tasks: on {worst.task}, {worst.active[0]:.0%} of the molecules with "
        f"{worst.fragment.name} are active, {worst.active[1]:.0%} of the others (odds ratio "
        f"{worst.label.value:.2g}, {worst.label.low:.2g} to {worst.label.high:.2g}); their mean scores are "
        f"{worst.scored[0]:.2f} and {worst.scored[1]:.2f}.",
        _evidence(subject, listed, tasks, high=False),
        "The model does not use what these labels show. Check whether its features can distinguish the "
        "fragment from others, and whether its training data had such molecules.",
    )


def _distinct(pairs: list[FragmentOnTask]) -> list[FragmentOnTask]:
    """The strongest pairs, without fragments of nearly the same molecules, such as nitro and nitrobenzene."""
    kept: list[FragmentOnTask] = []
    for pair in pairs:
        same = [other for other in kept if other.task == pair.task]
        if all(_overlap(pair.presence, other.presence) < _SAME for other in same):
            kept.append(pair)
    return kept


def _overlap(first: BoolArray, second: BoolArray) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def _tasks(subject: AuditSubject, pairs: list[FragmentOnTask]) -> list[str]:
    with_one = {pair.task for pair in pairs}
    return [task for task in subject.tasks if task in with_one]


def _count(pairs: list[FragmentOnTask]) -> str:
    return f"Fragments ({len({pair.fragment.name for pair in pairs})} in all)"


def _evidence(
    subject: AuditSubject, listed: list[FragmentOnTask], tasks: list[str], *, high: bool
) -> Evidence:
    shown = listed[:_MOST_LISTED]
    return Evidence(
        {"tasks": tasks, "fragments": [pair.numbers() for pair in shown]},
        [pair.fragment.name for pair in shown],
        _examples(subject, listed[0], high=high),
    )


def _examples(subject: AuditSubject, pair: FragmentOnTask, *, high: bool) -> list[Example]:
    """Explained molecules with the fragment: inactives of high score, or actives of low score."""
    column = subject.column(pair.task)
    labels, scores = subject.require_labels()[:, column], subject.scores[:, column]
    middle = float(np.nanmedian(labels)) if subject.is_regression else 0.5
    rows = {int(subject.sample[place]): place for place in pair.attributed.places}
    wrong = [row for row in rows if np.isfinite(labels[row]) and bool(labels[row] <= middle) == high]
    wrong.sort(key=lambda row: -scores[row] if high else scores[row])
    return [
        explained_example(
            subject.explanations[rows[row]][pair.task],
            f"has {pair.fragment.name}; label {labels[row]:g}, score {scores[row]:.3f}",
        )
        for row in wrong[:MOST_EXAMPLES]
    ]


def _measured(
    pairs: list[FragmentOnTask],
    shortcuts: list[FragmentOnTask],
    overlooked: list[FragmentOnTask],
    label_q: FloatArray,
) -> dict[str, Any]:
    extreme = sorted(pairs, key=lambda pair: -pair.exaggeration)[:3]
    unseen = sorted(pairs, key=lambda pair: -pair.neglect)[:3]
    return {
        "fragments": len({pair.fragment.name for pair in pairs}),
        "pairs": len(pairs),
        "separating_by_labels": int((label_q < FALSE_DISCOVERY).sum()),
        "shortcuts": len(shortcuts),
        "overlooked": len(overlooked),
        "median_excess": float(np.median([pair.excess for pair in pairs])),
        "nearest_to_shortcut": [pair.numbers() for pair in extreme],
        "nearest_to_overlooked": [pair.numbers() for pair in unseen],
    }


def _figure(
    pairs: list[FragmentOnTask], shortcuts: list[FragmentOnTask], overlooked: list[FragmentOnTask]
) -> Figure:
    """Attribution of every fragment against its enrichment; those found in colour."""
    coloured = {id(pair) for pair in (*shortcuts, *overlooked)}
    groups = {"others": ([p for p in pairs if id(p) not in coloured], "#999999", 5)}
    groups |= {"shortcuts": (shortcuts, ORANGE, 16), "overlooked": (overlooked, BLUE, 16)}

    def fill(axes: Any) -> None:
        for name, (group, color, size) in groups.items():
            if group:
                axes.scatter(
                    [pair.label.value for pair in group],
                    [pair.excess for pair in group],
                    s=size,
                    color=color,
                    linewidths=0,
                    alpha=0.7,
                    label=name,
                    rasterized=len(group) > _MOST_VECTOR,
                )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, place: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, place: "")
        axes.axvline(1, color=GREY, linewidth=0.8)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set_xlabel("odds ratio of the labels")
        axes.set_ylabel("excess attribution of its atoms")
        axes.legend(frameon=False, fontsize=8)

    return draw("Fragments: attribution against enrichment", fill)


# A fragment on a task: attribution of its atoms, and odds of its molecules by labels and by scores.


@dataclass(frozen=True, eq=False)
class Attributed:
    """What the atoms of a fragment get in each explained molecule that has it."""

    places: list[int]  # among the explained molecules
    excess: FloatArray  # mean of its atoms minus mean of the others, in mean |attribution|
    sums: FloatArray  # of its atoms
    share: FloatArray  # of the molecule's positive attribution


@dataclass(frozen=True, eq=False)
class FragmentOnTask:
    """A fragment and a task."""

    fragment: Fragment
    task: str
    n_with: int
    active: tuple[float, float]  # share of actives with it, without it
    scored: tuple[float, float]  # mean score with it, without it
    label: Estimate
    score: Estimate
    called: Estimate  # of being among as many best scores as there are actives
    attributed: Attributed
    label_p: float
    excess_p: float
    presence: BoolArray
    scale: float  # of attributions: 1 for probabilities, the quartile range of a regression's values

    @property
    def excess(self) -> float:
        """Attribution of its atoms above that of the others (median)."""
        return float(np.median(self.attributed.excess))

    @property
    def positive(self) -> float:
        """Share of the molecules in which its atoms have more than the others."""
        return float(np.mean(self.attributed.excess > 0))

    @property
    def share(self) -> float:
        """Share of the molecule's positive attribution (median)."""
        return float(np.median(self.attributed.share))

    @property
    def explained(self) -> float:
        """Attribution of its atoms (median), in units of the difference that it makes by the labels."""
        difference = max(self.active[0] - self.active[1], 1e-9) * self.scale
        return float(np.median(self.attributed.sums)) / difference

    def is_shortcut(self, q: float) -> bool:
        """Whether it raises scores without reason, and attracts attribution or raises them by far.

        The false discovery rate is that of the attribution.
        """
        attracts = q < FALSE_DISCOVERY and self.excess >= STANDS_OUT and self.positive >= EVERYWHERE
        margin = MARGIN if attracts else EXAGGERATES
        return self.label.high < NO_EFFECT and self.score.low > max(RAISES, margin * self.label.high)

    def is_overlooked(self, q: float) -> bool:
        """Whether it separates the labels and the model ignores it, at this false discovery rate."""
        separates = q < FALSE_DISCOVERY and self.label.low >= NO_EFFECT
        noticed = self.scored[0] - self.scored[1] >= UNNOTICED * (self.active[0] - self.active[1])
        by_score = max(self.score.high, self.called.high) if noticed else self.called.high
        # Less than half of the logarithm: a score that hardly notices what decides the labels.
        ignored = by_score < max(NO_EFFECT, self.label.low**0.5)
        return separates and ignored and self.explained < UNEXPLAINED

    @property
    def exaggeration(self) -> float:
        """How far the odds of the score are surely above those of the labels."""
        return self.score.low / self.label.high

    @property
    def neglect(self) -> float:
        """How far they are surely below them."""
        return self.label.low / self.score.high

    @property
    def decides(self) -> bool:
        """Whether it decides the score."""
        return self.share >= DOMINATES and self.score.low >= DOMINANT_ODDS

    def numbers(self) -> dict[str, Any]:
        """What to report."""
        return {
            "fragment": self.fragment.name,
            "task": self.task,
            "molecules_with": self.n_with,
            "explained_with": len(self.attributed.places),
            "active_with": self.active[0],
            "active_without": self.active[1],
            "label_odds_ratio": self.label.to_dict(),
            "score_with": self.scored[0],
            "score_without": self.scored[1],
            "score_odds_ratio": self.score.to_dict(),
            "top_scores_odds_ratio": self.called.to_dict(),
            "attribution_excess": self.excess,
            "share_of_molecules_with_excess": self.positive,
            "median_attribution": float(np.median(self.attributed.sums)),
            "share_of_positive_attribution": self.share,
        }


@dataclass(frozen=True, eq=False)
class TaskLabels:
    """Labels and scores of one task, the same for all fragments."""

    task: str
    known: BoolArray  # of all molecules, those with a label; the other arrays are of these only
    active: BoolArray
    scores: FloatArray
    best: BoolArray  # as many best scores as there are actives
    scale: float

    @classmethod
    def of(cls, subject: AuditSubject, task: str) -> TaskLabels | None:
        """Labels of a task; None where they are all of one class."""
        labels = subject.require_labels()[:, subject.column(task)]
        known = np.isfinite(labels)
        if not known.any():
            return None
        active, scores = _classes(subject, labels[known], subject.scores[known, subject.column(task)])
        if active.all() or not active.any():
            return None
        return cls(task, known, active, scores, _best(scores, int(active.sum())), _scale(subject, task))


def study_fragment(
    subject: AuditSubject, labels: TaskLabels, fragment: Fragment, where: dict[int, int]
) -> FragmentOnTask | None:
    """Measure a fragment on a task; None where it is too rare."""
    presence = fragment.presence(len(labels.known))
    has, active, scores = presence[labels.known], labels.active, labels.scores
    if min(has.sum(), (~has).sum()) < FEWEST:
        return None
    attributed = _attributed(subject.explanations, labels.task, fragment, where)
    if len(attributed.places) < FEWEST:
        return None
    return FragmentOnTask(
        fragment,
        labels.task,
        int(has.sum()),
        (float(active[has].mean()), float(active[~has].mean())),
        (float(scores[has].mean()), float(scores[~has].mean())),
        label_odds(has, active),
        score_odds(has, scores),
        label_odds(has, labels.best),
        attributed,
        fisher_p(has, active),
        higher_p(attributed.excess),
        presence,
        labels.scale,
    )


def _scale(subject: AuditSubject, task: str) -> float:
    if not subject.is_regression:
        return 1.0
    low, high = np.quantile(subject.scores[:, subject.column(task)], [0.25, 0.75])
    return max(float(high - low), 1e-9)


def _classes(subject: AuditSubject, labels: FloatArray, scores: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Actives and probabilities; of a regression, whether values and predictions are above their medians."""
    if subject.is_regression:
        return labels > np.median(labels), (scores > np.median(scores)).astype(np.float64)
    return labels == 1, scores


def _best(scores: FloatArray, n: int) -> BoolArray:
    """Which molecules have the ``n`` best scores; of equal ones the first."""
    best = np.zeros(len(scores), dtype=bool)
    best[np.argsort(-scores, kind="stable")[:n]] = True
    return best


def _attributed(
    explanations: Sequence[dict[str, Explanation]], task: str, fragment: Fragment, where: dict[int, int]
) -> Attributed:
    rows = []
    for molecule, atoms in fragment.atoms.items():
        place = where.get(molecule)
        if place is None:
            continue
        scores = explanations[place][task].atom_scores
        mean = float(np.abs(scores).mean())
        if len(atoms) == len(scores) or mean == 0:
            continue
        inside, outside = scores[atoms], np.delete(scores, atoms)
        positive = float(np.maximum(scores, 0).sum())
        share = float(inside.sum()) / positive if positive else 0.0
        rows.append((place, (inside.mean() - outside.mean()) / mean, float(inside.sum()), share))
    table = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), 3)
    return Attributed([row[0] for row in rows], table[:, 0], table[:, 1], table[:, 2])


# Whether a fragment goes with activity, or with high scores: odds ratios with intervals, and tests.


def label_odds(has: BoolArray, active: BoolArray) -> Estimate:
    """Odds to be active with a fragment, relative to those without it."""
    counts = np.array([(has & active).sum(), (has & ~active).sum(), (~has & active).sum(), 0.0])
    counts[3] = len(has) - counts.sum()
    counts += 0.5
    log = math.log(counts[0] * counts[3] / (counts[1] * counts[2]))
    return _odds(log, math.sqrt((1 / counts).sum()))


def score_odds(has: BoolArray, scores: FloatArray) -> Estimate:
    """Odds of the mean score with a fragment, relative to those without it."""
    with_it, without = _logit_of_mean(scores[has]), _logit_of_mean(scores[~has])
    return _odds(with_it[0] - without[0], math.hypot(with_it[1], without[1]))


def _logit_of_mean(scores: FloatArray) -> tuple[float, float]:
    """Logit of the mean score, and its standard error by the delta method."""
    padded = np.concatenate([scores, [0.25, 0.75]])
    n = len(scores)
    mean = (scores.sum() + 0.5) / (n + 1)
    return math.log(mean / (1 - mean)), float(padded.std() / math.sqrt(n + 1) / (mean * (1 - mean)))


def _odds(log: float, error: float) -> Estimate:
    return Estimate(math.exp(log), math.exp(log - Z95 * error), math.exp(log + Z95 * error))


def fisher_p(has: BoolArray, active: BoolArray) -> float:
    """Two-sided p of Fisher's exact test of a fragment and activity."""
    both, only_has, only_active = (has & active).sum(), (has & ~active).sum(), (~has & active).sum()
    table = [[both, only_has], [only_active, len(has) - both - only_has - only_active]]
    return float(fisher_exact(table)[1])


def higher_p(values: FloatArray) -> float:
    """One-sided p of Wilcoxon's signed-rank test that values lie above 0; 1 if all are 0."""
    if not np.any(values):
        return 1.0
    return float(wilcoxon(values, alternative="greater", method="approx").pvalue)


def adjusted(p: Sequence[float]) -> FloatArray:
    """p-values adjusted for their number, by Benjamini and Hochberg (1995)."""
    return np.asarray(false_discovery_control(np.asarray(p, dtype=np.float64)), dtype=np.float64)


# Fragments of molecules by name: elements, functional groups, ring systems, scaffolds and BRICS pieces.


GROUPS_FILE = Path(RDConfig.RDDataDir) / "FragmentDescriptors.csv"
"""Functional groups with descriptions and SMARTS, part of RDKit."""
SMALLEST_PIECE = 2
"""Heavy atoms of a BRICS piece; smaller ones are elements."""


@dataclass(frozen=True)
class Fragment:
    """A fragment and where it occurs."""

    name: str  # its kind and what it is, such as ``"element Cl"`` or ``"ring c1ccncc1"``
    atoms: dict[int, Index]

    def presence(self, n: int) -> npt.NDArray[np.bool_]:
        """Which of ``n`` molecules have it, shape (n,)."""
        has = np.zeros(n, dtype=bool)
        has[list(self.atoms)] = True
        return has


def find_fragments(mols: Sequence[Chem.Mol], fewest: int) -> list[Fragment]:
    """Find the fragments that several, but not all molecules have."""
    places_of: dict[str, dict[int, set[int]]] = defaultdict(dict)
    for place, mol in enumerate(mols):
        for name, atoms in fragment_atoms(mol):
            places_of[name].setdefault(place, set()).update(atoms)
    kept: dict[tuple[tuple[int, tuple[int, ...]], ...], Fragment] = {}
    for name, places in places_of.items():
        if fewest <= len(places) <= len(mols) - fewest:
            atoms_of = {place: np.array(sorted(atoms), dtype=np.int64) for place, atoms in places.items()}
            kept.setdefault(
                tuple((place, tuple(atoms.tolist())) for place, atoms in atoms_of.items()),
                Fragment(name, atoms_of),
            )
    return sorted(kept.values(), key=lambda fragment: (-len(fragment.atoms), fragment.name))


def fragment_atoms(mol: Chem.Mol) -> Iterable[tuple[str, Sequence[int]]]:
    """Names and atoms of the fragments of one molecule; a name may come several times."""
    mol = Chem.Mol(mol)
    # Standardised molecules may have lost their rings, which patterns ask for.
    Chem.GetSymmSSSR(mol)
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() not in (1, 6):
            yield f"element {atom.GetSymbol()}", [atom.GetIdx()]
    for name, pattern in functional_groups().items():
        for match in mol.GetSubstructMatches(pattern):
            yield name, match
    for system in ring_systems(mol):
        yield f"ring {_smiles(mol, system)}", system
    scaffold = MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]
    if scaffold.GetNumAtoms():
        atoms = mol.GetSubstructMatch(scaffold)
        if atoms:
            yield f"scaffold {_smiles(mol, atoms)}", atoms
    for piece in brics_pieces(mol):
        if len(piece) >= SMALLEST_PIECE:
            yield f"piece {_smiles(mol, piece)}", piece


@cache
def functional_groups() -> dict[str, Chem.Mol]:
    """Patterns of functional groups by what RDKit calls them, such as ``"aromatic hydroxyl groups"``."""
    groups: dict[str, Chem.Mol] = {}
    for line in GROUPS_FILE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip('"') for cell in line.split("\t")]
        if not line.startswith("#") and len(cells) >= 3:
            pattern = Chem.MolFromSmarts(cells[2])
            if pattern is not None:
                groups.setdefault(cells[1].removeprefix("Number of "), pattern)
    return groups


def brics_pieces(mol: Chem.Mol) -> list[list[int]]:
    """Atoms of the pieces that are left when all BRICS bonds are cut; none if there is no such bond."""
    cuts = FindBRICSBonds(mol)  # type: ignore[no-untyped-call]
    bonds = [mol.GetBondBetweenAtoms(*ends).GetIdx() for ends, _ in cuts]
    if not bonds:
        return []
    cut = Chem.FragmentOnBonds(mol, bonds, addDummies=False)
    return [sorted(atoms) for atoms in Chem.GetMolFrags(cut)]


def _smiles(mol: Chem.Mol, atoms: Sequence[int]) -> str:
    return str(Chem.MolFragmentToSmiles(mol, list(atoms), isomericSmiles=False))
