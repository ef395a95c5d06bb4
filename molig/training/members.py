"""Training a committee: its members, their weights, and the calibration of their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import cholesky
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize, minimize_scalar
from scipy.sparse import csr_matrix, vstack
from scipy.special import expit, logit
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from molig.committee import Combination, Forest, KernelMachine, Vocabulary
from molig.committee.kernel import as_inputs, squared_norms
from molig.committee.vocabulary import environments_of
from molig.errors import UnknownNameError, UsageError
from molig.features import FeatureSchema, PackedGraphs
from molig.features.environments import numbering_digest
from molig.model import (
    CommitteeInfo,
    MemberInfo,
    ModelInfo,
    Objective,
    ScreeningModel,
    bundled_models,
    load_info,
    load_model,
)
from molig.model.relaxed import Member, scores_of
from molig.network import WeaveNet
from molig.stats import ranking_quality
from molig.training.loop import (
    CHECKPOINT_FILE,
    CHECKPOINTS,
    ENVIRONMENTS_CHECKPOINT,
    REFIT,
    OnEpoch,
    Part,
    Trainer,
    TrainingRun,
)
from molig.training.objectives import neutral_values
from molig.training.recipe import ForestRecipe, KernelRecipe, MemberKind, Recipe

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.int64]

OnStage = Callable[[str], None]

_GROUPS = 10
# Actives of the validation part, over all tasks, below which noise would choose weights and calibration.
_ENOUGH_ACTIVES = 20
# Weights are multiples of a tenth before those that are as good are averaged.
_STEPS = 10
# Weight of the squared distance of a task's offset from the mean offset, and of the logarithm of the slope
# from 0, in units of one molecule's loss. Where both classes are told apart without error, cross-entropy
# alone would make the slope infinite.
_SHRINKAGE = 5.0


@dataclass(frozen=True)
class MembersRun(TrainingRun):
    """The training of all members."""

    stage: str = ""
    on_stage: OnStage | None = None

    def weave_trainer(self) -> Trainer:
        """Trainer of the Weave network."""
        origin = starting_model(self.recipe, self.schema)
        return Trainer(
            replace(self, fingerprint=" ".join([self.fingerprint, *start_digests(self.recipe)])),
            start=_all_but_last(origin.network) if origin else None,
        )

    def fit(
        self,
        trainer: Trainer,
        info: ModelInfo,
        directory: Path,
        *,
        resume: bool = False,
        on_epoch: OnEpoch | None = None,
        on_stage: OnStage | None = None,
    ) -> ScreeningModel:
        """Train the Weave network and the other members; the model that they make, in full precision."""
        if not resume:
            self.forget(directory)  # of a run that was broken off and given up
        run = replace(self, on_stage=on_stage)
        model = run._fit_once(trainer, info, directory, resume=resume, on_epoch=on_epoch)
        if model.info.committee is None or not self.recipe.committee.refit:
            return without_idle(model)
        chosen = model.info.committee.model_copy(update={"refit": True})
        again = run._with_validation()
        whole = info.model_copy(update={"committee": chosen})
        unjudged = on_epoch and partial(_without_validation, on_epoch)
        refitted = again._fit_once(again.weave_trainer(), whole, directory, resume=resume, on_epoch=unjudged)
        return without_idle(refitted)

    def _with_validation(self) -> MembersRun:
        """The run on training and validation part together, which keeps the last epoch."""
        parts = self.train, self.validation
        both = Part(
            PackedGraphs.concatenate([part.graphs for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )
        epochs = self.recipe.optimization.epochs
        last = self.recipe.optimization.model_copy(update={"keep": "last", "patience": epochs})
        environments = self.recipe.environments
        own = environments.optimization
        of_environments = own.model_copy(update={"keep": "last", "patience": own.epochs})
        recipe = self.recipe.model_copy(
            update={
                "optimization": last,
                "environments": environments.model_copy(update={"optimization": of_environments}),
            }
        )
        return replace(self, recipe=recipe, train=both, fingerprint=f"{self.fingerprint} refit", stage=REFIT)

    def _fit_once(
        self,
        trainer: Trainer,
        info: ModelInfo,
        directory: Path,
        *,
        resume: bool,
        on_epoch: OnEpoch | None,
    ) -> ScreeningModel:
        """All members on the training part, combined as described, or else by the validation part."""
        again = ", again, on training and validation part" if self.stage else ""
        self._tell(f"Weave network: {self.recipe.optimization.epochs} epochs{again}")
        checkpoint = directory / (self.stage + CHECKPOINT_FILE)
        if resume and checkpoint.exists():
            trainer.resume(checkpoint)
        trainer.fit(checkpoint, on_epoch)
        others = self._others(directory, resume=resume)
        alone = info.model_copy(update={"committee": None})
        weave = ScreeningModel(alone, trainer.finished_network(), self.device)
        if not others:
            return weave
        committee = info.committee or self._combined(weave.logits(self.validation.graphs), others)
        whole = alone.model_copy(update={"committee": _with_sizes(committee, others)})
        return ScreeningModel(whole, weave.network, self.device, members=others)

    def _others(self, directory: Path, *, resume: bool) -> list[Member]:
        """Train the members beside the Weave network, in the order of the recipe."""
        if not self.recipe.committee.others:
            return []
        vocabulary = Vocabulary.of(
            environments_of(self.train.graphs),
            min_molecules=min(self.recipe.environments.min_molecules, len(self.train.graphs)),
            max_columns=self.recipe.environments.max_columns,
        )
        members: list[Member] = []
        for kind in self.recipe.committee.others:
            if kind is MemberKind.FOREST:
                several = f" for each of {len(self.tasks)} tasks" if len(self.tasks) > 1 else ""
                self._tell(f"forest: {self.recipe.forest.trees} trees{several}")
                members.append(grow_forest(self.train, vocabulary, self.recipe))
                continue
            if kind is MemberKind.KERNEL:
                n_compared = min(len(self.train.graphs), self.recipe.kernel.max_molecules)
                self._tell(f"kernel machine: similarity to {n_compared:,} molecules")
                members.append(fit_kernel(self.train, vocabulary, self.recipe))
                continue
            epochs = self.recipe.environments.optimization.epochs
            self._tell(f"environment network: {epochs} epochs on {len(vocabulary):,} substructures")
            trainer = self._environment_trainer(vocabulary)
            checkpoint = directory / (self.stage + ENVIRONMENTS_CHECKPOINT)
            if resume and checkpoint.exists():
                trainer.resume(checkpoint)
            trainer.fit(checkpoint)
            members.append(trainer.finished_environments())
        return members

    def _tell(self, words: str) -> None:
        if self.on_stage:
            self.on_stage(words)

    @staticmethod
    def forget(directory: Path) -> None:
        """Remove the checkpoints of a run that is finished or given up."""
        for name in CHECKPOINTS:
            (directory / name).unlink(missing_ok=True)

    def _environment_trainer(self, vocabulary: Vocabulary) -> Trainer:
        own, main = self.recipe.environments.optimization, self.recipe.optimization
        if own.inactives_per_epoch is None:
            own = own.model_copy(update={"inactives_per_epoch": main.inactives_per_epoch})
        options = own.model_copy(update={"seed": main.seed})
        run = replace(
            self,
            recipe=self.recipe.model_copy(update={"optimization": options}),
            fingerprint=f"{self.fingerprint} environments",
        )
        return Trainer(run, vocabulary=vocabulary)

    def _combined(self, weave_outputs: FloatArray, others: Sequence[Member]) -> CommitteeInfo:
        """Weights and calibration, chosen by the validation part; `weave_outputs` are the network's there."""
        probability = self.recipe.objective is Objective.CLASSIFICATION
        labels, graphs = self.validation.labels, self.validation.graphs
        options = self.recipe.committee
        plain = Combination(
            np.tile(np.array(options.prior_weights)[:, None], len(self.tasks)),
            np.ones(len(self.tasks)),
            np.zeros(len(self.tasks)),
            probability,
        )
        first = np.asarray(expit(weave_outputs)) if probability else weave_outputs
        scores = np.stack([first, *(scores_of(m, m.outputs(graphs), plain) for m in others)])
        weights = plain.weights
        wanted = options.weights == "learned"
        learned = choose_weights(scores, labels, probability=probability) if wanted else None
        if learned is not None:
            share = len(labels) / (len(labels) + options.prior_molecules)
            weights = share * learned + (1 - share) * weights
        chosen = replace(plain, weights=weights)
        slope, offset = plain.slope, plain.offset
        if probability and self.recipe.committee.calibrate:
            slope, offset = calibration(chosen.mean(scores), labels)
        kinds = (MemberKind.WEAVE, *self.recipe.committee.others)
        return CommitteeInfo(
            members=tuple(
                MemberInfo(name=kind.value, kind=kind.value, weights=tuple(row))
                for kind, row in zip(kinds, weights.tolist(), strict=True)
            ),
            slope=tuple(slope.tolist()),
            offset=tuple(offset.tolist()),
            learned=learned is not None,
            numbering=numbering_digest(self.schema.environment_blocks),
        )


