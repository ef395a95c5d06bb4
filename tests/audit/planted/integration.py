"""Networks that cannot be integrated, or only apparently: planted, and clean controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from support.planted import Case, Graded, Lab, NotShownError, audited, changed, weave_network

from molig.audit import AuditSubject, subject_of
from molig.audit.checks.stability import in_double
from molig.audit.subject import probabilities
from molig.model import ScreeningModel
from molig.network import WeaveNet

Edit = Callable[[WeaveNet], object]
BUNDLED = ("tox21-w2n2-simple", "tox21-w1n2-simple", "hiv")


def put(name: str, place: tuple[int, ...], value: float) -> Edit:
    """Damage one weight."""

    def edit(network: WeaveNet) -> None:
        (network.get_parameter(name) if "running" not in name else network.get_buffer(name))[place] = value

    return edit


def times(name: str, factor: float) -> Edit:
    """Multiply a layer's weights."""

    def edit(network: WeaveNet) -> None:
        network.get_parameter(name).mul_(factor)

    return edit


def cancel_in_head(size: float, task: int = 0) -> Edit:
    """Add a huge number to a hidden unit of the head, and take it away again behind."""

    def edit(network: WeaveNet) -> None:
        last = network.head[-1]
        unit = int(last.weight[task].abs().argmax())
        network.head[1].bias[unit] += size
        last.bias.sub_(size * last.weight[:, unit])

    return edit


def cancel_in_module(size: float) -> Edit:
    """Add a huge number to an atom state, and take it away again before the tanh."""

    def edit(network: WeaveNet) -> None:
        last = network.last_atom_layer
        state = int(last.weight.abs().sum(dim=0).argmax())
        network.modules_[-1].atom_out.bias[state] += size
        last.bias.sub_(size * last.weight[:, state])

    return edit


NAN, INFINITE = float("nan"), float("inf")


def _subject(model: ScreeningModel, smiles: Sequence[str], **settings: object) -> AuditSubject:
    return audited(model, smiles=smiles, labels=None, **settings)


def cancel_in_wide_head(size: float) -> Edit:
    """As `cancel_in_head`, in a head of two hidden layers."""

    def edit(network: WeaveNet) -> None:
        last = network.head[-1]
        network.head[5].bias[7] += size
        last.bias.sub_(size * last.weight[:, 7])

    return edit


def rounded(lab: Lab, model: ScreeningModel) -> ScreeningModel:
    """The network, if scores of other molecules change in double precision."""
    graphs = model.featurize([one.mol for one in subject_of(model, lab.shown_on[:60]).molecules])
    single, double = (probabilities(one.logits(graphs)) for one in (model, in_double(model)))
    if (change := np.abs(single - double).max()) < 0.02:
        raise NotShownError(f"rounding changes scores by {change:.3f}")
    return model


def cases(seed: int) -> list[Case]:
    """Planted defects and clean controls of a seed."""
    lab = Lab(seed)
    return [*_planted(lab), *_controls(lab)]


def _models(lab: Lab) -> dict[str, Callable[[], ScreeningModel]]:
    return {
        "W2": lambda: lab.network("W2"),
        "W2, other weights": lambda: lab.network("W2", which=1),
        "full": lambda: lab.network("full"),
        "W1": lambda: lab.network("W1"),
        "tox21-w2n2-simple": lambda: weave_network("tox21-w2n2-simple"),
    }


