"""Baselines that are not neutral, or depend on size: planted, and clean controls."""

from __future__ import annotations

from collections.abc import Callable

from support.planted import Case, audited, changed, trained
from support.small_model import nci_smiles

from molig.audit import AuditSubject
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet

Edit = Callable[[WeaveNet], object]
FULL = (("preset", "full"),)
NOT_NEUTRAL = (("copies", 0),)


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


def _subject(model: ScreeningModel, start: int = 400, n: int = 100, **settings: object) -> AuditSubject:
    return audited(model, smiles=nci_smiles(n, start), labels=None, **settings)


def _planted() -> list[Case]:
    models: dict[str, Callable[[], ScreeningModel]] = {
        "small": trained,
        "seed 2": lambda: trained(seed=2),
        "full": lambda: trained(features=FULL),
        "tox21-w2n2-simple": lambda: load_model("tox21-w2n2-simple"),
    }
    edits: list[tuple[str, str, Edit]] = [
        *(("small", f"logits + {by:g}", shift(by)) for by in (1.5, 2.0, 4.0, 8.0)),
        *(
            ("small", f"logit of task {task} + {by:g}", shift(by, task))
            for task in (0, 1)
            for by in (2.0, 5.0)
        ),
        *(("seed 2", f"logits + {by:g}", shift(by)) for by in (2.0, 5.0)),
        *(("full", f"logits + {by:g}", shift(by, 1)) for by in (2.0, 5.0)),
        *(
            ("tox21-w2n2-simple", f"logit of task {t} + {by:g}", shift(by, t))
            for t, by in ((0, 3.0), (7, 5.0))
        ),
        ("small", "hidden layer shifted by 2", shift_hidden(2.0)),
        ("seed 2", "hidden layer shifted by 1", shift_hidden(1.0)),
        *(("small", f"logit grows by {rate:g} per atom", by_size(rate)) for rate in (0.15, 0.2, -0.15)),
        ("small", "other task grows by 0.2 per atom", by_size(0.2, 1, level=-12.0)),
        ("small", "histogram not divided by the root of the size", sums_not_roots),
    ]
    return [
        *(
            Case(
                f"{name}: {text}", lambda name=name, edit=edit: _subject(changed(models[name](), edit)), True
            )
            for name, text, edit in edits
        ),
        Case("trained without copies", lambda: _subject(trained(neutral=NOT_NEUTRAL)), True),
        Case("trained without copies, few", lambda: _subject(trained(neutral=NOT_NEUTRAL), 3000, 10), True),
        Case(
            "trained without copies, one task",
            lambda: _subject(trained(neutral=NOT_NEUTRAL), tasks=("carbonyl",)),
            True,
        ),
        Case("one molecule, logits + 4", lambda: _subject(changed(trained(), shift(4.0)), 401, 1), True),
    ]


def _controls() -> list[Case]:
    models: dict[str, Callable[[], ScreeningModel]] = {
        "small": trained,
        "seed 2": lambda: trained(seed=2),
        "full": lambda: trained(features=FULL),
        "tox21-w2n2-simple": lambda: load_model("tox21-w2n2-simple"),
        "tox21-w2n2-full": lambda: load_model("tox21-w2n2-full"),
        "hiv-w2n2": lambda: load_model("hiv-w2n2"),
    }
    cases = [
        Case(f"{name}, molecules from {start}", lambda make=make, start=start: _subject(make(), start), False)
        for name, make in models.items()
        for start in (400, 1500, 3000)
    ]
    return [
        *cases,
        Case("small, one molecule", lambda: _subject(trained(), 401, 1), False),
        Case("small, one task", lambda: _subject(trained(), tasks=("nitrogen",)), False),
        Case("small, logits - 3", lambda: _subject(changed(trained(), shift(-3.0))), False),
        Case("muv-w2n2", lambda: _subject(load_model("muv-w2n2")), False),
        Case("sars-3clpro-w2n2", lambda: _subject(load_model("sars-3clpro-w2n2")), False),
    ]


def cases() -> list[Case]:
    """All cases of this check."""
    return [*_planted(), *_controls()]
