"""The training loop, to be read from top to bottom: set-up, epochs, steps, scoring, checkpoints."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from molig.committee import EnvironmentNet, Vocabulary
from molig.errors import InputError, MoligError, OutputError, UsageError
from molig.features import FeatureSchema, PackedGraphs
from molig.files import replacing
from molig.model import Objective
from molig.network import WeaveNet, collate
from molig.training.auxiliary import Auxiliary, JointSampler, first_tasks, join_tables
from molig.training.objectives import make_criterion
from molig.training.recipe import Recipe
from molig.training.sampling import EpochSampler, size_weights

FloatArray = npt.NDArray[np.float64]
OnEpoch = Callable[[dict[str, float]], None]

CHECKPOINT_FILE = "checkpoint.safetensors"
ENVIRONMENTS_CHECKPOINT = "environments-checkpoint.safetensors"
REFIT = "refit-"
"""Before the names of checkpoints of members that are trained again on all but the test part."""
CHECKPOINTS = tuple(
    stage + name for stage in ("", REFIT) for name in (CHECKPOINT_FILE, ENVIRONMENTS_CHECKPOINT)
)

_MOST_JUDGED = 5_000
"""Inactive validation molecules scored after every epoch; more would hardly sharpen the figure."""


@dataclass(frozen=True)
class Part:
    """Molecules of one part of the split, with labels of shape (n_mols, n_tasks)."""

    graphs: PackedGraphs
    labels: FloatArray


@dataclass(frozen=True)
class TrainingRun:
    """What networks are trained on, and how."""

    recipe: Recipe
    schema: FeatureSchema
    tasks: tuple[str, ...]
    train: Part
    validation: Part  # chooses the best epoch
    device: torch.device
    fingerprint: str  # digest of data and recipe, which a checkpoint must share
    auxiliaries: Sequence[Auxiliary] = ()  # co-trained, but neither scored nor part of a finished network


class RunState(BaseModel):
    """Where a run stands after an epoch; the checkpoint holds it."""

    # Scores may be NaN or infinite; without this they would be written as null.
    model_config = ConfigDict(ser_json_inf_nan="constants")

    fingerprint: str  # digest of data and recipe
    epoch: int = 0
    best_epoch: int = 0
    best_score: float = float("-inf")  # median ROC-AUC or R2
    history: list[dict[str, float]] = []


Network = WeaveNet | EnvironmentNet


class Trainer:
    """Fits a network of a run to its labelled molecules; `fit` is the loop.

    With a `vocabulary` the network is the one that reads environments. `start` has weights to begin with, by
    the names of the network's.
    """

    def __init__(
        self,
        run: TrainingRun,
        *,
        vocabulary: Vocabulary | None = None,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        recipe, train, auxiliaries = run.recipe, run.train, run.auxiliaries
        self.recipe, self.schema, self.tasks, self.device = recipe, run.schema, run.tasks, run.device
        self.state = RunState(fingerprint=run.fingerprint)
        options = recipe.optimization

        # Molecules and labels, the auxiliary tables behind the main one.
        self.validation = _judged_part(run.validation, recipe)
        self.auxiliaries = tuple(auxiliaries)
        self.joined = Part(*join_tables(train.graphs, train.labels, auxiliaries)) if auxiliaries else train
        all_tasks = (*run.tasks, *(f"{a.recipe.name}: {task}" for a in auxiliaries for task in a.tasks))
        self.sampler = JointSampler(EpochSampler(train.labels, options.inactives_per_epoch), auxiliaries)
        if self.sampler.size < 2:
            raise InputError(f"{self.sampler.size} molecules to train on are too few; the least is 2")
        self.steps_per_epoch = max(1, self.sampler.size // options.batch_size)
        self.copy_weights = size_weights(self.joined.graphs.atom_counts)

        # The network.
        torch.manual_seed(options.seed)
        self.network = self._fresh(len(all_tasks), vocabulary).to(run.device)
        self.network.load_state_dict(self.network.state_dict() | dict(start or {}))
        self.average = WeightAverage(self.network, options.weight_average) if options.weight_average else None
        self.best = self._snapshot()

        # What it is trained for, and how.
        self.criterion = make_criterion(recipe, self.joined.labels, all_tasks, run.device, self.sampler.seen)
        self.encoded_labels = self.criterion.encode(self.joined.labels)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            fused=True,
        )
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            options.learning_rate,
            total_steps=options.epochs * self.steps_per_epoch + 1,
            pct_start=options.warm_up,
        )

    def _fresh(self, n_outputs: int, vocabulary: Vocabulary | None) -> Network:
        if vocabulary is not None:
            options = self.recipe.environments
            return EnvironmentNet(vocabulary, options.hidden, n_outputs, options.dropout)
        schema, config = self.schema, self.recipe.network
        network = WeaveNet(config, schema.n_atom_columns, schema.n_pair_columns, n_outputs)
        network.spread_states()
        # The table covers [-1, 1], where tanh ends; batch normalisation of the atoms goes beyond.
        network.readout.tabulated = not config.atom_batch_norm
        return network

    def fit(self, checkpoint: Path | None = None, on_epoch: OnEpoch | None = None) -> Network:
        """Train until the last epoch, or until validation no longer improves; returns the best weights.

        Every epoch ends with a checkpoint, where a file is given, and a call with its history entry.
        """
        state, options = self.state, self.recipe.optimization
        while state.epoch < options.epochs and state.epoch - state.best_epoch < options.patience:
            loss, neutral = self.run_epoch()
            self._judge_epoch(loss, neutral)
            if checkpoint:
                self._save(checkpoint)
            if on_epoch:
                on_epoch(state.history[-1])
        self.network.load_state_dict(self.best)
        return self.network.eval()

    def run_epoch(self) -> tuple[float, float]:
        """Go once through the training molecules; mean loss and mean neutral term of the steps."""
        # A seed per epoch makes a resumed run identical to one that was never interrupted.
        rng = np.random.default_rng([self.recipe.optimization.seed, self.state.epoch])
        torch.manual_seed(int(rng.integers(2**31)))
        self.network.train()
        order = self.sampler.draw(rng)
        size = self.recipe.optimization.batch_size
        totals = np.zeros(2)
        for step in range(self.steps_per_epoch):
            # The last, incomplete batch is left out: its molecules come in another order next time.
            totals += self._step(order[step * size : (step + 1) * size], rng)
        loss, neutral = totals / self.steps_per_epoch
        if not math.isfinite(loss):
            raise MoligError(
                f"the loss became {loss} in epoch {self.state.epoch + 1}; "
                "lower optimization.learning_rate in the recipe"
            )
        return float(loss), float(neutral)

    def _step(self, molecules: npt.NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
        """One update of the weights; its loss and neutral term."""
        labels = torch.from_numpy(self.encoded_labels[molecules]).to(self.device, torch.float32)
        outputs = self._outputs(self.network, self.joined.graphs.select(molecules))
        loss = self.criterion.loss(outputs, labels)
        n_copies = min(self.recipe.neutral.copies, len(self.copy_weights))
        neutral = self._neutral_term(rng.choice(len(self.copy_weights), n_copies, p=self.copy_weights))
        self.optimizer.zero_grad()
        (loss + neutral).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimization.gradient_clip)
        self.optimizer.step()
        self.scheduler.step()
        if self.average:
            self.average.update(self.network, self.scheduler.last_epoch)
        return np.array([loss.item(), neutral.item()])

    def _neutral_term(self, molecules: npt.NDArray[np.int64]) -> Tensor:
        """Draw the outputs of zero-feature copies to the target."""
        options = self.recipe.neutral
        if not len(molecules) or not options.weight:
            return torch.zeros((), device=self.device)
        graphs = self.joined.graphs.select(molecules)
        # Without dropout and batch statistics: the baseline is to be neutral for the finished network.
        self.network.eval()
        outputs = self._outputs(self.network, graphs, at_zero=True)
        distance = (outputs - self.criterion.neutral).square().mean()
        self.network.train()
        term: Tensor = options.weight * distance
        return term

    def _judge_epoch(self, loss: float, neutral: float) -> None:
        """Score the validation part, and keep the weights if they are the best so far."""
        state = self.state
        state.epoch += 1
        scores = self.scores(self.validation.graphs)
        quality = self.criterion.quality(self.validation.labels, scores, self.tasks)
        # Where no validation task has two different labels there is nothing to choose by: keep the last.
        if self.recipe.optimization.keep == "last" or math.isnan(quality) or quality > state.best_score:
            state.best_score = quality if not math.isnan(quality) else state.best_score
            state.best_epoch = state.epoch
            self.best = self._snapshot()
        entry = {"epoch": state.epoch, "loss": loss, "neutral": neutral}
        state.history.append(entry | {f"validation_{self.criterion.name}": quality})

    def scores(self, graphs: PackedGraphs, batch_size: int = 256) -> FloatArray:
        """Outputs for molecules with the current weights, shape (n_mols, n_tasks)."""
        network = self.judged.eval()
        parts = []
        with torch.inference_mode():
            for start in range(0, len(graphs), batch_size):
                chosen = np.arange(start, min(start + batch_size, len(graphs)))
                outputs = self._outputs(network, graphs.select(chosen))
                parts.append(outputs[:, : len(self.tasks)].double().cpu().numpy())
        return np.concatenate(parts)

    def _outputs(self, network: Network, graphs: PackedGraphs, *, at_zero: bool = False) -> Tensor:
        """Outputs for molecules, or for their zero-feature copies."""
        if isinstance(network, EnvironmentNet):
            columns, starts, values = network.inputs(network.vocabulary.count(graphs))
            of_counts: Tensor = network(columns, starts, 0 * values if at_zero else values)
            return of_counts
        scales = np.zeros(len(graphs), dtype=np.float32) if at_zero else None
        outputs: Tensor = network(collate(graphs, self.schema, scales).to(self.device))
        return outputs

    @property
    def judged(self) -> Network:
        """The network that is scored and kept: the average, if there is one."""
        return self.average.network if self.average else self.network

    def finished_network(self) -> WeaveNet:
        """The fitted network of the main tasks; it puts out logits, or values in the labels' unit."""
        if isinstance(self.network, EnvironmentNet):
            raise TypeError("this network reads environments: see finished_environments")
        return self.criterion.finished(first_tasks(self.network, len(self.tasks))).eval()

    def finished_environments(self) -> EnvironmentNet:
        """The same of the network that reads environments, with its batch normalisation folded in."""
        if isinstance(self.network, WeaveNet):
            raise TypeError("this network reads atoms and pairs: see finished_network")
        return self.criterion.finished(first_tasks(self.network, len(self.tasks))).folded()

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint; see `load_checkpoint` for the errors."""
        self.state, self.best = load_checkpoint(
            path, self.state.fingerprint, self._networks(), self.optimizer, self.scheduler
        )

    def _save(self, path: Path) -> None:
        save_checkpoint(
            path,
            self.state,
            networks=self._networks(),
            best=self.best,
            optimizer=self.optimizer,
            scheduler=self.scheduler,
        )

    def _networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"network": self.network}
        return networks | ({"average": self.average.network} if self.average else {})

    def _snapshot(self) -> dict[str, Tensor]:
        return {k: v.detach().clone() for k, v in self.judged.state_dict().items()}


def _judged_part(validation: Part, recipe: Recipe) -> Part:
    """The validation molecules scored after every epoch: all actives, and not too many others."""
    if recipe.objective is Objective.REGRESSION or len(validation.labels) <= _MOST_JUDGED:
        return validation
    chosen = EpochSampler(validation.labels, _MOST_JUDGED).draw(np.random.default_rng(0))
    return Part(validation.graphs.select(chosen), validation.labels[chosen])


class WeightAverage:
    """Moving average of a network's weights and running statistics; scores better than the last step.

    It looks back over about 1 / (1 - decay) steps, and over fewer at the start.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay

    def update(self, network: Network, step: int) -> None:
        """Take the weights after a step, counted from 1, into the average."""
        # Without the warm-up the random weights of the beginning would stay in the average for long.
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        average, current = _floating(self.network), _floating(network)
        torch._foreach_lerp_(average, current, share)