def start_digests(recipe: Recipe) -> list[str]:
    """Digest of the weights that training starts from; none of random ones."""
    if not recipe.start.model:
        return []
    return [recipe.start.sha256 or load_info(_start(recipe)).weights_sha256]


def with_digest_of_start(recipe: Recipe) -> Recipe:
    """The recipe with the digest of the weights that training starts from."""
    start = recipe.start.model_copy(update={"sha256": "".join(start_digests(recipe))})
    return recipe.model_copy(update={"start": start})


def plain_choices(recipe: Recipe) -> dict[str, Any]:
    """Plain data of all choices, for digests; of a start its name, as its own digest belongs beside them."""
    return recipe.model_dump(mode="json") | {"start": {"model": Path(recipe.start.model).name}}


def _start(recipe: Recipe) -> Path:
    """The model to start from: a bundled one, even where a directory of the same name lies about."""
    path, bundled = Path(recipe.start.model), bundled_models()
    if not recipe.start.directory:
        return bundled[recipe.start.model]
    if path.is_dir():
        return path
    if len(path.parts) > 1:
        raise UsageError(
            f"there is no model to start from at {path}: say where it is in [start] of the recipe, or by "
            "--start-from of molig train"
        )
    raise UnknownNameError("model to start from", str(path), bundled, "or the directory of another one")


