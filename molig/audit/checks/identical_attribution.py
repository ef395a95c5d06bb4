"""Atoms in different surroundings with identical attributions: what a network cannot see, or does not use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.attribution import Explanation
from molig.audit.figures import BLUE, YELLOW, draw
from molig.audit.findings import (
    MOST_EXAMPLES,
    Evidence,
    Example,
    Figure,
    Finding,
    NotApplicable,
    Outcome,
    Severity,
    scored_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, Index, networks_of
from molig.features import MolGraph
from molig.model import ScoringModel, ScreeningModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes


NAME = "identical-attribution"

IDENTICAL = 1e-4
"""Difference, as a share of a molecule's largest attribution, that rounding in single precision explains."""
INVISIBLE = 1e-3
"""Difference, as a share of the largest attribution, that no reader of a picture or a table sees."""
UNSEEN, UNUSED = 0.5, 0.5
"""Share, of the pairs that only their neighbours' types tell apart, that cannot be or are not told apart."""
LEAST_SHARE, ERROR_SHARE = 0.01, 0.05
"""Share of those pairs, among all with other neighbours, that is worth a warning, and that is an error."""
LEAST_PAIRS = 5
"""Pairs from which on coincidence of a few weights is no explanation."""
LEVELS = ("element", "own bonds", "radius 1", "radius 2", "radius 3")
"""What two atoms can differ in, each level refining the one before it."""
NEIGHBOURS = LEVELS.index("radius 1")
"""Level of pairs that are alike in their own bonds and differ in what they are bonded to."""
MOST_ENVIRONMENTS = 10
"""Kinds of pairs that are listed."""
_SMALLEST = 1e-9  # largest attribution of a molecule below which there is nothing to compare
_LEAST_DRAWN = 5  # atoms of an example
_FAINT = 0.2  # share of the largest score below which an atom of an example would look white
# Numeric features that differ by less than the fifth decimal, such as the partial charges of equivalent
# atoms, are one value.
_DECIMALS = 5
_ROUNDS = 3  # where the network does not say how many times atoms hear of their neighbours
_BOND_SIGNS = {"SINGLE": "", "DOUBLE": "=", "TRIPLE": "#", "AROMATIC": ":"}
Colors = list[int]
Flags = npt.NDArray[np.bool_]


