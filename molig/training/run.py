"""A training run: from a table to a model directory."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import rdkit
import torch
from pydantic import BaseModel
from scipy.special import expit

from molig.datasets import datasets
from molig.features import FeatureSchema, Featurizer, PackedGraphs
from molig.model import (
    Applicability,
    BaselineScore,
    BaselineValue,
    CommitteeInfo,
    ModelInfo,
    Objective,
    Provenance,
    RegressionMetrics,
    ScreeningModel,
    model_card,
    save_model,
)
from molig.model.device import resolve_device
from molig.model.info import ReliabilityInfo
from molig.stats import RankingQuality, ranking_quality
from molig.tables.writers import spreadsheet_safe
from molig.training.auxiliary import auxiliary_digests, read_auxiliaries
from molig.training.dataset import (
    AssayTable,
    TrainingData,
    check_targets,
    check_training_part,
    data_concerns,
    file_digest,
    read_or_load,
)
from molig.training.loop import Part, Trainer
from molig.training.members import MembersRun, plain_choices, starting_model, with_digest_of_start
from molig.training.metrics import all_regression_metrics, reliability, screening_metrics
from molig.training.objectives import neutral_values
from molig.training.output import check_output, model_in_progress
from molig.training.recipe import Recipe, SplitKind, SplitRecipe, public_data, write_recipe
from molig.training.split_column import PARTS
from molig.training.splits import ListedParts, count_copies_in_train, read_listed_parts, split
from molig.version import __version__

FloatArray = npt.NDArray[np.float64]

NEUTRAL_PROBABILITY = 0.02
"""A baseline probability up to here counts as neutral."""

NEUTRAL_SHARE_OF_SD = 0.1
"""A baseline value within this share of the labels' standard deviation of its target counts as neutral."""


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
    delimiter : str, optional
        What separates columns, if that cannot be guessed.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    resume : bool
        Go on from the checkpoint in ``output``, if there is one.
    force : bool
        Replace a finished model in ``output``; it stays in place until the new one is finished.
    csv_safe : bool
        In ``rejected.csv``, write text that a spreadsheet would take for a formula behind an apostrophe.
    folder : Path
        Directory of the recipe, where ``split.parts`` lies.
    """

    source: Path
    output: Path
    targets: tuple[str, ...]
    recipe: Recipe = field(default_factory=Recipe)
    smiles_column: str | None = None
    delimiter: str | None = None
    device: str = "auto"
    resume: bool = False
    force: bool = False
    csv_safe: bool = False
    folder: Path = Path()


@dataclass(frozen=True)
class Progress:
    """Callbacks of a training run.

    Parameters
    ----------
    rows : callable, optional
        Takes the number of rows read since the last call.
    epoch : callable, optional
        Takes the history entry of each epoch.
    concern : callable, optional
        Takes a sentence on what is wrong with the data.
    stage : callable, optional
        Takes a few words on what is trained next, such as ``"forest: 100 trees for 12 tasks"``.
    """

    rows: Callable[[int], None] | None = None
    epoch: Callable[[dict[str, float]], None] | None = None
    concern: Callable[[str], None] | None = None
    stage: Callable[[str], None] | None = None


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

    Examples
    --------
    >>> request = TrainingRequest(Path("tox21.parquet"), Path("model"), ("row",))
    >>> train_model(request)
    Traceback (most recent call last):
        ...
    molig.errors.UsageError: target columns cannot be called row: hit tables use these names
    """
    progress = progress or Progress()
    device = resolve_device(request.device)
    check_targets(request.targets)
    check_output(request.output, resume=request.resume, force=request.force)
    with model_in_progress(request.output) as folder:
        return _train(request, progress, device, folder)


