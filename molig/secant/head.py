"""Fully connected layers, with batch normalisation folded in, and their secant slopes."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from molig.errors import UsageError
from molig.network import WeaveNet
from molig.network.weave import ACTIVATIONS
from molig.secant.slopes import pull_back

_ROWS = 128


class SecantHead:
    """The head of a network in evaluation mode."""

    def __init__(self, network: WeaveNet) -> None:
        self._act = ACTIVATIONS[network.config.activation]
        self._activation = network.config.activation
        self._layers = [_folded(linear, norm) for linear, norm in _layers(network)]

    def forward(self, pooled: Tensor) -> list[Tensor]:
        """Inputs of the activations, layer by layer, and the outputs of the network last."""
        states: list[Tensor] = []
        for weight, bias in self._layers:
            states.append(nn.functional.linear(pooled, weight, bias))
            pooled = self._act(states[-1])
        return states

    def pull_back(
        self, states: list[Tensor], points: tuple[Tensor, Tensor], tasks: Tensor, *, fast: bool = False
    ) -> Tensor:
        """Gradients of outputs with respect to the readout, shape (n, width)."""
        gradient = self._layers[-1][0][tasks]
        for layer in range(len(self._layers) - 2, -1, -1):
            gradient = pull_back(self._activation, gradient, states[layer], *points)
            if fast and layer == 0:
                return self._coarsely(gradient)
            gradient = gradient @ self._layers[layer][0]
        return gradient

    def _coarsely(self, gradient: Tensor) -> Tensor:
        """Product with the first layer's weight in bfloat16."""
        # Kernels are made anew for every number of rows, so there are few of these.
        n_rows = -(-len(gradient) // _ROWS) * _ROWS
        padded = gradient.new_zeros(n_rows, gradient.shape[1], dtype=torch.bfloat16)
        padded[: len(gradient)] = gradient
        return (padded @ self._first_in_half)[: len(gradient)].to(gradient.dtype)

    @cached_property
    def _first_in_half(self) -> Tensor:
        return self._layers[0][0].to(torch.bfloat16)


def _layers(network: WeaveNet) -> list[tuple[nn.Linear, nn.BatchNorm1d | None]]:
    layers: list[tuple[nn.Linear, nn.BatchNorm1d | None]] = []
    for part in network.head:
        if isinstance(part, nn.Linear):
            layers.append((part, None))
        elif isinstance(part, nn.BatchNorm1d):
            layers[-1] = (layers[-1][0], part)
    return layers


def _folded(linear: nn.Linear, norm: nn.BatchNorm1d | None) -> tuple[Tensor, Tensor]:
    weight, bias = linear.weight.detach(), linear.bias.detach()
    if norm is None:
        return weight, bias
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise UsageError("the network's batch normalisation has no running statistics to fold in")
    factor = norm.weight / torch.sqrt(variance + norm.eps)
    return (weight * factor[:, None]).detach(), ((bias - mean) * factor + norm.bias).detach()
