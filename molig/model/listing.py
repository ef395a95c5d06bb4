"""The bundled models as they are listed: in which order, and what they predict, in words."""

from __future__ import annotations

from pathlib import Path

from molig.datasets import datasets
from molig.datasets.places import dataset_of
from molig.model.files import bundled_models, load_info
from molig.model.info import ModelInfo, Objective

_NAMED = 3


def listed_models() -> dict[str, ModelInfo]:
    """Bundled models by name: in the order of the data sets, committees first, then the better one.

    Examples
    --------
    >>> next(iter(listed_models()))
    'tox21'
    """
    infos = {name: load_info(directory) for name, directory in bundled_models().items()}
    return {name: infos[name] for name in sorted(infos, key=lambda name: (*_place(infos[name]), name))}


def _place(info: ModelInfo) -> tuple[int, bool, float]:
    files = [one.file for one in datasets().values()]
    file = info.training.data_file if info.training else ""
    value = info.median_figure(info.held_out, first_figure(info)[0]) if info.held_out else None
    return (
        files.index(file) if file in files else len(files),
        info.committee is None,
        -(value if value is not None else float("-inf")),
    )


def first_figure(info: ModelInfo) -> tuple[str, str]:
    """The figure that a model is judged by first, and what it is called."""
    return ("r2", "R2") if info.objective is Objective.REGRESSION else ("roc_auc", "ROC-AUC")


def predicts(info: ModelInfo) -> str:
    """What was measured, in the words of the data's title, or as far as the table tells it; "" if not."""
    if info.training is None:
        return ""
    named = ", ".join(info.tasks[:_NAMED]) + (", ..." if len(info.tasks) > _NAMED else "")
    return info.training.data_source.split(";")[0] or f"labels of {info.training.data_file}: {named}"


def task_meanings(info: ModelInfo) -> dict[str, str]:
    """What the tasks of a public data set stand for, where their names do not tell."""
    known = dataset_of(Path(info.training.data_file)) if info.training else None
    return dict(known.meanings) if known else {}
