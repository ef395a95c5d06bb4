"""What the audited molecules have that the training molecules had not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from molig.attribution import Explanation
from molig.audit.figures import draw, histogram
from molig.audit.findings import (
    MOST_EXAMPLES,
    Evidence,
    Example,
    Figure,
    Finding,
    NotApplicable,
    Outcome,
    Severity,
    marked_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray
from molig.features import MolGraph
from molig.model import Applicability, ApplicabilityFlag, DomainStatus, ScreeningModel
from molig.stats.intervals import wilson

NAME = "domain"

MANY, MOST = 0.25, 0.5
"""Shares of molecules unlike training (lower end of the 95 % interval) for a warning and for an error: by the
threshold's definition 5 % of the training molecules are as far from the others."""
NOTABLE = 0.10
"""Share of molecules unlike training from which it is worth knowing."""
LARGE = 0.2
"""Such a share in a single molecule is a warning; so is a noticeable one in more than `OFTEN` of them."""
OFTEN = 0.02
NEW_SCAFFOLDS = 0.5
"""Share of molecules with a scaffold unknown to training from which it is worth knowing."""
_LISTED = 20
NOTICEABLE = 0.05
"""Share of a molecule's attribution, in amount, on features that were never trained."""
LEAST_CHANGE = 0.01
"""Scores that leave the baseline by less, in their unit, have nothing to be explained."""


@dataclass(frozen=True)
class _Domain:
    """What is known of every molecule."""

    flags: list[ApplicabilityFlag]
    rare_size: npt.NDArray[np.bool_]
    known_scaffold: npt.NDArray[np.bool_] | None

    @property
    def similarity(self) -> FloatArray:
        return np.array([flag.similarity for flag in self.flags])

    def count(self, status: DomainStatus) -> int:
        return sum(flag.status is status for flag in self.flags)

    @property
    def unseen(self) -> dict[str, int]:
        """Element or column that no training molecule had to the number of molecules with it."""
        counts: Counter[str] = Counter()
        for flag in self.flags:
            if flag.status is DomainStatus.UNSEEN:
                counts.update(flag.detail.partition(": ")[2].split(", "))
        return dict(counts.most_common())

    @property
    def strange(self) -> npt.NDArray[np.int64]:
        """Places of molecules that are unlike training, or as large or small as hardly any of it."""
        outside = np.flatnonzero([flag.status is not DomainStatus.IN for flag in self.flags])
        return np.union1d(outside, np.flatnonzero(self.rare_size))

    @property
    def new_scaffolds(self) -> float | None:
        """Share of molecules whose scaffold training had not; None where the model does not say."""
        return None if self.known_scaffold is None else float((~self.known_scaffold).mean())


@register(NAME, title="Domain", question="Are the molecules like those that the model was trained on?")
def check(subject: AuditSubject) -> Outcome:
    """Compare molecules with the training molecules."""
    known = subject.model.applicability if isinstance(subject.model, ScreeningModel) else None
    if known is None:
        raise NotApplicable("the model does not record what its training molecules were like")
    mols = [molecule.mol for molecule in subject.molecules]
    sizes, common = np.array([mol.GetNumHeavyAtoms() for mol in mols]), known.info.heavy_atoms
    rare_size = (sizes < common.q1) | (sizes > common.q99)
    domain = _Domain(known.flag(mols, subject.graphs), rare_size, known.known_scaffold(mols))
    carried = carried_by_unseen(subject, known)
    findings = [_outside(subject, known, domain), _on_unseen(subject, known, carried)]
    if not any(findings):
        findings = [_few_unseen(subject, domain)]
    findings.append(_new_scaffolds(domain))
    unknown = (
        "" if known.scaffolds is not None else " The model's files do not record the scaffolds of training."
    )
    remark = (
        f"All {len(mols)} molecules compared with {known.info.n_reference} training molecules; "
        f"attributions of {len(subject.sample)} of them.{unknown}"
    )
    numbers, substructures = _numbers(known, domain, carried), known_substructures(subject)
    if substructures is not None:
        numbers["share_of_substructures_known"] = substructures
        remark += (
            f" The committee knows {substructures:.0%} of their substructures; others have no part in scores."
        )
    return Outcome(
        [finding for finding in findings if finding],
        numbers,
        [_figure(domain.similarity)],
        remark,
    )


def known_substructures(subject: AuditSubject) -> float | None:
    """Share of all occurrences of substructures that a committee knows; None for a network alone."""
    held, members = subject.graphs.environments, subject.members
    if held is None or not members or not held.n_rows:
        return None
    return float(np.isin(held.ids, members[0].vocabulary.ids).mean())


