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
from molig.model import BaselineScore, Objective, ScreeningModel, find_model, load_info
from molig.stats import RankingQuality
from molig.stats.ranking import FIGURES
from molig.text import legible_markdown
from molig.training.dataset import AssayTable, TrainingData, file_digest, read_or_load
from molig.training.recipe import locate_table, read_recipe
from molig.training.run import baseline_scores, quality

SPLIT_FILE = "split.csv"
RECIPE_FILE = "recipe.toml"
# Allowed difference of a figure: absolute up to a value of 1, as a share of the stated value above.
TOLERANCE = 0.005
# What stands for the task where figures of several are summed up.
MEDIAN = "median over tasks"

_COUNTS = ("n_actives", "n_inactives")
_BASELINE = ("median", "max", "share_neutral")

_TITLES = {name: figure.title for name, figure in FIGURES.items()} | {
    "n_actives": "actives",
    "n_inactives": "inactives",
    "baseline_median": "zero baseline, median",
    "baseline_max": "zero baseline, largest",
    "baseline_share_neutral": "zero baseline, share at most 0.02",
}


@dataclass(frozen=True)
class FigureDifference:
    """A figure that a card states, and the same measured now."""

    task: str  # or MEDIAN
    figure: str  # a field of RankingQuality, or "baseline_" and a field of BaselineScore
    stated: float
    now: float  # NaN if it is not defined on the table at hand

    @property
    def title(self) -> str:
        """What tables call the figure."""
        return _TITLES.get(self.figure, self.figure)

    @property
    def difference(self) -> float:
        """What is measured now less what is stated."""
        return self.now - self.stated

    @property
    def relative(self) -> float:
        """Size of the difference, as a share of the stated value where that is above 1; infinite if NaN."""
        size = abs(self.difference) / max(1.0, abs(self.stated))
        return math.inf if math.isnan(size) else size

    @property
    def is_reproduced(self) -> bool:
        """Whether the difference is within `TOLERANCE`."""
        return self.relative <= TOLERANCE


@dataclass(frozen=True)
class HeldOut:
    """What a model states of its held-out molecules, beside what was measured now."""

    part: str
    metrics: dict[str, RankingQuality]
    stated: dict[str, RankingQuality]
    # Byte by byte, or as the same public data set in another file.
    same_table: bool
    # Probabilities where all features are zero.
    baseline: dict[str, BaselineScore] = field(default_factory=dict)
    stated_baseline: dict[str, BaselineScore] = field(default_factory=dict)

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
    if model.objective is not Objective.CLASSIFICATION:
        raise UsageError(f"model {model.name!r} is a regression; its evaluation is not that of a ranking")
    folder = find_model(directory)
    parts, chosen = _parts(folder / SPLIT_FILE), read_recipe(folder / RECIPE_FILE).data
    part = "test" if (parts == "test").any() else "validation"
    assay = AssayTable(
        source,
        model.tasks,
        model.parser,
        model.featurizer,
        smiles_column=smiles_column or chosen.smiles_column,
        delimiter=delimiter or chosen.delimiter,
        conflicts=chosen.conflicts,
        cut=chosen.cut,
    )
    data = read_or_load(assay, progress)
    graphs, labels = _held_out(data, parts, part, source)
    now = quality(model, graphs, labels)
    stated, stated_zero = model.info.metrics.get(part, {}), model.info.baseline
    return HeldOut(
        part=part,
        metrics={task: m for task, m in now.items() if isinstance(m, RankingQuality)},
        stated={task: m for task, m in stated.items() if isinstance(m, RankingQuality)},
        same_table=_is_same_table(model, source, chosen.name),
        baseline=baseline_scores(model, graphs),
        stated_baseline={t: b for t, b in stated_zero.items() if isinstance(b, BaselineScore)},
    )


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
    stated: Mapping[str, RankingQuality],
    now: Mapping[str, RankingQuality],
    stated_baseline: Mapping[str, BaselineScore],
    baseline: Mapping[str, BaselineScore],
) -> list[FigureDifference]:
    """Pair all figures that a card states of a part with those of now; intervals are left out."""
    pairs: list[FigureDifference] = []
    for task, then in stated.items():
        pairs += _pairs(task, (*FIGURES, *_COUNTS), then, now.get(task))
    for task, zero in stated_baseline.items():
        pairs += _pairs(task, _BASELINE, zero, baseline.get(task), prefix="baseline_")
    if len(stated) > 1:
        pairs += _medians(pairs)
    return pairs


def _pairs(
    task: str,
    names: Sequence[str],
    then: RankingQuality | BaselineScore,
    now: RankingQuality | BaselineScore | None,
    prefix: str = "",
) -> Iterator[FigureDifference]:
    for name in names:
        value, again = getattr(then, name), getattr(now, name, None)
        if value is not None:
            again = math.nan if again is None else float(again)
            yield FigureDifference(task, prefix + name, float(value), again)


def _medians(pairs: Sequence[FigureDifference]) -> list[FigureDifference]:
    medians = []
    for name in FIGURES:
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
        f"Allowed: {TOLERANCE} up to a value of 1, {100 * TOLERANCE:g} % of the stated value above it "
        "(enrichment factors, counts). Bootstrap intervals, the validation part, cross-validation and audit "
        "of the card are not measured again.",
        "",
        *markdown_table(header, map(_row, result.differences), "llrrrl"),
        "",
        made_by(command),
    ]
    return legible_markdown("\n".join(lines) + "\n")


def _verdict(result: HeldOut) -> str:
    n, failed = len(result.differences), len(result.not_reproduced)
    if not n:
        return "The card states no figures of this part."
    return (
        f"All {n} figures are reproduced." if not failed else f"{failed} of {n} figures are not reproduced."
    )


def _row(pair: FigureDifference) -> list[str]:
    now, difference = (
        ("n/a", "n/a") if pair.now != pair.now else (_shown(pair.now), f"{pair.difference:+.5f}")
    )
    mark = "" if pair.is_reproduced else "differs"
    return [pair.task, pair.title, _shown(pair.stated), now, difference, mark]


def _shown(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) > 1 else f"{value:.5f}"
