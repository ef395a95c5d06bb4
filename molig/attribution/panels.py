"""Adaptive integration of a network's gradient by secant panels, with extrapolation and a bound of its error.

On each panel of the path the change of the score is shared out by secant slopes, so the attributions add
up on every panel. Their error falls with the square of the panel's width: two halves are compared with
the whole, and Richardson extrapolation takes the leading error away. What it took, panel by panel and
feature by feature, times a factor that was measured against fine references, bounds the error that is left.
Panels are halved where the worst feature needs it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from molig.attribution.engine import AdaptivePath, Tolerance, refine
from molig.attribution.protocol import ExplainableModel, PathShares, RelaxedInputs
from molig.attribution.targets import Target
from molig.features import PackedGraphs
from molig.secant import Panels, Shares

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Answer:
    """Attributions of one molecule and task, flat: atoms first, then pairs, then environments."""

    start: float
    end: float
    attributions: FloatArray
    residual: float
    error: float
    converged: bool
    n_evaluations: int
    members: tuple[float, ...] = ()  # of a committee: each member's share of end - start
    absent: dict[int, float] = field(default_factory=dict)  # shares of what the molecule lacks, by column
    sampling: float = 0.0  # what besides comes of the choice of references: largest standard error

    @property
    def largest(self) -> float:
        """The largest attribution."""
        return float(np.abs(self.attributions).max(initial=0.0))


@dataclass(frozen=True)
class Question:
    """What is asked of a group of molecules."""

    model: ExplainableModel
    graphs: PackedGraphs
    relaxed: RelaxedInputs  # the molecules, between baseline and themselves
    tasks: Index  # (n_mols, n_tasks): outputs to attribute, for each molecule
    target: Target
    tolerance: Tolerance

    @property
    def paths(self) -> tuple[Index, Index]:
        """Molecule and task of every path, molecule by molecule."""
        n_mols, n_tasks = self.tasks.shape
        return np.repeat(np.arange(n_mols), n_tasks), self.tasks.ravel()


def of_path(path: PanelPath | AdaptivePath, error: float) -> Answer:
    """The answer that a finished path holds."""
    return Answer(
        path.start, path.end, path.attributions, path.residual, error, path.converged, path.n_evaluations
    )


# Points of a path lie on multiples of 2^-21, so that (molecule, point) is one integer.
_GRID = 1 << 21


def by_secants(question: Question, trail: PathShares) -> list[Answer]:
    """Integrated gradients of every molecule and task by secant shares, molecule by molecule."""
    n_mols, n_tasks = question.tasks.shape
    answers = _followed(question, trail, np.arange(n_mols))
    # What bfloat16 left outside the tolerance is done again in full precision.
    strayed = np.array([not a.converged for a in answers])
    again = np.flatnonzero(strayed.reshape(n_mols, n_tasks).any(axis=1))
    exact = question.relaxed.trail() if trail.fast and len(again) else None
    if exact is not None:
        repeated = iter(_followed(replace(question, tasks=question.tasks[again]), exact, again))
        for i in again.tolist():
            answers[i * n_tasks : (i + 1) * n_tasks] = itertools.islice(repeated, n_tasks)
    return answers


def _followed(question: Question, trail: PathShares, molecules: Index) -> list[Answer]:
    paths = [PanelPath(question.tolerance) for _ in range(question.tasks.size)]
    refine(paths, _Walker(question, trail, molecules).share)
    return [of_path(path, path.error) for path in paths]


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
        """Scores at the left and right ends of panels (n, 2) of paths (n,), and the shares of each."""
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


_FIRST = np.array([[0.0, 0.25], [0.25, 0.5], [0.5, 0.75], [0.75, 1.0]])
# Halves take away 3/4 of an error that goes with the square of the width.
_RICHARDSON = 3.0
# What stretches of width w lack after extrapolation is at most 1.5 + 12 w times what extrapolation took:
# on wide ones whole and halves may agree by chance. Fitted to 30 molecules of each of seven networks, then
# measured on others (docs/secants.md).
_NARROW, _WIDE = 1.5, 12.0
# What rounding leaves of the change of a stretch is the sum of all features' rounding errors.
_ROUNDING = 2.0
# Deepest halving: then a panel is 2^-20 of the path.
_NARROWEST = 2.0**-20
# A halved stretch keeps a quarter of its bound, or less, since narrower ones are trusted more.
_HALVED = 0.2
# Stretches of less than this share of the worst one's bound wait for the next round.
_WAITS = 0.1


class PanelPath:
    """Attributions of one molecule and one output.

    Use: share out the change of the score on the `pending` panels, hand the shares to `add`, until
    `pending` is empty.

    >>> path = PanelPath(Tolerance())
    >>> while len(panels := path.pending):
    ...     left, right = panels.T
    ...     path.add(left**2, right**2, (right**2 - left**2)[:, None])
    >>> float(path.attributions[0]), path.converged
    (1.0, True)
    """

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self._scores: dict[float, float] = {}
        # Stretches that wait for the shares of their halves, and shares of the wholes once they are known.
        self._waiting = _FIRST
        self._wholes: FloatArray | None = None
        self._pending = np.concatenate([_halved(_FIRST), _FIRST[:, None]], axis=1).reshape(-1, 2)
        # Finished stretches: ends, shares of the halves, what extrapolation adds to them.
        self._ends = np.zeros((0, 2))
        self._halves = np.zeros((0, 2, 0))
        self._steps = np.zeros((0, 0))
        self._total = self._error = np.zeros(0)
        self._rounding = 0.0

    @property
    def pending(self) -> FloatArray:
        """Panels (left, right) whose shares are needed next, shape (n, 2); empty when done."""
        return self._pending

    def add(self, left: FloatArray, right: FloatArray, shares: FloatArray) -> None:
        """Take the scores at the ends of the pending panels, shape (n,), and the shares, (n, n_features)."""
        panels = self._pending
        self._scores.update(zip(panels[:, 0].tolist(), left.tolist(), strict=True))
        self._scores.update(zip(panels[:, 1].tolist(), right.tolist(), strict=True))
        found = shares.reshape(len(self._waiting), -1, shares.shape[1])
        halves = found[:, :2]
        wholes = found[:, 2] if self._wholes is None else self._wholes
        n = shares.shape[1]
        with np.errstate(invalid="ignore"):  # scores that are not finite end the path below
            steps = (halves[:, 0] + halves[:, 1] - wholes) / _RICHARDSON
            self._ends = np.concatenate([self._ends, self._waiting])
            self._halves = np.concatenate([self._halves.reshape(-1, 2, n), halves])
            self._steps = np.concatenate([self._steps.reshape(-1, n), steps])
            self._total = self._halves.sum(axis=(0, 1)) + self._steps.sum(axis=0)
            self._rounding = self._left_by_rounding()
            bounds = self._bounds()
        # Errors of panels may cancel, but nothing says that they do.
        self._error = bounds.sum(axis=0) + self._rounding
        self._refine(bounds)

    @property
    def n_evaluations(self) -> int:
        """Number of points of the path that were evaluated."""
        return len(self._scores)

    @property
    def start(self) -> float:
        """F(0), the score of the baseline."""
        return self._scores[0.0]

    @property
    def end(self) -> float:
        """F(1), the score of the molecule."""
        return self._scores[1.0]

    @property
    def attributions(self) -> FloatArray:
        """Attributions, shape (n_features,)."""
        return self._total

    @property
    def residual(self) -> float:
        """F(1) - F(0) minus the sum of the attributions."""
        return float(self.end - self.start - self._total.sum())

    @property
    def error(self) -> float:
        """Bound of the largest error of a single attribution."""
        return float(self._error.max(initial=0.0))

    @property
    def converged(self) -> bool:
        """Whether residual and error are within the tolerance."""
        largest = float(np.abs(self._total).max(initial=0.0))
        return self._tolerance.met(self.end - self.start, self.residual, largest, self.error)

    def _allowed_error(self) -> float:
        return self._tolerance.error(float(np.abs(self._total).max(initial=0.0)))

    def _bounds(self) -> FloatArray:
        """What each stretch may still lack, feature by feature."""
        widths = self._ends[:, 1] - self._ends[:, 0]
        return np.abs(self._steps) * (_NARROW + _WIDE * widths)[:, None]

    def _left_by_rounding(self) -> float:
        """Bound of the errors that rounding makes: all that is missing from the sums of stretches."""
        starts, ends = ([self._scores[a] for a in side.tolist()] for side in self._ends.T)
        missing = np.subtract(ends, starts) - self._halves.sum(axis=(1, 2))
        return float(_ROUNDING * np.sqrt(np.square(missing).sum()))

    def _refine(self, bounds: FloatArray) -> None:
        self._waiting = self._pending = np.zeros((0, 2))
        allowed = self._allowed_error()
        done = self.error <= allowed or self.n_evaluations >= self._tolerance.max_evaluations
        # Against rounding no halving helps.
        if done or self._rounding >= allowed or not np.isfinite(self._total).all():
            return
        split = _worst(bounds, allowed - self._rounding)
        split &= self._ends[:, 1] - self._ends[:, 0] > _NARROWEST
        self._waiting = _halved(self._ends[split]).reshape(-1, 2)
        self._pending = _halved(self._waiting).reshape(-1, 2)
        self._wholes = self._halves[split].reshape(-1, self._halves.shape[2])
        self._ends, self._halves, self._steps = (
            kept[~split] for kept in (self._ends, self._halves, self._steps)
        )


def _halved(ends: FloatArray) -> FloatArray:
    """Both halves of stretches (n, 2): shape (n, 2, 2)."""
    halves = np.empty((len(ends), 2, 2))
    halves[:, 0, 0], halves[:, 1, 1] = ends[:, 0], ends[:, 1]
    halves[:, 0, 1] = halves[:, 1, 0] = ends.mean(axis=1)
    return halves


def _worst(bounds: FloatArray, allowed: float) -> npt.NDArray[np.bool_]:
    """Mark the stretches, as few as seem needed, whose halving brings every feature within the allowed error.

    ``bounds`` has shape (n_stretches, n_features). The worst one for the worst feature goes first.
    """
    left = bounds.sum(axis=0)
    marked = np.zeros(len(bounds), dtype=bool)
    while left[worst := int(left.argmax())] > allowed and not marked.all():
        of_worst = bounds[:, worst]
        stretch = int(np.where(marked, -1.0, of_worst).argmax())
        if of_worst[stretch] < _WAITS * of_worst.max():
            break
        marked[stretch] = True
        left -= (1 - _HALVED) * bounds[stretch]
    return marked
