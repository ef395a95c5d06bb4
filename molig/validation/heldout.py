"""A trained model judged again on the molecules that its training held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from molig.errors import InputError, UsageError
from molig.features import PackedGraphs
from molig.model import BaselineScore, Objective, ScreeningModel, TaskMetrics, find_model, load_info
from molig.training.cache import read_or_load
from molig.training.dataset import TrainingData, file_digest
from molig.training.evaluation import baseline_scores, quality
from molig.training.recipe import read_recipe
from molig.training.tables import locate_table
from molig.validation.public import is_training_table, public_name
from molig.validation.reproduction import FigureDifference, figure_differences

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
        Whether the table is the one that the model was trained with: byte by byte, or as the same public
        data set in another file.
    baseline : dict of str to BaselineScore
        Task to the probabilities at the zero baseline, measured now.
    stated_baseline : dict of str to BaselineScore
        The same as the model states them.
    """

    part: str
    metrics: dict[str, TaskMetrics]
    stated: dict[str, TaskMetrics]
    same_table: bool
    baseline: dict[str, BaselineScore] = field(default_factory=dict)
    stated_baseline: dict[str, BaselineScore] = field(default_factory=dict)

    @cached_property
    def differences(self) -> list[FigureDifference]:
        """All figures that the model states of this part, each with what was measured now."""
        return figure_differences(self.stated, self.metrics, self.stated_baseline, self.baseline)

    @property
    def not_reproduced(self) -> list[FigureDifference]:
        """Figures that differ by more than `molig.validation.reproduction.TOLERANCE`, the farthest first."""
        failed = [pair for pair in self.differences if not pair.is_reproduced]
        return sorted(failed, key=lambda pair: -pair.relative)

    @property
    def is_reproduced(self) -> bool:
        """Whether no stated figure differs; also where none is stated."""
        return not self.not_reproduced

    @property
    def largest_difference(self) -> float:
        """Largest difference from a stated figure, as a share of it above 1; NaN if none is stated."""
        return max((pair.relative for pair in self.differences), default=float("nan"))


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
    zero = baseline_scores(model, graphs)
    stated, stated_zero = model.info.metrics.get(part, {}), model.info.baseline
    return HeldOut(
        part=part,
        metrics={task: m for task, m in found.items() if isinstance(m, TaskMetrics)},
        stated={task: m for task, m in stated.items() if isinstance(m, TaskMetrics)},
        same_table=_is_same_table(model, source, chosen.name),
        baseline=zero,
        stated_baseline={t: b for t, b in stated_zero.items() if isinstance(b, BaselineScore)},
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


def _is_same_table(model: ScreeningModel, source: Path, name: str) -> bool:
    digest, training = file_digest(source), model.info.training
    # The content is read only where it is needed.
    return is_training_table(training, digest, "") or is_training_table(
        training, digest, public_name(source, name)
    )


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
