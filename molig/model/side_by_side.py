"""Several models of molig on the same molecules: one parse, one featurization for each schema, all scores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem

from molig.committee import Combination
from molig.errors import UnknownNameError, UsageError
from molig.features import FeatureSchema, PackedGraphs
from molig.model.domain import Applicability
from molig.model.info import Objective
from molig.model.relaxed import FeatureRows
from molig.model.scoring import FeatureSource, Predictions, Scored, predicted
from molig.model.screening_model import ScreeningModel
from molig.model.stages import FirstStage, Prepared
from molig.molecules import Molecule, MoleculeParser

FloatArray = npt.NDArray[np.float64]


class SideBySide:
    """Several models as one, whose tasks are called ``MODEL:TASK``; a `ScoringModel` that only scores.

    Parameters
    ----------
    models : mapping of str to ScreeningModel
        The models by the names that stand before their tasks, in the order of the columns.

    Raises
    ------
    UsageError
        If there is none, or they read molecules differently.

    Examples
    --------
    >>> from molig.model import load_model
    >>> names = ["tox21-w2n2-simple", "tox21-w1n2-simple"]
    >>> both = SideBySide({name: load_model(name) for name in names})
    >>> both.tasks[0], len(both.tasks)
    ('tox21-w2n2-simple:NR-AR', 24)
    """

    member_names: tuple[str, ...] = ()

    def __init__(self, models: Mapping[str, ScreeningModel]) -> None:
        if not models:
            raise UsageError("name at least one model")
        self.models = dict(models)
        (first, one), *others = self.models.items()
        for name, model in others:
            if model.parser != one.parser:
                raise UsageError(
                    f"{first} and {name} read molecules differently ({one.info.molecules.in_words}; "
                    f"{model.info.molecules.in_words}): screen with one at a time"
                )
        self.tasks = tuple(f"{name}:{task}" for name, model in self.models.items() for task in model.tasks)
        if len(set(self.tasks)) < len(self.tasks):
            raise UsageError(f"two tasks have one name: {', '.join(self.tasks)}; rename a model's directory")
        self.parser = one.parser

    def __repr__(self) -> str:
        """Names of the models."""
        return f"SideBySide({self.name!r}, {len(self.tasks)} tasks)"

    @property
    def name(self) -> str:
        """Names of the models."""
        return " and ".join(self.models)

    @property
    def first(self) -> ScreeningModel:
        """The model whose columns come first."""
        return next(iter(self.models.values()))

    @property
    def tasks_of_first(self) -> tuple[str, ...]:
        """Its tasks, by their names here."""
        return self.tasks[: len(self.first.tasks)]

    @property
    def objective(self) -> Objective:
        """A classification if all models are."""
        kinds = {model.objective for model in self.models.values()}
        return kinds.pop() if len(kinds) == 1 else Objective.REGRESSION

    @property
    def calibrated(self) -> bool:
        """Whether the scores of all models are calibrated probabilities."""
        return all(model.calibrated for model in self.models.values())

    @property
    def device(self) -> torch.device:
        """Where the first model computes."""
        return self.first.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the first model's weights."""
        return self.first.dtype

    @property
    def floor(self) -> float:
        """Smallest change of a score to resolve."""
        return min(model.floor for model in self.models.values())

    @property
    def schema(self) -> FeatureSchema:
        """Refused: each model has its own."""
        return self._refuse("have no features in common")

    def meaning_of(self, tasks: Sequence[str]) -> str:
        """What the scores of some tasks are, model by model."""
        found = [
            (name, model.meaning_of(own))
            for name, model in self.models.items()
            if (own := [task for task in model.tasks if f"{name}:{task}" in tasks])
        ]
        return " ".join(f"{name}: {meaning}" for name, meaning in found)

    def digest(self) -> str:
        """Hash of the names and digests of the models."""
        listed = [f"{name}\n{model.digest()}\n" for name, model in self.models.items()]
        return hashlib.sha256("".join(listed).encode()).hexdigest()

    def parts(self) -> tuple[SideBySide, ...]:
        """The models, each as one whose tasks are called as here."""
        return tuple(SideBySide({name: model}) for name, model in self.models.items())

    def for_task(self, task: str) -> SideBySide:
        """The model that has a task."""
        return self.for_tasks([task])

    def for_tasks(self, tasks: Sequence[str]) -> SideBySide:
        """The models that have at least one of some tasks.

        Raises
        ------
        UnknownNameError
            If one of the tasks is of no model.
        """
        for task in tasks:
            self.task_index(task)
        asked = {n: m for n, m in self.models.items() if any(f"{n}:{task}" in tasks for task in m.tasks)}
        return SideBySide(asked)

    def to(self, device: str | torch.device) -> SideBySide:
        """The same models on another device."""
        return SideBySide({name: model.to(device) for name, model in self.models.items()})

    def double(self) -> SideBySide:
        """The same models in double precision."""
        return SideBySide({name: model.double() for name, model in self.models.items()})

    def in_bfloat16(self) -> SideBySide:
        """The same models, those of molig with their largest product in bfloat16."""
        return SideBySide(
            {n: m.in_bfloat16() if isinstance(m, ScreeningModel) else m for n, m in self.models.items()}
        )

    def fed_by(self, source: FeatureSource, parser: MoleculeParser) -> SideBySide:
        """The same models, which find features in a source, of molecules that come from its parser."""
        return SideBySide({name: model.fed_by(source, parser) for name, model in self.models.items()})

    def task_index(self, task: str) -> int:
        """Column of a task; raises `UnknownNameError`."""
        if task not in self.tasks:
            raise UnknownNameError("task", task, self.tasks)
        return self.tasks.index(task)

    def score_molecules(self, molecules: Sequence[Molecule]) -> FloatArray:
        """Scores of parsed molecules by all models, shape (n, n_tasks)."""
        if not molecules:
            return np.empty((0, len(self.tasks)))
        return self.second_stage(self.first_stage()(molecules))().scores

    def first_stage(self, *, applicability: bool = False) -> FirstStage:
        """The first stages of all models, with one featurization for each schema."""
        if applicability:
            self.domain()
        return FirstStage(tuple(part for m in self.models.values() for part in m.first_stage().parts))

    def second_stage(
        self, prepared: Sequence[Prepared], *, uncertainty: bool = False
    ) -> Callable[[], Scored]:
        """Start to score by all models what the first stage has prepared for each."""
        if uncertainty:
            self.committee_of_members()
        pairs = zip(self.models.values(), prepared, strict=True)
        found = [model.second_stage([given]) for model, given in pairs]
        return lambda: Scored(np.concatenate([scored().scores for scored in found], axis=1), [], None)

    def score_with(
        self, molecules: Sequence[Molecule], *, applicability: bool = False, uncertainty: bool = False
    ) -> Scored:
        """`score_molecules`; raises `UsageError` for what is said of a single model's scores."""
        if applicability:
            self.domain()
        if uncertainty:
            self.committee_of_members()
        return Scored(self.score_molecules(molecules), [], None)

    def predict(self, smiles: str | Iterable[str], *, batch_size: int = 256) -> Predictions:
        """Score SMILES, keeping the reasons for those that cannot be scored."""
        return predicted(self, smiles, batch_size, self.score_molecules)

    def domain(self) -> Applicability:
        """Refused: each model has its own."""
        return self._refuse("have an applicability domain each")

    def committee_of_members(self) -> Combination:
        """Refused: each model has its own."""
        return self._refuse("have an uncertainty each")

    def featurize(self, mols: Sequence[Chem.Mol]) -> PackedGraphs:
        """Refused, as `schema` is."""
        return self._refuse("have no features in common")

    def logits(self, graphs: PackedGraphs, scales: npt.ArrayLike | None = None) -> FloatArray:
        """Refused, as `schema` is."""
        return self._refuse("have no features in common")

    def relax(self, graphs: PackedGraphs, base: FeatureRows | None = None) -> NoReturn:
        """Refused: explanations are of one model."""
        self._refuse("are explained one by one")

    def _refuse(self, why: str) -> NoReturn:
        raise UsageError(f"{self.name}, side by side, {why}: name one model with -m")
