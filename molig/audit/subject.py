"""What is audited: a model on molecules, with everything that several checks need computed once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from torch import nn

from molig.attribution import Explainer, Explanation
from molig.attribution.baselines import Baselines
from molig.audit.findings import NotApplicable
from molig.errors import InputError, UsageError
from molig.features import BlockKind, PackedGraphs
from molig.model import ModelInfo, Objective, ScoringModel, ScreeningModel
from molig.model.relaxed import Member
from molig.molecules import Molecule, Rejection

# Choices of an audit.


@dataclass(frozen=True)
class ActivityPair:
    """Two similar molecules and the difference of their activities.

    Parameters
    ----------
    first, second : str
        SMILES.
    difference : float
        Activity of the first minus that of the second; its sign is what counts.
    task : str
        Task of the model that it is about.
    """

    first: str
    second: str
    difference: float
    task: str


@dataclass(frozen=True)
class AuditSettings:
    """Choices of an audit; every sample is drawn with the seed and stated in the report.

    Parameters
    ----------
    max_molecules : int
        Molecules audited; of more, a sample.
    max_explained : int, optional
        Molecules explained, for all tasks; of more, a sample, half of it active ones. Default 500, or 100
        where features are numbers, so that hardly any rows are shared and each costs ten times as much.
    seed : int
        Seed of samples and of randomised weights.
    tasks : sequence of str
        Tasks audited; default all.
    partners : sequence of ScoringModel
        Models for the same tasks, such as other seeds, to compare explanations with.
    pairs : sequence of ActivityPair
        Pairs for the check of activity cliffs; default those found in the labels.

    Raises
    ------
    UsageError
        For an impossible number.

    Examples
    --------
    >>> AuditSettings(max_explained=100).seed
    0
    """

    max_molecules: int = 5_000
    max_explained: int | None = None
    seed: int = 0
    tasks: Sequence[str] = ()
    partners: Sequence[ScoringModel] = field(default_factory=tuple)
    pairs: Sequence[ActivityPair] = ()

    def __post_init__(self) -> None:
        for name in ("max_molecules", "max_explained"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1 (got {value})")


FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Progress = Callable[[int], object]

# Molecules that are explained together.
_GROUP = 64
_SURE = 37.0  # logit
# Molecules explained by default; with numeric features each costs ten times as much.
_EXPLAINED, _EXPLAINED_NUMERIC = 500, 100


@dataclass(frozen=True)
class AuditSubject:
    """A model and the molecules it is audited with.

    Parameters
    ----------
    model : ScoringModel
        The model, of molig or another package; its tasks share an objective (see its ``parts``).
    molecules : sequence of Molecule
        Accepted by the model's parser.
    labels : array of float, shape (n_mols, n_tasks), optional
        1 active, 0 inactive, or values of a regression; NaN not measured. In the order of the model's tasks.
    settings : AuditSettings
        Seeds, samples, partners.
    rejections : sequence of Rejection
        Rows of the file that are not among the molecules.
    progress : callable, optional
        Called with the number of molecules explained since the last call.

    Raises
    ------
    InputError
        If there is no molecule.
    UsageError
        For an unknown task, labels of another shape, or a model with tasks of both objectives.
    """

    model: ScoringModel
    molecules: Sequence[Molecule]
    labels: FloatArray | None = None
    settings: AuditSettings = field(default_factory=AuditSettings)
    rejections: Sequence[Rejection] = ()
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if not self.molecules:
            raise InputError("there is no molecule to audit the model with")
        if len(self.model.parts()) > 1:
            raise UsageError(
                f"{self.model.name} has tasks of both kinds, probabilities and values, which are audited "
                "apart: give one of its parts()"
            )
        for task in self.settings.tasks:
            self.model.task_index(task)
        expected = (len(self.molecules), len(self.model.tasks))
        if self.labels is not None and self.labels.shape != expected:
            raise UsageError(f"labels must have shape {expected} (got {self.labels.shape})")

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks audited, in the model's order."""
        chosen = self.settings.tasks
        return tuple(task for task in self.model.tasks if not chosen or task in chosen)

    @property
    def is_regression(self) -> bool:
        """Whether the model predicts values, not classes."""
        return self.model.objective is Objective.REGRESSION

    @property
    def is_committee(self) -> bool:
        """Whether other members score beside the model's Weave network."""
        return self.info is not None and self.info.committee is not None

    @property
    def info(self) -> ModelInfo | None:
        """What the model's directory says of it; None for a model of another package."""
        return self.model.info if isinstance(self.model, ScreeningModel) else None

    @property
    def members(self) -> tuple[Member, ...]:
        """These other members."""
        return self.model.members if isinstance(self.model, ScreeningModel) else ()

    @property
    def has_forest(self) -> bool:
        """Whether one of them is a forest, whose score has steps and no gradient."""
        return any(member.kind == "forest" for member in self.members)

    @property
    def is_labelled(self) -> bool:
        """Whether any molecule has a label; label columns may be empty."""
        return self.labels is not None and bool(np.isfinite(self.labels).any())

    def rng(self, check: str) -> np.random.Generator:
        """Random numbers of a check, the same whichever other checks are made.

        Parameters
        ----------
        check : str
            Name of the check.
        """
        return np.random.default_rng([self.settings.seed, zlib.crc32(check.encode())])

    @cached_property
    def graphs(self) -> PackedGraphs:
        """The molecules, featurized."""
        return self.model.featurize([molecule.mol for molecule in self.molecules])

    @cached_property
    def logits(self) -> FloatArray:
        """Logits, or values of a regression; shape (n_mols, n_tasks), all tasks of the model."""
        logits = self.model.logits(self.graphs)
        # All trees of a forest may agree; beyond this a probability is 0 or 1 in double precision.
        return logits if self.is_regression or networks_of(self.model) else np.clip(logits, -_SURE, _SURE)

    @cached_property
    def scores(self) -> FloatArray:
        """Probabilities, or values of a regression; shape (n_mols, n_tasks), all tasks of the model."""
        return self.logits if self.is_regression else probabilities(self.logits)

    @cached_property
    def baseline_logits(self) -> FloatArray:
        """Logits (values) of the zero baselines: each molecule's graph without features."""
        return self.model.logits(self.graphs, np.zeros(len(self.molecules), dtype=np.float32))

    @cached_property
    def fitted_baseline_logits(self) -> FloatArray | None:
        """Logits (values) of the baselines that explanations compare with; None where those are zero."""
        baselines = Baselines(None, self.model)
        if not baselines.by_task:
            return None
        found = np.full(self.baseline_logits.shape, np.nan)
        atoms, pairs = np.zeros(self.graphs.n_atoms), np.zeros(self.graphs.n_pairs)
        for task in self.tasks:
            (rows,) = baselines.of(task)
            relaxed = self.model.relax(self.graphs, (rows.atom_row, rows.pair_row))
            outputs = relaxed.outputs(np.arange(len(self.graphs)), atoms, pairs)
            found[:, self.column(task)] = outputs[:, self.column(task)]
        return found

    @property
    def max_explained(self) -> int:
        """Most molecules that are explained."""
        if self.settings.max_explained is not None:
            return self.settings.max_explained
        schema = self.model.schema
        blocks = [*schema.blocks("atom"), *schema.blocks("pair")]
        numeric = any(block.kind is BlockKind.NUMERIC for block in blocks)
        return _EXPLAINED_NUMERIC if numeric else _EXPLAINED

    @cached_property
    def sample(self) -> Index:
        """Molecules that are explained, ascending.

        All, or as many as the settings allow: half of them, if there are so many, active in some task
        (or, without labels, above a score of 0.5), the others at random.
        """
        n, most = len(self.molecules), self.max_explained
        if n <= most:
            return np.arange(n)
        rng = self.rng("sample")
        active = np.flatnonzero(self._active)
        first = rng.permutation(active)[: most // 2]
        rest = rng.permutation(np.setdiff1d(np.arange(n), first))[: most - len(first)]
        return np.sort(np.concatenate([first, rest]))

    @cached_property
    def explanations(self) -> list[dict[str, Explanation]]:
        """Explanations of the molecules of `sample`, by task; default options of `Explainer`."""
        return self.explain(self.sample)

    def explain(
        self, chosen: npt.ArrayLike, *, model: ScoringModel | None = None, **options: Any
    ) -> list[dict[str, Explanation]]:
        """Explain molecules for all audited tasks.

        Parameters
        ----------
        chosen : array-like of int
            Places of the molecules.
        model : ScoringModel, optional
            Another model of the same tasks and molecules; default the audited one.
        **options
            Of `Explainer`, such as ``target``.

        Returns
        -------
        list of dict
            Task to explanation, one per molecule.
        """
        places = np.asarray(chosen, dtype=np.int64)
        molecules = [self.molecules[i] for i in places]
        return explain_molecules(
            model or self.model, molecules, self.tasks, progress=self.progress, **options
        )

    def require_labels(self) -> FloatArray:
        """Return the labels of all tasks of the model.

        Raises
        ------
        NotApplicable
            If there are none.
        """
        if self.labels is None or not self.is_labelled:
            raise NotApplicable("the molecules have no labels: columns named like the tasks of the model")
        return self.labels

    def column(self, task: str) -> int:
        """Column of a task in `logits`, `scores` and `labels`.

        Parameters
        ----------
        task : str
            Task of the model.
        """
        return self.model.task_index(task)

    def unit(self, task: str) -> float:
        """Unit of differences of scores: 1 for probabilities, the spread of the values of a regression.

        Parameters
        ----------
        task : str
            Task of the model.
        """
        return float(self.logits[:, self.column(task)].std()) if self.is_regression else 1.0

    @property
    def _active(self) -> npt.NDArray[np.bool_]:
        columns = [self.column(task) for task in self.tasks]
        if self.is_regression:
            return np.zeros(len(self.molecules), dtype=bool)
        if self.labels is not None and self.is_labelled:
            return np.asarray((self.labels[:, columns] == 1).any(axis=1))
        return np.asarray((self.scores[:, columns] > 0.5).any(axis=1))


def networks_of(model: ScoringModel) -> dict[str, nn.Module]:
    """The torch networks of a model by name: "" for its only one, the kind of a member, or a number."""
    if isinstance(model, ScreeningModel):
        networks: dict[str, nn.Module] = {"": model.network}
        networks.update({m.kind: m for m in model.members if isinstance(m, nn.Module)})
        return networks
    found = getattr(model, "networks", None)
    if found is None:
        only = getattr(model, "network", None)
        return {"": only} if isinstance(only, nn.Module) else {}
    return {f"network {i}" if len(found) > 1 else "": network for i, network in enumerate(found, start=1)}


def explain_molecules(
    model: ScoringModel,
    molecules: Sequence[Molecule],
    tasks: Sequence[str],
    *,
    progress: Progress | None = None,
    **options: Any,
) -> list[dict[str, Explanation]]:
    """Explain molecules for several tasks, sharing forward passes where all tasks are asked for."""
    by_task: list[dict[str, Explanation]] = [{} for _ in molecules]
    every = set(tasks) == set(model.tasks)
    asked = [None] if every else list(tasks)
    explainers = [Explainer(model, task=task, **options) for task in asked]
    for start in range(0, len(molecules), _GROUP):
        group = molecules[start : start + _GROUP]
        for explainer in explainers:
            for place, explained in enumerate(_explain(explainer, group, every), start):
                by_task[place] |= {one.task: one for one in explained}
        if progress:
            progress(len(group))
    return by_task


def _explain(explainer: Explainer, group: Sequence[Molecule], every: bool) -> list[list[Explanation]]:
    if every:
        return explainer.explain_molecules_all_tasks(group)
    return [[one] for one in explainer.explain_molecules(group)]


def probabilities(logits: FloatArray) -> FloatArray:
    """Of being active; the same numbers as the model's own scores, in double precision."""
    return np.asarray(expit(logits), dtype=np.float64)
