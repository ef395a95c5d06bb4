"""What a model card says about the evaluation of the model's recipe, beside other methods."""

from __future__ import annotations

from molig.model.card_figures import OF_UNITS, REGRESSION, SCREENING
from molig.model.card_text import shown, table
from molig.model.sections_evaluation import CrossValidation, TasksWon


def cross_validation_section(found: CrossValidation | None) -> list[str]:
    """Quality of the recipe over folds, and the comparison to simple methods.

    Parameters
    ----------
    found : CrossValidation, optional
        Without one there is no section.

    Returns
    -------
    list of str
        The section in Markdown, if there is one.
    """
    if found is None:
        return []
    title = "Cross-validation" if found.folds > 1 else "Evaluation of the recipe"
    source = f" Full results: `{found.source}`." if found.source else ""
    parts = [f"## {title}\n\n{_how(found)}{source}"]
    if not found.same_weights:  # else the table of the test part says it all
        parts.append(_tasks_table(found))
    return ["\n\n".join([*parts, *_comparison(found)])]


def _how(found: CrossValidation) -> str:
    """Which molecules were scored by which weights."""
    if found.folds > 1:
        return (
            f"Means over {found.folds} {found.scheme} folds (seed {found.seed}) of networks trained by the "
            "same recipe, not of these weights."
        )
    if found.same_weights:
        return f"Test part of the {found.scheme} split, scored by these weights: the figures are those above."
    return (
        f"Test part of the {found.scheme} split, scored by a network trained by the same recipe, not of "
        "these weights."
    )


def _tasks_table(found: CrossValidation) -> str:
    known = {name for task in found.tasks.values() for name, value in task.items() if value is not None}
    figures = [f for f in (*SCREENING, *REGRESSION) if f.name in known]
    rows = [[task, *(shown(m.get(f.name), f.form) for f in figures)] for task, m in found.tasks.items()]
    if len(rows) > 1:
        medians = ["" if f.name in OF_UNITS else shown(found.medians.get(f.name), f.form) for f in figures]
        rows.append(["**median**", *medians])
    return table(["task", *(f.heading for f in figures)], rows)


def _comparison(found: CrossValidation) -> list[str]:
    """The other methods: tasks won and lost against each, figure by figure."""
    if not found.baselines:
        return []
    known = {name for other in found.baselines.values() for name in other.tests}
    figures = [f for f in SCREENING if f.name in known]
    rows = [
        [name, f"{other.median_auc:.3f}", *(_won_and_lost(other.tests.get(f.name)) for f in figures)]
        for name, other in found.baselines.items()
    ]
    several = any(test.n_tasks > 1 for other in found.baselines.values() for test in other.tests.values())
    p = "; p is that of a two-sided sign test" if several else ""
    where = "folds" if found.folds > 1 else "molecules"
    return [
        f"Other methods on the same {where}, with tasks won : lost against each: those in which the network "
        f"has the higher figure, and the lower one{p}.",
        table(["method", "median ROC-AUC", *(f"won : lost in {f.heading}" for f in figures)], rows),
    ]


def _won_and_lost(test: TasksWon | None) -> str:
    if test is None:
        return "n/a"
    # One task can be won or lost, but says nothing about the next.
    p = f" (p {test.p_value:.2g})" if test.n_tasks > 1 else ""
    return f"{test.wins} : {test.losses}{p}"
