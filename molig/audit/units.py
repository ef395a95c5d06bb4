"""What the hidden units of a network do over molecules: how far each varies, and whether it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from molig.features import PackedGraphs
from molig.model import ScreeningModel
from molig.network import WeaveNet, collate
from molig.network.batch import GraphBatch, Triples
from molig.network.config import Readout
from molig.network.histogram import MEANS, memberships
from molig.network.weave import Rows, WeaveModule

Seen = tuple[Rows, Rows, Triples, GraphBatch]
"""What a Weave module is called with."""

FloatArray = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_BATCH = 64
# A unit that moves by less than this share of the layer's largest value is constant but for rounding.
_ROUNDING = 1e-5
# Outgoing weights below this share of the layer's usual ones are none.
_UNREAD = 1e-4


@dataclass(frozen=True)
class Layer:
    """Units of one kind.

    Parameters
    ----------
    name : str
        Such as ``"module 1: atom states"``.
    kind : str
        ``"operation"``, ``"state"``, ``"channel"``, ``"bin"``, ``"head"`` or ``"output"``.
    low, high : array of float, shape (n_units,)
        Smallest and largest value of each unit.
    unread : array of bool, shape (n_units,)
        Whether all weights that read the unit are zero.
    """

    name: str
    kind: str
    low: FloatArray
    high: FloatArray
    unread: Flags

    @property
    def dead(self) -> Flags:
        """Units that never vary, or are not finite; shape (n_units,)."""
        finite = np.isfinite(self.low) & np.isfinite(self.high)
        values = np.abs(np.concatenate([self.low[finite], self.high[finite]]))
        with np.errstate(invalid="ignore"):
            moves = self.high - self.low > _ROUNDING * values.max(initial=0.0)
        return np.asarray(~(moves & finite))


def layers(model: ScreeningModel, graphs: PackedGraphs) -> list[Layer]:
    """Watch all units of a model's network over molecules.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    graphs : PackedGraphs
        The molecules.

    Returns
    -------
    list of Layer
        From input to output. Layers of pairs are left out if no molecule has a pair.
    """
    ranges: dict[tuple[str, str], tuple[FloatArray, FloatArray]] = {}
    with torch.inference_mode():
        for start in range(0, len(graphs), _BATCH):
            part = graphs.select(np.arange(start, min(start + _BATCH, len(graphs))))
            batch = collate(part, model.schema).to(model.device, model.dtype)
            for name, kind, values in _watch(model.network, batch):
                if not len(values):
                    continue
                new = tuple(edge.double().cpu().numpy().ravel() for edge in torch.aminmax(values, dim=0))
                low, high = ranges.get((name, kind), new)
                # Unlike fmin, minimum keeps a NaN that was seen.
                ranges[name, kind] = np.minimum(low, new[0]), np.maximum(high, new[1])
    unread = _unread(model.network)
    return [
        Layer(name, kind, low, high, unread.get(name, np.zeros(len(low), dtype=bool)))
        for (name, kind), (low, high) in ranges.items()
    ]


def _watch(network: WeaveNet, batch: GraphBatch) -> Iterator[tuple[str, str, Tensor]]:
    """Name, kind and values, shape (n, n_units), of every layer."""
    found: list[tuple[str, str, Tensor]] = []

    def hook(module: nn.Module, args: Seen, result: tuple[Tensor, Tensor | None]) -> None:
        if isinstance(module, WeaveModule):
            place = list(network.modules_).index(module) + 1
            found.extend(_watch_module(f"module {place}", module, args, result))

    handles = [module.register_forward_hook(hook) for module in network.modules_]
    try:
        states = network.atom_states(batch)
    finally:
        for handle in handles:
            handle.remove()
    yield from found
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
    name: str, module: WeaveModule, args: Seen, result: tuple[Tensor, Tensor | None]
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


def _unread(network: WeaveNet) -> dict[str, Flags]:
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
