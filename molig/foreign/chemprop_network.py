"""The networks of Chemprop v2, built from a checkpoint: messages along bonds, a readout, and a head.

As published by Yang et al. 2019 (10.1021/acs.jcim.9b00237) and Heid et al. 2024
(10.1021/acs.jcim.3c01250). The state of a directed bond starts from its atom and its bond, so both products
with W_i are taken once per atom and once per bond; a message between atoms is the same for all bonds that
leave an atom, so it is kept per atom. What repeats between molecules is computed once (`chemprop_batch`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid, softplus

from molig.errors import ModelFormatError
from molig.foreign.checkpoint import Checkpoint, Held, Name, StoredTensor, shown
from molig.foreign.chemprop_batch import MessageBatch, Passing

# Reading.


class Head(StrEnum):
    """What the last layer means; the values are Chemprop's names of the task types."""

    CLASSIFICATION = "classification"
    CLASSIFICATION_DIRICHLET = "classification-dirichlet"
    MULTICLASS = "multiclass"
    MULTICLASS_DIRICHLET = "multiclass-dirichlet"
    REGRESSION = "regression"
    REGRESSION_MVE = "regression-mve"
    REGRESSION_EVIDENTIAL = "regression-evidential"
    REGRESSION_QUANTILE = "regression-quantile"
    SPECTRAL = "spectral"

    @property
    def classifies(self) -> bool:
        """Whether the predictions are probabilities."""
        return self.value.startswith(("classification", "multiclass"))

    @property
    def outputs_per_task(self) -> int:
        """Outputs of the last layer for each task (for multiclass: and class)."""
        return _OUTPUTS_PER_TASK.get(self, 1)


_OUTPUTS_PER_TASK = {
    Head.CLASSIFICATION_DIRICHLET: 2,
    Head.REGRESSION_MVE: 2,
    Head.REGRESSION_EVIDENTIAL: 4,
    Head.REGRESSION_QUANTILE: 2,
}
_HEADS = {
    "BinaryClassificationFFN": Head.CLASSIFICATION,
    "BinaryDirichletFFN": Head.CLASSIFICATION_DIRICHLET,
    "MulticlassClassificationFFN": Head.MULTICLASS,
    "MulticlassDirichletFFN": Head.MULTICLASS_DIRICHLET,
    "RegressionFFN": Head.REGRESSION,
    "MveFFN": Head.REGRESSION_MVE,
    "EvidentialFFN": Head.REGRESSION_EVIDENTIAL,
    "QuantileFFN": Head.REGRESSION_QUANTILE,
    "SpectralFFN": Head.SPECTRAL,
}
_AGGREGATIONS = {
    "MeanAggregation": "mean",
    "SumAggregation": "sum",
    "NormAggregation": "norm",
    "AttentiveAggregation": "attentive",
}
# The settings of each activation, by the names that torch gives to its attributes.
_ACTIVATIONS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "ReLU": (nn.ReLU, ()),
    "ReLU6": (nn.ReLU6, ()),
    "LeakyReLU": (nn.LeakyReLU, ("negative_slope",)),
    "PReLU": (nn.PReLU, ()),
    "Tanh": (nn.Tanh, ()),
    "Sigmoid": (nn.Sigmoid, ()),
    "ELU": (nn.ELU, ("alpha",)),
    "CELU": (nn.CELU, ("alpha",)),
    "SELU": (nn.SELU, ()),
    "GELU": (nn.GELU, ("approximate",)),
    "SiLU": (nn.SiLU, ()),
    "Mish": (nn.Mish, ()),
    "Softplus": (nn.Softplus, ("beta", "threshold")),
    "Softsign": (nn.Softsign, ()),
    "Hardtanh": (nn.Hardtanh, ("min_val", "max_val")),
    "Hardswish": (nn.Hardswish, ()),
    "Hardsigmoid": (nn.Hardsigmoid, ()),
    "Identity": (nn.Identity, ()),
}
_NAMED_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leakyrelu": lambda: nn.LeakyReLU(0.1),
    "prelu": nn.PReLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "selu": nn.SELU,
}
_LARGEST_SETTING = 1000
_UNUSED = re.compile(r"(metrics|predictor\.criterion)\..*|.*\.num_batches_tracked")


