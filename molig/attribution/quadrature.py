"""Adaptive integration along a path where the integral of the sum is known.

On every stretch [l, r] of the path the attributions must add up to F(r) - F(l), which is known from
function values alone. So each panel of the composite rule carries its own completeness residual, and
panels are halved where it is large: at the kinks of relu and the rise of the sigmoid.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_SIMPSON = np.array([1.0, 4.0, 1.0]) / 6.0

# Residuals of opposite sign cancel in the sum while single features are wrong, so their absolute sum is
# bounded too. Measured on Tox21 tasks at tol 1 %: with 1 a path takes 110 points and features err by 0.4 % of
# the largest (median; at most 4 %); with 2, 42 points and 1.2 % (4.5 %); with 4, 27 points and 2 % (4.7 %).
_CANCELLATION = 2.0


@dataclass
class AdaptivePath:
    """Integral over a in [0, 1] of the densities of one molecule, by composite Simpson panels.

    Use: evaluate F and the densities at `pending` points, hand them to `add`, until `pending` is empty.

    Parameters
    ----------
    tol : float
        Allowed residual as a share of |F(1) - F(0)|.
    floor : float
        Smallest |F(1) - F(0)| that ``tol`` is applied to.
    max_evaluations : int
        Points after which refinement stops.
    n_panels : int
        Panels of the first grid.

    Examples
    --------
    >>> path = AdaptivePath(tol=1e-6)
    >>> while len(a := path.pending):
    ...     path.add(a**3, 3 * a[:, None] ** 2)
    >>> float(path.attributions[0]), path.converged
    (1.0, True)
    """

    tol: float = 0.01
    floor: float = 0.01
    max_evaluations: int = 2000
    n_panels: int = 8

    _points: list[float] = field(default_factory=list, init=False)
    _values: list[float] = field(default_factory=list, init=False)
    _densities: list[FloatArray] = field(default_factory=list, init=False)
    _slopes: list[float] = field(default_factory=list, init=False)
    _panels: list[tuple[int, int, int]] = field(default_factory=list, init=False)
    _pending: list[float] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        n = 2 * self.n_panels
        self._pending = [i / n for i in range(n + 1)]
        self._panels = [(i, i + 1, i + 2) for i in range(0, n, 2)]

    @property
    def pending(self) -> FloatArray:
        """Points of the path, shape (n,), where F and the densities are needed next; empty when done."""
        return np.array(self._pending)

    def add(self, values: npt.ArrayLike, densities: npt.ArrayLike) -> None:
        """Take F, shape (n,), and the densities, shape (n, n_features), at the pending points."""
        self._points += self._pending
        self._values += np.asarray(values, dtype=np.float64).tolist()
        rows = np.asarray(densities, dtype=np.float64)
        self._densities += list(rows)
        self._slopes += rows.sum(axis=1).tolist()
        self._pending = []
        if len(self._points) < self.max_evaluations:
            self._refine()

    @property
    def n_evaluations(self) -> int:
        """Number of points where F and its gradient were evaluated."""
        return len(self._points)

    @property
    def change(self) -> float:
        """F(1) - F(0)."""
        return self.end - self.start

    @property
    def start(self) -> float:
        """F(0), the score of the baseline."""
        return self._values[self._points.index(0.0)]

    @property
    def end(self) -> float:
        """F(1), the score of the molecule."""
        return self._values[self._points.index(1.0)]

    @property
    def allowed(self) -> float:
        """Largest residual that counts as converged."""
        return self.tol * max(abs(self.change), self.floor)

    @property
    def residual(self) -> float:
        """F(1) - F(0) minus the sum of the attributions."""
        return float(self._panel_residuals().sum())

    @property
    def converged(self) -> bool:
        """Whether the residual is within the tolerance."""
        return bool(abs(self.residual) <= self.allowed)

    @property
    def attributions(self) -> FloatArray:
        """Attributions, shape (n_features,)."""
        weights = np.zeros(len(self._points))
        for panel in self._panels:
            weights[list(panel)] += self._width(panel) * _SIMPSON
        result: FloatArray = weights @ np.array(self._densities)
        return result

    def _width(self, panel: tuple[int, int, int]) -> float:
        return self._points[panel[2]] - self._points[panel[0]]

    def _panel_residuals(self) -> FloatArray:
        slopes = np.array(self._slopes)
        values, nodes = np.array(self._values), np.array(self._panels)
        widths = np.array([self._width(panel) for panel in self._panels])
        residuals: FloatArray = (
            values[nodes[:, 2]] - values[nodes[:, 0]] - widths * (slopes[nodes] @ _SIMPSON)
        )
        return residuals

    def _refine(self) -> None:
        """Halve the worst panels, as few as leave the others with half of what is allowed."""
        signed = self._panel_residuals()
        residuals = np.abs(signed)
        bound = _CANCELLATION * self.allowed
        if not np.isfinite(signed).all():
            return  # nothing to refine: the path is reported as not converged
        if abs(signed.sum()) <= self.allowed and residuals.sum() <= bound:
            return
        worst_first = np.argsort(-residuals, kind="stable")
        remaining = residuals.sum() - np.cumsum(residuals[worst_first])
        n_split = int(np.argmax(remaining <= 0.5 * bound)) + 1
        for index in sorted(worst_first[:n_split].tolist(), reverse=True):
            self._halve(index)

    def _halve(self, index: int) -> None:
        left, middle, right = self._panels.pop(index)
        a = self._points
        first = len(self._points) + len(self._pending)
        self._pending += [(a[left] + a[middle]) / 2, (a[middle] + a[right]) / 2]
        self._panels += [(left, first, middle), (middle, first + 1, right)]
