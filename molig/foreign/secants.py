"""Chemprop networks along paths of counterfactuals: their states, and the shares of features in a change.

Everything in these networks is linear but the activations, so on a stretch of a path each activation gets the
slope of its own secant, and the change of the output is shared out without remainder, as in `molig.secant`.
States are computed once where they repeat (`chemprop_batch`); gradients are pulled back bond by bond.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from molig.deferred import deferred
from molig.features import FeatureSchema, PackedGraphs
from molig.features.environments import ragged
from molig.foreign.chemprop_batch import MessageBatch, Passing, message_batch
from molig.foreign.chemprop_network import ChempropNetwork, Head
from molig.network import collate
from molig.secant import Panels, Shares
from molig.secant.rows import Growing
from molig.secant.slopes import closeness, quotient, relu_pull_back, relu_slope
from molig.secant.trail import by_rows
from molig.secant.weave import entry_matrix

special = deferred("scipy.special")

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Atoms per backward pass: their states stay in the processor's cache.
_ATOMS_CPU = 1024
_ATOMS_GPU = 262_144
# Below these changes, of a mean of probabilities (as a share of it) and of logits, a difference quotient is
# lost in rounding.
_CLOSE, _CLOSE_LOGITS = 1e-8, 1e-6
_LINEAR = {Head.CLASSIFICATION, Head.REGRESSION, Head.REGRESSION_MVE, Head.REGRESSION_EVIDENTIAL}
_LINEAR |= {Head.REGRESSION_QUANTILE}


def has_secants(network: ChempropNetwork) -> bool:
    """Whether all of a network is linear but for activations of single numbers."""
    passing = network.message_passing
    return (
        network.predictor.head in _LINEAR
        and network.aggregation.attention is None
        and not passing.overwrites
        and passing.descriptors is None
        and not network.sizes.descriptors
    )


# One network.


def secant_slope(activation: nn.Module, left: Tensor, right: Tensor) -> Tensor:
    """Mean derivative of an activation between two inputs, element by element."""
    if isinstance(activation, nn.ReLU):
        return relu_slope(left, right)
    width = right - left
    rise = activation(right) - activation(left)
    if not bool((width.abs() < closeness(width.dtype)).any()):
        return cast("Tensor", rise / width)
    middle = ((left + right) / 2).detach().clone()
    with torch.inference_mode(mode=False), torch.enable_grad():
        middle = middle.clone().requires_grad_()
        (derivative,) = torch.autograd.grad(activation(middle).sum(), middle)
    return quotient(rise, width, derivative)


def _pull_back(activation: nn.Module, gradient: Tensor, states: Tensor, ends: _Ends) -> Tensor:
    """A gradient times the secant slopes of an activation; may be overwritten."""
    if isinstance(activation, nn.ReLU) and gradient.device.type == "cpu":
        relu_pull_back(gradient.numpy(), states.numpy(), ends.left.numpy(), ends.right.numpy())
        return gradient
    return gradient * secant_slope(activation, states[ends.left], states[ends.right])


class _Ends(NamedTuple):
    """Rows of states at both ends of panels."""

    left: Tensor
    right: Tensor


class _Wiring(NamedTuple):
    """Atoms and directed bonds of some requests, and their rows of states; bond k's opposite is n + k."""

    atom_counts: Tensor  # of each request
    source: Tensor  # atom that each directed bond leaves
    target: Tensor  # atom that it reaches
    states: list[_Ends]  # rows of the first states and of those of every step
    atoms: _Ends  # rows of atoms
    heads: _Ends  # rows of the head: points