@dataclass(frozen=True)
class Sizes:
    """Columns that a network reads."""

    atom: int
    bond: int
    atom_descriptors: int
    descriptors: int
    hidden: int


class Descriptors(NamedTuple):
    """Numbers that a network reads beside the graph, already in the order of the batch."""

    molecule: Tensor | None = None
    atom: Tensor | None = None


_NONE = Descriptors()


class _Weights:
    """The tensors of a checkpoint, each taken once and in the shape that the architecture needs."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        stored = checkpoint.content.get("state_dict")
        if not isinstance(stored, dict) or not stored:
            raise checkpoint.wrong("it holds no weights (state_dict)")
        for name, tensor in stored.items():
            if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
                raise checkpoint.wrong(f"the weight {shown(name)} is no tensor")
        self._stored: dict[str, StoredTensor] = stored
        self._left = {name for name in stored if not _UNUSED.fullmatch(name)}

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return name in self._stored

    def shape(self, name: str, n_axes: int) -> tuple[int, ...]:
        """Shape of a tensor that must be there."""
        if name not in self._stored:
            raise self.checkpoint.wrong(f"the weight {name} is missing")
        shape = self._stored[name].shape
        if len(shape) != n_axes or 0 in shape:
            raise self.checkpoint.wrong(f"the weight {name} has the shape {shape}, not {n_axes} axes")
        return shape

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor of finite numbers."""
        found = self.shape(name, len(shape))
        if found != shape:
            raise self.checkpoint.wrong(f"the weight {name} has the shape {found}; {shape} is needed")
        values = self._stored[name].array()
        if values.dtype.kind != "f":
            raise self.checkpoint.wrong(f"the weight {name} holds {values.dtype}, not floating-point numbers")
        kept = np.array(values, dtype=np.float32, order="C")  # Chemprop computes in single precision
        if not np.isfinite(kept).all():
            raise self.checkpoint.wrong(
                f"the weight {name} holds NaN or infinite numbers: training diverged; train the model again"
            )
        self._left.discard(name)
        return torch.from_numpy(kept)

    def linear(self, name: str, n_in: int, n_out: int, bias: bool | None = True) -> nn.Linear:
        """A linear layer; ``bias`` None means: if there is one."""
        with_bias = self.has(f"{name}.bias") if bias is None else bias
        layer = nn.Linear(n_in, n_out, bias=with_bias)
        layer.weight = nn.Parameter(self.take(f"{name}.weight", (n_out, n_in)))
        if with_bias:
            layer.bias = nn.Parameter(self.take(f"{name}.bias", (n_out,)))
        return layer

    def scaling(self, name: str, width: int) -> Scaling | None:
        """Mean and scale of a transform, if there is one."""
        if not self.has(f"{name}.mean"):
            return None
        mean, scale = self.take(f"{name}.mean", (1, width)), self.take(f"{name}.scale", (1, width))
        return Scaling(mean, scale)

    def check_all_taken(self) -> None:
        """Refuse a checkpoint with weights that the architecture does not have."""
        if self._left:
            listed = ", ".join(sorted(self._left)[:5])
            raise self.checkpoint.wrong(f"it has weights that its architecture has no place for: {listed}")


