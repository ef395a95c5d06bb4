"""A network for scores alone: the same function, with cheaper arithmetic after the last atom layer.

The Gaussian histogram is read from a table in compiled loops (3e-6 off for an atom and channel at most), and
batch normalisation is folded into the linear layers before it. On the bundled models ranks stay as they are,
as ``tests/benchmarks/quick_scores.py`` measures. Products in bfloat16, measured there too, gain little and
change which molecules are among the best; there are none.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from molig.network.net import WeaveNet


def quick_network(network: WeaveNet) -> WeaveNet:
    """Copy of a network that scores faster and nearly the same.

    Parameters
    ----------
    network : WeaveNet
        In evaluation mode, in single precision and on the CPU; any other keeps its histogram.

    Returns
    -------
    WeaveNet
        For scores only: its gradients are not those of the network.
    """
    quick = copy.deepcopy(network).eval().requires_grad_(False)
    quick.readout.tabulated = True
    layers = list(quick.head)
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm1d):
            _fold(cast("nn.Linear", layers[place - 1]), layer)
            quick.head[place] = nn.Identity()
    return quick


def _fold(linear: nn.Linear, norm: nn.BatchNorm1d) -> None:
    """Have a linear layer do what the normalisation behind it does."""
    mean, variance = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
    factor = norm.weight / torch.sqrt(variance + norm.eps)
    linear.weight.copy_(linear.weight * factor[:, None])
    linear.bias.copy_((linear.bias - mean) * factor + norm.bias)
