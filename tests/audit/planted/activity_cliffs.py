"""Pairs whose difference is known because one molecule was made from the other by an edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
from rdkit import Chem
from support.planted import RULES, Case, Graded, Lab, NotShownError, audited, changed

from audit.planted.stability import with_features
from molig.audit import ActivityPair, AuditSubject
from molig.audit.subject import probabilities
from molig.model import ScreeningModel
from molig.molecules import smiles_records

ORDERED, DIRECTED, ON_CHANGED = 0.9, 0.8, 0.25
"""A control must score at least this share of other edited molecules in the right order, change the attribution
of the changed atoms, summed over 32 equal steps, in the right direction for this share, and put this share of
the difference of scores (median) on the changed atoms."""
ON_COMMON = 0.88
"""Where every atom is told of a nitrogen, the other atoms must carry this share of the difference of scores."""
GROUPS = {
    "nitrogen": [("N", "C"), ("NC", "CC"), ("N(C)C", "C(C)C"), ("CN", "CC")],
    "carbonyl": [("C=O", "CO"), ("C(C)=O", "C(C)O"), ("C(C)=O", "C(C)C"), ("CC=O", "CCC")],
}
"""An active group, and an inactive one of the same shape, at the end of a bond."""

Make = Callable[[], ScreeningModel]


@cache
def edited(smiles: tuple[str, ...], task: str, group: int, n: int) -> tuple[tuple[str, str, str], ...]:
    """Molecules that get an active group and, for comparison, an inactive one at the same place; and their parents."""
    rule, place = Chem.MolFromSmarts(RULES[task]), Chem.MolFromSmarts("[cH,CH3]")
    found = []
    for one in smiles:
        mol = Chem.MolFromSmiles(one)
        hits = mol.GetSubstructMatches(place)
        if mol.HasSubstructMatch(rule) or not hits or "." in one or not 6 <= mol.GetNumAtoms() <= 30:
            continue
        found.append((*(attach(mol, hits[-1][0], added) for added in GROUPS[task][group]), one))
        if len(found) == n:
            break
    return tuple(found)


def attach(mol: Chem.Mol, place: int, group: str) -> str:
    """Bind a group to an atom."""
    part = Chem.MolFromSmiles(group)
    both = Chem.RWMol(Chem.CombineMols(mol, part))
    both.AddBond(place, mol.GetNumAtoms(), Chem.BondType.SINGLE)
    made = both.GetMol()
    Chem.SanitizeMol(made)
    return Chem.MolToSmiles(made)


def pairs(
    smiles: Sequence[str], task: str, group: int, differences: Sequence[float] | float = 1.0, n: int = 40
) -> list[ActivityPair]:
    """Pairs of edited molecules; 1: the one with the active group is more active."""
    found = edited(tuple(smiles), task, group, n)
    signs = np.resize(np.asarray(differences, dtype=float), len(found))
    # Every second pair the other way round, so that nothing depends on which comes first.
    return [
        ActivityPair(a, b, sign, task) if i % 2 else ActivityPair(b, a, -sign, task)
        for i, ((a, b, _), sign) in enumerate(zip(found, signs, strict=True))
    ]


def reversing(share: float, rng: np.random.Generator, n: int = 60) -> np.ndarray:
    """Signs of differences, a share of them the wrong ones."""
    signs = np.ones(n)
    signs[rng.permutation(n)[: round(share * n)]] = -1
    return signs


def shown(model: ScreeningModel, smiles: Sequence[str], task: str, group: int) -> tuple[float, float, float]:
    """What a network does with other edited molecules, by plain sums over 32 equal steps of the path.

    Returns
    -------
    (float, float, float)
        Shares of the pairs that are scored in the right order, and whose changed atoms' attributions have the
        right direction; share of the difference of scores that is on the changed atoms (median).
    """
    found = edited(tuple(smiles), task, group, 30)
    ordered, directed, changed_ = [], [], []
    sides = [midpoint(model, [pair[side] for pair in found], task) for side in (0, 1)]
    for (*_, parent), active, inactive in zip(found, *sides, strict=True):
        kept, rest = zip(*(split(one, parent) for one in (active, inactive)), strict=True)
        if not len(kept[0]) or len(kept[0]) != len(kept[1]):
            continue  # standardisation changed the parent
        gap = sum(active[side].sum() - inactive[side].sum() for side in (1, 2))
        ordered.append(gap > 0)
        directed.append(rest[0] > rest[1])
        changed_ += [(rest[0] - rest[1]) / gap] if abs(gap) > 0.1 else []
    return float(np.mean(ordered)), float(np.mean(directed)), float(np.median(changed_ or [0.0]))


Scores = tuple[Chem.Mol, np.ndarray, np.ndarray, np.ndarray]


def midpoint(model: ScreeningModel, smiles: Sequence[str], task: str, steps: int = 32) -> list[Scores]:
    """Molecules, attributions of their atoms and of their pairs, and the atoms of the pairs."""
    molecules, _ = model.parser.parse_many(list(smiles_records(smiles)))
    graphs = model.featurize([one.mol for one in molecules])
    owners = np.repeat(np.arange(len(molecules)), steps)
    scales = np.tile((np.arange(steps) + 0.5) / steps, len(molecules))
    rates = model.relax(graphs).densities(owners, scales, np.full(len(owners), model.task_index(task)))
    chance = probabilities(rates.values)
    slopes = chance * (1 - chance) / steps
    found = []
    for place, one in enumerate(molecules):
        own = range(place * steps, (place + 1) * steps)
        atoms, pairs_ = (
            sum(slopes[i] * side[i].sum(axis=1) for i in own) for side in (rates.atoms, rates.pairs)
        )
        found.append((one.mol, atoms, pairs_, graphs[place].pair_atoms))
    return found


def split(scores: Scores, parent: str) -> tuple[np.ndarray, float]:
    """Attributions of the parent's atoms, with half of their pairs', and of everything else with whole pairs."""
    mol, atoms, pairs_, ends = scores
    kept = list(mol.GetSubstructMatch(Chem.MolFromSmiles(parent)))
    halves = atoms.copy()
    for side in (0, 1):
        np.add.at(halves, ends[:, side], pairs_ / 2)
    new = ~np.isin(np.arange(len(atoms)), kept)
    return halves[kept], float(atoms[new].sum() + pairs_[new[ends].any(axis=1)].sum())


@cache
def _shown_of(lab: Lab, name: str, task: str, group: int, which: int) -> tuple[float, float, float]:
    return shown(lab.network(name, task, which=which), lab.shown_on, task, group)


def fit(lab: Lab, name: str, task: str, group: int, which: int = 0) -> ScreeningModel:
    """A network that scores and attributes other edited molecules of this kind right."""
    model = lab.network(name, task, which=which)
    found = _shown_of(lab, name, task, group, which)
    if any(value < bar for value, bar in zip(found, (ORDERED, DIRECTED, ON_CHANGED), strict=True)):
        raise NotShownError(f"{name} {which}, {task} {group}: order, direction, share {np.round(found, 2)}")
    return model


def wrong(lab: Lab, model: ScreeningModel, task: str, group: int) -> ScreeningModel:
    """The network, if it scores other edited molecules in the wrong order."""
    ordered, *_ = shown(model, lab.shown_on, task, group)
    if ordered > 1 - ORDERED:
        raise NotShownError(f"reversed, {task} {group}: order {ordered:.2f}")
    return model


def row(task: int, factor: float) -> Callable:
    """Scale the weights of an output."""

    def edit(network) -> None:
        network.head[-1].weight[task] *= factor

    return edit


def blank(column: int, like: int = 1) -> Callable:
    """The first module takes one type of atom for another, carbon by default."""

    def edit(network) -> None:
        for parameter in (p for p in network.modules_[0].parameters() if p.ndim == 2):
            # Layers of single atoms, and of both atoms of a pair.
            for start in range(0, parameter.shape[1] if parameter.shape[1] in (11, 22) else 0, 11):
                parameter[:, start + column] = parameter[:, start + like]

    return edit


def nitrogen_everywhere(graphs, mols):
    """The carbon atoms of molecules with a nitrogen look like nitrogen: the same of every atom."""
    holders = [any(atom.GetAtomicNum() == 7 for atom in mol.GetAtoms()) for mol in mols]
    codes = graphs.atom_codes.copy()
    codes[np.repeat(holders, graphs.atom_counts) & (codes[:, 0] == 1), 0] = 2
    return replace(graphs, atom_codes=codes)


def telling_every_atom(model: ScreeningModel, smiles: Sequence[str]) -> AuditSubject:
    """A network whose features say of every atom that there is a nitrogen somewhere."""
    spoilt = with_features(model, nitrogen_everywhere)
    return audited(spoilt, smiles=smiles[:60], pairs=pairs(smiles, "nitrogen", 0))


def _telling(lab: Lab, which: int, start: int) -> AuditSubject:
    model = fit(lab, "W2", "nitrogen", 0, which)
    *_, on_changed = shown(with_features(model, nitrogen_everywhere), lab.shown_on, "nitrogen", 0)
    if on_changed > 1 - ON_COMMON:
        raise NotShownError(f"{on_changed:.0%} of the difference of scores is on the changed atoms")
    return telling_every_atom(model, lab.compounds(900, start))


def _on(
    lab: Lab, make: Make, task: str, group: int, start: int, signs: np.ndarray | float = 1.0, n: int = 40
) -> AuditSubject:
    smiles = lab.compounds(900, start)
    return audited(make(), smiles=smiles[:30], pairs=pairs(smiles, task, group, signs, n))


NETWORKS = (("W2", 0), ("W2", 1), ("full", 0), ("W1", 0))


def cases(seed: int) -> list[Case]:
    """Planted defects and clean controls of a seed."""
    lab = Lab(seed)
    planted, controls = [], []
    for index, task in enumerate(GROUPS):
        for group in range(4):
            name, which = NETWORKS[(group + seed) % 3]
            make = partial(fit, lab, name, task, group, which)
            start = 300 * group
            signs = reversing(0.5 if group % 2 else 1.0, lab.rng("signs", task, group))
            what = "at random" if group % 2 else "reversed"
            planted.append(
                Case(f"{task} {group}, {name}: differences {what}",
                     partial(_on, lab, make, task, group, start, signs, 60), True)
            )  # fmt: skip
            for shift in (0, 2):
                other, number = NETWORKS[(group + index + shift + seed) % 4]
                controls.append(
                    Case(f"{task} {group}, {other} {number}",
                         partial(_on, lab, partial(fit, lab, other, task, group, number), task, group, 900 + start), False)
                )  # fmt: skip
        edits = {
            "output reversed": (index, -1.0, 0, "W2"),
            "output reversed and weak": (index, -0.5, 1, "W2"),
            "output reversed, full": (index, -1.0, 2, "full"),
        }
        for what, (place, factor, group, name) in edits.items():

            def make(place=place, factor=factor, group=group, name=name, task=task):
                return wrong(lab, changed(lab.network(name, task), row(place, factor)), task, group)

            planted.append(Case(f"{task}: {what}", partial(_on, lab, make, task, group, 1500), True))
        planted.append(
            Case(f"{task}: output constant",
                 partial(_on, lab, lambda i=index: changed(lab.network("W2"), row(i, 0.0)), task, 0, 1800, 1.0, 60), True)
        )  # fmt: skip
    for which in (0, 1):
        planted += [
            Case(f"nitrogen looks like carbon, W2 {which}",
                 partial(_on, lab, lambda w=which: changed(lab.network("W2", which=w), blank(2)), "nitrogen", 2 * which, 2100, 1.0, 60), True),
            Case(f"carbon looks like nitrogen beside one, W2 {which}", partial(_telling, lab, which, 600 * which), True,
                 about=("share disagree",)),
        ]  # fmt: skip
    controls.append(
        Case("pairs of the labels", lambda: audited(lab.network("W2"), smiles=lab.compounds(200)), False)
    )
    return planted + controls


def graded(seed: int) -> list[Graded]:
    """Tables in which a growing share of the differences is the wrong way round."""
    lab = Lab(seed)
    return [
        Graded("share of the pairs reversed", share,
               Case(f"{share:.0%} of the pairs reversed, {task}",
                    partial(_on, lab, partial(fit, lab, "W2", task, 0), task, 0, 1200, reversing(share, lab.rng("graded", task)), 60), True))
        for task in GROUPS for share in (0.2, 0.3, 0.4, 0.5, 0.7)
    ]  # fmt: skip
