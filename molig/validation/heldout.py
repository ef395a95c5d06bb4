"""A trained model judged again on the molecules that its training held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from molig.errors import InputError, UsageError
from molig.features import PackedGraphs
from molig.model import Objective, ScreeningModel, TaskMetrics, find_model, load_info
from molig.training.cache import read_or_load
from molig.training.dataset import TrainingData, file_digest
from molig.training.evaluation import quality
from molig.training.recipe import read_recipe
from molig.training.tables import locate_table

SPLIT_FILE = "split.csv"
RECIPE_FILE = "recipe.toml"


@dataclass(frozen=True)
class HeldOut:
    """Figures of a model on its held-out molecules.

    Parameters
    ----------
    part : str
        ``"test"``, or ``"validation"`` if the model has no test part.
    metrics : dict of str to TaskMetrics
        Task to figures, measured now.
    stated : dict of str to TaskMetrics
        The same as the model states them.
    same_table : bool
        Whether the table is the one that the model was trained with, byte by byte.
    """

    part: str
    metrics: dict[str, TaskMetrics]
    stated: dict[str, TaskMetrics]
    same_table: bool

    @property
    def largest_difference(self) -> float:
        """Largest difference of a ROC-AUC, PR-AUC or BEDROC from what the model states; NaN if none is."""
        found = [
            abs(now - then)
            for task, metrics in self.metrics.items()
            if task in self.stated
            for name in ("roc_auc", "pr_auc", "bedroc")
            if (now := getattr(metrics, name)) is not None
            and (then := getattr(self.stated[task], name)) is not None
        ]
        return max(found, default=float("nan"))


def judge_held_out(
    model: ScreeningModel,
    directory: str | Path,
    source: Path,
    *,
    smiles_column: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> HeldOut:
    """Score the rows of a table that a model's ``split.csv`` calls its test part.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    directory : str or Path
        Its directory, or the name of a bundled one.
    source : Path
        The table that it was trained with.
    smiles_column : str, optional
        Where to find the SMILES, if not where the model's recipe says.
    progress : callable, optional
        Called with the number of rows done since the last call.

    Returns
    -------
    HeldOut

    Raises
    ------
    UsageError
        If the model is a regression, or its directory does not tell the parts of the split.
    InputError
        If the table has none of the held-out rows.
    """
    if model.objective is not Objective.CLASSIFICATION:
        raise UsageError(f"model {model.name!r} is a regression; its evaluation is not that of a ranking")
    folder = find_model(directory)
    parts, chosen = _parts(folder / SPLIT_FILE), read_recipe(folder / RECIPE_FILE).data
    part = "test" if (parts == "test").any() else "validation"
    data = read_or_load(
        source,
        model.tasks,
        model.parser,
        model.featurizer,
        smiles_column=smiles_column or chosen.smiles_column,
        conflicts=chosen.conflicts,
        progress=progress,
    )
    graphs, labels = _held_out(data, parts, part, source)
    found = quality(model, graphs, labels)
    stated = model.info.metrics.get(part, {})
    training = model.info.training
    return HeldOut(
        part=part,
        metrics={task: m for task, m in found.items() if isinstance(m, TaskMetrics)},
        stated={task: m for task, m in stated.items() if isinstance(m, TaskMetrics)},
        same_table=training is not None and file_digest(source) == training.data_sha256,
    )


def table_of_model(directory: str | Path) -> Path:
    """Find the table that a model's recipe names.

    Parameters
    ----------
    directory : str or Path
        The model's directory, or the name of a bundled one.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If the recipe names none, or a file that is not there.
    InputError
        If a public data set is not there yet.
    """
    path = find_model(directory) / RECIPE_FILE
    found = locate_table(read_recipe(path), path, targets=load_info(directory).tasks).source
    if not found.exists():
        raise UsageError(f"{found}, the table that the model's recipe names, is not there; say with --input")
    return found


def _parts(path: Path) -> pd.Series:
    try:
        table = pd.read_csv(path, dtype={"row": "int64", "part": "str"})
        return table.set_index("row")["part"]
    except (OSError, ValueError, KeyError) as err:
        raise UsageError(f"{path} does not tell which rows the model was tested on: {err}") from err


def _held_out(
    data: TrainingData, parts: pd.Series, part: str, source: Path
) -> tuple[PackedGraphs, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    wanted = np.flatnonzero(np.isin(data.rows, parts.index[parts == part].to_numpy()))
    if not len(wanted):
        raise InputError(f"{source} has none of the rows that the model was tested on")
    return data.graphs.select(wanted), data.labels[wanted]
