"""Features that follow the order of atoms, networks in training mode, parsers that read texts, not compounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from rdkit import Chem
from scipy.stats import spearmanr
from support.planted import Case, Graded, Lab, NotShownError, audited, changed
from torch import nn

from molig.audit import AuditSubject, subject_of
from molig.features import PackedGraphs
from molig.model import ScreeningModel, load_model
from molig.molecules import Molecule, Rejection

EVERY_LAYER = (nn.Dropout, nn.BatchNorm1d)


class FeaturizerOf:
    """A featurizer with a defect."""

    def __init__(self, model: ScreeningModel, spoil: Callable[[PackedGraphs, list], PackedGraphs]) -> None:
        self.inner, self.spoil = model.featurizer, spoil

    def featurize(self, mols):
        return self.spoil(self.inner.featurize(mols), mols)


class ParserOf:
    """A parser that reads SMILES in a way of its own."""

    def __init__(self, model: ScreeningModel, read: Callable[[str], Chem.Mol | None]) -> None:
        self.inner, self.read = model.parser, read

    def parse_many(self, records):
        molecules, rejections = [], []
        for record in records:
            mol = self.read(record.smiles)
            if mol is None:
                rejections.append(Rejection(record.row, record.id, record.smiles, "unreadable"))
            else:
                molecules.append(Molecule(record.row, record.id, record.smiles, mol))
        return molecules, rejections


def with_features(model, spoil):
    twin = changed(model, lambda network: None)
    twin.featurizer = FeaturizerOf(model, spoil)
    return twin


def with_parser(model, read):
    twin = changed(model, lambda network: None)
    twin.parser = ParserOf(model, read)
    return twin


def in_training(model, kinds):
    twin = changed(model, lambda network: None)
    for module in twin.network.modules():
        if isinstance(module, kinds):
            module.train()
    return twin


def places(graphs):
    starts = np.repeat(np.cumsum(graphs.atom_counts) - graphs.atom_counts, graphs.atom_counts)
    return np.arange(graphs.n_atoms) - starts


def recode_atoms(where, code, block=0):
    def spoil(graphs, mols):
        codes = graphs.atom_codes.copy()
        codes[where(graphs), block] = code
        return replace(graphs, atom_codes=codes)

    return spoil


def recode_pairs(where, code, block=0):
    def spoil(graphs, mols):
        codes = graphs.pair_codes.copy()
        codes[where(graphs), block] = code
        return replace(graphs, pair_codes=codes)

    return spoil


def last(graphs):
    return places(graphs) == np.repeat(graphs.atom_counts - 1, graphs.atom_counts)


def chirality_by_order(graphs, mols):
    values = graphs.atom_values.copy()
    values[:, 0] = places(graphs) % 2
    return replace(graphs, atom_values=values)


class Spoiled(nn.Module):
    """Layers followed by something that looks across the batch."""

    def __init__(self, inner: nn.Module, spoil: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.inner, self.spoil = inner, spoil

    def forward(self, *inputs):
        return self.spoil(self.inner(*inputs))


def across_batch(model, spoil, part="head"):
    twin = changed(model, lambda network: None)
    setattr(twin.network, part, Spoiled(getattr(twin.network, part), spoil))
    return twin


def cancelling(size):
    def edit(network):
        hidden, out = network.head[0], network.head[-1]
        hidden.weight[0], hidden.bias[0] = 0, size
        for module in network.head:
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean[0], module.running_var[0] = 0, 1
                module.weight[0], module.bias[0] = 1, 0
        out.weight[:, 0] = 1
        out.bias -= size

    return edit


def kekulized(smiles):
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is not None:
        Chem.SanitizeMol(mol, Chem.SANITIZE_ALL ^ Chem.SANITIZE_SETAROMATICITY ^ Chem.SANITIZE_KEKULIZE)
    return mol


def keeping_hydrogens(smiles):
    params = Chem.SmilesParserParams()
    params.removeHs = False
    return Chem.MolFromSmiles(smiles, params)


def first_written(smiles):
    mol = Chem.RWMol(Chem.MolFromSmiles(smiles))
    if mol.GetNumAtoms() > 1:
        mol.GetAtomWithIdx(0).SetAtomicNum(9 if mol.GetAtomWithIdx(0).GetDegree() == 1 else 6)
    return mol.GetMol()


def scrambled(seed):
    def edit(network):
        generator = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            flat = parameter.view(-1)
            flat.copy_(flat[torch.randperm(len(flat), generator=generator)])

    return edit


def swap_tasks(network):
    network.head[-1].weight.copy_(network.head[-1].weight.flip(0))
    network.head[-1].bias.copy_(network.head[-1].bias.flip(0))


def negate(task):
    def edit(network):
        network.head[-1].weight[task] *= -1
        network.head[-1].bias[task] *= -1

    return edit


def unlike(lab: Lab, model: ScreeningModel, partner: ScreeningModel) -> ScreeningModel:
    """The partner, if it ranks other molecules otherwise on some task."""
    first, second = (subject_of(one, lab.shown_on).logits for one in (model, partner))
    if (least := min(spearmanr(a, b).statistic for a, b in zip(first.T, second.T, strict=True))) > 0.4:
        raise NotShownError(f"the partner's scores have rank correlation {least:.2f} or more")
    return partner


def felt(lab: Lab, spoilt: ScreeningModel, sound: ScreeningModel, least: float = 0.05) -> ScreeningModel:
    """The spoilt network, if logits of other molecules are not those of the sound one."""
    first, second = (subject_of(one, lab.shown_on[:100]).logits for one in (spoilt, sound))
    if (change := np.abs(first - second).max()) < least:
        raise NotShownError(f"logits change by {change:.3g} at most")
    return spoilt


def cases(seed: int) -> list[Case]:
    """Planted defects and clean controls of a seed."""
    lab = Lab(seed)
    small, other = (partial(lab.network, "W2", which=which) for which in (0, 1))
    full = partial(lab.network, "full")
    spoilt = {
        "atoms at even places are carbon": lambda: with_features(small(), recode_atoms(lambda g: places(g) % 2 == 0, 1)),
        "last atom without a type": lambda: with_features(small(), recode_atoms(last, -1)),
        "first atom is other": lambda: felt(lab, with_features(other(), recode_atoms(lambda g: places(g) == 0, 10)), other()),
        "atoms after the twelfth are other": lambda: felt(lab, with_features(small(), recode_atoms(lambda g: places(g) > 11, 10)), small()),
        "pairs of the first atom without a bond": lambda: with_features(small(), recode_pairs(lambda g: g.pair_atoms[:, 0] == 0, -1)),
        "every tenth pair is a double bond": lambda: with_features(other(), recode_pairs(lambda g: np.arange(g.n_pairs) % 10 == 0, 1)),
        "chirality by the order of atoms": lambda: felt(lab, with_features(full(), chirality_by_order), full()),
        "training mode": lambda: in_training(small(), EVERY_LAYER),
        "dropout active": lambda: in_training(other(), nn.Dropout),
        "batch normalisation in training mode": lambda: in_training(small(), nn.BatchNorm1d),
        "batch normalisation in training mode, full": lambda: in_training(full(), nn.BatchNorm1d),
        "logits centred over the batch": lambda: across_batch(small(), lambda x: x - x.mean(0)),
        "readout scaled by the largest of the batch": lambda: across_batch(other(), lambda x: x / x.abs().max(), "readout"),
        "a tenth of the neighbour's logit": lambda: across_batch(small(), lambda x: x + 0.1 * x.roll(1, 0)),
        "aromaticity as written": lambda: with_parser(small(), kekulized),
        "hydrogens as written": lambda: with_parser(other(), keeping_hydrogens),
        "first atom of the text misread": lambda: with_parser(other(), first_written),
        "cancelling units of a million": lambda: changed(small(), cancelling(1e6)),
    }  # fmt: skip
    partners = {
        "partner of scrambled weights": (small, lambda: changed(small(), scrambled(seed))),
        "partner with tasks in another order": (small, lambda: changed(other(), swap_tasks)),
        "partner with one task reversed": (other, lambda: changed(other(), negate(0))),
        "partner with the other task reversed": (other, lambda: changed(small(), negate(1))),
    }
    planted = [
        Case(name, lambda make=make, i=i: audited(make(), smiles=lab.compounds(80, 50 * i)), True)
        for i, (name, make) in enumerate(spoilt.items())
    ] + [
        Case(name, lambda own=own, make=make, i=i: audited(own(), smiles=lab.compounds(80, 1000 + 80 * i), partners=[unlike(lab, own(), make())]), True)
        for i, (name, (own, make)) in enumerate(partners.items())
    ]  # fmt: skip
    models = {"W2": small, "W2, other weights": other, "W1": partial(lab.network, "W1"), "full": full}
    controls = [
        Case(f"{name}, compounds from {start}", lambda make=make, start=start: audited(make(), smiles=lab.compounds(80, start)), False)
        for name, make in models.items()
        for start in (1500, 2000, 2500)
        if name != "full" or start == 1500
    ]  # fmt: skip
    controls += [
        Case("other weights as partner", lambda: audited(small(), smiles=lab.compounds(80, 2600), partners=[other()]), False),
        Case("other weights as partner, the other way", lambda: audited(other(), smiles=lab.compounds(80, 2700), partners=[small()]), False),
        Case("other features as partner", lambda: audited(small(), smiles=lab.compounds(80, 2800), partners=[full()]), False),
        Case("one molecule", lambda: audited(small(), smiles=["CCO"]), False),
        Case("salts and charges", lambda: audited(small(), smiles=_SALTS), False),
        Case("Tox21 model", lambda: audited(load_model("tox21-w2n2-simple"), labels=None, smiles=lab.compounds(30, 2900)), False),
        Case("W1N2 model", lambda: audited(load_model("tox21-w1n2-simple"), labels=None, smiles=lab.compounds(30, 3000)), False),
    ]  # fmt: skip
    return planted + controls


def graded(seed: int) -> list[Graded]:
    """Networks of which a growing share of the neighbour's logit, or of a reversed partner, is mixed in."""
    lab = Lab(seed)

    def leak(share: float) -> AuditSubject:
        spoilt = across_batch(lab.network("W2"), lambda x: x + share * x.roll(1, 0))
        return audited(spoilt, smiles=lab.compounds(80, 3100))

    def blend(share: float) -> AuditSubject:
        own = lab.network("W2")

        def edit(network) -> None:
            network.head[-1].weight[0] *= 1 - 2 * share
            network.head[-1].bias[0] *= 1 - 2 * share

        return audited(own, smiles=lab.compounds(80, 3200), partners=[changed(own, edit)])

    leaks = [
        Graded("share of the neighbour's logit added", share, Case(f"{share:g}", partial(leak, share), True))
        for share in (1e-5, 1e-4, 3e-4, 1e-3, 1e-2)
    ]
    blends = [
        Graded("share of a reversed task in the partner's output", share, Case(f"{share:g}", partial(blend, share), True))
        for share in (0.2, 0.4, 0.6, 0.8)
    ]  # fmt: skip
    return leaks + blends


_SALTS = [
    "[Na+].CC(=O)[O-]",
    "C[N+](C)(C)CCO.[Cl-]",
    "OC(=O)c1ccccc1.NCCO",
    "[O-][N+](=O)c1ccccc1",
    "C[S+]([O-])C",
    "N[C@@H](C)C(=O)O",
    "F/C=C/F",
    "[2H]C([2H])([2H])O",
    "O=C1C=CC(=O)C=C1",
    "c1ccc2[nH]ccc2c1",
]