@register(
    NAME,
    title="Identical attributions",
    question="Do atoms that are bonded to different atoms get different attributions?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare attributions of atoms that differ at growing radius."""
    tally, molecules = Tally(), []
    for explanations in subject.explanations:
        pairs = study_pairs(explanations, n_rounds(subject.model), tally)
        if pairs.pairs.shape[1]:
            molecules.append(pairs)
    if not tally.pairs[NEIGHBOURS]:
        raise NotApplicable(
            "no molecule has two atoms of one element and the same bonds that are bonded to different atoms"
        )
    critical = CriticalPairs(molecules, subject.tasks, int(tally.pairs[NEIGHBOURS]))
    findings = []
    if critical.unseen:
        findings = [_cannot_see(critical, len(subject.explanations))]
    elif critical.tasks_unused:
        findings = [_does_not_use(critical, len(subject.explanations))]
    if subject.is_committee:
        findings = [_of_weave(finding) for finding in findings]
    measured = {
        "by_radius": tally.table(),
        "told_apart_by_neighbours_types_only": critical.numbers(),
        "environments": environments_of(critical.identical()),
        "explanations_without_any_attribution": tally.flat,
    }
    remark = (
        f"{len(subject.explanations)} molecules, {len(subject.tasks)} tasks; pairs of atoms of one molecule, "
        "counted at the level at which they first differ; attributions of the atoms' own features are "
        f"identical if they differ by at most {IDENTICAL:g} of the molecule's largest."
    )
    if subject.is_committee:
        remark += (
            " Attributions are those of the committee's Weave network alone; the shares of substructures, "
            "which tell atoms by their neighbours, come on top."
        )
    return Outcome(findings, measured, [_figure(tally)], remark)


def n_rounds(model: ScoringModel) -> int:
    """How many times atoms hear of their neighbours."""
    if isinstance(model, ScreeningModel):
        return model.info.network.n_modules
    if not networks_of(model):
        raise NotApplicable("the model is no network in which atoms hear of their neighbours")
    depths = [network.message_passing.depth for network in getattr(model, "networks", ())]
    return max(depths, default=_ROUNDS)


def _of_weave(finding: Finding) -> Finding:
    """The same of a committee, whose other members see the neighbours."""
    severity = min(finding.severity, Severity.WARNING, key=lambda severity: severity.rank)
    summary = f"Of the committee's Weave network alone, without substructures: {finding.summary}"
    return replace(finding, severity=severity, summary=summary)


def _cannot_see(critical: CriticalPairs, n_molecules: int) -> Finding:
    affected = critical.affected(IDENTICAL, blind=True)
    n_pairs = sum(int(close.sum()) for _, close in affected)
    n_atoms = sum(len(np.unique(molecule.pairs[:, close])) for molecule, close in affected)
    n_tasks, share = len(critical.tasks), n_pairs / critical.n_differing
    return Finding(
        NAME,
        Severity.ERROR if critical.share >= ERROR_SHARE else Severity.WARNING,
        "The network cannot see what an atom is bonded to: atoms of the same element with the same bonds "
        "contribute identically although bonded to different atoms. Of "
        f"{critical.n_differing:,} pairs of atoms that differ in nothing but their neighbours, {n_pairs:,} "
        f"({share:.0%}) get identical attributions: {n_atoms:,} atoms in {len(affected)} of {n_molecules} "
        f"molecules, on {f'all {n_tasks} tasks' if n_tasks > 1 else 'its task'}.",
        Evidence(
            {
                "pairs": n_pairs,
                "share_of_pairs": share,
                "atoms": n_atoms,
                "molecules": len(affected),
                "environments": environments_of(affected),
            },
            molecules=_examples(affected, critical.tasks),
        ),
        "Use two or more Weave modules: after one, an atom knows its own features and those of its pairs, "
        "never those of the atoms it is bonded to. Or give atoms features that describe their neighbours "
        "(the full set: partial charge, hybridisation). Until then do not interpret differences between "
        "atoms of one element with the same bonds.",
    )


def _does_not_use(critical: CriticalPairs, n_molecules: int) -> Finding:
    shares = {task: critical.invisible_by_task[task] or 0.0 for task in critical.tasks_unused}
    worst = max(shares, key=lambda task: shares[task])
    affected = critical.affected(INVISIBLE, blind=False)
    return Finding(
        NAME,
        Severity.WARNING,
        "The model does not use what an atom is bonded to, though its architecture could see it: on "
        f"{len(shares)} of {len(critical.tasks)} tasks most atoms of the same element with the same bonds "
        f"contribute alike although bonded to different atoms (worst on {worst}: {shares[worst]:.0%} of "
        f"{int((~critical.blind).sum()):,} pairs; {len(affected)} of {n_molecules} molecules).",
        Evidence(
            {
                "share_of_pairs": shares,
                "molecules": len(affected),
                "environments": environments_of(affected),
            },
            molecules=_examples(affected, tuple(shares)),
        ),
        "The network is deep enough to see the neighbours, but its weights pass nothing on. Look at dead "
        "units, at layers without effect (randomisation) and at the training; an explanation of this model "
        "says nothing about what an atom is bonded to.",
    )


def _examples(affected: list[tuple[AlikePairs, Flags]], tasks: tuple[str, ...]) -> list[Example]:
    """Small molecules in which identical atoms carry a good part of the score."""
    ranked: list[tuple[tuple[bool, bool, int, int], Explanation, Index]] = []
    for place, (molecule, close) in enumerate(affected):
        task = max(tasks, key=lambda task: abs(molecule.explanations[task].score))
        explanation = molecule.explanations[task]
        own, size = np.abs(explanation.own_atom_scores), explanation.mol.GetNumAtoms()
        pair = int(np.argmax(np.where(close, own[molecule.pairs[0]], -1.0)))
        faint = own[molecule.pairs[0, pair]] < _FAINT * own.max()
        ranked.append(((size < _LEAST_DRAWN, bool(faint), size, place), explanation, molecule.pairs[:, pair]))
    ranked.sort(key=lambda item: item[0])
    return [_example(explanation, pair) for _, explanation, pair in ranked[:MOST_EXAMPLES]]


def _example(explanation: Explanation, pair: Index) -> Example:
    mol = Chem.Mol(explanation.mol)
    names = []
    for place in pair.tolist():
        atom, number = mol.GetAtomWithIdx(place), explanation.input_atoms[place]
        atom.SetProp("atomNote", str(number))
        around = sorted(other.GetSymbol() for other in atom.GetNeighbors())
        names.append((f"{atom.GetSymbol()}{number}", ",".join(around)))
    own = explanation.own_atom_scores
    (first, left), (second, right) = names
    note = (
        f"{explanation.task}: {first} and {second} both {own[pair[0]]:+.4f}, though bonded to {left} and "
        f"{right} (atoms counted from 0, scores of the atoms' own features)"
    )
    return scored_example(
        replace(explanation, mol=mol), own, note, (f"{first} and {second}: {own[pair[0]]:+.4f}",)
    )


def _figure(tally: Tally) -> Figure:
    rows = tally.table()
    series = {
        "identical": [row["share_identical"] or 0.0 for row in rows.values()],
        "architecture cannot tell apart": [
            row["share_architecture_cannot_tell_apart"] or 0.0 for row in rows.values()
        ],
    }

    def fill(axes: Axes) -> None:
        places = np.arange(len(rows))
        for shift, color, (name, shares) in zip((-0.2, 0.2), (BLUE, YELLOW), series.items(), strict=True):
            axes.bar(places + shift, 100 * np.array(shares), 0.38, color=color, label=name)
        names = [f"{name}\n({row['pairs']:,} pairs)" for name, row in rows.items()]
        axes.set_xticks(places, names, fontsize=7.5)
        axes.set_xlabel("what two atoms of a molecule first differ in")
        axes.set_ylabel("% of pairs")
        axes.set_ylim(0, 105)
        axes.legend(frameon=False, fontsize=8, loc="upper left")

    return draw("Atoms that the model does not tell apart", fill)


# Pairs of atoms in different surroundings, and whether their attributions differ.


@dataclass(frozen=True)
class AlikePairs:
    """Pairs of atoms of one molecule that first differ in their neighbours, and how they fare."""

    explanations: Mapping[str, Explanation]
    pairs: Index  # (2, n): alike in own bonds, different at radius 1, told apart by neighbours' types only
    blind: Flags  # the architecture cannot tell them apart
    gaps: FloatArray  # (n_tasks, n): differences; NaN where the explanation is flat


class Tally:
    """Numbers of pairs by the level at which they first differ, and of (pair, task)."""

    def __init__(self) -> None:
        self.pairs, self.blind, self.asked, self.identical, self.unused = np.zeros((5, len(LEVELS)), np.int64)
        self.flat = 0  # explanations without any attribution

    def add(self, level: Index, blind: Flags, gaps: FloatArray) -> None:
        """Count the pairs of a molecule that differ at some level."""
        known = np.isfinite(gaps)
        self.flat += int((~known.any(axis=1)).sum()) if gaps.shape[1] else 0
        identical = known & (gaps <= IDENTICAL)
        self.pairs += _by_level(level)
        self.blind += _by_level(level, blind)
        self.asked += _by_level(level, known)
        self.identical += _by_level(level, identical)
        self.unused += _by_level(level, identical & ~blind)

    def table(self) -> dict[str, dict[str, float | int | None]]:
        """What to report, by level."""
        return {
            name: {
                "pairs": int(self.pairs[i]),
                "share_identical": share_of(self.identical[i], self.asked[i]),
                "share_architecture_cannot_tell_apart": share_of(self.blind[i], self.pairs[i]),
                "share_identical_though_it_could": share_of(self.unused[i], self.asked[i]),
            }
            for i, name in enumerate(LEVELS)
        }


def study_pairs(explanations: Mapping[str, Explanation], n_modules: int, tally: Tally) -> AlikePairs:
    """Count the pairs of a molecule, and keep those that only neighbours' types tell apart."""
    one = next(iter(explanations.values()))
    pairs, level = pairs_by_level(environments(one.mol))
    colors = attribution_colors(one.graph, n_modules)
    blind = colors[pairs[0]] == colors[pairs[1]]
    gaps = np.array([_gaps(explanation, pairs) for explanation in explanations.values()])
    differ = level < len(LEVELS)
    tally.add(level[differ], blind[differ], gaps[:, differ])
    # One module sees an atom and its pairs: what it cannot tell apart differs in the atoms around only.
    near = attribution_colors(one.graph, 1)
    kept = (level == NEIGHBOURS) & (near[pairs[0]] == near[pairs[1]])
    return AlikePairs(explanations, pairs[:, kept], blind[kept], gaps[:, kept])


def _gaps(explanation: Explanation, pairs: Index) -> FloatArray:
    """Largest difference of any entry between two atoms, as a share of the largest attribution."""
    scores = explanation.atom_attributions
    largest = max(np.abs(scores).max(initial=0.0), np.abs(explanation.pair_attributions).max(initial=0.0))
    if not largest > _SMALLEST:
        return np.full(pairs.shape[1], np.nan)
    gaps = np.abs(scores[pairs[0]] - scores[pairs[1]]).max(axis=1, initial=0.0) / largest
    return np.asarray(gaps, dtype=np.float64)


class CriticalPairs:
    """Pairs of all molecules that only the types of their neighbours tell apart."""

    def __init__(self, molecules: list[AlikePairs], tasks: tuple[str, ...], n_differing: int) -> None:
        self.molecules, self.tasks = molecules, tasks
        self.n_differing = n_differing  # pairs that first differ in their neighbours, in whatever
        none = np.zeros((len(tasks), 0))
        self.blind = np.concatenate([np.zeros(0, dtype=bool), *(m.blind for m in molecules)])
        self.gaps = np.concatenate([none, *(m.gaps for m in molecules)], axis=1)

    @property
    def share(self) -> float:
        """Among all pairs that first differ in their neighbours."""
        return len(self.blind) / self.n_differing

    @property
    def unseen(self) -> bool:
        """Whether the architecture is blind to neighbours' types, and attributions show it."""
        if not len(self.blind) or self.share < LEAST_SHARE or self.blind.mean() < UNSEEN:
            return False
        gaps = self.gaps[:, self.blind]
        known = np.isfinite(gaps)
        return bool(known.any() and (gaps[known] <= IDENTICAL).mean() >= UNSEEN)

    @property
    def tasks_unused(self) -> list[str]:
        """Tasks on which pairs that the network could tell apart get the same attributions."""
        if self.share < LEAST_SHARE:
            return []
        return [task for task, share in self.invisible_by_task.items() if share and share >= UNUSED]

    @property
    def invisible_by_task(self) -> dict[str, float | None]:
        """Share, of the pairs that the network could tell apart, without a visible difference."""
        shares: dict[str, float | None] = {}
        for task, gaps in zip(self.tasks, self.gaps[:, ~self.blind], strict=True):
            known = gaps[np.isfinite(gaps)]
            shares[task] = float((known <= INVISIBLE).mean()) if len(known) >= LEAST_PAIRS else None
        return shares

    def affected(self, most: float, *, blind: bool) -> list[tuple[AlikePairs, Flags]]:
        """Molecules with pairs closer than ``most`` on every task where anything is attributed."""
        kept = []
        for molecule in self.molecules:
            known = np.isfinite(molecule.gaps)
            close = ((molecule.gaps <= most) | ~known).all(axis=0) & known.any(axis=0)
            close &= molecule.blind == blind
            if close.any():
                kept.append((molecule, close))
        return kept

    def identical(self) -> list[tuple[AlikePairs, Flags]]:
        """Molecules with pairs that are identical, whether or not the architecture could tell them apart."""
        return [*self.affected(IDENTICAL, blind=True), *self.affected(IDENTICAL, blind=False)]

    def numbers(self) -> dict[str, object]:
        """What to report."""
        known = self.gaps[np.isfinite(self.gaps)]
        return {
            "pairs": len(self.blind),
            "share_of_pairs_with_other_neighbours": self.share,
            "share_architecture_cannot_tell_apart": share_of(self.blind.sum(), len(self.blind)),
            "share_identical": share_of((known <= IDENTICAL).sum(), len(known)),
            "share_without_visible_difference_though_it_could": self.invisible_by_task,
        }


def environments_of(affected: list[tuple[AlikePairs, Flags]]) -> dict[str, int]:
    """Count pairs by what their two atoms are and are bonded to; the most frequent kinds first."""
    counts: Counter[str] = Counter()
    for molecule, chosen in affected:
        texts = surroundings(next(iter(molecule.explanations.values())).mol)
        counts.update(" | ".join(sorted((texts[i], texts[j]))) for i, j in molecule.pairs[:, chosen].T)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:MOST_ENVIRONMENTS])


