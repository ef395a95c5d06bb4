"""Networks that do not see, or do not use, what an atom is bonded to; and networks that do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from support.planted import N_TRAINED, Case, audited, changed, trained
from support.small_model import nci_smiles

from molig.audit import AuditSubject
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet

Edit = Callable[[WeaveNet], object]

SMALL = ["NCCOCCO", "CSCCC=O", "C=C(C)C(N)=O", "Nc1ccc(Br)cc1", "CCCCNc1ccccc1", "CC(=O)OCCN(C)C"]
ALIKE = ["c1ccccc1", "CCCC", "ClC(Cl)(Cl)Cl", "O", "CC"]
"""Molecules without two atoms that differ in their neighbours only."""


def small(seed: int = 1, modules: int = 2, distance: int = 2, features: str = "simple") -> ScreeningModel:
    """Train a small WxNy model."""
    return trained(
        seed,
        network=(("n_modules", modules),),
        features=(("preset", features), ("max_pair_distance", distance)),
    )


def on(model: Callable[[], ScreeningModel], n: int, skip: int = 0, **settings: object) -> AuditSubject:
    """Subject on ``n`` compounds that the model has not seen."""
    return audited(model(), smiles=nci_smiles(n, N_TRAINED + skip), labels=None, **settings)


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


def cases() -> list[Case]:
    """At least 20 networks with the defect, and as many without."""
    return [*_planted(), *_clean()]


def _planted() -> list[Case]:
    w1, w1n1, w1n3 = (partial(small, modules=1, distance=d) for d in (2, 1, 3))
    w2, other, w2n3 = small, partial(small, 2), partial(small, 3, distance=3)
    paper, tox = (partial(load_model, name) for name in ("tox21-w1n2-simple", "tox21-w2n2-simple"))
    named: dict[str, Callable[[], AuditSubject]] = {
        "W1N2, 80 compounds": partial(on, w1, 80),
        "W1N2, 25 other compounds": partial(on, w1, 25, 300),
        "W1N2, one task": partial(on, w1, 40, 100, tasks=("carbonyl",)),
        "W1N2, six small molecules": lambda: audited(w1(), smiles=SMALL, labels=None),
        "W1N2, one molecule": lambda: audited(w1(), smiles=SMALL[:1], labels=None),
        "W1N1": partial(on, w1n1, 50),
        "W1N1, 20 other compounds": partial(on, w1n1, 20, 500),
        "W1N3": partial(on, w1n3, 60),
        "W1N3, 100 other compounds": partial(on, w1n3, 100, 400),
        "bundled W1N2": partial(on, paper, 40),
        "bundled W1N2, two tasks": partial(on, paper, 20, 200, tasks=("NR-AhR", "SR-MMP")),
    }
    cuts: dict[str, tuple[Callable[[], ScreeningModel], Edit]] = {
        "A->P weights 0": (w2, scale_atoms_of_pairs(0)),
        "A->P weights x 1e-5": (w2, scale_atoms_of_pairs(1e-5)),
        "A->P weights 0, other seed": (other, scale_atoms_of_pairs(0)),
        "A->P weights 0, N3": (w2n3, scale_atoms_of_pairs(0)),
        "A->P half of pair_out 0": (w2, drop_atom_half),
        "A->P half of pair_out 0, N3": (w2n3, drop_atom_half),
        "second P->A weights 0": (other, scale_pairs_of_atoms(0)),
        "second P->A weights x 1e-5": (w2, scale_pairs_of_atoms(1e-5)),
        "second P->A half of atom_out 0": (w2, drop_pair_half),
        "second P->A half of atom_out 0, N3": (w2n3, drop_pair_half),
        "pair states x 1e-5": (other, scale_pair_states(1e-5)),
        "pair states dead": (w2, dead("modules_.0.pair_out")),
        "A->P dead": (other, dead("modules_.0.atom_to_pair")),
        "second P->A dead": (w2n3, dead("modules_.1.pair_to_atom")),
        "bundled W2N2, A->P weights 0": (tox, scale_atoms_of_pairs(0)),
        "bundled W2N2, second P->A half of atom_out 0": (tox, drop_pair_half),
    }
    for place, (name, (model, edit)) in enumerate(cuts.items()):
        n, tasks = (25, ("SR-MMP",)) if model is tox else (60, ())
        named[f"W2, {name}"] = partial(on, cut(model, edit), n, 20 * place, tasks=tasks)
    return [Case(name, make, planted=True) for name, make in named.items()]


def _clean() -> list[Case]:
    w2, other, w2n3 = small, partial(small, 2), partial(small, 3, distance=3)
    full, w1_full = partial(small, features="full"), partial(small, modules=1, features="full")
    named: dict[str, Callable[[], AuditSubject]] = {
        "W2N2, 80 compounds": partial(on, w2, 80),
        "W2N2, 25 other compounds": partial(on, w2, 25, 300),
        "W2N2, one task": partial(on, w2, 40, 100, tasks=("carbonyl",)),
        "W2N2, six small molecules": lambda: audited(w2(), smiles=SMALL, labels=None),
        "W2N2, one molecule": lambda: audited(w2(), smiles=SMALL[:1], labels=None),
        "W2N2, other seed": partial(on, other, 80),
        "W2N2, other seed, six small molecules": lambda: audited(other(), smiles=SMALL, labels=None),
        "W2N2, nothing to compare": lambda: audited(w2(), smiles=ALIKE, labels=None),
        "W2N3": partial(on, w2n3, 60),
        "W2N3, other compounds": partial(on, w2n3, 60, 400),
        "W2N2 full": partial(on, full, 40),
        "W2N2 full, other compounds": partial(on, full, 25, 300),
        "W1N2 full: its features tell of the neighbours": partial(on, w1_full, 40),
        "W1N2 full, other compounds": partial(on, w1_full, 40, 300),
        "W2N2, a third of A->P cut": partial(on, cut(w2, drop_some(1 / 3)), 60),
        "W2N2, A->P halved": partial(on, cut(w2, scale_atoms_of_pairs(0.5)), 60, 60),
        "W2N2, A->P x 0.1": partial(on, cut(other, scale_atoms_of_pairs(0.1)), 60, 120),
        "full, second P->A cut: its features tell of the neighbours": partial(
            on, cut(partial(load_model, "hiv-w2n2"), drop_pair_half), 25, 300
        ),
        "W2N2, second P->A halved": partial(on, cut(other, scale_pairs_of_atoms(0.5)), 60, 180),
    }
    bundled = ("tox21-w2n2-simple", "tox21-w2n2-full", "hiv-w2n2", "muv-w2n2", "sars-3clpro-w2n2")
    for place, name in enumerate(bundled):
        tasks = ("NR-AhR", "SR-MMP") if name.startswith("tox21") else ()
        named[f"bundled {name}"] = partial(on, partial(load_model, name), 20, 50 * place, tasks=tasks)
    return [Case(name, make, planted=False) for name, make in named.items()]
