"""Dead units: parts of the network that do the same for every atom, pair and molecule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from molig.audit.figures import bars
from molig.audit.findings import Evidence, Finding, NotApplicable, Outcome, Severity
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, networks_of
from molig.features import PackedGraphs
from molig.foreign.chemprop_network import ChempropNetwork
from molig.model import ScoringModel, ScreeningModel
from molig.network import WeaveNet, collate
from molig.network.batch import GraphBatch, Triples
from molig.network.config import Readout
from molig.network.table import MEANS, memberships
from molig.network.weave import Rows, WeaveModule
from molig.stats.intervals import surely_above

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
_BATCH = 64
_ROUNDING = 1e-5  # a unit that moves by less than this share of the layer's largest value is constant
_UNREAD = 1e-4  # outgoing weights below this share of the layer's largest ones are none
Flags = npt.NDArray[np.bool_]
Seen = tuple[Rows, Rows, Triples, GraphBatch]  # what a Weave module is called with
Result = tuple[Tensor, Tensor | None]  # and what it returns: states of atoms, and of pairs but for the last


@register(
    NAME,
    title="Dead units",
    question="Are there hidden units, histogram bins or channels that never vary, or that nothing reads?",
)
def check(subject: AuditSubject) -> Outcome:
    """Watch every unit over a sample of the molecules."""
    n = len(subject.molecules)
    if not networks_of(subject.model):
        raise NotApplicable("the model has no torch network whose units could be watched")
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
    model = subject.model
    if isinstance(model, ScreeningModel):
        every = layers(model.weave_alone(), graphs)
    else:
        every = activations_of(model, graphs)
    constant = [layer for layer in every if (layer.dead | layer.unread).all()]
    constant += [
        layer for layer in every if layer.kind == "output" and layer.dead.any() and layer not in constant
    ]
    others = [layer for layer in every if layer not in constant]
    dead = [layer for layer in others if _too_many(layer.dead, ALLOWED[layer.kind])]
    unread = [layer for layer in others if _too_many(layer.unread, ALLOWED_UNREAD)]
    findings = [_constant(subject, constant)] if constant else []
    findings += [_dead(dead)] if dead else []
    findings += [_unread(unread)] if unread else []
    shares = {layer.name: float(layer.dead.mean()) for layer in every}
    figure = bars(shares, "Units that never vary", "share of the layer")
    remark = f"Over {len(graphs)} of {n} molecules."
    if subject.is_committee:
        remark += " Units of the committee's Weave network; its other members are not watched."
    if not isinstance(model, ScreeningModel):
        remark += (
            " Watched is what each activation function (a torch module) puts out, and the outputs; 2 stands "
            "for the second time that a function is applied, and so on."
        )
    return Outcome(findings, _numbers(every), [figure], remark)


def _too_many(flags: npt.NDArray[np.bool_], allowed: float) -> bool:
    # Chance plays a part in narrow layers: 10 of 12 units say less than 100 of 120.
    return surely_above(int(flags.sum()), len(flags), allowed)


def _constant(subject: AuditSubject, constant: Sequence[Layer]) -> Finding:
    named = [layer.name for layer in constant if layer.kind != "output"]
    outputs = [
        task
        for layer in constant
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
        whose = " from the committee's Weave network" if subject.is_committee else ""
        parts.append(f"every molecule gets the same score{whose} on {', '.join(outputs)}")
    text = "; ".join(parts)
    return Finding(
        NAME,
        Severity.ERROR,
        f"{text[0].upper()}{text[1:]}.",
        Evidence({"layers": _numbers(constant), "tasks": outputs}),
        "The model does not use what these parts were built for, and its scores do not depend on it. "
        "Load the weights again; if they are as trained, train again with another seed or a smaller learning "
        "rate.",
    )


def _dead(dead: Sequence[Layer]) -> Finding:
    worst = max(dead, key=lambda layer: layer.dead.mean() - ALLOWED[layer.kind])
    return Finding(
        NAME,
        Severity.WARNING,
        f"Unusually many units never vary in {len(dead)} of the network's layers: {int(worst.dead.sum())} "
        f"of {len(worst.dead)} in {worst.name}.",
        Evidence(_numbers(dead)),
        "The network is smaller than it looks, and may miss what the dead units were to tell apart. Train "
        "again with a smaller learning rate or another start (spread_states), and compare the quality.",
    )


def _unread(unread: Sequence[Layer]) -> Finding:
    worst = max(unread, key=lambda layer: layer.unread.mean())
    return Finding(
        NAME,
        Severity.WARNING,
        f"{int(worst.unread.sum())} of {len(worst.unread)} units in {worst.name} are read by nothing: all "
        f"their outgoing weights are zero ({len(unread)} such layers).",
        Evidence(_numbers(unread)),
        "Training leaves no weights of exactly zero: the model was pruned or damaged. Compare it with its "
        "original.",
    )


def _numbers(shown: Sequence[Layer]) -> dict[str, dict[str, float]]:
    return {
        layer.name: {
            "units": len(layer.dead),
            "dead": float(layer.dead.mean()),
            "unread": float(layer.unread.mean()),
        }
        for layer in shown
    }


def kinds_of_rows(graphs: PackedGraphs) -> tuple[int, int]:
    """How many different feature rows atoms and pairs have."""
    levels = graphs.level("atom"), graphs.level("pair")
    atoms, pairs = (len(np.unique(np.hstack([x.codes, x.values]), axis=0)) for x in levels)
    return atoms, pairs


# What the hidden units of a network do over molecules: how far each varies, and whether it is read.


@dataclass(frozen=True)
class Layer:
    """Units of one kind."""

    name: str  # such as ``"module 1: atom states"``
    kind: str  # ``"operation"``, ``"state"``, ``"channel"``, ``"bin"``, ``"head"`` or ``"output"``
    low: FloatArray  # (n_units,) smallest and largest value of each unit
    high: FloatArray
    unread: Flags  # (n_units,) whether all weights that read the unit are zero

    @property
    def dead(self) -> Flags:
        """Units that never vary, or are not finite; shape (n_units,)."""
        finite = np.isfinite(self.low) & np.isfinite(self.high)
        values = np.abs(np.concatenate([self.low[finite], self.high[finite]]))
        with np.errstate(invalid="ignore"):
            moves = self.high - self.low > _ROUNDING * values.max(initial=0.0)
        return np.asarray(~(moves & finite))


def layers(model: ScreeningModel, graphs: PackedGraphs) -> list[Layer]:
    """Watch all units of a model's network over molecules."""
    ranges = _Ranges()
    with torch.inference_mode():
        for start in range(0, len(graphs), _BATCH):
            part = graphs.select(np.arange(start, min(start + _BATCH, len(graphs))))
            batch = collate(part, model.schema).to(model.device, model.dtype)
            for name, kind, values in _watch(model.network, batch):
                ranges.add(name, kind, values)
    return ranges.layers(_unread_units(model.network))


