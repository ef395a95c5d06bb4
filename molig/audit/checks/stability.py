"""Whether scores and attributions depend on what must not matter, and whether other models agree."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from rdkit import Chem, rdBase
from torch import nn

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
from molig.audit.subject import AuditSubject, FloatArray, Index, explain_molecules, networks_of
from molig.features import PackedGraphs
from molig.model import ScoringModel, ScreeningModel
from molig.molecules import Molecule, Record
from molig.molecules.standardize import input_atom_indices
from molig.stats.intervals import spearman

NAME = "stability"

MOLECULES, EXPLAINED, EXPLAINED_TASKS = 50, 8, 3
"""Molecules scored in other forms; molecules, and tasks, explained in other forms; drawn with the seed."""
SCORE_TOLERANCE = 1e-3
"""Allowed change of a logit (of a regression: of its standard deviation); rounding makes some 1e-6."""
ATTRIBUTION_TOLERANCE, SMALLEST = 0.05, 0.01
"""Allowed change of an atom's score, as a share of the largest one (of at least 0.01): the error that the
integration itself is allowed."""
SINGLE_PRECISION = 0.01
"""Difference of single and double precision from which two molecules may change places."""
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

ORDER, REPEATED, PRECISION, DEVICE = "atom order", "repeated", "double precision", "device"
RANDOM, KEKULIZED = "random SMILES", "kekulized SMILES"
BRACKETS, HYDROGENS = "SMILES in brackets", "SMILES with hydrogens"
ALONE, REVERSED, LARGE = "alone", "reversed batch", "beside large molecules"


@dataclass(frozen=True)
class Invariance:
    """Something that a score must not depend on."""

    what: str
    kinds: tuple[str, ...]  # of changes that show it
    advice: str


INVARIANCES = (
    Invariance(
        "the numbering of the atoms",
        (ORDER,),
        "A feature depends on the order of the atoms. Compare the features of a molecule with those of a "
        "renumbered copy and repair the featurizer; train again.",
    ),
    Invariance(
        "the way the SMILES is written",
        (RANDOM, KEKULIZED, BRACKETS, HYDROGENS),
        "Two spellings of a compound are two compounds to this model. Standardise molecules in the model's "
        "parser (aromaticity, hydrogens, stereo marks) before they are featurized.",
    ),
    Invariance(
        "the other molecules of the batch",
        (ALONE, REVERSED, LARGE),
        "A score must not depend on its company. Put normalisation layers into evaluation mode, or replace "
        "the layer that looks across the batch.",
    ),
    Invariance(
        "the device",
        (DEVICE,),
        "Score and explain on one kind of device, and report the difference.",
    ),
)


@register(
    NAME,
    title="Stability",
    question="Do scores and attributions stay the same when nothing that matters changes?",
)
def check(subject: AuditSubject) -> Outcome:
    """Change atom order, SMILES form, batch, precision and device."""
    rng = subject.rng(NAME)
    changes = Changes(some(len(subject.molecules), MOLECULES, rng))
    graphs = subject.model.featurize([subject.molecules[i].mol for i in changes.chosen])
    repeat(subject, graphs, changes)
    findings: list[Finding] = []
    agreements: list[Agreement] = []
    own: list[dict[str, Explanation]] = []
    if len(changes.broken(REPEATED)):
        findings.append(_unrepeatable(subject, changes))
    else:
        compare_scores(subject, graphs, changes, rng)
        findings += _broken_invariance(subject, changes)
        if not findings:
            compare_attributions(subject, changes, rng)
            findings += _moving_attributions(changes)
            own, agreements = compare_partners(subject, rng)
            findings += disagreement(subject, agreements, own)
        if (changes.scores[PRECISION] > SINGLE_PRECISION).any():
            findings.append(_rounding(subject, changes))
    return Outcome(
        findings, _numbers(subject, changes, agreements), _figures(changes, agreements), _remark(subject)
    )


def _unrepeatable(subject: AuditSubject, changes: Changes) -> Finding:
    layers = modules_in_training(subject.model)
    broken = changes.broken(REPEATED)
    cause = f" Layers in training mode: {', '.join(layers)}." if layers else ""
    return Finding(
        NAME,
        Severity.ERROR,
        f"The same molecule gets a different score each time: {len(broken)} of {len(changes.chosen)} "
        f"molecules change by up to {_shown(changes.scores[REPEATED])}.{cause}",
        Evidence(
            {"layers_in_training_mode": layers}, molecules=_examples(subject, changes, broken, REPEATED)
        ),
        "Put the network into evaluation mode (network.eval()); until then no score of it means anything.",
    )


def _broken_invariance(subject: AuditSubject, changes: Changes) -> list[Finding]:
    findings = []
    order_broken = len(changes.broken(ORDER)) > 0
    for one in INVARIANCES:
        worst = max(one.kinds, key=lambda kind: len(changes.broken(kind)))
        broken = changes.broken(worst)
        # A new SMILES brings a new order of the atoms: one defect, one finding.
        if not len(broken) or (order_broken and RANDOM in one.kinds):
            continue
        numbers = {
            "changes": {
                kind: {"molecules": len(changes.broken(kind)), "largest": _largest(changes.scores[kind])}
                for kind in one.kinds
                if kind in changes.scores
            },
            "refused_by_the_parser": {kind: n for kind in one.kinds if (n := changes.rejected.get(kind, 0))},
            "layers_in_training_mode": modules_in_training(subject.model),
        }
        summary = (
            f"The score of a molecule depends on {one.what}: {len(broken)} of {len(changes.chosen)} "
            f"molecules score differently ({worst}), by up to {_shown(changes.scores[worst])}."
        )
        evidence = Evidence(numbers, molecules=_examples(subject, changes, broken, worst))
        findings.append(Finding(NAME, Severity.ERROR, summary, evidence, one.advice))
    return findings


def _moving_attributions(changes: Changes) -> list[Finding]:
    bad = {kind: int((moved > ATTRIBUTION_TOLERANCE).sum()) for kind, moved in changes.attributions.items()}
    if not any(bad.values()):
        return []
    largest = {kind: float(moved.max()) for kind, moved in changes.attributions.items()}
    worst = max(bad, key=lambda kind: largest[kind])
    summary = (
        f"Attributions depend on how a molecule is written although scores do not: in {bad[worst]} of "
        f"{len(changes.attributions[worst])} molecules ({worst}) an atom changes by up to "
        f"{largest[worst]:.0%} of the largest one."
    )
    evidence = Evidence({"molecules": bad, "largest": largest})
    advice = (
        "Do not rely on the explanations of this model; explain with a smaller tolerance, and if they still "
        "move, look for features that swap among atoms."
    )
    return [Finding(NAME, Severity.ERROR, summary, evidence, advice)]


def _rounding(subject: AuditSubject, changes: Changes) -> Finding:
    values = changes.scores[PRECISION]
    affected = np.flatnonzero(values > SINGLE_PRECISION)
    return Finding(
        NAME,
        Severity.WARNING,
        f"Rounding matters: in single precision {len(affected)} of {len(values)} molecules score "
        f"differently from double precision, by up to {_shown(values)}.",
        Evidence(
            {"largest": _largest(values), "median": float(np.median(values))},
            molecules=_examples(subject, changes, affected, PRECISION),
        ),
        "Score and explain in double precision (model.double()); look for layers with very large "
        "weights that cancel each other.",
    )


def _examples(subject: AuditSubject, changes: Changes, broken: Index, kind: str) -> list[Example]:
    values = changes.scores[kind]
    order = broken[np.argsort(-values[broken], kind="stable")][:3]
    return [
        marked_example(
            subject.molecules[changes.chosen[i]],
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


def _numbers(subject: AuditSubject, changes: Changes, agreements: list[Agreement]) -> dict[str, object]:
    device = _largest(changes.scores[DEVICE]) if DEVICE in changes.scores else "no CUDA device here"
    return {
        "molecules": len(changes.chosen),
        "tolerance": changes.allowed,
        "largest_change_of_score": {k: _largest(v) for k, v in changes.scores.items()} | {DEVICE: device},
        "refused_by_the_parser": {k: n for k, n in changes.rejected.items() if n},
        "largest_change_of_attribution": {k: float(v.max()) for k, v in changes.attributions.items()},
        "layers_in_training_mode": modules_in_training(subject.model),
        "partners": {f"{a.partner}: {a.task}": a.numbers() for a in agreements},
    }


def _figures(changes: Changes, agreements: list[Agreement]) -> list[Figure]:
    sizes = {
        k: np.log10(max(float(v[np.isfinite(v)].max(initial=0.0)), 1e-9)) + 9
        for k, v in changes.scores.items()
    }
    figures = [
        bars(
            sizes,
            "Largest change of a score",
            "decades above 1e-9; dashed: allowed",
            reference=float(np.log10(changes.allowed) + 9),
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
    compared = "no partner models were given, so agreement between models was not measured"
    if partners:
        strangers = [p.name for p in partners if not set(p.tasks) & set(subject.tasks)]
        compared = f"{len(partners)} partners compared on up to {PARTNER_MOLECULES} molecules"
        if strangers:
            compared += f", except {', '.join(strangers)}: no task in common"
    return (
        f"At most {MOLECULES} molecules scored and {EXPLAINED} explained (on at most {EXPLAINED_TASKS} "
        f"tasks) in other forms, drawn with seed {subject.settings.seed}; {compared}."
    )


# Scores and attributions of the same molecules in other forms.


@dataclass
class Changes:
    """What changes of form do to molecules, by kind: one number per molecule, in units of the tolerance."""

    chosen: Index
    scores: dict[str, FloatArray] = field(default_factory=dict)  # largest difference over the tasks
    attributions: dict[str, FloatArray] = field(default_factory=dict)  # of some molecules
    rejected: dict[str, int] = field(default_factory=dict)  # forms that the parser refuses
    allowed: float = SCORE_TOLERANCE

    def broken(self, kind: str) -> Index:
        """Places, among the chosen, of the molecules that change more than is allowed."""
        return np.flatnonzero(self.scores.get(kind, np.empty(0)) > self.allowed)


def unit_of(subject: AuditSubject) -> float:
    """1 for logits; for values their smallest spread, which a difference must be small against."""
    if not subject.is_regression:
        return 1.0
    return max(float(subject.logits.std(axis=0).min()), 1e-6 * float(np.abs(subject.logits).max()), 1e-12)


def repeat(subject: AuditSubject, graphs: PackedGraphs, changes: Changes) -> None:
    """Score molecules again, twice."""
    unit = unit_of(subject)
    first = subject.model.logits(graphs)
    again = [largest_difference(first, subject.model.logits(graphs)) for _ in range(2)]
    changes.scores[REPEATED] = np.maximum(*again) / unit


def compare_scores(
    subject: AuditSubject, graphs: PackedGraphs, changes: Changes, rng: np.random.Generator
) -> None:
    """Score molecules in other forms, other company and other precision."""
    model, unit = subject.model, unit_of(subject)
    logits = model.logits(graphs)

    def note(kind: str, other: FloatArray) -> None:
        changes.scores[kind] = largest_difference(logits, other) / unit

    note(PRECISION, in_double(model).logits(graphs))
    # Where rounding itself matters, that is a finding of its own, and nothing else is blamed for it.
    changes.allowed = max(SCORE_TOLERANCE, 10 * float(np.median(changes.scores[PRECISION])))
    backwards = np.arange(len(graphs))[::-1]
    note(REVERSED, model.logits(graphs.select(backwards))[backwards])
    note(ALONE, alone(model, graphs))
    large = large_molecules(model)
    if large:
        together = PackedGraphs.concatenate([model.featurize([m.mol for m in large]), graphs])
        note(LARGE, model.logits(together)[len(large) :])
    molecules = [subject.molecules[i] for i in changes.chosen]
    note(ORDER, aligned([renumbered(m, rng).molecule for m in molecules], model))
    sources = [readable(m) for m in molecules]
    for kind, write in FORMS.items():
        others = [parsed(model, m, write(s, rng)) for m, s in zip(molecules, sources, strict=True)]
        changes.rejected[kind] = sum(other is None for other in others)
        note(kind, aligned(others, model))
    device = other_device(model)
    if device:
        # In the model's own precision: faults of a device hardly show in another one.
        note(DEVICE, on_device(model, device).logits(graphs))


def compare_attributions(subject: AuditSubject, changes: Changes, rng: np.random.Generator) -> None:
    """Explain some molecules as their SMILES gives them, renumbered, and from a random SMILES."""
    places = changes.chosen[some(len(changes.chosen), EXPLAINED, rng)]
    tasks = [subject.tasks[i] for i in some(len(subject.tasks), EXPLAINED_TASKS, rng)]
    chosen = [subject.molecules[i] for i in places]
    originals = [parsed(subject.model, m, m.smiles) or m for m in chosen]
    kinds: dict[str, list[Variant | None]] = {
        ORDER: [renumbered(m, rng) for m in originals],
        RANDOM: [rewritten(subject.model, m, rng) for m in originals],
    }
    before = explain_molecules(subject.model, originals, tasks)
    for kind, variants in kinds.items():
        after = iter(explain_molecules(subject.model, [v.molecule for v in variants if v], tasks))
        changes.attributions[kind] = np.array(
            [
                _moved(own, next(after), variant) if variant else 0.0
                for own, variant in zip(before, variants, strict=True)
            ]
        )


def _moved(before: dict[str, Explanation], after: dict[str, Explanation], variant: Variant) -> float:
    """Largest change of an atom's score on any task, as a share of the largest score."""
    followed = variant.places[variant.places >= 0]
    changes = []
    for task, explanation in before.items():
        own = explanation.atom_scores
        back = variant.back(after[task].atom_scores, len(own))
        difference = np.abs(own - back)[followed].max(initial=0.0)
        changes.append(float(difference / max(float(np.abs(own).max(initial=0.0)), SMALLEST)))
    return max(changes)


