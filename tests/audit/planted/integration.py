"""Networks that cannot be integrated, or only apparently: planted, and clean controls."""

from __future__ import annotations

from collections.abc import Callable

from support.planted import Case, audited, changed, trained
from support.small_model import nci_smiles

from molig.audit import AuditSubject
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet

Edit = Callable[[WeaveNet], object]
FULL = (("preset", "full"),)
ONE_MODULE = (("n_modules", 1),)


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


def _subject(model: ScreeningModel, start: int = 400, n: int = 25, **settings: object) -> AuditSubject:
    return audited(model, smiles=nci_smiles(n, start), labels=None, **settings)


def _models() -> dict[str, Callable[[], ScreeningModel]]:
    return {
        "small": trained,
        "seed 2": lambda: trained(seed=2),
        "full": lambda: trained(features=FULL),
        "W1": lambda: trained(network=ONE_MODULE),
        "tox21-w2n2-simple": lambda: load_model("tox21-w2n2-simple"),
    }


def _planted() -> list[Case]:
    edits: list[tuple[str, str, Edit]] = [
        ("small", "NaN in the last layer, one task", put("head.4.weight", (0, 0), NAN)),
        ("small", "NaN in the chlorine column", put("modules_.0.atom_to_atom.weight", (3, 7), NAN)),
        ("small", "NaN in the column of triple bonds", put("modules_.0.pair_to_atom.weight", (2, 2), NAN)),
        ("small", "infinite weight before the tanh", put("last_atom_layer.weight", (1, 3), INFINITE)),
        ("small", "infinite bias of a task", put("head.4.bias", (1,), INFINITE)),
        ("seed 2", "negative variance of the head", put("head.1.running_var", (5,), -1.0)),
        ("full", "NaN in the pair states", put("modules_.0.pair_out.bias", (4,), NAN)),
        ("full", "NaN in the head", put("head.0.weight", (3, 20), NAN)),
        ("W1", "NaN in the last layer", put("head.4.weight", (1, 5), NAN)),
        ("tox21-w2n2-simple", "NaN in one task of twelve", put("head.8.weight", (4, 9), NAN)),
        *(("small", f"head cancels {size:g}", cancel_in_head(size)) for size in (1e6, 1e7, 1e8)),
        *(("seed 2", f"head cancels {size:g}", cancel_in_head(size, 1)) for size in (1e6, 1e7)),
        *(("full", f"head cancels {size:g}", cancel_in_head(size)) for size in (1e6, 1e7)),
        *(("W1", f"head cancels {size:g}", cancel_in_head(size)) for size in (1e6, 1e7)),
        *(("small", f"atom states cancel {size:g}", cancel_in_module(size)) for size in (1e6, 1e7)),
        ("seed 2", "atom states cancel 1e+07", cancel_in_module(1e7)),
        ("W1", "atom states cancel 1e+07", cancel_in_module(1e7)),
        ("tox21-w2n2-simple", "head cancels 1e+07", _cancel_in_wide_head),
        ("small", "last layer times 1e+08", times("head.4.weight", 1e8)),
        ("full", "last layer times 1e+06", times("head.4.weight", 1e6)),
    ]
    models = _models()
    cases = [
        Case(
            f"{name}: {text}",
            lambda name=name, edit=edit: _subject(
                changed(models[name](), edit), n=12 if "tox21" in name else 25
            ),
            True,
        )
        for name, text, edit in edits
    ]
    only = put("head.4.bias", (0,), NAN)
    return [
        *cases,
        Case("small: NaN, one molecule", lambda: _subject(changed(trained(), only), 401, 1), True),
    ]


def _cancel_in_wide_head(network: WeaveNet) -> None:
    last = network.head[-1]
    network.head[5].bias[7] += 1e7
    last.bias.sub_(1e7 * last.weight[:, 7])


def _controls() -> list[Case]:
    models = _models() | {
        "tox21-w1n2-simple": lambda: load_model("tox21-w1n2-simple"),
        "hiv-w2n2": lambda: load_model("hiv-w2n2"),
    }
    cases = [
        Case(
            f"{name}, molecules from {start}",
            lambda make=make, start=start, name=name: _subject(make(), start, 10 if "-" in name else 25),
            False,
        )
        for name, make in models.items()
        for start in (400, 1500, 3000)
    ]
    return [
        *cases,
        Case("small, one molecule", lambda: _subject(trained(), 401, 1), False),
        Case("small, one atom", lambda: audited(trained(), smiles=["C"], labels=None), False),
        Case("full, one task", lambda: _subject(trained(features=FULL), tasks=("nitrogen",)), False),
        Case(
            "small, last layer times 2",
            lambda: _subject(changed(trained(), times("head.4.weight", 2.0))),
            False,
        ),
    ]


def cases() -> list[Case]:
    """All cases of this check."""
    return [*_planted(), *_controls()]
