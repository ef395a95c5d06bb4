"""Size and trivial shortcuts: scores that follow size, lipophilicity or element counts."""

from __future__ import annotations

import numpy as np

from molig.audit.figures import bars, scatter
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
from molig.audit.size_study import FEWEST, NEARLY_ALL, SHARED, TaskOnCounts, study_task
from molig.audit.size_yardstick import (
    FOLDS,
    MOST_FITTED,
    SizeTable,
    size_table,
)
from molig.audit.subject import AuditSubject

NAME = "size-shortcut"

_FEW = 3


@register(
    NAME,
    title="Size and trivial shortcuts",
    question="Does the score say more than size, lipophilicity and element counts do?",
)
def check(subject: AuditSubject) -> Outcome:
    """Compare scores with size and composition, and with a model that knows nothing else; see `Outcome`."""
    n = len(subject.molecules)
    if n < FEWEST:
        raise NotApplicable(f"there are {n} molecules; rank correlations need at least {FEWEST}")
    table = size_table([molecule.mol for molecule in subject.molecules])
    rng = subject.rng(NAME)
    chosen = np.sort(rng.permutation(n)[:MOST_FITTED])
    tasks = [study_task(subject, task, table, chosen, rng) for task in subject.tasks]
    findings = _findings(subject, tasks, table)
    return Outcome(
        findings,
        {task.name: task.numbers() for task in tasks},
        _figures(subject, tasks, table),
        _remark(subject, tasks, len(chosen)),
    )


def _findings(subject: AuditSubject, tasks: list[TaskOnCounts], table: SizeTable) -> list[Finding]:
    following = [task for task in tasks if task.follows]
    compared = [task for task in tasks if task.quality and task.quality.compares]
    reached = [
        task
        for task in compared
        if task.quality and task.quality.share.low >= NEARLY_ALL and task.from_counts.value >= SHARED
    ]
    perhaps = [t for t in compared if t not in reached and t.quality and t.quality.share.value >= NEARLY_ALL]
    findings = []
    if following:
        findings.append(_follows(subject, following, table))
    if reached:
        findings.append(_reached(subject, reached, table, Severity.WARNING))
    if perhaps:
        findings.append(_reached(subject, perhaps, table, Severity.INFO))
    return findings


def _follows(subject: AuditSubject, tasks: list[TaskOnCounts], table: SizeTable) -> Finding:
    misleading = any(task.is_function and not task.deserved for task in tasks)
    worst = _worst(tasks)
    one = worst.score[worst.worst]
    excuse = " The labels, too, follow from size and composition." if all(t.deserved for t in tasks) else ""
    return Finding(
        NAME,
        Severity.ERROR if misleading else Severity.WARNING,
        f"The score follows the size or composition of the molecule on {len(tasks)} of {len(subject.tasks)} "
        f"tasks: on {worst.name} its rank correlation with {worst.worst} is {one.value:+.2f} "
        f"({one.low:+.2f} to {one.high:+.2f}), and heavy atoms, molecular weight, logP and element counts "
        f"alone predict it with rank correlation {worst.from_counts.value:.2f}.{excuse}",
        Evidence({task.name: task.numbers() for task in tasks}, molecules=_examples(subject, worst, table)),
        "A ranking by this score is a ranking by that descriptor, and the attributions tell how it was "
        "counted, not what the molecule does. Compare within groups of equal size, train with inactives "
        "matched in size and composition, or use the descriptor itself.",
    )


def _reached(
    subject: AuditSubject, tasks: list[TaskOnCounts], table: SizeTable, severity: Severity
) -> Finding:
    qualities = {task.name: task.quality for task in tasks if task.quality}
    name, worst = max(qualities.items(), key=lambda item: item[1].share.low)
    share, task = worst.share, next(task for task in tasks if task.name == name)
    measure = "rank correlation" if subject.is_regression else "ROC-AUC"
    pair = (
        [worst.counts, worst.model]
        if subject.is_regression
        else [(1 + worst.counts) / 2, (1 + worst.model) / 2]
    )
    sure = "reach" if share.low >= NEARLY_ALL else "may reach (the interval is wide)"
    return Finding(
        NAME,
        severity,
        f"Size, logP and element counts alone {sure} the quality of the model on {len(tasks)} of "
        f"{len(subject.tasks)} tasks: on {name} they have {measure} {pair[0]:.3f}, the model {pair[1]:.3f}; "
        f"that is {share.value:.0%} ({share.low:.0%} to {share.high:.0%}) of what it is better than chance.",
        Evidence(
            {task.name: task.numbers() for task in tasks}, molecules=_examples(subject, task, table, _FEW)
        ),
        f"The score has rank correlation {task.from_counts.value:.2f} with its prediction from counts. These "
        "labels do not show that the model has learnt anything of structure. Evaluate on molecules "
        "matched in size and composition before reading chemistry into its attributions.",
    )


def _worst(tasks: list[TaskOnCounts]) -> TaskOnCounts:
    return max(tasks, key=lambda task: max(abs(task.worst_value), task.from_counts.value))


def _examples(
    subject: AuditSubject, task: TaskOnCounts, table: SizeTable, most: int = MOST_EXAMPLES
) -> list[Example]:
    """Molecules from the smallest to the largest value of the descriptor."""
    values = table.values[:, table.names.index(task.worst)]
    order = np.argsort(values, kind="stable")
    places = order[np.linspace(0, len(order) - 1, min(most, len(order))).astype(int)]
    scores = subject.scores[:, subject.column(task.name)]
    return [
        scored_example(
            subject.molecules[i],
            np.zeros(subject.molecules[i].mol.GetNumAtoms()),
            f"{task.worst} {values[i]:.4g}, score {scores[i]:.3f}",
        )
        for i in places
    ]


def _figures(subject: AuditSubject, tasks: list[TaskOnCounts], table: SizeTable) -> list[Figure]:
    worst = max(tasks, key=lambda task: abs(task.worst_value))
    rho = worst.worst_value
    figures = [
        scatter(
            table.values[:, table.names.index(worst.worst)],
            subject.logits[:, subject.column(worst.name)],
            f"{worst.name}: score against {worst.worst} (rank correlation {rho:+.2f})",
            (worst.worst, "value" if subject.is_regression else "logit"),
            most=400,
        )
    ]
    compared = {task.name: task.quality for task in tasks if task.quality}
    if compared:
        lengths: dict[str, float] = {}
        for name, quality in compared.items():
            keys = [key for key in quality.numbers if key.endswith(("_roc_auc", "_spearman"))]
            lengths |= {f"{name}: {key.split('_')[0]}": quality.numbers[key] for key in keys}
        measure, chance = ("rank correlation", None) if subject.is_regression else ("ROC-AUC", 0.5)
        figures.append(bars(lengths, "Model, and counts alone", measure, reference=chance))
    return figures


def _remark(subject: AuditSubject, tasks: list[TaskOnCounts], fitted: int) -> str:
    text = (
        f"Yardstick: gradient boosting on heavy atoms, weight, logP and element counts, predictions of "
        f"{FOLDS}-fold cross-validation on {fitted} molecules; attributions of {len(subject.sample)}."
    )
    without = [task.name for task in tasks if task.quality is None]
    if not without:
        return text
    if len(without) == len(tasks):
        return f"{text} Without labels of both classes the qualities are not compared."
    return f"{text} Too few labels for {', '.join(without)}."
