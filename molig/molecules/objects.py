"""What a Python session has at hand as records: SMILES, molecules of RDKit, tables of pandas."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rdkit import Chem, rdBase

from molig.deferred import deferred
from molig.errors import InputError
from molig.molecules.columns import KEEP_NONE, Kept, Request, find_layout, known_position
from molig.molecules.notices import Notices
from molig.molecules.reasons import CHEMISTRY_ERRORS, Reason, one_line
from molig.molecules.records import Record, Records
from molig.molecules.standardize import INPUT_INDEX_PROPERTY, merge_hydrogens

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = deferred("pandas")

_HYDROGEN = Chem.MolFromSmarts("[#1]")
_TABLE = "the table"


def smiles_records(smiles: Iterable[Any]) -> Iterator[Record]:
    """Make records of plain SMILES or molecules of RDKit, numbered from 1.

    Parameters
    ----------
    smiles : iterable of str or rdkit.Chem.Mol
        Any stream of them, such as a pandas column; None and NaN count as empty.

    Returns
    -------
    iterator of Record
        The number is also the id, but for molecules that have a name (``_Name``). The atoms of a molecule are
        counted as they stand in it.

    Examples
    --------
    >>> [record.id for record in smiles_records(["CCO", Chem.MolFromSmiles("CCN")])]
    ['1', '2']
    """
    for row, given in enumerate(smiles, start=1):
        yield _mol_record(row, given) if isinstance(given, Chem.Mol) else Record(row, str(row), _text(given))


def _text(value: Any) -> str:
    # Half a surrogate pair is no character, and no table takes it.
    known = isinstance(value, str) or not pd.isna(value)
    return str(value).encode(errors="replace").decode() if known else ""


def _mol_record(row: int, given: Chem.Mol) -> Record:
    """Record of a molecule, which stays as it is."""
    mol = Chem.Mol(given)
    name = mol.GetProp("_Name").strip() if mol.HasProp("_Name") else ""
    for known in mol.GetPropNames(includePrivate=True):
        mol.ClearProp(known)
    for atom in mol.GetAtoms():
        atom.ClearProp(INPUT_INDEX_PROPERTY)
    try:
        with rdBase.BlockLogs():
            Chem.SanitizeMol(mol)
            mol = merge_hydrogens(mol) if mol.HasSubstructMatch(_HYDROGEN) else mol
            return Record(row, name or str(row), Chem.MolToSmiles(mol), mol=mol)
    except CHEMISTRY_ERRORS as error:
        return Record(row, name or str(row), "", problem=Reason.UNPARSABLE.text(one_line(error)))


def records_of(
    molecules: Any,
    *,
    smiles_column: str | None = None,
    id_column: str | None = None,
    keep: str | Sequence[str] = KEEP_NONE,
) -> Records:
    """Make records of molecules that are no file.

    Parameters
    ----------
    molecules : iterable of str or rdkit.Chem.Mol, Mol, or pandas.DataFrame
        SMILES or molecules; or a table, whose columns are found as those of a file are. A table without a
        column of SMILES may have one of molecules.
    smiles_column, id_column : str, optional
        Columns of a table, if not under usual names.
    keep : {"all", "none"} or sequence of str, optional
        Columns of a table that come along; those of molecules do not.

    Returns
    -------
    Records

    Raises
    ------
    UsageError
        If a table has no column of SMILES or molecules, or none of a name that was given.
    InputError
        If a table has no rows.

    Examples
    --------
    >>> frame = pd.DataFrame({"SMILES": ["CCO"], "name": ["ethanol"], "price": [2.5]})
    >>> records = records_of(frame, keep="all")
    >>> next(records).id, records.kept.names
    ('ethanol', ['price'])
    """
    if isinstance(molecules, Chem.Mol):
        molecules = [molecules]
    if "pandas" in sys.modules and isinstance(molecules, pd.DataFrame):
        return _table_records(molecules, smiles_column, id_column, Kept.of(keep))
    return Records(smiles_records(molecules))


def _table_records(
    frame: pd.DataFrame, smiles_column: str | None, id_column: str | None, kept: Kept
) -> Records:
    if frame.empty:
        raise InputError(f"{_TABLE} has no rows; expected one per molecule")
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    mols = [place for place, column in enumerate(columns) if _holds_molecules(column)]
    names = ["" if place in mols else str(name) for place, name in enumerate(frame.columns)]
    request = Request(smiles_column, id_column, keep=kept)
    if known_position(names, request) is None and len(mols) == 1 and smiles_column is None:
        names[mols[0]] = "smiles"
    arrays = [None if place in mols else _array(column) for place, column in enumerate(columns)]
    types = [pa.null() if array is None else array.type for array in arrays]
    layout = find_layout(names, request, Notices(_TABLE), types)
    along = [place for place in layout.kept if place not in mols]
    fields = dict(zip(layout.kept, kept.schema, strict=True))
    values = [[] if array is None else array.to_pylist() for array in arrays]
    ids = values[layout.id] if layout.id is not None else [None] * len(frame)

    def records() -> Iterator[Record]:
        given = smiles_records(columns[layout.smiles])
        for record, name, *cells in zip(given, ids, *(values[place] for place in along), strict=True):
            told = record.id if name is None or _text(name) == "" else _text(name)
            yield Record(
                record.row, told, record.smiles, mol=record.mol, problem=record.problem, kept=tuple(cells)
            )

    return Records(records(), pa.schema([fields[place] for place in along]))


def _holds_molecules(column: pd.Series[Any]) -> bool:
    return column.dtype == object and any(isinstance(value, Chem.Mol) for value in column)


def _array(column: pd.Series[Any]) -> pa.Array:
    """Cells of a column; as text, where they are of several kinds."""
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        return pa.array([_text(value) or None for value in column], pa.string())
