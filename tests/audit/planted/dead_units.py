"""Units that never vary or that nothing reads: planted, and clean controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from support.planted import Case, Graded, Lab, audited, changed, weave_network

from molig.audit import AuditSubject
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet

Edit = Callable[[WeaveNet], object]
BUNDLED = "tox21-w2n2-simple"
MODELS = (BUNDLED, "tox21", "tox21-w1n2-simple", "hiv", "muv", "sars-3clpro")


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


def flat_norm(share: float, seed: int = 1) -> Edit:
    """Take the scale of a batch normalisation away, and shift its units below the relu."""

    def edit(network: WeaveNet) -> None:
        norm = network.head[1]
        chosen = _some(len(norm.bias), share, seed)
        norm.weight[chosen], norm.bias[chosen] = 0.0, -0.5

    return edit


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


def _subject(model: ScreeningModel, smiles: Sequence[str]) -> AuditSubject:
    return audited(model, smiles=smiles, labels=None)


def cases(seed: int) -> list[Case]:
    """Planted defects and clean controls of a seed."""
    lab = Lab(seed)
    return [*_planted(lab), *_controls(lab)]


def _planted(lab: Lab) -> list[Case]:
    first, second, seed = "modules_.0", "modules_.1", lab.seed
    small = {
        "all of module 1 A->A": silence(f"{first}.atom_to_atom", 1.0),
        "all of module 1 P->A": silence(f"{first}.pair_to_atom", 1.0),
        "all of module 2 atom states": silence(f"{second}.atom_out", 1.0),
        "all of module 1 pair states": silence(f"{first}.pair_out", 1.0),
        "5 of 12 channels": fix_channels(0.42, seed=seed),
        "3 of 12 channels": fix_channels(0.25, value=-0.7, seed=seed + 1),
        "all channels": fix_channels(1.0),
        "half of the head": silence("head.0", 0.5, seed),
        "half of the head by its batch normalisation": flat_norm(0.5, seed),
        "output of one task": fixed_output(seed % 2),
        "pairs read by nothing in module 1": cut(f"{first}.pair_to_atom", 1.0),
        "no weights after the head": zero("head.4.weight"),
        "a weight that is not a number": not_a_number,
        "a third of the histogram read by nothing": cut("head.0", 0.33, seed),
    }
    bundled = {
        "80 % of module 1 A->A": silence(f"{first}.atom_to_atom", 0.8, seed),
        "85 % of module 2 A->A": silence(f"{second}.atom_to_atom", 0.85, seed),
        "85 % of module 1 pair states": silence(f"{first}.pair_out", 0.85, seed),
        "12 % of the channels": fix_channels(0.12, seed=seed),
        "a third of the wide layer of the head": flat_norm(0.33, seed),
        "10 % of the histogram read by nothing": cut("head.0", 0.1, seed),
        "20 % of the last hidden layer read by nothing": cut("head.8", 0.2, seed),
        "20 % of module 1's pair states read by nothing": _cut_pair_states(seed),
    }
    full = {
        "all of module 2 P->A": silence(f"{second}.pair_to_atom", 1.0),
        "4 of 12 channels": fix_channels(0.33, seed=seed),
    }
    makes = {
        "W2": (lambda i: lab.network("W2", which=i % 2), small),
        BUNDLED: (lambda i: load_model(BUNDLED), bundled),
        "full": (lambda i: lab.network("full"), full),
    }
    return [
        Case(
            f"{model}: {name}",
            lambda make=make, i=i, edit=edit: _subject(changed(make(i), edit), lab.compounds(100, 50 * i)),
            True,
        )
        for model, (make, edits) in makes.items()
        for i, (name, edit) in enumerate(edits.items())
    ]


def _cut_pair_states(seed: int) -> Edit:
    def edit(network: WeaveNet) -> None:
        network.modules_[1].pair_to_atom.weight[:, _some(50, 0.2, seed)] = 0.0

    return edit


def _controls(lab: Lab) -> list[Case]:
    models: dict[str, Callable[[], ScreeningModel]] = {
        "W2": lambda: lab.network("W2"),
        "W2, other weights": lambda: lab.network("W2", which=1),
        "full": lambda: lab.network("full"),
        "W1": lambda: lab.network("W1"),
        "W2N3": lambda: lab.network("W2N3"),
        **{name: partial(weave_network, name) for name in MODELS},
    }
    cases = [
        Case(
            f"{name}, {n} molecules",
            lambda make=make, n=n: _subject(make(), lab.compounds(n, 1000 + n)),
            False,
        )
        for name, make in models.items()
        for n in ((100,) if name in MODELS else (100, 30))
    ]
    alkanes = ["C" * n for n in range(2, 30)]
    return [
        *cases,
        Case("W2, alkanes", lambda: audited(lab.network("W2"), smiles=alkanes, labels=None), False),
        Case(
            f"{BUNDLED}, 3 of 50 units of A->A silenced",
            lambda: _subject(
                changed(load_model(BUNDLED), silence("modules_.0.atom_to_atom", 0.06, lab.seed)),
                lab.compounds(100, 1500),
            ),
            False,
        ),
    ]


def graded(seed: int) -> list[Graded]:
    """Layers of which a growing share is dead."""
    lab = Lab(seed)
    defects: dict[str, tuple[str, Callable[[float], Edit], tuple[float, ...]]] = {
        "share of the units of A->A that never open": (
            BUNDLED,
            lambda size: silence("modules_.0.atom_to_atom", size, seed),
            (0.3, 0.5, 0.6, 0.7, 0.8, 0.9),
        ),
        "share of the channels that are constant": (
            BUNDLED,
            lambda size: fix_channels(size, seed=seed),
            (0.02, 0.04, 0.06, 0.08, 0.1, 0.15),
        ),
    }
    return [
        Graded(
            name,
            size,
            Case(
                f"{size:.0%}",
                lambda edit=edit, size=size, model=model: _subject(
                    changed(load_model(model), edit(size)), lab.compounds(100, 1700)
                ),
                True,
            ),
        )
        for name, (model, edit, sizes) in defects.items()
        for size in sizes
    ]  # fmt: skip