def _floating(network: Network) -> list[Tensor]:
    return [t.detach() for t in network.state_dict().values() if t.is_floating_point()]


def save_checkpoint(
    path: Path,
    run: RunState,
    *,
    networks: Mapping[str, nn.Module],
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    """Write the state of a run as one safetensors file (no pickle), which is replaced as a whole."""
    state = optimizer.state_dict()
    tensors = {f"{name}/{k}": v for name, net in networks.items() for k, v in net.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in best.items()}
    for index, moments in state["state"].items():
        tensors |= {f"optimizer/{index}/{k}": v for k, v in moments.items()}
    metadata = {
        "progress": run.model_dump_json(),
        "groups": json.dumps(state["param_groups"]),
        "scheduler": json.dumps(scheduler.state_dict()),
    }
    try:
        with replacing(path) as temporary:
            save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, temporary, metadata)
    except (OSError, SafetensorError) as err:
        raise OutputError(f"cannot write the checkpoint {path}: {err}") from err


def load_checkpoint(
    path: Path,
    fingerprint: str,
    networks: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[RunState, dict[str, Tensor]]:
    """Bring networks, optimizer and scheduler to a saved state; returns the run and its best weights.

    Raises InputError if the file is damaged, UsageError if it belongs to other data or another recipe.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        run = RunState.model_validate_json(metadata["progress"])
        groups, schedule = json.loads(metadata["groups"]), json.loads(metadata["scheduler"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as err:
        raise InputError(f"the checkpoint {path} is damaged: {err}; delete it to start again") from err
    if run.fingerprint != fingerprint:
        raise UsageError(
            f"the checkpoint {path} belongs to other data or another recipe; "
            "use the same ones, or delete it to start again"
        )
    for name, network in networks.items():
        network.load_state_dict(_under(f"{name}/", tensors))
    moments: dict[int, dict[str, Any]] = {}
    for key, value in _under("optimizer/", tensors).items():
        index, name = key.split("/", 1)
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    scheduler.load_state_dict(schedule)
    return run, _under("best/", tensors)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
