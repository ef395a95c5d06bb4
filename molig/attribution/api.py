"""SMILES in, explanations out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, overload

from molig.attribution.explainer import Explainer
from molig.attribution.explanation import Explanation
from molig.attribution.protocol import ExplainableModel
from molig.errors import InputError
from molig.model import load_model
from molig.molecules import Record, Rejection, smiles_records


@overload
def explain(
    model: ExplainableModel | str | Path, smiles: str, task: str | None = None, **options: Any
) -> Explanation: ...


@overload
def explain(
    model: ExplainableModel | str | Path, smiles: Iterable[str], task: str | None = None, **options: Any
) -> list[Explanation | Rejection]: ...


def explain(
    model: ExplainableModel | str | Path,
    smiles: str | Iterable[str],
    task: str | None = None,
    **options: Any,
) -> Explanation | list[Explanation | Rejection]:
    """Attribute scores to atoms and pairs.

    Parameters
    ----------
    model : ExplainableModel, str or Path
        A model, its directory, or the name of a bundled one.
    smiles : str or iterable of str
        The molecules.
    task : str, optional
        Which of the model's tasks; by default each molecule's highest-scoring one. For all tasks at once
        see `Explainer.explain_all_tasks`.
    **options
        Further parameters of `Explainer`: ``target``, ``tol``, ``method``, ``baseline`` and so on.

    Returns
    -------
    Explanation, or list of Explanation and Rejection
        One for a string; for several, a list of the same length and order, with a `Rejection` in the place
        of every SMILES that cannot be explained.

    Raises
    ------
    InputError
        If a single SMILES cannot be explained.
    UsageError
        For an unknown task, target, method or baseline, or an impossible tolerance.

    Examples
    --------
    >>> import molig
    >>> why = molig.explain("tox21-w2n2-simple", "c1ccccc1O", task="SR-ARE")
    >>> why.converged
    True
    """
    explainer = Explainer(load_model(model) if isinstance(model, str | Path) else model, task=task, **options)
    if isinstance(smiles, str):
        (only,) = explainer.explain_records([Record(1, "", smiles)])
        if isinstance(only, Rejection):
            raise InputError(f"{only.smiles!r} cannot be explained: {only.reason}")
        return only
    return list(explainer.explain_records(smiles_records(smiles)))
