"""The three things a row can be: read (`Record`), accepted (`Molecule`) or refused (`Rejection`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rdkit import Chem, rdBase

from molig.errors import UsageError
from molig.molecules.reasons import CHEMISTRY_ERRORS

MAX_SHOWN_SMILES = 200
"""A `Rejection` keeps this many characters of its SMILES, so that a report of rejections stays readable."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """One row as it was read, before any chemistry.

    Parameters
    ----------
    row : int
        1-based number of the record in its file; a header is not counted.
    id : str
        Identifier from the file; the row number where the file has none.
    smiles : str
        SMILES as written, ``""`` where the row has none, as in an SD file.
    fields : mapping of str to object
        Values of the extra columns that were asked for: text from text formats, typed from Parquet.
    mol : rdkit.Chem.Mol, optional
        A sanitised molecule that was given as such.
    problem : str, optional
        Why the reader could not make sense of the row; the parser turns it into a `Rejection`.
    kept : tuple
        Values of the columns that come along to the output, in the order of `Records.kept`, as far as the row
        has them; None for a missing one. Empty where a row cannot be cut into cells.
    block : str, optional
        SDF only: the mol block, which the parser reads, in whichever process that is.

    Examples
    --------
    >>> Record(1, "aspirin", "CC(=O)Oc1ccccc1C(=O)O").id
    'aspirin'
    """

    row: int
    id: str
    smiles: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    mol: Chem.Mol | None = None
    problem: str | None = None
    kept: tuple[Any, ...] = ()
    block: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is a molecule by its SMILES."""
        return self.mol is None and self.block is None


class Records(Iterator[Record]):
    """A stream of records, and which columns of the input come along in `Record.kept`.

    Parameters
    ----------
    records : iterator of Record
        The rows.
    kept : pyarrow.Schema, optional
        Names and types of the columns that come along.
    left_out : mapping of str to int, optional
        What does not, though all was asked for: properties of an SD file that none of the first records has,
        each with the row that has it first. Filled as rows are read.
    asked : mapping of str to object, optional
        How a file was asked to be read: the options of `molig.molecules.read_records` that were given.

    Examples
    --------
    >>> records = Records(iter([Record(1, "a", "CCO")]))
    >>> records.kept.names, next(records).smiles
    ([], 'CCO')
    """

    def __init__(
        self,
        records: Iterator[Record],
        kept: pa.Schema | None = None,
        left_out: Mapping[str, int] | None = None,
        asked: Mapping[str, object] | None = None,
    ) -> None:
        self._records = records
        self.asked: Mapping[str, object] = {} if asked is None else asked
        self.kept = pa.schema([]) if kept is None else kept
        self.left_out: Mapping[str, int] = {} if left_out is None else left_out

    def __next__(self) -> Record:
        """Read the next row."""
        return next(self._records)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is not scored, and why.

    Parameters
    ----------
    row : int
        1-based number of the record in its file.
    id : str
        Identifier of the record.
    smiles : str
        SMILES as written; beyond 200 characters it is cut and ends in ``"..."``.
    reason : str
        A text that begins with one of `molig.molecules.Reason`.

    Examples
    --------
    >>> Rejection(3, "3", "C" * 1000, "too large").smiles[-5:]
    'CC...'
    """

    row: int
    id: str
    smiles: str
    reason: str

    def __post_init__(self) -> None:
        if len(self.smiles) > MAX_SHOWN_SMILES:
            object.__setattr__(self, "smiles", self.smiles[: MAX_SHOWN_SMILES - 3] + "...")


@dataclass(frozen=True, slots=True)
class Molecule:
    """A row that became a molecule.

    Parameters
    ----------
    row : int
        1-based number of the record in its file.
    id : str
        Identifier of the record.
    smiles : str
        SMILES as given, not the standardised one.
    mol : rdkit.Chem.Mol
        Sanitised, standardised molecule, its hydrogens implicit or atoms as the parser was told.
    origin : tuple of int, optional
        For every atom of ``mol`` its index, from 0, among the atoms of ``smiles`` as written or of the SD
        record's block, explicit hydrogens and all fragments counted; -1 for an added hydrogen. None where the
        indices are the same. Kept because RDKit forgets atom properties when a molecule is pickled, and
        molecules travel between processes.
    removed : tuple of str
        What standardisation took away: names of counter-ions, solvents and elements, SMILES of other parts.
    n_input_atoms : int, optional
        Atoms of the input, which ``origin`` refers to; None where ``mol`` has as many.
    as_given : bool
        Whether ``smiles`` is known to stand for the molecule that is scored.
    elements : bytes, optional
        Atomic numbers of the atoms of ``mol``, where ``smiles`` is plain enough to show them.
    """

    row: int
    id: str
    smiles: str
    mol: Chem.Mol
    origin: tuple[int, ...] | None = None
    removed: tuple[str, ...] = ()
    n_input_atoms: int | None = None
    as_given: bool = False
    elements: bytes | None = None

    @property
    def scored_smiles(self) -> str:
        """SMILES of the molecule that is scored: ``smiles`` itself where that is the same compound."""
        if self.as_given:
            return self.smiles
        with rdBase.BlockLogs():
            try:
                scored = str(Chem.MolToSmiles(Chem.RemoveHs(self.mol)))
                if self.removed:  # one of several fragments, so not the compound as given
                    return scored
                given = Chem.MolFromSmiles(self.smiles)
            except CHEMISTRY_ERRORS:  # a bridging hydride that RDKit writes and does not take back
                return str(Chem.MolToSmiles(self.mol))
        return self.smiles if given is not None and Chem.MolToSmiles(given) == scored else scored

    @property
    def input_atoms(self) -> npt.NDArray[np.int64]:
        """`origin` as an array, in which added hydrogens are numbered behind the atoms of the input."""
        n_atoms = self.mol.GetNumAtoms()
        atoms = np.array(range(n_atoms) if self.origin is None else self.origin, dtype=np.int64)
        added = np.flatnonzero(atoms < 0)
        atoms[added] = (n_atoms if self.n_input_atoms is None else self.n_input_atoms) + np.arange(len(added))
        return atoms


def scored_note(smiles: str, scored_smiles: str, removed: Sequence[str]) -> str:
    """Say in a line what was scored instead of a SMILES; "" where nothing was changed."""
    if scored_smiles == smiles and not removed:
        return ""
    return f"Scored: {scored_smiles}" + (f"; removed: {'; '.join(removed)}" if removed else "")


def batched(iterable: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut a stream into lists of at most ``size`` items, in order."""
    if size < 1:
        raise UsageError(f"a batch holds at least 1 item (got size {size})")
    stream = iter(iterable)
    return iter(lambda: list(islice(stream, size)), [])
