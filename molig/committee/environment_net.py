"""A fully connected network on counts of environments, with integrated gradients in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from molig.committee.vocabulary import Counts, MemberShares, Vocabulary
from molig.compiled import compiled
from molig.deferred import deferred
from molig.errors import ModelFormatError
from molig.features import PackedGraphs
from molig.network.batch import moved

sparse = deferred("scipy.sparse")

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Mean number of environments of a molecule, for the scale of the first weights.
_TYPICAL_ENTRIES = 50


class EnvironmentNet(nn.Module):
    """Network z = V relu(W x + b) + c on x = log(1 + count) of known environments.

    Parameters
    ----------
    vocabulary : Vocabulary
        The environments, a column each.
    hidden : int
        Width of the hidden layer.
    n_tasks : int
        Number of outputs.
    dropout : float
        Dropout of the hidden layer in training.
    """

    kind = "environments"

    def __init__(self, vocabulary: Vocabulary, hidden: int, n_tasks: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.weight = nn.Parameter(torch.empty(len(vocabulary), hidden))
        self.norm: nn.Module = nn.BatchNorm1d(hidden)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, n_tasks)
        nn.init.normal_(self.weight, std=(0.5 / _TYPICAL_ENTRIES) ** 0.5)

    @property
    def size(self) -> int:
        """Hidden units."""
        return len(self.bias)

    @property
    def last(self) -> nn.Linear:
        """The layer that puts out the tasks."""
        return self.out

    def replace_last(self, layer: nn.Linear) -> None:
        """Put another layer there."""
        self.out = layer

    def forward(self, columns: Tensor, starts: Tensor, values: Tensor) -> Tensor:
        """Outputs, shape (n_mols, n_tasks), of entries that begin at `starts`, shape (n_mols,)."""
        logits: Tensor = self.out(self.dropout(torch.relu(self.hidden(columns, starts, values))))
        return logits

    def hidden(self, columns: Tensor, starts: Tensor, values: Tensor) -> Tensor:
        """Hidden layer before its relu, shape (n_mols, hidden)."""
        summed = functional.embedding_bag(
            columns, self.weight, starts, mode="sum", per_sample_weights=torch.log1p(values)
        )
        result: Tensor = self.norm(summed) + self.bias
        return result

    def folded(self) -> Self:
        """Copy in evaluation mode whose weights contain the batch normalisation."""
        scale, shift = torch.ones_like(self.bias), torch.zeros_like(self.bias)
        if isinstance(norm := self.norm, nn.BatchNorm1d):
            if norm.running_var is None or norm.running_mean is None:
                raise TypeError("a normalisation without running statistics cannot be folded")
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            shift = norm.bias - norm.running_mean * scale
        whole = type(self)(self.vocabulary, len(self.bias), self.out.out_features)
        whole.norm = nn.Identity()
        with torch.no_grad():
            whole.weight.copy_(self.weight * scale)
            whole.bias.copy_(self.bias + shift)
            whole.out.load_state_dict(self.out.state_dict())
        return whole.to(self.bias.device, self.bias.dtype).eval().requires_grad_(False)

    def inputs(self, counts: Counts) -> tuple[Tensor, Tensor, Tensor]:
        """Columns, starts and values as tensors beside the weights."""
        return self.placed(counts.columns, counts.starts[:-1], counts.values)

    def placed(self, columns: Index, starts: Index, values: FloatArray) -> tuple[Tensor, Tensor, Tensor]:
        """The same of arrays."""
        where = self.weight.device
        tensors = [moved(torch.from_numpy(array), where) for array in (columns, starts, values)]
        return tensors[0], tensors[1], tensors[2].to(self.weight.dtype)

    def outputs(self, graphs: PackedGraphs, factors: npt.ArrayLike | None = None) -> FloatArray:
        """Outputs for molecules, shape (n_mols, n_tasks); an occurrence counts by its factor."""
        with torch.inference_mode():
            found = self(*self.inputs(self.vocabulary.count(graphs, factors)))
        return np.asarray(found.double().cpu().numpy())

    def along_path(self, graphs: PackedGraphs, scales: FloatArray) -> FloatArray:
        """Outputs where each molecule's x is multiplied by its scale, shape (n_mols, n_tasks)."""
        _, hidden, arrays = self._projected(graphs)
        states = np.maximum(scales[:, None] * hidden + arrays["bias"], 0)
        return np.asarray(states @ arrays["out"].T + arrays["out_bias"])

    def rates(self, graphs: PackedGraphs, scales: FloatArray, tasks: Index) -> list[FloatArray]:
        """Slope dz/dx times x of each molecule's rows, at a point of its path and for its task."""
        counts, hidden, arrays = self._projected(graphs)
        slopes = (scales[:, None] * hidden + arrays["bias"] > 0) * arrays["out"][tasks]
        return [self._per_row(counts, arrays, molecule, slope) for molecule, slope in enumerate(slopes)]

    def shares(
        self, graphs: PackedGraphs, molecules: Index, tasks: Index, *, probability: bool
    ) -> MemberShares:
        """Integrated gradients of the probability, or of the output, from x = 0 to the molecule.

        Along the path the units of the hidden layer are relus of straight lines, so the output is straight
        between the points where a unit starts or stops, and there the integral of the probability's slope is
        a difference of two probabilities: nothing is approximated.
        """
        counts, hidden, arrays = self._projected(graphs)
        out = arrays["out"]
        starts, ends, gains = _gains(hidden, arrays, molecules, tasks, probability=probability)
        shares = [
            self._per_row(counts, arrays, molecule, gain * out[task])
            for molecule, task, gain in zip(molecules.tolist(), tasks.tolist(), gains, strict=True)
        ]
        return MemberShares(starts, ends, shares)

    def arrays(self) -> dict[str, Tensor]:
        """Tensors of the folded network, by name, for a file."""
        return {
            "weight": self.weight,
            "bias": self.bias,
            "out": self.out.weight,
            "out_bias": self.out.bias,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], vocabulary: Vocabulary, n_tasks: int) -> Self:
        """The folded network again; ModelFormatError if the tensors do not make one."""
        columns, hidden = len(vocabulary), arrays["bias"].numel()
        shapes = {
            "weight": (columns, hidden),
            "bias": (hidden,),
            "out": (n_tasks, hidden),
            "out_bias": (n_tasks,),
        }
        for name, shape in shapes.items():
            if tuple(arrays[name].shape) != shape or not arrays[name].is_floating_point():
                raise ModelFormatError(
                    f"{name} must be numbers of shape {shape} (got {tuple(arrays[name].shape)})"
                )
        net = cls(vocabulary, hidden, n_tasks)
        net.norm = nn.Identity()
        with torch.no_grad():
            net.weight.copy_(arrays["weight"])
            net.bias.copy_(arrays["bias"])
            net.out.weight.copy_(arrays["out"])
            net.out.bias.copy_(arrays["out_bias"])
        return net.eval().requires_grad_(False)

    def _projected(self, graphs: PackedGraphs) -> tuple[Counts, FloatArray, dict[str, FloatArray]]:
        """Counts, W x without b for each molecule, and the weights in double precision."""
        counts, parts = self.vocabulary.count(graphs), self._in_double
        shape = (counts.n_mols, len(self.vocabulary))
        inputs = sparse.csr_matrix((np.log1p(counts.values), counts.columns, counts.starts), shape=shape)
        return counts, np.asarray(inputs @ parts["weight"]), parts

    @cached_property
    def _in_double(self) -> dict[str, FloatArray]:
        """Weights of a folded network, which no longer change: converted once, not for every batch."""
        return {name: t.detach().double().cpu().numpy() for name, t in self.arrays().items()}

    @staticmethod
    def _per_row(
        counts: Counts, arrays: dict[str, FloatArray], molecule: int, slope: FloatArray
    ) -> FloatArray:
        """Shares of a molecule's rows where its hidden units have these slopes."""
        entries = counts.entries(molecule)
        per_entry = np.log1p(counts.values[entries]) * (arrays["weight"][counts.columns[entries]] @ slope)
        return counts.to_rows(molecule, per_entry)