def starting_model(recipe: Recipe, schema: FeatureSchema) -> ScreeningModel | None:
    """The model whose Weave network training starts from; UsageError if that network is another one."""
    if not recipe.start.model:
        return None
    model = load_model(_start(recipe)).weave_alone()
    if recipe.start.sha256 not in ("", model.info.weights_sha256):
        raise UsageError(
            f"the model to start from, {model.name!r} in {_start(recipe)}, has other weights than the recipe "
            "was made with (start.sha256): give the former ones, or take start.sha256 out of the recipe"
        )
    if model.schema != replace(schema, environment_blocks=()):
        raise UsageError(
            f"the model to start from, {model.name!r}, reads other features: use [features] of its recipe"
        )
    if model.info.network != recipe.network:
        raise UsageError(
            f"the model to start from, {model.name!r}, is another network: use [network] of its recipe"
        )
    return model


def _all_but_last(network: WeaveNet) -> dict[str, torch.Tensor]:
    last = {id(tensor) for tensor in network.last.state_dict(keep_vars=True).values()}
    state = network.state_dict(keep_vars=True)
    return {name: tensor.detach().float() for name, tensor in state.items() if id(tensor) not in last}


def _without_validation(on_epoch: OnEpoch, entry: dict[str, float]) -> None:
    """Tell of an epoch without the figure of a part that is trained on."""
    on_epoch({name: value for name, value in entry.items() if not name.startswith("validation")})


def _with_sizes(committee: CommitteeInfo, others: Sequence[Member]) -> CommitteeInfo:
    """The description with the number of environments, and of units or trees, of each member."""
    first, *rest = committee.members
    sized = [
        member.model_copy(update={"n_columns": len(other.vocabulary), "size": other.size})
        for member, other in zip(rest, others, strict=True)
    ]
    return committee.model_copy(update={"members": (first, *sized)})


def without_idle(model: ScreeningModel) -> ScreeningModel:
    """The model without members of no weight, which would cost space and time for nothing."""
    committee = model.info.committee
    if committee is None:
        return model
    first, *others = committee.members
    kept = [(info, member) for info, member in zip(others, model.members, strict=True) if any(info.weights)]
    if len(kept) in {0, len(others)}:
        return model
    idle = tuple(info.name for info in others if not any(info.weights))
    members = (first, *(info for info, _ in kept))
    committee = committee.model_copy(update={"members": members, "idle": idle})
    return ScreeningModel(
        model.info.model_copy(update={"committee": committee}),
        model.network,
        model.device,
        model.applicability,
        members=[member for _, member in kept],
    )


