"""Copies of a model with layers drawn anew, and how alike their attributions are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch import nn

from molig.attribution.projection import share_pairs
from molig.features import PackedGraphs
from molig.model import ScreeningModel
from molig.network import WeaveNet

FloatArray = npt.NDArray[np.float64]

# Points of Gauss-Legendre quadrature on the path: ranks need no more.
_POINTS = 3
# Scores that differ by less than this share of the largest are ties: rounding in single precision.
_TIE = 1e-5


@dataclass(frozen=True)
class Layer:
    """Weights that are drawn anew together.

    Parameters
    ----------
    name : str
        Such as ``"hidden 1"`` or ``"module 2: atom_to_atom"``.
    stage : str
        The step of the cascade it belongs to: a layer of the head, the last atom layer or a whole module.
    parts : tuple of str
        Names of its submodules in the network: the linear map, and the normalisation after it.
    """

    name: str
    stage: str
    parts: tuple[str, ...]


def layers_of(network: WeaveNet) -> list[Layer]:
    """List the layers of a network, from the output down to the first module.

    Parameters
    ----------
    network : WeaveNet
        A network.

    Returns
    -------
    list of Layer
        Together they hold all weights.
    """
    found = [Layer("last atom layer", "last atom layer", ("last_atom_layer", "atom_norm"))]
    for k, module in reversed(list(enumerate(network.modules_))):
        stage = f"module {k + 1}"
        names = [name for name, part in module.named_children() if isinstance(part, nn.Linear)]
        found += [Layer(f"{stage}: {name}", stage, (f"modules_.{k}.{name}",)) for name in reversed(names)]
    head: list[list[str]] = []
    for name, part in network.head.named_children():
        if isinstance(part, nn.Linear):
            head.append([f"head.{name}"])
        elif isinstance(part, nn.BatchNorm1d):
            head[-1].append(f"head.{name}")
    names = [f"hidden {i + 1}" for i in range(len(head) - 1)] + ["output"]
    top = [Layer(name, name, tuple(parts)) for name, parts in zip(names, head, strict=True)]
    return [*reversed(top), *found]


def redrawn(model: ScreeningModel, layers: Sequence[Layer], seed: int) -> ScreeningModel:
    """Copy a model and draw layers of the copy anew, as training draws them before its first step.

    Batch normalisation after such a layer starts anew too: mean 0, variance 1, no scale and shift.

    Parameters
    ----------
    model : ScreeningModel
        The model; it is not changed.
    layers : sequence of Layer
        Which layers.
    seed : int
        Seed of the weights.

    Returns
    -------
    ScreeningModel
    """
    schema, network = model.schema, copy.deepcopy(model.network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = WeaveNet(network.config, schema.n_atom_columns, schema.n_pair_columns, len(model.tasks))
        fresh.spread_states()
    for name in (part for layer in layers for part in layer.parts):
        network.get_submodule(name).load_state_dict(fresh.get_submodule(name).state_dict())
    return ScreeningModel(model.info, network, model.device, model.applicability)


def atom_scores(model: ScreeningModel, graphs: PackedGraphs, tasks: Sequence[int]) -> list[FloatArray]:
    """Integrated gradients of logits (values) from the zero baseline, by a fixed quadrature.

    Parameters
    ----------
    model : ScreeningModel
        The model.
    graphs : PackedGraphs
        Molecules.
    tasks : sequence of int
        Outputs.

    Returns
    -------
    list of array of float, shape (n_tasks, n_atoms)
        One per molecule: own features and half of each pair of every atom.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    n_mols, n_tasks = len(graphs), len(tasks)
    molecules = np.repeat(np.arange(n_mols), n_tasks * _POINTS)
    outputs = np.tile(np.repeat(np.asarray(tasks, dtype=np.int64), _POINTS), n_mols)
    scales = np.tile((nodes + 1) / 2, n_mols * n_tasks)
    found = model.relax(graphs).densities(molecules, scales, outputs)
    scores = []
    for m, graph in enumerate(graphs):
        rows = np.zeros((n_tasks, len(graph.atom_codes)))
        for t in range(n_tasks):
            for p, weight in enumerate(weights / 2):
                place = (m * n_tasks + t) * _POINTS + p
                own, pairs = found.atoms[place].sum(axis=1), found.pairs[place].sum(axis=1)
                rows[t] += weight * share_pairs(own, pairs, graph.pair_atoms)
        scores.append(rows)
    return scores


def rank_correlations(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Spearman's rank correlation of scores, and that of their magnitudes.

    Parameters
    ----------
    first, second : array of float, shape (n,)
        Scores of the same atoms. Differences that rounding explains count as ties.

    Returns
    -------
    signed, magnitudes : float
        0 where only one of the two is constant, NaN where the first is.

    Examples
    --------
    >>> rank_correlations(np.array([1.0, -2.0, 3.0]), np.array([-1.0, 2.0, -3.0]))
    (-1.0, 1.0)
    """
    return _spearman(first, second), _spearman(np.abs(first), np.abs(second))


def correlation(first: FloatArray, second: FloatArray) -> float:
    """Pearson's correlation of scores, up to rounding.

    Parameters
    ----------
    first, second : array of float, shape (n,)
        Scores of the same atoms.

    Returns
    -------
    float
        0 where only one of the two is constant, NaN where the first is.
    """
    left, right = first - first.mean(), second - second.mean()
    left_norm, right_norm = float(np.linalg.norm(left)), float(np.linalg.norm(right))
    if not left_norm > _TIE * np.abs(first).max(initial=0.0):
        return float("nan")
    if not right_norm > _TIE * np.abs(second).max(initial=0.0):
        return 0.0
    return float(left @ right) / (left_norm * right_norm)


def _spearman(first: FloatArray, second: FloatArray) -> float:
    left, right = (_centred_ranks(scores) for scores in (first, second))
    if not left.any():
        return float("nan")
    if not right.any():
        return 0.0
    return round(float(left @ right / np.sqrt((left @ left) * (right @ right))), 12)


def _centred_ranks(scores: FloatArray) -> FloatArray:
    largest = np.abs(scores).max(initial=0.0)
    if not (np.isfinite(largest) and largest > 0):
        return np.zeros(len(scores))
    ranks = rankdata(np.round(scores / (largest * _TIE)))
    return np.asarray(ranks - ranks.mean(), dtype=np.float64)
