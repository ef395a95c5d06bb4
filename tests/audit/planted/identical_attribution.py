"""Networks that do not see, or do not use, what an atom is bonded to; and networks that do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from support.planted import Case, Graded, Lab, audited, changed, weave_network

from molig.audit import AuditSubject
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet

Edit = Callable[[WeaveNet], object]

SMALL = ["NCCOCCO", "CSCCC=O", "C=C(C)C(N)=O", "Nc1ccc(Br)cc1", "CCCCNc1ccccc1", "CC(=O)OCCN(C)C"]
ALIKE = ["c1ccccc1", "CCCC", "ClC(Cl)(Cl)Cl", "O", "CC"]
"""Molecules without two atoms that differ in their neighbours only."""


def on(model: Callable[[], ScreeningModel], smiles: Sequence[str], **settings: object) -> AuditSubject:
    """Subject without labels."""
    return audited(model(), smiles=smiles, labels=None, **settings)


def cut(model: Callable[[], ScreeningModel], edit: Edit) -> Callable[[], ScreeningModel]:
    """Cut a path of a model."""
    return lambda: changed(model(), edit)


def scale_atoms_of_pairs(factor: float, module: int = 0) -> Edit:
    """Scale what pairs learn from their atoms: weights A->P."""
    return lambda net: net.modules_[module].atom_to_pair.weight.mul_(factor)


def drop_atom_half(net: WeaveNet) -> None:
    """Cut A->P where the new pair states are made."""
    out = net.modules_[0].pair_out
    out.weight[:, : out.weight.shape[1] // 2] = 0


def drop_pair_half(net: WeaveNet) -> None:
    """Cut P->A of the second module where the new atom states are made."""
    out = net.modules_[1].atom_out
    out.weight[:, out.weight.shape[1] // 2 :] = 0


def scale_pairs_of_atoms(factor: float) -> Edit:
    """Scale what atoms learn from their pairs in the second module: weights P->A."""
    return lambda net: net.modules_[1].pair_to_atom.weight.mul_(factor)


def scale_pair_states(factor: float) -> Edit:
    """Scale the new pair states."""
    return lambda net: (
        net.modules_[0].pair_out.weight.mul_(factor),
        net.modules_[0].pair_out.bias.mul_(factor),
    )


def dead(path: str) -> Edit:
    """Push the units of a layer below the threshold of relu."""
    return lambda net: net.get_submodule(path).bias.fill_(-1e4)


def drop_some(share: float) -> Edit:
    """Cut some units A->P: not all."""

    def edit(net: WeaveNet) -> None:
        weight = net.modules_[0].atom_to_pair.weight
        weight[: int(share * len(weight))] = 0

    return edit


def cases(seed: int) -> list[Case]:
    """Networks with the defect, and without, of a seed."""
    lab = Lab(seed)
    return [*_planted(lab), *_clean(lab)]


def _planted(lab: Lab) -> list[Case]:
    near = "W1N3" if lab.seed % 2 else "W1N1"
    w1, wider, w2n3 = (partial(lab.network, name) for name in ("W1", near, "W2N3"))
    w2, other = (partial(lab.network, "W2", which=which) for which in (0, 1))
    paper, tox = (partial(load_model, name) for name in ("tox21-w1n2-simple", "tox21-w2n2-simple"))
    named: dict[str, Callable[[], AuditSubject]] = {
        "W1N2, 40 compounds": lambda: on(w1, lab.compounds(40)),
        "W1N2, one task": lambda: on(w1, lab.compounds(25, 100), tasks=("carbonyl",)),
        "W1N2, six small molecules": lambda: on(w1, SMALL),
        near: lambda: on(wider, lab.compounds(30, 200)),
        f"{near}, other compounds": lambda: on(wider, lab.compounds(30, 300)),
        "bundled W1N2, two tasks": lambda: on(paper, lab.compounds(20, 400), tasks=("NR-AhR", "SR-MMP")),
    }
    cuts: dict[str, tuple[Callable[[], ScreeningModel], Edit]] = {
        "A->P weights 0": (w2, scale_atoms_of_pairs(0)),
        "A->P weights x 1e-5": (other, scale_atoms_of_pairs(1e-5)),
        "A->P half of pair_out 0, N3": (w2n3, drop_atom_half),
        "second P->A weights 0": (other, scale_pairs_of_atoms(0)),
        "second P->A half of atom_out 0": (w2, drop_pair_half),
        "pair states x 1e-5": (other, scale_pair_states(1e-5)),
        "pair states dead": (w2, dead("modules_.0.pair_out")),
        "second P->A dead": (w2n3, dead("modules_.1.pair_to_atom")),
        "bundled W2N2, A->P weights 0": (tox, scale_atoms_of_pairs(0)),
    }
    for place, (name, (model, edit)) in enumerate(cuts.items()):
        n, tasks = (20, ("SR-MMP",)) if model is tox else (30, ())
        named[f"W2, {name}"] = partial(on, cut(model, edit), lab.compounds(n, 500 + 40 * place), tasks=tasks)
    return [Case(name, make, planted=True) for name, make in named.items()]


def _clean(lab: Lab) -> list[Case]:
    w2n3, full = (partial(lab.network, name) for name in ("W2N3", "full"))
    w2, other = (partial(lab.network, "W2", which=which) for which in (0, 1))
    named: dict[str, Callable[[], AuditSubject]] = {
        "W2N2, 40 compounds": lambda: on(w2, lab.compounds(40, 1000)),
        "W2N2, one task": lambda: on(w2, lab.compounds(25, 1100), tasks=("carbonyl",)),
        "W2N2, six small molecules": lambda: on(w2, SMALL),
        "W2N2, one molecule": lambda: on(w2, SMALL[:1]),
        "W2N2, other weights": lambda: on(other, lab.compounds(40, 1200)),
        "W2N2, other weights, six small molecules": lambda: on(other, SMALL),
        "W2N3": lambda: on(w2n3, lab.compounds(30, 1300)),
        "W2N2 full": lambda: on(full, lab.compounds(15, 1400)),
        "full, second P->A cut: its features tell of the neighbours": lambda: on(
            cut(partial(weave_network, "hiv"), drop_pair_half), lab.compounds(12, 1500)
        ),
        "W2N2, a third of A->P cut": lambda: on(cut(w2, drop_some(1 / 3)), lab.compounds(30, 1600)),
        "W2N2, A->P halved": lambda: on(cut(other, scale_atoms_of_pairs(0.5)), lab.compounds(30, 1700)),
        "W2N2, second P->A halved": lambda: on(cut(w2, scale_pairs_of_atoms(0.5)), lab.compounds(30, 1800)),
    }
    for place, name in enumerate(("tox21-w2n2-simple", "tox21", "hiv")):
        tasks = ("NR-AhR", "SR-MMP") if name.startswith("tox21") else ()
        named[f"bundled {name}"] = partial(
            on, partial(weave_network, name), lab.compounds(12, 2000 + 20 * place), tasks=tasks
        )
    return [Case(name, make, planted=False) for name, make in named.items()]


def graded(seed: int) -> list[Graded]:
    """Networks whose pairs learn less and less of their atoms."""
    lab = Lab(seed)
    return [
        Graded(
            "factor on the weights A->P",
            factor,
            Case(
                f"W2 {which}: {factor:g}",
                lambda which=which, factor=factor: on(
                    cut(partial(lab.network, "W2", which=which), scale_atoms_of_pairs(factor)),
                    lab.compounds(30, 2100),
                ),
                True,
            ),
        )
        for which in (0, 1)
        for factor in (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3)
    ]