class _Settings:
    """Hyperparameters of one part of the model, each checked for its type."""

    def __init__(self, checkpoint: Checkpoint, part: str) -> None:
        self._checkpoint, self._part = checkpoint, part
        settings = checkpoint.content.get("hyper_parameters")
        found = settings.get(part) if isinstance(settings, dict) else None
        if not isinstance(found, dict):
            raise checkpoint.wrong(f"its hyper_parameters do not describe the {part}")
        self.values: dict[str, Any] = found

    @property
    def cls(self) -> str:
        """Name of the class, without its module."""
        found = self.values.get("cls")
        if not isinstance(found, Name):
            raise self._checkpoint.wrong(f"its hyper_parameters do not name the class of the {self._part}")
        return found.full.rpartition(".")[2]

    def chosen(self, table: dict[str, Any]) -> Any:
        """What a table has for the class."""
        if self.cls not in table:
            raise self._checkpoint.wrong(
                f"its {self._part} is a {self.cls}, which molig cannot compute; it knows {', '.join(table)}"
            )
        return table[self.cls]

    def integer(self, name: str, lowest: int) -> int:
        """A whole number."""
        value = self.values.get(name)
        if type(value) is not int or not lowest <= value <= _LARGEST_SETTING:
            raise self._checkpoint.wrong(
                f"{self._part}.{name} must be a whole number from {lowest} to {_LARGEST_SETTING} "
                f"(got {shown(value)})"
            )
        return value

    def number(self, name: str, default: float) -> float:
        """A number that something is divided by."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value or math.isnan(value):
            raise self._checkpoint.wrong(f"{self._part}.{name} must be a number (got {shown(value)})")
        return float(value)

    def activation(self) -> nn.Module:
        """The activation function, by name or as the object that was given."""
        value = self.values.get("activation", "relu")
        if isinstance(value, Held) and value.name.endswith(".Activation") and value.arguments:
            value = value.arguments[0]
        if isinstance(value, str) and value.lower() in _NAMED_ACTIVATIONS:
            return _NAMED_ACTIVATIONS[value.lower()]()
        name = value.name.rpartition(".")[2] if isinstance(value, Held) else shown(value)
        if not isinstance(value, Held) or name not in _ACTIVATIONS:
            raise self._checkpoint.wrong(
                f"the activation {name} is not known here; {', '.join(_ACTIVATIONS)} are"
            )
        kind, attributes = _ACTIVATIONS[name]
        state = value.state if isinstance(value.state, dict) else {}
        given = {key: state[key] for key in attributes if key in state}
        if not all(isinstance(setting, int | float | str) for setting in given.values()):
            raise self._checkpoint.wrong(f"the activation {name} has settings that are no numbers")
        try:
            made = kind(**given)
        except (TypeError, ValueError, RuntimeError) as err:
            raise self._checkpoint.wrong(f"the activation {name} cannot be made: {err}") from err
        made.overwrites = state.get("inplace") is True  # type: ignore[assignment]
        return made


# Parts of a network.


class Scaling(nn.Module):
    """Mean and scale of inputs, or of outputs."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def standardize(self, values: Tensor) -> Tensor:
        """To mean 0 and scale 1."""
        return (values - self.mean) / self.scale

    def restore(self, values: Tensor) -> Tensor:
        """Back to the unit of the labels."""
        return values * self.scale + self.mean


