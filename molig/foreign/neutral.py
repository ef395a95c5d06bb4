"""Baselines at which a network that was trained without one says next to nothing, whatever the size.

Networks of other packages were never trained on graphs without features. With all features zero, ADMET-AI's
probabilities are above 0.02 in two thirds of its tasks, and they follow the number of atoms. So one row of
features for all atoms and one for all bonds are fitted: molecules that have them everywhere, and differ in
their graphs alone, are to score the same small probability, or the mean of the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.errors import UsageError
from molig.features import FeatureSchema, PackedGraphs
from molig.foreign.chemprop_batch import MessageBatch, Passing, message_batch
from molig.foreign.chemprop_network import ChempropNetwork
from molig.foreign.relaxed import outputs_of
from molig.model.relaxed import FeatureRows

NEUTRAL_PROBABILITY = 0.01
"""What a neutral baseline scores, as the baselines of molig's own networks do."""

N_LIBRARY = 500
"""Molecules whose mean features a baseline stays near, and some of whose graphs it is fitted on."""

_GRAPHS = 48
_STEPS = 40
# Draws rows towards the mean features of a library: further away, networks do what they were never trained
# for, and explanations of planted rules name the wrong atoms (tests/benchmarks/foreign_baselines.py).
_SHRINKAGE = 1.0


def fit_neutral(
    networks: Sequence[ChempropNetwork],
    schema: FeatureSchema,
    graphs: PackedGraphs,
    column: int,
    usual: FeatureRows,
) -> FeatureRows:
    """Fit feature rows at which an ensemble's output is neutral.

    Parameters
    ----------
    networks : sequence of ChempropNetwork
        The ensemble.
    schema : FeatureSchema
        Its features.
    graphs : PackedGraphs
        Molecules of many sizes, of which only atoms and bonds are looked at, not their features.
    column : int
        Output of the ensemble.
    usual : FeatureRows
        Mean features of molecules, which the baseline is to stay near.

    Returns
    -------
    FeatureRows
        The rows of atoms and bonds, found by least squares over the molecules.

    Raises
    ------
    UsageError
        If no rows are found at which outputs are finite.
    """
    like = networks[0].message_passing.start.weight
    ways = dict.fromkeys(network.message_passing.passing for network in networks)
    bare = without_features(graphs)
    batches = {way: message_batch(bare, schema, way).to(like.device, like.dtype) for way in ways}
    start = [torch.from_numpy(row).to(like) for row in usual]
    rows = [row.clone().requires_grad_() for row in start]
    wanted, unit = wanted_output(networks, column)
    optimizer = torch.optim.LBFGS(rows, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        errors = (_at(networks, batches, rows)[:, column] - wanted) / unit
        moved = [(row - usual).square().sum() for row, usual in zip(rows, start, strict=True)]
        found = errors.square().mean() + _SHRINKAGE * (moved[0] + moved[1])
        found.backward()  # type: ignore[no-untyped-call]
        return found

    with torch.enable_grad():
        left: Tensor = optimizer.step(loss)  # type: ignore[no-untyped-call]
    if not bool(left.detach().isfinite()):
        raise UsageError("no neutral baseline was found: outputs are not finite; choose another baseline")
    atom, bond = (np.asarray(row.detach().double().cpu().numpy(), dtype=np.float64) for row in rows)
    return atom, bond


def wanted_output(networks: Sequence[ChempropNetwork], column: int) -> tuple[float, float]:
    """Output of a neutral baseline, and the unit of differences from it."""
    if networks[0].predictor.head.classifies:
        return float(np.log(NEUTRAL_PROBABILITY / (1 - NEUTRAL_PROBABILITY))), 1.0
    scalings = [s for network in networks if (s := network.predictor.unscale) is not None]
    if not scalings:
        return 0.0, 1.0
    return (
        float(np.mean([s.mean[0, column].item() for s in scalings])),
        float(np.mean([s.scale[0, column].item() for s in scalings])),
    )


def without_features(graphs: PackedGraphs) -> PackedGraphs:
    """The same atoms and bonds with all features zero."""
    none = {name: np.full_like(getattr(graphs, name), -1) for name in ("atom_codes", "pair_codes")}
    zero = {name: np.zeros_like(getattr(graphs, name)) for name in ("atom_values", "pair_values")}
    return replace(graphs, **none, **zero)


def spread_of_sizes(graphs: PackedGraphs, n: int = _GRAPHS) -> npt.NDArray[np.int64]:
    """Places of some molecules, evenly along the order of their sizes."""
    order = np.argsort(graphs.atom_counts, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, n).round().astype(np.int64))]


def _at(
    networks: Sequence[ChempropNetwork], batches: dict[Passing, MessageBatch], rows: Sequence[Tensor]
) -> Tensor:
    """Outputs where every atom and bond has these rows."""
    moved = {
        way: batch.with_inputs(
            rows[0].expand(len(batch.atom_inputs), -1), rows[1].expand(len(batch.bond_inputs), -1)
        )
        for way, batch in batches.items()
    }
    return outputs_of(networks, moved)
