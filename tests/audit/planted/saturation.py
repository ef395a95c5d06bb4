"""Scores that respond to nothing any more: planted, and clean controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from support.planted import Case, Graded, Lab, NotShownError, audited, changed, two_rules, weave_network

from molig.audit import AuditSubject, subject_of
from molig.model import ScreeningModel
from molig.network import WeaveNet

Edit = Callable[[WeaveNet], object]
ALLOWED = 0.3
"""Share of other actives with a logit beyond 17 that a sound network may have."""
BUNDLED = ("tox21-w2n2-simple", "tox21-w1n2-simple", "hiv")


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


def to_level(lab: Lab, name: str, level: float, which: int = 0, task: int | None = None) -> ScreeningModel:
    """A network whose actives, other ones than those audited, have this logit in the middle."""
    model = lab.network(name, which=which)
    logits = subject_of(model, lab.shown_on).logits
    labels = np.array([list(two_rules(one).values()) for one in lab.shown_on])
    middle = [np.median(logits[labels[:, i] == 1, i]) for i in range(2)]
    factors = [level / one for one in middle]
    return changed(model, lambda net: [louder(f, i)(net) for i, f in enumerate(factors) if task in (None, i)])


def _subject(
    model: ScreeningModel, smiles: Sequence[str], labels: np.ndarray | str | None = "true"
) -> AuditSubject:
    return audited(model, smiles=smiles, labels=labels, max_explained=12)


def cases(seed: int) -> list[Case]:
    """Planted defects and clean controls of a seed."""
    lab = Lab(seed)
    return [*_planted(lab), *_controls(lab)]


def _planted(lab: Lab) -> list[Case]:
    levels = {("W2", 0): (25, 50, 300), ("W2", 1): (25, 100), ("full", 0): (30, 100), ("W1", 0): (30, 100)}
    cases = [
        Case(
            f"{name} {which}: logits of the actives at {level}",
            lambda name=name, which=which, level=level: _subject(
                to_level(lab, name, level, which), lab.compounds(150, 2 * level)
            ),
            True,
        )
        for (name, which), some in levels.items()
        for level in some
    ]
    steep = changed_steeply
    return [
        *cases,
        *(
            Case(
                f"W2: task {task} alone at 40",
                lambda task=task: _subject(to_level(lab, "W2", 40, task=task), lab.compounds(150, 700)),
                True,
            )
            for task in (0, 1)
        ),
        Case("W2: head times 20", lambda: _subject(steep(lab, "W2", louder_hidden(20.0)), lab.compounds(150, 900)), True),
        Case("full: steep tanh", lambda: _subject(steep(lab, "full", steeper_bins(30.0)), lab.compounds(100, 1050)), True),
        Case("W2: no labels", lambda: _subject(to_level(lab, "W2", 40), lab.compounds(150, 1200), None), True),
        Case("W2: 50 molecules", lambda: _subject(to_level(lab, "W2", 40, 1), lab.compounds(50, 1400)), True),
    ]  # fmt: skip


def changed_steeply(lab: Lab, name: str, edit: Edit) -> ScreeningModel:
    """A network with an edit that drives half of the logits of other actives beyond single precision."""
    model = changed(lab.network(name), edit)
    if (beyond := _beyond(lab, model, 20)) < 0.6:
        raise NotShownError(f"{name}: {beyond:.0%} of other actives have a logit beyond 20")
    return model


def sound(lab: Lab, name: str, which: int) -> ScreeningModel:
    """A network of whose actives, other ones than those audited, few are beyond single precision."""
    model = lab.network(name, which=which)
    if (beyond := _beyond(lab, model, 17)) > ALLOWED:
        raise NotShownError(f"{name} {which}: {beyond:.0%} of other actives have a logit beyond 17")
    return model


def _beyond(lab: Lab, model: ScreeningModel, bound: float) -> float:
    """Share of other actives with a larger logit, on the task that has most."""
    logits = subject_of(model, lab.shown_on).logits
    labels = np.array([list(two_rules(one).values()) for one in lab.shown_on])
    return float(max((np.abs(logits[labels[:, i] == 1, i]) > bound).mean() for i in range(2)))


def _controls(lab: Lab) -> list[Case]:
    networks = (("W2", 0), ("W2", 1), ("full", 0), ("W1", 0))
    cases = [
        Case(
            f"{name} {which}, no labels",
            lambda name=name, which=which: _subject(sound(lab, name, which), lab.compounds(150, 1500), None),
            False,
        )
        for name, which in networks
    ]
    cases += [
        Case(
            f"{name} {which}: logits of the actives at {level}",
            lambda name=name, which=which, level=level: _subject(
                to_level(lab, name, level, which), lab.compounds(150, 1600 + 50 * level)
            ),
            False,
        )
        for name, which in networks
        for level in (5, 10)
    ]
    cases += [
        Case(
            f"{name}, no labels",
            lambda name=name: _subject(weave_network(name), lab.compounds(60, 2500), None),
            False,
        )
        for name in BUNDLED
    ]
    quiet = np.zeros((50, 2))
    return [
        *cases,
        Case("W2, logits halved", lambda: _subject(changed(lab.network("W2"), louder(0.5)), lab.compounds(100, 2600)), False),
        Case("W2, one molecule", lambda: _subject(lab.network("W2"), lab.compounds(1, 2700)), False),
        Case("W2, no active", lambda: _subject(lab.network("W2"), lab.compounds(50, 2700), quiet), False),
    ]  # fmt: skip


def graded(seed: int) -> list[Graded]:
    """Networks whose actives have a growing logit."""
    lab = Lab(seed)
    return [
        Graded(
            "median logit of the actives",
            level,
            Case(
                f"{name}: {level}",
                lambda level=level, name=name: _subject(to_level(lab, name, level), lab.compounds(80, 3000)),
                True,
            ),
        )
        for name in ("W2", "W1")
        for level in (10, 14, 16, 18, 20)
    ]