class MessagePassing(nn.Module):
    """States of atoms, from messages along bonds or between atoms."""

    def __init__(self, weights: _Weights) -> None:
        super().__init__()
        checkpoint = weights.checkpoint
        settings = _Settings(checkpoint, "message_passing")
        self.along_bonds = settings.chosen({"BondMessagePassing": True, "AtomMessagePassing": False})
        self.depth = settings.integer("depth", 1)
        self.undirected = settings.values.get("undirected") is True
        prefix = "message_passing."
        hidden, n_in = weights.shape(f"{prefix}W_i.weight", 2)
        n_atom = weights.shape(f"{prefix}W_o.weight", 2)[1] - hidden
        n_bond = n_in - n_atom if self.along_bonds else weights.shape(f"{prefix}W_h.weight", 2)[1] - hidden
        if n_atom < 1 or n_bond < 1 or (not self.along_bonds and n_in != n_atom):
            raise checkpoint.wrong("the shapes of W_i, W_h and W_o do not fit together")
        n_message = hidden if self.along_bonds else hidden + n_bond
        self.start = weights.linear(f"{prefix}W_i", n_in, hidden, bias=None)
        self.step = weights.linear(f"{prefix}W_h", n_message, hidden, bias=None)
        self.finish = weights.linear(f"{prefix}W_o", n_atom + hidden, hidden)
        self.descriptors: nn.Linear | None = None
        n_more = 0
        if weights.has(f"{prefix}W_d.weight"):
            width = weights.shape(f"{prefix}W_d.weight", 2)[0]
            n_more = width - hidden
            self.descriptors = weights.linear(f"{prefix}W_d", width, width)
        self.sizes = Sizes(n_atom, n_bond, n_more, 0, hidden)
        self.activation = settings.activation()
        _fill(self.activation, weights, f"{prefix}tau.weight")
        self.scale_atoms = weights.scaling(f"{prefix}graph_transform.V_transform", n_atom)
        self.scale_bonds = weights.scaling(f"{prefix}graph_transform.E_transform", n_bond)
        self.scale_descriptors = weights.scaling(f"{prefix}V_d_transform", n_more)

    @property
    def width(self) -> int:
        """Width of an atom's state."""
        return self.sizes.hidden + self.sizes.atom_descriptors

    @property
    def passing(self) -> Passing:
        """What a batch for this network depends on."""
        return Passing(self.depth, self.along_bonds, self.undirected)

    def input_weights(self) -> dict[str, list[Tensor]]:
        """Weights that read features of atoms, and of bonds: shapes (any, n columns)."""
        n_atom = self.sizes.atom
        bonds = (
            self.start.weight[:, n_atom:] if self.along_bonds else self.step.weight[:, self.sizes.hidden :]
        )
        read = {"atom": [self.start.weight[:, :n_atom], self.finish.weight[:, :n_atom]], "pair": [bonds]}
        for level, scale in (("atom", self.scale_atoms), ("pair", self.scale_bonds)):
            if scale:
                read[level] = [weight / scale.scale for weight in read[level]]
        return read

    def forward(self, batch: MessageBatch, descriptors: Tensor | None = None) -> Tensor:
        """States of atoms, shape (n_atoms, width)."""
        *_, last = self.inputs_of_activations(batch)
        states: Tensor = self.activation(last)[batch.of_atoms]
        if self.descriptors is None or descriptors is None:
            return states
        more = self.scale_descriptors.standardize(descriptors) if self.scale_descriptors else descriptors
        joined: Tensor = self.descriptors(torch.cat([states, more], dim=1))
        return joined

    def inputs_of_activations(self, batch: MessageBatch) -> Iterator[Tensor]:
        """What the activation is applied to: in the first states, in those of every step, in atoms."""
        atoms = self.scale_atoms.standardize(batch.atom_inputs) if self.scale_atoms else batch.atom_inputs
        bonds = self.scale_bonds.standardize(batch.bond_inputs) if self.scale_bonds else batch.bond_inputs
        state = torch.empty(0)
        for inputs in (self._along_bonds if self.along_bonds else self._between_atoms)(atoms, bonds, batch):
            yield inputs
            state = inputs
        state = self.activation(state)
        message = batch.last.summed(state[batch.last.rows])
        from_atoms, from_messages = _parted(self.finish, self.sizes.atom)
        own = linear(atoms, from_atoms, self.finish.bias)
        yield own[batch.last.start] + message @ from_messages.T

    def _along_bonds(self, atoms: Tensor, bonds: Tensor, batch: MessageBatch) -> Iterator[Tensor]:
        from_atoms, from_bonds = _parted(self.start, self.sizes.atom)
        of_bonds = linear(bonds, from_bonds, self.start.bias)
        now = (atoms @ from_atoms.T)[batch.first_atom] + of_bonds[batch.first_bond]
        first = self._added(now)
        yield now
        for step in batch.steps:
            state = self.activation(now)
            arriving = state[step.rows]
            if self.undirected:
                arriving = (arriving + state[step.more]) / 2
            now = first[step.start] + self.step(step.summed(arriving))
            yield now

    def _between_atoms(self, atoms: Tensor, bonds: Tensor, batch: MessageBatch) -> Iterator[Tensor]:
        now = self.start(atoms)
        first = self._added(now)
        yield now
        from_states, from_bonds = _parted(self.step, self.sizes.hidden)
        of_bonds = bonds @ from_bonds.T
        for step in batch.steps:
            state = self.activation(now)
            arriving = state[step.rows]
            if self.undirected:
                arriving = (arriving + state[step.before][step.owners]) / 2
            sent = linear(step.summed(arriving), from_states, self.step.bias)
            now = first[step.start] + sent + step.summed(of_bonds[step.more])
            yield now

    @property
    def overwrites(self) -> bool:
        """Whether the activation works in place, so that later steps add the first states after it."""
        return bool(getattr(self.activation, "overwrites", False))

    def _added(self, first: Tensor) -> Tensor:
        """What every later step adds."""
        return self.activation(first) if self.overwrites else first


