"""Agreement with Captum where Captum is accurate: smooth networks, float64, many Gauss-Legendre nodes."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn

from molig.attribution import integrated_gradients

N_ROWS, N_STEPS = 3, 100


def silu_mlp() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Probability from three input tensors of different shapes."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4 + 6 + 1, 16), nn.SiLU(), nn.Linear(16, 8), nn.Tanh())
            self.out = nn.Linear(8, 1)

        def forward(self, x, y, z):
            hidden = self.layers(torch.cat([x, y.flatten(1), z], dim=1))
            return self.out(hidden)[:, 0].sigmoid()

    return Network(), (torch.randn(N_ROWS, 4), torch.randn(N_ROWS, 2, 3), torch.randn(N_ROWS, 1))


def convolutions() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Softmax probability of one of four classes of a small image."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(2, 6, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3), nn.Softplus()
            )
            self.out = nn.Linear(8 * 4, 4)

        def forward(self, image):
            return self.out(self.layers(image).flatten(1)).softmax(dim=1)[:, 2]

    return Network(), (3 * torch.randn(N_ROWS, 2, 8, 8),)


def lstm() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Softmax probability of a next token from the embeddings of the tokens before it."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(5, 12, batch_first=True)
            self.out = nn.Linear(12, 7)

        def forward(self, embeddings):
            states, _ = self.lstm(embeddings)
            return self.out(states[:, -1]).softmax(dim=1)[:, 3]

    return Network(), (2 * torch.randn(N_ROWS, 9, 5),)


@pytest.mark.parametrize("build", [silu_mlp, convolutions, lstm])
@pytest.mark.parametrize("baseline", ["zero", "random"])
def test_same_attributions_as_captum(build, baseline):
    torch.manual_seed(3)
    network, inputs = build()
    network = network.double().eval().requires_grad_(False)
    inputs = tuple(x.double() for x in inputs)
    starts = tuple(torch.randn_like(x) if baseline == "random" else torch.zeros_like(x) for x in inputs)
    peer, delta = IntegratedGradients(network).attribute(
        inputs, baselines=starts, n_steps=N_STEPS, method="gausslegendre", return_convergence_delta=True
    )
    ours = integrated_gradients(network, inputs, None if baseline == "zero" else starts, tol=1e-6)
    change = np.abs((network(*inputs) - network(*starts)).numpy())
    assert (change > 1e-3).all()
    assert (np.abs(delta.numpy()) < 1e-6 * change).all(), "Captum is not accurate enough to compare with"
    assert ours.converged.all()
    for found, expected in zip(ours.attributions, peer, strict=True):
        error = (found - expected).abs().flatten(1).max(dim=1).values.numpy()
        assert (error < 1e-4 * change).all()