class SecantNetwork:
    """A network that remembers its states at points of paths.

    Parameters
    ----------
    network : ChempropNetwork
        One that `has_secants`.
    """

    def __init__(self, network: ChempropNetwork) -> None:
        self._network = network
        self._passing = network.message_passing
        self.way: Passing = self._passing.passing
        self._states: list[Growing] = [Growing() for _ in range(self._passing.depth + 1)]
        self._heads: list[Growing] = [Growing() for _ in network.predictor.activations]
        self._last, self.offset = _last_layer(network)
        self._scales = [
            None if scaling is None else 1 / scaling.scale[0]
            for scaling in (self._passing.scale_atoms, self._passing.scale_bonds)
        ]

    def visit(self, batch: MessageBatch) -> tuple[list[int], Tensor]:
        """Remember the states of a batch; first rows of each kind of states, and the outputs."""
        firsts, state = [], torch.empty(0)
        for rows, table in zip(self._passing.inputs_of_activations(batch), self._states, strict=True):
            firsts.append(len(table))
            table.append(rows)
            state = rows
        atoms = self._passing.activation(state)[batch.of_atoms]
        molecules = self._network.aggregation(atoms, batch.atom_counts)
        if self._network.norm is not None:
            molecules = self._network.norm(molecules)
        predictor = self._network.predictor
        for layer, activation, table in zip(
            predictor.layers, predictor.activations, self._heads, strict=False
        ):
            inputs = layer(molecules)
            table.append(inputs)
            molecules = activation(inputs)
        return firsts, torch.addmm(self.offset, molecules, self._last.t())

    def pull_back(self, wiring: _Wiring, tasks: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of ``factors`` times outputs with respect to the features of atoms and of bonds."""
        gradient = self._of_molecules(self._last[tasks] * factors[:, None], wiring.heads)
        at_atoms = gradient.repeat_interleave(wiring.atom_counts, dim=0)
        if self._network.aggregation.kind == "mean":
            at_atoms /= wiring.atom_counts.repeat_interleave(wiring.atom_counts)[:, None]
        elif self._network.aggregation.kind == "norm":
            at_atoms /= self._network.aggregation.norm
        at_atoms = _pull_back(self._passing.activation, at_atoms, self._states[-1].all, wiring.atoms)
        n_atom = self._passing.sizes.atom
        finish = self._passing.finish.weight
        atoms = at_atoms @ finish[:, :n_atom]
        walk = self._along_bonds if self._passing.along_bonds else self._between_atoms
        more, bonds = walk(at_atoms @ finish[:, n_atom:], wiring)
        atoms += more
        scales = [1.0 if scale is None else scale for scale in self._scales]
        return atoms * scales[0], bonds * scales[1]

    def _of_molecules(self, gradient: Tensor, points: _Ends) -> Tensor:
        """From the last layer's inputs back to the sum over atoms."""
        predictor = self._network.predictor
        for layer, activation, table in reversed(
            list(zip(predictor.layers, predictor.activations, self._heads, strict=False))
        ):
            gradient = _pull_back(activation, gradient, table.all, points) @ cast("Tensor", layer.weight)
        norm = self._network.norm
        if norm is None:
            return gradient
        return gradient * (norm.weight / torch.sqrt(cast("Tensor", norm.running_var) + norm.eps))

    def _along_bonds(self, message: Tensor, wiring: _Wiring) -> tuple[Tensor, Tensor]:
        """From the messages of atoms back to features, where states are those of directed bonds."""
        n_atoms, n_bonds = len(message), len(wiring.source) // 2
        activation, tables = self._passing.activation, self._states
        gradient = message[wiring.target]
        first = gradient.new_zeros(gradient.shape)
        for step in range(self._passing.depth - 1, 0, -1):
            gradient = _pull_back(activation, gradient, tables[step].all, wiring.states[step])
            first += gradient
            sent = gradient @ self._passing.step.weight
            leaving = sent.new_zeros(n_atoms, sent.shape[1]).index_add_(0, wiring.source, sent)
            gradient = leaving[wiring.target] - sent.roll(n_bonds, 0)
            if self._passing.undirected:
                gradient = (gradient + gradient.roll(n_bonds, 0)) / 2
        first += _pull_back(activation, gradient, tables[0].all, wiring.states[0])
        n_atom = self._passing.sizes.atom
        start = self._passing.start.weight
        leaving = first.new_zeros(n_atoms, first.shape[1]).index_add_(0, wiring.source, first)
        both = first[:n_bonds] + first[n_bonds:]
        return leaving @ start[:, :n_atom], both @ start[:, n_atom:]

    def _between_atoms(self, message: Tensor, wiring: _Wiring) -> tuple[Tensor, Tensor]:
        """The same where states are those of atoms."""
        n_atoms, n_bonds = len(message), len(wiring.source) // 2
        activation, tables = self._passing.activation, self._states
        hidden = self._passing.sizes.hidden
        degrees = torch.bincount(wiring.target, minlength=n_atoms)[:, None]
        gradient = message.new_zeros(message.shape).index_add_(0, wiring.source, message[wiring.target])
        first, arrived = torch.zeros_like(gradient), torch.zeros_like(gradient)
        for step in range(self._passing.depth - 1, 0, -1):
            gradient = _pull_back(activation, gradient, tables[step].all, wiring.states[step])
            first += gradient
            arrived += gradient
            sent = gradient @ self._passing.step.weight[:, :hidden]
            gradient = sent.new_zeros(sent.shape).index_add_(0, wiring.source, sent[wiring.target])
            if self._passing.undirected:
                gradient = (gradient + degrees * sent) / 2
        first += _pull_back(activation, gradient, tables[0].all, wiring.states[0])
        from_bonds = arrived @ self._passing.step.weight[:, hidden:]
        bonds = from_bonds[wiring.target[:n_bonds]] + from_bonds[wiring.target[n_bonds:]]
        return first @ self._passing.start.weight, bonds


def _last_layer(network: ChempropNetwork) -> tuple[Tensor, Tensor]:
    """Weight and bias of the last layer, from which predictions (or logits) follow without more ado."""
    predictor = network.predictor
    layer = cast("nn.Linear", predictor.layers[-1])
    weights = layer.weight.chunk(predictor.head.outputs_per_task, 0)
    biases = layer.bias.chunk(predictor.head.outputs_per_task, 0)
    n_averaged = 2 if predictor.head is Head.REGRESSION_QUANTILE else 1
    weight = torch.stack(weights[:n_averaged]).mean(0)
    bias = torch.stack(biases[:n_averaged]).mean(0)
    if predictor.unscale is not None:
        scale = predictor.unscale.scale[0]
        return weight * scale[:, None], bias * scale + predictor.unscale.mean[0]
    return weight, bias


# Paths.


class _Rows:
    """Rows of states of all atoms and directed bonds of visited points, for one way of passing messages."""

    def __init__(self, way: Passing) -> None:
        self.way = way
        self.atoms = Growing()
        self.ahead = [Growing() for _ in range(way.depth)]  # of bonds from their first atom, or of atoms
        self.back = [Growing() for _ in range(way.depth)]
        self.whole: MessageBatch | None = None

    def append(self, batch: MessageBatch, firsts: Sequence[int], n_bonds: int) -> None:
        """Add the rows of a batch, whose states were put behind ``firsts``."""
        self.atoms.append(batch.of_atoms + firsts[-1])
        for step, (numbers, first) in enumerate(zip(batch.of_states, firsts, strict=False)):
            cut = n_bonds if self.way.along_bonds else len(numbers)
            self.ahead[step].append(numbers[:cut] + first)
            self.back[step].append(numbers[cut:] + first)

    def states(self, step: int, atoms: Tensor, bonds: Tensor) -> Tensor:
        """Rows of the states of some atoms or directed bonds, by their places among those of all points."""
        ahead = self.ahead[step].all
        if not self.way.along_bonds:
            return ahead[atoms]
        return torch.cat([ahead[bonds], self.back[step].all[bonds]])


class ChempropTrail:
    """Points on the straight paths from the baseline to molecules, for the networks of an ensemble.

    It is what `molig.attribution.protocol.PathShares` asks for. Outputs are logits of the networks' mean
    probability, or the mean of their values.

    Parameters
    ----------
    networks : sequence of ChempropNetwork
        Each one `has_secants`.
    schema : FeatureSchema
        Features of the molecules.
    graphs : PackedGraphs
        The molecules.
    base : tuple of Tensor
        Feature rows of the baseline, for atoms and for bonds.
    classifies : bool
        Whether the networks put out logits.
    """

    fast = False

    def __init__(
        self,
        networks: Sequence[ChempropNetwork],
        schema: FeatureSchema,
        graphs: PackedGraphs,
        base: tuple[Tensor, Tensor],
        classifies: bool,
    ) -> None:
        self._networks = [SecantNetwork(network) for network in networks]
        self._schema, self._graphs, self._base, self._classifies = schema, graphs, base, classifies
        like = base[0]
        self._device, self._dtype = like.device, like.dtype
        plain = collate(graphs, schema, np.ones(len(graphs)), fold=False).to(self._device, self._dtype)
        self._counts = graphs.atom_counts, graphs.pair_counts
        self._steps = plain.atom_inputs - base[0], plain.pair_inputs - base[1]
        self._entries = [entry_matrix(schema, level).to(like) for level in ("atom", "pair")]
        self._rows = {network.way: _Rows(network.way) for network in self._networks}
        self._budget = _ATOMS_CPU if self._device.type == "cpu" else _ATOMS_GPU
        # Of every point: its molecule and place on the path; then its row, first atom and first bond in the
        # order in which they were evaluated.
        none = np.zeros(0, dtype=np.int64)
        self._points = _Points(none, np.zeros(0), none, none, none)
        self._n_rows = np.zeros(3, dtype=np.int64)
        self._outputs = np.zeros((len(networks), 0, len(self._networks[0].offset)))

    def visit(self, molecules: Index, scales: FloatArray) -> FloatArray:
        """Evaluate the outputs, shape (n_points, n_tasks), at points of paths; points are numbered on."""
        places = np.empty((3, len(molecules)), dtype=np.int64)
        outputs = np.empty((len(self._networks), len(molecules), self._outputs.shape[2]))
        sizes = (
            np.ones_like(molecules),
            self._graphs.atom_counts[molecules],
            self._graphs.pair_counts[molecules],
        )
        with torch.inference_mode():
            for chosen, whole in self._groups(molecules, scales):
                outputs[:, chosen] = self._states(molecules[chosen], scales[chosen], whole=whole)
                for number, size in enumerate(sizes):
                    places[number, chosen] = self._n_rows[number] + np.cumsum(size[chosen]) - size[chosen]
                    self._n_rows[number] += size[chosen].sum()
        new = _Points(molecules, scales, *places)
        self._points = _Points(*(np.concatenate(both) for both in zip(self._points, new, strict=True)))
        self._outputs = np.concatenate([self._outputs, outputs], axis=1)
        return logit_of_mean(outputs) if self._classifies else np.asarray(outputs.mean(axis=0))

    def _groups(self, molecules: Index, scales: FloatArray) -> Iterator[tuple[Index, bool]]:
        """Points that are evaluated together: all molecules at one place, whose rows are known, or any."""
        order = np.lexsort((molecules, scales))
        cuts = np.flatnonzero(np.diff(scales[order])) + 1
        rest = []
        for points in np.split(order, cuts):
            if len(points) == len(self._graphs) and (molecules[points] == np.arange(len(points))).all():
                yield points, True
            else:
                rest.append(points)
        if rest:
            others = np.concatenate(rest)
            for part in by_rows(self._graphs.atom_counts[molecules[others]], 8 * self._budget):
                yield others[part], False

    def _states(self, molecules: Index, scales: FloatArray, *, whole: bool) -> FloatArray:
        """Outputs of every network at some points, whose states are remembered."""
        graphs = self._graphs if whole else self._graphs.select(molecules)
        batches = {way: self._batch(rows, graphs, scales, whole=whole) for way, rows in self._rows.items()}
        outputs, noted = [], set[Passing]()
        for network in self._networks:
            batch = batches[network.way]
            firsts, found = network.visit(batch)
            if network.way not in noted:
                self._rows[network.way].append(batch, firsts, graphs.n_pairs)
                noted.add(network.way)
            outputs.append(found.double().cpu().numpy())
        return np.stack(outputs)

    def _batch(self, rows: _Rows, graphs: PackedGraphs, scales: FloatArray, *, whole: bool) -> MessageBatch:
        """Molecules with their features between the baseline and themselves."""
        batch = rows.whole if whole else None
        if batch is None:
            batch = message_batch(graphs, self._schema, rows.way, None if whole else scales)
            batch = batch.to(self._device, self._dtype)
        if whole:
            rows.whole = batch
        return self._moved(batch, graphs, scales, scaled=not whole)

    def _moved(
        self, batch: MessageBatch, graphs: PackedGraphs, scales: FloatArray, *, scaled: bool
    ) -> MessageBatch:
        """The batch with features between the baseline and themselves."""
        moved = []
        for rows, chosen, counts, base in (
            (batch.atom_inputs, batch.atom_rows, graphs.atom_counts, self._base[0]),
            (batch.bond_inputs, batch.bond_rows, graphs.pair_counts, self._base[1]),
        ):
            factor = torch.from_numpy(np.repeat(scales, counts)).to(rows)[chosen, None]
            moved.append((rows if scaled else rows * factor) + (1 - factor) * base)
        return batch.with_inputs(*moved)

    def share(self, panels: Panels) -> Shares:
        """Share out the changes of outputs on panels between visited points."""
        left, right, tasks = panels
        points = self._points
        factors = self._factors(left, right, tasks) * (points.scale[right] - points.scale[left])
        molecules = points.molecule[left]
        shares: tuple[list[FloatArray], list[FloatArray]] = [], []
        with torch.inference_mode():
            for part in by_rows(self._graphs.atom_counts[molecules], self._budget):
                gradients = self._gradients(left[part], right[part], tasks[part], factors[:, part])
                for level, gradient in enumerate(gradients):
                    rows = self._steps[level][self._tensor(ragged(self._counts[level], molecules[part]))]
                    shares[level].append(_array((gradient * rows) @ self._entries[level]))
        return Shares(np.concatenate(shares[0]), np.concatenate(shares[1]))

    def _gradients(
        self, left: Index, right: Index, tasks: Index, factors: FloatArray
    ) -> tuple[Tensor, Tensor]:
        """Of all networks together, for atoms and for bonds."""
        wirings = {way: self._wiring(rows, left, right) for way, rows in self._rows.items()}
        found = [
            network.pull_back(wirings[network.way], self._tensor(tasks), self._tensor(factor).to(self._dtype))
            for network, factor in zip(self._networks, factors, strict=True)
        ]
        atoms, bonds = zip(*found, strict=True)
        return sum(atoms[1:], atoms[0]), sum(bonds[1:], bonds[0])

    def _factors(self, left: Index, right: Index, tasks: Index) -> FloatArray:
        """Change of the ensemble's output for a change of each network's, shape (n_networks, n_requests)."""
        n = len(self._networks)
        if not self._classifies or n == 1:
            return np.full((n, len(left)), 1 / n)
        return slopes_of_mean(self._outputs[:, left, tasks], self._outputs[:, right, tasks])

    def _wiring(self, rows: _Rows, left: Index, right: Index) -> _Wiring:
        """Atoms and directed bonds of some panels, and where their states are at both ends."""
        molecules = self._points.molecule[left]
        counts, n_pairs = (count[molecules] for count in self._counts)
        starts = np.repeat(np.cumsum(counts) - counts, n_pairs)
        ends = self._graphs.pair_atoms[ragged(self._counts[1], molecules)] + starts[:, None]
        atoms, bonds = (
            [
                self._tensor(np.repeat(first[side] - size.cumsum() + size, size) + np.arange(size.sum()))
                for side in (left, right)
            ]
            for first, size in ((self._points.atom, counts), (self._points.bond, n_pairs))
        )
        return _Wiring(
            self._tensor(counts),
            self._tensor(np.concatenate([ends[:, 0], ends[:, 1]])),
            self._tensor(np.concatenate([ends[:, 1], ends[:, 0]])),
            [_Ends(*map(partial(rows.states, step), atoms, bonds)) for step in range(rows.way.depth)],
            _Ends(*(rows.atoms.all[at] for at in atoms)),
            _Ends(self._tensor(self._points.row[left]), self._tensor(self._points.row[right])),
        )

    def _tensor(self, array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


class _Points(NamedTuple):
    """Points of paths: the molecule, how far from the baseline, and where its rows begin."""

    molecule: Index
    scale: FloatArray
    row: Index
    atom: Index
    bond: Index


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.double().cpu().numpy(), dtype=np.float64)


# Ensembles.


def logit_of_mean(logits: FloatArray) -> FloatArray:
    """Logit of the mean of probabilities, whose logits lie along the first axis."""
    return np.asarray(
        special.logsumexp(-np.logaddexp(0, -logits), axis=0)
        - special.logsumexp(-np.logaddexp(0, logits), axis=0)
    )


def slopes_of_mean(start: FloatArray, end: FloatArray) -> FloatArray:
    """Secant slopes of `logit_of_mean` by each logit, for a change from ``start`` to ``end``; same shape."""
    # Near 1 probabilities lose digits; their complements have the same slopes.
    sign = np.where((start + end).sum(axis=0) > 0, -1.0, 1.0)
    start, end = sign * start, sign * end
    means = special.expit(start).mean(axis=0), special.expit(end).mean(axis=0)
    of_mean = _quotient(
        logit_of_mean(end) - logit_of_mean(start),
        means[1] - means[0],
        1 / (sum(means) / 2 * (1 - sum(means) / 2)),
        _CLOSE * sum(means),
    )
    middle = special.expit((start + end) / 2)
    of_each = _quotient(
        special.expit(end) - special.expit(start), end - start, middle * (1 - middle), _CLOSE_LOGITS
    )
    return of_mean * of_each / len(start)


def _quotient(
    rise: FloatArray, width: FloatArray, derivative: FloatArray, close: float | FloatArray
) -> FloatArray:
    near = np.abs(width) < close
    return np.where(near, derivative, rise / np.where(near, 1.0, width))
