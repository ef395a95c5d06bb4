"""Chemprop v2 networks as a model: ensembles, scores of SMILES, features that move for explanations."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem
from torch import Tensor

from molig.errors import UsageError, called
from molig.features import FeatureSchema, PackedGraphs
from molig.features.graphs import mean_rows
from molig.foreign.chemprop_batch import MessageBatch, Passing, message_batch
from molig.foreign.chemprop_features import chemprop_graphs, chemprop_schema
from molig.foreign.chemprop_molecules import ChempropParser
from molig.foreign.chemprop_network import ChempropNetwork, Descriptors, Head, Sizes
from molig.foreign.neutral import N_LIBRARY, fit_neutral, spread_of_sizes
from molig.foreign.relaxed import RelaxedChemprop, outputs_of
from molig.model.device import resolve_device
from molig.model.info import Objective
from molig.model.relaxed import FeatureRows
from molig.model.scoring import PlainModel, Predictions, Scored, predicted
from molig.molecules import Molecule, Rejection
from molig.molecules.library import library_molecules

FloatArray = npt.NDArray[np.float64]

STATES_PER_BATCH = 5_000_000
"""Atoms of a batch times the width of their states: the more, the more repeats; few enough for the memory."""

_NO_DESCRIPTORS = Descriptors()
_OPTIONS = {
    "molecule": "descriptors-path or --molecule-featurizers",
    "atom_descriptors": "atom-descriptors-path",
    "atom_features": "atom-features-path",
    "bond_features": "bond-features-path",
}


@dataclass(frozen=True)
class ExtraInputs:
    """Numbers that a Chemprop model was trained with beside the graph, a row or a table per SMILES.

    Parameters
    ----------
    molecule : array-like, shape (n, n_descriptors), optional
        Descriptors of molecules, not scaled; ``--descriptors-path`` of Chemprop, X_d.
    atom_descriptors : sequence of array-like, optional
        For each SMILES one row per atom, added behind the messages; ``--atom-descriptors-path``, V_d.
    atom_features : sequence of array-like, optional
        For each SMILES one row per atom, read with its features; ``--atom-features-path``, V_f.
    bond_features : sequence of array-like, optional
        For each SMILES one row per bond; ``--bond-features-path``, E_f.
    """

    molecule: npt.ArrayLike | None = None
    atom_descriptors: Sequence[npt.ArrayLike] | None = None
    atom_features: Sequence[npt.ArrayLike] | None = None
    bond_features: Sequence[npt.ArrayLike] | None = None

    def rows(self, chosen: Sequence[int]) -> ExtraInputs:
        """Those of some of the SMILES."""
        given = {
            name: [value[i] for i in chosen]
            for name in ("atom_descriptors", "atom_features", "bond_features")
            if (value := getattr(self, name)) is not None
        }
        molecule = None if self.molecule is None else np.asarray(self.molecule)[list(chosen)]
        return ExtraInputs(molecule, **given)


@dataclass(frozen=True)
class Ensemble:
    """Networks for the same tasks, whose predictions are averaged.

    Parameters
    ----------
    networks : sequence of ChempropNetwork
        At least one.
    tasks : tuple of str
        Names of the columns; for several classes one per task and class.
    """

    networks: tuple[ChempropNetwork, ...]
    tasks: tuple[str, ...]

    @property
    def head(self) -> Head:
        """What the networks predict."""
        return self.networks[0].predictor.head

    @property
    def objective(self) -> Objective:
        """Probabilities or values."""
        return Objective.CLASSIFICATION if self.head.classifies else Objective.REGRESSION

    @property
    def floor(self) -> float:
        """Smallest change of a score to resolve: 0.01, or 0.01 standard deviations of the labels."""
        unscale = self.networks[0].predictor.unscale
        return 0.01 if unscale is None else 0.01 * float(unscale.scale.min())

    def predict(
        self, batches: Mapping[Passing, MessageBatch], descriptors: Descriptors = _NO_DESCRIPTORS
    ) -> Tensor:
        """The networks' predictions, shape (n_networks, n_mols, n_tasks)."""
        found = [n.predict(batches[n.message_passing.passing], descriptors) for n in self.networks]
        return torch.stack(found).flatten(2)