def grow_forest(train: Part, vocabulary: Vocabulary, recipe: Recipe) -> Forest:
    """Random forests (Breiman 2001), task by task, on counts of environments.

    With very many inactives the trees of a task are grown in groups, each from all actives and its own draw
    of inactives: together they see most of them.
    """
    counts, options = vocabulary.matrix(train.graphs), recipe.forest
    regression = recipe.objective is Objective.REGRESSION
    neutral = neutral_values(recipe, train.labels) if regression else np.zeros(train.labels.shape[1])
    trees, values = [], []
    for task, labels in enumerate(train.labels.T):
        known = np.flatnonzero(~np.isnan(labels))
        grow = _grow_values if regression else _grow_classes
        random = np.random.default_rng([options.seed, task])
        grown = grow(counts[known], labels[known], options, float(neutral[task]), random)
        trees.append([tree for tree, _ in grown])
        values.append([value for _, value in grown])
    return Forest.of_trees(vocabulary, trees, values)


_Grown = list[tuple[object, FloatArray]]


def _grow_classes(
    counts: csr_matrix, labels: FloatArray, options: ForestRecipe, neutral: float, rng: np.random.Generator
) -> _Grown:
    """Trees of a task with the share of actives in each node."""
    actives, inactives = np.flatnonzero(labels == 1), np.flatnonzero(labels != 1)
    kept = min(1.0, options.max_inactives / max(len(inactives), 1))
    n_groups = min(_GROUPS, options.trees) if kept < 1 else 1
    grown: _Grown = []
    for group in np.array_split(np.arange(options.trees), n_groups):
        drawn = inactives if kept == 1 else rng.choice(inactives, options.max_inactives, replace=False)
        rows = np.concatenate([actives, drawn])
        inputs, target = _with_zeros(counts[rows], labels[rows], options, neutral)
        forest = RandomForestClassifier(
            len(group),
            min_samples_leaf=options.min_samples_leaf,
            max_features=options.max_features,
            class_weight="balanced" if options.balanced else None,
            random_state=int(rng.integers(2**31)),
        )
        forest.fit(inputs.tocsc(), target == 1)
        for estimator in forest.estimators_:
            share = _share_of_actives(estimator.tree_.value, forest.classes_)
            if not options.balanced:  # odds among the drawn inactives, back to odds among all
                share = kept * share / (1 - (1 - kept) * share)
            grown.append((estimator.tree_, share))
    return grown


def _share_of_actives(values: FloatArray, classes: BoolArray) -> FloatArray:
    active = np.flatnonzero(classes)
    return values[:, 0, active[0]] if len(active) else np.zeros(len(values))


def _grow_values(
    counts: csr_matrix, labels: FloatArray, options: ForestRecipe, neutral: float, rng: np.random.Generator
) -> _Grown:
    """Trees of a task with the mean label in each node."""
    inputs, target = _with_zeros(counts, labels, options, neutral)
    forest = RandomForestRegressor(
        options.trees,
        min_samples_leaf=options.min_samples_leaf,
        max_features=max(options.max_features, 1 / 3),
        random_state=int(rng.integers(2**31)),
    )
    forest.fit(inputs.tocsc(), target)
    return [(estimator.tree_, estimator.tree_.value[:, 0, 0]) for estimator in forest.estimators_]


def _with_zeros(
    counts: csr_matrix, labels: FloatArray, options: ForestRecipe, neutral: float
) -> tuple[csr_matrix, FloatArray]:
    """The molecules, and some without any environment that are neutral."""
    n_zero = max(int(options.zero_share * len(labels)), 0 if len(labels) else 1)
    zeros = csr_matrix((n_zero, counts.shape[1]), dtype=np.float32)
    return vstack([counts, zeros]).tocsr(), np.concatenate([labels, np.full(n_zero, neutral)])