def largest_difference(first: FloatArray, second: FloatArray) -> FloatArray:
    """Largest difference per molecule over all tasks; infinite where one of the two is no number."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(first - second)
    # A forest may be as sure as can be, both times.
    difference = np.where(first == second, 0.0, apart).max(axis=1, initial=0.0)
    return np.where(np.isfinite(difference), difference, np.inf)


def modules_in_training(model: ScoringModel) -> list[str]:
    """Names of the dropout and normalisation layers of all networks that are in training mode."""
    return [
        f"{whose}: {name}" if whose else name
        for whose, network in networks_of(model).items()
        for name, module in network.named_modules()
        if module.training and type(module).__name__ in {"Dropout", "BatchNorm1d", "LayerNorm"}
    ]


def some(n: int, most: int, rng: np.random.Generator) -> Index:
    """At most ``most`` of ``n`` places, drawn at random, ascending."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def aligned(variants: Sequence[Molecule | None], model: ScoringModel) -> FloatArray:
    """Logits of molecules, NaN for those that are missing; shape (n, n_tasks)."""
    logits = np.full((len(variants), len(model.tasks)), np.nan)
    known = [i for i, molecule in enumerate(variants) if molecule is not None]
    if known:
        logits[known] = model.logits(model.featurize([m.mol for m in variants if m is not None]))
    return logits