def activations_of(model: ScoringModel, graphs: PackedGraphs) -> list[Layer]:
    """Watch what activation functions of a model's networks put out, and its outputs, over molecules."""
    ranges, unread, handles = _Ranges(), dict[str, Flags](), []
    for whose, network in networks_of(model).items():
        prefix = f"{whose}: " if whose else ""
        handles += _watch_activations(network, prefix, ranges)
        for place, layer in enumerate(_head_of(network)):
            unread[f"{prefix}predictor.activations.{place}"] = _negligible([layer.weight])
    try:
        for start in range(0, len(graphs), _BATCH):
            outputs = model.logits(graphs.select(np.arange(start, min(start + _BATCH, len(graphs)))))
            ranges.add("outputs", "output", torch.from_numpy(outputs))
    finally:
        for handle in handles:
            handle.remove()
    return ranges.layers(unread)


def _watch_activations(network: nn.Module, prefix: str, ranges: _Ranges) -> list[RemovableHandle]:
    calls: Counter[str] = Counter()

    def watch(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, args: object, result: Tensor) -> None:
            calls[name] += 1
            number = f" {calls[name]}" if calls[name] > 1 else ""
            ranges.add(f"{prefix}{name}{number}", "state", result.detach().flatten(0, -2))

        return hook

    handles = [network.register_forward_pre_hook(lambda *_: calls.clear())]
    return handles + [
        module.register_forward_hook(watch(name))
        for name, module in network.named_modules()
        if type(module).__module__ == nn.ReLU.__module__
    ]


def _head_of(network: nn.Module) -> list[nn.Linear]:
    """Layers of a Chemprop head that read what an activation function puts out."""
    head = network.predictor.layers[1:] if isinstance(network, ChempropNetwork) else ()
    return [layer for layer in head if isinstance(layer, nn.Linear)]