def fit_kernel(train: Part, vocabulary: Vocabulary, recipe: Recipe) -> KernelMachine:
    """Kernel ridge regression of each task, with a Gauss kernel on log(1 + count) of environments.

    The output without environments is known (the neutral one), which the kernel is conditioned on: that is
    one more centre, a molecule without any. The ridge is chosen, and a classification's slope fitted, on
    scores that leave the molecule out; these have a closed form.
    """
    options = recipe.kernel
    chosen = _compared(train.labels, options)
    counts, known_labels = vocabulary.matrix(train.graphs.select(chosen)), train.labels[chosen]
    inputs = as_inputs(counts)
    width = options.width * _median_distance(inputs, options)
    coefficients, offset = np.zeros((len(chosen) + 1, len(known_labels.T))), np.zeros(len(known_labels.T))
    regression = recipe.objective is Objective.REGRESSION
    neutral = neutral_values(recipe, train.labels) if regression else np.zeros(len(offset))
    for task, labels in enumerate(known_labels.T):
        rows = np.flatnonzero(~np.isnan(labels))
        slope, offset[task] = 1.0, neutral[task] if regression else recipe.neutral.logit
        if not len(rows):
            continue
        fitted = _fit_ridge(inputs[rows], labels[rows] - neutral[task], width, options)
        if not regression:
            weights = _weights_of_chosen(labels[rows], train.labels[:, task])
            slope, offset[task] = _slope_and_offset(
                fitted.left_out, labels[rows], weights, recipe.neutral.logit
            )
        coefficients[rows, task] = slope * fitted.coefficients
        coefficients[-1, task] = slope * fitted.of_nothing
    used = np.flatnonzero((coefficients != 0).any(axis=1))
    used = used if len(used) else np.array([len(coefficients) - 1])
    nothing = csr_matrix((1, counts.shape[1]), dtype=counts.dtype)
    return KernelMachine(
        vocabulary, vstack([counts, nothing]).tocsr()[used], coefficients[used], offset, width
    )


@dataclass(frozen=True)
class _Ridge:
    """A task's kernel ridge regression."""

    coefficients: FloatArray
    of_nothing: float  # coefficient of a molecule without any environment
    left_out: FloatArray  # output of each training molecule from a fit without it


def _median_distance(inputs: csr_matrix, options: KernelRecipe) -> float:
    random = np.random.default_rng(options.seed)
    few = inputs[np.sort(random.permutation(inputs.shape[0])[:_SAMPLED])]
    distances = _squared_distances(few, few)[np.triu_indices(few.shape[0], 1)]
    middle = float(np.median(distances)) if len(distances) else 0.0
    return middle if middle > 0 else 1.0


def _squared_distances(first: csr_matrix, second: csr_matrix) -> FloatArray:
    products = np.asarray((first @ second.T).todense())
    squared = squared_norms(first)[:, None] + squared_norms(second) - 2 * products
    return np.asarray(np.maximum(squared, 0))


def _compared(labels: FloatArray, options: KernelRecipe) -> IndexArray:
    """Rows to compare with, at most as many as the recipe says; those of a task's rarer class go first."""
    if len(labels) <= options.max_molecules:
        return np.arange(len(labels))
    rarer = np.zeros(len(labels), dtype=bool)
    for of_task in labels.T:
        classes, counted = np.unique(of_task[~np.isnan(of_task)], return_counts=True)
        if len(classes) == 2:  # no values of a regression
            rarer |= of_task == classes[counted.argmin()]
    order = np.lexsort((np.random.default_rng(options.seed).random(len(labels)), ~rarer))
    return np.sort(order[: options.max_molecules])


def _fit_ridge(inputs: csr_matrix, target: FloatArray, width: float, options: KernelRecipe) -> _Ridge:
    """Fit of a target that is 0 without environments."""
    few = np.sort(np.random.default_rng(options.seed).permutation(len(target))[:_SAMPLED])
    without = np.exp(-squared_norms(inputs) / width)
    matrix = np.exp(_squared_distances(inputs, inputs) / -width) - np.outer(without, without)
    errors = [
        np.mean((target[few] - _left_out(matrix[np.ix_(few, few)], target[few], ridge)[1]) ** 2)
        for ridge in options.ridges
    ]
    ridge = options.ridges[int(np.argmin(errors))]
    coefficients, left_out = _left_out(matrix, target, ridge)
    return _Ridge(coefficients, -float(without @ coefficients), left_out)


def _left_out(matrix: FloatArray, target: FloatArray, ridge: float) -> tuple[FloatArray, FloatArray]:
    """Coefficients, and outputs of the fits that leave one molecule out."""
    factor = cholesky(matrix + ridge * np.eye(len(target)), lower=True, overwrite_a=True)
    lower, _ = dpotri(factor, lower=1, overwrite_c=1)
    inverse = np.tril(lower) + np.tril(lower, -1).T
    coefficients = np.asarray(inverse @ target, dtype=np.float64)
    return coefficients, target - coefficients / np.diag(inverse)


def _weights_of_chosen(labels: FloatArray, everything: FloatArray) -> FloatArray:
    """How many labels of the whole table each chosen one stands for."""
    of_class = [(everything == c).sum() / max((labels == c).sum(), 1) for c in (0, 1)]
    return np.asarray(np.where(labels == 1, of_class[1], of_class[0]), dtype=np.float64)