def _by_level(level: Index, chosen: Flags | None = None) -> Index:
    """Number of pairs, or of (task, pair) chosen, by level."""
    weights = None if chosen is None else np.atleast_2d(chosen).sum(axis=0)
    return np.bincount(level, weights, len(LEVELS)).astype(np.int64)


def share_of(part: float, whole: float) -> float | None:
    """One number as a share of another; None of nothing."""
    return float(part / whole) if whole else None


# Which atoms of a molecule are alike: by their surroundings, and in the eyes of a Weave network.


def environments(mol: Chem.Mol) -> Index:
    """Colour atoms by their surroundings, shape (n_levels, n_atoms), by Weisfeiler and Leman (1968).

    Radius r joins an atom's element with the multiset of (bond order, colour of the neighbour at radius
    r - 1); "own bonds" with the multiset of its bond orders alone.
    """
    bonds: list[list[tuple[str, int]]] = [[] for _ in range(mol.GetNumAtoms())]
    for bond in mol.GetBonds():
        first, second, order = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), str(bond.GetBondType())
        bonds[first].append((order, second))
        bonds[second].append((order, first))
    element = _numbered(atom.GetAtomicNum() for atom in mol.GetAtoms())
    own = _numbered(zip(element, (_bag(order for order, _ in own) for own in bonds), strict=True))
    levels, colors = [element, own], element
    for _ in LEVELS[2:]:
        around = (_bag((order, colors[other]) for order, other in own) for own in bonds)
        colors = _numbered(zip(element, around, strict=True))
        levels.append(colors)
    return np.array(levels, dtype=np.int64).reshape(len(LEVELS), -1)


