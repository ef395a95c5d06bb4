"""The results of an evaluation on the card of the model that the same recipe trained."""

from __future__ import annotations

from pathlib import Path

from molig.errors import UsageError
from molig.model import (
    BaselineComparison,
    CrossValidation,
    ScreeningModel,
    find_model,
    load_model,
    model_card,
    save_model,
)
from molig.screening import write_whole
from molig.validation.markdown import method_title
from molig.validation.methods import NETWORK
from molig.validation.protocol import Evaluation
from molig.validation.results import FIGURES

_ON_CARDS = tuple(name for name in FIGURES if name != "tie_fraction")


def attach_to_model(evaluation: Evaluation, directory: str | Path, *, source: str = "") -> ScreeningModel:
    """Write an evaluation into ``model.json`` and ``CARD.md`` of a model.

    Parameters
    ----------
    evaluation : Evaluation
        Of the recipe that the model was trained by.
    directory : str or Path
        The model's directory.
    source : str
        Where the results are in full, for readers of the card.

    Returns
    -------
    ScreeningModel
        The model as it reads back.

    Raises
    ------
    UsageError
        If the model has other tasks, or was trained on another table.
    """
    folder = find_model(directory)
    model = load_model(folder)
    plan, training = evaluation.plan, model.info.training
    if model.tasks != plan.data.tasks:
        raise UsageError(f"model {model.name!r} has other tasks than the evaluation")
    if training is None or training.data_sha256 != plan.digest:
        raise UsageError(f"model {model.name!r} was trained on another table than the evaluation")
    found = summary_for_card(evaluation, source)
    info = model.info.model_copy(update={"cross_validation": found})
    saved = save_model(ScreeningModel(info, model.network, "cpu", model.applicability), folder)
    write_whole(folder / "CARD.md", model_card(saved.info).encode())
    return saved


def summary_for_card(evaluation: Evaluation, source: str = "") -> CrossValidation:
    """What a model card says about an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
        With the recipe's network among its methods.
    source : str
        Where the results are in full.

    Returns
    -------
    CrossValidation

    Raises
    ------
    UsageError
        If the network itself was not evaluated.
    """
    network = evaluation.figures.get(NETWORK)
    if network is None:
        raise UsageError("this evaluation has no figures of the network")
    recipe = evaluation.plan.recipe
    tests = {c.against: c.test for c in evaluation.comparisons if c.figure == "roc_auc"}
    return CrossValidation(
        folds=len(evaluation.plan.parts),
        scheme=recipe.split.kind.value,
        seed=recipe.evaluation.seed,
        tasks={
            task: {name: _known(figures.means[name]) for name in _ON_CARDS}
            for task, figures in network.tasks.items()
        },
        medians={name: _known(network.medians[name]) for name in _ON_CARDS},
        baselines={
            method_title(name): BaselineComparison(
                median_auc=evaluation.figures[name].medians["roc_auc"],
                wins=test.wins,
                losses=test.losses,
                p_value=test.p_value,
            )
            for name, test in tests.items()
        },
        source=source,
    )


def _known(value: float) -> float | None:
    return round(value, 6) if value == value else None  # noqa: PLR0124 - NaN
