"""Scores that respond to nothing any more: planted, and clean controls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from support.planted import Case, audited, changed, trained
from support.small_model import nci_smiles

from molig.audit import AuditSubject
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet

Edit = Callable[[WeaveNet], object]
FULL = (("preset", "full"),)
ONE_MODULE = (("n_modules", 1),)


def louder(factor: float, task: int | None = None) -> Edit:
    """Multiply the logits of one or all tasks."""

    def edit(network: WeaveNet) -> None:
        last, rows = network.head[-1], slice(None) if task is None else [task]
        last.weight[rows] *= factor
        last.bias[rows] *= factor

    return edit


def louder_hidden(factor: float) -> Edit:
    """Multiply what the batch normalisation of the head gives on."""

    def edit(network: WeaveNet) -> None:
        network.head[1].weight.mul_(factor)
        network.head[1].bias.mul_(factor)

    return edit


def steeper_bins(factor: float) -> Edit:
    """Drive the tanh of the last atom layer into its flat ends, and the logits up."""

    def edit(network: WeaveNet) -> None:
        network.last_atom_layer.weight.mul_(factor)
        network.last_atom_layer.bias.mul_(factor)
        louder(3.0)(network)

    return edit


def _subject(
    model: ScreeningModel, start: int = 400, n: int = 200, labels: str | None = "true"
) -> AuditSubject:
    return audited(model, smiles=nci_smiles(n, start), labels=labels)


def _planted() -> list[Case]:
    models: dict[str, Callable[[], ScreeningModel]] = {
        "small": trained,
        "seed 2": lambda: trained(seed=2),
        "full": lambda: trained(features=FULL),
        "W1": lambda: trained(network=ONE_MODULE),
    }
    edits = {
        "small": {"5": 5.0, "10": 10.0, "30": 30.0, "100": 100.0},
        "seed 2": {"3": 3.0, "5": 5.0, "20": 20.0},
        "full": {"5": 5.0, "10": 10.0, "50": 50.0},
        "W1": {"5": 5.0, "10": 10.0, "50": 50.0},
    }
    cases = [
        Case(
            f"{name}: logits times {text}",
            lambda name=name, factor=factor: _subject(changed(models[name](), louder(factor))),
            True,
        )
        for name, factors in edits.items()
        for text, factor in factors.items()
    ]
    return [
        *cases,
        Case("small: one task times 10", lambda: _subject(changed(trained(), louder(10.0, 0))), True),
        Case("small: other task times 10", lambda: _subject(changed(trained(), louder(10.0, 1))), True),
        Case("small: head times 10", lambda: _subject(changed(trained(), louder_hidden(10.0))), True),
        Case("seed 2: head times 5", lambda: _subject(changed(trained(seed=2), louder_hidden(5.0))), True),
        Case("full: steep tanh", lambda: _subject(changed(trained(features=FULL), steeper_bins(30.0))), True),
        Case("small: no labels", lambda: _subject(changed(trained(), louder(10.0)), labels=None), True),
        Case("small: 40 molecules", lambda: _subject(changed(trained(), louder(10.0)), 3000, 40), True),
        Case("small: other molecules", lambda: _subject(changed(trained(), louder(6.0)), 2000, 150), True),
    ]


def _controls() -> list[Case]:
    models: dict[str, Callable[[], ScreeningModel]] = {
        "small": trained,
        "seed 2": lambda: trained(seed=2),
        "full": lambda: trained(features=FULL),
        "W1": lambda: trained(network=ONE_MODULE),
    }
    cases = [
        Case(
            f"{name}, molecules from {start}{'' if labels else ', no labels'}",
            lambda make=make, start=start, labels=labels: _subject(make(), start, 150, labels),
            False,
        )
        for name, make in models.items()
        for start, labels in ((400, "true"), (1500, "true"), (2500, "true"), (3500, None))
    ]
    bundled = ("tox21-w2n2-simple", "tox21-w2n2-full", "tox21-w1n2-simple", "hiv-w2n2")
    cases += [
        Case(f"{name}, no labels", lambda name=name: _subject(load_model(name), 1000, 100, None), False)
        for name in bundled
    ]
    quiet = np.zeros((50, 2))
    return [
        *cases,
        Case("small, logits halved", lambda: _subject(changed(trained(), louder(0.5))), False),
        Case("small, one molecule", lambda: _subject(trained(), 401, 1), False),
        Case(
            "small, no active",
            lambda: audited(trained(), smiles=nci_smiles(50, 400), labels=quiet),
            False,
        ),
    ]


def cases() -> list[Case]:
    """All cases of this check."""
    return [*_planted(), *_controls()]
