"""Defects planted in real, trained small models and tables, and clean controls, to judge the audit by.

Every module of ``tests/audit/planted`` has a function ``cases()`` for one check. The tests make a few of its
cases; ``tests/benchmarks/audit_planted.py`` makes them all and writes the table.
"""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch

from molig.audit import Audit, AuditSettings, AuditSubject, Finding, Severity, audit, subject_of
from molig.model import ScreeningModel
from molig.network import WeaveNet
from molig.training import TrainingRequest, parse_recipe, train_model
from support.small_model import TASKS, label, nci_smiles, small_recipe, write_labelled

N_TRAINED, N_AUDITED = 400, 200
"""NCI compounds that the small models are trained on, and those after them that they are audited with."""

_HEALTHY: dict[str, dict[str, Any]] = {
    "network": {"depth": 12, "atom_depth": 12, "hidden": [24], "size_exponent": 0.5},
    "neutral": {"copies": 32, "weight": 0.5},
}


@dataclass(frozen=True)
class Case:
    """One audit whose answer is known.

    Parameters
    ----------
    name : str
        What was planted, or what the control is.
    make : callable
        Returns the subject.
    planted : bool
        Whether a defect was planted; a control has none.
    least : Severity
        Least severity that counts: planted, there must be such a finding of the check; in a control none.
    about : tuple of str
        One of these words must be in a finding that counts as detection, lest it be about something else.
    """

    name: str
    make: Callable[[], AuditSubject]
    planted: bool
    least: Severity = Severity.WARNING
    about: tuple[str, ...] = ()

    def counts(self, finding: Finding) -> bool:
        """Whether a finding is what was planted, or a false alarm."""
        text = json.dumps(finding.to_dict(), ensure_ascii=False)
        meant = not self.planted or not self.about or any(word in text for word in self.about)
        return finding.severity.rank >= self.least.rank and meant


@dataclass(frozen=True)
class Verdict:
    """Whether a check was right about a case."""

    case: Case
    found: bool
    result: Audit

    @property
    def right(self) -> bool:
        """Found what was planted, or quiet on a control."""
        return self.found is self.case.planted


def judge(check: str, case: Case) -> Verdict:
    """Make one check on one case. A check that breaks off, or is skipped, finds nothing."""
    result = audit(case.make(), only=[check])
    findings = [] if result.failed else result.findings
    return Verdict(case, any(case.counts(f) for f in findings), result)


@cache
def trained(seed: int = 1, n: int = N_TRAINED, **sections: Any) -> ScreeningModel:
    """Train a small, healthy model on the first ``n`` NCI compounds; the same arguments give the same model.

    Parameters
    ----------
    seed : int
        Seed of weights, order and dropout.
    n : int
        Molecules.
    **sections
        Values of recipe sections as tuples of pairs, which can be hashed:
        ``network=(("n_modules", 1),), features=(("preset", "full"),)``.
    """
    folder = Path(mkdtemp(prefix="molig-planted-"))
    recipe = small_recipe(seed=seed).model_dump(mode="json", exclude_none=True)
    for name in {*_HEALTHY, *sections}:
        recipe[name] = recipe.get(name, {}) | _HEALTHY.get(name, {}) | dict(sections.get(name, ()))
    request = TrainingRequest(
        source=write_labelled(folder / "labelled.csv", n),
        output=folder / "small",
        targets=TASKS,
        recipe=parse_recipe(recipe),
        device="cpu",
    )
    return train_model(request)


@cache
def trained_on(
    labels_of: Callable[[str], dict[str, float]], seed: int = 1, n: int = N_TRAINED, **sections: Any
) -> ScreeningModel:
    """Train a small model on other labels of the first ``n`` NCI compounds.

    Parameters
    ----------
    labels_of : callable
        Labels of a SMILES by task; a function of a module, so that the same one gives the same model.
    seed, n, **sections
        As for `trained`.
    """
    folder = Path(mkdtemp(prefix="molig-planted-"))
    recipe = small_recipe(seed=seed).model_dump(mode="json", exclude_none=True)
    for name in {*_HEALTHY, *sections}:
        values = recipe.get(name, {})
        section = sections.get(name, ())
        recipe[name] = (
            values | _HEALTHY.get(name, {}) | dict(section) if isinstance(values, dict) else section
        )
    rows = [{"smiles": smiles, **labels_of(smiles)} for smiles in nci_smiles(n)]
    with (folder / "labelled.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    targets = tuple(name for name in rows[0] if name != "smiles")
    request = TrainingRequest(
        source=folder / "labelled.csv",
        output=folder / "small",
        targets=targets,
        recipe=parse_recipe(recipe),
        device="cpu",
    )
    return train_model(request)


def changed(model: ScreeningModel, edit: Callable[[WeaveNet], object]) -> ScreeningModel:
    """Copy a model and change the copy's network in place."""
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        edit(network)
    return ScreeningModel(model.info, network, "cpu", model.applicability)


def audited(
    model: ScreeningModel,
    *,
    smiles: Sequence[str] | None = None,
    labels: np.ndarray | str | None = "true",
    **settings: Any,
) -> AuditSubject:
    """Subject on NCI compounds after those the small models were trained on.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    smiles : sequence of str, optional
        Other molecules.
    labels : array, None or "true"
        Default: the true classes of the tasks of the small model.
    **settings
        Of `AuditSettings`.
    """
    chosen = list(smiles) if smiles is not None else nci_smiles(N_AUDITED, N_TRAINED)
    if isinstance(labels, str):
        labels = np.array([[label(s)[task] for task in TASKS] for s in chosen], dtype=float)
    return subject_of(model, chosen, labels, AuditSettings(**settings))
