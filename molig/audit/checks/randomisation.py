"""Explanations of copies with random weights: whether attributions depend on what was learned.

Adebayo et al. 2018, arXiv:1810.03292.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from molig.attribution.explanation import share_pairs
from molig.audit.figures import BLUE, YELLOW, draw
from molig.audit.findings import (
    Evidence,
    Example,
    Figure,
    Finding,
    NotApplicable,
    Outcome,
    Severity,
    scored_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, networks_of
from molig.features import PackedGraphs
from molig.foreign.chemprop_network import ChempropNetwork
from molig.model import ScoringModel, ScreeningModel
from molig.network import WeaveNet
from molig.stats.intervals import spearman
from molig.stats.plots import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


NAME = "randomisation"

MOST_MOLECULES, MOST_TASKS = 16, 2
"""Molecules and tasks of the sample: some forty copies of the model explain each of them."""
LEAST_MOLECULES, LEAST_ATOMS = 5, 5
"""Fewer molecules, or atoms, have similar ranks by chance."""
N_COPIES, N_FULL_COPIES = 2, 4
"""Copies per layer, and copies in which all weights are drawn anew."""
NEARLY_THE_SAME = 0.8
"""Mean correlation with fully random copies; that of networks that have learned is 0.1 to 0.4."""
SAME_RANKS, SAME_SCORES = 0.99, 0.999
"""Mean rank and linear correlation from which on a layer has no part in the scores."""
SAME_PICTURE = 0.99999
"""Cosine between scores from which on it has none, whatever their ranks: all change by half a percent."""
_EXAMPLES = 3
_POINTS = 12
"""Midpoints on the path. Scores turn fast near the baseline: with a few points of a Gaussian rule their ranks
are wrong; with these the cosine to converged scores of the bundled models is 0.99. Trained model and copies
are treated alike, so that a layer without a part in the scores changes nothing at any number of points."""
_TIE = 1e-5
"""Scores that differ by less than this share of the largest are ties: rounding in single precision."""


@register(
    NAME,
    title="Randomised weights",
    question="Do the explanations depend on what each layer has learned?",
)
def check(subject: AuditSubject) -> Outcome:
    """Explain copies with layers drawn anew, from the output down and each alone."""
    layers = layers_of_model(subject.model)
    comparison = _Comparison(subject)
    if comparison.n_molecules < LEAST_MOLECULES:
        raise NotApplicable(
            f"{comparison.n_molecules} molecules with at least {LEAST_ATOMS} atoms of different attributions "
            f"are too few to compare ranks; the least is {LEAST_MOLECULES}"
        )
    alone = {layer.name: comparison.likeness([layer], N_COPIES) for layer in layers}
    stages = list(dict.fromkeys(layer.stage for layer in layers))
    cascade = {stages[0]: alone[layers[0].name]}
    for place, stage in enumerate(stages[1:], 2):
        redone = [layer for layer in layers if layer.stage in stages[:place]]
        cascade[stage] = comparison.likeness(redone, N_FULL_COPIES if place == len(stages) else N_COPIES)
    full = cascade[stages[-1]]
    findings = []
    if max(full.either_sign.values()) >= NEARLY_THE_SAME:
        findings.append(_independent(subject, full, comparison.examples(full)))
    if any(alike.idle for alike in alone.values()):
        findings.append(_idle(subject, alone))
    measured = {
        "fully_random": full.numbers() | {"in_either_direction": full.either_sign},
        "cascade_from_the_output_down_to": {name: alike.numbers() for name, alike in cascade.items()},
        "layer_alone": {name: alike.numbers() for name, alike in alone.items()},
    }
    remark = (
        f"{len(comparison.tasks)} tasks ({', '.join(comparison.tasks)}) and {comparison.n_molecules} "
        f"molecules of at least {LEAST_ATOMS} atoms, drawn from the explained ones; {N_COPIES} random copies "
        f"each, {N_FULL_COPIES} fully random; gradients of the logit (or value) averaged over a dozen points "
        "of the path, mean of Spearman's rank correlation of the atoms' scores within a molecule."
    )
    if subject.is_committee:
        remark += (
            " Only the Weave network of the committee is drawn anew, and only its own attributions are "
            "compared."
        )
    return Outcome(findings, measured, [_figure(cascade, alone)], remark)


def _independent(subject: AuditSubject, full: _Likeness, examples: list[Example]) -> Finding:
    likeness_of = full.either_sign
    whose = "The Weave network's explanations" if subject.is_committee else "Explanations"
    return Finding(
        NAME,
        Severity.ERROR,
        f"{whose} do not depend on what was learned: copies with random weights in all layers score the "
        "atoms nearly the same, up to the sign (mean correlation with the trained model's scores "
        f"{likeness_of['linear']:.2f}, of ranks {likeness_of['signed']:.2f}).",
        Evidence(full.numbers() | {"in_either_direction": likeness_of}, molecules=examples),
        "Do not read anything out of these explanations: a network that has learned nothing produces them "
        "too. Look for a score that bypasses the learned weights, for input columns that are the same on "
        "every atom, and audit with more varied molecules.",
    )


def _idle(subject: AuditSubject, alone: dict[str, _Likeness]) -> Finding:
    idle = {name: alike.numbers() for name, alike in alone.items() if alike.idle}
    whose = " of the Weave network" if subject.is_committee else ""
    return Finding(
        NAME,
        Severity.WARNING,
        f"{len(idle)} of {len(alone)} layers{whose} have no part in the scores: drawing their weights anew "
        f"leaves the attributions as they are ({', '.join(idle)}).",
        Evidence(idle),
        "What these layers have learned does not reach the score; look at dead units and at the weights of "
        "the layers that take them up. Train again, with a smaller learning rate or a smaller network.",
    )


def _figure(cascade: dict[str, _Likeness], alone: dict[str, _Likeness]) -> Figure:
    shown = {f"down to {name}": alike for name, alike in cascade.items()}
    shown |= {f"{name} alone": alike for name, alike in alone.items()}
    places = np.arange(len(shown))

    def fill(axes: Axes) -> None:
        for shift, color, name in ((-0.2, BLUE, "signed"), (0.2, YELLOW, "magnitudes")):
            lengths = [alike.numbers()[name] for alike in shown.values()]
            axes.barh(places + shift, lengths, 0.38, color=color, label=name)
        axes.set_yticks(places, list(shown), fontsize=8)
        axes.invert_yaxis()
        axes.axhline(len(cascade) - 0.5, color=GREY, linewidth=0.8)
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_xlim(-1, 1.02)
        axes.set_xlabel("rank correlation with the trained model's scores (1: no change)")
        axes.legend(frameon=False, fontsize=8, loc="upper left")

    return draw("Attributions after drawing layers anew", fill, (6.2, 0.9 + 0.24 * len(shown)))


# Copies of a model with layers drawn anew, and how alike their attributions are.


class _Comparison:
    """The trained model's attributions on a sample, and those of copies of it."""

    def __init__(self, subject: AuditSubject) -> None:
        places = np.linspace(0, len(subject.tasks) - 1, min(MOST_TASKS, len(subject.tasks))).astype(int)
        self.tasks = [subject.tasks[place] for place in places]
        model = subject.model
        self.model = model.weave_alone() if isinstance(model, ScreeningModel) else model
        self._columns = [subject.column(task) for task in self.tasks]
        self._rng = subject.rng(NAME)
        large = subject.sample[subject.graphs.atom_counts[subject.sample] >= LEAST_ATOMS]
        chosen = np.sort(self._rng.permutation(large)[:MOST_MOLECULES])
        self._molecules = [subject.molecules[place] for place in chosen]
        self._graphs = subject.graphs.select(chosen)
        self._trained = atom_scores(self.model, self._graphs, self._columns) if len(chosen) else []
        varied = [np.ptp(scores, axis=1) > 0 for scores in self._trained]
        self.n_molecules = sum(bool(flags.any()) for flags in varied)

    def likeness(self, layers: Sequence[Layer], n_copies: int) -> _Likeness:
        """Compare with copies in which layers are drawn anew."""
        means, alike = [], []
        # Not small numbers: a model that was trained with that seed began with these very weights.
        for seed in self._rng.integers(1 << 32, 1 << 62, n_copies).tolist():
            copies = atom_scores(redrawn(self.model, layers, seed), self._graphs, self._columns)
            rows = [
                [likeness(old, new) for old, new in zip(before, after, strict=True)]
                for before, after in zip(self._trained, copies, strict=True)
            ]
            means.append(_mean_over_molecules(np.array(rows)))
            alike.append(np.abs(np.array(rows)[:, :, 2]))
        by_molecule = np.array([_mean(values) for values in np.stack(alike, axis=1)])
        signed, magnitudes, linear, cosines = np.moveaxis(np.array(means), -1, 0)
        return _Likeness(signed, magnitudes, linear, cosines, by_molecule)

    def examples(self, likeness: _Likeness) -> list[Example]:
        """Molecules whose attributions copies reproduce best, with those of the trained model."""
        order = np.argsort(-likeness.by_molecule, kind="stable")[:_EXAMPLES]
        return [
            scored_example(
                self._molecules[i],
                self._trained[i][0],
                f"{self.tasks[0]}: attribution by the trained model; correlation with random copies, up to "
                f"the sign, {likeness.by_molecule[i]:.2f}",
            )
            for i in order
        ]


