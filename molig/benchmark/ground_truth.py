"""Molecules whose right explanation is known, read from Parquet files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rdkit import Chem

from molig.benchmark.metrics import Part
from molig.datasets.places import DATA_DIR_VARIABLE
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import Objective
from molig.molecules import Hydrogens

# The published sets: what their files hold and what makes their targets.

GRAPH_ATTRIBUTION = "google-research/graph-attribution"
IBENCHMARK = "ci-lab-cz/ibenchmark"


@dataclass(frozen=True)
class GroundTruthSet:
    """Description of one published set."""

    name: str
    file: str
    target: str  # column that a model is trained on
    objective: Objective
    id_column: str
    truth_column: str  # true atom scores
    rule: str  # what makes the target, in words
    metrics: tuple[str, ...]  # the main one first; see `evaluation_metrics`
    source: str  # public GitHub repository; "" for a truth of one's own
    # Explicit where the truth covers hydrogen atoms, in the order of ``Chem.AddHs(MolFromSmiles(smiles))``.
    hydrogens: Hydrogens = Hydrogens.IMPLICIT
    recipe: str = ""  # that comes with molig; "" is the one of its own name


def _fragments(name: str, rule: str, more: tuple[str, ...] = (), recipe: str = "") -> GroundTruthSet:
    return GroundTruthSet(
        name=name,
        file=f"attr_{name}.parquet",
        target="label",
        objective=Objective.CLASSIFICATION,
        id_column="mol_id",
        truth_column="atom_attribution",
        rule=rule,
        metrics=("attribution_auroc", *more),
        source=GRAPH_ATTRIBUTION,
        recipe=recipe,
    )


def _ibenchmark(name: str, objective: Objective, rule: str) -> GroundTruthSet:
    return GroundTruthSet(
        name=name,
        file=f"ibenchmark_{name}.parquet",
        target="activity",
        objective=objective,
        id_column="mol_id",
        truth_column="atom_label",
        rule=rule,
        metrics=("top_n", "attribution_auroc"),
        source=IBENCHMARK,
    )


_CRIPPEN = GroundTruthSet(
    name="crippen",
    file="attr_crippen.parquet",
    target="crippen_logp",
    objective=Objective.REGRESSION,
    id_column="compound",
    truth_column="atom_contribution",
    rule="Crippen's logP, a sum over atoms",
    metrics=("kendall_tau",),
    source=GRAPH_ATTRIBUTION,
    hydrogens=Hydrogens.EXPLICIT,
)

_SETS = (
    _fragments("benzene", "a benzene ring", ("jaccard",)),
    # Not tuned for themselves: the recipe was chosen on rules of molig's own.
    _fragments("logic7", "a fluorine and a carbonyl", ("jaccard",), "rule"),
    _fragments("logic10", "an NH2, an ether and a benzene ring with at most one substituent", recipe="rule"),
    _CRIPPEN,
    _ibenchmark("N", Objective.REGRESSION, "number of nitrogen atoms"),
    _ibenchmark("N_plus_O", Objective.REGRESSION, "half the number of nitrogen and oxygen atoms"),
    _ibenchmark("amide", Objective.REGRESSION, "number of amides NC=O"),
    _ibenchmark("amide_class", Objective.CLASSIFICATION, "at least one amide NC=O"),
)


def ground_truth_sets() -> dict[str, GroundTruthSet]:
    """Published sets that explanations can be judged with, by name.

    Returns
    -------
    dict of str to GroundTruthSet
        In a fixed order.

    Examples
    --------
    >>> list(ground_truth_sets())
    ['benzene', 'logic7', 'logic10', 'crippen', 'N', 'N_plus_O', 'amide', 'amide_class']
    """
    return {description.name: description for description in _SETS}


FloatArray = npt.NDArray[np.float64]

PARTS = ("train", "test")


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Molecules, targets and true atom scores of one set, or of a part of it.

    Parameters
    ----------
    description : GroundTruthSet
        Which set.
    ids, smiles : tuple of str
        Identifier and SMILES of each molecule.
    targets : array of float, shape (n_mols,)
        What a model is trained to predict.
    parts : array of str, shape (n_mols,)
        ``"train"`` or ``"test"``, as published.
    truths : tuple of array of float, shape (n_alternatives, n_atoms)
        Per molecule the valid explanations, one a row: 0 or 1 per atom (iBenchmark also knows -1), or a real
        contribution. A molecule without the pattern has one row of zeros.
    bond_truths : tuple of array of float, shape (n_alternatives, n_bonds), optional
        The same of the bonds, in the order of ``GetBonds()``; empty where the set says nothing of bonds.

    Examples
    --------
    >>> one = GroundTruth(ground_truth_sets()["N"], ("a",), ("CN",), np.ones(1), np.array(["test"]),
    ...                   (np.array([[0.0, 1.0]]),))
    >>> len(one.part("test")), len(one.part("train"))
    (1, 0)
    >>> one.molecule(0).GetNumAtoms()
    2
    """

    description: GroundTruthSet
    ids: tuple[str, ...]
    smiles: tuple[str, ...]
    targets: FloatArray
    parts: npt.NDArray[np.str_]
    truths: tuple[FloatArray, ...]
    bond_truths: tuple[FloatArray, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, name: str) -> GroundTruth:
        """Only the molecules of the ``"train"`` or the ``"test"`` part, in the same order."""
        if name not in PARTS:
            raise UnknownNameError("part", name, PARTS)
        return self.take(np.flatnonzero(self.parts == name).tolist())

    def take(self, rows: Iterable[int]) -> GroundTruth:
        """Only some molecules, given by their rows (from 0), in this order."""
        wanted = list(rows)
        return GroundTruth(
            self.description,
            tuple(self.ids[i] for i in wanted),
            tuple(self.smiles[i] for i in wanted),
            self.targets[wanted],
            self.parts[wanted],
            tuple(self.truths[i] for i in wanted),
            tuple(self.bond_truths[i] for i in wanted) if self.bond_truths else (),
        )

    def truths_of(self, part: Part) -> tuple[FloatArray, ...]:
        """True scores of what a metric looks at."""
        return self.bond_truths if part is Part.BONDS else self.truths

    def molecule(self, row: int) -> Chem.Mol:
        """One molecule, its atoms (hydrogens too, where the truth covers them) in the order of its truth.

        Raises InputError if RDKit cannot read it, or reads another number of atoms than the truth has.
        """
        mol = Chem.MolFromSmiles(self.smiles[row])
        if mol is not None and self.description.hydrogens is Hydrogens.EXPLICIT:
            mol = Chem.AddHs(mol)
        n_atoms = self.truths[row].shape[1]
        if mol is None or mol.GetNumAtoms() != n_atoms:
            read = "cannot read it" if mol is None else f"reads {mol.GetNumAtoms()}"
            raise _bad_file(
                self.description,
                f"molecule {self.ids[row]} ({self.smiles[row]}) has a truth for {n_atoms} atoms, "
                f"but RDKit {read}",
            )
        return mol

    def to_frame(self) -> pd.DataFrame:
        """Columns id, smiles, the target under its name, and split: a table to train on."""
        columns = {"id": self.ids, "smiles": self.smiles, self.description.target: self.targets}
        return pd.DataFrame({**columns, "split": self.parts})


