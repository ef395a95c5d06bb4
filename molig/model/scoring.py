"""What a model that scores molecules offers, whoever made it, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem

from molig.deferred import deferred
from molig.errors import UnknownNameError, UsageError, called
from molig.features import FeatureSchema, PackedGraphs
from molig.model.domain import Applicability, ApplicabilityFlag, Traits
from molig.model.info import Objective
from molig.model.relaxed import FeatureRows
from molig.molecules import Molecule, MoleculeParser, Rejection, smiles_records
from molig.molecules.reasons import Reason
from molig.molecules.records import batched

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = deferred("pandas")

FloatArray = npt.NDArray[np.float64]


class ScoringModel(Protocol):
    """A model that scores molecules: a `ScreeningModel`, or one of another package (`molig.foreign`).

    Screening, tables of explanations and audits ask for this. Abilities that a model lacks are refused by an
    error that says so.
    """

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the columns of scores."""

    @property
    def objective(self) -> Objective:
        """What the scores are; of columns of both kinds ("regression") only `parts` have one each."""

    @property
    def schema(self) -> FeatureSchema:
        """Names of the features."""

    @property
    def parser(self) -> MoleculeParser:
        """How a row becomes a molecule."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""

    @property
    def calibrated(self) -> bool:
        """Whether scores are probabilities that were fitted to shares of actives."""

    @property
    def member_names(self) -> tuple[str, ...]:
        """Names of the members of a committee; empty for any other model."""

    @property
    def floor(self) -> float:
        """Smallest change of a score to resolve."""

    def meaning_of(self, tasks: Sequence[str]) -> str:
        """What the scores of some tasks are, in one sentence that every output of them carries."""

    def digest(self) -> str:
        """Hash of all that scores depend on: equal for equal models only."""

    def parts(self) -> tuple[ScoringModel, ...]:
        """Models of the tasks that share an objective, which together have all tasks in order."""

    def for_task(self, task: str) -> ScoringModel:
        """The one of `parts` that has a task."""

    def to(self, device: str | torch.device) -> ScoringModel:
        """The same model on another device."""

    def double(self) -> ScoringModel:
        """The same model in double precision."""

    def task_index(self, task: str) -> int:
        """Column of a task; raises `UnknownNameError`."""

    def featurize(self, mols: Sequence[Chem.Mol]) -> PackedGraphs:
        """Features of molecules that the parser has accepted."""

    def relax(self, graphs: PackedGraphs, base: FeatureRows | None = None) -> Any:
        """Let features move between a baseline and their own values; see `molig.attribution.RelaxedInputs`.

        Raises `UsageError` where the model cannot be explained.
        """

    def logits(self, graphs: PackedGraphs, scales: npt.ArrayLike | None = None) -> FloatArray:
        """Logits or values, shape (n_mols, n_tasks), with a factor on each molecule's features; default 1."""

    def score_molecules(self, molecules: Sequence[Molecule]) -> FloatArray:
        """Probabilities or values of parsed molecules, shape (n, n_tasks)."""

    def score_with(
        self, molecules: Sequence[Molecule], *, applicability: bool = False, uncertainty: bool = False
    ) -> Scored:
        """`score_molecules` with what else is asked for; raises `UsageError` where the model lacks it."""

    def domain(self) -> Applicability:
        """The applicability domain; raises `UsageError` if there is none."""

    def predict(self, smiles: str | Iterable[str], *, batch_size: int = ...) -> Predictions:
        """Score SMILES, keeping the reasons for those that cannot be scored."""


