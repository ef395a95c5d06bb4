"""A trained model judged again on the molecules that its training held out."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from molig.errors import InputError, UsageError
from molig.evaluation.plan import is_training_table, public_name
from molig.features import PackedGraphs
from molig.files import json_text, made_by, markdown_table, read_regular, versions, write_whole
from molig.model import (
    BaselineScore,
    BaselineValue,
    Objective,
    RegressionMetrics,
    ScreeningModel,
    find_model,
    load_info,
)
from molig.screening.hits import is_hit_table
from molig.stats import RankingQuality
from molig.stats.ranking import FIGURES, OF_MERIT
from molig.text import legible_markdown
from molig.training.dataset import AssayTable, TrainingData, file_digest, read_or_load
from molig.training.recipe import locate_table, read_recipe
from molig.training.run import NEUTRAL_SHARE_OF_SD, baseline_scores, baseline_values, quality

SPLIT_FILE = "split.csv"
RECIPE_FILE = "recipe.toml"
# Allowed difference of a figure: absolute up to a value of 1, as a share of the stated value above. An RMSE
# differs by a share of itself, a value at the zero baseline by one of the standard deviation of the labels.
TOLERANCE = 0.005
# What stands for the task where figures of several are summed up.
MEDIAN = "median over tasks"

# Which scores are equal to the last bit hangs on the processor, and judges nothing.
_OF_RANKINGS = (*OF_MERIT, "n_actives", "n_inactives")
_OF_VALUES = ("r2", "rmse", "spearman", "n")
_OF_ZERO_SCORES = ("median", "max", "share_neutral")
_OF_ZERO_VALUES = ("median", "farthest", "share_neutral")
# Tasks of different units have no median of errors.
_WITH_MEDIANS = (*OF_MERIT, "r2", "spearman")

TITLES = {name: figure.title for name, figure in FIGURES.items()} | {
    "r2": "R2",
    "rmse": "RMSE",
    "spearman": "Spearman",
    "n": "molecules",
    "n_actives": "actives",
    "n_inactives": "inactives",
    "baseline_median": "zero baseline, median",
    "baseline_max": "zero baseline, largest",
    "baseline_share_neutral": "zero baseline, share at most 0.02",
    "baseline_value_median": "zero baseline, median",
    "baseline_value_farthest": "zero baseline, farthest from neutral",
    "baseline_value_share_neutral": "zero baseline, share near neutral",
}

Quality = RankingQuality | RegressionMetrics
Baseline = BaselineScore | BaselineValue


@dataclass(frozen=True)
class FigureDifference:
    """A figure that a card states, and the same measured now."""

    task: str  # or MEDIAN
    figure: str  # a field of Quality, or of Baseline behind "baseline_" (scores) or "baseline_value_"
    stated: float
    now: float  # NaN if it is not defined on the table at hand
    unit: float | None = None  # what the difference is a share of; default the stated value, or 1 below it

    @property
    def title(self) -> str:
        """What tables call the figure."""
        return TITLES.get(self.figure, self.figure)

    @property
    def difference(self) -> float:
        """What is measured now less what is stated."""
        return self.now - self.stated

    @property
    def relative(self) -> float:
        """Size of the difference, as a share of the stated value where that is above 1; infinite if NaN."""
        unit = max(1.0, abs(self.stated)) if self.unit is None else self.unit
        if self.difference == 0:
            return 0.0
        return math.inf if math.isnan(self.now) or not unit else abs(self.difference) / unit

    @property
    def is_reproduced(self) -> bool:
        """Whether the difference is within `TOLERANCE`."""
        return self.relative <= TOLERANCE


@dataclass(frozen=True)
class HeldOut:
    """What a model states of its held-out molecules, beside what was measured now."""

    part: str
    metrics: Mapping[str, Quality]
    stated: Mapping[str, Quality]
    # Byte by byte, or as the same public data set in another file.
    same_table: bool
    # Scores where all features are zero.
    baseline: Mapping[str, Baseline] = field(default_factory=dict)
    stated_baseline: Mapping[str, Baseline] = field(default_factory=dict)

    @cached_property
    def differences(self) -> list[FigureDifference]:
        """All figures that the model states of this part, each with what was measured now."""
        return figure_differences(self.stated, self.metrics, self.stated_baseline, self.baseline)

    @property
    def not_reproduced(self) -> list[FigureDifference]:
        """Figures that differ by more than the tolerance, the farthest first."""
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
    delimiter: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> HeldOut:
    """Score the rows that ``split.csv`` calls the test part, so that a model's figures can be checked."""
    folder = find_model(directory)
    parts, chosen = _parts(folder / SPLIT_FILE), read_recipe(folder / RECIPE_FILE).data
    smiles_column, delimiter = smiles_column or chosen.smiles_column, delimiter or chosen.delimiter
    if is_hit_table(source, smiles_column=smiles_column, delimiter=delimiter):
        raise UsageError(
            f"{source} is a hit table of molig: its columns called like tasks are scores, and its rows are "
            "not those of a training table; name the table that the model was trained with"
        )
    part = "test" if (parts == "test").any() else "validation"
    assay = AssayTable(
        source,
        model.tasks,
        model.parser,
        model.featurizer,
        objective=model.objective,
        smiles_column=smiles_column,
        delimiter=delimiter,
        conflicts=chosen.conflicts,
        cut=chosen.cut,
    )
    data = read_or_load(assay, progress)
    graphs, labels = _held_out(data, parts, part, source)
    return HeldOut(
        part=part,
        metrics=quality(model, graphs, labels),
        stated=model.info.metrics.get(part, {}),
        same_table=_is_same_table(model, source, chosen.name),
        baseline=_at_zero(model, graphs),
        stated_baseline=model.info.baseline,
    )


