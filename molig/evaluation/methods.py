"""Running one method on one fold: the network of the recipe, or a simple baseline."""

from __future__ import annotations

import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem, rdBase
from scipy.special import expit

from molig.errors import InputError, OutputError
from molig.evaluation.baselines import Baseline
from molig.evaluation.fingerprints import Described, OnDemand, morgan_counts
from molig.evaluation.plan import EvaluationPlan
from molig.files import replacing
from molig.model import Objective
from molig.training.auxiliary import read_auxiliaries
from molig.training.loop import OnEpoch, Part
from molig.training.members import MembersRun
from molig.training.run import description

FloatArray = npt.NDArray[np.float64]

# The recipe's network among the methods.
NETWORK = "molig"


@dataclass(frozen=True)
class FoldScores:
    """Scores of one method on a fold's test molecules, kept in a file so that nothing is computed twice."""

    # Row of each molecule in its table, from 1; all others have shape (n, n_tasks).
    rows: npt.NDArray[np.int64]
    labels: FloatArray
    # Logits of a network, values of a regression, or whatever the method ranks by; a column of NaN where it
    # had nothing to learn.
    scores: FloatArray
    probabilities: FloatArray | None = None
    # Probability at the zero baseline of every molecule; of networks only.
    baseline: FloatArray | None = None
    # Processor time of training and scoring.
    seconds: float = 0.0

    def of_rows(self, rows: npt.NDArray[np.int64]) -> FoldScores:
        """Labels and scores of some rows of the table only."""
        kept = np.isin(self.rows, rows)
        probabilities = None if self.probabilities is None else self.probabilities[kept]
        return FoldScores(self.rows[kept], self.labels[kept], self.scores[kept], probabilities)

    def save(self, path: Path) -> None:
        """Write the arrays; the file is there as a whole or not at all."""
        arrays: dict[str, Any] = {
            "rows": self.rows,
            "labels": self.labels.astype(np.float32),
            "scores": self.scores.astype(np.float32),
            "seconds": np.array(self.seconds),
        }
        for name, values in (("probabilities", self.probabilities), ("baseline", self.baseline)):
            if values is not None:
                arrays[name] = values.astype(np.float32)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)
        except OSError as err:
            raise OutputError(f"cannot write {path}: {err.strerror or err}") from err

    @classmethod
    def load(cls, path: Path) -> FoldScores:
        """Read the arrays."""
        try:
            with np.load(path, allow_pickle=False) as file:
                held = {name: file[name] for name in file.files}
            return cls(
                rows=held["rows"],
                labels=held["labels"].astype(np.float64),
                scores=held["scores"].astype(np.float64),
                probabilities=_double(held.get("probabilities")),
                baseline=_double(held.get("baseline")),
                seconds=float(held["seconds"]),
            )
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as err:
            raise InputError(f"{path} is damaged: {err}; delete it to compute it again") from err


def _double(values: npt.NDArray[np.float32] | None) -> FloatArray | None:
    return None if values is None else values.astype(np.float64)


def run_network(
    plan: EvaluationPlan,
    fold: int,
    directory: Path,
    *,
    device: torch.device,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
) -> FoldScores:
    """Train the recipe's network on a fold, and score its test molecules and their zero baseline."""
    started = time.process_time()
    chosen = {part: plan.indices(fold, part) for part in ("train", "validation", "test")}
    parts = {name: Part(plan.data.graphs.select(i), plan.data.labels[i]) for name, i in chosen.items()}
    run = MembersRun(
        plan.recipe,
        plan.schema,
        plan.data.tasks,
        train=parts["train"],
        validation=parts["validation"],
        device=device,
        fingerprint=f"{plan.fingerprint} fold {fold}",
        auxiliaries=read_auxiliaries(plan.recipe, plan.data, plan.parts[fold]),
    )
    directory.mkdir(parents=True, exist_ok=True)
    info = description(plan.recipe, plan.schema, plan.data.tasks, plan.source)
    model = run.fit(run.weave_trainer(), info, directory, resume=resume, on_epoch=on_epoch)
    test = parts["test"]
    logits = model.logits(test.graphs)
    at_zero = model.logits(test.graphs, np.zeros(len(test.labels), dtype=np.float32))
    run.forget(directory)
    classes = plan.recipe.objective is not Objective.REGRESSION
    return FoldScores(
        rows=plan.data.rows[chosen["test"]],
        labels=test.labels,
        scores=logits,
        probabilities=expit(logits) if classes else None,
        baseline=expit(at_zero) if classes else None,
        seconds=time.process_time() - started,
    )


def run_baseline(plan: EvaluationPlan, fold: int, baseline: Baseline, molecules: Described) -> FoldScores:
    """Fit a simple method on a fold and score its test molecules.

    It learns from the training and the validation part, since it chooses nothing by the latter.
    """
    started = time.process_time()
    test = plan.indices(fold, "test")
    train = np.flatnonzero(plan.parts[fold] != "test")
    labels = plan.data.labels
    seed = plan.recipe.evaluation.seed
    scores = baseline.fit_predict(
        molecules[train], labels[train], molecules[test], seed, wanted=~np.isnan(labels[test])
    )
    return FoldScores(
        rows=plan.data.rows[test],
        labels=labels[test],
        scores=scores,
        probabilities=scores if baseline.probabilities else None,
        seconds=time.process_time() - started,
    )


def described(plan: EvaluationPlan, baselines: Sequence[Baseline]) -> Described:
    """All molecules of a plan, as the baselines see them."""
    counts = morgan_counts(_readable(text) for text in plan.data.smiles)
    if not any(baseline.uses_descriptors for baseline in baselines):
        return Described(counts)
    return Described(counts, OnDemand(plan.data.smiles, _readable))


def _readable(smiles: str) -> Chem.Mol:
    """A molecule from its canonical SMILES; a few of metal complexes do not pass the checks twice."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        mol = Chem.MolFromSmiles(smiles, sanitize=False)
        mol.UpdatePropertyCache(strict=False)
        Chem.FastFindRings(mol)
    return mol