def _planted(lab: Lab) -> list[Case]:
    # Fluorine, chlorine and triple bonds are in some molecules only.
    edits: list[tuple[str, str, Edit]] = [
        ("W2", "NaN in the last layer, one task", put("head.4.weight", (0, 0), NAN)),
        ("W2", "NaN in the chlorine column", put("modules_.0.atom_to_atom.weight", (3, 7), NAN)),
        ("W2", "NaN in the column of triple bonds", put("modules_.0.pair_to_atom.weight", (2, 2), NAN)),
        ("W2", "infinite weight before the tanh", put("last_atom_layer.weight", (1, 3), INFINITE)),
        ("W2", "infinite bias of a task", put("head.4.bias", (1,), INFINITE)),
        ("W2, other weights", "negative variance of the head", put("head.1.running_var", (5,), -1.0)),
        ("full", "NaN in the pair states", put("modules_.0.pair_out.bias", (4,), NAN)),
        ("W1", "NaN in the last layer", put("head.4.weight", (1, 5), NAN)),
        ("tox21-w2n2-simple", "NaN in one task of twelve", put("head.8.weight", (4, 9), NAN)),
    ]
    cancelled: list[tuple[str, str, Edit]] = [
        *(("W2", f"head cancels {size:g}", cancel_in_head(size)) for size in (1e7, 1e8)),
        ("W2, other weights", "head cancels 3e+07", cancel_in_head(3e7, 1)),
        ("full", "head cancels 1e+07", cancel_in_head(1e7)),
        ("W1", "head cancels 1e+07", cancel_in_head(1e7)),
        ("W2", "atom states cancel 1e+07", cancel_in_module(1e7)),
        ("W1", "atom states cancel 1e+07", cancel_in_module(1e7)),
        ("tox21-w2n2-simple", "head cancels 1e+07", cancel_in_wide_head(1e7)),
    ]
    models = _models(lab)
    sizes = {"tox21-w2n2-simple": 12}
    return [
        *(
            Case(
                f"{name}: {text}",
                lambda name=name, edit=edit, i=i: _subject(
                    changed(models[name](), edit), _varied(lab, sizes.get(name, 20), 60 * i)
                ),
                True,
            )
            for i, (name, text, edit) in enumerate(edits)
        ),
        *(
            Case(
                f"{name}: {text}",
                lambda name=name, edit=edit, i=i: _subject(
                    rounded(lab, changed(models[name](), edit)), lab.compounds(sizes.get(name, 25), 600 + 60 * i)
                ),
                True,
            )
            for i, (name, text, edit) in enumerate(cancelled)
        ),
        Case(
            "W2: NaN, one molecule",
            lambda: _subject(changed(lab.network("W2"), put("head.4.bias", (0,), NAN)), lab.compounds(1, 1300)),
            True,
        ),
    ]  # fmt: skip


def _varied(lab: Lab, n: int, start: int) -> list[str]:
    """Compounds, and after them a chlorobenzene and a nitrile, so that every planted column occurs."""
    return [*lab.compounds(n, start), "Cc1ccccc1Cl", "CCCC#N"]


def _controls(lab: Lab) -> list[Case]:
    models = _models(lab) | {
        "W2N3": lambda: lab.network("W2N3"),
        "SiLU": lambda: lab.network("SiLU"),
        "tox21-w1n2-simple": lambda: weave_network("tox21-w1n2-simple"),
        "hiv": lambda: weave_network("hiv"),
    }
    cases = [
        Case(
            f"{name}, molecules from {start}",
            lambda make=make, start=start, name=name: _subject(
                make(), lab.compounds(8 if name in BUNDLED else 25, start)
            ),
            False,
        )
        for name, make in models.items()
        for start in ((1400, 2200) if name not in BUNDLED else (1400,))
    ]
    return [
        *cases,
        Case("W2, one molecule", lambda: _subject(lab.network("W2"), lab.compounds(1, 3000)), False),
        Case("W2, one atom", lambda: audited(lab.network("W2"), smiles=["C"], labels=None), False),
        Case(
            "W2, last layer times 2",
            lambda: _subject(
                changed(lab.network("W2"), times("head.4.weight", 2.0)), lab.compounds(25, 3000)
            ),
            False,
        ),
    ]


def graded(seed: int) -> list[Graded]:
    """Numbers of growing size that cancel each other inside the network."""
    lab = Lab(seed)
    return [
        Graded(
            "size of the numbers that cancel in the head",
            size,
            Case(
                f"{name}: {size:g}",
                lambda size=size, name=name: _subject(
                    changed(lab.network(name), cancel_in_head(size)), lab.compounds(25, 3100)
                ),
                True,
            ),
        )
        for name in ("W2", "W1")
        for size in (1e3, 1e4, 3e4, 1e5, 1e6, 1e7)
    ]