class _Ranges:
    """Smallest and largest value of every unit seen."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[FloatArray, FloatArray]] = {}

    def add(self, name: str, kind: str, values: Tensor) -> None:
        """Take values of a layer, shape (n, n_units)."""
        if not len(values):
            return
        low, high = (edge.double().cpu().numpy().ravel() for edge in torch.aminmax(values, dim=0))
        before = self._seen.get((name, kind), (low, high))
        # Unlike fmin, minimum keeps a NaN that was seen.
        self._seen[name, kind] = np.minimum(before[0], low), np.maximum(before[1], high)

    def layers(self, unread: Mapping[str, Flags]) -> list[Layer]:
        """The layers, with the units that nothing reads."""
        return [
            Layer(name, kind, low, high, unread.get(name, np.zeros(len(low), dtype=bool)))
            for (name, kind), (low, high) in self._seen.items()
        ]


def _watch(network: WeaveNet, batch: GraphBatch) -> Iterator[tuple[str, str, Tensor]]:
    """Name, kind and values, shape (n, n_units), of every layer."""
    seen: list[tuple[str, str, Tensor]] = []

    def hook(module: nn.Module, args: Seen, result: Result) -> None:
        if isinstance(module, WeaveModule):
            place = list(network.modules_).index(module) + 1
            seen.extend(_watch_module(f"module {place}", module, args, result))

    handles = [module.register_forward_hook(hook) for module in network.modules_]
    try:
        states = network.atom_states(batch)
    finally:
        for handle in handles:
            handle.remove()
    yield from seen
    yield "last atom layer", "channel", states
    if network.config.readout is Readout.GAUSSIAN:
        yield "histogram", "bin", memberships(states).transpose(0, 1).flatten(1)
    values, hidden = network.readout(states, batch.atom_counts), 0
    for part in network.head:
        values = part(values)
        if isinstance(part, nn.Dropout):  # comes last of each hidden layer
            hidden += 1
            yield f"head {hidden}", "head", values
    yield "outputs", "output", values


def _watch_module(
    name: str,
    module: WeaveModule,
    args: tuple[Rows, Rows, Triples, GraphBatch],
    result: tuple[Tensor, Tensor | None],
) -> Iterator[tuple[str, str, Tensor]]:
    atoms, pairs, triples, _ = args
    new_atoms, new_pairs = result
    yield f"{name}: A->A", "operation", module.act(module.atom_to_atom(atoms.values))
    yield f"{name}: P->A", "operation", module.act(module.pair_to_atom(pairs.values))
    if new_pairs is not None:
        ends = atoms.values[triples.first], atoms.values[triples.second]
        there, back = (module.atom_to_pair(torch.cat(e, dim=1)) for e in (ends, ends[::-1]))
        yield f"{name}: A->P", "operation", module.act(there) + module.act(back)
        yield f"{name}: P->P", "operation", module.act(module.pair_to_pair(pairs.values))
    yield f"{name}: atom states", "state", new_atoms
    if new_pairs is not None:
        yield f"{name}: pair states", "state", new_pairs


def _unread_units(network: WeaveNet) -> dict[str, Flags]:
    """Units whose outgoing weights are all zero, by layer."""
    outgoing: dict[str, list[Tensor]] = {}
    modules = [module for module in network.modules_ if isinstance(module, WeaveModule)]
    for place, module in enumerate(modules, 1):
        depth, name = module.atom_out.out_features, f"module {place}"
        from_atoms, from_pairs = torch.split(module.atom_out.weight, depth, dim=1)
        outgoing |= {f"{name}: A->A": [from_atoms], f"{name}: P->A": [from_pairs]}
        if place == len(modules):
            outgoing[f"{name}: atom states"] = [network.last_atom_layer.weight]
            continue
        following = modules[place]
        outgoing[f"{name}: atom states"] = [following.atom_to_atom.weight]
        outgoing[f"{name}: pair states"] = [following.pair_to_atom.weight]
        from_atoms, from_pairs = torch.split(module.pair_out.weight, depth, dim=1)
        outgoing |= {f"{name}: A->P": [from_atoms], f"{name}: P->P": [from_pairs]}
        if following.update_pairs:
            outgoing[f"{name}: atom states"] += list(torch.split(following.atom_to_pair.weight, depth, dim=1))
            outgoing[f"{name}: pair states"] += [following.pair_to_pair.weight]
    linears = [part for part in network.head if isinstance(part, nn.Linear)]
    bins = linears[0].weight
    channels = bins.shape[1] // (len(MEANS) if network.config.readout is Readout.GAUSSIAN else 1)
    outgoing["last atom layer"] = list(torch.split(bins, channels, dim=1))
    if network.config.readout is Readout.GAUSSIAN:
        outgoing["histogram"] = [bins]
    for place, linear in enumerate(linears[1:], 1):
        outgoing[f"head {place}"] = [linear.weight]
    return {name: _negligible(weights) for name, weights in outgoing.items()}


def _negligible(weights: list[Tensor]) -> Flags:
    largest = torch.stack([weight.abs().amax(dim=0) for weight in weights]).amax(dim=0)
    sizes = largest.double().cpu().numpy()
    finite = sizes[np.isfinite(sizes)]
    return np.asarray(sizes <= _UNREAD * finite.max(initial=0.0))
