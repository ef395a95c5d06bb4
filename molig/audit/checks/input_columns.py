"""Input columns: those that tell nothing but are credited, that nothing reads, or that stand for anything."""

from __future__ import annotations

from collections.abc import Sequence

from molig.audit.column_examples import absorbing, occurrences
from molig.audit.column_study import FEWEST_MOLECULES, FEWEST_ROWS, ColumnStudy, Place
from molig.audit.columns import (
    LEVELS,
    ColumnTable,
    column_table,
    credits_of,
    dependent,
    duplicates,
    first_weights,
)
from molig.audit.figures import bars
from molig.audit.findings import Evidence, Figure, Finding, Outcome, Severity
from molig.audit.registry import register
from molig.audit.subject import AuditSubject
from molig.audit.unread_columns import unread_columns

NAME = "input-columns"

ERROR_SHARE, WARNING_SHARE = 0.1, 0.02
"""Share of all |attribution| in columns that tell nothing: a tenth changes what a picture says, a fiftieth is
seen in it."""
OTHER_KNOWN, OTHER_EXCESS, OTHER_WEIGHT = 10.0, 30.0, 4.0
"""How many times more attribution per occurrence than the ordinary columns of its block an "other" slot may
carry before it is worth knowing, and before it misleads, and how many times larger its weights may be; in the
bundled models up to 14, and 1.9."""
MOST_SHOWN = 25
BY_DESIGN = {
    "distance": frozenset({"bond"}),
    "distance_within": frozenset({"bond"}),
    "bond": frozenset({"distance", "distance_within"}),
}
"""Blocks that follow from each other for every molecule: a bond is a distance of 1."""


@register(
    NAME,
    title="Input columns",
    question="Does every input column tell something, and is it credited for what it tells?",
)
def check(subject: AuditSubject) -> Outcome:
    """Look at each column's values, weights and attributions; see `Outcome`."""
    schema = subject.model.schema
    study = ColumnStudy(
        subject,
        {level: column_table(subject.graphs, schema, level) for level in LEVELS},
        {task: credits_of((by[task] for by in subject.explanations), schema) for task in subject.tasks},
        first_weights(subject.model),
    )
    findings = [
        *_constant(study),
        *_redundant(study),
        *_unread(study),
        *_other(study),
        *_absent(study),
    ]
    remark = (
        f"Values over {len(subject.molecules)} molecules, attributions over {len(subject.explanations)} of "
        "them; shares are means over the tasks."
    )
    return Outcome(findings, _measured(study), [_figure(study)], remark)


def _constant(study: ColumnStudy) -> list[Finding]:
    found = []
    for always in (True, False):
        places = [place for place in study.constant if study.always_on(place) is always]
        if not places:
            continue
        share = study.share(places)
        severity = Severity.WARNING if share >= WARNING_SHARE else Severity.INFO
        if always and share >= ERROR_SHARE:
            severity = Severity.ERROR
        names = ", ".join(study.names(places))
        what = "for every pair that the network sees" if always else "in all of these molecules"
        advice = (
            'Choose a one-hot distance up to the pair limit (distance = "one-hot"), which has no such '
            "columns."
            if always
            else "Do not read these attributions as differences between the molecules; audit with a more "
            "varied set to see whether the column tells something elsewhere."
        )
        found.append(
            Finding(
                NAME,
                severity,
                f"Columns that have the same value {what} tell nothing, but absorb {share:.0%} of all "
                f"attribution: {names}.",
                Evidence(
                    {"share": share, "share_by_task": study.share_by_task(places)},
                    study.names(places),
                    absorbing(study, places) if severity is not Severity.INFO else [],
                ),
                advice,
            )
        )
    return found


def _redundant(study: ColumnStudy) -> list[Finding]:
    """Columns equal to others, or that follow from others."""
    if len(study.subject.molecules) < FEWEST_MOLECULES:
        return []
    equal: list[tuple[Place, ...]] = []
    following: list[Place] = []
    for level in LEVELS:
        table = study.tables[level]
        chosen = [i for where, i in study.occurring if where == level and (level, i) not in study.constant]
        groups = [group for group in duplicates(table, chosen) if not _by_design(table, group)]
        equal += [tuple((level, i) for i in group) for group in groups]
        grouped = {i for group in groups for i in group}
        loose = [i for i in chosen if i not in grouped]
        following += [(level, i) for i in dependent(table, loose, study.subject.rng(NAME), BY_DESIGN)]
    findings = []
    if equal:
        places = [place for group in equal for place in group]
        pairs = "; ".join(" = ".join(study.names(group)) for group in equal)
        text = f"Columns that are equal in every row share attribution in an arbitrary way: {pairs}"
        findings.append(_redundancy(study, places, text))
    if following:
        text = f"Columns that follow exactly from others: {', '.join(study.names(following))}"
        findings.append(_redundancy(study, following, text))
    return findings


def _by_design(table: ColumnTable, group: Sequence[int]) -> bool:
    blocks = {table.columns[i].block for i in group}
    return all(blocks - {block} <= BY_DESIGN.get(block, frozenset()) for block in blocks)


