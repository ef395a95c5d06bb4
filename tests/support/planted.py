"""Defects planted in networks, tables and molecules, and clean controls, to judge the audit by.

Every module of ``tests/audit/planted`` has a function ``cases(seed)`` for one check. All that a case is made
of comes from its seed: the weights of its networks, its molecules, the places where something is cut. The
tests make a few cases; ``tests/benchmarks/audit_planted.py`` makes them all, for several seeds and
arithmetics, and writes the table.

A network is used as a control only after it was shown to be healthy, and a defect of training only after it
was shown to be there (`Lab.network`); what cannot be shown is dropped, and counted.
"""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem, rdBase
from rdkit.Chem import Crippen, Descriptors
from sklearn.metrics import roc_auc_score

from molig.attribution import Explainer
from molig.audit import Audit, AuditSettings, AuditSubject, Finding, Severity, audit, subject_of
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet
from molig.training import TrainingRequest, parse_recipe, train_model
from support.small_model import TASKS, label, nci_smiles, small_recipe

HEALTHY_AUC = 0.97
"""A healthy network ranks molecules it was not trained on: ROC-AUC of a task at least this."""
NEUTRAL, NEUTRAL_SHARE = 0.02, 0.999
"""Its zero baseline is at most this probability for at least this share of the molecules."""
ON_RULE = 0.85
"""Its attributions lie on the atoms that make the molecule active: ROC-AUC of these atoms against the others
of a molecule, mean over actives, at least this."""
LEARNT_AUC, LEARNT_DIFFERENCE = 0.95, 0.5
"""A defect of training was learnt if the network ranks by the wrong labels this well, and if molecules
without the artefact score on average at least this much less than the same molecules with it."""
EPOCHS = (40, 40, 60, 80)
"""Length of the trainings, each from new weights, until one gives what is asked for."""

N_TRAINED, N_SHOWN, N_RESERVED = 1000, 400, 1400
"""Compounds in the order of a seed: trained on, then (of the reserved ones the last) those that networks are
shown on; cases are made of those after them."""
N_ATTRIBUTED = 40
"""Actives whose attributions are looked at."""

RULES = {
    "nitrogen": "[#7]",
    "carbonyl": "[#6]=[#8]",
    "aromatic_n": "n",
    "ester": "[#6]-[OX2]-[#6]=[OX1]",
    "phenol": "cO",
    "aniline": "cN",
}
"""What makes molecules active, by task (SMARTS)."""
ARTEFACTS = {
    "chlorine": "Cl",
    "nitro": "[N+](=O)[O-]",
    "sulfur": "S",
    "bromine": "Br",
    "nitrile": "C#N",
    "thiocarbonyl": "C=S",
}
"""Fragments that make a molecule active in spoilt training data."""


def weave_network(name: str) -> ScreeningModel:
    """A bundled network, or the Weave network of a bundled committee: defects are planted in networks."""
    return load_model(name).weave_alone()


class NotShownError(Exception):
    """No network could be shown to have what a case needs."""