def _train(
    request: TrainingRequest, progress: Progress, device: torch.device, folder: Path
) -> ScreeningModel:
    recipe = request.recipe
    schema = recipe.schema_()
    starting_model(recipe, schema)  # refused before the table is read
    listed = read_listed_parts(recipe.split, request.folder)
    assay = AssayTable(
        request.source,
        request.targets,
        recipe.molecules.parser(),
        Featurizer(schema),
        objective=recipe.objective,
        split_column=recipe.split.by_column,
        smiles_column=request.smiles_column,
        delimiter=request.delimiter,
        conflicts=recipe.data.conflicts,
        cut=recipe.data.cut,
        compared=recipe.compared,
    )
    data = read_or_load(assay, progress.rows)
    digest = file_digest(request.source)
    if listed:
        parts = listed.deal(data)
    else:
        parts = split(
            data.smiles, data.labels, recipe.split, objective=recipe.objective, values=data.split_values
        )
    if recipe.objective is Objective.CLASSIFICATION:
        check_training_part(data, parts)
    auxiliaries = read_auxiliaries(recipe, data, parts)
    run = MembersRun(
        recipe if (parts == "test").any() else without_refit(recipe),
        schema,
        data.tasks,
        train=_part(data, parts, "train"),
        validation=_part(data, parts, "validation"),
        device=device,
        fingerprint=_fingerprint(request, digest, listed),
        auxiliaries=auxiliaries,
    )
    trainer = run.weave_trainer()
    _write_inputs(request, data, parts, folder)
    for concern in data_concerns(data, parts, recipe.objective, request.output / "rejected.csv"):
        if progress.concern:
            progress.concern(concern)
    fitted = run.fit(
        trainer,
        description(recipe, schema, data.tasks, request.output.resolve().name),
        request.output,
        resume=request.resume,
        on_epoch=progress.epoch,
        on_stage=progress.stage,
    )
    changes = {
        "training": provenance_of(request, data, parts, trainer, digest, listed=listed),
        "known_limits": () if fitted.info.calibrated else limits_of_training(recipe),
    }
    whole = fitted.with_info(fitted.info.model_copy(update=changes))
    model = _finish(request, data, parts, whole, folder)
    (folder / "history.json").write_text(json.dumps(trainer.state.history, indent=1) + "\n")
    return model


def description(recipe: Recipe, schema: FeatureSchema, tasks: tuple[str, ...], name: str) -> ModelInfo:
    """What follows from a recipe about the model that it makes."""
    return ModelInfo(
        molig_version=__version__,
        name=name,
        tasks=tasks,
        objective=recipe.objective,
        feature_schema=schema.to_dict(),
        schema_hash=schema.hash,
        network=recipe.network,
        molecules=recipe.molecules,
        weights_dtype=recipe.weights_dtype,
    )


def _part(data: TrainingData, parts: npt.NDArray[np.str_], name: str) -> Part:
    chosen = np.flatnonzero(parts == name)
    return Part(data.graphs.select(chosen), data.labels[chosen])


def _fingerprint(request: TrainingRequest, digest: str, listed: ListedParts | None) -> str:
    recipe = request.recipe
    digests = [digest, *auxiliary_digests(recipe), *([listed.digest] if listed else [])]
    text = json.dumps([digests, list(request.targets), plain_choices(recipe)])
    return hashlib.sha256(text.encode()).hexdigest()


def _write_inputs(
    request: TrainingRequest, data: TrainingData, parts: npt.NDArray[np.str_], folder: Path
) -> None:
    # The files will be moved to the output.
    write_recipe(with_digest_of_start(request.recipe).seen_from(request.output), folder / "recipe.toml")
    pd.DataFrame({"row": data.rows, "part": parts}).to_csv(folder / "split.csv", index=False)
    keep = spreadsheet_safe if request.csv_safe else str
    rejected = [(r.row, keep(r.id), keep(r.smiles), keep(r.reason)) for r in data.rejections]
    columns = ["row", "id", "smiles", "reason"]
    pd.DataFrame(rejected, columns=columns).to_csv(folder / "rejected.csv", index=False)