def _slope_and_offset(
    outputs: FloatArray, labels: FloatArray, weights: FloatArray, neutral: float
) -> tuple[float, float]:
    """Logit of an output 0, which a molecule without environments has, and its slope by cross-entropy."""
    share = (weights @ labels + 1) / (weights.sum() + 2)
    offset = min(neutral, float(logit(share)))

    def loss(log_slope: float) -> float:
        z = offset + np.exp(log_slope) * outputs
        return float(weights @ (np.logaddexp(0, z) - labels * z))

    found = minimize_scalar(loss, bounds=(-2, 5), method="bounded")
    return float(np.exp(found.x)), offset


# Molecules on which the ridge is chosen: the inverse of a larger matrix takes minutes.
_SAMPLED = 1_500


def choose_weights(scores: FloatArray, labels: FloatArray, *, probability: bool) -> FloatArray | None:
    """Weights of members (n_members, n_tasks), the same for all tasks, from scores (n_members, n, n_tasks).

    Weights that are as good as the best but for one percent are averaged, since a validation part cannot tell
    them apart. None where it cannot tell anything: with fewer actives than 20, or labels that are all alike.
    """
    n_members, _, n_tasks = scores.shape
    if (labels == 1).sum() < _ENOUGH_ACTIVES and probability:
        return None
    grid = np.array([w for w in product(range(_STEPS + 1), repeat=n_members) if sum(w) == _STEPS]) / _STEPS
    quality = _ranking if probability else _fit
    figures = np.array([quality(np.einsum("mnt,m->nt", scores, weights), labels) for weights in grid])
    if not np.isfinite(figures).any():
        return None
    best = np.nanmax(figures)
    good = figures >= best - _CLOSE_ENOUGH * abs(best)
    return np.tile(grid[good].mean(axis=0)[:, None], n_tasks)


_CLOSE_ENOUGH = 0.01


def _ranking(scores: FloatArray, labels: FloatArray) -> float:
    """Mean over tasks of ROC-AUC, PR-AUC and BEDROC, a third each."""
    figures = []
    for score, label in zip(scores.T, labels.T, strict=True):
        known = ~np.isnan(label)
        if 0 < (label[known] == 1).sum() < known.sum():
            quality = ranking_quality(label[known], score[known])
            figures.append(np.mean([quality.roc_auc, quality.pr_auc, quality.bedroc]))
    return float(np.mean(figures)) if figures else float("nan")


def _fit(values: FloatArray, labels: FloatArray) -> float:
    """Mean over tasks of R2."""
    known = ~np.isnan(labels)
    figures = []
    for value, label, k in zip(values.T, labels.T, known.T, strict=True):
        if k.sum() > 1 and label[k].std() > 0:
            figures.append(1 - np.mean((value[k] - label[k]) ** 2) / label[k].var())
    return float(np.mean(figures)) if figures else float("nan")


def calibration(mean: FloatArray, labels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slope, the same for all tasks, and offset of each task (Platt 1999), from probabilities (n, n_tasks).

    The cross-entropy is smallest, while with few labels the slope is drawn to 1 and a task's offset to the
    mean offset.
    """
    n_tasks = mean.shape[1]
    known = ~np.isnan(labels)
    if not ((labels == 1).sum() >= _ENOUGH_ACTIVES and (labels == 0).any()):
        return np.ones(n_tasks), np.zeros(n_tasks)
    outputs, target = logit(np.clip(mean, 1e-6, 1 - 1e-6)), np.where(known, labels, 0.0)

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        slope, offset = np.exp(parameters[0]), parameters[1:]
        z = slope * outputs + offset
        away = (expit(z) - target) * known
        value = float(((np.logaddexp(0, z) - target * z) * known).sum())
        apart = offset - offset.mean()
        value += _SHRINKAGE * (float((apart**2).sum()) + float(parameters[0]) ** 2)
        by_offset = away.sum(axis=0) + 2 * _SHRINKAGE * (apart - apart.mean())
        by_log_slope = slope * float((away * outputs).sum()) + 2 * _SHRINKAGE * float(parameters[0])
        return value, np.concatenate([[by_log_slope], by_offset])

    found = minimize(
        loss, np.zeros(n_tasks + 1), jac=True, method="L-BFGS-B", bounds=[(-3, 3)] + [(-20, 20)] * n_tasks
    )
    return np.full(n_tasks, float(np.exp(found.x[0]))), np.asarray(found.x[1:])
