"""Whether scores and attributions depend on what must not matter, and whether other models agree."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from rdkit import Chem

from molig.attribution import Explanation
from molig.audit.examples import marked_example, scored_example
from molig.audit.figures import bars, histogram
from molig.audit.findings import Evidence, Example, Figure, Finding, Outcome, Severity
from molig.audit.registry import register
from molig.audit.stability_partners import Agreement, compare_partner
from molig.audit.stability_variants import (
    FORMS,
    Variant,
    aligned,
    alone,
    in_double,
    large_molecules,
    largest_difference,
    modules_in_training,
    parsed,
    readable,
    renumbered,
    rewritten,
    some,
)
from molig.audit.subject import AuditSubject, FloatArray, Index, explain_molecules
from molig.features import PackedGraphs
from molig.molecules import Molecule

NAME = "stability"

MOLECULES, EXPLAINED, EXPLAINED_TASKS = 50, 8, 3
"""Molecules scored in other forms; molecules, and tasks, explained in other forms; drawn with the seed."""
PARTNER_MOLECULES = 40
"""Molecules whose attributions are compared with those of partners."""
SCORE_TOLERANCE = 1e-3
"""Allowed change of a logit (of a regression: of its standard deviation); rounding makes some 1e-6."""
ATTRIBUTION_TOLERANCE, SMALLEST = 0.05, 0.01
"""Allowed change of an atom's score, as a share of the largest one (of at least 0.01): the error that the
integration itself is allowed."""
SINGLE_PRECISION = 0.01
"""Difference of single and double precision from which two molecules may change places."""
SCORE_AGREEMENT, FLIPPED, ATOMS = 0.5, 0.4, 50
"""Models that rank molecules with less correlation, or that give more of the atoms that matter (of at least
so many) the opposite sign, disagree: other seeds of sound models reach 0.73 and 0.35."""
NOTABLE_FLIPPED = 0.25
"""Share of opposite signs from which single atoms should not be read from one model."""


@dataclass
class _Measured:
    """Largest difference of scores per molecule and kind of change, in units of the tolerance's scale."""

    chosen: Index
    scores: dict[str, FloatArray] = field(default_factory=dict)
    attributions: dict[str, FloatArray] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    allowed: float = SCORE_TOLERANCE

    def broken(self, kind: str) -> Index:
        return np.flatnonzero(self.scores.get(kind, np.empty(0)) > self.allowed)


ORDER, REPEATED, PRECISION, DEVICE = "atom order", "repeated", "double precision", "device"
ALONE, REVERSED, LARGE = "alone", "reversed batch", "beside large molecules"


@register(
    NAME,
    title="Stability",
    question="Do scores and attributions stay the same when nothing that matters changes?",
)
def check(subject: AuditSubject) -> Outcome:
    """Change atom order, SMILES form, batch, precision and device; see `Outcome`."""
    rng = subject.rng(NAME)
    found = _Measured(some(len(subject.molecules), MOLECULES, rng))
    graphs = subject.model.featurize(_mols(subject, found))
    _repeat(subject, graphs, found)
    findings: list[Finding] = []
    agreements: list[Agreement] = []
    own: list[dict[str, Explanation]] = []
    if len(found.broken(REPEATED)):
        findings.append(_unrepeatable(subject, found))
    else:
        _compare_scores(subject, graphs, found, rng)
        findings += _broken_invariance(subject, found)
        if not findings:
            _compare_attributions(subject, found, rng)
            findings += _moving_attributions(subject, found)
            own, agreements = _partners(subject, rng)
            findings += _disagreement(subject, agreements, own)
        if (found.scores[PRECISION] > SINGLE_PRECISION).any():
            findings.append(_rounding(subject, found))
    return Outcome(
        findings, _numbers(subject, found, agreements), _figures(found, agreements), _remark(subject)
    )


def _mols(subject: AuditSubject, found: _Measured) -> list[Chem.Mol]:
    return [subject.molecules[i].mol for i in found.chosen]


