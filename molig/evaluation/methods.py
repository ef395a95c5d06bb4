"""The methods of attribution that are compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from molig.attribution import ExplainableModel, Explainer, Explanation, Method
from molig.errors import UnknownNameError, UsageError
from molig.evaluation.benchmark_recipe import AttributionOptions
from molig.molecules import Record, Rejection

AVERAGED = "averaged_baselines"
BENCHMARK_METHODS = (*(method.value for method in Method), AVERAGED)
"""Methods of attribution, and integrated gradients averaged over several baselines."""


def resolve_methods(names: Iterable[str] | None = None) -> tuple[str, ...]:
    """Check names of methods.

    Parameters
    ----------
    names : iterable of str, optional
        Hyphens count as underscores, "ig" is integrated gradients; by default all methods.

    Returns
    -------
    tuple of str
        Each once, in the order given.

    Raises
    ------
    UnknownNameError
        Naming the nearest one.
    UsageError
        If there is none.

    Examples
    --------
    >>> resolve_methods(["ig", "gradient-x-input"])
    ('integrated_gradients', 'gradient_x_input')
    """
    if names is None:
        return BENCHMARK_METHODS
    found = {}
    for name in names:
        folded = name.strip().lower().replace("-", "_")
        folded = Method.INTEGRATED_GRADIENTS.value if folded == "ig" else folded
        if folded not in BENCHMARK_METHODS:
            raise UnknownNameError("method", name, BENCHMARK_METHODS)
        found[folded] = True
    if not found:
        raise UsageError(f"name at least one method: {', '.join(BENCHMARK_METHODS)}")
    return tuple(found)


def explainer_of(
    model: ExplainableModel, method: str, options: AttributionOptions, task: str | None = None
) -> Explainer:
    """Explainer of one of the compared methods.

    Parameters
    ----------
    model : ExplainableModel
        The model.
    method : str
        One of `BENCHMARK_METHODS`.
    options : AttributionOptions
        Target, baselines and tolerance.
    task : str, optional
        Which task; by default the first.

    Returns
    -------
    Explainer
    """
    averaged = method == AVERAGED
    return Explainer(
        model,
        task=task or model.tasks[0],
        target=options.target,
        method=Method.INTEGRATED_GRADIENTS if averaged else method,
        baseline=options.averaged_baselines if averaged else options.baseline,
        tol=options.tol,
    )


def explanations_by_members(
    explainers: Sequence[Explainer], records: Sequence[Record]
) -> Iterator[list[Explanation] | Rejection]:
    """Of each record the explanations by all explainers, or why there are none.

    Parameters
    ----------
    explainers : sequence of Explainer
        One per model.
    records : sequence of Record
        The molecules.

    Yields
    ------
    list of Explanation, or Rejection
        One per record.
    """
    for found in zip(*(explainer.explain_records(records) for explainer in explainers), strict=True):
        refused = [each for each in found if isinstance(each, Rejection)]
        yield refused[0] if refused else [each for each in found if isinstance(each, Explanation)]
