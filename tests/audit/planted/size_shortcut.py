"""Cases of the check of size and trivial shortcuts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors
from support.planted import Case, audited, changed, trained, trained_on
from support.small_model import nci_smiles

from molig.audit import AuditSubject
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet

_RULES = {"aromatic_n": "n", "ester": "[#6]-[OX2]-[#6]=[OX1]", "phenol": "cO", "aniline": "cN"}
"""Active molecules contain the pattern; how many atoms of which element there are does not decide it."""


@cache
def _pattern(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)


def structure(smiles: str) -> dict[str, float]:
    """Classes that depend on structure."""
    mol = Chem.MolFromSmiles(smiles)
    return {name: float(mol.HasSubstructMatch(_pattern(rule))) for name, rule in _RULES.items()}


def counts(smiles: str) -> dict[str, float]:
    """Classes that depend on size or composition alone."""
    mol = Chem.MolFromSmiles(smiles)
    elements = [atom.GetSymbol() for atom in mol.GetAtoms()]
    return {
        "large": float(mol.GetNumHeavyAtoms() > 13),
        "heavy": float(Descriptors.MolWt(mol) > 190),
        "lipophilic": float(Crippen.MolLogP(mol) > 1.8),
        "oxygens": float(elements.count("O") > 1),
        "nitrogens": float(elements.count("N") > 1),
        "sulfur": float(elements.count("S") > 0),
    }


def sum_channel(share: float, task: str) -> Callable[[ScreeningModel], ScreeningModel]:
    """Let a hidden unit count the atoms, and add it to the logit of a task.

    The Gaussian histogram of a channel adds up to the number of atoms, divided by a power of it.
    """

    def plant(model: ScreeningModel) -> ScreeningModel:
        place = model.task_index(task)

        def edit(network: WeaveNet) -> None:
            first, norm, last = network.head[0], network.head[1], network.head[-1]
            first.weight[0] = 1 / network.config.atom_depth
            first.bias[0] = 0
            norm.weight[0], norm.bias[0] = 1, 0
            norm.running_mean[0], norm.running_var[0] = 0, 1
            last.weight[:, 0] = 0
            last.weight[place] *= 1 - share
            last.weight[place, 0] = 4 * share

        return changed(model, edit)

    return plant


def atoms_alike(share: float) -> Callable[[ScreeningModel], ScreeningModel]:
    """All atoms alike, but for a share of their differences: their number is left."""

    def plant(model: ScreeningModel) -> ScreeningModel:
        def edit(network: WeaveNet) -> None:
            network.last_atom_layer.weight.mul_(share)

        return changed(model, edit)

    return plant


def _on(
    model: Callable[[], ScreeningModel],
    task: str,
    start: int,
    n: int = 400,
    *,
    labels: Callable[[str], dict[str, float]] | None = structure,
    keep: Callable[[str], bool] | None = None,
) -> Callable[[], AuditSubject]:
    """Subject of one task, on ``n`` compounds from the ``start``-th on, or those of them to keep."""

    def make() -> AuditSubject:
        chosen = [s for s in nci_smiles(n, start) if keep is None or keep(s)]
        made = model()
        return audited(
            made, smiles=chosen, labels=_labels(made, task, chosen, labels), tasks=(task,), max_explained=100
        )

    return make


def _labels(
    model: ScreeningModel,
    task: str,
    smiles: Sequence[str],
    labels: Callable[[str], dict[str, float]] | None,
) -> np.ndarray | None:
    """Labels of one task, which may be called otherwise in the table: then its only, or first, column."""
    if labels is None:
        return None
    table = np.full((len(smiles), len(model.tasks)), np.nan)
    rows = [labels(s) for s in smiles]
    table[:, model.task_index(task)] = [row.get(task, next(iter(row.values()))) for row in rows]
    return table


def size_labels(smiles: str) -> dict[str, float]:
    """Active where large, whatever the model was trained on."""
    return {"large": float(Chem.MolFromSmiles(smiles).GetNumHeavyAtoms() > 16)}


def heavy_nitrogen(smiles: str) -> dict[str, float]:
    """Active with nitrogen."""
    return {"nitrogen": float("n" in smiles.lower().replace("na", "").replace("sn", ""))}


def _actives_large(task: str, limit: int) -> Callable[[str], bool]:
    """Keep large actives and small inactives: a table in which size gives the class away."""

    def keep(smiles: str) -> bool:
        size = Chem.MolFromSmiles(smiles).GetNumHeavyAtoms()
        return (size > limit) == bool(structure(smiles)[task])

    return keep


def _healthy(seed: int = 1, **sections: object) -> Callable[[], ScreeningModel]:
    return lambda: trained_on(structure, seed=seed, **sections)


def _sized() -> ScreeningModel:
    return trained_on(counts)


def _small() -> ScreeningModel:
    return trained()


def cases() -> list[Case]:
    """Planted shortcuts, and models that read structure."""
    return [Case(name, make, True) for name, make in _planted().items()] + [
        Case(name, make, False) for name, make in _controls().items()
    ]


def _planted() -> dict[str, Callable[[], AuditSubject]]:
    edits = {
        f"unit that counts atoms, {share:.0%} of {task}": _on(
            lambda share=share, task=task: sum_channel(share, task)(_healthy()()), task, start
        )
        for share, task, start in (
            (1.0, "aromatic_n", 400),
            (0.9, "ester", 800),
            (0.8, "phenol", 1200),
            (0.7, "aniline", 1600),
            (0.8, "aromatic_n", 2000),
        )
    }
    trained_on_size = {
        f"trained on {task}, audited with {'its' if own else 'no' if own is None else 'other'} labels": _on(
            _sized, task, start, labels=counts if own else None if own is None else structure
        )
        for task, start, own in (
            ("large", 400, True),
            ("large", 900, None),
            ("large", 1400, False),
            ("heavy", 1900, True),
            ("heavy", 2400, None),
            ("lipophilic", 400, True),
            ("oxygens", 900, True),
            ("oxygens", 1400, None),
            ("nitrogens", 1900, True),
            ("sulfur", 2400, True),
        )
    }
    biased = {
        f"table in which {task} goes with size": _on(
            _healthy(), task, 400, 2000, keep=_actives_large(task, limit)
        )
        for task, limit in (("aromatic_n", 14), ("phenol", 14), ("ester", 13))
    }
    others = {
        "model of nitrogen, which is a count": _on(_small, "nitrogen", 400, labels=heavy_nitrogen),
        "nitrogen, other molecules": _on(_small, "nitrogen", 2800, labels=heavy_nitrogen),
        "atoms nearly alike, phenol": _on(lambda: atoms_alike(0.0)(_healthy()()), "phenol", 400),
        "atoms nearly alike, no labels": _on(
            lambda: atoms_alike(0.0)(_healthy()()), "ester", 1200, labels=None
        ),
    }
    return edits | trained_on_size | biased | others


def _controls() -> dict[str, Callable[[], AuditSubject]]:
    own = {
        f"healthy {task}, seed {seed}, molecules from {start}": _on(_healthy(seed), task, start, n)
        for task, seed, start, n in (
            ("aromatic_n", 1, 400, 400),
            ("aromatic_n", 1, 1500, 600),
            ("ester", 1, 800, 400),
            ("ester", 1, 3000, 500),
            ("phenol", 1, 1200, 400),
            ("phenol", 1, 2200, 800),
            ("aniline", 1, 400, 400),
            ("aniline", 1, 2000, 200),
            ("aromatic_n", 2, 400, 400),
            ("ester", 2, 1000, 400),
            ("phenol", 2, 1600, 300),
            ("aniline", 2, 2600, 600),
            ("aromatic_n", 2, 4000, 60),
        )
    }
    full = _healthy(1, features=(("preset", "full"),))
    without = {
        "without labels": _on(_healthy(), "aromatic_n", 600, labels=None),
        "without labels, seed 2": _on(_healthy(2), "ester", 1800, labels=None),
        "full schema, aromatic_n": _on(full, "aromatic_n", 400),
        "full schema, phenol": _on(full, "phenol", 1000),
    }
    bundled = {
        f"{name}, {task}": _on(lambda name=name: load_model(name), task, start, labels=None)
        for name, task, start in (
            ("tox21-w2n2-simple", "NR-AhR", 400),
            ("tox21-w2n2-simple", "SR-p53", 1400),
            ("tox21-w2n2-full", "NR-ER", 2400),
            ("hiv-w2n2", load_model("hiv-w2n2").tasks[0], 400),
        )
    }
    return own | without | bundled
