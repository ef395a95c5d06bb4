"""A Weave network that can be followed along paths from baselines to molecules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.errors import UsageError
from molig.features import FeatureSchema
from molig.network import WeaveNet
from molig.network.weave import ACTIVATIONS, WeaveModule, halves
from molig.secant.head import SecantHead
from molig.secant.readouts import Ends, readout_of, request_rows
from molig.secant.rows import Sums
from molig.secant.slopes import pull_back

Index = npt.NDArray[np.int64]

MAX_MODULES = 2


class SecantNetwork:
    """The network behind the stem, evaluated at points and pulled back over panels.

    Parameters
    ----------
    network : WeaveNet
        A network of one or two modules, in evaluation mode.
    schema : FeatureSchema
        Its features.

    Raises
    ------
    UsageError
        For a deeper network: its pairs of later modules depend on their surroundings.
    """

    def __init__(self, network: WeaveNet, schema: FeatureSchema) -> None:
        if network.config.n_modules > MAX_MODULES:
            raise UsageError(
                f"secant slopes are for at most {MAX_MODULES} Weave modules (got {network.config.n_modules})"
            )
        self.network, self.schema = network, schema
        self.like = network.last_atom_layer.weight
        self.owners = tuple(entry_matrix(schema, level).to(self.like) for level in ("atom", "pair"))
        self._activation = network.config.activation
        self._act = ACTIVATIONS[self._activation]
        self._readout = readout_of(network)
        self._head = SecantHead(network)

    def forward(self, sums: Sums, counts: Index) -> tuple[dict[str, Tensor], list[Tensor]]:
        """States at points: of the atoms, by name, and of the readout and the head, outputs last.

        Parameters
        ----------
        sums : Sums
            What the stem brings at these points.
        counts : array of int64, shape (n_points,)
            Atoms of each point.
        """
        first = self._module(0)
        states = {"new_1": sums.first + first.atom_out.bias}
        hidden = self._act(states["new_1"])
        if sums.second is not None:
            second = self._module(1)
            states["own_2"] = second.atom_to_atom(hidden)
            own = self._act(states["own_2"]) @ halves(second.atom_out)[0]
            states["new_2"] = own + sums.second + second.atom_out.bias
            hidden = self._act(states["new_2"])
        kept, pooled = self._readout.forward(self.network.last_atom_layer(hidden), counts)
        remembered = pooled if self._readout.needs_result else pooled[:, :0]
        return states | kept, [remembered, *self._head.forward(self._sized(pooled, counts))]

    def backward(
        self,
        states: tuple[dict[str, Tensor], list[Tensor]],
        ends: Ends,
        tasks: Index,
        *,
        fast: bool = False,
    ) -> Sums:
        """Gradients where the stem enters, request by request.

        Parameters
        ----------
        states : tuple
            From `forward`, for all points.
        ends : Ends
            The panels.
        tasks : array of int64, shape (n_requests,)
            Outputs.
        fast : bool
            Whether the largest product may be in bfloat16.
        """
        atoms, head = states
        left, right = self._tensors(request_rows(ends)[:2])
        start, stop, outputs = self._tensors((*(point[ends.panel] for point in ends.points), tasks))
        gradient = self._head.pull_back(head[1:], (start, stop), outputs, fast=fast)
        gradient = self._sized(gradient, ends.counts[ends.panel])
        gradient = self._readout.pull_back(gradient, atoms, head[0], ends)
        gradient = gradient @ self.network.last_atom_layer.weight
        into_second = None
        if "new_2" in atoms:
            second = self._module(1)
            into_second = pull_back(self._activation, gradient, atoms["new_2"], left, right)
            gradient = into_second @ halves(second.atom_out)[0].t()
            gradient = pull_back(self._activation, gradient, atoms["own_2"], left, right)
            gradient = gradient @ second.atom_to_atom.weight
        return Sums(pull_back(self._activation, gradient, atoms["new_1"], left, right), into_second)

    def _sized(self, rows: Tensor, counts: Index) -> Tensor:
        """Rows times the readout's factor for molecules of that many atoms, a constant along their paths."""
        readout = self.network.readout
        if not readout.size_exponent:
            return rows
        return rows * readout.size_factor(self._tensors([counts])[0], rows)

    def _tensors(self, arrays: Iterable[Index]) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(a)).to(self.like.device) for a in arrays]

    def _module(self, index: int) -> WeaveModule:
        return cast("WeaveModule", self.network.modules_[index])


def has_bfloat16_units(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in single precision there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and capabilities.get("amx_bf16", False) is True


def entry_matrix(schema: FeatureSchema, level: str) -> Tensor:
    """0/1 matrix (n columns, n entries): a categorical block is one entry, a numeric column is one."""
    owner: list[int] = []
    for place in schema.places(level):
        entries = range(place.entries.start, place.entries.stop)
        owner += entries if not place.is_categorical else [entries.start] * place.block.width
    matrix = torch.zeros(len(owner), max(owner, default=-1) + 1, dtype=torch.float64)
    matrix[range(len(owner)), owner] = 1
    return matrix
