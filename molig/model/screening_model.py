"""A trained network together with everything needed to score SMILES with it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from rdkit import Chem
from scipy.special import expit

from molig.errors import UnknownNameError, UsageError
from molig.features import FeatureSchema, Featurizer, PackedGraphs
from molig.model.device import resolve_device
from molig.model.domain import Applicability, ApplicabilityFlag
from molig.model.info import BaselineValue, ModelInfo, Objective
from molig.model.relaxed import FeatureRows, RelaxedMolecules
from molig.molecules import Molecule, Rejection, smiles_records
from molig.molecules.reasons import Reason
from molig.molecules.records import batched
from molig.network import WeaveNet, collate
from molig.secant import SecantNetwork

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Scores of a list of SMILES, with the reasons of those that got none.

    Parameters
    ----------
    scores : array of float, shape (n, n_tasks)
        Probability of being active, or for a regression the value in the unit of the labels; a row of NaN
        for every rejected SMILES.
    tasks : tuple of str
        Names of the columns.
    rejections : list of Rejection
        Why a row has no score; ``row`` counts from 1.
    objective : Objective
        What the scores are.
    applicability : list of ApplicabilityFlag or None, optional
        If it was asked for: for every row whether the model knows molecules like it; None where a SMILES
        was rejected.
    scored_smiles : list of str or None, optional
        What was scored: the SMILES itself, or that of the parent where it is another compound; None where a
        SMILES was rejected.
    """

    scores: FloatArray
    tasks: tuple[str, ...]
    rejections: list[Rejection]
    objective: Objective = Objective.CLASSIFICATION
    applicability: list[ApplicabilityFlag | None] | None = None
    scored_smiles: list[str | None] = field(default_factory=list)

    @property
    def proba(self) -> FloatArray:
        """The scores of a classification, shape (n, n_tasks).

        Raises
        ------
        UsageError
            If the model predicts values: a regression has no probabilities.
        """
        if self.objective is not Objective.CLASSIFICATION:
            raise UsageError("a regression model predicts values, not probabilities; use scores")
        return self.scores

    def to_frame(self) -> pd.DataFrame:
        """Scores as a table with one column per task; then ``applicability`` and ``similarity``, if asked."""
        frame = pd.DataFrame(self.scores, columns=list(self.tasks))
        if self.applicability is None:
            return frame
        flags = self.applicability
        extra = {
            "applicability": [f and f.status.value for f in flags],
            "similarity": np.array([f.similarity if f else np.nan for f in flags], dtype=float),
        }
        # Not by assignment: a task may bear one of these names.
        return pd.concat([frame, pd.DataFrame(extra, index=frame.index)], axis=1)