@dataclass(frozen=True)
class _Likeness:
    """Likeness to the trained model's attributions, means over molecules; shape (n_copies, n_tasks).

    NaN for a task on which the trained scores of no molecule differ.
    """

    signed: FloatArray
    magnitudes: FloatArray
    linear: FloatArray
    cosines: FloatArray
    by_molecule: FloatArray  # (n_molecules,) |linear|, mean over copies and tasks

    def numbers(self) -> dict[str, float]:
        return {
            "signed": _mean(self.signed),
            "magnitudes": _mean(self.magnitudes),
            "linear": _mean(self.linear),
            "cosine": _mean(self.cosines),
        }

    @property
    def either_sign(self) -> dict[str, float]:
        """Means where every copy may have turned the signs of a task."""
        return {
            "signed": _mean(np.abs(self.signed)),
            "magnitudes": _mean(self.magnitudes),
            "linear": _mean(np.abs(self.linear)),
        }

    @property
    def idle(self) -> bool:
        """Whether the redrawn weights have no part in the attributions."""
        same_ranks = min(_mean(self.signed), _mean(self.magnitudes)) >= SAME_RANKS
        same_scores = same_ranks and _mean(self.linear) >= SAME_SCORES
        return bool(same_scores or _mean(self.cosines) >= SAME_PICTURE)


