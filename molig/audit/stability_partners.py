"""How far models of the same tasks, such as other seeds, agree about scores and atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.attribution import Explanation
from molig.audit.cliffs import STRONG
from molig.audit.findings import Evidence, Example, Finding, Severity, scored_example
from molig.audit.intervals import spearman
from molig.audit.stability_variants import some
from molig.audit.subject import AuditSubject, FloatArray, explain_molecules
from molig.model import ScreeningModel
from molig.molecules import Molecule, Record

PARTNER_MOLECULES = 40
"""Molecules whose attributions are compared with those of partners."""
SCORE_AGREEMENT, FLIPPED, ATOMS = 0.5, 0.4, 50
"""Models that rank molecules with less correlation, or that give more of the atoms that matter (of at least
so many) the opposite sign, disagree: other seeds of sound models reach 0.73 and 0.35."""
NOTABLE_FLIPPED = 0.25
"""Share of opposite signs from which single atoms should not be read from one model."""

MATTERS = 0.1
"""A molecule matters if one of the models moves it this far from the baseline (probability, or standard
deviations of a regression): attributions of scores of nothing are noise."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of two models on one task.

    Parameters
    ----------
    partner, task : str
        Which.
    score : float
        Rank correlation of the scores; NaN if one of them does not vary.
    atoms : array of float, shape (n_molecules,)
        Rank correlation of the atom scores within each molecule that matters.
    flipped, strong : array of int, shape (n_molecules,)
        Atoms whose sign differs, among those that matter in the audited model.
    molecules : array of int
        Places of these molecules among those compared.
    """

    partner: str
    task: str
    score: float
    atoms: FloatArray
    flipped: npt.NDArray[np.int64]
    strong: npt.NDArray[np.int64]
    molecules: npt.NDArray[np.int64]

    @property
    def share_flipped(self) -> float:
        """Share of the atoms that matter whose sign differs; NaN without such atoms."""
        total = int(self.strong.sum())
        return int(self.flipped.sum()) / total if total else float("nan")

    @property
    def median_atoms(self) -> float:
        """Median rank correlation of atom scores; NaN without molecules."""
        return float(np.median(self.atoms)) if len(self.atoms) else float("nan")

    def numbers(self) -> dict[str, float]:
        """For reports."""
        return {
            "score_correlation": self.score,
            "atom_correlation": self.median_atoms,
            "share_of_signs_flipped": self.share_flipped,
            "n_molecules": len(self.atoms),
            "n_atoms": int(self.strong.sum()),
        }


def sign_flips(first: FloatArray, second: FloatArray) -> tuple[int, int]:
    """Atoms of one molecule whose attribution has the other sign, and atoms that matter in the first model.

    Parameters
    ----------
    first, second : array of float, shape (n_atoms,)
        Atom scores by the audited model and by its partner.

    Returns
    -------
    (int, int)

    Examples
    --------
    >>> sign_flips(np.array([1.0, -0.5, 0.01]), np.array([0.2, 0.3, -1.0]))
    (1, 2)
    """
    strong = np.abs(first) >= STRONG * np.abs(first).max(initial=0.0)
    strong &= first != 0
    return int((strong & (first * second < 0)).sum()), int(strong.sum())


def compare_partner(
    subject: AuditSubject,
    partner: ScreeningModel,
    chosen: npt.NDArray[np.int64],
    own: Sequence[dict[str, Explanation]],
) -> list[Agreement]:
    """Compare the audited model with another one of the same tasks.

    Parameters
    ----------
    subject : AuditSubject
        The audited model and its molecules.
    partner : ScreeningModel
        The other model; its own parser and features are used.
    chosen : array of int
        Places of the molecules whose attributions are compared.
    own : sequence of dict
        The audited model's explanations of them, by task.

    Returns
    -------
    list of Agreement
        One per audited task that the partner has too.
    """
    tasks = [task for task in subject.tasks if task in partner.tasks]
    pairs = [(i, _read(partner, subject.molecules[place])) for i, place in enumerate(chosen)]
    same = [
        (i, other)
        for i, other in pairs
        if other is not None and other.mol.GetNumAtoms() == subject.molecules[chosen[i]].mol.GetNumAtoms()
    ]
    if not tasks or not same:
        return []
    theirs = explain_molecules(partner, [other for _, other in same], tasks)
    return [_agreement(subject, partner.name, task, [i for i, _ in same], (own, theirs)) for task in tasks]


def _agreement(
    subject: AuditSubject,
    name: str,
    task: str,
    places: list[int],
    explained: tuple[Sequence[dict[str, Explanation]], Sequence[dict[str, Explanation]]],
) -> Agreement:
    own, theirs = explained
    # What counts as a change is a share of the spread where values have a unit.
    unit = float(subject.scores[:, subject.column(task)].std()) if subject.is_regression else 1.0
    pairs = [(own[i][task], other[task]) for i, other in zip(places, theirs, strict=True)]
    atoms, flips, strong, kept = [], [], [], []
    for place, (mine, other) in zip(places, pairs, strict=True):
        change = max(abs(mine.score - mine.baseline_score), abs(other.score - other.baseline_score))
        correlation = spearman(mine.atom_scores, other.atom_scores)
        if change < MATTERS * unit or not np.isfinite(correlation):
            continue
        flipped, counted = sign_flips(mine.atom_scores, other.atom_scores)
        atoms.append(correlation)
        flips.append(flipped)
        strong.append(counted)
        kept.append(place)
    score = spearman([mine.score for mine, _ in pairs], [other.score for _, other in pairs])
    return Agreement(
        name,
        task,
        score,
        np.array(atoms),
        np.array(flips, dtype=np.int64),
        np.array(strong, dtype=np.int64),
        np.array(kept, dtype=np.int64),
    )


def _read(partner: ScreeningModel, molecule: Molecule) -> Molecule | None:
    found, _ = partner.parser.parse_many([Record(molecule.row, molecule.id, molecule.smiles)])
    return found[0] if found else None


def compare_partners(
    subject: AuditSubject, rng: np.random.Generator
) -> tuple[list[dict[str, Explanation]], list[Agreement]]:
    """Explain molecules with the audited model and every partner; nothing without partners."""
    partners = subject.settings.partners
    if not partners:
        return [], []
    chosen = some(len(subject.molecules), PARTNER_MOLECULES, rng)
    own = subject.explain(chosen)
    return own, [a for partner in partners for a in compare_partner(subject, partner, chosen, own)]


def disagreement(
    check: str, subject: AuditSubject, agreements: list[Agreement], own: list[dict[str, Explanation]]
) -> list[Finding]:
    """What to say of partners that rank molecules, or sign atoms, otherwise."""
    other = [a for a in agreements if not np.isfinite(a.score) or a.score < SCORE_AGREEMENT]
    flips = [a for a in agreements if a.strong.sum() >= ATOMS and a.share_flipped > FLIPPED]
    notable = [a for a in agreements if a.strong.sum() >= ATOMS and a.share_flipped > NOTABLE_FLIPPED]
    bad = [a for a in agreements if a in other or a in flips]
    # Scores of one sort only, as of a handful of molecules, cannot be ranked by any model.
    if len(own) < 3 or not (bad or notable):
        return []
    listed = bad or notable
    worst = max(listed, key=lambda a: (a in other, np.nan_to_num(a.share_flipped)))
    severity = Severity.WARNING if bad else Severity.INFO
    what = "disagree with the audited one" if bad else "agree about molecules, less about single atoms"
    return [
        Finding(
            check,
            severity,
            f"Partner models {what} on {len({a.task for a in listed})} of {len(subject.tasks)} tasks: worst "
            f"{worst.partner!r} on {worst.task}, rank correlation of scores {worst.score:.2f}, of atoms "
            f"within "
            f"a molecule {worst.median_atoms:.2f}; {worst.share_flipped:.0%} of the atoms that matter "
            f"have the opposite sign.",
            Evidence(
                {f"{a.partner}: {a.task}": a.numbers() for a in listed},
                molecules=_flipped_examples(worst, own),
            ),
            "Read explanations as averages over several seeds, and trust only atoms whose sign they share."
            if not bad
            else "These models did not learn the same thing: check that the tasks mean the same, then train "
            "several seeds and rely only on what they share.",
        )
    ]


def _flipped_examples(worst: Agreement, own: list[dict[str, Explanation]]) -> list[Example]:
    order = np.argsort(-worst.flipped, kind="stable")[:3]
    return [
        scored_example(
            own[worst.molecules[i]][worst.task],
            own[worst.molecules[i]][worst.task].atom_scores,
            f"{worst.task}: {worst.flipped[i]} of {worst.strong[i]} atoms that matter have the opposite sign "
            f"in {worst.partner!r}",
        )
        for i in order
        if worst.flipped[i]
    ]