def _redundancy(study: ColumnStudy, places: Sequence[Place], text: str) -> Finding:
    share = study.share(places)
    return Finding(
        NAME,
        Severity.WARNING if share >= WARNING_SHARE else Severity.INFO,
        f"{text} ({share:.0%} of all attribution).",
        Evidence({"share": share, "share_by_task": study.share_by_task(places)}, study.names(places)),
        "Which of them is credited depends on the start of the training, not on chemistry: read their "
        "attributions together, leave one out of the features, or audit with molecules in which they differ.",
    )


def _unread(study: ColumnStudy) -> list[Finding]:
    found = unread_columns(study)
    findings = [_credited(study, found.credited)] if found.credited else []
    if found.by_weights or found.by_attribution:
        findings.append(_ignored(study, found.by_weights, found.by_attribution))
    return findings


def _credited(study: ColumnStudy, places: Sequence[Place]) -> Finding:
    share = study.share(places)
    return Finding(
        NAME,
        Severity.ERROR,
        f"The explanations credit {', '.join(study.names(places))} with {share:.1%} of all attribution, "
        "although the first layer does not read them.",
        Evidence(
            {"share": share, "share_by_task": study.share_by_task(places)},
            study.names(places),
            absorbing(study, places),
        ),
        "A feature without weights cannot contribute: these explanations are not of this network. Believe "
        "none of them; make sure that network and explanations come from the same files, and report it.",
    )


def _ignored(study: ColumnStudy, by_weights: list[Place], by_attribution: list[Place]) -> Finding:
    places = by_weights + by_attribution
    counts = {str(study.column((level, i))): study.tables[level].molecules_with(i) for level, i in places}
    both = bool(by_weights and by_attribution)
    reasons = []
    if by_weights:
        what = ", ".join(study.names(by_weights)) if both else "them"
        reasons.append(f"Its first layer does not read {what}.")
    if by_attribution:
        what = f"of {', '.join(study.names(by_attribution))}" if both else "of these columns"
        reasons.append(f"The attribution {what} is zero throughout, although the first layer reads them.")
    return Finding(
        NAME,
        Severity.WARNING,
        f"The model ignores {', '.join(study.names(places))}, which up to {max(counts.values())} of the "
        f"{len(study.subject.molecules)} molecules have. {' '.join(reasons)}",
        Evidence(
            {
                "molecules_with": counts,
                "by_weights": study.names(by_weights),
                "by_attribution": study.names(by_attribution),
            },
            study.names(places),
        ),
        "Molecules that differ only in these features get the same score. Leave the columns out, or find "
        "out why training has silenced them (dead units, damaged weights).",
    )


def _other(study: ColumnStudy) -> list[Finding]:
    slots = study.other_slots()
    heavy = [
        place
        for place, numbers in slots.items()
        if (study.uses(place) >= FEWEST_ROWS and numbers["excess"] > OTHER_KNOWN)
        or numbers["weight_excess"] > OTHER_WEIGHT
    ]
    if not heavy:
        return []
    worst = max(heavy, key=lambda place: slots[place]["weight_excess"])
    name, numbers = str(study.column(worst)), slots[worst]
    misleads = any(
        slots[place]["excess"] > OTHER_EXCESS or slots[place]["weight_excess"] > OTHER_WEIGHT
        for place in heavy
    )
    return [
        Finding(
            NAME,
            Severity.WARNING if misleads else Severity.INFO,
            f"{name}, which stands for anything without a column of its own, counts far more than ordinary "
            f"columns: its weights are {numbers['weight_excess']:.1f} times as large, and it carries "
            f"{numbers['excess']:.1f} times as much attribution per occurrence.",
            Evidence(
                {str(study.column(place)): slots[place] for place in heavy},
                study.names(heavy),
                occurrences(study, worst),
            ),
            "The model has one meaning for many different elements or values, learned from few examples: do "
            "not trust scores of molecules that have it, or give the frequent ones columns of their own.",
        )
    ]


def _absent(study: ColumnStudy) -> list[Finding]:
    places = [(level, i) for level, i in study.places if not study.tables[level].active[i]]
    if not places or len(study.subject.molecules) < FEWEST_MOLECULES:
        return []
    return [
        Finding(
            NAME,
            Severity.INFO,
            f"{len(places)} of {len(study.places)} columns never occur in these molecules: "
            f"{', '.join(study.names(places))}.",
            Evidence({"never": len(places)}, study.names(places)),
            "This audit says nothing about what the model makes of them.",
        )
    ]


def _measured(study: ColumnStudy) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for place in study.places:
        level, i = place
        table = study.tables[level]
        by_task = study.share_by_task([place])
        found[str(study.column(place))] = {
            "active": float(table.active[i] / max(len(table.values), 1)),
            "share": study.share([place]),
            "largest_share": max(by_task.values()),
            "weight": float(study.weights[level][i]),
        }
    for place, numbers in study.other_slots().items():
        found[str(study.column(place))] |= {"excess": numbers["excess"], "uses": numbers["uses"]}
    return found


def _figure(study: ColumnStudy) -> Figure:
    shares = {str(study.column(place)): study.share([place]) for place in study.places}
    largest = dict(sorted(shares.items(), key=lambda item: -item[1])[:MOST_SHOWN])
    return bars(
        largest, "Share of attribution by input column", "share of all |attribution|, mean over tasks"
    )