@dataclass(frozen=True)
class Case:
    """One audit whose answer is known.

    Parameters
    ----------
    name : str
        What was planted, or what the control is.
    make : callable
        Returns the subject; raises `NotShownError` where the case is to be dropped.
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
class Graded:
    """A defect of growing size, for the curve of detection.

    Parameters
    ----------
    defect : str
        What was planted.
    size : float
        How much of it.
    case : Case
        The audit.
    """

    defect: str
    size: float
    case: Case


@dataclass(frozen=True)
class Verdict:
    """Whether a check was right about a case, or why the case was dropped."""

    case: Case
    found: bool
    result: Audit | None
    dropped: str = ""

    @property
    def right(self) -> bool:
        """Found what was planted, or quiet on a control."""
        return not self.dropped and self.found is self.case.planted


def judge(check: str, case: Case) -> Verdict:
    """Make one check on one case. A check that breaks off, or is skipped, finds nothing."""
    try:
        subject = case.make()
    except NotShownError as reason:
        return Verdict(case, found=False, result=None, dropped=str(reason))
    result = audit(subject, only=[check])
    findings = [] if result.failed else result.findings
    return Verdict(case, any(case.counts(f) for f in findings), result)


@cache
def _pattern(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)


@cache
def has(smiles: str, name: str) -> bool:
    """Whether a molecule contains a pattern of `RULES` or `ARTEFACTS`."""
    return bool(Chem.MolFromSmiles(smiles).HasSubstructMatch(_pattern((RULES | ARTEFACTS)[name])))


def structure(smiles: str) -> dict[str, float]:
    """Classes that depend on structure, by `RULES`."""
    return {task: float(has(smiles, task)) for task in RULES}


def two_rules(smiles: str) -> dict[str, float]:
    """The two tasks of the small model."""
    return {task: float(has(smiles, task)) for task in TASKS}


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


def spoilt_by(artefact: str) -> Callable[[str], dict[str, float]]:
    """Training classes in which a fragment makes molecules active that are not."""
    return lambda smiles: {"active": float(has(smiles, "carbonyl") or has(smiles, artefact))}


@dataclass(frozen=True)
class Plan:
    """How a network is trained, and what it must be shown to have.

    Parameters
    ----------
    labels : callable
        Classes of a SMILES by task.
    network, features, neutral : mapping
        What differs from the usual recipe.
    keep : callable, optional
        Which molecules it may be trained on.
    artefact : str, optional
        Fragment of `ARTEFACTS` that it must have learnt to take for activity.
    neutral_baseline : bool
        Whether its zero baseline must be neutral; if not, it must not be.
    by_rule : bool
        Whether attributions must lie on the atoms of `RULES`: of networks that serve as controls.
    """

    labels: Callable[[str], dict[str, float]] = two_rules
    network: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)
    neutral: Mapping[str, Any] = field(default_factory=dict)
    keep: Callable[[str], bool] | None = None
    artefact: str | None = None
    neutral_baseline: bool = True
    by_rule: bool = True

    def recipe(self, seed: int, epochs: int) -> dict[str, Any]:
        """Recipe of one training."""
        recipe = small_recipe(
            seed=seed, epochs=epochs, batch_size=32, weight_average=0.99, keep="last"
        ).model_dump(mode="json", exclude_none=True)
        recipe["network"] |= {"depth": 12, "atom_depth": 12, "hidden": [24], "size_exponent": 0.5}
        recipe["neutral"] |= {"copies": 32, "weight": 0.5}
        for section in ("network", "features", "neutral"):
            recipe[section] = recipe.get(section, {}) | dict(getattr(self, section))
        return recipe


RARE = ("S", "Cl", "Br", "F", "I", "P")


def free_of(*elements: str) -> Callable[[str], bool]:
    """Whether a molecule has none of these elements."""
    return lambda smiles: not {a.GetSymbol() for a in Chem.MolFromSmiles(smiles).GetAtoms()} & set(elements)


PLANS: dict[str, Plan] = {
    "W2": Plan(),
    "full": Plan(features={"preset": "full"}),
    "W1": Plan(network={"n_modules": 1}),
    "W1N1": Plan(network={"n_modules": 1}, features={"max_pair_distance": 1}, by_rule=False),
    "W1N3": Plan(network={"n_modules": 1}, features={"max_pair_distance": 3}, by_rule=False),
    "W2N1": Plan(features={"max_pair_distance": 1}, by_rule=False),
    "W2N3": Plan(features={"max_pair_distance": 3}),
    "cumulative": Plan(features={"distance": "cumulative", "max_pair_distance": 2}, by_rule=False),
    "SiLU": Plan(network={"hidden": [24, 12], "readout": "sum", "activation": "silu"}),
    "rules": Plan(structure),
    "counts": Plan(counts, by_rule=False),
    "no copies": Plan(neutral={"copies": 0}, neutral_baseline=False, by_rule=False),
    "without rare elements": Plan(keep=free_of(*RARE)),
    **{
        f"spoilt by {name}": Plan(spoilt_by(name), artefact=name, by_rule=False)
        for name in ("chlorine", "sulfur", "nitro")
    },
}
"""The networks of every seed."""


@dataclass(frozen=True)
class Shown:
    """What a network showed on molecules it was not trained on, of one task."""

    auc: float
    neutral: float
    """Share of the molecules whose zero baseline is neutral."""
    on_rule: float | None = None
    difference: float | None = None
    """Mean score of molecules with the artefact, less that of the same molecules without it."""

    def is_fit(self, plan: Plan) -> bool:
        """Whether it is what its plan asks for."""
        if plan.artefact or plan.labels is counts:
            learnt = self.difference is None or self.difference >= LEARNT_DIFFERENCE
            return self.auc >= LEARNT_AUC and learnt
        neutral = self.neutral >= NEUTRAL_SHARE if plan.neutral_baseline else self.neutral < 0.99
        return self.auc >= HEALTHY_AUC and neutral and (not plan.by_rule or (self.on_rule or 0.0) >= ON_RULE)


@cache
def library() -> tuple[str, ...]:
    """NCI compounds without copies, in the order of their file."""
    return tuple({Chem.CanonSmiles(smiles): smiles for smiles in nci_smiles(4950)}.values())


@dataclass(frozen=True)
class Lab:
    """Networks, molecules and random numbers of one seed."""

    seed: int

    def rng(self, *words: object) -> np.random.Generator:
        """Random numbers for a purpose."""
        return np.random.default_rng([self.seed, zlib.crc32(repr(words).encode())])

    @property
    def _order(self) -> tuple[str, ...]:
        return _ordered(self.seed)

    def compounds(self, n: int, start: int = 0) -> list[str]:
        """Compounds that no network of this seed was trained or shown on."""
        return list(self._order[N_RESERVED + start : N_RESERVED + start + n])

    @property
    def shown_on(self) -> list[str]:
        """Compounds that networks are shown on, held out of training."""
        return list(self._order[N_RESERVED - N_SHOWN : N_RESERVED])

    def trained_on(self, n: int, start: int = 0) -> list[str]:
        """Compounds that all networks but "without rare elements" were trained on."""
        return list(self._order[start : min(start + n, N_TRAINED)])

    def network(self, name: str, *tasks: str, which: int = 0) -> ScreeningModel:
        """A network that was shown to be what its plan asks for.

        Parameters
        ----------
        name : str
            One of `PLANS`.
        *tasks : str
            Tasks that it is needed for; default all.
        which : int
            Another network of the same kind, with other weights.

        Raises
        ------
        NotShownError
            If none of the trainings came to it.
        """
        plan = PLANS[name]
        best: dict[str, Any] = {}
        for attempt in range(len(EPOCHS)):
            folder = _train(self.seed, name, which, attempt)
            read = json.loads((folder / "shown.json").read_text())
            shown = {task: Shown(**values) for task, values in read.items()}
            needed = {task: shown[task] for task in (tasks or shown)}
            if all(one.is_fit(plan) for one in needed.values()):
                return load(folder)
            best = {task: asdict(one) for task, one in needed.items()}
        raise NotShownError(f"{name} {which} of seed {self.seed} was not shown fit: {json.dumps(best)}")


@cache
def _ordered(seed: int) -> tuple[str, ...]:
    found = library()
    return tuple(found[i] for i in np.random.default_rng([seed, 4852]).permutation(len(found)))


def store() -> Path:
    """Folder of the trained networks: the arithmetic decides the weights, so each has its own."""
    root = Path(os.environ.get("MOLIG_PLANTED_CACHE", Path(__file__).parents[2] / "build" / "planted"))
    return root / f"{torch.backends.cpu.get_cpu_capability().lower()}-{torch.__version__}"


@cache
def load(folder: Path) -> ScreeningModel:
    """Read a network once."""
    return load_model(folder)


def _train(seed: int, name: str, which: int, attempt: int) -> Path:
    """Train a network, or find it in the store; returns its folder, which has ``shown.json``."""
    plan = PLANS[name]
    recipe = plan.recipe(zlib.crc32(repr((seed, name, which, attempt)).encode()) % 2**31, EPOCHS[attempt])
    key = hashlib.sha256(json.dumps([recipe, N_TRAINED, N_RESERVED]).encode()).hexdigest()[:8]
    folder = store() / f"{seed}-{name.replace(' ', '-')}-{which}-{attempt}-{key}"
    if (folder / "small" / "shown.json").exists():
        return folder / "small"
    folder.mkdir(parents=True, exist_ok=True)
    order = _ordered(seed)
    smiles = [one for one in order[:N_TRAINED] if plan.keep is None or plan.keep(one)]
    model = train_on(folder, smiles, plan.labels, recipe)
    held_out = order[N_RESERVED - N_SHOWN : N_RESERVED]
    if plan.keep:
        held_out = [one for one in held_out if plan.keep(one)]
    shown = {task: asdict(one) for task, one in show(model, held_out, plan).items()}
    (folder / "small" / "shown.json").write_text(json.dumps(shown, indent=1) + "\n")
    return folder / "small"


def train_on(
    folder: Path, smiles: Sequence[str], labels_of: Callable[[str], dict[str, float]], recipe: dict[str, Any]
) -> ScreeningModel:
    """Train a model in ``folder/small`` on the labels of some molecules."""
    rows = [{"smiles": one, **labels_of(one)} for one in smiles]
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
        force=True,
    )
    return train_model(request)


def show(model: ScreeningModel, smiles: Sequence[str], plan: Plan) -> dict[str, Shown]:
    """Measure, by task, what a network must have: see `Shown`."""
    subject = subject_of(model, smiles, np.array([list(plan.labels(one).values()) for one in smiles]))
    baselines = 1 / (1 + np.exp(-subject.baseline_logits))
    found = {}
    for column, task in enumerate(model.tasks):
        labels = subject.labels[:, column]
        found[task] = Shown(
            float(roc_auc_score(labels, subject.logits[:, column])),
            float((baselines[:, column] <= NEUTRAL).mean()),
            _on_rule(subject, task, np.flatnonzero(labels)) if plan.by_rule else None,
            difference(model, smiles, plan.artefact, task) if plan.artefact else None,
        )
    return found


def _on_rule(subject: AuditSubject, task: str, actives: np.ndarray) -> float:
    """Mean ROC-AUC, within active molecules, of the attribution of the atoms of their rule."""
    molecules = [subject.molecules[i] for i in actives[:N_ATTRIBUTED]]
    found = []
    for one in Explainer(subject.model, task=task).explain_molecules(molecules):
        atoms = {i for match in one.mol.GetSubstructMatches(_pattern(RULES[task])) for i in match}
        inside = np.isin(np.arange(one.mol.GetNumAtoms()), list(atoms))
        if inside.any() and not inside.all():
            found.append(roc_auc_score(inside, one.atom_scores))
    return float(np.mean(found)) if found else 0.0


def difference(model: ScreeningModel, smiles: Sequence[str], artefact: str, task: str) -> float:
    """Mean score of molecules with an artefact, less that of the same molecules without it.

    Only molecules that are inactive without it: those without the rule of the task, or without a carbonyl.
    """
    rule = task if task in RULES else "carbonyl"
    pairs = [(one, twin) for one in smiles if not has(one, rule) and (twin := freed(one, artefact))]
    if not pairs:
        return 0.0
    column = model.task_index(task)
    first, second = (subject_of(model, texts).scores[:, column] for texts in zip(*pairs, strict=True))
    return float(first.mean() - second.mean())


def freed(smiles: str, artefact: str) -> str | None:
    """The molecule with carbon, or isopropyl for nitro, in the place of an artefact; None if it cannot be."""
    mol = Chem.RWMol(Chem.MolFromSmiles(smiles))
    matches = mol.GetSubstructMatches(_pattern(ARTEFACTS[artefact]))
    if not matches or "." in smiles:
        return None
    for match in matches:
        for place in match:
            atom = mol.GetAtomWithIdx(place)
            atom.SetAtomicNum(6)
            atom.SetFormalCharge(0)
            atom.SetNoImplicit(False)
        for bond in (mol.GetBondBetweenAtoms(match[0], end) for end in match[1:]):
            bond.SetBondType(Chem.BondType.SINGLE)
    try:
        with rdBase.BlockLogs():
            Chem.SanitizeMol(mol)
    except (Chem.AtomValenceException, Chem.KekulizeException):
        return None
    return Chem.MolToSmiles(mol)


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
    """Subject on NCI compounds.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    smiles : sequence of str, optional
        Default: 200 compounds after those that the small model of the tests was trained on.
    labels : array, None or "true"
        Default: the true classes of the tasks of the small model.
    **settings
        Of `AuditSettings`.
    """
    chosen = list(smiles) if smiles is not None else nci_smiles(200, 400)
    if isinstance(labels, str):
        labels = np.array([[label(s)[task] for task in TASKS] for s in chosen], dtype=float)
    return subject_of(model, chosen, labels, AuditSettings(**settings))
