"""Cases of the check of shortcut fragments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.metrics import roc_auc_score
from support.planted import (
    LEARNT_DIFFERENCE,
    Case,
    Graded,
    Lab,
    NotShownError,
    audited,
    changed,
    difference,
    has,
)

from molig.audit import AuditSubject, subject_of
from molig.model import ScreeningModel
from molig.network import WeaveNet

FEWEST = 25
"""Molecules with the artefact, and without the rule, that a table must have."""
BLIND_AUC = 0.7
"""A network to which an element looks like carbon must rank other molecules no better than this."""
ABOUT = {
    "chlorine": ("element Cl", "halide", "halogen"),
    "bromine": ("element Br", "halide", "halogen"),
    "sulfur": ("element S", "thio", "sulf"),
    "nitro": ("nitro",),
    "nitrile": ("nitrile", "C#N"),
    "thiocarbonyl": ("thio", "C=S", "=S", "element S"),
}
"""Words of which one must be in a finding about an artefact."""
COLUMNS = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
ELEMENTS = {"Cl": "chlorine", "Br": "bromine", "S": "sulfur"}

Labels = Callable[[str], float]
Make = Callable[[], ScreeningModel]


def like(column: str, other: str, share: float = 1.0) -> Callable[[WeaveNet], None]:
    """Let a type of atoms look to the network like another type, fully or in part."""
    to, source = COLUMNS.index(column), COLUMNS.index(other)

    def edit(network: WeaveNet) -> None:
        first = network.modules_[0]
        n_atom = len(first.atom_to_atom.weight[0])
        for layer in (first.atom_to_atom, first.atom_to_pair):
            for start in range(0, layer.weight.shape[1], n_atom):
                weight = layer.weight
                weight[:, start + to] += share * (weight[:, start + source] - weight[:, start + to])

    return edit


def true(name: str) -> Labels:
    """Active by a rule."""
    return lambda smiles: float(has(smiles, name))


def either(first: str, second: str) -> Labels:
    """Active by a rule or an artefact."""
    return lambda smiles: float(has(smiles, first) or has(smiles, second))


def unless(first: str, second: str) -> Labels:
    """Active by a rule, but for molecules with something else."""
    return lambda smiles: float(has(smiles, first) and not has(smiles, second))


def on(
    lab: Lab,
    model: Make,
    task: str,
    label: Labels,
    start: int,
    n: int = 500,
    explained: int = 250,
    enough: str = "",
) -> AuditSubject:
    """Subject of one task; a table must have enough molecules with an artefact that their rule does not cover."""
    made, chosen = model(), lab.compounds(n, start)
    if (
        enough
        and (
            held := sum(
                has(s, enough) and not has(s, task if task != "active" else "carbonyl") for s in chosen
            )
        )
        < FEWEST
    ):
        raise NotShownError(f"{held} of {n} molecules have {enough}")
    labels = np.full((n, len(made.tasks)), np.nan)
    labels[:, made.task_index(task)] = [label(s) for s in chosen]
    return audited(made, smiles=chosen, labels=labels, tasks=(task,), max_explained=explained)


def raised(lab: Lab, task: str, column: str, other: str, share: float = 1.0) -> ScreeningModel:
    """A network that takes an element for another, if molecules score much higher with it than with carbon."""
    model = changed(lab.network("rules", task), like(column, other, share))
    found = difference(model, lab.shown_on, ELEMENTS[column], task)
    if found < LEARNT_DIFFERENCE:
        raise NotShownError(f"{column} like {other} by {share:.0%} raises scores by {found:.2f}")
    return model


def blinded(lab: Lab, task: str, column: str) -> ScreeningModel:
    """A network to which an element looks like carbon, if it no longer ranks other molecules."""
    model = changed(lab.network("rules", task), like(column, "C"))
    scores = subject_of(model, lab.shown_on).logits[:, model.task_index(task)]
    auc = roc_auc_score([has(one, task) for one in lab.shown_on], scores)
    if auc > BLIND_AUC:
        raise NotShownError(f"{column} like carbon: {task} still has ROC-AUC {auc:.2f}")
    return model


def spoilt(seed: int) -> list[str]:
    """Two of three artefacts that networks of a seed are trained to take for activity."""
    names = ("chlorine", "sulfur", "nitro")
    return [names[(seed + shift) % 3] for shift in (0, 1)]


def cases(seed: int) -> list[Case]:
    """Shortcuts, overlooked fragments, and networks that learnt the rule."""
    lab = Lab(seed)
    rules = partial(lab.network, "rules")
    planted = [
        Case(f"trained with {name} as active", partial(on, lab, partial(lab.network, f"spoilt by {name}"), "active", true("carbonyl"), 300 * start, 800, 300, name), True, about=ABOUT[name])
        for start, name in enumerate(spoilt(seed))
    ]  # fmt: skip
    planted += [
        Case(f"{column} looks like {other}{'' if share == 1 else f' by {share:.0%}'}",
             partial(on, lab, partial(raised, lab, task, column, other, share), task, true(task), start, 1000, 300, ELEMENTS[column]), True, about=ABOUT[ELEMENTS[column]])
        for column, other, task, share, start in (("Cl", "N", "nitrogen", 1.0, 0), ("S", "N", "nitrogen", 1.0, 1000), ("Cl", "N", "nitrogen", 0.9, 2000))
    ]  # fmt: skip
    planted += [
        Case(f"actives with {name}, of which the model knows nothing",
             partial(on, lab, partial(rules, "carbonyl"), "carbonyl", either("carbonyl", name), start, n, 250, name), True, about=ABOUT[name])
        for name, start, n in (("chlorine", 0, 500), ("nitro", 600, 600), ("sulfur", 1300, 500), ("nitrile", 0, 1400))
    ]  # fmt: skip
    planted += [
        Case("nitrogen looks like carbon", partial(on, lab, partial(blinded, lab, "nitrogen", "N"), "nitrogen", true("nitrogen"), 400), True),
        Case("oxygen looks like carbon", partial(on, lab, partial(blinded, lab, "ester", "O"), "ester", true("ester"), 1000), True),
        Case("esters made inactive", partial(on, lab, partial(rules, "carbonyl"), "carbonyl", unless("carbonyl", "ester"), 1600), True),
    ]  # fmt: skip
    return planted + _controls(lab)


def _controls(lab: Lab) -> list[Case]:
    healthy = [
        Case(f"{name} {which}, {task}, molecules from {start}", partial(on, lab, partial(lab.network, name, task, which=which), task, true(task), start, 500, 200), False)
        for name, which, task, start in (
            ("rules", 0, "carbonyl", 0),
            ("rules", 0, "nitrogen", 500),
            ("rules", 0, "aromatic_n", 1000),
            ("rules", 0, "aniline", 2900),
            ("rules", 0, "carbonyl", 1500),
            ("rules", 0, "aromatic_n", 2500),
            ("rules", 0, "ester", 2000),
            ("rules", 0, "phenol", 0),
            ("W2", 0, "nitrogen", 500),
            ("W2", 1, "carbonyl", 1000),
        )
    ]  # fmt: skip
    learnt = [
        Case(f"{name} active in training and in truth", partial(on, lab, partial(lab.network, f"spoilt by {name}"), "active", either("carbonyl", name), start, 500, 200), False)
        for name, start in zip(spoilt(lab.seed), (1500, 2000), strict=True)
    ]  # fmt: skip
    return healthy + learnt


def graded(seed: int) -> list[Graded]:
    """A type of atoms that looks more and more like nitrogen."""
    lab = Lab(seed)
    return [
        Graded("share by which chlorine or sulfur looks like nitrogen", share,
               Case(f"{column}: {share:.0%}",
                    partial(on, lab, lambda c=column, s=share: changed(lab.network("rules", "nitrogen"), like(c, "N", s)), "nitrogen", true("nitrogen"), 2800, 600, 200), True,
                    about=ABOUT[ELEMENTS[column]]))
        for column in ("Cl", "S") for share in (0.4, 0.6, 0.8, 1.0)
    ]  # fmt: skip