class FeatureSource(Protocol):
    """Where a model finds the features of molecules, if it does not compute them: a feature store."""

    def graphs(self, molecules: Sequence[Molecule], schema: FeatureSchema) -> PackedGraphs:
        """Features of molecules by a schema, at least one."""

    def traits(self, molecules: Sequence[Molecule], radius: int, n_bits: int) -> Traits:
        """What the applicability of molecules is judged by."""


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
    uncertainty : array of float, shape (n, n_tasks), optional
        If it was asked for: weighted standard deviation of the calibrated scores of a committee's members; a
        row of NaN for every rejected SMILES.
    calibrated : bool
        Whether scores are probabilities that were fitted to shares of actives.
    """

    scores: FloatArray
    tasks: tuple[str, ...]
    rejections: list[Rejection]
    objective: Objective = Objective.CLASSIFICATION
    applicability: list[ApplicabilityFlag | None] | None = None
    scored_smiles: list[str | None] = field(default_factory=list)
    uncertainty: FloatArray | None = None
    calibrated: bool = False

    @property
    def chance_wrong(self) -> FloatArray | None:
        """Chance that it is wrong to call a molecule active if its score is above 0.5, inactive otherwise.

        Shape (n, n_tasks), with a row of NaN for every rejected SMILES; None where scores are no calibrated
        probabilities.
        """
        return np.minimum(self.scores, 1 - self.scores) if self.calibrated else None

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
        """Scores as a table with one column per task; then what else was asked for.

        That is ``applicability`` and ``similarity``, and with the uncertainty ``chance_wrong`` (of calibrated
        scores) and ``uncertainty``, of several tasks ``chance_wrong TASK`` and ``uncertainty TASK`` for each.
        """
        frame = pd.DataFrame(self.scores, columns=list(self.tasks))
        extra: dict[str, Any] = {}
        if (flags := self.applicability) is not None:
            extra["applicability"] = [f and f.status.value for f in flags]
            extra["similarity"] = np.array([f.similarity if f else np.nan for f in flags], dtype=float)
        chance = None if self.uncertainty is None else self.chance_wrong
        for name, figures in (("chance_wrong", chance), ("uncertainty", self.uncertainty)):
            if figures is not None:
                several = len(self.tasks) > 1
                names = [f"{name} {task}" if several else name for task in self.tasks]
                extra |= dict(zip(names, figures.T, strict=True))
        # Not by assignment: a task may bear one of these names.
        return pd.concat([frame, pd.DataFrame(extra, index=frame.index)], axis=1)


class Scored(NamedTuple):
    """Scores of molecules, with what was asked for besides.

    Parameters
    ----------
    scores : array of float, shape (n, n_tasks)
        Probabilities or values.
    flags : list of ApplicabilityFlag
        One per molecule; empty if not asked for.
    spread : array of float, shape (n, n_tasks), optional
        Weighted standard deviation of the members' scores; None if not asked for.
    """

    scores: FloatArray
    flags: list[ApplicabilityFlag]
    spread: FloatArray | None


def not_finite(
    molecules: Sequence[Molecule | Rejection], scores: npt.NDArray[np.floating[Any]], tasks: Sequence[str]
) -> list[Rejection]:
    """Reject molecules, or rows that stand for them, with a score of NaN or infinity, which has no rank."""
    rejections = []
    bad = ~np.isfinite(scores)
    for row in np.flatnonzero(bad.any(axis=1)).tolist():
        task, molecule = int(bad[row].argmax()), molecules[row]
        reason = Reason.NOT_FINITE.text(f"{scores[row, task]} for {tasks[task]}")
        rejections.append(Rejection(molecule.row, molecule.id, molecule.smiles, reason))
    return rejections


def predicted(
    model: ScoringModel,
    smiles: str | Iterable[str],
    batch_size: int,
    score: Callable[[Sequence[Molecule]], FloatArray],
) -> Predictions:
    """Score SMILES in batches by a function of molecules, keeping the reasons where there is no score."""
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1 (got {batch_size})")
    blocks = [np.empty((0, len(model.tasks)))]
    rejections: list[Rejection] = []
    scored: list[str | None] = []
    rows = [smiles] if isinstance(smiles, str) else smiles
    for records in batched(smiles_records(rows), batch_size):
        molecules, rejected = model.parser.parse_many(records)
        scores = score(molecules)
        unusable = not_finite(molecules, scores, model.tasks)
        for row in (refused.row for refused in unusable):
            scores[[m.row == row for m in molecules]] = np.nan
        block = np.full((len(records), len(model.tasks)), np.nan)
        block[[m.row - records[0].row for m in molecules]] = scores
        blocks.append(block)
        rejections.extend(sorted([*rejected, *unusable], key=lambda refused: refused.row))
        smiles_of = {m.row: m.scored_smiles for m in molecules}
        scored.extend(smiles_of.get(record.row) for record in records)
    return Predictions(
        np.concatenate(blocks),
        model.tasks,
        rejections,
        model.objective,
        scored_smiles=scored,
        calibrated=model.calibrated,
    )


class PlainModel:
    """What models share that record nothing of their training: predictions, no domain and no members."""

    def task_index(self: ScoringModel, task: str) -> int:
        """Column of a task.

        Raises
        ------
        UnknownNameError
            Naming the nearest task, if there is none of that name.
        """
        if task not in self.tasks:
            raise UnknownNameError("task", task, self.tasks)
        return self.tasks.index(task)

    def score_with(
        self: ScoringModel,
        molecules: Sequence[Molecule],
        *,
        applicability: bool = False,
        uncertainty: bool = False,
    ) -> Scored:
        """`score_molecules`, for `molig.screening.screen`.

        Raises
        ------
        UsageError
            If anything else is asked for.
        """
        if applicability:
            self.domain()
        if uncertainty:
            raise UsageError(
                f"{self.name} has no members whose scores could differ; ask without {called('uncertainty')}"
            )
        return Scored(self.score_molecules(molecules), [], None)

    def domain(self: ScoringModel) -> NoReturn:
        """Refuse: nothing says what the training molecules were like."""
        raise UsageError(
            f"{self.name} has no applicability domain: nothing tells what its training molecules were like; "
            f"ask without {called('applicability')}"
        )

    def predict(self: ScoringModel, smiles: str | Iterable[str], *, batch_size: int = 1024) -> Predictions:
        """Score SMILES, keeping the reasons for those that cannot be scored.

        Parameters
        ----------
        smiles : str or iterable of str
            The molecules.
        batch_size : int
            Molecules read at a time.

        Returns
        -------
        Predictions
            Probabilities, or values in the unit of the labels.
        """
        return predicted(self, smiles, batch_size, self.score_molecules)
