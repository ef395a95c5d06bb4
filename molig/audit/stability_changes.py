"""Scores and attributions of molecules in other forms: order, SMILES, batch, precision, device."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from molig.attribution import Explanation
from molig.audit.stability_variants import (
    FORMS,
    Variant,
    aligned,
    alone,
    in_double,
    large_molecules,
    largest_difference,
    on_device,
    other_device,
    parsed,
    readable,
    renumbered,
    rewritten,
    some,
)
from molig.audit.subject import AuditSubject, FloatArray, Index, explain_molecules
from molig.features import PackedGraphs
from molig.molecules import Molecule

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
