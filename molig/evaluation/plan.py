"""What an evaluation does: which molecules every fold trains on and is tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from molig.datasets import datasets
from molig.datasets.getting import content_digest
from molig.errors import OutputError, UsageError
from molig.features import FeatureSchema, Featurizer
from molig.model import Objective, Provenance
from molig.training import LabelledTable, Recipe
from molig.training.auxiliary import auxiliary_digests
from molig.training.dataset import TrainingData, file_digest, missing_classes, read_or_load
from molig.training.splits import (
    WITHOUT_FOLDS,
    ListedParts,
    Parts,
    count_copies_in_train,
    count_copies_outside_test,
    deal_folds,
    fold_parts,
    read_listed_parts,
    split,
)

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class EvaluationPlan:
    """The molecules and folds of an evaluation.

    Parameters
    ----------
    recipe : Recipe
        All choices.
    schema : FeatureSchema
        Features of the molecules.
    data : TrainingData
        The table, featurized.
    parts : tuple of array of str, each of shape (n_mols,)
        ``"train"``, ``"validation"`` or ``"test"`` of every molecule, fold by fold.
    digest : str
        SHA-256 of the table.
    source : str
        Name of the table's file.
    public : str
        Name of the public data set that the table holds, or empty.
    listed : ListedParts, optional
        The file that the parts are from; None where they were dealt.
    """

    recipe: Recipe
    schema: FeatureSchema
    data: TrainingData
    parts: tuple[Parts, ...]
    digest: str
    source: str
    public: str = ""
    listed: ListedParts | None = None

    @property
    def scheme(self) -> str:
        """How the molecules were dealt, such as ``"scaffold"``; ``"listed"`` if a file lists the parts."""
        return "listed" if self.listed else self.recipe.split.kind.value

    @property
    def fingerprint(self) -> str:
        """Digest of all that determines the results but the baselines asked for and the code."""
        recipe = self.recipe.model_dump(mode="json")
        recipe["evaluation"].pop("baselines")
        digests = [
            self.digest,
            *auxiliary_digests(self.recipe),
            *([self.listed.digest] if self.listed else []),
        ]
        text = json.dumps([digests, list(self.data.tasks), recipe])
        return hashlib.sha256(text.encode()).hexdigest()

    def indices(self, fold: int, part: str) -> npt.NDArray[np.int64]:
        """Molecules of one part of a fold."""
        return np.flatnonzero(self.parts[fold] == part)

    def copies_in_train(self) -> int:
        """Test molecules that have a copy in their fold's training part; only a given split can have any."""
        return sum(count_copies_in_train(self.data.smiles, parts) for parts in self.parts)

    def copies_outside_test(self) -> int:
        """The same of the training and validation part together, which the baselines learn from."""
        return sum(count_copies_outside_test(self.data.smiles, parts) for parts in self.parts)

    def copies_note(self) -> str:
        """What to know about test molecules that are not new to the methods; empty if all are."""
        in_train, outside = self.copies_in_train(), self.copies_outside_test()
        if not outside:
            return ""
        more = f"; {outside} in training or validation part, which baselines learn from"
        return (
            f"{in_train} test molecules have a copy in the training part, as the table parts them"
            f"{more if outside > in_train else ''}"
        )

    def problems(self) -> list[str]:
        """What is wrong with single tasks of single folds, such as a test part without actives."""
        problems = []
        for fold in range(len(self.parts)):
            for part in ("train", "validation", "test"):
                members = self.indices(fold, part)
                if part == "validation" and not len(members):
                    continue
                missing = missing_classes(self.data.labels[members], self.data.tasks)
                problems += [
                    f"fold {fold + 1}: task {task} has no {what} in the {part} part"
                    for task, what in missing.items()
                ]
        return problems