def _gains(
    hidden: FloatArray,
    weights: Mapping[str, FloatArray],
    molecules: Index,
    tasks: Index,
    *,
    probability: bool,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Scores at both ends of each path; for each unit, the integral of the score's slope while it is on."""
    bias, out = weights["bias"], weights["out"]
    scores, gains = np.empty((2, len(molecules))), np.empty((len(molecules), len(bias)))
    turns = np.full_like(hidden, _NEVER)
    moves = hidden != 0
    turns[moves] = (-bias / np.where(moves, hidden, 1.0))[moves]
    turns[(turns <= 0) | (turns >= 1)] = _NEVER
    order = np.argsort(turns, axis=1)
    for path, (mol, task) in enumerate(zip(molecules.tolist(), tasks.tolist(), strict=True)):
        start = weights["out_bias"][task]
        scores[:, path] = _follow(
            hidden[mol], bias, out[task], start, turns[mol], order[mol], probability, gains[path]
        )
    return scores[0], scores[1], gains


# In the place of a turn that is not on the way from 0 to 1.
_NEVER = 2.0
# Below this rise of the output the difference quotient of the probability is lost in rounding.
_CLOSE = 1e-6


@compiled
def _follow(  # noqa: PLR0917 (compiled functions take no keywords)
    hidden: FloatArray,
    bias: FloatArray,
    out: FloatArray,
    out_bias: float,
    turns: FloatArray,
    order: Index,
    probability: bool,
    gains: FloatArray,
) -> tuple[float, float]:
    """Go along one path from turn to turn; fills the gains and returns the scores at both ends."""
    z, slope = out_bias, 0.0
    for unit in range(len(bias)):
        z += out[unit] * max(bias[unit], 0.0)
        if bias[unit] > 0.0 or (bias[unit] == 0.0 and hidden[unit] > 0.0):
            slope += out[unit] * hidden[unit]
    start = score = 1.0 / (1.0 + np.exp(-z)) if probability else z
    at, total = 0.0, 0.0
    for unit in order:
        if turns[unit] == _NEVER:
            break
        z_next = z + slope * (turns[unit] - at)
        score_next = 1.0 / (1.0 + np.exp(-z_next)) if probability else z_next
        total += (turns[unit] - at) * _mean_rate(z, z_next, score, score_next, probability)
        z, score, at = z_next, score_next, turns[unit]
        # A unit that rises starts here, one that falls stops: both raise the slope of the unit's line.
        slope += out[unit] * abs(hidden[unit])
        gains[unit] = total
    z_next = z + slope * (1.0 - at)
    end = 1.0 / (1.0 + np.exp(-z_next)) if probability else z_next
    total += (1.0 - at) * _mean_rate(z, z_next, score, end, probability)
    for unit in range(len(bias)):
        if turns[unit] == _NEVER:
            on = bias[unit] > 0.0 or (bias[unit] == 0.0 and hidden[unit] > 0.0)
            gains[unit] = total if on else 0.0
        elif hidden[unit] > 0.0:
            gains[unit] = total - gains[unit]
    return start, end


@compiled
def _mean_rate(left: float, right: float, score: float, score_next: float, probability: bool) -> float:
    """Mean slope of the score between two outputs."""
    if not probability:
        return 1.0
    if abs(right - left) > _CLOSE:
        return (score_next - score) / (right - left)
    middle: float = 1.0 / (1.0 + np.exp(-0.5 * (left + right)))
    return middle * (1.0 - middle)
