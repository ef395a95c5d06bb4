"""The attribution benchmark: train on a set, explain what it holds out, and judge against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molig.benchmark.ablation import one_task
from molig.benchmark.compare import ModelQuality, compare, model_quality
from molig.benchmark.estimates import Resampling
from molig.benchmark.explained import Advance, ExplainedSet, explain_set, resolve_methods
from molig.benchmark.ground_truth import GroundTruth
from molig.benchmark.metrics import evaluation_metric
from molig.benchmark.models import JUDGED_PARTS, model_directory, part_rows
from molig.benchmark.recipe import AttributionOptions, BenchmarkRecipe
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import ScoringModel, ScreeningModel

_FACTS = (
    *("seed", "epochs_run", "best_epoch"),
    *("n_train", "n_validation", "n_test_in_train", "data_sha256"),
)


@dataclass(frozen=True)
class BenchmarkPlan:
    """What to judge, and how; refused before any work where a name is unknown."""

    # The published test part, or the validation part, by which recipes may be chosen.
    part: str = "test"
    methods: Sequence[str] | None = None
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.part not in JUDGED_PARTS:
            raise UnknownNameError("part", self.part, JUDGED_PARTS)
        if self.sample is not None and self.sample < 1:
            raise UsageError(f"a sample needs at least 1 molecule (got {self.sample})")
        object.__setattr__(self, "methods", resolve_methods(self.methods))

    @property
    def resampling(self) -> Resampling:
        """How intervals are made."""
        return Resampling(seed=self.seed)


@dataclass(frozen=True)
class BenchmarkResult:
    """What came out for one set."""

    comparison: pd.DataFrame  # as `compare` returns it
    explained: ExplainedSet
    n_part: int  # molecules of the judged part, on all of which the models' own quality is measured
    options: AttributionOptions
    recipe: BenchmarkRecipe | None  # of the training; None where a model was given
    models: tuple[dict[str, Any], ...]  # of each its seed, epochs, and digests of weights and data

    @property
    def name(self) -> str:
        """Name of the set."""
        return self.explained.truth.description.name


def judge_models(
    truth: GroundTruth,
    models: Sequence[ScreeningModel],
    recipe: BenchmarkRecipe,
    directory: Path,
    *,
    plan: BenchmarkPlan | None = None,
    advance: Advance | None = None,
) -> BenchmarkResult:
    """Explain held-out molecules by every method, and judge the explanations."""
    plan = plan or BenchmarkPlan()
    part = trained_part(truth, directory, plan)
    return _judged(part, models, recipe.attribution, plan, advance, recipe=recipe)


def judge_model(
    truth: GroundTruth,
    model: ScoringModel,
    options: AttributionOptions,
    *,
    task: str | None = None,
    plan: BenchmarkPlan | None = None,
    advance: Advance | None = None,
) -> BenchmarkResult:
    """Explain the test molecules (where there are none, all) by a model that is given, and judge."""
    plan = plan or BenchmarkPlan()
    chosen = one_task(model, task)
    return _judged(given_part(truth, plan), [model], options, plan, advance, task=chosen)


def trained_part(truth: GroundTruth, directory: Path, plan: BenchmarkPlan) -> GroundTruth:
    """The molecules that models trained in a directory are judged on."""
    return truth.take(part_rows(truth, plan.part, model_directory(directory)).tolist())


def given_part(truth: GroundTruth, plan: BenchmarkPlan) -> GroundTruth:
    """The molecules that a given model is judged on."""
    if plan.part != "test":
        raise UsageError("--part validation is of models that the benchmark trains; leave it out with -m")
    test = truth.part("test")
    return test if len(test) else truth


def n_explanations(part: GroundTruth, plan: BenchmarkPlan) -> int:
    """How many explanations of a part will be made, over all methods."""
    return len(judged_molecules(part, plan)) * len(_methods(plan))


def _judged(
    part: GroundTruth,
    models: Sequence[ScoringModel],
    options: AttributionOptions,
    plan: BenchmarkPlan,
    advance: Advance | None,
    *,
    task: str | None = None,
    recipe: BenchmarkRecipe | None = None,
) -> BenchmarkResult:
    quality = _quality(part, models, task)
    chosen = judged_molecules(part, plan)
    explained = explain_set(chosen, models, _methods(plan), options, advance=advance, task=task)
    return BenchmarkResult(
        comparison=compare(
            explained.truth, explained.scores, quality, plan.resampling, explained.bond_scores
        ),
        explained=explained,
        n_part=len(part),
        options=options,
        recipe=recipe,
        models=tuple(_facts(model) for model in models),
    )


def judged_molecules(part: GroundTruth, plan: BenchmarkPlan) -> GroundTruth:
    """The molecules of a part that count in some metric of the set, or a sample of them."""
    metrics = [evaluation_metric(name) for name in part.description.metrics]
    # With scores that all differ, whether a molecule counts depends on its truth alone.
    rows = sorted(
        {
            i
            for metric in metrics
            for i, truth in enumerate(part.truths_of(metric.part))
            if metric.terms(truth, np.arange(truth.shape[1], dtype=float))[1] > 0
        }
    )
    if not rows:
        raise InputError(
            f"the {plan.part} part of {part.description.name} holds no molecule whose truth tells atoms apart"
        )
    if plan.sample is not None and plan.sample < len(rows):
        drawn = np.random.default_rng(plan.seed).choice(rows, plan.sample, replace=False)
        rows = sorted(drawn.tolist())
    return part.take(rows)


def _methods(plan: BenchmarkPlan) -> tuple[str, ...]:
    return tuple(plan.methods or ())


def _quality(part: GroundTruth, models: Sequence[ScoringModel], task: str | None) -> ModelQuality:
    """On the molecules that the models accept; nothing where the set says nothing about them."""
    columns = [model.tasks.index(task) if task else 0 for model in models]
    scores = np.mean(
        [model.predict(part.smiles).scores[:, column] for model, column in zip(models, columns, strict=True)],
        axis=0,
    )
    known = np.isfinite(scores) & np.isfinite(part.targets)
    if not known.any():
        return ModelQuality("", float("nan"))
    return model_quality(part.description.objective, part.targets[known], scores[known])


def _facts(model: ScoringModel) -> dict[str, Any]:
    if not isinstance(model, ScreeningModel):
        return {"name": model.name, "weights_sha256": model.digest()}
    facts: dict[str, Any] = {"weights_sha256": model.info.weights_sha256}
    training = model.info.training
    if training:
        facts |= {name: getattr(training, name) for name in _FACTS}
    return facts