def alone(model: ScoringModel, graphs: PackedGraphs) -> FloatArray:
    """Logits of molecules scored one at a time."""
    logits = np.full((len(graphs), len(model.tasks)), np.nan)
    for place in range(len(graphs)):
        try:
            logits[place] = model.logits(graphs.select([place]))
        except (ValueError, RuntimeError):
            # Batch normalisation in training mode refuses a batch of one; NaN says that it broke.
            continue
    return logits


# The same molecule in another order of its atoms, or written otherwise.


@dataclass(frozen=True)
class Variant:
    """A molecule in another form."""

    molecule: Molecule  # the other form, as the model's parser made it
    places: Index  # (n_atoms,) of its atoms in the original; -1 where they have none there

    def back(self, scores: FloatArray, n_atoms: int) -> FloatArray:
        """Put atom scores of the other form in the order of the original."""
        original = np.zeros(n_atoms)
        known = self.places >= 0
        original[self.places[known]] = scores[known]
        return original


def renumbered(molecule: Molecule, rng: np.random.Generator) -> Variant:
    """Number the atoms of a molecule anew, at random."""
    order = rng.permutation(molecule.mol.GetNumAtoms())
    mol = Chem.RenumberAtoms(molecule.mol, order.tolist())
    return Variant(Molecule(molecule.row, molecule.id, molecule.smiles, mol), order)