class ChempropModel(PlainModel):
    """Chemprop v2 networks that score SMILES: one, an ensemble, or ensembles for different tasks.

    Parameters
    ----------
    name : str
        Name of the model.
    ensembles : sequence of Ensemble
        They read the same features.
    preset : str
        Chemprop's name of the atom features.
    parser : ChempropParser
        How SMILES become molecules.
    device : str or torch.device
        Where to compute.

    Attributes
    ----------
    tasks : tuple of str
        Names of the columns, those of all ensembles in order.
    objectives : tuple of Objective
        What each column is.
    rejections_ : list of Rejection
        The reasons for the NaN rows of the last `predict_proba`.
    """

    def __init__(
        self,
        name: str,
        ensembles: Sequence[Ensemble],
        preset: str,
        parser: ChempropParser,
        device: str | torch.device = "cpu",
    ) -> None:
        self.name, self.preset, self.parser = name, preset, parser
        self.device = resolve_device(device)
        self.ensembles = tuple(ensembles)
        for network in self.networks:
            network.to(self.device)
        self.tasks = tuple(task for ensemble in self.ensembles for task in ensemble.tasks)
        self.objectives = tuple(e.objective for e in self.ensembles for _ in e.tasks)
        self.rejections_: list[Rejection] = []
        self._neutral: dict[str, FeatureRows] = {}

    def __repr__(self) -> str:
        """Name, size and tasks."""
        return f"ChempropModel({self.name!r}, {len(self.networks)} networks, {len(self.tasks)} tasks)"

    @property
    def networks(self) -> tuple[ChempropNetwork, ...]:
        """All networks."""
        return tuple(network for ensemble in self.ensembles for network in ensemble.networks)

    @property
    def objective(self) -> Objective:
        """Classification if every column is a probability."""
        values = Objective.REGRESSION in self.objectives
        return Objective.REGRESSION if values else Objective.CLASSIFICATION

    @property
    def calibrated(self) -> bool:
        """False: the files do not say how probabilities were fitted."""
        return False

    @property
    def member_names(self) -> tuple[str, ...]:
        """Empty: networks of an ensemble have no names of their own."""
        return ()

    default_baseline = "neutral"

    @cached_property
    def _library(self) -> PackedGraphs:
        """Molecules that neutral baselines are fitted on."""
        return self.featurize(library_molecules(self.parser, N_LIBRARY))

    def neutral_rows(self, task: str) -> FeatureRows:
        """Features of every atom and bond at which a task scores as little as features near the mean allow.

        Wanted is a probability of 0.01, or a value at the mean of the training labels, for graphs of all
        sizes; a network may have no such point near the mean features of a library (`baseline_scores` tells).

        Parameters
        ----------
        task : str
            Task of the model.
        """
        column = self.task_index(task)
        for ensemble in self.ensembles:
            if column < len(ensemble.tasks):
                break
            column -= len(ensemble.tasks)
        if task not in self._neutral:
            usual = mean_rows(self._library, self.schema)
            skeletons = self._library.select(spread_of_sizes(self._library))
            self._neutral[task] = fit_neutral(ensemble.networks, self.schema, skeletons, column, usual)
        return self._neutral[task]

    @property
    def floor(self) -> float:
        """Smallest change of a score to resolve: 0.01, or 0.01 standard deviations of the labels."""
        return min(ensemble.floor for ensemble in self.ensembles)

    def meaning_of(self, tasks: Sequence[str]) -> str:
        """What the scores of some tasks are, in one sentence that every output of them carries."""
        values = [task for task in tasks if self.objectives[self.task_index(task)] is Objective.REGRESSION]
        n_others = len(tasks) - len(values)
        kinds = "probabilities" if n_others else f"predicted values, in {self._units(values)}"
        if values and n_others:
            kinds = (
                f"probabilities in {n_others} tasks, and in {len(values)} predicted values, in "
                f"{self._units(values)}"
            )
        n_networks = max(len(ensemble.networks) for ensemble in self.ensembles)
        mean = f", each the mean of {n_networks} networks" * (n_networks > 1)
        unsure = "; whether probabilities are calibrated is not known" * bool(n_others)
        return f"Scores are {kinds}{mean}{unsure}."

    def _units(self, tasks: Sequence[str]) -> str:
        """Units of values, in words."""
        del tasks
        return "the unit of the labels"

    def digest(self) -> str:
        """Hash of the networks, their tasks, and how molecules become graphs."""
        found = hashlib.sha256(repr((self.tasks, self.preset, self.parser)).encode())
        for network in self.networks:
            found.update(network.describe().encode())
            for name, tensor in network.state_dict().items():
                found.update(name.encode())
                found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def parts(self) -> tuple[Self, ...]:
        """A model for each ensemble, which share its networks with this one."""
        if len(self.ensembles) == 1:
            return (self,)
        return tuple(self._with([ensemble], self.device) for ensemble in self.ensembles)

    def for_task(self, task: str) -> Self:
        """The model of the ensemble that predicts a task.

        Raises
        ------
        UnknownNameError
            Naming the nearest task, if there is none of that name.
        """
        self.task_index(task)
        return next(part for part in self.parts() if task in part.tasks)

    @property
    def sizes(self) -> Sizes:
        """Columns that the networks read."""
        return self.networks[0].sizes

    @cached_property
    def schema(self) -> FeatureSchema:
        """Names of the features."""
        base = chemprop_schema(self.preset)
        return chemprop_schema(
            self.preset, self.sizes.atom - base.n_atom_columns, self.sizes.bond - base.n_pair_columns
        )

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return next(self.networks[0].parameters()).dtype

    def to(self, device: str | torch.device) -> Self:
        """Return the same model on another device."""
        return self._with(copy.deepcopy(self.ensembles), device)

    def double(self) -> Self:
        """Return the same model in double precision."""
        doubled = [
            Ensemble(tuple(copy.deepcopy(n).double() for n in e.networks), e.tasks) for e in self.ensembles
        ]
        return self._with(doubled, self.device)

    def _with(self, ensembles: Sequence[Ensemble], device: str | torch.device) -> Self:
        """Other ensembles in the same surroundings."""
        made = type(self)(self.name, ensembles, self.preset, self.parser, device)
        made._neutral = self._neutral  # fitted once
        return made

    def relax(self, graphs: PackedGraphs, base: FeatureRows | None = None) -> RelaxedChemprop:
        """Let the features of molecules move between a baseline (default zero) and their own values.

        Parameters
        ----------
        graphs : PackedGraphs
            From `featurize`.
        base : FeatureRows, optional
            Features of every atom and of every bond at the baseline.

        Raises
        ------
        UsageError
            If the model reads descriptors: they have no place on the structure.
        """
        if self.sizes.descriptors or self.sizes.atom_descriptors:
            raise UsageError(
                f"model {self.name!r} reads descriptors beside the structure; only networks that read atoms "
                "and bonds alone can be explained"
            )
        return RelaxedChemprop([e.networks for e in self.ensembles], self.schema, graphs, base)

    def featurize(self, mols: Sequence[Chem.Mol], extra: ExtraInputs | None = None) -> PackedGraphs:
        """Featurize molecules that the model's parser has accepted.

        Parameters
        ----------
        mols : sequence of Mol
            The molecules.
        extra : ExtraInputs, optional
            Features of their atoms and bonds, where the model reads any.

        Raises
        ------
        UsageError
            If the model reads features that are not given, or not as many.
        """
        extra = extra or ExtraInputs()
        base = chemprop_schema(self.preset)
        for what, option, n_needed, given in (
            ("atom", "atom_features", self.sizes.atom - base.n_atom_columns, extra.atom_features),
            ("bond", "bond_features", self.sizes.bond - base.n_pair_columns, extra.bond_features),
        ):
            self._check(f"extra features of each {what}", option, n_needed, given)
        return chemprop_graphs(mols, self.preset, extra.atom_features, extra.bond_features)

    def _check(self, what: str, option: str, n_needed: int, given: Any) -> None:
        """Refuse numbers that are missing, too many or not asked for."""
        if n_needed and given is None:
            raise UsageError(
                f"model {self.name!r} reads {n_needed} {what} beside the structure (Chemprop's "
                f"--{_OPTIONS[option]}), and they were not given; in Python: "
                f"predict(smiles, extra=ExtraInputs({option}=...)). Without them there is no score"
            )
        if given is None:
            return
        first = given if option == "molecule" else given[0] if len(given) else np.zeros((0, n_needed))
        width = np.shape(first)[-1] if np.ndim(first) == 2 else -1
        if width != n_needed:
            raise UsageError(
                f"model {self.name!r} reads {n_needed or 'no'} {what}; {option} must be a table of as many "
                f"columns (got the shape {np.shape(first)})"
            )

    def score_graphs(self, graphs: PackedGraphs, extra: ExtraInputs | None = None) -> FloatArray:
        """Predictions of featurized molecules.

        Parameters
        ----------
        graphs : PackedGraphs
            From `featurize`.
        extra : ExtraInputs, optional
            Descriptors of the molecules and atoms, where the model reads any.

        Returns
        -------
        array of float, shape (n_mols, n_tasks)

        Raises
        ------
        UsageError
            If the model reads descriptors that are not given, or not as many.
        """
        return self._means_and_spreads(graphs, extra or ExtraInputs())[0]

    def _means_and_spreads(self, graphs: PackedGraphs, extra: ExtraInputs) -> tuple[FloatArray, FloatArray]:
        """Means and standard deviations of the networks' predictions, shapes (n_mols, n_tasks)."""
        self._check("descriptors of each molecule", "molecule", self.sizes.descriptors, extra.molecule)
        self._check(
            "descriptors of each atom",
            "atom_descriptors",
            self.sizes.atom_descriptors,
            extra.atom_descriptors,
        )
        out = np.empty((2, len(graphs), len(self.tasks)))
        with torch.inference_mode():
            for part in _batches(graphs.atom_counts, STATES_PER_BATCH // self.sizes.hidden):
                batches = self._batches(graphs.select(part))
                descriptors = self._descriptors(extra, part, graphs)
                found = [ensemble.predict(batches, descriptors) for ensemble in self.ensembles]
                means = torch.cat([each.mean(dim=0) for each in found], dim=1)
                spreads = torch.cat([each.std(dim=0, correction=0) for each in found], dim=1)
                out[:, part] = torch.stack([means, spreads]).double().cpu().numpy()
        return out[0], out[1]

    def logits(self, graphs: PackedGraphs, scales: npt.ArrayLike | None = None) -> FloatArray:
        """Logits of probabilities, or values, at any point of the path from the zero baseline.

        Parameters
        ----------
        graphs : PackedGraphs
            From `featurize`.
        scales : array-like, shape (n_mols,), optional
            Factor on each molecule's features; default 1, the molecule itself.

        Returns
        -------
        array of float, shape (n_mols, n_tasks)

        Raises
        ------
        UsageError
            If the model reads descriptors.
        """
        relaxed = self.relax(graphs)
        if scales is not None:
            factors = (np.repeat(np.asarray(scales), n) for n in (graphs.atom_counts, graphs.pair_counts))
            return relaxed.outputs(np.arange(len(graphs)), *factors)
        out = np.empty((len(graphs), len(self.tasks)))
        with torch.inference_mode():
            for part in _batches(graphs.atom_counts, STATES_PER_BATCH // self.sizes.hidden):
                batches = self._batches(graphs.select(part))
                found = [outputs_of(ensemble.networks, batches) for ensemble in self.ensembles]
                out[part] = torch.cat(found, dim=1).double().cpu().numpy()
        return out

    def _batches(self, graphs: PackedGraphs) -> dict[Passing, MessageBatch]:
        """Molecules as the networks read them, once for each way of passing messages."""
        ways = dict.fromkeys(network.message_passing.passing for network in self.networks)
        return {way: message_batch(graphs, self.schema, way).to(self.device, self.dtype) for way in ways}

    def _descriptors(
        self, extra: ExtraInputs, part: npt.NDArray[np.int64], graphs: PackedGraphs
    ) -> Descriptors:
        molecule = atom = None
        if extra.molecule is not None:
            molecule = torch.as_tensor(np.asarray(extra.molecule)[part]).to(self.device, self.dtype)
        if extra.atom_descriptors is not None:
            rows = np.concatenate([np.asarray(extra.atom_descriptors[i]) for i in part])
            if len(rows) != graphs.atom_counts[part].sum():
                raise UsageError("atom_descriptors must have a row for every atom of its molecule")
            atom = torch.as_tensor(rows).to(self.device, self.dtype)
        return Descriptors(molecule, atom)

    def score_molecules(self, molecules: Sequence[Molecule], extra: ExtraInputs | None = None) -> FloatArray:
        """Predictions of parsed molecules, shape (n, n_tasks)."""
        if not molecules:
            return np.empty((0, len(self.tasks)))
        return self.score_graphs(self.featurize([m.mol for m in molecules], extra), extra)

    def score_with(
        self, molecules: Sequence[Molecule], *, applicability: bool = False, uncertainty: bool = False
    ) -> Scored:
        """`score_molecules` with what else is asked for.

        Parameters
        ----------
        molecules : sequence of Molecule
            Parsed molecules.
        applicability : bool
            Refused.
        uncertainty : bool
            Add the standard deviation of the scores of an ensemble's networks.

        Raises
        ------
        UsageError
            If the applicability domain is asked for, or how far one network alone disagrees.
        """
        if applicability:
            self.domain()
        if uncertainty and min(len(ensemble.networks) for ensemble in self.ensembles) < 2:
            raise UsageError(
                f"{self.name} is one network, so that no scores can be compared: {called('uncertainty')} is "
                "for ensembles; name several files, or the directory of a training run of several networks"
            )
        if not uncertainty or not molecules:
            scores = self.score_molecules(molecules)
            return Scored(scores, [], scores if uncertainty else None)
        scores, spread = self._means_and_spreads(self.featurize([m.mol for m in molecules]), ExtraInputs())
        return Scored(scores, [], spread)

    def predict(
        self, smiles: str | Iterable[str], *, batch_size: int = 1024, extra: ExtraInputs | None = None
    ) -> Predictions:
        """Score SMILES, keeping the reasons for those that cannot be scored.

        Parameters
        ----------
        smiles : str or iterable of str
            The molecules.
        batch_size : int
            Molecules read at a time.
        extra : ExtraInputs, optional
            Numbers that the model reads beside the structure, a row or table for each SMILES.

        Returns
        -------
        Predictions
            Probabilities where `objectives` says classification, else values in the unit of the labels.

        Raises
        ------
        UsageError
            If the model reads numbers that are not given.
        """

        def score(molecules: Sequence[Molecule]) -> FloatArray:
            given = extra.rows([m.row - 1 for m in molecules]) if extra else None
            return self.score_molecules(molecules, given)

        return predicted(self, smiles, batch_size, score)

    def predict_proba(self, smiles: str | Iterable[str], *, batch_size: int = 1024) -> FloatArray:
        """Probabilities, shape (n, n_tasks); NaN rows where a SMILES was rejected.

        Parameters
        ----------
        smiles : str or iterable of str
            The molecules.
        batch_size : int
            Molecules read at a time.

        Raises
        ------
        UsageError
            If a column of the model is a value; those come from `predict`.
        """
        if self.objective is not Objective.CLASSIFICATION:
            raise UsageError(f"model {self.name!r} predicts values too; use predict(smiles).scores")
        predictions = self.predict(smiles, batch_size=batch_size)
        self.rejections_ = predictions.rejections
        return predictions.scores


def _batches(atom_counts: npt.NDArray[np.int64], n_atoms: int) -> Iterable[npt.NDArray[np.int64]]:
    """Indices of molecules in turn, so many that their atoms fill a batch."""
    number = np.maximum(np.cumsum(atom_counts) - 1, 0) // max(n_atoms, 1)
    return np.split(np.arange(len(atom_counts)), np.flatnonzero(np.diff(number)) + 1)