def surroundings(mol: Chem.Mol) -> list[str]:
    """What every atom is and is bonded to, in any order, such as ``"C bonded to N,=O"``."""
    texts = []
    for atom in mol.GetAtoms():
        around = []
        for bond in atom.GetBonds():
            order = str(bond.GetBondType())
            sign = _BOND_SIGNS.get(order, f"({order.lower()})")
            around.append((bond.GetOtherAtom(atom).GetSymbol(), sign))
        names = ",".join(sign + name for name, sign in sorted(around))
        texts.append(f"{atom.GetSymbol()} bonded to {names or 'nothing'}")
    return texts


def attribution_colors(graph: MolGraph, n_modules: int) -> Index:
    """Colour atoms by all that the attribution of their own features can depend on, whatever the weights.

    The states of a Weave network are followed as an exact refinement of colours: after a module, an atom
    knows its state and the multiset of its pairs' states before; a pair its own and those of its two atoms,
    in no order. The readout treats all atoms alike, so the gradient with respect to an atom's last state
    depends on that state and on the molecule as a whole. Then back: the gradient with respect to a state
    depends on the state itself and on the states, and gradients, of all that it flows into.
    """
    atoms, pairs = _forward(graph, n_modules)
    ends: list[tuple[int, int]] = [(int(i), int(j)) for i, j in graph.pair_atoms]
    back_atoms: Colors = atoms[-1]
    back_pairs: Colors | None = None  # the last module makes no pair states
    for atom, pair in zip(reversed(atoms[:-1]), reversed(pairs), strict=True):
        into: list[list[tuple[int, int]]] = [[] for _ in atom]
        flows = [0] * len(ends) if back_pairs is None else back_pairs
        if back_pairs is not None:
            for (i, j), flow in zip(ends, flows, strict=True):
                into[i].append((atom[j], flow))
                into[j].append((atom[i], flow))
        through = [tuple(sorted((back_atoms[i], back_atoms[j]))) for i, j in ends]
        back_pairs = _numbered(zip(pair, through, flows, strict=True))
        back_atoms = _numbered(zip(atom, back_atoms, map(_bag, into), strict=True))
    return np.array(back_atoms, dtype=np.int64)