def _mean(values: FloatArray) -> float:
    """Mean of the numbers; 0 if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _mean_over_molecules(rows: FloatArray) -> FloatArray:
    """Mean of likenesses, shape (n_tasks, 4), over molecules whose trained scores differ at all."""
    known = np.isfinite(rows)
    counts = known.sum(axis=0)
    means = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(counts, 1)
    return np.asarray(np.where(counts > 0, means, np.nan), dtype=np.float64)


@dataclass(frozen=True)
class Layer:
    """Weights that are drawn anew together."""

    name: str  # such as ``"hidden 1"`` or ``"module 2: atom_to_atom"``
    stage: str  # step of the cascade: a layer of the head, the last atom layer or a whole module
    parts: tuple[str, ...]  # submodules of the network: a linear map, and the normalisation after it


def layers_of_model(model: ScoringModel) -> list[Layer]:
    """List the layers of a model from the output down; those of an ensemble's networks go together.

    Raises
    ------
    NotApplicable
        If it has no torch networks.
    """
    if isinstance(model, ScreeningModel):
        return layers_of(model.network)
    network = next(iter(networks_of(model).values()), None)
    if network is None:
        raise NotApplicable("the model has no torch network whose weights could be drawn anew")
    unused = {"message_passing.step"} if _one_step(network) else set()
    return [
        Layer(name, name, (name,))
        for name, part in reversed(list(network.named_modules()))
        if hasattr(part, "reset_parameters") and not list(part.children()) and name not in unused
    ]


def _one_step(network: nn.Module) -> bool:
    return isinstance(network, ChempropNetwork) and network.message_passing.depth == 1


def layers_of(network: WeaveNet) -> list[Layer]:
    """List the layers of a network, from the output down to the first module."""
    below = [Layer("last atom layer", "last atom layer", ("last_atom_layer", "atom_norm"))]
    for k, module in reversed(list(enumerate(network.modules_))):
        stage = f"module {k + 1}"
        names = [name for name, part in module.named_children() if isinstance(part, nn.Linear)]
        below += [Layer(f"{stage}: {name}", stage, (f"modules_.{k}.{name}",)) for name in reversed(names)]
    head: list[list[str]] = []
    for name, part in network.head.named_children():
        if isinstance(part, nn.Linear):
            head.append([f"head.{name}"])
        elif isinstance(part, nn.BatchNorm1d):
            head[-1].append(f"head.{name}")
    names = [f"hidden {i + 1}" for i in range(len(head) - 1)] + ["output"]
    top = [Layer(name, name, tuple(parts)) for name, parts in zip(names, head, strict=True)]
    return [*reversed(top), *below]


def redrawn(model: ScoringModel, layers: Sequence[Layer], seed: int) -> ScoringModel:
    """Copy a model and draw layers of the copy anew, as training draws them before its first step."""
    if not isinstance(model, ScreeningModel):
        twin = copy.deepcopy(model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for network in networks_of(twin).values():
                for name in (part for layer in layers for part in layer.parts):
                    reset: Any = network.get_submodule(name)
                    reset.reset_parameters()
        return twin
    schema, network = model.schema, copy.deepcopy(model.network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = WeaveNet(network.config, schema.n_atom_columns, schema.n_pair_columns, len(model.tasks))
        fresh.spread_states()
    for name in (part for layer in layers for part in layer.parts):
        network.get_submodule(name).load_state_dict(fresh.get_submodule(name).state_dict())
    return model.with_network(network)


def atom_scores(model: ScoringModel, graphs: PackedGraphs, tasks: Sequence[int]) -> list[FloatArray]:
    """Integrated gradients of logits (values) from the zero baseline, by a dozen points of the path."""
    n_mols, n_tasks = len(graphs), len(tasks)
    molecules = np.repeat(np.arange(n_mols), n_tasks * _POINTS)
    outputs = np.tile(np.repeat(np.asarray(tasks, dtype=np.int64), _POINTS), n_mols)
    scales = np.tile((np.arange(_POINTS) + 0.5) / _POINTS, n_mols * n_tasks)
    densities = model.relax(graphs).densities(molecules, scales, outputs)
    scores = []
    for m, graph in enumerate(graphs):
        rows = np.zeros((n_tasks, len(graph.atom_codes)))
        for t in range(n_tasks):
            at = slice((m * n_tasks + t) * _POINTS, (m * n_tasks + t + 1) * _POINTS)
            own, pairs = (
                np.mean([rates.sum(axis=1) for rates in level[at]], axis=0)
                for level in (densities.atoms, densities.pairs)
            )
            rows[t] = share_pairs(own, pairs, graph.pair_atoms)
        scores.append(rows)
    return scores


# How alike scores of the same atoms are.


def likeness(first: FloatArray, second: FloatArray) -> tuple[float, float, float, float]:
    """Rank correlation of scores, and of their magnitudes, linear correlation, and cosine.

    A measure is 0 where only the second scores are constant (nought), NaN where the first are.
    """
    sizes = float(np.abs(first).max(initial=0.0)), float(np.abs(second).max(initial=0.0))
    linear = _cosine(first - first.mean(), second - second.mean(), sizes)
    return *rank_correlations(first, second), linear, _cosine(first, second, sizes)


def rank_correlations(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Spearman's rank correlation of scores, and that of their magnitudes; rounding makes ties."""
    return _rank_correlation(first, second), _rank_correlation(np.abs(first), np.abs(second))


def _rank_correlation(first: FloatArray, second: FloatArray) -> float:
    left, right = _without_rounding(first), _without_rounding(second)
    if np.ptp(left) == 0:
        return float("nan")
    # Equal orders are exactly 1, not less by the last bit.
    return round(spearman(left, right), 12) if np.ptp(right) else 0.0


def _without_rounding(scores: FloatArray) -> FloatArray:
    largest = np.abs(scores).max(initial=0.0)
    if not (np.isfinite(largest) and largest > 0):
        return np.zeros(len(scores))
    return np.asarray(np.round(scores / (largest * _TIE)))


def _cosine(first: FloatArray, second: FloatArray, sizes: tuple[float, float]) -> float:
    norms = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if not norms[0] > _TIE * sizes[0]:
        return float("nan")
    return float(first @ second) / (norms[0] * norms[1]) if norms[1] > _TIE * sizes[1] else 0.0
