"""Layers without a part in the score, and explanations that do not depend on the weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from support.planted import N_TRAINED, Case, audited, changed, trained
from support.small_model import nci_smiles
from torch import Tensor

from molig.audit import AuditSubject
from molig.model import ScreeningModel, load_model
from molig.network import GraphBatch, WeaveNet

Edit = Callable[[WeaveNet], object]
Make = Callable[[], ScreeningModel]


def on(model: Make, n: int = 24, skip: int = 0, **settings: object) -> AuditSubject:
    """Subject on ``n`` compounds that the model has not seen."""
    return audited(model(), smiles=nci_smiles(n, N_TRAINED + skip), labels=None, **settings)


def cut(model: Make, *edits: Edit) -> Make:
    """Make a copy with some paths cut."""
    return lambda: changed(model(), lambda net: [edit(net) for edit in edits])


def w1() -> ScreeningModel:
    """Train a small W1N2 model."""
    return trained(1, network=(("n_modules", 1),))


def wide() -> ScreeningModel:
    """Train a small W2N2 model with two hidden layers and other readout and nonlinearity."""
    return trained(3, network=(("hidden", (24, 12)), ("readout", "sum"), ("activation", "silu")))


def half(path: str, side: int, factor: float = 0.0) -> Edit:
    """Scale what a layer takes from the first (0) or second (1) half of its input."""

    def edit(net: WeaveNet) -> None:
        weight = net.get_submodule(path).weight
        width = weight.shape[1] // 2
        weight[:, side * width : (side + 1) * width] *= factor

    return edit


def whole(path: str, factor: float = 0.0) -> Edit:
    """Scale all that a layer takes up."""
    return lambda net: net.get_submodule(path).weight.mul_(factor)


def dead(path: str) -> Edit:
    """Push the units of a layer below the threshold of relu."""
    return lambda net: net.get_submodule(path).bias.fill_(-1e4)


class HardWired(WeaveNet):
    """A network with a score that goes past its weights: a fixed sum over features."""

    fixed_atoms: Tensor
    fixed_pairs: Tensor
    strength: float

    def forward(self, batch: GraphBatch) -> Tensor:
        """Add the fixed score to that of the network."""
        added = torch.zeros(batch.n_mols, dtype=batch.atom_inputs.dtype, device=batch.atom_inputs.device)
        molecule = torch.repeat_interleave(torch.arange(batch.n_mols), batch.atom_counts)
        atoms = (batch.atom_inputs @ self.fixed_atoms)[batch.atom_kind]
        pairs = (batch.pair_inputs @ self.fixed_pairs)[batch.pair_kind]
        added = added.index_add(0, molecule, atoms).index_add(0, molecule[batch.pair_atoms[0]], pairs)
        scores: Tensor = super().forward(batch) + self.strength * added[:, None]
        return scores


def hard_wired(model: Make, strength: float, seed: int, *, atoms: bool = True, pairs: bool = True) -> Make:
    """Let a random but fixed function of atoms and pairs bypass the weights of a model."""

    def edit(net: WeaveNet) -> None:
        random = torch.Generator().manual_seed(seed)
        first = net.modules_[0]
        net.__class__ = HardWired
        net.strength = strength
        net.fixed_atoms = torch.randn(first.atom_to_atom.in_features, generator=random) * atoms
        net.fixed_pairs = torch.randn(first.pair_to_atom.in_features, generator=random) * pairs

    return lambda: changed(model(), edit)


def cases() -> list[Case]:
    """At least 20 models with the defect, and as many without."""
    return [*_planted(), *_clean()]


def _idle() -> dict[str, tuple[Make, Edit]]:
    tox, hiv, sars = (partial(load_model, n) for n in ("tox21-w2n2-simple", "hiv-w2n2", "sars-3clpro-w2n2"))
    return {
        "first A->A cut": (trained, half("modules_.0.atom_out", 0)),
        "first P->A cut": (trained, half("modules_.0.atom_out", 1)),
        "first A->P cut": (trained, half("modules_.0.pair_out", 0)),
        "first P->P cut": (trained, half("modules_.0.pair_out", 1)),
        "first P->P all but cut": (trained, half("modules_.0.pair_out", 1, 1e-4)),
        "pair states cut": (trained, whole("modules_.1.pair_to_atom")),
        "pair states all but cut": (trained, whole("modules_.1.pair_to_atom", 1e-5)),
        "pair states dead": (trained, dead("modules_.0.pair_out")),
        "second A->A cut": (trained, half("modules_.1.atom_out", 0)),
        "second P->A cut": (trained, half("modules_.1.atom_out", 1)),
        "second A->A dead and cut": (trained, half("modules_.1.atom_out", 0, 1e-6)),
        "W1, A->A cut": (w1, half("modules_.0.atom_out", 0)),
        "W1, P->A cut": (w1, half("modules_.0.atom_out", 1)),
        "W1, P->A all but cut": (w1, half("modules_.0.atom_out", 1, 1e-4)),
        "SiLU, sum, first A->A cut": (wide, half("modules_.0.atom_out", 0)),
        "SiLU, sum, first A->P cut": (wide, half("modules_.0.pair_out", 0)),
        "SiLU, sum, second A->A cut": (wide, half("modules_.1.atom_out", 0)),
        "bundled Tox21, first P->P cut": (tox, half("modules_.0.pair_out", 1)),
        "bundled HIV, second A->A cut": (hiv, half("modules_.1.atom_out", 0)),
        "bundled 3CLpro, pair states cut": (sars, whole("modules_.1.pair_to_atom")),
    }


def _planted() -> list[Case]:
    named: dict[str, Callable[[], AuditSubject]] = {
        name: partial(on, cut(model, edit), skip=12 * place)
        for place, (name, (model, edit)) in enumerate(_idle().items())
    }
    named |= {
        "score past the weights": partial(on, hard_wired(trained, 30.0, 1)),
        "score past the weights, weaker": partial(on, hard_wired(trained, 10.0, 2), skip=50),
        "score past the weights, atoms only": partial(on, hard_wired(trained, 30.0, 3, pairs=False)),
        "score past the weights, pairs only": partial(on, hard_wired(trained, 30.0, 4, atoms=False)),
        "score past the weights, W1": partial(on, hard_wired(w1, 20.0, 5), skip=100),
        "score past the weights, SiLU": partial(on, hard_wired(wide, 30.0, 6), skip=150),
    }
    return [Case(name, make, planted=True) for name, make in named.items()]


def _clean() -> list[Case]:
    named: dict[str, Callable[[], AuditSubject]] = {
        f"W2N2, compounds {skip} and on": partial(on, trained, skip=skip) for skip in (0, 60, 120, 200, 300)
    }
    named |= {f"W1N2, compounds {skip} and on": partial(on, w1, skip=skip) for skip in (0, 60, 120, 250)}
    named |= {f"SiLU, sum, compounds {skip} and on": partial(on, wide, skip=skip) for skip in (0, 80, 160)}
    named |= {
        "W2N2, one task": partial(on, trained, skip=400, tasks=("carbonyl",)),
        "W2N2, other random weights": partial(on, trained, skip=20, seed=7),
        "W2N2, ten molecules": partial(on, trained, 10, 350),
        "W2N2, one molecule": partial(on, trained, 1, 351),
        "W2N2, first A->A halved": partial(on, cut(trained, half("modules_.0.atom_out", 0, 0.5)), skip=40),
        "W2N2, second P->A x 0.3": partial(on, cut(trained, half("modules_.1.atom_out", 1, 0.3)), skip=90),
        "W1N2, P->A halved": partial(on, cut(w1, half("modules_.0.atom_out", 1, 0.5)), skip=190),
        "W2N2, weak score past the weights": partial(on, hard_wired(trained, 0.1, 8), skip=10),
    }
    for place, name in enumerate(("tox21-w2n2-simple", "tox21-w1n2-simple", "hiv-w2n2", "muv-w2n2")):
        named[f"bundled {name}"] = partial(on, partial(load_model, name), skip=40 * place)
    return [Case(name, make, planted=False) for name, make in named.items()]
