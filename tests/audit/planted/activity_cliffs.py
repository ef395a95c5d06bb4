"""Pairs whose difference is known because one molecule was made from the other by an edit."""

# ruff: noqa: E501 - one case a line

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from rdkit import Chem
from support.planted import Case, audited, changed, trained
from support.small_model import nci_smiles

from audit.planted.stability import with_features
from molig.audit import ActivityPair, AuditSubject
from molig.model import ScreeningModel

FULL = (("preset", "full"),)
W1 = (("n_modules", 1),)
GROUPS = {
    "nitrogen": [("N", "C"), ("NC", "CC"), ("N(C)C", "C(C)C"), ("CN", "CC")],
    "carbonyl": [("C=O", "CO"), ("C(C)=O", "C(C)O"), ("C(C)=O", "C(C)C"), ("CC=O", "CCC")],
}
RULES = {"nitrogen": "[#7]", "carbonyl": "[#6]=[#8]"}


@cache
def edited(task: str, which: int, start: int = 400, n: int = 40) -> tuple[tuple[str, str], ...]:
    """Molecules that get an active group and, for comparison, an inactive one at the same place."""
    rule, place = Chem.MolFromSmarts(RULES[task]), Chem.MolFromSmarts("[cH,CH3]")
    found = []
    for smiles in nci_smiles(600, start):
        mol = Chem.MolFromSmiles(smiles)
        hits = mol.GetSubstructMatches(place)
        if mol.HasSubstructMatch(rule) or not hits or "." in smiles or not 6 <= mol.GetNumAtoms() <= 30:
            continue
        pair = [attach(mol, hits[-1][0], group) for group in GROUPS[task][which]]
        if all(pair):
            found.append(tuple(pair))
        if len(found) == n:
            break
    return tuple(found)


def attach(mol: Chem.Mol, place: int, group: str) -> str:
    part = Chem.MolFromSmiles(group)
    both = Chem.RWMol(Chem.CombineMols(mol, part))
    both.AddBond(place, mol.GetNumAtoms(), Chem.BondType.SINGLE)
    made = both.GetMol()
    Chem.SanitizeMol(made)
    return Chem.MolToSmiles(made)


def pairs(
    task: str, which: int, differences: Sequence[float] | float = 1.0, **options: int
) -> list[ActivityPair]:
    found = edited(task, which, **options)
    signs = np.broadcast_to(np.asarray(differences, dtype=float), (len(found),))
    # Every second pair the other way round, so that nothing depends on which comes first.
    return [
        ActivityPair(a, b, sign, task) if i % 2 else ActivityPair(b, a, -sign, task)
        for i, ((a, b), sign) in enumerate(zip(found, signs, strict=True))
    ]


def chance(seed: int, n: int = 60) -> np.ndarray:
    """Half of the signs the right ones."""
    return np.random.default_rng(seed).permutation(np.resize([1.0, -1.0], n))


def on(
    make: Callable[[], ScreeningModel], chosen: Callable[[], list[ActivityPair]]
) -> Callable[[], AuditSubject]:
    return lambda: audited(make(), smiles=nci_smiles(60, 400), pairs=chosen())


def row(task: int, factor: float) -> Callable:
    def edit(network) -> None:
        network.head[-1].weight[task] *= factor

    return edit


def swap(network) -> None:
    network.head[-1].weight.copy_(network.head[-1].weight.flip(0))


def blank(column: int, like: int = 1) -> Callable:
    """The first module takes one type of atom for another, carbon by default."""

    def edit(network) -> None:
        for parameter in (p for p in network.modules_[0].parameters() if p.ndim == 2):
            # Layers of single atoms, and of both atoms of a pair.
            for start in range(0, parameter.shape[1] if parameter.shape[1] in (11, 22) else 0, 11):
                parameter[:, start + column] = parameter[:, start + like]

    return edit


def constant(task: int) -> Callable:
    def edit(network) -> None:
        network.head[-1].weight[task] = 0

    return edit


def negated_hidden(network) -> None:
    network.head[-1].weight *= -1


def nitrogen_everywhere(graphs, mols):
    """The carbon atoms of molecules with a nitrogen look like nitrogen: the same of every atom."""
    has = [any(atom.GetAtomicNum() == 7 for atom in mol.GetAtoms()) for mol in mols]
    codes = graphs.atom_codes.copy()
    codes[np.repeat(has, graphs.atom_counts) & (codes[:, 0] == 1), 0] = 2
    return replace(graphs, atom_codes=codes)


def telling_every_atom() -> AuditSubject:
    model = with_features(trained(1), nitrogen_everywhere)
    return audited(model, smiles=nci_smiles(60, 400), pairs=pairs("nitrogen", 0))


NO_CONTROLS = {("carbonyl", 2, "seed 2"), ("nitrogen", 3, "seed 2")}
"""This seed scores these edits right and attributes them wrong: of 6-hydroxy-4-methylhexan-2-one, probability
0.93 against 0.04 without the carbonyl oxygen, nothing (0.00) lies on that oxygen. The finding is true, though
nothing was planted, so they are neither."""


def cases() -> list[Case]:
    """Planted defects and clean controls."""
    small, other, w1 = (lambda: trained(1)), (lambda: trained(2)), (lambda: trained(1, network=W1))
    full = lambda: trained(1, features=FULL)  # noqa: E731
    planted, controls = [], []
    for task in GROUPS:
        index = list(GROUPS).index(task)
        for which in range(3):
            make = (small, other, full)[which]
            planted.append(
                Case(
                    f"{task} {which}: differences reversed",
                    on(make, lambda t=task, w=which: pairs(t, w, -1.0)),
                    True,
                )
            )
            planted.append(
                Case(f"{task} {which}: differences at random",
                     on(make, lambda t=task, w=which: pairs(t, w, chance(w), n=60)), True)
            )  # fmt: skip
        planted += [
            Case(f"{task}: output reversed", on(lambda i=index: changed(small(), row(i, -1)), lambda t=task: pairs(t, 0)), True),
            Case(f"{task}: output reversed and weak", on(lambda i=index: changed(other(), row(i, -0.5)), lambda t=task: pairs(t, 1)), True),
            Case(f"{task}: output constant", on(lambda i=index: changed(small(), constant(i)), lambda t=task: pairs(t, 0, n=60)), True),
            Case(f"{task}: last layer reversed, full", on(lambda: changed(full(), negated_hidden), lambda t=task: pairs(t, 1)), True),
        ]  # fmt: skip
    planted += [
        Case("nitrogen looks like carbon", on(lambda: changed(small(), blank(2)), lambda: pairs("nitrogen", 0, n=60)), True),
        Case("carbon looks like nitrogen beside one", telling_every_atom, True, about=("share disagree",)),
        Case("nitrogen looks like carbon, seed 2", on(lambda: changed(other(), blank(2)), lambda: pairs("nitrogen", 2, n=60)), True),
    ]  # fmt: skip
    for task in GROUPS:
        for which in range(4):
            for name, make in {"seed 1": small, "seed 2": other, "full": full, "W1": w1}.items():
                if (name == "W1" and which > 1) or (task, which, name) in NO_CONTROLS:
                    continue
                controls.append(
                    Case(f"{task} {which}, {name}", on(make, lambda t=task, w=which: pairs(t, w, start=400 + 300 * w)), False)
                )  # fmt: skip
    controls.append(Case("pairs of the labels", lambda: audited(small()), False))
    return planted + controls
