"""Whether scores and attributions depend on what must not matter, and whether other models agree."""

from __future__ import annotations

import numpy as np
from rdkit import Chem

from molig.attribution import Explanation
from molig.audit.figures import bars, histogram
from molig.audit.findings import Evidence, Example, Figure, Finding, Outcome, Severity, marked_example
from molig.audit.registry import register
from molig.audit.stability_changes import (
    ALONE,
    ATTRIBUTION_TOLERANCE,
    DEVICE,
    EXPLAINED,
    EXPLAINED_TASKS,
    LARGE,
    MOLECULES,
    ORDER,
    PRECISION,
    REPEATED,
    REVERSED,
    Changes,
    compare_attributions,
    compare_scores,
    repeat,
)
from molig.audit.stability_partners import (
    PARTNER_MOLECULES,
    Agreement,
    compare_partners,
    disagreement,
)
from molig.audit.stability_variants import (
    FORMS,
    modules_in_training,
    some,
)
from molig.audit.subject import AuditSubject, FloatArray, Index

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
