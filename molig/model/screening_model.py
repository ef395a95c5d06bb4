"""A trained network together with everything needed to score SMILES with it."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem

from molig.committee import Combination, EnvironmentNet
from molig.deferred import deferred
from molig.errors import UnknownNameError, UsageError
from molig.features import FeatureSchema, Featurizer, PackedGraphs
from molig.model.device import resolve_device
from molig.model.domain import Applicability, ApplicabilityFlag, Traits
from molig.model.info import BaselineValue, ModelInfo, Objective
from molig.model.meaning import meaning_of_scores
from molig.model.relaxed import FeatureRows, Member, RelaxedCommittee, RelaxedMolecules, scores_of
from molig.model.scoring import FeatureSource, Predictions, Scored, not_finite
from molig.model.stages import Arriving, FirstStage, Preparation, Prepared, member_outputs
from molig.molecules import Molecule, MoleculeParser, Rejection, smiles_records
from molig.molecules.records import batched
from molig.network import WeaveNet, collate
from molig.secant import SecantNetwork

special = deferred("scipy.special")

FloatArray = npt.NDArray[np.float64]


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
    members : sequence, optional
        The other members of a committee, `EnvironmentNet`, `Forest` or `KernelMachine`, in the order of
        ``info.committee``.

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
        members: Sequence[Member] = (),
    ) -> None:
        self.info, self.applicability = info, applicability
        self.schema = FeatureSchema.from_dict(info.feature_schema)
        self.featurizer = Featurizer(self.schema)
        self.parser = info.molecules.parser()
        self.device = resolve_device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.members = tuple(m.to(self.device) if isinstance(m, EnvironmentNet) else m for m in members)
        self.combination = _combination(info)
        n_others = len(info.committee.members) - 1 if info.committee else 0
        if n_others != len(self.members):
            raise UsageError(
                f"the committee of {info.name!r} has {n_others} other members (got {len(self.members)})"
            )
        self.rejections_: list[Rejection] = []
        self._source: FeatureSource | None = None

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
        return type(self)(self.info, self.network, device, self.applicability, self.members)

    def with_info(self, info: ModelInfo) -> Self:
        """Return the same weights with another description."""
        return type(self)(info, self.network, self.device, self.applicability, self.members)

    def with_network(self, network: WeaveNet) -> Self:
        """Return the same model with another Weave network."""
        return type(self)(self.info, network, self.device, self.applicability, self.members)

    def fed_by(self, source: FeatureSource, parser: MoleculeParser) -> Self:
        """Return the same model, which finds features in a source, of molecules that come from its parser."""
        fed = copy.copy(self)
        fed._source, fed.parser = source, parser
        return fed

    def weave_alone(self) -> Self:
        """Return the Weave network of a committee as a model of its own; any other model as it is."""
        if self.info.committee is None:
            return self
        schema = replace(self.schema, environment_blocks=())
        changes = {"committee": None, "feature_schema": schema.to_dict(), "schema_hash": schema.hash}
        alone = copy.copy(self)  # the network as it is, even in training mode, which an audit must see
        alone.__dict__.pop("secants", None)
        alone.info = self.info.model_copy(update=changes)
        alone.schema, alone.featurizer = schema, Featurizer(schema)
        alone.members, alone.combination = (), None
        return alone

    @property
    def calibrated(self) -> bool:
        """Whether scores are probabilities that were fitted to shares of actives."""
        return self.info.calibrated

    def meaning_of(self, tasks: Sequence[str]) -> str:
        """What the scores are, in one sentence that every output of them carries; the same for all tasks."""
        del tasks
        return meaning_of_scores(self.info)

    def digest(self) -> str:
        """Hash of the description and the weights."""
        found = hashlib.sha256(self.info.model_dump_json().encode())
        for name, tensor in self.network.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def parts(self) -> tuple[Self, ...]:
        """The model itself: its tasks share an objective."""
        return (self,)

    def for_task(self, task: str) -> Self:
        """The model itself.

        Raises
        ------
        UnknownNameError
            If it has no such task.
        """
        self.task_index(task)
        return self

    @property
    def member_names(self) -> tuple[str, ...]:
        """Names of the members of a committee, the Weave network first; empty for a network alone."""
        return tuple(m.name for m in self.info.committee.members) if self.info.committee else ()

    @cached_property
    def secants(self) -> SecantNetwork:
        """The network with its secant slopes."""
        return SecantNetwork(self.network, self.schema)

    def relax(
        self, graphs: PackedGraphs, base: FeatureRows | None = None
    ) -> RelaxedMolecules | RelaxedCommittee:
        """Let the features of molecules move between a baseline (default zero) and their own values."""
        weave = RelaxedMolecules(self.network, self.schema, lambda: self.secants, graphs, base)
        if self.combination is None:
            return weave
        return RelaxedCommittee(weave, self.members, self.member_names, self.combination)

    @property
    def floor(self) -> float:
        """Smallest change of a score to resolve: 0.01, or 0.01 standard deviations of the labels."""
        known = (b.tolerance for b in self.info.baseline.values() if isinstance(b, BaselineValue))
        # The tolerance of a neutral baseline is a tenth of the standard deviation.
        return min((0.1 * tenth for tenth in known if tenth > 0), default=0.01)

    def double(self) -> Self:
        """Return the same model in double precision."""
        network = copy.deepcopy(self.network).double()
        members = [copy.deepcopy(m).double() if isinstance(m, EnvironmentNet) else m for m in self.members]
        return type(self)(self.info, network, self.device, self.applicability, members)

    def in_bfloat16(self) -> Self:
        """The same model with its largest product in bfloat16, for screens: about .005 off in a score."""
        network = copy.deepcopy(self.network)
        network.head.narrow()
        return type(self)(self.info, network, self.device, self.applicability, self.members)

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
        if self.combination is None:
            return self._network_outputs(graphs, scales, batch_size)
        scores = self.member_scores(graphs, scales, batch_size=batch_size)
        return self.combination.outputs(self.combination.mean(scores))

    def member_scores(
        self, graphs: PackedGraphs, scales: npt.ArrayLike | None = None, *, batch_size: int = 256
    ) -> FloatArray:
        """Probabilities (or values) of each member of a committee, before the calibration of their mean.

        Parameters
        ----------
        graphs, scales, batch_size
            As for `logits`.

        Returns
        -------
        array of float, shape (n_members, n_mols, n_tasks)
            In the order of `member_names`.

        Raises
        ------
        UsageError
            If the model is a network alone.
        """
        self.committee_of_members()
        first = self._network_outputs(graphs, scales, batch_size)
        steps = None if scales is None else np.asarray(scales, dtype=np.float64)
        others = [m.outputs(graphs) if steps is None else m.along_path(graphs, steps) for m in self.members]
        return self._scores_of_members(first, others)

    def _scores_of_members(self, first: FloatArray, others: Sequence[FloatArray]) -> FloatArray:
        combination = self.committee_of_members()
        found = [np.asarray(special.expit(first)) if combination.probability else first]
        found += [scores_of(m, outputs, combination) for m, outputs in zip(self.members, others, strict=True)]
        return np.stack(found)

    def committee_of_members(self) -> Combination:
        """How the members' scores are combined.

        Raises
        ------
        UsageError
            If the model is a network alone.
        """
        if self.combination is None:
            raise UsageError(
                f"model {self.name!r} is one network: it has no members whose scores could be compared. "
                "Train a committee, or ask without --uncertainty"
            )
        return self.combination

    def _network_outputs(
        self, graphs: PackedGraphs, scales: npt.ArrayLike | None, batch_size: int
    ) -> FloatArray:
        steps = np.ones(len(graphs), dtype=np.float32) if scales is None else np.asarray(scales)
        out = np.empty((len(graphs), len(self.tasks)))
        with torch.inference_mode():
            for start in range(0, len(graphs), batch_size):
                part = slice(start, min(start + batch_size, len(graphs)))
                some = graphs.run(part.start, part.stop)
                batch = collate(some, self.schema, steps[part]).to(self.device, self.dtype)
                out[part] = self.network(batch).double().cpu().numpy()
        return out

    def score_molecules(self, molecules: Sequence[Molecule]) -> FloatArray:
        """Probabilities of parsed molecules, or values for a regression; shape (n, n_tasks)."""
        return self.score_with(molecules).scores

    def score_with(
        self, molecules: Sequence[Molecule], *, applicability: bool = False, uncertainty: bool = False
    ) -> Scored:
        """`score_molecules` with what else is asked for, from one pass through the members.

        Raises
        ------
        UsageError
            If the model has no applicability domain, or no members.
        """
        first = self.first_stage(applicability=applicability)
        if uncertainty:
            self.committee_of_members()
        if not molecules:
            none = np.empty((0, len(self.tasks)))
            return Scored(none, [], none if uncertainty else None)
        return self.second_stage(first(molecules), uncertainty=uncertainty)()

    def features_of(self, molecules: Sequence[Molecule]) -> PackedGraphs:
        """What `score_graphs` scores molecules by, computed or from the source that feeds the model."""
        return self._preparation().features_of(molecules)

    def _preparation(self, domain: Applicability | None = None) -> Preparation:
        members = tuple(m.vocabulary if isinstance(m, EnvironmentNet) else m for m in self.members)
        return Preparation(self.featurizer, self._source, self.device, members, domain)

    def first_stage(self, *, applicability: bool = False) -> FirstStage:
        """What of a score needs no network, and can be computed in any process; see `molig.model.stages`."""
        return FirstStage((self._preparation(self.domain() if applicability else None),))

    def score_graphs(
        self, graphs: PackedGraphs, traits: Traits | None = None, *, uncertainty: bool = False
    ) -> Scored:
        """`score_with` for molecules that were featurized with the model's schema, wherever that was.

        Parameters
        ----------
        graphs : PackedGraphs
            The molecules, at least one.
        traits : Traits, optional
            What their applicability is judged by; without it there are no flags.
        uncertainty : bool
            Whether to say how far the members of a committee disagree.

        Returns
        -------
        Scored

        Raises
        ------
        UsageError
            If the model has no applicability domain, or no members.
        """
        domain = None if traits is None else self.domain()
        prepared = self._preparation(domain).of_graphs(graphs, traits)
        return self.second_stage([prepared], uncertainty=uncertainty)()

    def second_stage(
        self, prepared: Sequence[Prepared], *, uncertainty: bool = False
    ) -> Callable[[], Scored]:
        """Start to score what the first stage has prepared; the result waits for the device.

        Parameters
        ----------
        prepared : sequence of Prepared
            One, of this model's `first_stage`.
        uncertainty : bool
            Whether to say how far the members of a committee disagree.

        Raises
        ------
        UsageError
            If the model has no members.
        """
        (given,) = prepared
        if uncertainty:
            self.committee_of_members()
        with torch.inference_mode():
            batches = (batch.to(self.device, self.dtype) for batch in given.batches)
            first = [Arriving(self.network(batch)) for batch in batches]
            others = [member_outputs(*each) for each in zip(self.members, given.members, strict=True)]

        def scored() -> Scored:
            outputs, spread = np.concatenate([part.numpy() for part in first]), None
            if self.combination is not None:
                members = self._scores_of_members(outputs, [other() for other in others])
                outputs = self.combination.outputs(self.combination.mean(members))
                spread = self.combination.spread(members) if uncertainty else None
            return Scored(self._as_scores(outputs), given.flags, spread)

        return scored

    def _as_scores(self, outputs: FloatArray) -> FloatArray:
        return outputs if self.objective is Objective.REGRESSION else _probabilities(outputs)

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
        self,
        smiles: str | Iterable[str],
        *,
        batch_size: int = 256,
        applicability: bool = False,
        uncertainty: bool = False,
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
        uncertainty : bool
            Also say how far the members of a committee disagree.

        Returns
        -------
        Predictions

        Raises
        ------
        UsageError
            If ``applicability`` is asked of a model that has no such data, or ``uncertainty`` of a network
            alone.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1 (got {batch_size})")
        if applicability:
            self.domain()
        if uncertainty:
            self.committee_of_members()
        spreads: list[FloatArray] = [np.empty((0, len(self.tasks)))]
        blocks: list[FloatArray] = [np.empty((0, len(self.tasks)))]
        rejections: list[Rejection] = []
        flags: list[ApplicabilityFlag | None] = []
        scored: list[str | None] = []
        rows = [smiles] if isinstance(smiles, str) else smiles
        for records in batched(smiles_records(rows), batch_size):
            molecules, rejected = self.parser.parse_many(records)
            places = [m.row - records[0].row for m in molecules]
            block = np.full((len(records), len(self.tasks)), np.nan)
            found = self.score_with(molecules, applicability=applicability, uncertainty=uncertainty)
            scores = found.scores
            flag_of = dict(zip(places, found.flags, strict=True)) if applicability else {}
            unusable = not_finite(molecules, scores, self.tasks)
            for row in (refused.row for refused in unusable):
                scores[[m.row == row for m in molecules]] = np.nan
                flag_of.pop(row - records[0].row, None)
            block[places] = scores
            blocks.append(block)
            if found.spread is not None:
                spread = np.full_like(block, np.nan)
                spread[places] = np.where(np.isfinite(scores), found.spread, np.nan)
                spreads.append(spread)
            rejections.extend(sorted([*rejected, *unusable], key=lambda refused: refused.row))
            flags.extend(flag_of.get(i) for i in range(len(records)))
            smiles_of = {m.row: m.scored_smiles for m in molecules}
            scored.extend(smiles_of.get(record.row) for record in records)
        return Predictions(
            np.concatenate(blocks),
            self.tasks,
            rejections,
            self.objective,
            flags if applicability else None,
            scored,
            np.concatenate(spreads) if uncertainty else None,
            self.calibrated,
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


# SciPy takes longer to import than all else that a few molecules need.
_FEW = 1024


def _probabilities(logits: FloatArray) -> FloatArray:
    if logits.size > _FEW:
        return np.asarray(special.expit(logits))
    return np.array([_expit(logit) for logit in logits.ravel().tolist()]).reshape(logits.shape)


def _expit(logit: float) -> float:
    """SciPy's formula, bit for bit."""
    try:
        return 1 / (1 + math.exp(-logit))
    except OverflowError:
        return 0.0


def _combination(info: ModelInfo) -> Combination | None:
    if info.committee is None:
        return None
    return Combination(
        np.array([member.weights for member in info.committee.members]),
        np.array(info.committee.slope),
        np.array(info.committee.offset),
        info.objective is Objective.CLASSIFICATION,
    )
