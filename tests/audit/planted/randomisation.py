"""Layers without a part in the score, and explanations that do not depend on the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from scipy.stats import spearmanr
from support.planted import Case, Graded, Lab, NotShownError, audited, changed, weave_network
from torch import Tensor

from molig.audit import AuditSubject, subject_of
from molig.audit.checks.randomisation import layers_of, redrawn
from molig.model import ScreeningModel, load_model
from molig.network import GraphBatch, WeaveNet

Edit = Callable[[WeaveNet], object]
Make = Callable[[], ScreeningModel]
N = 10
"""Molecules of an audit."""


def on(model: Make, smiles: Sequence[str], **settings: object) -> AuditSubject:
    """Subject without labels."""
    return audited(model(), smiles=smiles, labels=None, **settings)


def cut(model: Make, *edits: Edit) -> Make:
    """Make a copy with some paths cut."""
    return lambda: changed(model(), lambda net: [edit(net) for edit in edits])


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


def past(lab: Lab, model: Make, strength: float, **sides: bool) -> Make:
    """As `hard_wired`, if copies with other weights rank other molecules alike."""

    def make() -> ScreeningModel:
        sound = hard_wired(model, strength, lab.seed, **sides)()
        graphs = sound.featurize([one.mol for one in subject_of(sound, lab.shown_on[:100]).molecules])
        copy = redrawn(sound, layers_of(sound.network), lab.seed)
        alike = float(spearmanr(sound.logits(graphs)[:, 0], copy.logits(graphs)[:, 0]).statistic)
        if alike < 0.9:
            raise NotShownError(f"scores of a copy with random weights have rank correlation {alike:.2f}")
        return sound

    return make


def cases(seed: int) -> list[Case]:
    """Models with the defect, and without, of a seed."""
    lab = Lab(seed)
    return [*_planted(lab), *_clean(lab)]


def _planted(lab: Lab) -> list[Case]:
    w2, w1, wide = (partial(lab.network, name) for name in ("W2", "W1", "SiLU"))
    other = partial(lab.network, "W2", which=1)
    sars = partial(weave_network, "sars-3clpro")
    idle: dict[str, tuple[Make, Edit]] = {
        "first A->A cut": (w2, half("modules_.0.atom_out", 0)),
        "first P->A cut": (other, half("modules_.0.atom_out", 1)),
        "first A->P cut": (w2, half("modules_.0.pair_out", 0)),
        "pair states cut": (w2, whole("modules_.1.pair_to_atom")),
        "W1, A->A cut": (w1, half("modules_.0.atom_out", 0)),
        "SiLU, sum, first A->P cut": (wide, half("modules_.0.pair_out", 0)),
        "bundled 3CLpro, pair states cut": (sars, whole("modules_.1.pair_to_atom")),
    }
    named: dict[str, Callable[[], AuditSubject]] = {
        name: partial(on, cut(model, edit), lab.compounds(8 if model is sars else N, 40 * place))
        for place, (name, (model, edit)) in enumerate(idle.items())
    }
    named |= {
        "score past the weights": partial(on, past(lab, w2, 30.0), lab.compounds(N, 500)),
        "score past the weights, atoms only": partial(on, past(lab, other, 60.0, pairs=False), lab.compounds(N, 550)),
        "score past the weights, W1": partial(on, past(lab, w1, 30.0), lab.compounds(N, 600)),
    }  # fmt: skip
    return [Case(name, make, planted=True) for name, make in named.items()]


def _clean(lab: Lab) -> list[Case]:
    w2, w1, wide = (partial(lab.network, name) for name in ("W2", "W1", "SiLU"))
    other = partial(lab.network, "W2", which=1)
    named: dict[str, Callable[[], AuditSubject]] = {
        "W2N2": partial(on, w2, lab.compounds(N, 1000)),
        "W2N2, other weights": partial(on, other, lab.compounds(N, 1200)),
        "W2N2, other weights and compounds": partial(on, other, lab.compounds(N, 1300)),
        "W1N2": partial(on, w1, lab.compounds(N, 1400)),
        "SiLU, sum": partial(on, wide, lab.compounds(N, 1600)),
        "W2N2, one task": partial(on, w2, lab.compounds(N, 1800), tasks=("carbonyl",)),
        "W2N2, other random weights": partial(on, w2, lab.compounds(N, 1900), seed=7),
        "W2N2, first A->A halved": partial(on, cut(w2, half("modules_.0.atom_out", 0, 0.5)), lab.compounds(N, 2100)),
        "W2N2, weak score past the weights": partial(on, hard_wired(w2, 0.1, 8), lab.compounds(N, 2200)),
        "bundled tox21-w1n2-simple": partial(
            on, partial(load_model, "tox21-w1n2-simple"), lab.compounds(8, 2300), tasks=("NR-AhR", "SR-MMP")
        ),
    }  # fmt: skip
    return [Case(name, make, planted=False) for name, make in named.items()]


def graded(seed: int) -> list[Graded]:
    """Scores of which a growing part goes past the weights."""
    lab = Lab(seed)
    return [
        Graded(
            "strength of a score past the weights",
            strength,
            Case(
                f"W1: {strength:g}",
                lambda strength=strength: on(
                    hard_wired(partial(lab.network, "W1"), strength, seed), lab.compounds(N, 2500)
                ),
                True,
            ),
        )
        for strength in (0.3, 1.0, 3.0, 10.0, 30.0)
    ]