def _finish(
    request: TrainingRequest,
    data: TrainingData,
    parts: npt.NDArray[np.str_],
    fitted: ScreeningModel,
    folder: Path,
) -> ScreeningModel:
    """Store the weights, measure the stored model, and write down what was measured."""
    seed = request.recipe.optimization.seed
    fitted.applicability = training_domain(data, parts, fitted.schema, seed)
    stored = save_model(fitted, folder)
    judged = _part(data, parts, "test" if (parts == "test").any() else "validation")
    held_out = judged.graphs
    baseline: dict[str, BaselineScore] | dict[str, BaselineValue]
    if stored.objective is Objective.REGRESSION:
        labels = _part(data, parts, "train").labels
        if stored.info.committee and stored.info.committee.refit:
            labels = np.concatenate([labels, _part(data, parts, "validation").labels])
        neutral = neutral_values(request.recipe, labels)
        baseline = baseline_values(stored, held_out, neutral, np.nanstd(labels, axis=0))
    else:
        baseline = baseline_scores(stored, held_out)
    info = stored.info.model_copy(
        update={
            "metrics": {
                name: quality(stored, part.graphs, part.labels)
                for name, part in ((name, _part(data, parts, name)) for name in _held_out(stored.info))
                if len(part.labels)
            },
            "reliability": reliability_of(stored, data, parts),
            "baseline": baseline,
            "committee": with_figures(stored, judged),
        }
    )
    # A second save, now that the figures are known: they belong to the weights as they are stored.
    model = save_model(stored.with_info(info), folder)
    (folder / "CARD.md").write_text(model_card(model.info), encoding="utf-8")
    return model


def _held_out(info: ModelInfo) -> tuple[str, ...]:
    """Parts that the members have not seen."""
    return PARTS[2:] if info.committee and info.committee.refit else PARTS[1:]


def without_refit(recipe: Recipe) -> Recipe:
    """The recipe for a table that has no test part."""
    return recipe.model_copy(update={"committee": recipe.committee.model_copy(update={"refit": False})})


def with_figures(model: ScreeningModel, part: Part) -> CommitteeInfo | None:
    """The committee with the figures of each member alone; None if the model is none."""
    if model.info.committee is None:
        return None
    members = []
    for member, scores in zip(model.info.committee.members, model.member_scores(part.graphs), strict=True):
        if model.objective is Objective.REGRESSION:
            of_tasks: Mapping[str, BaseModel] = all_regression_metrics(part.labels, scores, model.tasks)
            names: tuple[str, ...] = ("r2", "rmse", "spearman")
        else:
            of_tasks = {
                task: ranking_quality(part.labels[:, i], scores[:, i]) for i, task in enumerate(model.tasks)
            }
            names = ("roc_auc", "pr_auc", "bedroc", "ef_1")
        figures = {name: _median([getattr(each, name) for each in of_tasks.values()]) for name in names}
        members.append(member.model_copy(update={"figures": figures}))
    return model.info.committee.model_copy(update={"members": tuple(members)})


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(f"{np.median(known):.4g}") if known else None


def training_domain(
    data: TrainingData, parts: npt.NDArray[np.str_], schema: FeatureSchema, seed: int
) -> Applicability:
    """Describe the training part of a table."""
    chosen = np.flatnonzero(parts == "train")
    return Applicability.fit([data.smiles[i] for i in chosen], data.graphs.select(chosen), schema, seed=seed)


def limits_of_training(recipe: Recipe) -> tuple[str, ...]:
    """What a reader of the model card should know about this way of training."""
    drawn = recipe.optimization.inactives_per_epoch
    if drawn is None:
        return ()
    return (
        f"Every epoch saw all actives but only {drawn:,} molecules without an active label, drawn anew: "
        "probabilities are higher than the share of actives in the table.",
    )


def quality(
    model: ScreeningModel, graphs: PackedGraphs, labels: FloatArray, *, n_resamples: int = 1000
) -> dict[str, RankingQuality | RegressionMetrics]:
    """Figures of every task of a finished model, with bootstrap intervals for a classification."""
    outputs = model.logits(graphs)
    if model.objective is Objective.REGRESSION:
        return {**all_regression_metrics(labels, outputs, model.tasks)}
    probabilities = expit(outputs)
    return {
        task: screening_metrics(labels[:, i], outputs[:, i], probabilities[:, i], n_resamples=n_resamples)
        for i, task in enumerate(model.tasks)
    }


