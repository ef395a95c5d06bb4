"""What a model must offer to be explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.errors import UsageError
from molig.features import FeatureSchema, PackedGraphs
from molig.foreign.shares import Example
from molig.model.relaxed import Densities, ExactShares, FeatureRows
from molig.molecules import MoleculeParser
from molig.secant import Panels, Shares

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


class PathShares(Protocol):
    """Shares of the features in the change of outputs between points of a path, without remainder.

    `molig.secant.trail.Trail` is one.
    """

    fast: bool  # whether shares are rounded more coarsely than the outputs

    def visit(self, molecules: Index, scales: FloatArray) -> FloatArray:
        """Evaluate the outputs, shape (n_points, n_tasks), at points of paths; points are numbered on."""

    def share(self, panels: Panels) -> Shares:
        """Share out the changes of outputs on panels between visited points."""


class RelaxedInputs(Protocol):
    """Molecules whose features x may take any value x' + a (x - x') between a baseline x' and their own."""

    graphs: PackedGraphs

    def outputs(
        self,
        molecules: Index,
        atom_factors: npt.ArrayLike | None = None,
        pair_factors: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Outputs, shape (n_points, n_tasks), with a of its own for every atom and pair; default 1."""

    def densities(self, molecules: Index, scales: FloatArray, tasks: Index) -> Densities:
        """Outputs and (x - x') dF/dx, feature by feature, at points a of the paths of molecules."""

    def trail(self, *, fast: bool = False) -> PathShares | None:
        """Shares between points of the paths; fast ones need to add up to a few tenths of a percent only.

        None if the model has no such thing: then its gradient is integrated along the path.
        """


@runtime_checkable
class SharedInputs(RelaxedInputs, Protocol):
    """Molecules whose scores are shared out exactly, so that nothing is integrated along a path."""

    def shares(self, molecules: Index, tasks: Index) -> ExactShares:
        """Shares of a molecule and a task each."""


@runtime_checkable
class ExplainableModel(Protocol):
    """A model that can score relaxed inputs and name them.

    `molig.model.ScreeningModel` is one. Outputs are logits, or for ``objective`` "regression" values.
    """

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the outputs."""

    @property
    def objective(self) -> str:
        """``"classification"`` or ``"regression"``."""

    @property
    def schema(self) -> FeatureSchema:
        """Names of the features."""

    @property
    def parser(self) -> MoleculeParser:
        """Standardisation of the molecules."""

    def featurize(self, mols: Sequence[Chem.Mol]) -> PackedGraphs:
        """Turn molecules into features."""

    def relax(self, graphs: PackedGraphs, base: FeatureRows | None = None) -> RelaxedInputs:
        """Let features move between a baseline (default zero) and their own values."""


@runtime_checkable
class PreciseModel(ExplainableModel, Protocol):
    """What a model may offer besides: without it the floor is 0.01 and the precision its own."""

    @property
    def floor(self) -> float:
        """Smallest change of an output that a relative tolerance is applied to, in units of the output."""

    def double(self) -> PreciseModel:
        """The same model in double precision, for tight tolerances."""


@runtime_checkable
class HashedModel(Protocol):
    """A model that can say which it is."""

    def digest(self) -> str:
        """Hash of all that scores and explanations depend on."""


@runtime_checkable
class ReferencedModel(ExplainableModel, Protocol):
    """A model that brings what molecules are compared with, and shares out its own scores."""

    def against(self, baseline: object) -> ReferencedModel:
        """The same model with another background, by its name; None keeps its own."""

    @property
    def background_name(self) -> str:
        """What its molecules are compared with."""

    @property
    def exact_method(self) -> str:
        """What its shares are called."""

    def example(self, column: int) -> tuple[str, Example | None]:
        """What a column is called, and a place in a reference molecule where it is set."""


@runtime_checkable
class PartedModel(ExplainableModel, Protocol):
    """A model that may predict probabilities in some tasks and values in others."""

    def parts(self) -> Sequence[ExplainableModel]:
        """Models of the tasks that share an objective, which together have all tasks in order."""


def check_explainable(model: object) -> None:
    """Refuse a model that lacks a part of the protocol, naming it."""
    needed = ("name", "tasks", "objective", "schema", "parser", "featurize", "relax")
    missing = [name for name in needed if not hasattr(model, name)]
    if missing:
        raise UsageError(
            f"{type(model).__name__} cannot be explained: it lacks {', '.join(missing)} of "
            "molig.attribution.ExplainableModel; for a plain torch function use "
            "molig.attribution.integrated_gradients"
        )
