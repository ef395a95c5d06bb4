"""A training run: from a table to a model directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.errors import OutputError, UsageError
from molig.features import Featurizer
from molig.model import (
    BaselineScore,
    BaselineValue,
    ModelInfo,
    Objective,
    Provenance,
    ScreeningModel,
    build_network,
    model_card,
    resolve_device,
    save_model,
)
from molig.training.auxiliary import auxiliary_digests, read_auxiliaries
from molig.training.cache import read_or_load
from molig.training.checkpoint import CHECKPOINT_FILE
from molig.training.concerns import data_concerns
from molig.training.dataset import TrainingData, file_digest
from molig.training.domain import limits_of_training, training_domain
from molig.training.evaluation import baseline_scores, baseline_values, quality
from molig.training.labels import PARTS
from molig.training.loop import Part, Trainer
from molig.training.provenance import provenance_of
from molig.training.recipe import Recipe, write_recipe
from molig.training.sections import SplitKind
from molig.training.splits import split
from molig.version import __version__

_RESERVED = {"row", "id", "smiles", "rank", "best_task", "applicability", "similarity"}


@dataclass(frozen=True)
class TrainingRequest:
    """What to train on, and where to put the result.

    Parameters
    ----------
    source : Path
        Table with SMILES and label columns.
    output : Path
        Model directory to write.
    targets : tuple of str
        Label columns, which become the tasks.
    recipe : Recipe
        All other choices.
    smiles_column : str, optional
        Where to find the SMILES, if not under a usual name.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    resume : bool
        Go on from the checkpoint in ``output``, if there is one.
    """

    source: Path
    output: Path
    targets: tuple[str, ...]
    recipe: Recipe = field(default_factory=Recipe)
    smiles_column: str | None = None
    device: str = "auto"
    resume: bool = False


@dataclass(frozen=True)
class Progress:
    """Callbacks of a run.

    Parameters
    ----------
    rows : callable, optional
        Takes the number of rows read since the last call.
    epoch : callable, optional
        Takes the history entry of each epoch.
    concern : callable, optional
        Takes a sentence on what is wrong with the data.
    """

    rows: Callable[[int], None] | None = None
    epoch: Callable[[dict[str, float]], None] | None = None
    concern: Callable[[str], None] | None = None


def train_model(request: TrainingRequest, progress: Progress | None = None) -> ScreeningModel:
    """Train a model and write its directory.

    The directory then holds ``weights.safetensors``, ``applicability.safetensors``, ``model.json``,
    ``recipe.toml``, ``CARD.md``, ``split.csv`` (the part of each row), ``rejected.csv``, ``history.json``.

    Parameters
    ----------
    request : TrainingRequest
        What to train.
    progress : Progress, optional
        Callbacks.

    Returns
    -------
    ScreeningModel
        The model as it reads back from its files; its figures are measured with these weights.

    Raises
    ------
    UsageError, InputError, OutputError
        Saying what is wrong with the request, the table or the output directory.
    """
    progress = progress or Progress()
    recipe, device = request.recipe, resolve_device(request.device)
    _check_request(request)
    schema = recipe.features.schema_()
    data = read_or_load(
        request.source,
        request.targets,
        recipe.molecules.parser(),
        Featurizer(schema),
        objective=recipe.objective,
        split_column=recipe.split.column if recipe.split.kind is SplitKind.GIVEN else None,
        smiles_column=request.smiles_column,
        conflicts=recipe.data.conflicts,
        progress=progress.rows,
    )
    digest = file_digest(request.source)
    parts = split(data.smiles, data.labels, recipe.split, objective=recipe.objective, given=data.given_parts)
    auxiliaries = read_auxiliaries(recipe, data, parts)
    trainer = Trainer(
        recipe,
        schema,
        data.tasks,
        train=_part(data, parts, "train"),
        validation=_part(data, parts, "validation"),
        device=device,
        fingerprint=_fingerprint(request, digest),
        auxiliaries=auxiliaries,
    )
    _write_inputs(request, data, parts)
    for concern in data_concerns(data, parts, recipe.objective, request.output / "rejected.csv"):
        if progress.concern:
            progress.concern(concern)
    checkpoint = request.output / CHECKPOINT_FILE
    if request.resume and checkpoint.exists():
        trainer.resume(checkpoint)
    trainer.fit(checkpoint, progress.epoch)
    model = _finish(request, data, parts, trainer, provenance_of(request, data, parts, trainer, digest))
    checkpoint.unlink(missing_ok=True)
    return model


def _check_request(request: TrainingRequest) -> None:
    reserved = sorted(_RESERVED & {t.casefold() for t in request.targets})
    if reserved:
        raise UsageError(f"target columns cannot be called {', '.join(reserved)}: hit tables use these names")
    if len(set(request.targets)) < len(request.targets):
        raise UsageError("a target column is named twice")
    has_checkpoint = (request.output / CHECKPOINT_FILE).exists()
    if request.resume and not has_checkpoint and (request.output / "model.json").exists():
        raise UsageError(f"nothing to resume: the run in {request.output} is finished")
    try:
        request.output.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot write to {request.output}: {err.strerror or err}") from err


def _finish(
    request: TrainingRequest,
    data: TrainingData,
    parts: npt.NDArray[np.str_],
    trainer: Trainer,
    provenance: Provenance,
) -> ScreeningModel:
    """Store the weights, measure the stored model, and write down what was measured."""
    schema = trainer.schema
    info = ModelInfo(
        molig_version=__version__,
        name=request.output.resolve().name,
        tasks=data.tasks,
        objective=request.recipe.objective,
        feature_schema=schema.to_dict(),
        schema_hash=schema.hash,
        network=request.recipe.network,
        molecules=request.recipe.molecules,
        training=provenance,
        weights_dtype=request.recipe.weights_dtype,
        known_limits=limits_of_training(request.recipe),
    )
    domain = training_domain(data, parts, schema, request.recipe.optimization.seed)
    stored = save_model(
        ScreeningModel(info, trainer.finished_network(), trainer.device, domain), request.output
    )
    held_out = _part(data, parts, "test" if (parts == "test").any() else "validation")
    info = stored.info.model_copy(
        update={
            "metrics": {
                name: quality(stored, part.graphs, part.labels)
                for name, part in ((name, _part(data, parts, name)) for name in PARTS[1:])
                if len(part.labels)
            },
            "baseline": _baseline(stored, held_out, trainer),
        }
    )
    network = build_network(info)
    network.load_state_dict(stored.network.state_dict())
    model = save_model(ScreeningModel(info, network, trainer.device, domain), request.output)
    (request.output / "CARD.md").write_text(model_card(model.info), encoding="utf-8")
    (request.output / "history.json").write_text(json.dumps(trainer.progress.history, indent=1) + "\n")
    return model


def _baseline(
    model: ScreeningModel, part: Part, trainer: Trainer
) -> dict[str, BaselineScore] | dict[str, BaselineValue]:
    """Scores of zero features on the graphs of the molecules."""
    if model.objective is not Objective.REGRESSION:
        return baseline_scores(model, part.graphs)
    sd = np.nanstd(trainer.train.labels, axis=0)
    return baseline_values(model, part.graphs, trainer.recipe.neutral.value, sd)


def _fingerprint(request: TrainingRequest, digest: str) -> str:
    recipe = request.recipe
    digests = [digest, *auxiliary_digests(recipe)]
    text = json.dumps([digests, list(request.targets), recipe.model_dump(mode="json")])
    return hashlib.sha256(text.encode()).hexdigest()


def _part(data: TrainingData, parts: npt.NDArray[np.str_], name: str) -> Part:
    chosen = np.flatnonzero(parts == name)
    return Part(data.graphs.select(chosen), data.labels[chosen])


def _write_inputs(
    request: TrainingRequest, data: TrainingData, parts: Sequence[str] | npt.NDArray[np.str_]
) -> None:
    output = request.output
    write_recipe(request.recipe, output / "recipe.toml")
    pd.DataFrame({"row": data.rows, "part": parts}).to_csv(output / "split.csv", index=False)
    rejected = [(r.row, r.id, r.smiles, r.reason) for r in data.rejections]
    columns = ["row", "id", "smiles", "reason"]
    pd.DataFrame(rejected, columns=columns).to_csv(output / "rejected.csv", index=False)