def _at_zero(model: ScreeningModel, graphs: PackedGraphs) -> Mapping[str, Baseline]:
    """Scores at the zero baseline; for a regression, near the values that the card calls neutral."""
    if model.objective is Objective.CLASSIFICATION:
        return baseline_scores(model, graphs)
    stated = [model.info.baseline.get(task) for task in model.tasks]
    known = [zero for zero in stated if isinstance(zero, BaselineValue)]
    if len(known) < len(model.tasks):
        return {}
    neutral = np.array([zero.neutral for zero in known])
    return baseline_values(model, graphs, neutral, np.array([_sd(zero) for zero in known]))


def _sd(zero: BaselineValue) -> float:
    """Standard deviation of the training labels."""
    return zero.tolerance / NEUTRAL_SHARE_OF_SD


def table_of_model(directory: str | Path) -> Path:
    """The table that a model's recipe names, so that nobody has to say where it is."""
    path = find_model(directory) / RECIPE_FILE
    source = locate_table(read_recipe(path), path, targets=load_info(directory).tasks).source
    if not source.exists():
        raise UsageError(f"{source}, the table that the model's recipe names, is not there; say with --input")
    return source


def _is_same_table(model: ScreeningModel, source: Path, name: str) -> bool:
    digest, training = file_digest(source), model.info.training
    # The content is read only where it is needed.
    return is_training_table(training, digest, "") or is_training_table(
        training, digest, public_name(source, name)
    )


def _parts(path: Path) -> pd.Series:
    try:
        table = pd.read_csv(io.BytesIO(read_regular(path)), dtype={"row": "int64", "part": "str"})
        return table.set_index("row")["part"]
    except (OSError, ValueError, KeyError) as err:
        raise UsageError(f"{path} does not say which rows the model was tested on: {err}") from err


