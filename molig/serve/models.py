"""The models that a server offers, and what they say of themselves before they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molig.errors import UnknownNameError, UsageError
from molig.features import FeatureSchema
from molig.foreign import AdmetAI, is_foreign, load_any_model
from molig.model import ModelInfo, Objective, load_info
from molig.model.card import model_card
from molig.model.listing import listed_models, predicts, task_meanings
from molig.report.hit_page import cannot_see


@dataclass
class OfferedModel:
    """A model by what the page calls it.

    Parameters
    ----------
    label : str
        What the page calls it.
    names : tuple of str
        What it is read by; see `molig.foreign.load_any_model`.
    facts : dict
        What it says of itself: name, title, tasks, what it cannot see, whether it has a card.
    card : str
        Its card, Markdown; "" if it has none.
    """

    label: str
    names: tuple[str, ...]
    facts: dict[str, Any]
    card: str = ""


def offered(models: Sequence[str], device: str) -> dict[str, OfferedModel]:
    """Models by what the page calls them; none means all that come with molig.

    Raises
    ------
    MoligError
        What is wrong with one of them, as every command says it.

    Examples
    --------
    >>> found = offered(["tox21-w2n2-simple"], "cpu")["tox21-w2n2-simple"].facts
    >>> found["tasks"][0]["name"], found["tasks"][0]["kind"], found["blind_to"][0]
    ('NR-AR', 'probability', 'chirality')
    """
    if not models:
        return {name: _of_molig(name, info) for name, info in listed_models().items()}
    if is_foreign(models):
        return {one.label: one for one in [_foreign(tuple(models), device)]}
    labels = [Path(name).name for name in models]
    labels = [full if labels.count(label) > 1 else label for full, label in zip(models, labels, strict=True)]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise UsageError(f"the model {twice[0]} is named twice")
    found = {}
    for name, label in zip(models, labels, strict=True):
        is_own = not is_foreign(name)
        found[label] = _of_molig(label, load_info(name), name) if is_own else _foreign((name,), device, label)
    return found


def chosen(models: dict[str, OfferedModel], label: str) -> OfferedModel:
    """The model of this name."""
    if label not in models:
        raise UnknownNameError("model", label, models)
    return models[label]


def _of_molig(label: str, info: ModelInfo, name: str = "") -> OfferedModel:
    meanings, value = task_meanings(info), info.objective is Objective.REGRESSION
    tasks = [
        {
            "name": task,
            "description": meanings.get(task, ""),
            "kind": "value" if value else "probability",
            "unit": "unit of the labels" if value else "",
        }
        for task in info.tasks
    ]
    from_schema = cannot_see(FeatureSchema.from_dict(info.feature_schema))
    facts = _facts(label, predicts(info), tasks, from_schema, calibrated=info.calibrated)
    return OfferedModel(label, (name or label,), facts, model_card(info))


def _foreign(names: tuple[str, ...], device: str, label: str = "") -> OfferedModel:
    model = load_any_model(names, device)
    label = label or (Path(names[0]).name if len(names) == 1 else model.name)
    units = model.units if isinstance(model, AdmetAI) else {}
    tasks = []
    for task in model.tasks:
        value = model.for_task(task).objective is Objective.REGRESSION
        tasks.append(
            {
                "name": task,
                "description": "",
                "kind": "value" if value else "probability",
                "unit": units.get(task, "unit of the labels") if value else "",
            }
        )
    facts = _facts(label, model.name, tasks, cannot_see(model.schema), calibrated=model.calibrated)
    return OfferedModel(label, names, facts)


def _facts(
    label: str, title: str, tasks: list[dict[str, str]], unseen: list[str], *, calibrated: bool
) -> dict[str, Any]:
    return {"name": label, "title": title, "tasks": tasks, "blind_to": unseen, "calibrated": calibrated}
