"""Where the weights of a training run come from."""

from __future__ import annotations

import datetime
import platform
import shlex
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import rdkit
import torch

from molig.datasets import datasets
from molig.model import Provenance
from molig.training.dataset import TrainingData
from molig.training.loop import Trainer
from molig.training.recipe import Recipe
from molig.training.sections import SplitKind
from molig.training.splits import count_copies_in_train
from molig.training.tables import public_data
from molig.version import __version__

if TYPE_CHECKING:
    from molig.training.run import TrainingRequest


def provenance_of(
    request: TrainingRequest,
    data: TrainingData,
    parts: npt.NDArray[np.str_],
    trainer: Trainer,
    digest: str,
) -> Provenance:
    """Data, split, choices, command and versions of a run."""
    origin = public_data(request.recipe, request.source)
    return Provenance(
        positive_weight=request.recipe.optimization.positive_weight,
        data_source=origin[0],
        data_licence=origin[1],
        label_conflicts=data.conflicts.to_dict() if data.conflicts and data.conflicts.molecules else None,
        data_file=request.source.name,
        data_sha256=digest,
        n_rows=len(data) + len(data.rejections),
        n_rejected=len(data.rejections),
        n_train=int((parts == "train").sum()),
        n_validation=int((parts == "validation").sum()),
        n_test=int((parts == "test").sum()),
        n_test_in_train=count_copies_in_train(data.smiles, parts),
        auxiliary=tuple(each.provenance() for each in trainer.auxiliaries),
        split=_split_description(request.recipe),
        seed=request.recipe.optimization.seed,
        epochs_run=trainer.progress.epoch,
        best_epoch=trainer.progress.best_epoch,
        keep=request.recipe.optimization.keep,
        command=_command(request),
        versions={
            "molig": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "rdkit": rdkit.__version__,
            "numpy": np.__version__,
        },
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


def _split_description(recipe: Recipe) -> dict[str, Any]:
    """The choices that mattered for the split."""
    unused = {"test"} if recipe.split.kind is SplitKind.GIVEN else {"column"}
    return recipe.split.model_dump(mode="json", exclude=unused)


def _command(request: TrainingRequest) -> str:
    """The command that repeats the run, in a directory with the recipe and, unless public, the table."""
    words = ["molig", "train", "-o", request.output.resolve().name, "--recipe", "recipe.toml"]
    public = request.recipe.data.name
    if public and request.targets == (request.recipe.data.targets or datasets()[public].targets):
        return shlex.join(words)
    words += ["-i", request.source.name]
    for target in request.targets:
        words += ["--target", target]
    return shlex.join(words)