def _parted(layer: nn.Linear, n_first: int) -> tuple[Tensor, Tensor]:
    """Weights of the first inputs of a layer, and of the others."""
    return layer.weight[:, :n_first], layer.weight[:, n_first:]


def _summed(values: Tensor, target: Tensor, n_rows: int) -> Tensor:
    return values.new_zeros(n_rows, values.shape[1]).index_add(0, target, values)


def _fill(activation: nn.Module, weights: _Weights, name: str) -> None:
    """Give a PReLU its slopes."""
    if isinstance(activation, nn.PReLU):
        (n_slopes,) = weights.shape(name, 1)
        activation.weight = nn.Parameter(weights.take(name, (n_slopes,)))


class Aggregation(nn.Module):
    """From the states of atoms to one of their molecule."""

    def __init__(self, weights: _Weights, width: int) -> None:
        super().__init__()
        settings = _Settings(weights.checkpoint, "agg")
        self.kind: str = settings.chosen(_AGGREGATIONS)
        self.norm = settings.number("norm", 100.0) if self.kind == "norm" else 1.0
        self.attention = weights.linear("agg.W", width, 1) if self.kind == "attentive" else None

    def forward(self, states: Tensor, counts: Tensor) -> Tensor:
        """Reduce ``states``, shape (n_atoms, width), of molecules with ``counts`` atoms each."""
        n_mols = len(counts)
        molecule = torch.repeat_interleave(torch.arange(n_mols, device=counts.device), counts)
        if self.attention is not None:
            score = self.attention(states)
            highest = score.detach().new_full((n_mols, 1), -torch.inf)
            highest = highest.scatter_reduce(0, molecule[:, None], score.detach(), "amax")
            share = (score - highest[molecule]).exp()
            states = states * (share / _summed(share, molecule, n_mols)[molecule])
        total = _summed(states, molecule, n_mols)
        return total / (counts[:, None].to(total.dtype) if self.kind == "mean" else self.norm)