def rewritten(model: ScoringModel, molecule: Molecule, rng: np.random.Generator) -> Variant | None:
    """Write a molecule as a random SMILES and read it again."""
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


def readable(molecule: Molecule) -> Chem.Mol:
    """The molecule as given, with the atoms as written; if its text cannot be read, as it was scored."""
    params = Chem.SmilesParserParams()
    params.removeHs = False  # type: ignore[assignment]  # the stubs have methods for properties
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(molecule.smiles, params)
    return molecule.mol if mol is None else mol


def parsed(model: ScoringModel, molecule: Molecule, smiles: str) -> Molecule | None:
    """Another SMILES of a molecule through the model's parser; None if it is refused."""
    molecules, _ = model.parser.parse_many([Record(molecule.row, molecule.id, smiles)])
    return molecules[0] if molecules else None


def _random(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """From an atom drawn at random on, through its neighbours in a random order."""
    order = rng.permutation(mol.GetNumAtoms()).tolist()
    return str(Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False))


def _kekulized(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """Alternating single and double bonds in place of aromatic ones."""
    kekulized = Chem.Mol(mol)
    Chem.Kekulize(kekulized, clearAromaticFlags=True)
    return str(Chem.MolToSmiles(kekulized, kekuleSmiles=True))


def _in_brackets(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """Every atom with its hydrogens, every bond written."""
    return str(Chem.MolToSmiles(mol, allBondsExplicit=True, allHsExplicit=True))


def _with_hydrogens(mol: Chem.Mol, rng: np.random.Generator) -> str:
    """Every hydrogen an atom of its own."""
    return str(Chem.MolToSmiles(Chem.AddHs(mol)))


FORMS: dict[str, Callable[[Chem.Mol, np.random.Generator], str]] = {
    RANDOM: _random,
    KEKULIZED: _kekulized,
    BRACKETS: _in_brackets,
    HYDROGENS: _with_hydrogens,
}
"""Ways of writing a molecule that must not matter."""

_LARGE_SHARE = 0.9  # of the model's size limit
_UNITS = ("C", "OCC", "NCC(=O)")  # repeated as often as they fit


def large_molecules(model: ScoringModel) -> list[Molecule]:
    """Chain molecules nearly as large as the model's parser allows, to be padded against."""
    most = int(_LARGE_SHARE * model.parser.max_heavy_atoms)
    large = []
    for unit in _UNITS:
        repeats = max(1, most // sum(symbol.isalpha() for symbol in unit))
        molecules, _ = model.parser.parse_many([Record(1, "large", unit * repeats)])
        large += molecules
    return large


# The same model in another precision, or on another device.


def in_double(model: ScoringModel) -> ScoringModel:
    """The same model, its parts and their states as they are, in double precision."""
    if not isinstance(model, ScreeningModel):
        return model.double()
    return _with_networks(model, lambda network: network.double())


def other_device(model: ScoringModel) -> str | None:
    """The other kind of device, CPU or CUDA, that a model could run on here; None if there is none."""
    if not torch.cuda.is_available():
        return None
    return "cpu" if model.device.type == "cuda" else "cuda"


def on_device(model: ScoringModel, device: str) -> ScoringModel:
    """The same model, its parts, their states and its precision as they are, on another device."""
    if not isinstance(model, ScreeningModel):
        return model.to(device)
    twin = _with_networks(model, lambda network: network.to(device))
    twin.device = torch.device(device)
    return twin


def _with_networks(model: ScreeningModel, move: Callable[[nn.Module], nn.Module]) -> ScreeningModel:
    """The same model with copies of all its networks, moved; a forest has no precision and no device."""
    twin = copy.copy(model)
    for cached in ("dtype", "secants"):
        twin.__dict__.pop(cached, None)
    twin.network, twin.members = copy.deepcopy(model.network), copy.deepcopy(model.members)
    for network in (twin.network, *twin.members):
        if isinstance(network, nn.Module):
            move(network)
    return twin


# How far models of the same tasks, such as other seeds, agree about scores and atoms.


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of two models on one task, over the molecules that matter to one of them."""

    partner: str
    task: str
    score: float  # rank correlation of the scores; NaN if one of them does not vary
    atoms: FloatArray  # (n_molecules,) rank correlation of the atom scores within each molecule
    flipped: Index  # (n_molecules,) atoms that matter in the audited model and have the other sign
    strong: Index  # (n_molecules,) atoms that matter in the audited model
    molecules: Index  # (n_molecules,) places among those compared

    @property
    def share_flipped(self) -> float:
        """Share of the atoms that matter whose sign differs; NaN without such atoms."""
        total = int(self.strong.sum())
        return int(self.flipped.sum()) / total if total else float("nan")

    @property
    def median_atoms(self) -> float:
        """Median rank correlation of atom scores; NaN without molecules."""
        return float(np.median(self.atoms)) if len(self.atoms) else float("nan")

    @property
    def ranks_otherwise(self) -> bool:
        """Whether the models rank molecules differently; scores that do not vary rank nothing."""
        return not self.score >= SCORE_AGREEMENT

    @property
    def disagrees(self) -> bool:
        """Whether the models disagree about molecules or about most of the atoms that matter."""
        return self.ranks_otherwise or self.flips_more(FLIPPED)

    def flips_more(self, share: float) -> bool:
        """Whether more of the atoms that matter, if they are enough to say so, have the other sign."""
        return int(self.strong.sum()) >= ATOMS and self.share_flipped > share

    def numbers(self) -> dict[str, float]:
        """For reports."""
        return {
            "score_correlation": self.score,
            "atom_correlation": self.median_atoms,
            "share_of_signs_flipped": self.share_flipped,
            "n_molecules": len(self.atoms),
            "n_atoms": int(self.strong.sum()),
        }


def compare_partners(
    subject: AuditSubject, rng: np.random.Generator
) -> tuple[list[dict[str, Explanation]], list[Agreement]]:
    """Explain molecules with the audited model and every partner; nothing without partners."""
    partners = subject.settings.partners
    if not partners:
        return [], []
    chosen = some(len(subject.molecules), PARTNER_MOLECULES, rng)
    own = subject.explain(chosen)
    return own, [a for partner in partners for a in _compare_partner(subject, partner, chosen, own)]


def _compare_partner(
    subject: AuditSubject, partner: ScoringModel, chosen: Index, own: Sequence[dict[str, Explanation]]
) -> list[Agreement]:
    """Agreement on every task in common, over the molecules that both models read as the same atoms."""
    tasks = [task for task in subject.tasks if task in partner.tasks]
    places, theirs = [], []
    for place, i in enumerate(chosen):
        molecule = subject.molecules[i]
        other = parsed(partner, molecule, molecule.smiles)
        if other is not None and other.mol.GetNumAtoms() == molecule.mol.GetNumAtoms():
            places.append(place)
            theirs.append(other)
    if not tasks or not theirs:
        return []
    explained = explain_molecules(partner, theirs, tasks)
    return [
        _agreement(
            partner.name,
            task,
            {place: (own[place][task], by[task]) for place, by in zip(places, explained, strict=True)},
            MATTERS * subject.unit(task),
        )
        for task in tasks
    ]


def _agreement(
    partner: str, task: str, pairs: dict[int, tuple[Explanation, Explanation]], least: float
) -> Agreement:
    """Compare explanations by both models; those of scores that change by less than ``least`` are noise."""
    rows = []
    for place, (mine, other) in pairs.items():
        change = max(abs(one.score - one.baseline_score) for one in (mine, other))
        correlation = spearman(mine.atom_scores, other.atom_scores)
        if change >= least and np.isfinite(correlation):
            rows.append((correlation, *sign_flips(mine.atom_scores, other.atom_scores), place))
    atoms, *counts = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    flipped, strong, places = (column.astype(np.int64) for column in counts)
    score = spearman(*([one.score for one in side] for side in zip(*pairs.values(), strict=True)))
    return Agreement(partner, task, score, atoms, flipped, strong, places)


def sign_flips(first: FloatArray, second: FloatArray) -> tuple[int, int]:
    """Atoms that matter in the first model and have the other sign in the second, and all that matter."""
    strong = np.abs(first) >= STRONG * np.abs(first).max(initial=0.0)
    strong &= first != 0
    return int((strong & (first * second < 0)).sum()), int(strong.sum())


def disagreement(
    subject: AuditSubject, agreements: list[Agreement], own: list[dict[str, Explanation]]
) -> list[Finding]:
    """What to say of partners that rank molecules, or sign atoms, otherwise."""
    bad = [a for a in agreements if a.disagrees]
    listed = bad or [a for a in agreements if a.flips_more(NOTABLE_FLIPPED)]
    # Scores of one sort only, as of a handful of molecules, cannot be ranked by any model.
    if len(own) < 3 or not listed:
        return []
    worst = max(listed, key=lambda a: (a.ranks_otherwise, np.nan_to_num(a.share_flipped)))
    what = "disagree with the audited one" if bad else "agree about molecules, less about single atoms"
    summary = (
        f"Partner models {what} on {len({a.task for a in listed})} of {len(subject.tasks)} tasks: worst "
        f"{worst.partner!r} on {worst.task}, rank correlation of scores {worst.score:.2f}, of atoms within a "
        f"molecule {worst.median_atoms:.2f}; {worst.share_flipped:.0%} of the atoms that matter have the "
        "opposite sign."
    )
    numbers = {f"{a.partner}: {a.task}": a.numbers() for a in listed}
    advice = (
        "These models did not learn the same thing: check that the tasks mean the same, then train several "
        "seeds and rely only on what they share."
        if bad
        else "Read explanations as averages over several seeds, and trust only atoms whose sign they share."
    )
    evidence = Evidence(numbers, molecules=_flipped_examples(worst, own))
    return [Finding(NAME, Severity.WARNING if bad else Severity.INFO, summary, evidence, advice)]


def _flipped_examples(worst: Agreement, own: list[dict[str, Explanation]]) -> list[Example]:
    examples = []
    for i in np.argsort(-worst.flipped, kind="stable")[:3]:
        if worst.flipped[i]:
            explanation = own[worst.molecules[i]][worst.task]
            note = (
                f"{worst.task}: {worst.flipped[i]} of {worst.strong[i]} atoms that matter have the opposite "
                f"sign in {worst.partner!r}"
            )
            examples.append(scored_example(explanation, explanation.atom_scores, note))
    return examples
