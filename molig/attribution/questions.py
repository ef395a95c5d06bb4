"""What is asked of a group of molecules, and what was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from molig.attribution.engine import Tolerance
from molig.attribution.panels import PanelPath
from molig.attribution.protocol import ExplainableModel, RelaxedInputs
from molig.attribution.quadrature import AdaptivePath
from molig.attribution.targets import Target
from molig.features import PackedGraphs

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """Attributions of one molecule and task, flat: atoms first, then pairs."""

    start: float
    end: float
    attributions: FloatArray
    residual: float
    error: float
    converged: bool
    n_evaluations: int


@dataclass(frozen=True)
class Question:
    """What is asked of a group of molecules.

    Parameters
    ----------
    model : ExplainableModel
        The model.
    graphs : PackedGraphs
        The molecules.
    relaxed : RelaxedInputs
        The molecules, between baseline and themselves.
    tasks : array of int, shape (n_mols, n_tasks)
        Outputs to attribute, for each molecule.
    target : Target
        Score of the outputs.
    tolerance : Tolerance
        When to stop.
    """

    model: ExplainableModel
    graphs: PackedGraphs
    relaxed: RelaxedInputs
    tasks: Index
    target: Target
    tolerance: Tolerance

    @property
    def paths(self) -> tuple[Index, Index]:
        """Molecule and task of every path, molecule by molecule."""
        n_mols, n_tasks = self.tasks.shape
        return np.repeat(np.arange(n_mols), n_tasks), self.tasks.ravel()


def of_path(path: PanelPath | AdaptivePath, error: float) -> Found:
    """What a finished path has found."""
    return Found(
        path.start, path.end, path.attributions, path.residual, error, path.converged, path.n_evaluations
    )
