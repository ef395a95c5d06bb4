"""Models for a benchmark: trained on the training part of a set, or loaded from a former run."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.benchmark.ground_truth import GroundTruth
from molig.benchmark.recipe import BenchmarkRecipe
from molig.errors import InputError, UnknownNameError, UsageError
from molig.files import read_regular, write_whole
from molig.model import Objective, ScreeningModel, load_model
from molig.training import Progress, Recipe, TrainingRequest, read_recipe, train_model, write_recipe
from molig.training.dataset import file_digest
from molig.training.loop import CHECKPOINT_FILE
from molig.training.members import MembersRun, plain_choices, start_digests

TABLE_FILE = "data.csv"
JUDGED_PARTS = ("test", "validation")
_INFO_FILE, _RECIPE_FILE, _SPLIT_FILE = "model.json", "recipe.toml", "split.csv"


def benchmark_models(
    truth: GroundTruth,
    recipe: BenchmarkRecipe,
    directory: Path,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[ScreeningModel]:
    """Train what a recipe asks for, but read finished models and go on with broken runs: training is slow."""
    recipe.check_fits(truth.description)
    table = write_training_table(truth, directory)
    return [
        _member(
            TrainingRequest(
                source=table,
                output=model_directory(directory, index),
                targets=(truth.description.target,),
                recipe=recipe.member(index),
                smiles_column="smiles",
                device=device,
            ),
            progress,
        )
        for index in range(recipe.attribution.members)
    ]


def model_directory(directory: Path, index: int = 0) -> Path:
    """Where a member of a set's models lies."""
    return directory / ("model" if index == 0 else f"model-{index + 1}")


def is_finished(directory: Path, recipe: Recipe, digest: str) -> bool:
    """Whether a finished model of this recipe and these data lies in a directory."""
    if not (directory / _INFO_FILE).is_file() or (directory / CHECKPOINT_FILE).exists():
        return False
    if not _is_of(directory, recipe):
        return False
    training = load_model(directory).info.training
    return training is not None and training.data_sha256 == digest


def write_training_table(truth: GroundTruth, directory: Path) -> Path:
    """Write the table that models are trained on, unless it is there.

    Checkpoints of runs on another table are deleted: they could not be continued.
    """
    frame = truth.to_frame()
    if truth.description.objective is Objective.CLASSIFICATION:
        frame = frame.astype({truth.description.target: int})
    path = directory / TABLE_FILE
    content = frame.to_csv(index=False, lineterminator="\n").encode()
    if not path.is_file() or path.read_bytes() != content:
        write_whole(path, content)
        for stale in directory.glob("model*"):
            MembersRun.forget(stale)
    return path


def part_rows(truth: GroundTruth, part: str, directory: Path) -> npt.NDArray[np.int64]:
    """Rows, from 0, of the molecules to judge on: the published test part, or the model's validation."""
    if part not in JUDGED_PARTS:
        raise UnknownNameError("part", part, JUDGED_PARTS)
    if part == "test":
        return np.flatnonzero(truth.parts == "test")
    path = directory / _SPLIT_FILE
    try:
        split = pd.read_csv(io.BytesIO(read_regular(path)))
        rows = split.loc[split["part"] == part, "row"].to_numpy(np.int64) - 1
    except (OSError, KeyError, ValueError) as err:
        raise InputError(f"{path}: does not give the parts of the split ({err}); train again") from err
    return rows


def _member(request: TrainingRequest, progress: Progress | None) -> ScreeningModel:
    directory, recipe = request.output, request.recipe
    if is_finished(directory, recipe, file_digest(request.source)):
        return load_model(directory, request.device)
    checkpoint = directory / CHECKPOINT_FILE
    resume = checkpoint.exists() and _is_of(directory, recipe)
    if not resume:
        # Nothing old may be taken for the result of this run should it break off.
        MembersRun.forget(directory)
        (directory / _INFO_FILE).unlink(missing_ok=True)
        # So that a run that breaks off is known again; training writes it at the end only.
        directory.mkdir(parents=True, exist_ok=True)
        write_recipe(recipe.seen_from(directory), directory / _RECIPE_FILE)
    return train_model(replace(request, resume=resume), progress)


def _is_of(directory: Path, recipe: Recipe) -> bool:
    """Whether the directory holds the same choices, the weights to start from included."""
    try:
        stored = read_recipe(directory / _RECIPE_FILE)
        stored_start = start_digests(stored)
    except UsageError:
        return False
    return (plain_choices(stored), stored_start) == (plain_choices(recipe), start_digests(recipe))
