"""Atoms in different surroundings with identical attributions: what a network cannot see, or does not use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.attribution import Explanation
from molig.audit.alike_atoms import (
    ERROR_SHARE,
    IDENTICAL,
    INVISIBLE,
    NEIGHBOURS,
    AlikePairs,
    CriticalPairs,
    Tally,
    environments_of,
    study_pairs,
)
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
    scored_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

NAME = "identical-attribution"

_LEAST_DRAWN = 5  # atoms of an example
_FAINT = 0.2  # share of the largest score below which an atom of an example would look white
_ADVICE_UNSEEN = (
    "Use two or more Weave modules: after one, an atom knows its own features and those of its pairs, never "
    "those of the atoms it is bonded to. Or give atoms features that tell of their neighbours (the full set: "
    "partial charge, hybridisation). Until then do not read differences between atoms of one element with "
    "the same bonds out of this model's explanations."
)
_ADVICE_UNUSED = (
    "The network is deep enough to see the neighbours, but its weights pass nothing on. Look at dead units, "
    "at layers without effect (randomisation) and at the training; an explanation of this model says nothing "
    "about what an atom is bonded to."
)


@register(
    NAME,
    title="Identical attributions",
    question="Do atoms that are bonded to different atoms get different attributions?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare attributions of atoms that differ at growing radius; see `Outcome`."""
    tally, molecules = Tally(), []
    for explanations in subject.explanations:
        found = study_pairs(explanations, subject.model.info.network.n_modules, tally)
        if found.pairs.shape[1]:
            molecules.append(found)
    if not tally.pairs[NEIGHBOURS]:
        raise NotApplicable(
            "no molecule has two atoms of one element and the same bonds that are bonded to different atoms"
        )
    critical = CriticalPairs(molecules, subject.tasks, int(tally.pairs[NEIGHBOURS]))
    findings = []
    if critical.unseen:
        findings.append(_cannot_see(critical, len(subject.explanations)))
    elif critical.tasks_unused:
        findings.append(_does_not_use(critical, len(subject.explanations)))
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
    return Outcome(findings, measured, [_figure(tally)], remark)


def _cannot_see(critical: CriticalPairs, n_molecules: int) -> Finding:
    affected = critical.affected(IDENTICAL, blind=True)
    n_pairs = sum(int(close.sum()) for _, close in affected)
    n_atoms = sum(len(np.unique(molecule.pairs[:, close])) for molecule, close in affected)
    share = n_pairs / critical.n_differing
    summary = (
        "The network cannot see what an atom is bonded to: atoms of the same element with the same bonds "
        "contribute identically although bonded to different atoms. Of "
        f"{critical.n_differing:,} pairs of atoms that differ in nothing but their neighbours, {n_pairs:,} "
        f"({share:.0%}) get identical attributions: {n_atoms:,} atoms in {len(affected)} of {n_molecules} "
        f"molecules, on {_all(len(critical.tasks))}."
    )
    numbers = {
        "pairs": n_pairs,
        "share_of_pairs": share,
        "atoms": n_atoms,
        "molecules": len(affected),
        "environments": environments_of(affected),
    }
    severity = Severity.ERROR if critical.share >= ERROR_SHARE else Severity.WARNING
    evidence = Evidence(numbers, molecules=_examples(affected, critical.tasks))
    return Finding(NAME, severity, summary, evidence, _ADVICE_UNSEEN)


def _does_not_use(critical: CriticalPairs, n_molecules: int) -> Finding:
    tasks = critical.tasks_unused
    shares = critical.invisible_by_task
    worst = max(tasks, key=lambda task: shares[task] or 0.0)
    affected = critical.affected(INVISIBLE, blind=False)
    summary = (
        "The model does not use what an atom is bonded to, though its architecture could see it: on "
        f"{len(tasks)} of {len(critical.tasks)} tasks most atoms of the same element with the same bonds "
        "contribute alike although bonded to different atoms (worst on "
        f"{worst}: {shares[worst] or 0.0:.0%} of {int((~critical.blind).sum()):,} pairs; "
        f"{len(affected)} of {n_molecules} molecules)."
    )
    numbers = {
        "share_of_pairs": {task: shares[task] for task in tasks},
        "molecules": len(affected),
        "environments": environments_of(affected),
    }
    evidence = Evidence(numbers, molecules=_examples(affected, tuple(tasks)))
    return Finding(NAME, Severity.WARNING, summary, evidence, _ADVICE_UNUSED)


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
        atom = mol.GetAtomWithIdx(place)
        atom.SetProp("atomNote", str(place))
        around = sorted(other.GetSymbol() for other in atom.GetNeighbors())
        names.append((f"{atom.GetSymbol()}{place}", ",".join(around)))
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
        for shift, color, (name, shares) in zip(
            (-0.2, 0.2), ("#0072B2", "#E69F00"), series.items(), strict=True
        ):
            axes.bar(places + shift, 100 * np.array(shares), 0.38, color=color, label=name)
        names = [f"{name}\n({row['pairs']:,} pairs)" for name, row in rows.items()]
        axes.set_xticks(places, names, fontsize=7.5)
        axes.set_xlabel("what two atoms of a molecule first differ in")
        axes.set_ylabel("% of pairs")
        axes.set_ylim(0, 105)
        axes.legend(frameon=False, fontsize=8, loc="upper left")

    return draw("Atoms that the model does not tell apart", fill)


def _all(n_tasks: int) -> str:
    return f"all {n_tasks} tasks" if n_tasks > 1 else "its task"