def read_ground_truth(name: str, directory: str | Path | None = None) -> GroundTruth:
    """Read one set.

    Parameters
    ----------
    name : str
        Name of the set; see `ground_truth_sets`.
    directory : str or Path, optional
        Where its file lies; by default what the environment variable ``MOLIG_DATA_DIR`` says.

    Returns
    -------
    GroundTruth
        All molecules, in the order of the file.

    Raises
    ------
    UnknownNameError
        If there is no such set.
    UsageError
        If neither a directory is given nor the variable set.
    InputError
        If the file is missing, damaged, or does not hold what it should.

    Examples
    --------
    >>> read_ground_truth("logic9")
    Traceback (most recent call last):
        ...
    molig.errors.UnknownNameError: unknown ground-truth set 'logic9'; did you mean 'logic7'? Valid: ...
    """
    sets = ground_truth_sets()
    if name not in sets:
        raise UnknownNameError("ground-truth set", name, sets)
    what = sets[name]
    columns = [what.id_column, "smiles", what.target, "split", what.truth_column]
    table = read_table(find_data_file(what.file, what.source, directory), columns, what.source)
    parts = np.array(table.column("split").to_pylist(), dtype=np.str_)
    strange = sorted(set(parts.tolist()) - set(PARTS))
    if strange:
        raise _bad_file(what, f"column 'split' holds {strange[0]!r}; only train and test are known")
    ids = tuple(str(value) for value in table.column(what.id_column).to_pylist())
    return GroundTruth(
        what,
        ids,
        tuple(str(value) for value in table.column("smiles").to_pylist()),
        np.array(table.column(what.target).to_pylist(), dtype=float),
        parts,
        tuple(
            _alternatives_of(value, what, molecule)
            for value, molecule in zip(table.column(what.truth_column).to_pylist(), ids, strict=True)
        ),
    )


def _alternatives_of(value: Any, what: GroundTruthSet, molecule: str) -> FloatArray:
    truth = alternatives(value)
    if truth is None:
        raise _bad_file(
            what, f"column {what.truth_column!r} of molecule {molecule} is not one number per atom"
        )
    return truth


def alternatives(value: Any) -> FloatArray | None:
    """One list of numbers, or several of the same length, as rows; None for anything else."""
    try:
        truth = np.array(value, dtype=float, ndmin=2)
    except (TypeError, ValueError):  # lists of different lengths, or no numbers
        return None
    return truth if truth.ndim == 2 and truth.size and np.isfinite(truth).all() else None


def find_data_file(file: str, source: str, directory: str | Path | None = None) -> Path:
    """Locate a data file, or say what is needed and where it comes from."""
    folder = directory or os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        raise UsageError(
            f"no data directory: set {DATA_DIR_VARIABLE} to the directory that holds {file} "
            f"(made from github.com/{source})"
        )
    path = Path(folder) / file
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; the published data are in github.com/{source}. Write them as Parquet "
            f"under this name, or name the directory that holds it ({DATA_DIR_VARIABLE})"
        )
    return path


def read_table(path: Path, columns: list[str], source: str) -> pa.Table:
    """Read some columns of a Parquet file."""
    try:
        present = pq.read_schema(path).names
        missing = [column for column in columns if column not in present]
        if not missing:
            return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        detail = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable Parquet file ({detail}); write it again") from error
    raise InputError(
        f"{path}: has no column {missing[0]!r} (columns: {', '.join(present)}); "
        f"the file must hold the data of github.com/{source}"
    )


def _bad_file(what: GroundTruthSet, fault: str) -> InputError:
    if not what.source:
        return InputError(f"{what.file}: {fault}")
    return InputError(f"{what.file}: {fault}; write the file again from github.com/{what.source}")
