"""The results of an evaluation on the card of the model that the same recipe trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from molig.errors import UsageError
from molig.evaluation.criteria import ValueQuality
from molig.evaluation.held_out import RECIPE_FILE
from molig.evaluation.methods import NETWORK
from molig.evaluation.plan import EvaluationPlan, is_training_table
from molig.evaluation.report import method_title
from molig.evaluation.run import Evaluation
from molig.files import write_whole
from molig.model import (
    BaselineComparison,
    CrossValidation,
    ModelInfo,
    Objective,
    RegressionMetrics,
    ScreeningModel,
    TasksWon,
    find_model,
    load_info,
    load_model,
    model_card,
    save_model,
)
from molig.stats import RankingQuality
from molig.training import Recipe, read_recipe
from molig.training.members import start_digests

_SAME_FIGURE = 1e-6
# Tables are compared by their digest, and an evaluation may deal its molecules otherwise than the training.
_OTHERWISE_COMPARED = (
    "evaluation",
    "data.name",
    "data.file",
    "data.targets",
    "data.smiles_column",
    "data.delimiter",
)
_OF_THIS_TIME = ("split.kind", "split.column", "split.seed", "split.parts")


def attach_to_model(evaluation: Evaluation, directory: str | Path, *, source: str = "") -> ScreeningModel:
    """Write an evaluation into a model's card; refused where it judged another recipe or table."""
    check_card(evaluation.plan, directory)
    folder = find_model(directory)
    model = load_model(folder)
    summary = summary_for_card(evaluation, source)
    summary = summary.model_copy(update={"same_weights": _same_weights(evaluation, model.info)})
    info = model.info.model_copy(update={"cross_validation": summary})
    saved = save_model(model.with_info(info), folder)
    write_whole(folder / "CARD.md", model_card(saved.info))
    return saved


def check_card(plan: EvaluationPlan, directory: str | Path) -> None:
    """Refuse, before anything is trained, a model whose card could not state what will be found."""
    folder, info = find_model(directory), load_info(directory)
    if info.tasks != plan.data.tasks:
        raise UsageError(f"model {info.name!r} has other tasks than the evaluation")
    if info.objective is not plan.recipe.objective:
        raise UsageError(
            f"model {info.name!r} is a {info.objective.value}, the evaluation that of a "
            f"{plan.recipe.objective.value}"
        )
    if not is_training_table(info.training, plan.digest, plan.public):
        raise UsageError(f"model {info.name!r} was trained on another table than the evaluation")
    _check_recipe(plan.recipe, folder, info.name)


def summary_for_card(evaluation: Evaluation, source: str = "") -> CrossValidation:
    """What a model card says about an evaluation."""
    network = evaluation.figures.get(NETWORK)
    if network is None:
        raise UsageError("this evaluation has no figures of the network")
    recipe, of_merit = evaluation.plan.recipe, evaluation.criteria.of_merit
    return CrossValidation(
        folds=len(evaluation.plan.parts),
        scheme=evaluation.plan.scheme,
        seed=recipe.evaluation.seed,
        tasks={
            task: {name: _rounded(getattr(figures.mean, name)) for name in of_merit}
            for task, figures in network.tasks.items()
        },
        medians={name: _rounded(network.medians[name]) for name in of_merit},
        baselines={
            method_title(name): _comparison(evaluation, name)
            for name in dict.fromkeys(c.against for c in evaluation.comparisons)
        },
        source=source,
    )


def _comparison(evaluation: Evaluation, name: str) -> BaselineComparison:
    """The sign tests against one method."""
    tests = {
        c.figure: TasksWon(wins=c.test.wins, losses=c.test.losses, ties=c.test.ties, p_value=c.test.p_value)
        for c in evaluation.comparisons
        if c.against == name
    }
    regression = evaluation.plan.recipe.objective is Objective.REGRESSION
    figure, field = ("r2", "median_r2") if regression else ("roc_auc", "median_auc")
    first = tests[figure]
    return BaselineComparison(
        **{field: _rounded(evaluation.figures[name].medians[figure])},
        wins=first.wins,
        losses=first.losses,
        p_value=first.p_value,
        figures=tests,
    )


def _same_weights(evaluation: Evaluation, info: ModelInfo) -> bool:
    """Whether the one fold is the model's test part, scored as its own weights score it."""
    stated, network = info.metrics.get("test", {}), evaluation.figures[NETWORK]
    if len(evaluation.plan.parts) > 1:
        return False
    pairs = []
    for task, figures in network.tasks.items():
        own = _size_and_figure(stated.get(task))
        now = _size_and_figure(figures.mean)
        if own is None or now is None or own[0] != now[0]:
            return False
        pairs.append((own[1], now[1]))
    # A task with one class has no figure in either, and says nothing.
    known = [(own, now) for own, now in pairs if own is not None or now is not None]
    return bool(known) and all(
        own is not None and now is not None and math.isclose(own, now, rel_tol=0, abs_tol=_SAME_FIGURE)
        for own, now in known
    )


def _size_and_figure(quality: object) -> tuple[tuple[int, ...], float | None] | None:
    """Molecules measured and the figure by which weights are told apart; neither has a unit."""
    match quality:
        case RankingQuality():
            return (quality.n_actives, quality.n_inactives), quality.roc_auc
        case RegressionMetrics() | ValueQuality():
            return (quality.n,), quality.r2
        case _:
            return None


def _check_recipe(recipe: Recipe, folder: Path, name: str) -> None:
    """Refuse an evaluation of another recipe than the model's, where its directory has one."""
    path = folder / RECIPE_FILE
    if not path.exists():
        return
    own, evaluated = _choices(read_recipe(path)), _choices(recipe)
    for key in [*own, *(key for key in evaluated if key not in own)]:
        if own.get(key) != evaluated.get(key):
            raise UsageError(
                f"model {name!r} was trained by another recipe than the evaluation: {key} is "
                f"{_shown(own.get(key))} in {path}, {_shown(evaluated.get(key))} in the evaluation; evaluate "
                "the model's own recipe, or train the model anew"
            )


def _choices(recipe: Recipe) -> dict[str, Any]:
    """Dotted key to value, of all that makes the weights what they are but the table and the folds."""
    plain = recipe.model_dump(mode="json")
    plain["start"] = {"sha256": "".join(start_digests(recipe))}
    plain["auxiliary"] = {each.pop("name"): each for each in plain["auxiliary"]}
    # What zero features are drawn to is a logit in a classification, a value in a regression.
    unread = "neutral.logit" if recipe.objective is Objective.REGRESSION else "neutral.value"
    ignored = (*_OTHERWISE_COMPARED, *_OF_THIS_TIME, unread)
    return {
        key: value
        for key, value in _flat(plain).items()
        if not any(key == i or key.startswith(f"{i}.") for i in ignored)
    }


def _flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in section.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)


def _rounded(value: float | None) -> float | None:
    """Six digits: an error may be small in its unit."""
    return None if value is None else float(f"{value:.6g}")