def _outside(subject: AuditSubject, known: Applicability, domain: _Domain) -> Finding | None:
    outside, total = domain.strange, len(domain.flags)
    low, _ = wilson(len(outside), total)
    if len(outside) / total <= NOTABLE:
        return None
    far, unseen = domain.count(DomainStatus.FAR), domain.count(DomainStatus.UNSEEN)
    return Finding(
        NAME,
        Severity.ERROR if low > MOST else Severity.WARNING if low > MANY else Severity.INFO,
        f"{len(outside)} of {total} molecules ({len(outside) / total:.0%}) are unlike the training "
        f"molecules: {far} are far from all of them or of another size, {unseen} have an element or a "
        f"feature that none had, {int(domain.rare_size.sum())} are smaller or larger than 99 % of them. "
        f"Median similarity to the nearest is {np.median(domain.similarity):.2f} (within training "
        f"{known.info.similarity[50]:.2f}).",
        Evidence(_domain_numbers(known, domain), list(domain.unseen)[:_LISTED], _examples(subject, domain)),
        "Do not rely on scores or explanations of these molecules; screen with --applicability to have each "
        "one marked, or train with molecules like them.",
    )


def _few_unseen(subject: AuditSubject, domain: _Domain) -> Finding | None:
    n = domain.count(DomainStatus.UNSEEN)
    if not n:
        return None
    return Finding(
        NAME,
        Severity.INFO,
        f"{n} of {len(domain.flags)} molecules have an element or a feature that no training molecule had: "
        f"{', '.join(list(domain.unseen)[:5])}.",
        Evidence(domain.unseen, list(domain.unseen)[:_LISTED], _examples(subject, domain, unseen=True)),
        "Leave these molecules out, or mark them with --applicability.",
    )


def _on_unseen(subject: AuditSubject, known: Applicability, carried: CarriedByUnseen) -> Finding | None:
    noticeable = carried.noticeable
    if not noticeable:
        return None
    order = sorted(noticeable, key=lambda place: -noticeable[place][0])
    largest, worst = noticeable[order[0]]
    many = len(noticeable) > max(1, OFTEN * len(subject.sample))
    examples = []
    for place in order[:MOST_EXAMPLES]:
        share, task = noticeable[place]
        explanation = subject.explanations[place][task]
        note = (
            f"{task}: {share:.0%} of the attribution is on the marked atoms' features that no training "
            "molecule had"
        )
        examples.append(marked_example(explanation, touched_atoms(explanation, known), note))
    return Finding(
        NAME,
        Severity.WARNING if many or largest > LARGE else Severity.INFO,
        f"Features that no training molecule had, whose weights are therefore random, carry up to "
        f"{largest:.0%} of the attribution of a molecule ({worst}), and more than {NOTICEABLE:.0%} in "
        f"{len(noticeable)} of {len(subject.sample)} explained molecules.",
        Evidence(
            {"largest_share_in_a_molecule": dict(list(carried.columns.items())[:_LISTED])},
            list(carried.columns)[:_LISTED],
            examples,
        ),
        "Believe neither scores nor explanations of molecules with these features; train with molecules that "
        "have them.",
    )


def _new_scaffolds(domain: _Domain) -> Finding | None:
    if domain.new_scaffolds is None or domain.new_scaffolds <= NEW_SCAFFOLDS:
        return None
    return Finding(
        NAME,
        Severity.INFO,
        f"{domain.new_scaffolds:.0%} of the molecules have a ring scaffold that no training molecule has.",
        Evidence({"share_with_new_scaffold": domain.new_scaffolds}),
        "Expect less than the accuracy measured on molecules that resemble training, unless it was measured "
        "on a scaffold split.",
    )


def _examples(subject: AuditSubject, domain: _Domain, *, unseen: bool = False) -> list[Example]:
    places = [i for i in domain.strange if not unseen or domain.flags[i].status is DomainStatus.UNSEEN]
    # The least similar ones, one for each of the reasons first.
    places.sort(key=lambda i: domain.flags[i].similarity)
    shown, reasons = [], set()
    for i in places:
        reason = domain.flags[i].detail.partition(":")[2]
        if reason and reason in reasons:
            continue
        reasons.add(reason)
        shown.append(i)
        if len(shown) == MOST_EXAMPLES:
            break
    return [
        marked_example(subject.molecules[i], (), f"{domain.flags[i].status.value}: {domain.flags[i].detail}")
        for i in shown
    ]


