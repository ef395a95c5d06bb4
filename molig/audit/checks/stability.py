"""Whether scores and attributions depend on what must not matter, and whether other models agree."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem, rdBase

from molig.attribution import Explanation
from molig.audit.checks.activity_cliffs import STRONG
from molig.audit.figures import bars, histogram
from molig.audit.findings import (
    Evidence,
    Example,
    Figure,
    Finding,
    Outcome,
    Severity,
    marked_example,
    scored_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, Index, explain_molecules
from molig.features import PackedGraphs
from molig.model import ScreeningModel
from molig.molecules import Molecule, Record, input_atom_indices
from molig.network import WeaveNet
from molig.stats.intervals import spearman

# The same molecules in other forms: other atom orders, other SMILES, other company in a batch.


_LARGE_SHARE = 0.9
# Of repeated texts, so that a large molecule is as near to the size limit as the text can bring it.
_LARGE = ("C", "OCC", "NCC(=O)")


@dataclass(frozen=True)
class Variant:
    """A molecule in another form.

    Parameters
    ----------
    molecule : Molecule
        The other form, as the model's parser made it.
    places : array of int, shape (n_atoms,)
        For each atom of the other form its place in the original molecule; -1 where it has none.
    """

    molecule: Molecule
    places: Index

    def back(self, scores: FloatArray, n_atoms: int) -> FloatArray:
        """Put atom scores of the other form in the order of the original.

        Parameters
        ----------
        scores : array of float, shape (n_atoms of the other form,)
            Scores of its atoms.
        n_atoms : int
            Atoms of the original.
        """
        found = np.zeros(n_atoms)
        known = self.places >= 0
        found[self.places[known]] = scores[known]
        return found


def renumbered(molecule: Molecule, rng: np.random.Generator) -> Variant:
    """Number the atoms of a molecule anew, at random.

    Parameters
    ----------
    molecule : Molecule
        Accepted by the model's parser.
    rng : Generator
        Draws the order.

    Returns
    -------
    Variant
    """
    order = rng.permutation(molecule.mol.GetNumAtoms())
    mol = Chem.RenumberAtoms(molecule.mol, order.tolist())
    return Variant(Molecule(molecule.row, molecule.id, molecule.smiles, mol), order)


def readable(molecule: Molecule) -> Chem.Mol:
    """The molecule as given, before standardisation; if its text cannot be read, as it was scored."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(molecule.smiles)
    return molecule.mol if mol is None else mol


def random_smiles(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """SMILES that starts at an atom drawn at random and runs through its neighbours in a random order."""
    order = rng.permutation(mol.GetNumAtoms()).tolist()
    return str(Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False))


