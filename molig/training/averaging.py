"""Average of the weights along a run, which scores better than the last step of it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from molig.network import WeaveNet


class WeightAverage:
    """Exponential moving average of a network's weights and running statistics.

    Parameters
    ----------
    network : WeaveNet
        The network that is trained.
    decay : float
        Share of the average that stays at every step; the average looks back over about
        1 / (1 - decay) steps, and over fewer at the start.
    """

    def __init__(self, network: WeaveNet, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay

    def update(self, network: WeaveNet, step: int) -> None:
        """Take the weights after a step, counted from 1, into the average."""
        # Without the warm-up the random weights of the beginning would stay in the average for long.
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        average, current = _floating(self.network), _floating(network)
        torch._foreach_lerp_(average, current, share)


def _floating(network: WeaveNet) -> list[Tensor]:
    return [t.detach() for t in network.state_dict().values() if t.is_floating_point()]