def _domain_numbers(known: Applicability, domain: _Domain) -> dict[str, Any]:
    n = len(domain.flags)
    return {
        "molecules": n,
        "share_unlike_training": len(domain.strange) / n,
        "share_far": domain.count(DomainStatus.FAR) / n,
        "share_unseen_feature": domain.count(DomainStatus.UNSEEN) / n,
        "outside_training_sizes": sum("heavy atoms" in flag.detail for flag in domain.flags),
        "beyond_99_percent_of_training_sizes": int(domain.rare_size.sum()),
        "unseen": dict(list(domain.unseen.items())[:_LISTED]),
        "similarity_quantiles": {
            str(q): float(np.quantile(domain.similarity, q / 100)) for q in known.info.similarity
        },
        "similarity_quantiles_of_training": {str(q): v for q, v in known.info.similarity.items()},
    }


def _numbers(known: Applicability, domain: _Domain, carried: CarriedByUnseen) -> dict[str, Any]:
    new = domain.new_scaffolds
    return _domain_numbers(known, domain) | {
        "share_with_new_scaffold": "not recorded with the model" if new is None else new,
        "largest_attribution_on_unseen": max(carried.shares.values(), default=0.0),
        "molecules_with_attribution_on_unseen": len(carried.noticeable),
    }


def _figure(similarity: FloatArray) -> Figure:
    title, label = "Similarity to the nearest training molecule", "Tanimoto similarity (Morgan, radius 2)"
    if len(similarity) > 1:
        return histogram({"audited": similarity}, title, label)
    return draw(title, lambda axes: axes.plot(similarity, [1], "o"))


# How much attribution lies on features that no training molecule had.


@dataclass(frozen=True)
class CarriedByUnseen:
    """Attribution on features that were never trained."""

    shares: dict[tuple[int, str], float]  # place in the explained sample and task
    columns: dict[str, float]  # column to its largest share in a molecule

    @property
    def noticeable(self) -> dict[int, tuple[float, str]]:
        """Place in the explained sample to the largest share, and its task."""
        largest: dict[int, tuple[float, str]] = {}
        for (place, task), share in self.shares.items():
            if share > NOTICEABLE and share > largest.get(place, (0.0, ""))[0]:
                largest[place] = share, task
        return largest


def carried_by_unseen(subject: AuditSubject, known: Applicability) -> CarriedByUnseen:
    """Shares of the attributions of all explained molecules; flat scores are left out."""
    shares: dict[tuple[int, str], float] = {}
    columns: dict[str, float] = {}
    for place, by_task in enumerate(subject.explanations):
        for task, explanation in by_task.items():
            masks = known.unseen_entries(explanation.graph)
            if not any(mask.any() for mask in masks):
                break
            amounts = [np.abs(explanation.atom_attributions), np.abs(explanation.pair_attributions)]
            total = float(sum(amount.sum() for amount in amounts))
            total += float(np.abs(explanation.environment_attributions).sum())
            on_unseen = float(sum(a[m].sum() for a, m in zip(amounts, masks, strict=True)))
            change = abs(explanation.score - explanation.baseline_score)
            if total <= 0 or change < LEAST_CHANGE * subject.unit(task):
                continue
            shares[place, task] = on_unseen / total
            for name, amount in _by_column(explanation, masks).items():
                columns[name] = max(columns.get(name, 0.0), amount / total)
    return CarriedByUnseen(shares, dict(sorted(columns.items(), key=lambda item: -item[1])))


def _by_column(explanation: Explanation, masks: tuple[npt.NDArray[np.bool_], ...]) -> dict[str, float]:
    by_column: dict[str, float] = {}
    graph: MolGraph = explanation.graph
    sides = (
        ("atom", graph.atom_codes, explanation.atom_attributions, masks[0]),
        ("pair", graph.pair_codes, explanation.pair_attributions, masks[1]),
    )
    for level, codes, amounts, mask in sides:
        sizes = np.where(mask, np.abs(amounts), 0.0)
        for place in explanation.schema.places(level):
            block, own = place.block, sizes[:, place.entries]
            if place.is_categorical:
                code, unseen = codes[:, place.stored.start], mask[:, place.entries.start]
                for row in np.flatnonzero(unseen & (code >= 0)):
                    name = f"{level}.{block.name} = {block.columns[code[row]]}"
                    by_column[name] = by_column.get(name, 0.0) + float(own[row, 0])
                continue
            for column, amount in zip(block.columns, own.sum(axis=0).tolist(), strict=True):
                if amount > 0:
                    name = f"{level}.{block.name}: {column}"
                    by_column[name] = by_column.get(name, 0.0) + amount
    return by_column


def touched_atoms(explanation: Explanation, known: Applicability) -> list[int]:
    """Atoms whose own features or pairs carry attribution on what was never trained."""
    atoms, pairs = known.unseen_entries(explanation.graph)
    ends = explanation.graph.pair_atoms[(pairs & (explanation.pair_attributions != 0)).any(axis=1)]
    own = np.flatnonzero((atoms & (explanation.atom_attributions != 0)).any(axis=1))
    return sorted({*own.tolist(), *ends.ravel().tolist()})
