"""Readouts, and the secant slopes of readout, normalisation and tanh together."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from molig.compiled import compiled
from molig.network import Readout, WeaveNet
from molig.network.readout import MoleculeReadout
from molig.network.table import (
    MEANS,
    N_BINS,
    NEAR,
    STRIDE,
    Array,
    Table,
    add_memberships,
    histogram,
    locate,
    membership_table,
    memberships,
    pull_back_memberships,
)
from molig.secant.slopes import closeness, tanh_slope

# Secant slopes of Gaussian histograms in compiled loops (Numba, on first use).


@compiled
def histogram_secant(  # noqa: PLR0917 - compiled functions take no keywords
    units: tuple[Array, Array],
    ends: Array,
    requests: Array,
    gradients: Array,
    table: Table,
    out: Array,
) -> None:
    """Gradient of the histogram times the secant slopes of histogram and tanh together."""
    # units: before and after tanh, (n_rows, channels); ends (n_panels, 3): first row left, first row right,
    # number of rows; requests (n_panels + 1,): where each panel's gradients (n_requests, 11, channels) begin;
    # out: gradients with respect to the numbers before tanh, request by request
    inputs, states = units
    channels = states.shape[1]
    one, close = np.float32(1), np.float32(1e-4)
    cells, within = np.zeros(channels, dtype=np.int32), np.zeros(channels, dtype=np.float32)
    change, factor = np.zeros(N_BINS * channels, dtype=np.float32), np.zeros(channels, dtype=np.float32)
    base = 0
    for panel in range(len(ends)):
        n_rows = ends[panel, 2]
        for row in range(n_rows):
            left, right = ends[panel, 0] + row, ends[panel, 1] + row
            change[:] = 0
            locate(states[right], table, cells, within)
            add_memberships(cells, within, one, table, change)
            locate(states[left], table, cells, within)
            add_memberships(cells, within, -one, table, change)
            for c in range(channels):
                factor[c] = one / (inputs[right, c] - inputs[left, c])
            for c in range(channels):
                if abs(inputs[right, c] - inputs[left, c]) <= close:
                    middle = np.float32(0.5) * (states[left, c] + states[right, c])
                    _slope(middle, c, table, change, factor)
            for request in range(requests[panel], requests[panel + 1]):
                target = out[base + row + (request - requests[panel]) * n_rows]
                target[:] = 0
                for k in range(N_BINS):
                    for c in range(channels):
                        target[c] += change[k * channels + c] * gradients[request, k, c]
                for c in range(channels):
                    target[c] *= factor[c]
        base += n_rows * (requests[panel + 1] - requests[panel])


@compiled
def _slope(middle: np.float32, c: int, table: Table, change: Array, factor: Array) -> None:
    """Put the change through a cell in the place of the change through the panel, and its factor."""
    values, first, half = table
    channels = len(factor)
    cell = max(0, min(len(first) - 1, int((middle + np.float32(1)) * half)))
    for k in range(N_BINS):
        change[k * channels + c] = 0
    for k in range(NEAR):
        change[(first[cell] + k) * channels + c] = values[cell * STRIDE + NEAR + k]
    factor[c] = half * (np.float32(1) - middle * middle)


Index = npt.NDArray[np.int64]

# Rows whose 11 memberships are worked on at a time.
_CHUNK_CPU = 96
_CHUNK_GPU = 16_384


class Ends(NamedTuple):
    """Panels: rows of the atoms at the two ends, and requests, one or more per panel."""

    left: Index  # (n_panels,), first row at the left end
    right: Index  # (n_panels,), first row at the right end
    counts: Index  # (n_panels,), number of rows
    points: tuple[Index, Index]  # the two points
    panel: Index  # (n_requests,), the panel of each request, ascending


def request_rows(ends: Ends) -> tuple[Index, Index, Index]:
    """Rows at the left and right ends, request by request, and how many each request has."""
    counts = ends.counts[ends.panel]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    left, right = (np.repeat(start[ends.panel], counts) + within for start in (ends.left, ends.right))
    return left, right, counts


class SecantReadout(Protocol):
    """A readout that can be followed along paths."""

    needs_result: bool

    def forward(self, inputs: Tensor, counts: Index) -> tuple[dict[str, Tensor], Tensor]:
        """States to remember, one row per atom, and the readout, one row per point."""

    def pull_back(self, gradient: Tensor, states: dict[str, Tensor], pooled: Tensor, ends: Ends) -> Tensor:
        """Gradient with respect to ``inputs``, request by request, atom by atom."""


def readout_of(network: WeaveNet) -> SecantReadout:
    """The readout of a network, in compiled loops where they apply."""
    weight = network.last_atom_layer.weight
    plain = isinstance(network.atom_norm, nn.Identity)
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    if network.config.readout is Readout.GAUSSIAN and plain and on_cpu:
        return CompiledHistogram()
    return TensorReadout(network)


class CompiledHistogram:
    """Gaussian histogram of tanh, float32, on the CPU."""

    needs_result = False

    def forward(self, inputs: Tensor, counts: Index) -> tuple[dict[str, Tensor], Tensor]:
        """See `SecantReadout`."""
        states = torch.tanh(inputs)
        out = np.empty((len(counts), states.shape[1] * N_BINS), dtype=np.float32)
        histogram(states.numpy(), np.cumsum(counts) - counts, counts, membership_table(), out)
        return {"last": inputs, "tanh": states}, torch.from_numpy(out)

    def pull_back(self, gradient: Tensor, states: dict[str, Tensor], pooled: Tensor, ends: Ends) -> Tensor:
        """See `SecantReadout`."""
        channels = states["tanh"].shape[1]
        out = np.empty((int(ends.counts[ends.panel].sum()), channels), dtype=np.float32)
        histogram_secant(
            (states["last"].numpy(), states["tanh"].numpy()),
            np.stack([ends.left, ends.right, ends.counts], axis=1),
            np.searchsorted(ends.panel, np.arange(len(ends.counts) + 1)),
            gradient.view(-1, N_BINS, channels).numpy(),
            membership_table(),
            out,
        )
        return torch.from_numpy(out)


class TensorReadout:
    """Any readout, on any device, by tensor operations."""

    needs_result = True

    def __init__(self, network: WeaveNet) -> None:
        self._norm = network.atom_norm
        self._kind = network.config.readout
        self._pool = MoleculeReadout(self._kind, network.config.atom_depth)
        self._slope: dict[Readout, Callable[..., Tensor]] = {
            Readout.GAUSSIAN: _histogram_slope,
            Readout.SUM: _sum_slope,
            Readout.RMS: _rms_slope,
        }

    def forward(self, inputs: Tensor, counts: Index) -> tuple[dict[str, Tensor], Tensor]:
        """See `SecantReadout`."""
        states = self._norm(torch.tanh(inputs))
        pooled = self._pool(states, torch.from_numpy(counts).to(inputs.device))
        return {"last": inputs, "state": states}, pooled

    def pull_back(self, gradient: Tensor, states: dict[str, Tensor], pooled: Tensor, ends: Ends) -> Tensor:
        """See `SecantReadout`."""
        left_row, right_row, counts = request_rows(ends)
        arrays = [left_row, right_row, np.repeat(np.arange(len(counts)), counts)]
        arrays += [*(point[ends.panel] for point in ends.points), counts]
        left, right, request, *rest = (torch.from_numpy(a).to(gradient.device) for a in arrays)
        state = states["state"]
        slope = self._slope[self._kind](gradient, (state[left], state[right]), request, pooled, *rest)
        inputs = states["last"]
        return slope * self._norm_factor(inputs) * tanh_slope(inputs[left], inputs[right])

    def _norm_factor(self, like: Tensor) -> Tensor:
        if isinstance(self._norm, nn.BatchNorm1d) and self._norm.running_var is not None:
            return self._norm.weight / torch.sqrt(self._norm.running_var + self._norm.eps)
        return torch.ones_like(like[:1])


def _sum_slope(gradient: Tensor, ends: tuple[Tensor, Tensor], request: Tensor, *_: Tensor) -> Tensor:
    return gradient[request]


def _rms_slope(  # noqa: PLR0917 - the slopes share one signature
    gradient: Tensor,
    ends: tuple[Tensor, Tensor],
    request: Tensor,
    pooled: Tensor,
    left: Tensor,
    right: Tensor,
    counts: Tensor,
) -> Tensor:
    """The root of m rises by 1 / (sqrt(l) + sqrt(r)) per unit of m, and a square by l + r per unit."""
    per_point = gradient / ((pooled[left] + pooled[right]) * counts[:, None])
    return per_point[request] * (ends[0] + ends[1])


def _histogram_slope(gradient: Tensor, ends: tuple[Tensor, Tensor], request: Tensor, *_: Tensor) -> Tensor:
    by_bin = gradient.view(len(gradient), len(MEANS), -1).transpose(0, 1)
    chunk = _CHUNK_CPU if gradient.device.type == "cpu" else _CHUNK_GPU
    out = torch.empty_like(ends[0])
    for start in range(0, len(request), chunk):
        part = slice(start, start + chunk)
        left, right = ends[0][part], ends[1][part]
        weights = by_bin[:, request[part]]
        width = right - left
        rise = ((memberships(right) - memberships(left)) * weights).sum(0)
        close = width.abs() < closeness(width.dtype)
        out[part] = rise / torch.where(close, torch.ones_like(width), width)
        if bool(close.any()):
            derivative = pull_back_memberships((left + right) / 2, weights)
            out[part] = torch.where(close, derivative, out[part])
    return out
