"""Dead units: parts of the network that do the same for every atom, pair and molecule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from molig.audit.figures import bars
from molig.audit.findings import Evidence, Finding, NotApplicable, Outcome, Severity
from molig.audit.registry import register
from molig.audit.shares import surely_above
from molig.audit.subject import AuditSubject
from molig.audit.units import Layer, layers
from molig.features import PackedGraphs

NAME = "dead-units"

MOST_MOLECULES, FEWEST_MOLECULES = 500, 20
"""Molecules that the units are watched over; over fewer, units may rest by chance."""
FEWEST_KINDS = 3
"""Kinds of atoms, and of pairs, below which the molecules are too alike: units for other kinds must rest."""
ALLOWED = {"operation": 0.6, "state": 0.6, "bin": 0.6, "channel": 0.05, "head": 0.25, "output": 0.0}
"""Share of a layer that may be dead. Units behind a relu rest for good in every trained network: in the
bundled ones up to 0.5 of a layer of a module, 0.25 of the bins, 0.01 of the head, but no channel (tanh)."""
ALLOWED_UNREAD = 0.05
"""Share of a layer that nothing may read; training leaves none."""


@register(
    NAME,
    title="Dead units",
    question="Are there hidden units, histogram bins or channels that never vary, or that nothing reads?",
)
def check(subject: AuditSubject) -> Outcome:
    """Watch every unit over a sample of the molecules; see `Outcome`."""
    n = len(subject.molecules)
    if n < FEWEST_MOLECULES:
        raise NotApplicable(
            f"units may rest by chance over fewer than {FEWEST_MOLECULES} molecules (got {n})"
        )
    graphs = subject.graphs.select(np.sort(subject.rng(NAME).permutation(n)[:MOST_MOLECULES]))
    kinds = kinds_of_rows(graphs)
    if min(kinds) < FEWEST_KINDS:
        raise NotApplicable(
            f"the molecules are too alike: {kinds[0]} kinds of atoms and {kinds[1]} kinds of pairs; units "
            "for other kinds must rest"
        )
    found = layers(subject.model, graphs)
    constant = [layer for layer in found if (layer.dead | layer.unread).all()]
    constant += [
        layer for layer in found if layer.kind == "output" and layer.dead.any() and layer not in constant
    ]
    others = [layer for layer in found if layer not in constant]
    dead = [layer for layer in others if _too_many(layer.dead, ALLOWED[layer.kind])]
    unread = [layer for layer in others if _too_many(layer.unread, ALLOWED_UNREAD)]
    findings = [*_constant(subject, constant), *_dead(dead), *_unread(unread)]
    shares = {layer.name: float(layer.dead.mean()) for layer in found}
    figure = bars(shares, "Units that never vary", "share of the layer")
    return Outcome(findings, _numbers(found), [figure], f"Over {len(graphs)} of {n} molecules.")


def kinds_of_rows(graphs: PackedGraphs) -> tuple[int, int]:
    """How many different feature rows atoms and pairs have.

    Parameters
    ----------
    graphs : PackedGraphs
        The molecules.

    Returns
    -------
    (int, int)
        Of atoms and of pairs.
    """
    levels = (graphs.atom_codes, graphs.atom_values), (graphs.pair_codes, graphs.pair_values)
    atoms, pairs = (len(np.unique(np.hstack(parts), axis=0)) for parts in levels)
    return atoms, pairs


def _too_many(flags: npt.NDArray[np.bool_], allowed: float) -> bool:
    # Chance plays a part in narrow layers: 10 of 12 units say less than 100 of 120.
    return surely_above(int(flags.sum()), len(flags), allowed)


def _constant(subject: AuditSubject, found: Sequence[Layer]) -> list[Finding]:
    if not found:
        return []
    named = [layer.name for layer in found if layer.kind != "output"]
    outputs = [
        task
        for layer in found
        if layer.kind == "output"
        for task, dead in zip(subject.model.tasks, layer.dead, strict=True)
        if dead
    ]
    parts = []
    if named:
        parts.append(
            f"nothing passes through {', '.join(named)}: no unit varies, or nothing reads those that do"
        )
    if outputs:
        parts.append(f"every molecule gets the same score on {', '.join(outputs)}")
    text = "; ".join(parts)
    return [
        Finding(
            NAME,
            Severity.ERROR,
            f"{text[0].upper()}{text[1:]}.",
            Evidence({"layers": _numbers(found), "tasks": outputs}),
            "The model does not use what these parts were built for, and its scores do not depend on it. "
            "Load the weights again; if they are as trained, train again with another seed or a smaller "
            "learning rate.",
        )
    ]


def _dead(found: Sequence[Layer]) -> list[Finding]:
    if not found:
        return []
    worst = max(found, key=lambda layer: layer.dead.mean() - ALLOWED[layer.kind])
    return [
        Finding(
            NAME,
            Severity.WARNING,
            f"Unusually many units never vary in {len(found)} of the network's layers: "
            f"{int(worst.dead.sum())} of {len(worst.dead)} in {worst.name}.",
            Evidence(_numbers(found)),
            "The network is smaller than it looks, and may miss what the dead units were to tell apart. "
            "Train again with a smaller learning rate or another start (spread_states), and compare the "
            "quality.",
        )
    ]


def _unread(found: Sequence[Layer]) -> list[Finding]:
    if not found:
        return []
    worst = max(found, key=lambda layer: layer.unread.mean())
    return [
        Finding(
            NAME,
            Severity.WARNING,
            f"{int(worst.unread.sum())} of {len(worst.unread)} units in {worst.name} are read by nothing: "
            f"all their outgoing weights are zero ({len(found)} such layers).",
            Evidence(_numbers(found)),
            "Training leaves no weights of exactly zero: the model was pruned or damaged. Compare it with "
            "its original.",
        )
    ]


def _numbers(found: Sequence[Layer]) -> dict[str, dict[str, float]]:
    return {
        layer.name: {
            "units": len(layer.dead),
            "dead": float(layer.dead.mean()),
            "unread": float(layer.unread.mean()),
        }
        for layer in found
    }
