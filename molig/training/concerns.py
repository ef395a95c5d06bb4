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


def _one_class(labels: npt.NDArray[np.float64], tasks: tuple[str, ...], part: str) -> list[str]:
    if not len(labels):
        return []
    told = []
    for value, name in ((1, "actives"), (0, "inactives")):
        missing = [
            task for task, found in zip(tasks, (labels == value).any(axis=0), strict=True) if not found
        ]
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            told.append(f"the {part} part has no {name} of {', '.join(missing[:_NAMED])}{more}")
    return told