def kekulized_smiles(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """SMILES with alternating single and double bonds in place of aromatic ones."""
    kekulized = Chem.Mol(mol)
    Chem.Kekulize(kekulized, clearAromaticFlags=True)
    return str(Chem.MolToSmiles(kekulized, kekuleSmiles=True))


def bracket_smiles(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """SMILES with every atom in brackets, with its hydrogens, and every bond written."""
    return str(Chem.MolToSmiles(mol, allBondsExplicit=True, allHsExplicit=True))


def hydrogen_smiles(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """SMILES with every hydrogen as an atom of its own."""
    return str(Chem.MolToSmiles(Chem.AddHs(mol)))


FORMS: dict[str, Callable[[Chem.Mol, np.random.Generator], str]] = {
    "random SMILES": random_smiles,
    "kekulized SMILES": kekulized_smiles,
    "SMILES in brackets": bracket_smiles,
    "SMILES with hydrogens": hydrogen_smiles,
}
"""Ways of writing a molecule that must not matter."""


def parsed(model: ScreeningModel, molecule: Molecule, smiles: str) -> Molecule | None:
    """Another SMILES of a molecule through the model's parser; None if it is refused."""
    found, _ = model.parser.parse_many([Record(molecule.row, molecule.id, smiles)])
    return found[0] if found else None


def rewritten(model: ScreeningModel, molecule: Molecule, rng: np.random.Generator) -> Variant | None:
    """Write a molecule as a random SMILES and read it again.

    Parameters
    ----------
    model : ScreeningModel
        Its parser reads.
    molecule : Molecule
        As the parser made it from its SMILES.
    rng : Generator
        Draws the SMILES.

    Returns
    -------
    Variant or None
        None if the parser refuses the text, or the atoms cannot be followed.
    """
    source = readable(molecule)
    order = rng.permutation(source.GetNumAtoms())
    shuffled = Chem.RenumberAtoms(source, order.tolist())
    other = parsed(model, molecule, str(Chem.MolToSmiles(shuffled, canonical=False)))
    if other is None or other.mol.GetNumAtoms() != molecule.mol.GetNumAtoms():
        return None
    written = np.array(list(shuffled.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"]))
    place_of = {source: place for place, source in enumerate(input_atom_indices(molecule.mol)) if source >= 0}
    inputs = input_atom_indices(other.mol)
    if max(inputs, default=0) >= len(written):
        return None
    places = [place_of.get(int(order[written[i]]), -1) if i >= 0 else -1 for i in inputs]
    return Variant(other, np.array(places, dtype=np.int64))


def large_molecules(model: ScreeningModel) -> list[Molecule]:
    """Chain molecules nearly as large as the model's parser allows."""
    most = int(_LARGE_SHARE * model.info.molecules.max_heavy_atoms)
    found = []
    for unit in _LARGE:
        repeats = max(1, most // sum(symbol.isalpha() for symbol in unit))
        molecules, _ = model.parser.parse_many([Record(1, "large", unit * repeats)])
        found += molecules
    return found


def alone(model: ScreeningModel, graphs: PackedGraphs) -> FloatArray:
    """Logits of molecules scored one at a time.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    graphs : PackedGraphs
        The molecules.

    Returns
    -------
    array of float, shape (n_mols, n_tasks)
        NaN where the model cannot score a molecule without others.
    """
    found = np.full((len(graphs), len(model.tasks)), np.nan)
    for place in range(len(graphs)):
        try:
            found[place] = model.logits(graphs.select([place]))
        except (ValueError, RuntimeError):
            # Batch normalisation in training mode refuses a batch of one; NaN says that it broke.
            continue
    return found


def in_double(model: ScreeningModel) -> ScreeningModel:
    """The same model, its parts and their states as they are, in double precision."""
    return _with_network(model, copy.deepcopy(model.network).double())


def other_device(model: ScreeningModel) -> str | None:
    """The other kind of device, CPU or CUDA, that a model could run on here; None if there is none."""
    if not torch.cuda.is_available():
        return None
    return "cpu" if model.device.type == "cuda" else "cuda"


def on_device(model: ScreeningModel, device: str) -> ScreeningModel:
    """The same model, its parts, their states and its precision as they are, on another device.

    `ScreeningModel.to` moves the network itself and puts it into evaluation mode; this moves a copy.
    """
    twin = _with_network(model, copy.deepcopy(model.network).to(device))
    twin.device = torch.device(device)
    return twin


def _with_network(model: ScreeningModel, network: WeaveNet) -> ScreeningModel:
    twin = copy.copy(model)
    for cached in ("dtype", "secants"):
        twin.__dict__.pop(cached, None)
    twin.network = network
    return twin


def largest_difference(first: FloatArray, second: FloatArray) -> FloatArray:
    """Largest difference per molecule over all tasks; infinite where one of the two is no number."""
    difference = np.abs(first - second).max(axis=1, initial=0.0)
    return np.where(np.isfinite(difference), difference, np.inf)


def modules_in_training(model: ScreeningModel) -> list[str]:
    """Names of the network's dropout and normalisation layers that are in training mode."""
    return [
        name
        for name, module in model.network.named_modules()
        if module.training and type(module).__name__ in {"Dropout", "BatchNorm1d", "LayerNorm"}
    ]


def some(n: int, most: int, rng: np.random.Generator) -> Index:
    """At most ``most`` of ``n`` places, drawn at random, ascending."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def aligned(variants: Sequence[Molecule | None], model: ScreeningModel) -> FloatArray:
    """Logits of molecules, NaN for those that are missing; shape (n, n_tasks)."""
    found = np.full((len(variants), len(model.tasks)), np.nan)
    known = [i for i, molecule in enumerate(variants) if molecule is not None]
    if known:
        found[known] = model.logits(model.featurize([m.mol for m in variants if m is not None]))
    return found


# Scores and attributions of molecules in other forms: order, SMILES, batch, precision, device.

MOLECULES, EXPLAINED, EXPLAINED_TASKS = 50, 8, 3
"""Molecules scored in other forms; molecules, and tasks, explained in other forms; drawn with the seed."""
SCORE_TOLERANCE = 1e-3
"""Allowed change of a logit (of a regression: of its standard deviation); rounding makes some 1e-6."""
ATTRIBUTION_TOLERANCE, SMALLEST = 0.05, 0.01
"""Allowed change of an atom's score, as a share of the largest one (of at least 0.01): the error that the
integration itself is allowed."""


@dataclass
class Changes:
    """Largest difference of scores per molecule and kind of change, in units of the tolerance's scale."""

    chosen: Index
    scores: dict[str, FloatArray] = field(default_factory=dict)
    attributions: dict[str, FloatArray] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    allowed: float = SCORE_TOLERANCE

    def broken(self, kind: str) -> Index:
        """Places, among the chosen, of the molecules that change more than is allowed."""
        return np.flatnonzero(self.scores.get(kind, np.empty(0)) > self.allowed)


ORDER, REPEATED, PRECISION, DEVICE = "atom order", "repeated", "double precision", "device"
ALONE, REVERSED, LARGE = "alone", "reversed batch", "beside large molecules"


def unit_of(subject: AuditSubject) -> float:
    """1 for logits; for values their spread, which is what a difference must be small against."""
    if not subject.is_regression:
        return 1.0
    return max(float(subject.logits.std(axis=0).min()), 1e-6 * float(np.abs(subject.logits).max()), 1e-12)


def repeat(subject: AuditSubject, graphs: PackedGraphs, found: Changes) -> None:
    """Score molecules again, twice."""
    unit = unit_of(subject)
    first = subject.model.logits(graphs)
    again = [largest_difference(first, subject.model.logits(graphs)) for _ in range(2)]
    found.scores[REPEATED] = np.maximum(*again) / unit


def compare_scores(
    subject: AuditSubject, graphs: PackedGraphs, found: Changes, rng: np.random.Generator
) -> None:
    """Score molecules in other forms, other company and other precision."""
    model, unit = subject.model, unit_of(subject)
    logits = model.logits(graphs)

    def note(kind: str, other: FloatArray) -> None:
        found.scores[kind] = largest_difference(logits, other) / unit

    note(PRECISION, in_double(model).logits(graphs))
    # Where rounding itself is felt, that is a finding of its own, and nothing else is blamed for it.
    found.allowed = max(SCORE_TOLERANCE, 10 * float(np.median(found.scores[PRECISION])))
    backwards = np.arange(len(graphs))[::-1]
    note(REVERSED, model.logits(graphs.select(backwards))[backwards])
    note(ALONE, alone(model, graphs))
    large = large_molecules(model)
    if large:
        together = PackedGraphs.concatenate([model.featurize([m.mol for m in large]), graphs])
        note(LARGE, model.logits(together)[len(large) :])
    molecules = [subject.molecules[i] for i in found.chosen]
    note(ORDER, aligned([renumbered(m, rng).molecule for m in molecules], model))
    sources = [readable(m) for m in molecules]
    for kind, write in FORMS.items():
        others = [parsed(model, m, write(s, rng)) for m, s in zip(molecules, sources, strict=True)]
        found.rejected[kind] = sum(other is None for other in others)
        note(kind, aligned(others, model))
    device = other_device(model)
    if device:
        # In the model's own precision: faults of a device hardly show in another one.
        note(DEVICE, on_device(model, device).logits(graphs))


def compare_attributions(subject: AuditSubject, found: Changes, rng: np.random.Generator) -> None:
    """Explain some molecules as their SMILES gives them, renumbered, and from a random SMILES."""
    places = found.chosen[some(len(found.chosen), EXPLAINED, rng)]
    tasks = [subject.tasks[i] for i in some(len(subject.tasks), EXPLAINED_TASKS, rng)]
    originals = [_as_written(subject, subject.molecules[i]) for i in places]
    kinds: dict[str, list[Variant | None]] = {
        ORDER: [renumbered(m, rng) for m in originals],
        "random SMILES": [rewritten(subject.model, m, rng) for m in originals],
    }
    before = explain_molecules(subject.model, originals, tasks)
    for kind, variants in kinds.items():
        after = explain_molecules(subject.model, [v.molecule for v in variants if v is not None], tasks)
        known = [i for i, variant in enumerate(variants) if variant is not None]
        moved = np.zeros(len(originals))
        for i, other in zip(known, after, strict=True):
            variant = variants[i]
            if variant is not None:
                moved[i] = max(_moved(before[i][task], other[task], variant) for task in tasks)
        found.attributions[kind] = moved


def _as_written(subject: AuditSubject, molecule: Molecule) -> Molecule:
    return parsed(subject.model, molecule, molecule.smiles) or molecule


def _moved(before: Explanation, after: Explanation, variant: Variant) -> float:
    """Largest change of an atom's score, as a share of the largest score."""
    own = before.atom_scores
    back = variant.back(after.atom_scores, len(own))
    followed = np.zeros(len(own), dtype=bool)
    followed[variant.places[variant.places >= 0]] = True
    difference = np.abs(own - back)[followed].max(initial=0.0)
    return float(difference / max(float(np.abs(own).max(initial=0.0)), SMALLEST))


# How far models of the same tasks, such as other seeds, agree about scores and atoms.

PARTNER_MOLECULES = 40
"""Molecules whose attributions are compared with those of partners."""
SCORE_AGREEMENT, FLIPPED, ATOMS = 0.5, 0.4, 50
"""Models that rank molecules with less correlation, or that give more of the atoms that matter (of at least
so many) the opposite sign, disagree: other seeds of sound models reach 0.73 and 0.35."""
NOTABLE_FLIPPED = 0.25
"""Share of opposite signs from which single atoms should not be read from one model."""

MATTERS = 0.1
"""A molecule matters if one of the models moves it this far from the baseline (probability, or standard
deviations of a regression): attributions of scores of nothing are noise."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of two models on one task.

    Parameters
    ----------
    partner, task : str
        Which.
    score : float
        Rank correlation of the scores; NaN if one of them does not vary.
    atoms : array of float, shape (n_molecules,)
        Rank correlation of the atom scores within each molecule that matters.
    flipped, strong : array of int, shape (n_molecules,)
        Atoms whose sign differs, among those that matter in the audited model.
    molecules : array of int
        Places of these molecules among those compared.
    """

    partner: str
    task: str
    score: float
    atoms: FloatArray
    flipped: npt.NDArray[np.int64]
    strong: npt.NDArray[np.int64]
    molecules: npt.NDArray[np.int64]

    @property
    def share_flipped(self) -> float:
        """Share of the atoms that matter whose sign differs; NaN without such atoms."""
        total = int(self.strong.sum())
        return int(self.flipped.sum()) / total if total else float("nan")

    @property
    def median_atoms(self) -> float:
        """Median rank correlation of atom scores; NaN without molecules."""
        return float(np.median(self.atoms)) if len(self.atoms) else float("nan")

    def numbers(self) -> dict[str, float]:
        """For reports."""
        return {
            "score_correlation": self.score,
            "atom_correlation": self.median_atoms,
            "share_of_signs_flipped": self.share_flipped,
            "n_molecules": len(self.atoms),
            "n_atoms": int(self.strong.sum()),
        }


def sign_flips(first: FloatArray, second: FloatArray) -> tuple[int, int]:
    """Atoms of one molecule whose attribution has the other sign, and atoms that matter in the first model.

    Parameters
    ----------
    first, second : array of float, shape (n_atoms,)
        Atom scores by the audited model and by its partner.

    Returns
    -------
    (int, int)

    Examples
    --------
    >>> sign_flips(np.array([1.0, -0.5, 0.01]), np.array([0.2, 0.3, -1.0]))
    (1, 2)
    """
    strong = np.abs(first) >= STRONG * np.abs(first).max(initial=0.0)
    strong &= first != 0
    return int((strong & (first * second < 0)).sum()), int(strong.sum())


def compare_partner(
    subject: AuditSubject,
    partner: ScreeningModel,
    chosen: npt.NDArray[np.int64],
    own: Sequence[dict[str, Explanation]],
) -> list[Agreement]:
    """Compare the audited model with another one of the same tasks.

    Parameters
    ----------
    subject : AuditSubject
        The audited model and its molecules.
    partner : ScreeningModel
        The other model; its own parser and features are used.
    chosen : array of int
        Places of the molecules whose attributions are compared.
    own : sequence of dict
        The audited model's explanations of them, by task.

    Returns
    -------
    list of Agreement
        One per audited task that the partner has too.
    """
    tasks = [task for task in subject.tasks if task in partner.tasks]
    pairs = [(i, _read(partner, subject.molecules[place])) for i, place in enumerate(chosen)]
    same = [
        (i, other)
        for i, other in pairs
        if other is not None and other.mol.GetNumAtoms() == subject.molecules[chosen[i]].mol.GetNumAtoms()
    ]
    if not tasks or not same:
        return []
    theirs = explain_molecules(partner, [other for _, other in same], tasks)
    return [_agreement(subject, partner.name, task, [i for i, _ in same], (own, theirs)) for task in tasks]


def _agreement(
    subject: AuditSubject,
    name: str,
    task: str,
    places: list[int],
    explained: tuple[Sequence[dict[str, Explanation]], Sequence[dict[str, Explanation]]],
) -> Agreement:
    own, theirs = explained
    # What counts as a change is a share of the spread where values have a unit.
    unit = float(subject.scores[:, subject.column(task)].std()) if subject.is_regression else 1.0
    pairs = [(own[i][task], other[task]) for i, other in zip(places, theirs, strict=True)]
    atoms, flips, strong, kept = [], [], [], []
    for place, (mine, other) in zip(places, pairs, strict=True):
        change = max(abs(mine.score - mine.baseline_score), abs(other.score - other.baseline_score))
        correlation = spearman(mine.atom_scores, other.atom_scores)
        if change < MATTERS * unit or not np.isfinite(correlation):
            continue
        flipped, counted = sign_flips(mine.atom_scores, other.atom_scores)
        atoms.append(correlation)
        flips.append(flipped)
        strong.append(counted)
        kept.append(place)
    score = spearman([mine.score for mine, _ in pairs], [other.score for _, other in pairs])
    return Agreement(
        name,
        task,
        score,
        np.array(atoms),
        np.array(flips, dtype=np.int64),
        np.array(strong, dtype=np.int64),
        np.array(kept, dtype=np.int64),
    )


def _read(partner: ScreeningModel, molecule: Molecule) -> Molecule | None:
    found, _ = partner.parser.parse_many([Record(molecule.row, molecule.id, molecule.smiles)])
    return found[0] if found else None


def compare_partners(
    subject: AuditSubject, rng: np.random.Generator
) -> tuple[list[dict[str, Explanation]], list[Agreement]]:
    """Explain molecules with the audited model and every partner; nothing without partners."""
    partners = subject.settings.partners
    if not partners:
        return [], []
    chosen = some(len(subject.molecules), PARTNER_MOLECULES, rng)
    own = subject.explain(chosen)
    return own, [a for partner in partners for a in compare_partner(subject, partner, chosen, own)]


def disagreement(
    check: str, subject: AuditSubject, agreements: list[Agreement], own: list[dict[str, Explanation]]
) -> list[Finding]:
    """What to say of partners that rank molecules, or sign atoms, otherwise."""
    other = [a for a in agreements if not np.isfinite(a.score) or a.score < SCORE_AGREEMENT]
    flips = [a for a in agreements if a.strong.sum() >= ATOMS and a.share_flipped > FLIPPED]
    notable = [a for a in agreements if a.strong.sum() >= ATOMS and a.share_flipped > NOTABLE_FLIPPED]
    bad = [a for a in agreements if a in other or a in flips]
    # Scores of one sort only, as of a handful of molecules, cannot be ranked by any model.
    if len(own) < 3 or not (bad or notable):
        return []
    listed = bad or notable
    worst = max(listed, key=lambda a: (a in other, np.nan_to_num(a.share_flipped)))
    severity = Severity.WARNING if bad else Severity.INFO
    what = "disagree with the audited one" if bad else "agree about molecules, less about single atoms"
    return [
        Finding(
            check,
            severity,
            f"Partner models {what} on {len({a.task for a in listed})} of {len(subject.tasks)} tasks: worst "
            f"{worst.partner!r} on {worst.task}, rank correlation of scores {worst.score:.2f}, of atoms "
            f"within "
            f"a molecule {worst.median_atoms:.2f}; {worst.share_flipped:.0%} of the atoms that matter "
            f"have the opposite sign.",
            Evidence(
                {f"{a.partner}: {a.task}": a.numbers() for a in listed},
                molecules=_flipped_examples(worst, own),
            ),
            "Read explanations as averages over several seeds, and trust only atoms whose sign they share."
            if not bad
            else "These models did not learn the same thing: check that the tasks mean the same, then train "
            "several seeds and rely only on what they share.",
        )
    ]


def _flipped_examples(worst: Agreement, own: list[dict[str, Explanation]]) -> list[Example]:
    order = np.argsort(-worst.flipped, kind="stable")[:3]
    return [
        scored_example(
            own[worst.molecules[i]][worst.task],
            own[worst.molecules[i]][worst.task].atom_scores,
            f"{worst.task}: {worst.flipped[i]} of {worst.strong[i]} atoms that matter have the opposite sign "
            f"in {worst.partner!r}",
        )
        for i in order
        if worst.flipped[i]
    ]


NAME = "stability"

SINGLE_PRECISION = 0.01
"""Difference of single and double precision from which two molecules may change places."""


@register(
    NAME,
    title="Stability",
    question="Do scores and attributions stay the same when nothing that matters changes?",
)
def check(subject: AuditSubject) -> Outcome:
    """Change atom order, SMILES form, batch, precision and device; see `Outcome`."""
    rng = subject.rng(NAME)
    found = Changes(some(len(subject.molecules), MOLECULES, rng))
    graphs = subject.model.featurize(_mols(subject, found))
    repeat(subject, graphs, found)
    findings: list[Finding] = []
    agreements: list[Agreement] = []
    own: list[dict[str, Explanation]] = []
    if len(found.broken(REPEATED)):
        findings.append(_unrepeatable(subject, found))
    else:
        compare_scores(subject, graphs, found, rng)
        findings += _broken_invariance(subject, found)
        if not findings:
            compare_attributions(subject, found, rng)
            findings += _moving_attributions(subject, found)
            own, agreements = compare_partners(subject, rng)
            findings += disagreement(NAME, subject, agreements, own)
        if (found.scores[PRECISION] > SINGLE_PRECISION).any():
            findings.append(_rounding(subject, found))
    return Outcome(
        findings, _numbers(subject, found, agreements), _figures(found, agreements), _remark(subject)
    )


def _mols(subject: AuditSubject, found: Changes) -> list[Chem.Mol]:
    return [subject.molecules[i].mol for i in found.chosen]


def _unrepeatable(subject: AuditSubject, found: Changes) -> Finding:
    layers = modules_in_training(subject.model)
    broken = found.broken(REPEATED)
    cause = f" Layers in training mode: {', '.join(layers)}." if layers else ""
    return Finding(
        NAME,
        Severity.ERROR,
        f"The same molecule gets another score each time: {len(broken)} of {len(found.chosen)} "
        f"molecules change by up to {_shown(found.scores[REPEATED])}.{cause}",
        Evidence({"layers_in_training_mode": layers}, molecules=_examples(subject, found, broken, REPEATED)),
        "Put the network into evaluation mode (network.eval()); until then no score of it means anything.",
    )


_CHANGES = {
    "the numbering of the atoms": (ORDER,),
    "the way the SMILES is written": tuple(FORMS),
    "the other molecules of the batch": (ALONE, REVERSED, LARGE),
    "the device": (DEVICE,),
}
_ADVICE = {
    ORDER: "A feature depends on the order of the atoms. Compare the features of a molecule with those of a "
    "renumbered copy and repair the featurizer; train again.",
    "random SMILES": "Two spellings of a compound are two compounds to this model. Standardise molecules in "
    "the model's parser (aromaticity, hydrogens, stereo marks) before they are featurized.",
    ALONE: "A score must not depend on its company. Put normalisation layers into evaluation mode, or "
    "replace the layer that looks across the batch.",
    DEVICE: "Score and explain on one kind of device, and report the difference.",
}


def _broken_invariance(subject: AuditSubject, found: Changes) -> list[Finding]:
    findings = []
    order_broken = len(found.broken(ORDER)) > 0
    for change, kinds in _CHANGES.items():
        worst = max(kinds, key=lambda kind: len(found.broken(kind)))
        broken = found.broken(worst)
        # A new SMILES brings a new order of the atoms: one defect, one finding.
        if not len(broken) or (order_broken and kinds[0] in FORMS):
            continue
        numbers = {
            k: {"molecules": len(found.broken(k)), "largest": _largest(found.scores[k])}
            for k in kinds
            if k in found.scores
        }
        rejected = {k: found.rejected[k] for k in kinds if found.rejected.get(k)}
        layers = modules_in_training(subject.model)
        findings.append(
            Finding(
                NAME,
                Severity.ERROR,
                f"The score of a molecule depends on {change}: {len(broken)} of {len(found.chosen)} "
                f"molecules score differently ({worst}), by up to {_shown(found.scores[worst])}.",
                Evidence(
                    {
                        "changes": numbers,
                        "refused_by_the_parser": rejected,
                        "layers_in_training_mode": layers,
                    },
                    molecules=_examples(subject, found, broken, worst),
                ),
                _ADVICE[kinds[0]],
            )
        )
    return findings


def _moving_attributions(subject: AuditSubject, found: Changes) -> list[Finding]:
    bad = {k: int((v > ATTRIBUTION_TOLERANCE).sum()) for k, v in found.attributions.items()}
    if not any(bad.values()):
        return []
    worst = max(bad, key=lambda kind: float(found.attributions[kind].max()))
    return [
        Finding(
            NAME,
            Severity.ERROR,
            f"Attributions depend on how a molecule is written although scores do not: in {bad[worst]} of "
            f"{len(found.attributions[worst])} molecules ({worst}) an atom changes by up to "
            f"{found.attributions[worst].max():.0%} of the largest one.",
            Evidence(
                {"molecules": bad, "largest": {k: float(v.max()) for k, v in found.attributions.items()}}
            ),
            "Do not rely on the explanations of this model; explain with a smaller tolerance, and if "
            "they still move, look for features that swap among atoms.",
        )
    ]


def _rounding(subject: AuditSubject, found: Changes) -> Finding:
    values = found.scores[PRECISION]
    felt = np.flatnonzero(values > SINGLE_PRECISION)
    return Finding(
        NAME,
        Severity.WARNING,
        f"Rounding is felt: in single precision {len(felt)} of {len(values)} molecules score "
        f"differently from double precision, by up to {_shown(values)}.",
        Evidence(
            {"largest": _largest(values), "median": float(np.median(values))},
            molecules=_examples(subject, found, felt, PRECISION),
        ),
        "Score and explain in double precision (model.double()); look for layers with very large "
        "weights that cancel each other.",
    )


def _examples(subject: AuditSubject, found: Changes, broken: Index, kind: str) -> list[Example]:
    values = found.scores[kind]
    order = broken[np.argsort(-values[broken], kind="stable")][:3]
    return [
        marked_example(
            subject.molecules[found.chosen[i]],
            (),
            f"{kind}: changes by {values[i]:.3g}" if np.isfinite(values[i]) else f"{kind}: cannot be scored",
        )
        for i in order
    ]


def _largest(values: FloatArray) -> float | str:
    largest = float(values.max(initial=0.0))
    return largest if np.isfinite(largest) else "cannot be scored"


def _shown(values: FloatArray) -> str:
    finite = values[np.isfinite(values)]
    text = f"{finite.max(initial=0.0):.3g}"
    return text if len(finite) == len(values) else f"{text}; {len(values) - len(finite)} cannot be scored"


def _numbers(subject: AuditSubject, found: Changes, agreements: list[Agreement]) -> dict[str, object]:
    device = _largest(found.scores[DEVICE]) if DEVICE in found.scores else "no CUDA device here"
    return {
        "molecules": len(found.chosen),
        "tolerance": found.allowed,
        "largest_change_of_score": {k: _largest(v) for k, v in found.scores.items()} | {DEVICE: device},
        "refused_by_the_parser": {k: n for k, n in found.rejected.items() if n},
        "largest_change_of_attribution": {k: float(v.max()) for k, v in found.attributions.items()},
        "layers_in_training_mode": modules_in_training(subject.model),
        "partners": {f"{a.partner}: {a.task}": a.numbers() for a in agreements},
    }


def _figures(found: Changes, agreements: list[Agreement]) -> list[Figure]:
    sizes = {
        k: np.log10(max(float(v[np.isfinite(v)].max(initial=0.0)), 1e-9)) + 9 for k, v in found.scores.items()
    }
    figures = [
        bars(
            sizes,
            "Largest change of a score",
            "decades above 1e-9; dashed: allowed",
            reference=float(np.log10(found.allowed) + 9),
        )
    ]
    if agreements:
        series = {f"{a.partner}: {a.task}": a.atoms for a in agreements if len(a.atoms)}
        figures.append(
            histogram(series, "Agreement with partners about atoms", "rank correlation within a molecule")
        )
    return figures


def _remark(subject: AuditSubject) -> str:
    partners = subject.settings.partners
    told = "no partner models were given, so agreement between models was not measured"
    if partners:
        strangers = [p.name for p in partners if not set(p.tasks) & set(subject.tasks)]
        told = f"{len(partners)} partners compared on up to {PARTNER_MOLECULES} molecules"
        if strangers:
            told += f", except {', '.join(strangers)}: no task in common"
    return (
        f"At most {MOLECULES} molecules scored and {EXPLAINED} explained (on at most {EXPLAINED_TASKS} "
        f"tasks) in other forms, drawn with seed {subject.settings.seed}; {told}."
    )
