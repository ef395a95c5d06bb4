"""What somebody who trains a model should be told about the table before it is believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from molig.model import Objective
from molig.training.dataset import TrainingData
from molig.training.labels import PARTS

_NAMED = 5


def data_concerns(
    data: TrainingData, parts: npt.NDArray[np.str_], objective: Objective, rejected: Path
) -> list[str]:
    """Sentences about rows that are not used, labels that disagree and parts that lack a class.

    Parameters
    ----------
    data : TrainingData
        The table.
    parts : array of str, shape (n_mols,)
        Part of each molecule.
    objective : Objective
        Regressions have no classes.
    rejected : Path
        Where the rejected rows are listed.

    Returns
    -------
    list of str
        None if there is nothing to tell.
    """
    told = []
    if data.rejections:
        first = data.rejections[0]
        told.append(
            f"{len(data.rejections)} rows cannot be used (first: row {first.row}: {first.reason}); "
            f"all of them are in {rejected}"
        )
    if data.conflicts and str(data.conflicts):
        told.append(str(data.conflicts))
    if objective is not Objective.REGRESSION:
        for part in PARTS:
            told += _one_class(data.labels[parts == part], data.tasks, part)
    return told


def missing_classes(labels: npt.NDArray[np.float64], tasks: tuple[str, ...]) -> dict[str, str]:
    """Tasks of which molecules have no actives, or else no inactives.

    Parameters
    ----------
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, NaN not measured.
    tasks : tuple of str
        Names of the columns.

    Returns
    -------
    dict of str to str
        Task to ``"actives"`` or ``"inactives"``.

    Examples
    --------
    >>> missing_classes(np.array([[1.0, 0.0], [0.0, np.nan]]), ("a", "b"))
    {'b': 'actives'}
    """
    active, inactive = ((labels == value).any(axis=0) for value in (1, 0))
    pairs = zip(tasks, active, inactive, strict=True)
    return {task: "inactives" if some else "actives" for task, some, others in pairs if not (some and others)}


def _one_class(labels: npt.NDArray[np.float64], tasks: tuple[str, ...], part: str) -> list[str]:
    missing = missing_classes(labels, tasks) if len(labels) else {}
    told = []
    for kind in ("actives", "inactives"):
        named = [task for task, what in missing.items() if what == kind]
        if named:
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            told.append(f"the {part} part has no {kind} of {', '.join(named[:_NAMED])}{more}")
    return told
