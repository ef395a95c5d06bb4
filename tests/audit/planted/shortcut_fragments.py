"""Cases of the check of shortcut fragments."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from rdkit import Chem
from support.planted import Case, audited, changed, trained, trained_on
from support.small_model import nci_smiles

from molig.audit import AuditSubject
from molig.model import ScreeningModel
from molig.network import WeaveNet

_BASE = {"carbonyl": "[#6]=[#8]", "nitrogen": "[#7]", "aromatic_n": "n", "ester": "[#6]-[OX2]-[#6]=[OX1]"}
_ARTEFACTS = {
    "chlorine": "Cl",
    "nitro": "[N+](=O)[O-]",
    "sulfur": "S",
    "bromine": "Br",
    "nitrile": "C#N",
    "thiocarbonyl": "C=S",
}
_ABOUT = {
    "chlorine": ("element Cl", "halide", "halogen"),
    "bromine": ("element Br", "halide", "halogen"),
    "sulfur": ("element S", "thio", "sulf"),
    "nitro": ("nitro",),
    "nitrile": ("nitrile", "C#N"),
    "thiocarbonyl": ("thio", "C=S", "=S", "element S"),
}
"""Words of which one must be in a finding about an artefact."""
_COLUMNS = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")


@cache
def _pattern(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)


@cache
def _has(smiles: str, name: str) -> bool:
    mol = Chem.MolFromSmiles(smiles)
    return bool(mol.HasSubstructMatch(_pattern((_BASE | _ARTEFACTS)[name])))


def truth(smiles: str) -> dict[str, float]:
    """True classes, of healthy models."""
    return {name: float(_has(smiles, name)) for name in _BASE}


@cache
def spoilt_by(name: str) -> Callable[[str], dict[str, float]]:
    """Training classes in which a fragment makes molecules active that are not."""
    return lambda smiles: {"active": float(_has(smiles, "carbonyl") or _has(smiles, name))}


def like(column: str, other: str, share: float = 1.0) -> Callable[[WeaveNet], None]:
    """Let a type of atoms look to the network like another type, fully or in part."""
    to, source = _COLUMNS.index(column), _COLUMNS.index(other)

    def edit(network: WeaveNet) -> None:
        first = network.modules_[0]
        n_atom = len(first.atom_to_atom.weight[0])
        for layer in (first.atom_to_atom, first.atom_to_pair):
            for start in range(0, layer.weight.shape[1], n_atom):
                weight = layer.weight
                weight[:, start + to] += share * (weight[:, start + source] - weight[:, start + to])

    return edit


def _case(
    model: Callable[[], ScreeningModel],
    task: str,
    label: Callable[[str], float],
    start: int,
    n: int = 600,
    *,
    explained: int = 400,
) -> Callable[[], AuditSubject]:
    def make() -> AuditSubject:
        made, chosen = model(), nci_smiles(n, start)
        labels = np.full((n, len(made.tasks)), np.nan)
        labels[:, made.task_index(task)] = [label(s) for s in chosen]
        return audited(made, smiles=chosen, labels=labels, tasks=(task,), max_explained=explained)

    return make


def _true(name: str) -> Callable[[str], float]:
    return lambda smiles: float(_has(smiles, name))


def _either(first: str, second: str) -> Callable[[str], float]:
    return lambda smiles: float(_has(smiles, first) or _has(smiles, second))


def _unless(first: str, second: str) -> Callable[[str], float]:
    return lambda smiles: float(_has(smiles, first) and not _has(smiles, second))


def cases() -> list[Case]:
    """Planted shortcuts and overlooked fragments, and models that learnt the rule."""
    planted = {**_looks_like(), **_blind(), **_other(), **_trained_wrong()}
    return [Case(name, make, True, about=about) for name, (make, about) in planted.items()] + [
        Case(name, make, False) for name, make in _controls().items()
    ]


def _spoilt(name: str) -> ScreeningModel:
    """Has learnt the wrong rule: one network for each, since one for all does not hold them apart."""
    return trained_on(spoilt_by(name), n=1000)


def _healthy(seed: int = 1) -> ScreeningModel:
    return trained_on(truth, seed=seed)


def _edited(edit: Callable[[WeaveNet], None]) -> Callable[[], ScreeningModel]:
    return lambda: changed(_healthy(), edit)


Cases = dict[str, tuple[Callable[[], AuditSubject], tuple[str, ...]]]


def _trained_wrong() -> Cases:
    return {
        f"trained with {name} as active, molecules from {start}": (
            _case(partial(_spoilt, name), "active", _true("carbonyl"), start, 1000),
            _ABOUT[name],
        )
        for name, start in (
            ("chlorine", 1000),
            ("chlorine", 2400),
            ("sulfur", 1000),
            ("sulfur", 3000),
            ("sulfur", 2000),
            ("chlorine", 3400),
            ("nitro", 1000),
            ("nitro", 2600),
        )
    }


def _looks_like() -> Cases:
    names = {"Cl": "chlorine", "Br": "bromine", "S": "sulfur"}
    return {
        f"{column} looks like {other} by {share:.0%}": (
            _case(_edited(like(column, other, share)), task, _true(task), start),
            _ABOUT[names[column]],
        )
        for column, other, task, share, start in (
            ("Cl", "N", "nitrogen", 1.0, 400),
            ("Br", "N", "nitrogen", 1.0, 1000),
            ("S", "N", "nitrogen", 1.0, 1600),
            ("Cl", "N", "nitrogen", 0.8, 2200),
            ("S", "N", "nitrogen", 0.85, 2800),
        )
    }


def _blind() -> Cases:
    return {
        f"actives with {name}, of which the model knows nothing": (
            _case(_healthy, "carbonyl", _either("carbonyl", name), start, n),
            _ABOUT[name],
        )
        for name, start, n in (
            ("chlorine", 400, 600),
            ("nitro", 1000, 600),
            ("bromine", 1600, 600),
            ("sulfur", 2200, 600),
            ("nitrile", 2800, 1200),
            ("thiocarbonyl", 400, 600),
        )
    }


def _other() -> Cases:
    return {
        "nitrogen looks like carbon": (
            _case(_edited(like("N", "C")), "nitrogen", _true("nitrogen"), 400),
            (),
        ),
        "oxygen looks like carbon": (_case(_edited(like("O", "C")), "ester", _true("ester"), 1000), ()),
        "esters made inactive": (_case(_healthy, "carbonyl", _unless("carbonyl", "ester"), 1600), ()),
        "nitriles made inactive": (
            _case(_healthy, "nitrogen", _unless("nitrogen", "nitrile"), 400),
            _ABOUT["nitrile"],
        ),
    }


def _controls() -> dict[str, Callable[[], AuditSubject]]:
    # Models that rank the molecules right (AUC .97 and more). On esters they do not (.94 to .97): one took
    # carboxylic acids for esters, and the check said so.
    healthy = {
        f"healthy {task}, seed {seed}, molecules from {start}": _case(
            partial(_healthy, seed), task, _true(task), start, n, explained=explained
        )
        for task, seed, start, n, explained in (
            ("carbonyl", 1, 400, 600, 250),
            ("carbonyl", 1, 1500, 600, 250),
            ("carbonyl", 1, 3000, 1000, 300),
            ("nitrogen", 1, 400, 600, 250),
            ("nitrogen", 1, 2000, 600, 250),
            ("nitrogen", 1, 3400, 800, 200),
            ("aromatic_n", 1, 400, 600, 250),
            ("aromatic_n", 1, 2400, 600, 250),
            ("aromatic_n", 1, 3200, 600, 250),
            ("nitrogen", 1, 1200, 800, 300),
            ("carbonyl", 2, 400, 600, 250),
            ("carbonyl", 2, 2200, 600, 250),
            ("nitrogen", 2, 1000, 600, 250),
            ("nitrogen", 2, 2800, 400, 200),
            ("aromatic_n", 2, 1600, 600, 250),
            ("aromatic_n", 2, 2600, 600, 250),
        )
    }
    small = {
        f"small {task}, seed {seed}": _case(
            lambda seed=seed, task=task: trained(seed), task, _true(task), start
        )
        for task, seed, start in (
            ("nitrogen", 1, 600),
            ("carbonyl", 1, 1800),
        )
    }
    spoilt_but_true = {
        f"{name} active in training and in truth": _case(
            partial(_spoilt, name), "active", _either("carbonyl", name), start
        )
        for name, start in (("chlorine", 1400), ("nitro", 1800), ("sulfur", 2400))
    }
    return healthy | small | spoilt_but_true