class Predictor(nn.Module):
    """Linear layers, then what makes predictions of their outputs."""

    def __init__(self, weights: _Weights) -> None:
        super().__init__()
        settings = _Settings(weights.checkpoint, "predictor")
        self.head: Head = settings.chosen(_HEADS)
        layers: list[nn.Linear] = []
        while weights.has(name := f"predictor.ffn.{len(layers)}.{2 if layers else 0}.weight"):
            n_out, n_in = weights.shape(name, 2)
            layers.append(weights.linear(name.removesuffix(".weight"), n_in, n_out))
        self._n_inputs = weights.shape("predictor.ffn.0.0.weight", 2)[1]
        self.layers = nn.ModuleList(layers)
        self.activations = nn.ModuleList([settings.activation() for _ in layers[1:]])
        for number, activation in enumerate(self.activations, start=1):
            _fill(activation, weights, f"predictor.ffn.{number}.0.weight")
        self.n_classes = settings.integer("n_classes", 2) if self.head.value.startswith("multiclass") else 1
        self.exponential = settings.values.get("spectral_activation") == "exp"
        n_outputs = layers[-1].out_features
        per_task = self.n_classes * self.head.outputs_per_task
        if n_outputs % per_task:
            raise weights.checkpoint.wrong(
                f"its head has {n_outputs} outputs, which is no multiple of {per_task} for {self.head.value}"
            )
        self.n_tasks = n_outputs // per_task
        regression = self.head.value.startswith("regression")
        self.unscale = weights.scaling("predictor.output_transform", self.n_tasks) if regression else None

    @property
    def n_inputs(self) -> int:
        """Width of what the first layer reads."""
        return self._n_inputs

    def forward(self, fingerprint: Tensor) -> Tensor:
        """Outputs of the last layer."""
        hidden: Tensor = self.layers[0](fingerprint)
        for activation, layer in zip(self.activations, self.layers[1:], strict=True):
            hidden = layer(activation(hidden))
        return hidden

    def predictions(self, outputs: Tensor) -> Tensor:
        """Predictions of outputs: shape (n_mols, n_tasks), for multiclass (n_mols, n_tasks, n_classes)."""
        head = self.head
        if head is Head.CLASSIFICATION:
            return outputs.sigmoid()
        if head is Head.CLASSIFICATION_DIRICHLET:
            evidence: Tensor = softplus(outputs.reshape(len(outputs), -1, 2)) + 1
            return evidence[..., 1] / evidence.sum(-1)
        if head is Head.MULTICLASS:
            return outputs.reshape(len(outputs), -1, self.n_classes).softmax(-1)
        if head is Head.MULTICLASS_DIRICHLET:
            evidence = softplus(outputs.reshape(len(outputs), -1, self.n_classes)) + 1
            return evidence / evidence.sum(-1, keepdim=True)
        if head is Head.SPECTRAL:
            # Chemprop applies the last activation as part of the layers and once more behind them.
            for _ in range(2):
                outputs = outputs.exp() if self.exponential else softplus(outputs)
            return outputs / outputs.sum(1, keepdim=True)
        parts = outputs.chunk(head.outputs_per_task, 1)
        if self.unscale is not None:
            parts = tuple(self.unscale.restore(part) for part in parts[:2])
        return (parts[0] + parts[1]) / 2 if head is Head.REGRESSION_QUANTILE else parts[0]

    def log_shares(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of probabilities and of their complements, each of shape (n_mols, n_columns)."""
        if self.head is Head.CLASSIFICATION:
            return logsigmoid(outputs), logsigmoid(-outputs)
        if self.head is Head.CLASSIFICATION_DIRICHLET:
            evidence = (softplus(outputs.reshape(len(outputs), -1, 2)) + 1).log()
        else:
            evidence = outputs.reshape(len(outputs), -1, self.n_classes)
            if self.head is Head.MULTICLASS_DIRICHLET:
                evidence = (softplus(evidence) + 1).log()
        whole = evidence.logsumexp(-1, keepdim=True)
        itself = torch.eye(evidence.shape[-1], dtype=torch.bool, device=outputs.device)
        others = evidence.unsqueeze(-2).masked_fill(itself, -torch.inf).logsumexp(-1)
        found = evidence - whole, others - whole
        if self.head is Head.CLASSIFICATION_DIRICHLET:
            return found[0][..., 1], found[1][..., 1]
        return found[0].flatten(1), found[1].flatten(1)


class ChempropNetwork(nn.Module):
    """One network of Chemprop v2, with its weights, for scoring.

    Parameters
    ----------
    checkpoint : Checkpoint
        A file that was read.

    Raises
    ------
    ModelFormatError
        If it is no Chemprop v2 model for one molecule, or its weights do not fit what it says it is.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        check_kind(checkpoint)
        weights = _Weights(checkpoint)
        self.message_passing = MessagePassing(weights)
        width = self.message_passing.width
        self.aggregation = Aggregation(weights, width)
        self.norm = _batch_norm(weights, width) if weights.has("bn.weight") else None
        self.predictor = Predictor(weights)
        n_descriptors = self.predictor.n_inputs - width
        if n_descriptors < 0:
            raise checkpoint.wrong(
                f"its head reads {self.predictor.n_inputs} numbers, but the molecule has {width}"
            )
        self.scale_descriptors = weights.scaling("X_d_transform", n_descriptors)
        s = self.message_passing.sizes
        self.sizes = Sizes(s.atom, s.bond, s.atom_descriptors, n_descriptors, s.hidden)
        weights.check_all_taken()
        self.eval().requires_grad_(False)

    def forward(self, batch: MessageBatch, descriptors: Descriptors = _NONE) -> Tensor:
        """Outputs of the last layer, shape (n_mols, n_outputs)."""
        states = self.message_passing(batch, descriptors.atom)
        molecules = self.aggregation(states, batch.atom_counts)
        if self.norm is not None:
            molecules = self.norm(molecules)
        if descriptors.molecule is not None:
            scale = self.scale_descriptors
            more = scale.standardize(descriptors.molecule) if scale else descriptors.molecule
            molecules = torch.cat([molecules, more], dim=1)
        outputs: Tensor = self.predictor(molecules)
        return outputs

    def describe(self) -> str:
        """All settings that scores depend on beside the weights, in a text of no set form."""
        passing, aggregation, predictor = self.message_passing.passing, self.aggregation, self.predictor
        kind = aggregation.kind, aggregation.norm
        return repr((self, passing, kind, predictor.head, predictor.n_classes, predictor.exponential))

    def predict(self, batch: MessageBatch, descriptors: Descriptors = _NONE) -> Tensor:
        """Probabilities or values, shape (n_mols, n_tasks), for multiclass (n_mols, n_tasks, n_classes)."""
        return self.predictor.predictions(self(batch, descriptors))


def _batch_norm(weights: _Weights, width: int) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(width)
    norm.weight = nn.Parameter(weights.take("bn.weight", (width,)))
    norm.bias = nn.Parameter(weights.take("bn.bias", (width,)))
    norm.running_mean = weights.take("bn.running_mean", (width,))
    norm.running_var = weights.take("bn.running_var", (width,))
    if (norm.running_var < 0).any():
        raise weights.checkpoint.wrong("the weight bn.running_var holds a negative variance")
    return norm


def check_kind(checkpoint: Checkpoint) -> None:
    """Refuse a file that is no Chemprop v2 model of one molecule, with what can be done."""
    content = checkpoint.content
    if "args" in content and "hyper_parameters" not in content:
        raise checkpoint.wrong(
            "this is a model of Chemprop v1; convert it with `chemprop convert --conversion v1_to_v2 "
            f"-i {checkpoint.path} -o {checkpoint.path.stem}_v2.pt` and give the new file"
        )
    settings = content.get("hyper_parameters")
    if not isinstance(settings, dict) or "state_dict" not in content:
        raise checkpoint.wrong("this is no model of Chemprop v2: it has no hyper_parameters and state_dict")
    passing = settings.get("message_passing")
    name = passing.get("cls") if isinstance(passing, dict) else None
    kind = name.full.rpartition(".")[2] if isinstance(name, Name) else ""
    if kind == "MulticomponentMessagePassing":
        raise checkpoint.wrong("the model reads several molecules at once (multicomponent); molig scores one")
    if kind.startswith("MAB") or "mol_predictor" in settings or "atom_predictor" in settings:
        raise checkpoint.wrong("the model predicts properties of atoms or bonds; molig scores molecules")
    if "predictor" not in settings:
        raise ModelFormatError(
            f"{checkpoint.path}: its hyper_parameters describe no predictor, so it is no model of Chemprop v2"
        )
