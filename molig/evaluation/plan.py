"""What an evaluation does: which molecules every fold trains on and is tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from molig.datasets import datasets
from molig.datasets.getting import content_digest
from molig.errors import InputError, OutputError, UsageError
from molig.features import FeatureSchema, Featurizer
from molig.model import Objective, Provenance
from molig.molecules import read_records
from molig.training import LabelledTable, Recipe
from molig.training.auxiliary import auxiliary_digests
from molig.training.dataset import AssayTable, TrainingData, file_digest, missing_classes, read_or_load
from molig.training.labels import read_label
from molig.training.members import plain_choices, start_digests, starting_model
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
class Subset:
    """Rows of the table that are also judged by themselves."""

    column: str  # which says so
    rows: npt.NDArray[np.int64]  # in the file, from 1


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
    subset : Subset, optional
        Rows that are also judged by themselves.
    """

    recipe: Recipe
    schema: FeatureSchema
    data: TrainingData
    parts: tuple[Parts, ...]
    digest: str
    source: str
    public: str = ""
    listed: ListedParts | None = None
    subset: Subset | None = None

    @property
    def scheme(self) -> str:
        """How the molecules were dealt, such as ``"scaffold"``; ``"listed"`` if a file lists the parts."""
        return "listed" if self.listed else self.recipe.split.kind.value

    @property
    def fingerprint(self) -> str:
        """Digest of all that determines the scores but the baselines asked for and the code."""
        recipe = plain_choices(self.recipe)
        for of_report in ("baselines", "subset_column"):
            recipe["evaluation"].pop(of_report)
        digests = [
            self.digest,
            *auxiliary_digests(self.recipe),
            *([self.listed.digest] if self.listed else []),
            *start_digests(self.recipe),
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
        if self.recipe.objective is Objective.REGRESSION:
            return list(self._problems_of_values())
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

    def _problems_of_values(self) -> Iterator[str]:
        for fold in range(len(self.parts)):
            for part, needed in (("train", 2), ("test", 1)):
                n_known = (~np.isnan(self.data.labels[self.indices(fold, part)])).sum(axis=0)
                for task, n in zip(self.data.tasks, n_known, strict=True):
                    if n < needed:
                        yield f"fold {fold + 1}: task {task} has {n} values in the {part} part"


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
        If the recipe asks for folds of a split that has none, or leaves nothing to test.
    InputError
        If the table cannot be used, or is too small for the folds.
    """
    _check_request(recipe)
    read_from = {"smiles_column": table.smiles_column, "delimiter": table.delimiter}
    if read_from != recipe.data.model_dump(include=set(read_from)):
        # Written down, since other molecules are other results.
        named = recipe.data.model_copy(update=read_from)
        recipe = recipe.model_copy(update={"data": named})
    schema = recipe.schema_()
    starting_model(recipe, schema)  # refused before the table is read
    listed = read_listed_parts(recipe.split, table.folder) if recipe.evaluation.folds == 1 else None
    assay = AssayTable(
        table.source,
        table.targets,
        recipe.molecules.parser(),
        Featurizer(schema),
        objective=recipe.objective,
        split_column=recipe.split.by_column,
        smiles_column=table.smiles_column,
        delimiter=table.delimiter,
        conflicts=recipe.data.conflicts,
        cut=recipe.data.cut,
        compared=recipe.compared,
    )
    data = read_or_load(assay, progress)
    if listed:
        parts: tuple[Parts, ...] = (listed.deal(data),)
    elif recipe.evaluation.folds == 1:
        parts = (
            split(
                data.smiles,
                data.labels,
                recipe.split,
                objective=recipe.objective,
                values=data.split_values,
            ),
        )
        if not (parts[0] == "test").any():
            raise UsageError("one fold is the split itself, and it has no test part: set split.test")
    else:
        parts = _folds(recipe, data)
    digest, public = file_digest(table.source), public_name(table.source, recipe.data.name)
    subset = _read_subset(table, recipe.evaluation.subset_column, data.rows)
    return EvaluationPlan(recipe, schema, data, parts, digest, table.source.name, public, listed, subset)


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
    if recipe.split.kind in WITHOUT_FOLDS and recipe.evaluation.folds > 1:
        raise UsageError(
            f"a {recipe.split.kind.value} split has one test part and no folds: set evaluation.folds to 1, "
            "or use --folds 1"
        )


def _folds(recipe: Recipe, data: TrainingData) -> tuple[Parts, ...]:
    options = recipe.split.model_copy(update={"seed": recipe.evaluation.seed})
    n_folds, objective, values = recipe.evaluation.folds, recipe.objective, data.split_values
    folds = deal_folds(data.smiles, data.labels, options, n_folds, objective=objective, values=values)
    return tuple(
        fold_parts(data.smiles, data.labels, folds, fold, options, objective=objective, values=values)
        for fold in range(n_folds)
    )


def _read_subset(table: LabelledTable, column: str, usable: npt.NDArray[np.int64]) -> Subset | None:
    """The usable rows where a column is true; a row that does not say is none of them."""
    if not column:
        return None
    records = read_records(
        table.source, smiles_column=table.smiles_column, columns=[column], delimiter=table.delimiter
    )
    rows = []
    for record in records:
        if record.problem is not None:
            continue
        said = read_label(record.fields.get(column))
        if said.is_odd:
            raise InputError(
                f"{table.source}: row {record.row}: column {column!r} (evaluation.subset_column) says "
                f"{record.fields.get(column)!r}; it must say 1 or 0, or yes or no"
            )
        if said.value == 1:
            rows.append(record.row)
    chosen = np.intersect1d(np.array(rows, dtype=np.int64), usable)
    if not len(chosen):
        raise InputError(f"{table.source}: no usable row has a true {column!r} (evaluation.subset_column)")
    return Subset(column, chosen)


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
