"""Integrated gradients by secant shares along the paths of a group of molecules."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from molig.attribution.panels import follow
from molig.attribution.protocol import PathShares
from molig.attribution.questions import Found, Question, of_path
from molig.features import PackedGraphs
from molig.secant import Panels, Shares

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Points of a path lie on multiples of 2^-21, so that (molecule, point) is one integer.
_GRID = 1 << 21


def by_secants(question: Question, trail: PathShares) -> list[Found]:
    """Integrated gradients of every molecule and task, molecule by molecule.

    Parameters
    ----------
    question : Question
        What is asked.
    trail : PathShares
        Points on the paths of the molecules, none visited yet.
    """
    n_mols, n_tasks = question.tasks.shape
    found = _followed(question, trail, np.arange(n_mols))
    allowed = [question.tolerance.residual(f.end - f.start) for f in found]
    strayed = np.array([abs(f.residual) for f in found]) > allowed
    again = np.flatnonzero(strayed.reshape(n_mols, n_tasks).any(axis=1))
    exact = question.relaxed.trail() if trail.fast and len(again) else None
    if exact is not None:
        repeated = iter(_followed(replace(question, tasks=question.tasks[again]), exact, again))
        for i in again.tolist():
            found[i * n_tasks : (i + 1) * n_tasks] = itertools.islice(repeated, n_tasks)
    return found


def _followed(question: Question, trail: PathShares, molecules: Index) -> list[Found]:
    walker = _Walker(question, trail, molecules)
    return [of_path(p, p.error) for p in follow(question.tasks.size, walker.share, question.tolerance)]


class _Walker:
    """Shares of all paths of a group from one trail."""

    def __init__(self, question: Question, trail: PathShares, molecules: Index) -> None:
        self._question, self._trail = question, trail
        place, self._task = question.paths
        self._molecule = molecules[place]
        self._keys = np.zeros(0, dtype=np.int64)
        self._points = np.zeros(0, dtype=np.int64)
        self._outputs = np.zeros((0, 0))

    def share(self, paths: Index, panels: FloatArray) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
        """See `molig.attribution.panels.Share`."""
        molecules, tasks = self._molecule[paths], self._task[paths]
        left, right = np.split(self._visit(np.tile(molecules, 2), panels.T.ravel()), 2)
        outputs = self._outputs[left, tasks], self._outputs[right, tasks]
        target = self._question.target
        factor = target.slope(*outputs)
        # Tasks that ask for the same panel of a molecule share its slopes.
        order = np.lexsort((tasks, right, left, molecules))
        found = self._trail.share(Panels(left[order], right[order], tasks[order]))
        shares = _by_request(found, self._question.graphs, molecules[order])
        scaled: list[FloatArray] = [shares[0]] * len(order)
        for request, share in zip(order.tolist(), shares, strict=True):
            scaled[request] = share * factor[request]
        return target.score(outputs[0]), target.score(outputs[1]), scaled

    def _visit(self, molecules: Index, scales: FloatArray) -> Index:
        """Numbers of the points; new ones are evaluated."""
        keys = molecules * (2 * _GRID) + np.rint(scales * _GRID).astype(np.int64)
        new = np.setdiff1d(keys, self._keys)
        if len(new):
            mols, places = np.divmod(new, 2 * _GRID)
            found = self._trail.visit(mols, places / _GRID)
            self._points = np.concatenate([self._points, len(self._outputs) + np.arange(len(new))])
            self._outputs = np.concatenate([self._outputs.reshape(-1, found.shape[1]), found])
            self._keys = np.concatenate([self._keys, new])
            order = np.argsort(self._keys)
            self._keys, self._points = self._keys[order], self._points[order]
        return self._points[np.searchsorted(self._keys, keys)]


def _by_request(found: Shares, graphs: PackedGraphs, molecules: Index) -> list[FloatArray]:
    """Shares of each request, flat: atoms first, then pairs. Requests of a molecule come together."""
    starts = np.flatnonzero(np.diff(molecules, prepend=-1))
    repeats = np.diff(np.append(starts, len(molecules)))
    parts = []
    for rows, counts in zip(found, (graphs.atom_counts, graphs.pair_counts), strict=True):
        parts.append(np.split(rows, np.cumsum(counts[molecules[starts]] * repeats)[:-1]))
    return [
        row
        for n, atoms, pairs in zip(repeats.tolist(), *parts, strict=True)
        for row in np.concatenate([atoms.reshape(n, -1), pairs.reshape(n, -1)], axis=1)
    ]