def _unit(subject: AuditSubject) -> float:
    """1 for logits; for values their spread, which is what a difference must be small against."""
    if not subject.is_regression:
        return 1.0
    return max(float(subject.logits.std(axis=0).min()), 1e-6 * float(np.abs(subject.logits).max()), 1e-12)


def _repeat(subject: AuditSubject, graphs: PackedGraphs, found: _Measured) -> None:
    unit = _unit(subject)
    first = subject.model.logits(graphs)
    again = [largest_difference(first, subject.model.logits(graphs)) for _ in range(2)]
    found.scores[REPEATED] = np.maximum(*again) / unit


def _compare_scores(
    subject: AuditSubject, graphs: PackedGraphs, found: _Measured, rng: np.random.Generator
) -> None:
    model, unit = subject.model, _unit(subject)
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
    if torch.cuda.is_available():
        other = "cpu" if model.device.type == "cuda" else "cuda"
        note(DEVICE, in_double(model).to(other).logits(graphs))


def _compare_attributions(subject: AuditSubject, found: _Measured, rng: np.random.Generator) -> None:
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


def _partners(
    subject: AuditSubject, rng: np.random.Generator
) -> tuple[list[dict[str, Explanation]], list[Agreement]]:
    partners = subject.settings.partners
    if not partners:
        return [], []
    chosen = some(len(subject.molecules), PARTNER_MOLECULES, rng)
    own = subject.explain(chosen)
    return own, [a for partner in partners for a in compare_partner(subject, partner, chosen, own)]


def _unrepeatable(subject: AuditSubject, found: _Measured) -> Finding:
    layers = modules_in_training(subject.model)
    broken = found.broken(REPEATED)
    cause = f" Layers in training mode: {', '.join(layers)}." if layers else ""
    return Finding(
        NAME,
        Severity.ERROR,
        f"The same molecule gets another score each time: {len(broken)} of {len(found.chosen)} "
        f"molecules change "
        f"by up to {_shown(found.scores[REPEATED])}.{cause}",
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
    "replace "
    "the layer that looks across the batch.",
    DEVICE: "Score and explain on one kind of device, and report the difference.",
}


def _broken_invariance(subject: AuditSubject, found: _Measured) -> list[Finding]:
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
                f"molecules "
                f"score differently ({worst}), by up to {_shown(found.scores[worst])}.",
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


def _moving_attributions(subject: AuditSubject, found: _Measured) -> list[Finding]:
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
            "they still "
            "move, look for features that swap among atoms.",
        )
    ]


def _rounding(subject: AuditSubject, found: _Measured) -> Finding:
    values = found.scores[PRECISION]
    felt = np.flatnonzero(values > SINGLE_PRECISION)
    return Finding(
        NAME,
        Severity.WARNING,
        f"Rounding is felt: in single precision {len(felt)} of {len(values)} molecules score "
        f"differently from "
        f"double precision, by up to {_shown(values)}.",
        Evidence(
            {"largest": _largest(values), "median": float(np.median(values))},
            molecules=_examples(subject, found, felt, PRECISION),
        ),
        "Score and explain in double precision (model.double()); look for layers with very large "
        "weights that "
        "cancel each other.",
    )


def _disagreement(
    subject: AuditSubject, agreements: list[Agreement], own: list[dict[str, Explanation]]
) -> list[Finding]:
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
            NAME,
            severity,
            f"Partner models {what} on {len({a.task for a in listed})} of {len(subject.tasks)} tasks: worst "
            f"{worst.partner!r} on {worst.task}, rank correlation of scores {worst.score:.2f}, of atoms "
            f"within "
            f"a molecule {worst.median_atoms:.2f}; {worst.share_flipped:.0%} of the atoms that matter "
            f"have the "
            "opposite sign.",
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


def _examples(subject: AuditSubject, found: _Measured, broken: Index, kind: str) -> list[Example]:
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


def _numbers(subject: AuditSubject, found: _Measured, agreements: list[Agreement]) -> dict[str, object]:
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


def _figures(found: _Measured, agreements: list[Agreement]) -> list[Figure]:
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
        f"tasks) in "
        f"other forms, drawn with seed {subject.settings.seed}; {told}."
    )
