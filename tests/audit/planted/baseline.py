"""Baselines that are not neutral, or depend on size: planted, and clean controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from support.planted import NEUTRAL, Case, Graded, Lab, NotShownError, audited, changed, weave_network

from molig.audit import AuditSubject, subject_of
from molig.audit.subject import probabilities
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet

Edit = Callable[[WeaveNet], object]
Make = Callable[[], ScreeningModel]
BUNDLED = ("tox21-w2n2-simple", "tox21", "hiv", "muv", "sars-3clpro")


def shift(by: float, task: int | None = None) -> Edit:
    """Add to the logits of one or all tasks."""

    def edit(network: WeaveNet) -> None:
        network.head[-1].bias[slice(None) if task is None else [task]] += by

    return edit


def shift_hidden(by: float) -> Edit:
    """Add to what the batch normalisation of the head gives on, against the signs of the last weights."""

    def edit(network: WeaveNet) -> None:
        signs = network.head[-1].weight.sum(dim=0).sign()
        network.head[1].bias.add_(by * signs)

    return edit


def by_size(rate: float, task: int = 0, *, middle: float = 15.0, level: float = -8.0) -> Edit:
    """Let the logit of one task grow with the number of atoms, whatever their features, and nothing else."""

    def edit(network: WeaveNet) -> None:
        # Undivided, the memberships of a channel add up to the number of atoms.
        network.readout.size_exponent = 0.0
        first, width = network.head[0], network.config.atom_depth
        counts = first.weight.new_zeros(first.weight.shape[1])
        counts[::width] = 1.0
        first.weight.mul_(0.0)
        first.bias.mul_(0.0)
        first.weight[0], first.bias[0] = counts, -middle
        norm, last = network.head[1], network.head[-1]
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)
        norm.weight.fill_(1.0)
        norm.bias.fill_(40.0)
        last.weight.zero_()
        last.bias[:] = level
        last.weight[task, 0] = rate
        last.bias[task] -= rate * (40.0 - middle)

    return edit


def sums_not_roots(network: WeaveNet) -> None:
    """Forget to divide the histogram by the root of the number of atoms."""
    network.readout.size_exponent = 0.0


def _subject(model: ScreeningModel, smiles: Sequence[str], **settings: object) -> AuditSubject:
    return audited(model, smiles=smiles, labels=None, **settings)


def not_neutral(lab: Lab, model: ScreeningModel) -> ScreeningModel:
    """The network, if the baselines of other molecules are not neutral."""
    subject = subject_of(model, lab.shown_on)
    above = (probabilities(subject.baseline_logits) > NEUTRAL).mean(axis=0).max()
    if above < 0.01:
        raise NotShownError(f"the baseline is above {NEUTRAL} for {above:.1%} of the molecules")
    return model


def cases(seed: int) -> list[Case]:
    """Planted defects and clean controls of a seed."""
    lab = Lab(seed)
    return [*_planted(lab), *_controls(lab)]


def _planted(lab: Lab) -> list[Case]:
    edits: list[tuple[Make, str, Edit]] = [
        *((partial(lab.network, "W2"), f"W2: logits + {by:g}", shift(by)) for by in (1.5, 4.0)),
        *(
            (partial(lab.network, "W2", which=1), f"W2: logit of task {task} + {by:g}", shift(by, task))
            for task, by in ((0, 2.0), (1, 5.0))
        ),
        (partial(lab.network, "full"), "full: logit + 2", shift(2.0, 1)),
        (partial(load_model, "tox21-w2n2-simple"), "tox21-w2n2-simple: logit of task 0 + 3", shift(3.0, 0)),
        (partial(load_model, "tox21-w2n2-simple"), "tox21-w2n2-simple: logit of task 7 + 5", shift(5.0, 7)),
        (partial(lab.network, "W2"), "W2: hidden layer shifted by 2", shift_hidden(2.0)),
        (partial(lab.network, "W2", which=1), "W2: hidden layer shifted by 1", shift_hidden(1.0)),
        (partial(lab.network, "W2"), "W2: histogram not divided by the root of the size", sums_not_roots),
    ]
    sized = [
        ("logit grows by 0.2 per atom", by_size(0.2)),
        ("logit falls by 0.15 per atom", by_size(-0.15)),
        ("other task grows by 0.2 per atom", by_size(0.2, 1, level=-12.0)),
    ]
    return [
        *(
            Case(
                name,
                lambda make=make, edit=edit, i=i: _subject(
                    not_neutral(lab, changed(make(), edit)), lab.compounds(100, 100 * i)
                ),
                True,
            )
            for i, (make, name, edit) in enumerate(edits)
        ),
        *(
            Case(
                f"W2: {name}",
                lambda edit=edit, i=i: _subject(
                    changed(lab.network("W2"), edit), lab.compounds(100, 1000 + 100 * i)
                ),
                True,
            )
            for i, (name, edit) in enumerate(sized)
        ),
        Case("trained without copies", lambda: _subject(lab.network("no copies", "nitrogen"), lab.compounds(100, 1300)), True),
        Case(
            "trained without copies, few", lambda: _subject(lab.network("no copies", "nitrogen"), lab.compounds(20, 1400)), True
        ),
        Case(
            "one molecule, logits + 4",
            lambda: _subject(changed(lab.network("W2"), shift(4.0)), lab.compounds(1, 1500)),
            True,
        ),
    ]  # fmt: skip


def _controls(lab: Lab) -> list[Case]:
    models: dict[str, Make] = {
        "W2": partial(lab.network, "W2"),
        "W2, other weights": partial(lab.network, "W2", which=1),
        "full": partial(lab.network, "full"),
        "W1": partial(lab.network, "W1"),
        **{name: partial(weave_network, name) for name in BUNDLED},
    }
    cases = [
        Case(
            f"{name}, molecules from {start}",
            lambda make=make, start=start: _subject(make(), lab.compounds(100, start)),
            False,
        )
        for name, make in models.items()
        for start in ((1600, 2600) if name not in BUNDLED else (2000,))
    ]
    return [
        *cases,
        Case("W2, one molecule", lambda: _subject(lab.network("W2"), lab.compounds(1, 1800)), False),
        Case("W2, logits - 3", lambda: _subject(changed(lab.network("W2"), shift(-3.0)), lab.compounds(100, 1900)), False),
    ]  # fmt: skip


def graded(seed: int) -> list[Graded]:
    """Baselines that a growing number was added to the logit of."""
    lab = Lab(seed)
    return [
        Graded(
            "added to the logits of a neutral baseline",
            by,
            Case(
                f"{name}: logits + {by:g}",
                lambda by=by, name=name: _subject(changed(lab.network(name), shift(by)), lab.compounds(100, 300)),
                True,
            ),
        )
        for name in ("W2", "full")
        for by in (0.2, 0.4, 0.6, 0.8, 1.0, 1.5)
    ]  # fmt: skip