class ScreeningModel:
    """Ligand-screening model: schema, network, tasks and standardisation.

    Parameters
    ----------
    info : ModelInfo
        What the model says about itself.
    network : WeaveNet
        The network, with its weights.
    device : str or torch.device
        Where to compute; ``"auto"`` takes a CUDA GPU if there is one.
    applicability : Applicability, optional
        The training molecules to compare others with.

    Attributes
    ----------
    rejections_ : list of Rejection
        The reasons for the NaN rows of the last `predict_proba`.

    Examples
    --------
    >>> import molig
    >>> model = molig.load_model("tox21-w2n2-simple")
    >>> model.predict_proba(["CCO", "not a molecule"]).shape
    (2, 12)
    >>> model.rejections_[0].row
    2
    """

    def __init__(
        self,
        info: ModelInfo,
        network: WeaveNet,
        device: str | torch.device = "cpu",
        applicability: Applicability | None = None,
    ) -> None:
        self.info, self.applicability = info, applicability
        self.schema = FeatureSchema.from_dict(info.feature_schema)
        self.featurizer = Featurizer(self.schema)
        self.parser = info.molecules.parser()
        self.device = resolve_device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.rejections_: list[Rejection] = []

    def __repr__(self) -> str:
        """Name, tasks and place."""
        return f"ScreeningModel({self.name!r}, {len(self.tasks)} tasks, {self.device})"

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.info.name

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self.info.tasks

    @property
    def objective(self) -> Objective:
        """What the outputs are: logits of being active, or values in the unit of the labels."""
        return self.info.objective

    @cached_property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return next(self.network.parameters()).dtype

    def to(self, device: str | torch.device) -> Self:
        """Return the same model on another device."""
        return type(self)(self.info, self.network, device, self.applicability)

    @cached_property
    def secants(self) -> SecantNetwork:
        """The network with its secant slopes."""
        return SecantNetwork(self.network, self.schema)

    def relax(self, graphs: PackedGraphs, base: FeatureRows | None = None) -> RelaxedMolecules:
        """Let the features of molecules move between a baseline (default zero) and their own values."""
        return RelaxedMolecules(self.network, self.schema, lambda: self.secants, graphs, base)

    @property
    def floor(self) -> float:
        """Smallest change of a score to resolve: 0.01, or 0.01 standard deviations of the labels."""
        known = (b.tolerance for b in self.info.baseline.values() if isinstance(b, BaselineValue))
        # The tolerance of a neutral baseline is a tenth of the standard deviation.
        return min((0.1 * tenth for tenth in known if tenth > 0), default=0.01)

    def double(self) -> Self:
        """Return the same model in double precision."""
        network = copy.deepcopy(self.network).double()
        return type(self)(self.info, network, self.device, self.applicability)

    def task_index(self, task: str) -> int:
        """Column of a task.

        Raises
        ------
        UnknownNameError
            Naming the nearest task, if there is none of that name.
        """
        if task not in self.tasks:
            raise UnknownNameError("task", task, self.tasks)
        return self.tasks.index(task)

    def featurize(self, mols: Sequence[Chem.Mol]) -> PackedGraphs:
        """Featurize molecules that the model's parser has accepted."""
        return self.featurizer.featurize(mols)

    def logits(
        self, graphs: PackedGraphs, scales: npt.ArrayLike | None = None, *, batch_size: int = 256
    ) -> FloatArray:
        """Outputs of the network at any point of the path from the zero baseline.

        They are logits, or for a regression values in the unit of the labels.

        Parameters
        ----------
        graphs : PackedGraphs
            Molecules featurized with the model's schema.
        scales : array-like, shape (n_mols,), optional
            Factor on each molecule's features; default 1, the molecule itself.
        batch_size : int
            Molecules per forward pass.

        Returns
        -------
        array of float, shape (n_mols, n_tasks)
        """
        steps = np.ones(len(graphs), dtype=np.float32) if scales is None else np.asarray(scales)
        out = np.empty((len(graphs), len(self.tasks)))
        with torch.inference_mode():
            for start in range(0, len(graphs), batch_size):
                part = np.arange(start, min(start + batch_size, len(graphs)))
                batch = collate(graphs.select(part), self.schema, steps[part]).to(self.device, self.dtype)
                out[part] = self.network(batch).double().cpu().numpy()
        return out

    def score_molecules(self, molecules: Sequence[Molecule]) -> FloatArray:
        """Probabilities of parsed molecules, or values for a regression; shape (n, n_tasks)."""
        if not molecules:
            return np.empty((0, len(self.tasks)))
        return self._scores(self.featurize([m.mol for m in molecules]))

    def score_and_flag(self, molecules: Sequence[Molecule]) -> tuple[FloatArray, list[ApplicabilityFlag]]:
        """`score_molecules`, and whether the model knows molecules like these.

        Raises
        ------
        UsageError
            If the model has no applicability domain.
        """
        domain = self.domain()
        if not molecules:
            return np.empty((0, len(self.tasks))), []
        mols = [m.mol for m in molecules]
        graphs = self.featurize(mols)
        return self._scores(graphs), domain.flag(mols, graphs)

    def domain(self) -> Applicability:
        """The applicability domain.

        Raises
        ------
        UsageError
            If the model has none.
        """
        if self.applicability is None:
            raise UsageError(
                f"model {self.name!r} has no applicability domain: it does not know what its training "
                "molecules were like. Train it again with this molig, or ask without applicability"
            )
        return self.applicability

    def predict(
        self, smiles: str | Iterable[str], *, batch_size: int = 256, applicability: bool = False
    ) -> Predictions:
        """Score SMILES, keeping the reasons for those that cannot be scored.

        Parameters
        ----------
        smiles : str or iterable of str
            The molecules.
        batch_size : int
            Molecules worked on at a time.
        applicability : bool
            Also say of each molecule whether it is like those that the model was trained on.

        Returns
        -------
        Predictions

        Raises
        ------
        UsageError
            If ``applicability`` is asked of a model that has no such data.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1 (got {batch_size})")
        if applicability:
            self.domain()
        blocks: list[FloatArray] = [np.empty((0, len(self.tasks)))]
        rejections: list[Rejection] = []
        flags: list[ApplicabilityFlag | None] = []
        scored: list[str | None] = []
        rows = [smiles] if isinstance(smiles, str) else smiles
        for records in batched(smiles_records(rows), batch_size):
            molecules, rejected = self.parser.parse_many(records)
            places = [m.row - records[0].row for m in molecules]
            block = np.full((len(records), len(self.tasks)), np.nan)
            flag_of: dict[int, ApplicabilityFlag] = {}
            if applicability:
                scores, known = self.score_and_flag(molecules)
                flag_of = dict(zip(places, known, strict=True))
            else:
                scores = self.score_molecules(molecules)
            unusable = not_finite(molecules, scores, self.tasks)
            for row in (refused.row for refused in unusable):
                scores[[m.row == row for m in molecules]] = np.nan
                flag_of.pop(row - records[0].row, None)
            block[places] = scores
            blocks.append(block)
            rejections.extend(sorted([*rejected, *unusable], key=lambda refused: refused.row))
            flags.extend(flag_of.get(i) for i in range(len(records)))
            smiles_of = {m.row: m.scored_smiles for m in molecules}
            scored.extend(smiles_of.get(record.row) for record in records)
        known_flags = flags if applicability else None
        return Predictions(
            np.concatenate(blocks), self.tasks, rejections, self.objective, known_flags, scored
        )

    def predict_proba(self, smiles: str | Iterable[str], *, batch_size: int = 256) -> FloatArray:
        """Probability of being active, for every molecule and task.

        Parameters
        ----------
        smiles : str or iterable of str
            The molecules.
        batch_size : int
            Molecules worked on at a time.

        Returns
        -------
        array of float, shape (n, n_tasks)
            NaN rows where a SMILES was rejected; the reasons are in ``rejections_``.

        Raises
        ------
        UsageError
            If the model is a regression: its values come from `predict`.
        """
        if self.objective is not Objective.CLASSIFICATION:
            raise UsageError(
                f"model {self.name!r} is a regression: it predicts values, not probabilities; "
                "use predict(smiles).scores"
            )
        predictions = self.predict(smiles, batch_size=batch_size)
        self.rejections_ = predictions.rejections
        return predictions.proba

    def _scores(self, graphs: PackedGraphs) -> FloatArray:
        outputs = self.logits(graphs)
        return outputs if self.objective is Objective.REGRESSION else np.asarray(expit(outputs))


def not_finite(
    molecules: Sequence[Molecule], scores: npt.NDArray[np.floating[Any]], tasks: Sequence[str]
) -> list[Rejection]:
    """Reject molecules with a score, among those of these tasks, that is NaN or infinite: it has no rank."""
    rejections = []
    bad = ~np.isfinite(scores)
    for row in np.flatnonzero(bad.any(axis=1)).tolist():
        task, molecule = int(bad[row].argmax()), molecules[row]
        reason = Reason.NOT_FINITE.text(f"{scores[row, task]} for {tasks[task]}")
        rejections.append(Rejection(molecule.row, molecule.id, molecule.smiles, reason))
    return rejections
