"""A user's own truth: molecules whose right explanation the user knows, in one documented layout.

Columns: ``smiles``; ``label`` (0 or 1, or a value); ``atom_truth``, a list with one number per atom in the
order of the SMILES, or a list of such lists where several explanations are right; and, if wanted,
``bond_truth`` (the same per bond, in the order of RDKit's ``GetBonds()``), ``split`` (train or test) and
``id``. In CSV the lists are written as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rdkit import Chem, rdBase

from molig.benchmark.ground_truth import PARTS, GroundTruth, GroundTruthSet, alternatives
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import Objective
from molig.molecules import Hydrogens

FloatArray = npt.NDArray[np.float64]

SMILES, LABEL, ATOMS, BONDS, SPLIT, ID = "smiles", "label", "atom_truth", "bond_truth", "split", "id"
_CSV, _PARQUET = (".csv", ".csv.gz"), (".parquet",)


def read_own_truth(
    path: str | Path, *, smiles_column: str | None = None, label_column: str | None = None
) -> GroundTruth:
    """Read a table of molecules whose right explanation is known.

    Parameters
    ----------
    path : str or Path
        Parquet or CSV; see above for the layout.
    smiles_column : str, optional
        Column with the SMILES; default ``smiles``.
    label_column : str, optional
        Column that a model is trained to predict; default ``label``. Without it only a model that is given
        can be judged.

    Returns
    -------
    GroundTruth
        All rows in their order. Without a column ``split`` all are test molecules. The truth covers hydrogen
        atoms if every row has one number per atom of ``Chem.AddHs(Chem.MolFromSmiles(smiles))``.

    Raises
    ------
    UsageError
        If the format is not known.
    UnknownNameError
        If a column that was named is not there.
    InputError
        If the file cannot be read, lacks a column, or a row does not fit; the first such row is named.

    Examples
    --------
    >>> import tempfile
    >>> table = pd.DataFrame({"smiles": ["CCO", "CC"], "label": [1, 0]})
    >>> table["atom_truth"] = ["[0, 0, 1]", "[0, 0]"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_csv(f"{folder}/alcohols.csv", index=False)
    ...     truth = read_own_truth(f"{folder}/alcohols.csv")
    >>> truth.description.metrics, truth.truths[0].tolist()
    (('attribution_auroc', 'top_n', 'jaccard', 'flat'), [[0.0, 0.0, 1.0]])
    """
    path = Path(path)
    frame = _read(path)
    return own_truth(
        frame, str(path), smiles_column=smiles_column or SMILES, label_column=label_column or LABEL
    )


def own_truth(
    frame: pd.DataFrame, where: str, *, smiles_column: str = SMILES, label_column: str = LABEL
) -> GroundTruth:
    """The same from a table in memory; ``where`` names it in messages."""
    _check_columns(frame, where, smiles_column, label_column)
    if not len(frame):
        raise InputError(f"{where}: holds no molecule")
    has_bonds = BONDS in frame
    rows = [
        _Row.of(number, values, has_bonds)
        for number, values in enumerate(_values(frame, smiles_column), start=1)
    ]
    hydrogens = _hydrogens(rows)
    _refuse([(row, row.fault(hydrogens)) for row in rows], where)
    labels = _labels(frame, label_column, where)
    binary = bool(np.isin(labels[np.isfinite(labels)], (0, 1)).all())
    truths = tuple(row.atoms for row in rows)
    bonds = tuple(row.bonds for row in rows) if has_bonds else ()
    description = GroundTruthSet(
        name=Path(where).name.split(".")[0] or "truth",
        file=where,
        target=label_column,
        objective=Objective.CLASSIFICATION if binary else Objective.REGRESSION,
        id_column=ID,
        truth_column=ATOMS,
        rule=f"as {where} says",
        metrics=_metrics(truths, bonds, where),
        source="",
        hydrogens=hydrogens,
        recipe="rule" if binary else "values",
    )
    ids = frame[ID].map(str) if ID in frame else [str(row.number) for row in rows]
    return GroundTruth(
        description,
        tuple(ids),
        tuple(row.smiles for row in rows),
        labels,
        _parts(frame, where),
        truths,
        bonds,
    )


def _read(path: Path) -> pd.DataFrame:
    name = path.name.lower()
    if not name.endswith((*_CSV, *_PARQUET)):
        raise UsageError(
            f"{path}: a truth is read from {', '.join((*_PARQUET, *_CSV))}; write the table in one of them"
        )
    try:
        if name.endswith(_CSV):
            return pd.read_csv(path, dtype=str, keep_default_na=False)
        table = pq.read_table(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    return pd.DataFrame({column: table.column(column).to_pylist() for column in table.column_names})


def _check_columns(frame: pd.DataFrame, where: str, smiles_column: str, label_column: str) -> None:
    names = [str(name) for name in frame.columns]
    for column, usual, option in (
        (smiles_column, SMILES, "--smiles-column"),
        (label_column, LABEL, "--label-column"),
    ):
        if column not in names and column != usual:
            raise UnknownNameError("column", column, names)
        if column not in names and column == SMILES:
            raise InputError(
                f"{where}: has no column {column!r} (columns: {', '.join(names)}); name yours with {option}"
            )
    if ATOMS not in names:
        raise InputError(
            f"{where}: has no column {ATOMS!r} (columns: {', '.join(names)}); it holds, per molecule, a list "
            "of one number per atom, or a list of such lists"
        )


def _values(frame: pd.DataFrame, smiles_column: str) -> list[tuple[Any, Any, Any]]:
    bonds = frame[BONDS] if BONDS in frame else [None] * len(frame)
    return list(zip(frame[smiles_column], frame[ATOMS], bonds, strict=True))


@dataclass(frozen=True)
class _Row:
    number: int
    smiles: str
    mol: Chem.Mol | None
    atoms: FloatArray
    bonds: FloatArray
    problem: str = ""

    has_bonds: bool = False

    @classmethod
    def of(cls, number: int, values: tuple[Any, Any, Any], has_bonds: bool) -> _Row:
        smiles, atoms, bonds = values
        with rdBase.BlockLogs():
            mol = Chem.MolFromSmiles(smiles) if isinstance(smiles, str) and smiles.strip() else None
        nothing = np.zeros((1, 0))
        of_atoms = _listed(atoms)
        of_bonds = _listed(bonds, may_be_empty=True) if has_bonds else nothing
        problem = "" if of_atoms is not None else f"{ATOMS} is {_shown(atoms)}, not one number per atom"
        if of_bonds is None:
            problem = problem or f"{BONDS} is {_shown(bonds)}, not one number per bond"
        return cls(
            number,
            str(smiles),
            mol,
            nothing if of_atoms is None else of_atoms,
            nothing if of_bonds is None else of_bonds,
            problem or ("" if mol is not None else "RDKit cannot read the SMILES"),
            has_bonds,
        )

    def n_atoms(self, hydrogens: Hydrogens) -> int:
        """Atoms of the molecule as read, hydrogens counted where they are atoms of the truth."""
        if self.mol is None:
            return 0
        return int(self.mol.GetNumAtoms(onlyExplicit=hydrogens is Hydrogens.IMPLICIT))

    def fault(self, hydrogens: Hydrogens) -> str:
        """What does not fit; "" if all does."""
        if self.problem or self.mol is None:
            return self.problem
        expected = self.n_atoms(hydrogens)
        if self.atoms.shape[1] != expected:
            return f"{ATOMS} has {self.atoms.shape[1]} numbers, the molecule {expected} atoms"
        mol = self.mol if hydrogens is Hydrogens.IMPLICIT else Chem.AddHs(self.mol)
        if self.has_bonds and self.bonds.shape[1] != mol.GetNumBonds():
            return f"{BONDS} has {self.bonds.shape[1]} numbers, the molecule {mol.GetNumBonds()} bonds"
        return ""


def _listed(value: Any, *, may_be_empty: bool = False) -> FloatArray | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if may_be_empty and value in ([], [[]]):
        return np.zeros((1, 0))
    return alternatives(value) if isinstance(value, list) else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _hydrogens(rows: Sequence[_Row]) -> Hydrogens:
    """Explicit where every row has a number for each hydrogen, and some row has hydrogens."""
    read = [row for row in rows if row.mol is not None and not row.problem]
    explicit = all(row.atoms.shape[1] == row.n_atoms(Hydrogens.EXPLICIT) for row in read)
    implicit = all(row.atoms.shape[1] == row.n_atoms(Hydrogens.IMPLICIT) for row in read)
    return Hydrogens.EXPLICIT if explicit and not implicit and read else Hydrogens.IMPLICIT


def _refuse(faults: Sequence[tuple[_Row, str]], where: str) -> None:
    wrong = [(row, fault) for row, fault in faults if fault]
    if not wrong:
        return
    row, fault = wrong[0]
    others = len(wrong) - 1
    more = f"; {others} more row{'s do' if others > 1 else ' does'} not fit" if others else ""
    raise InputError(
        f"{where}, row {row.number} ({row.smiles!r}): {fault}{more}. Numbers follow the order in which RDKit "
        "reads the SMILES; hydrogens count in all rows (behind the other atoms) or in none"
    )


def _labels(frame: pd.DataFrame, column: str, where: str) -> FloatArray:
    if column not in frame:
        return np.full(len(frame), np.nan)
    labels = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
    wrong = np.flatnonzero(~np.isfinite(labels))
    if len(wrong):
        row = int(wrong[0])
        raise InputError(f"{where}, row {row + 1}: {column} is {frame[column].iloc[row]!r}, not a number")
    return labels


def _parts(frame: pd.DataFrame, where: str) -> npt.NDArray[np.str_]:
    if SPLIT not in frame:
        return np.full(len(frame), "test")
    parts = [str(part).strip() for part in frame[SPLIT]]
    for row, part in enumerate(parts, start=1):
        if part not in PARTS:
            raise InputError(f"{where}, row {row}: {SPLIT} is {part!r}; only {' and '.join(PARTS)} are known")
    return np.array(parts, dtype=np.str_)


def _metrics(truths: Sequence[FloatArray], bonds: Sequence[FloatArray], where: str) -> tuple[str, ...]:
    """What the truth can be judged by: ranks of contributions, or atoms that are marked."""
    marks = all(np.isin(truth, (-1, 0, 1)).all() for truth in truths)
    single = all(len(truth) == 1 for truth in truths)
    if not marks and not single:
        row = next(number for number, truth in enumerate(truths, start=1) if len(truth) > 1)
        raise InputError(
            f"{where}, row {row}: several explanations can be right only where atoms are marked (0 or 1); "
            "real contributions take one list per molecule"
        )
    if not marks:
        metrics = ["kendall_tau"]
    else:
        metrics = ["attribution_auroc", *(["top_n"] if single else []), "jaccard"]
    metrics += ["bond_auroc"] if bonds else []
    if any((truth == truth[:, :1]).all() for truth in truths):
        metrics += ["flat", *(["flat_bonds"] if bonds else [])]
    return tuple(metrics)