def reliability_of(
    model: ScreeningModel, data: TrainingData, parts: npt.NDArray[np.str_]
) -> dict[str, ReliabilityInfo]:
    """What the calibrated scores of a committee are worth on each part that it did not learn from."""
    if not model.info.calibrated:
        return {}
    held_out = {name: _part(data, parts, name) for name in _held_out(model.info)}
    return {
        name: reliability(part.labels, expit(model.logits(part.graphs)), model.tasks)
        for name, part in held_out.items()
        if not np.isnan(part.labels).all()
    }


def baseline_scores(model: ScreeningModel, graphs: PackedGraphs) -> dict[str, BaselineScore]:
    """Probabilities of zero features on the graphs of molecules, per task."""
    scores = expit(_at_zero(model, graphs))
    return {
        task: BaselineScore(
            median=float(np.median(scores[:, i])),
            max=float(scores[:, i].max()),
            share_neutral=float((scores[:, i] <= NEUTRAL_PROBABILITY).mean()),
        )
        for i, task in enumerate(model.tasks)
    }


def baseline_values(
    model: ScreeningModel, graphs: PackedGraphs, neutral: FloatArray, sd: FloatArray
) -> dict[str, BaselineValue]:
    """Values of zero features on the graphs of molecules, per task; `sd` is that of the training labels."""
    values = _at_zero(model, graphs)
    figures = {}
    for i, task in enumerate(model.tasks):
        away, tolerance = np.abs(values[:, i] - neutral[i]), NEUTRAL_SHARE_OF_SD * float(sd[i])
        figures[task] = BaselineValue(
            median=float(np.median(values[:, i])),
            farthest=float(values[away.argmax(), i]),
            share_neutral=float((away <= tolerance).mean()),
            neutral=float(neutral[i]),
            tolerance=tolerance,
        )
    return figures


def _at_zero(model: ScreeningModel, graphs: PackedGraphs) -> FloatArray:
    return model.logits(graphs, np.zeros(len(graphs), dtype=np.float32))


def provenance_of(
    request: TrainingRequest,
    data: TrainingData,
    parts: npt.NDArray[np.str_],
    trainer: Trainer,
    digest: str,
    *,
    listed: ListedParts | None = None,
) -> Provenance:
    """Data, split, choices, command and versions of a run."""
    source, licence = public_data(request.recipe, request.source)
    return Provenance(
        positive_weight=request.recipe.optimization.positive_weight,
        active_above=request.recipe.data.active_above,
        active_below=request.recipe.data.active_below,
        data_source=source,
        data_licence=licence,
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
        split=_provenance_of_split(request.recipe.split, listed),
        seed=request.recipe.optimization.seed,
        epochs_run=trainer.state.epoch,
        best_epoch=trainer.state.best_epoch,
        keep=request.recipe.optimization.keep,
        **_provenance_of_start(starting_model(request.recipe, trainer.schema)),
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


def _provenance_of_start(origin: ScreeningModel | None) -> dict[str, str]:
    if origin is None:
        return {}
    facts = {"started_from": origin.name}
    if before := origin.info.training:
        seen = [before.data_source or before.data_file, before.started_from_data]
        facts["started_from_data"] = ", and before that ".join(filter(None, seen))
    return facts


def _provenance_of_split(recipe: SplitRecipe, listed: ListedParts | None) -> dict[str, str | int | float]:
    """How the parts came about, without the choices that had no effect."""
    if listed:
        return {"parts": listed.file.name, "parts_sha256": listed.digest}
    unused = {"parts"}
    unused |= {"test"} if recipe.kind is SplitKind.GIVEN else set()
    unused |= {"seed"} if recipe.kind is SplitKind.TIME else set()
    unused |= set() if recipe.by_column else {"column"}
    return recipe.model_dump(mode="json", exclude=unused)


def _command(request: TrainingRequest) -> str:
    """What repeats the run, in a directory with recipe, listed parts and, unless public, table."""
    words = ["molig", "train", "-o", request.output.resolve().name, "--recipe", "recipe.toml"]
    public = request.recipe.data.name
    if public and request.targets == (request.recipe.data.targets or datasets()[public].targets):
        return shlex.join(words)
    words += ["-i", request.source.name]
    for target in request.targets:
        words += ["--label", target]
    return shlex.join(words)
