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

# Midpoints on the path. Scores turn fast near the baseline: with a few points of a Gaussian rule their ranks
# are wrong; with these the cosine to converged scores of the bundled models is 0.99. Trained model and copies
# are treated alike, so that a layer without a part in the scores changes nothing at any number of points.
_POINTS = 12
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
    """Integrated gradients of logits (values) from the zero baseline, by a dozen points of the path.

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
    n_mols, n_tasks = len(graphs), len(tasks)
    molecules = np.repeat(np.arange(n_mols), n_tasks * _POINTS)
    outputs = np.tile(np.repeat(np.asarray(tasks, dtype=np.int64), _POINTS), n_mols)
    scales = np.tile((np.arange(_POINTS) + 0.5) / _POINTS, n_mols * n_tasks)
    found = model.relax(graphs).densities(molecules, scales, outputs)
    scores = []
    for m, graph in enumerate(graphs):
        rows = np.zeros((n_tasks, len(graph.atom_codes)))
        for t in range(n_tasks):
            at = slice((m * n_tasks + t) * _POINTS, (m * n_tasks + t + 1) * _POINTS)
            own, pairs = (
                np.mean([rates.sum(axis=1) for rates in level[at]], axis=0)
                for level in (found.atoms, found.pairs)
            )
            rows[t] = share_pairs(own, pairs, graph.pair_atoms)
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


def likeness(first: FloatArray, second: FloatArray) -> tuple[float, float, float, float]:
    """Compare scores of the same atoms in four ways.

    Parameters
    ----------
    first, second : array of float, shape (n,)
        Scores.

    Returns
    -------
    signed, magnitudes : float
        As of `rank_correlations`.
    linear : float
        Pearson's correlation; 0 where only the second are constant, NaN where the first are.
    cosine : float
        Of the angle between them: 1 where they are the same but for a common factor. 0 if the second are
        nought, NaN if the first are.
    """
    centred = _cosine(first - first.mean(), second - second.mean(), (_size(first), _size(second)))
    return *rank_correlations(first, second), centred, _cosine(first, second, (_size(first), _size(second)))


def _cosine(first: FloatArray, second: FloatArray, sizes: tuple[float, float]) -> float:
    norms = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if not norms[0] > _TIE * sizes[0]:
        return float("nan")
    return float(first @ second) / (norms[0] * norms[1]) if norms[1] > _TIE * sizes[1] else 0.0


def _size(scores: FloatArray) -> float:
    return float(np.abs(scores).max(initial=0.0))


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