def _forward(graph: MolGraph, n_modules: int) -> tuple[list[Colors], list[Colors]]:
    """Colours of atoms before and after every module, and of pairs before every module."""
    atoms = [_numbered(_rows(graph.atom_codes, graph.atom_values))]
    pairs = [_numbered(_rows(graph.pair_codes, graph.pair_values))]
    ends: list[tuple[int, int]] = [(int(i), int(j)) for i, j in graph.pair_atoms]
    for _ in range(n_modules):
        atom, pair = atoms[-1], pairs[-1]
        incident: list[list[int]] = [[] for _ in atom]
        for (i, j), color in zip(ends, pair, strict=True):
            incident[i].append(color)
            incident[j].append(color)
        joined = [tuple(sorted((atom[i], atom[j]))) for i, j in ends]
        atoms.append(_numbered(zip(atom, map(_bag, incident), strict=True)))
        pairs.append(_numbered(zip(joined, pair, strict=True)))
    return atoms, pairs[:-1]


def pairs_by_level(levels: Index) -> tuple[Index, Index]:
    """Find all pairs of atoms of a molecule, and the level at which each first differs."""
    pairs = np.array(np.triu_indices(levels.shape[1], 1), dtype=np.int64)
    alike = levels[:, pairs[0]] == levels[:, pairs[1]]
    return pairs, np.asarray(np.cumprod(alike, axis=0).sum(axis=0), dtype=np.int64)


def _rows(codes: npt.NDArray[np.int8], values: npt.NDArray[np.float32]) -> list[tuple[float, ...]]:
    rounded = np.round(values.astype(np.float64), _DECIMALS) + 0.0  # no negative zero
    return [(*code, *value) for code, value in zip(codes.tolist(), rounded.tolist(), strict=True)]


def _bag(items: Iterable[Hashable]) -> tuple[Hashable, ...]:
    """Multiset."""
    return tuple(sorted(items))  # type: ignore[type-var]


def _numbered(keys: Iterable[Hashable]) -> Colors:
    """Give equal keys equal numbers, in the order in which they first come."""
    known: dict[Hashable, int] = {}
    return [known.setdefault(key, len(known)) for key in keys]