def _held_out(
    data: TrainingData, parts: pd.Series, part: str, source: Path
) -> tuple[PackedGraphs, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    wanted = np.flatnonzero(np.isin(data.rows, parts.index[parts == part].to_numpy()))
    if not len(wanted):
        raise InputError(f"{source} has none of the rows that the model was tested on")
    return data.graphs.select(wanted), data.labels[wanted]


# What a card states beside what is measured now, figure by figure.


def figure_differences(
    stated: Mapping[str, Quality],
    now: Mapping[str, Quality],
    stated_baseline: Mapping[str, Baseline],
    baseline: Mapping[str, Baseline],
) -> list[FigureDifference]:
    """Pair all figures that a card states of a part with those of now; intervals are left out."""
    pairs: list[FigureDifference] = []
    for task, then in stated.items():
        names = _OF_VALUES if isinstance(then, RegressionMetrics) else _OF_RANKINGS
        pairs += _pairs(task, names, then, now.get(task))
    for task, zero in stated_baseline.items():
        if isinstance(zero, BaselineValue):
            pairs += _pairs(task, _OF_ZERO_VALUES, zero, baseline.get(task), "baseline_value_")
        else:
            pairs += _pairs(task, _OF_ZERO_SCORES, zero, baseline.get(task), "baseline_")
    if len(stated) > 1:
        pairs += _medians(pairs)
    return pairs


def _pairs(
    task: str,
    names: Sequence[str],
    then: Quality | Baseline,
    now: Quality | Baseline | None,
    prefix: str = "",
) -> Iterator[FigureDifference]:
    for name in names:
        value, again = getattr(then, name), getattr(now, name, None)
        if value is not None:
            again = math.nan if again is None else float(again)
            yield FigureDifference(task, prefix + name, float(value), again, _unit(then, name))


def _unit(then: Quality | Baseline, name: str) -> float | None:
    """What a difference of a figure is a share of, if the figure has the unit of the labels."""
    if isinstance(then, BaselineValue) and name != "share_neutral":
        return _sd(then)
    return then.rmse if isinstance(then, RegressionMetrics) and name == "rmse" else None


def _medians(pairs: Sequence[FigureDifference]) -> list[FigureDifference]:
    medians = []
    for name in _WITH_MEDIANS:
        of_name = [pair for pair in pairs if pair.figure == name]
        if of_name:
            then, now = median(pair.stated for pair in of_name), median(pair.now for pair in of_name)
            medians.append(FigureDifference(MEDIAN, name, then, now))
    return medians


# A model's card and what was measured again, as files.

REPRODUCTION_FILE = "reproduction.json"
REPRODUCTION_REPORT = "reproduction.md"


def write_reproduction(
    result: HeldOut, output: Path, *, model: str, table: str, command: str = ""
) -> list[Path]:
    """Write ``reproduction.json`` for programs and ``reproduction.md`` for people."""
    paths = [output / REPRODUCTION_FILE, output / REPRODUCTION_REPORT]
    write_whole(paths[0], _as_json(result, model, table, command))
    write_whole(paths[1], _as_markdown(result, model, table, command))
    return paths


def _as_json(result: HeldOut, model: str, table: str, command: str) -> str:
    content: dict[str, Any] = {
        "format": "molig-reproduction",
        "model": model,
        "part": result.part,
        "table": {"file": table, "is_training_table": result.same_table},
        "command": command,
        "versions": versions(),
        "tolerance": TOLERANCE,
        "reproduced": result.is_reproduced if result.differences else None,
        "figures": [
            {
                "task": pair.task,
                "figure": pair.figure,
                "on_card": pair.stated,
                "now": pair.now,
                "difference": pair.difference,
                "reproduced": pair.is_reproduced,
            }
            for pair in result.differences
        ],
    }
    return json_text(content)


def _as_markdown(result: HeldOut, model: str, table: str, command: str) -> str:
    header = ["task", "figure", "on the card", "now", "difference", ""]
    lines = [
        f"# {model}: its card measured again",
        "",
        f"The {result.part} part of `{table}`, "
        + ("the table" if result.same_table else "which is not the table")
        + f" that the model was trained with. {_verdict(result)}",
        "",
        f"Allowed: {_allowed(result)}. Bootstrap intervals, the validation part, cross-validation and audit "
        "of the card are not measured again.",
        "",
        *markdown_table(header, map(_row, result.differences), "llrrrl"),
        "",
        made_by(command),
    ]
    return legible_markdown("\n".join(lines) + "\n")


def _allowed(result: HeldOut) -> str:
    share = f"{100 * TOLERANCE:g} %"
    if any(isinstance(stated, RegressionMetrics) for stated in result.stated.values()):
        return (
            f"{TOLERANCE} of R2 and rank correlation, {share} of the stated RMSE, and at the zero baseline "
            f"{share} of the standard deviation of the training labels"
        )
    return (
        f"{TOLERANCE} up to a value of 1, {share} of the stated value above it (enrichment factors, counts)"
    )


def _verdict(result: HeldOut) -> str:
    n, failed = len(result.differences), len(result.not_reproduced)
    if not n:
        return "The card states no figures of this part."
    return (
        f"All {n} figures are reproduced." if not failed else f"{failed} of {n} figures are not reproduced."
    )


def _row(pair: FigureDifference) -> list[str]:
    difference = f"{pair.difference:+.5f}" if pair.unit is None else f"{pair.difference:+.3g}"
    mark = "" if pair.is_reproduced else "differs"
    both = [shown(value, pair) for value in (pair.stated, pair.now)]
    return [pair.task, pair.title, *both, "n/a" if math.isnan(pair.now) else difference, mark]


def shown(value: float, pair: FigureDifference) -> str:
    """A value of a pair as people read it; what has the unit of the labels may be tiny or huge."""
    if math.isnan(value):
        return "n/a"
    if pair.unit is not None:
        return f"{value:.5g}"
    return f"{value:.0f}" if value == round(value) and abs(value) > 1 else f"{value:.5f}"
