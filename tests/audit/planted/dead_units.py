"""Units that never vary or that nothing reads: planted, and clean controls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from support.planted import Case, audited, changed, trained
from support.small_model import nci_smiles

from molig.audit import AuditSubject
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet

Edit = Callable[[WeaveNet], object]
FULL = (("preset", "full"),)
BUNDLED = "tox21-w2n2-simple"


def silence(name: str, share: float, seed: int = 0) -> Edit:
    """Push some units of a linear layer so far down that their relu never opens."""

    def edit(network: WeaveNet) -> None:
        bias = network.get_submodule(name).bias
        bias[_some(len(bias), share, seed)] = -1e4

    return edit


def fix_channels(share: float, value: float = 0.3, seed: int = 0) -> Edit:
    """Make channels of the last atom layer the same for all atoms."""

    def edit(network: WeaveNet) -> None:
        layer = network.last_atom_layer
        chosen = _some(len(layer.bias), share, seed)
        layer.weight[chosen], layer.bias[chosen] = 0.0, value

    return edit


def cut(name: str, share: float, seed: int = 0) -> Edit:
    """Set to zero the weights of a linear layer that read some of its inputs."""

    def edit(network: WeaveNet) -> None:
        weight = network.get_submodule(name).weight
        weight[:, _some(weight.shape[1], share, seed)] = 0.0

    return edit


def zero(name: str) -> Edit:
    """Set a parameter to zero."""

    def edit(network: WeaveNet) -> None:
        network.get_parameter(name).zero_()

    return edit


def flat_norm(share: float) -> Edit:
    """Take the scale of a batch normalisation away, and shift its units below the relu."""

    def edit(network: WeaveNet) -> None:
        norm = network.head[1]
        chosen = _some(len(norm.bias), share, 1)
        norm.weight[chosen], norm.bias[chosen] = 0.0, -0.5

    return edit


def one_sided(network: WeaveNet) -> None:
    """Push all atoms into the outermost bin of most channels: the other bins stay empty."""
    network.last_atom_layer.bias[:] += 8.0


def fixed_output(task: int) -> Edit:
    """Give every molecule the same score on one task."""

    def edit(network: WeaveNet) -> None:
        network.head[-1].weight[task] = 0.0

    return edit


def not_a_number(network: WeaveNet) -> None:
    """Damage one weight of the last atom layer."""
    network.last_atom_layer.weight[0, 0] = float("nan")


def _some(n: int, share: float, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).permutation(n)[: round(share * n)])


def _subject(model: ScreeningModel, start: int = 400, n: int = 100) -> AuditSubject:
    return audited(model, smiles=nci_smiles(n, start), labels=None)


def _planted() -> list[Case]:
    first, second = "modules_.0", "modules_.1"
    small = {
        "all of module 1 A->A": silence(f"{first}.atom_to_atom", 1.0),
        "all of module 1 P->A": silence(f"{first}.pair_to_atom", 1.0),
        "all of module 2 atom states": silence(f"{second}.atom_out", 1.0),
        "all of module 1 pair states": silence(f"{first}.pair_out", 1.0),
        "5 of 12 channels": fix_channels(0.42),
        "3 of 12 channels": fix_channels(0.25, value=-0.7, seed=3),
        "all channels": fix_channels(1.0),
        "half of the head": silence("head.0", 0.5),
        "half of the head by its batch normalisation": flat_norm(0.5),
        "output of one task": fixed_output(1),
        "pairs read by nothing in module 1": cut(f"{first}.pair_to_atom", 1.0),
        "no weights after the head": zero("head.4.weight"),
        "a weight that is not a number": not_a_number,
        "a third of the histogram read by nothing": cut("head.0", 0.33),
        "all atoms in the outermost bin": one_sided,
    }
    bundled = {
        "80 % of module 1 A->A": silence(f"{first}.atom_to_atom", 0.8),
        "85 % of module 2 A->A": silence(f"{second}.atom_to_atom", 0.85, seed=1),
        "90 % of module 1 A->P": silence(f"{first}.atom_to_pair", 0.9),
        "85 % of module 1 pair states": silence(f"{first}.pair_out", 0.85),
        "85 % of module 2 atom states": silence(f"{second}.atom_out", 0.85),
        "12 % of the channels": fix_channels(0.12),
        "a third of the wide layer of the head": flat_norm(0.33),
        "10 % of the histogram read by nothing": cut("head.0", 0.1),
        "20 % of the last hidden layer read by nothing": cut("head.8", 0.2, seed=2),
        "20 % of module 1's pair states read by nothing": _cut_pair_states,
    }

    def both(model: Callable[[], ScreeningModel], edit: Edit) -> Callable[[], AuditSubject]:
        return lambda: _subject(changed(model(), edit))

    return (
        [Case(f"small: {name}", both(trained, edit), True) for name, edit in small.items()]
        + [Case(f"{BUNDLED}: {name}", both(_bundled, edit), True) for name, edit in bundled.items()]
        + [
            Case("full: all of module 2 P->A", both(_full, silence(f"{second}.pair_to_atom", 1.0)), True),
            Case("full: 4 of 12 channels", both(_full, fix_channels(0.33)), True),
        ]
    )


def _cut_pair_states(network: WeaveNet) -> None:
    chosen = _some(50, 0.2, 0)
    network.modules_[1].pair_to_atom.weight[:, chosen] = 0.0


def _bundled() -> ScreeningModel:
    return load_model(BUNDLED)


def _full() -> ScreeningModel:
    return trained(features=FULL)


def _controls() -> list[Case]:
    models: dict[str, Callable[[], ScreeningModel]] = {
        "small": trained,
        "seed 2": lambda: trained(seed=2),
        "full": _full,
        BUNDLED: _bundled,
        "tox21-w2n2-full": lambda: load_model("tox21-w2n2-full"),
        "tox21-w1n2-simple": lambda: load_model("tox21-w1n2-simple"),
        "hiv-w2n2": lambda: load_model("hiv-w2n2"),
        "muv-w2n2": lambda: load_model("muv-w2n2"),
        "sars-3clpro-w2n2": lambda: load_model("sars-3clpro-w2n2"),
    }
    samples = {"100 molecules": (400, 100), "30 molecules": (2000, 30), "20 molecules": (3000, 20)}
    cases = [
        Case(f"{name}, {sample}", lambda make=make, where=where: _subject(make(), *where), False)
        for name, make in models.items()
        for sample, where in samples.items()
    ]
    alkanes = ["C" * n for n in range(2, 30)]
    return [
        *cases,
        Case("small, alkanes", lambda: audited(trained(), smiles=alkanes, labels=None), False),
        Case("small, 3 of 50 units of A->A silenced", lambda: _subject(_slightly()), False),
    ]


def _slightly() -> ScreeningModel:
    return changed(_bundled(), silence("modules_.0.atom_to_atom", 0.06))


def cases() -> list[Case]:
    """All cases of this check."""
    return [*_planted(), *_controls()]