def plan_evaluation(
    recipe: Recipe, table: LabelledTable, progress: Callable[[int], None] | None = None
) -> EvaluationPlan:
    """Read a table and deal its molecules to folds.

    Parameters
    ----------
    recipe : Recipe
        ``evaluation.folds`` folds are dealt in the way of ``split.kind``; 1 fold is the split itself, as
        ``split.parts`` lists it if that is set.
    table : LabelledTable
        Where the molecules and labels are.
    progress : callable, optional
        Called with the number of rows done since the last call.

    Returns
    -------
    EvaluationPlan

    Raises
    ------
    UsageError
        If the recipe is a regression, whose figures are not those of a ranking, or leaves nothing to test.
    InputError
        If the table cannot be used, or is too small for the folds.
    """
    _check_request(recipe)
    read_from = {"smiles_column": table.smiles_column, "delimiter": table.delimiter}
    if read_from != recipe.data.model_dump(include=set(read_from)):
        # Written down, since other molecules are other results.
        named = recipe.data.model_copy(update=read_from)
        recipe = recipe.model_copy(update={"data": named})
    schema = recipe.features.schema_()
    listed = read_listed_parts(recipe.split, table.folder) if recipe.evaluation.folds == 1 else None
    data = read_or_load(
        table.source,
        table.targets,
        recipe.molecules.parser(),
        Featurizer(schema),
        split_column=recipe.split.by_column,
        smiles_column=table.smiles_column,
        delimiter=table.delimiter,
        conflicts=recipe.data.conflicts,
        cut=recipe.data.cut,
        progress=progress,
    )
    if listed:
        parts: tuple[Parts, ...] = (listed.deal(data),)
    elif recipe.evaluation.folds == 1:
        parts = (split(data.smiles, data.labels, recipe.split, values=data.split_values),)
        if not (parts[0] == "test").any():
            raise UsageError("one fold is the split itself, and it has no test part: set split.test")
    else:
        parts = _folds(recipe, data)
    digest, public = file_digest(table.source), public_name(table.source, recipe.data.name)
    return EvaluationPlan(recipe, schema, data, parts, digest, table.source.name, public, listed)


def check_output(output: Path, plan: EvaluationPlan, resume: bool) -> None:
    """Note in the output directory what is done there, and refuse to go on with results of something else."""
    path = output / PLAN_FILE
    if path.exists():
        try:
            noted = json.loads(path.read_text(encoding="utf-8")).get("fingerprint")
        except (OSError, ValueError, AttributeError) as err:
            raise UsageError(f"{path} is damaged: {err}; choose another output directory") from err
        if not resume:
            raise UsageError(f"{output} holds an evaluation; add --resume or choose another directory")
        if noted != plan.fingerprint:
            raise UsageError(f"{output} holds an evaluation of other data or another recipe")
        return
    if any(output.glob("fold-*/*")):
        raise UsageError(f"{output} holds folds without {PLAN_FILE}; choose another output directory")
    note = {"fingerprint": plan.fingerprint, "table": plan.source, "sha256": plan.digest}
    try:
        output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    except OSError as err:
        raise OutputError(f"cannot write to {output}: {err.strerror or err}") from err


def _check_request(recipe: Recipe) -> None:
    if recipe.objective is Objective.REGRESSION:
        raise UsageError("the evaluation of rankings needs classes; this recipe is a regression")
    if recipe.split.kind in WITHOUT_FOLDS and recipe.evaluation.folds > 1:
        raise UsageError(
            f"a {recipe.split.kind.value} split has one test part and no folds: set evaluation.folds to 1, "
            "or use --folds 1"
        )


def _folds(recipe: Recipe, data: TrainingData) -> tuple[Parts, ...]:
    options = recipe.split.model_copy(update={"seed": recipe.evaluation.seed})
    n_folds, values = recipe.evaluation.folds, data.split_values
    folds = deal_folds(data.smiles, data.labels, options, n_folds, values=values)
    return tuple(
        fold_parts(data.smiles, data.labels, folds, fold, options, values=values) for fold in range(n_folds)
    )


# Tables of public data sets, which are the same table whatever file they are written to.


def public_name(source: Path, name: str) -> str:
    """Name of the public data set that a file holds, row by row."""
    known = datasets().get(name)
    if known is None or known.table_sha256 is None or source.suffix != ".parquet":
        return ""
    try:
        return name if content_digest(pq.read_table(source)) == known.table_sha256 else ""
    except (OSError, TypeError, pa.ArrowException):
        # Not a table of that kind, or damaged, which the reader says better.
        return ""


def is_training_table(training: Provenance | None, digest: str, public: str) -> bool:
    """Whether a table is the one that a model was trained with.

    The same bytes, or the same public data set: `molig data get` and other writers make different files of
    the same rows.
    """
    if training is None:
        return False
    if training.data_sha256 == digest:
        return True
    known = datasets().get(public)
    return known is not None and (training.data_file, training.n_rows) == (known.file, known.rows)
