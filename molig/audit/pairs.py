"""Pairs of similar molecules with different activities: from a file, or from labels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from molig.audit.cliffs import with_rings
from molig.audit.subject import ActivityPair
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import ScreeningModel
from molig.molecules import Record, read_records

FIRST, SECOND, DIFFERENCE, TASK = "smiles_a", "smiles_b", "difference", "task"
"""Columns of a file of pairs."""

_N_BITS = 2048
_BLOCK = 512


def read_pairs(path: str | Path, model: ScreeningModel) -> list[ActivityPair]:
    r"""Read pairs of molecules with the difference of their activities.

    Parameters
    ----------
    path : str or Path
        A CSV, TSV or Parquet file with the columns ``smiles_a``, ``smiles_b``, ``difference`` (activity of
        the first minus that of the second) and, if the model has several tasks, ``task``.
    model : ScreeningModel
        Its tasks are meant, and its parser must accept the molecules.

    Returns
    -------
    list of ActivityPair

    Raises
    ------
    InputError
        Naming the row, for a molecule, a difference or a task that cannot be used.
    UsageError
        If the file or one of the columns does not exist, or no column says which task is meant.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import molig
    >>> model = molig.load_model("hiv-w2n2")
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "pairs.csv"
    ...     _ = path.write_text("smiles_a,smiles_b,difference\nCCO,CCN,-1.5\n")
    ...     [(pair.first, pair.difference, pair.task) for pair in read_pairs(path, model)]
    [('CCO', -1.5, 'HIV_active')]
    """
    columns = [SECOND, DIFFERENCE, TASK]
    try:
        records = read_records(path, smiles_column=FIRST, columns=columns)
    except UnknownNameError as error:
        if error.kind != "column" or error.name != TASK:
            raise
        if len(model.tasks) > 1:
            raise UsageError(
                f"{path}: model {model.name!r} has {len(model.tasks)} tasks; name the one that each pair is "
                f"about in a column {TASK!r}"
            ) from error
        records = read_records(path, smiles_column=FIRST, columns=columns[:2])
    return [_pair(path, model, record) for record in records]


def _pair(path: str | Path, model: ScreeningModel, record: Record) -> ActivityPair:
    where = f"{path}, row {record.row}"
    if record.problem:
        raise InputError(f"{where}: {record.problem}")
    second = _text(record.fields.get(SECOND))
    for column, smiles in ((FIRST, record.smiles), (SECOND, second)):
        for rejection in model.parser.parse_many([Record(record.row, record.id, smiles)])[1]:
            raise InputError(f"{where}: {column} {smiles!r} cannot be used: {rejection.reason}")
    text = _text(record.fields.get(DIFFERENCE))
    try:
        difference = float(text)
    except ValueError:
        difference = math.nan
    if not math.isfinite(difference) or difference == 0:
        raise InputError(f"{where}: {DIFFERENCE} is {text!r}; expected a number other than 0")
    task = _text(record.fields.get(TASK)) or (model.tasks[0] if len(model.tasks) == 1 else "")
    if task not in model.tasks:
        raise InputError(f"{where}: {UnknownNameError('task', task, model.tasks)}")
    return ActivityPair(record.smiles, second, difference, task)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def similar_pairs(
    mols: list[Chem.Mol],
    values: npt.NDArray[np.float64],
    least: npt.NDArray[np.float64],
    threshold: float,
) -> list[list[tuple[int, int]]]:
    """Find pairs of similar molecules whose values differ, for every column of values at once.

    Parameters
    ----------
    mols : list of Mol
        The molecules.
    values : array of float, shape (n_mols, n_columns)
        Their values; NaN where not known.
    least : array of float, shape (n_columns,)
        Least difference of the values.
    threshold : float
        Least Tanimoto similarity of Morgan fingerprints of radius 2, below 1: identical fingerprints show
        nothing that could be the cause.

    Returns
    -------
    list of list of (int, int)
        For each column places, the molecule of the higher value first; similarities are found
        block by block in bounded memory.
    """
    found: list[list[tuple[int, int]]] = [[] for _ in least]
    if len(mols) < 2:
        return found
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=_N_BITS)
    bits = np.array([generator.GetFingerprintAsNumPy(with_rings(mol)) for mol in mols], dtype=np.float32)
    sizes = bits.sum(axis=1)
    for start in range(0, len(mols), _BLOCK):
        shared = bits[start : start + _BLOCK] @ bits.T
        either = sizes[start : start + _BLOCK, None] + sizes[None] - shared
        similarity = shared / np.maximum(either, 1)
        rows, columns = np.nonzero((similarity >= threshold) & (similarity < 1))
        rows += start
        for place, column in enumerate(values.T):
            # NaN, a value that is not known, makes no pair.
            wanted = column[rows] - column[columns] >= least[place]
            found[place] += zip(rows[wanted].tolist(), columns[wanted].tolist(), strict=True)
    return found
