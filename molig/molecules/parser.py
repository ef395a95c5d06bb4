"""From a record to a standardised molecule, or to the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from rdkit import Chem, rdBase

from molig.errors import UnknownNameError, UsageError
from molig.molecules.reasons import CHEMISTRY_ERRORS, Reason, describe_failure, one_line
from molig.molecules.records import Molecule, Record, Rejection
from molig.molecules.standardize import (
    Hydrogens,
    StandardizationPolicy,
    add_hydrogens,
    input_atom_indices,
    is_standard,
    to_parent,
)

ABSURD_SIZE_FACTOR = 10
"""An input of more than this many times the size limit is refused before any expensive step."""

Choice = TypeVar("Choice", bound=StrEnum)

_DUMMY = Chem.MolFromSmarts("[#0]")
# Everything that is neither metal nor hydrogen: with one such atom a molecule is not "metal only".
_NON_METAL = Chem.MolFromSmarts(
    "[#2,#5,#6,#7,#8,#9,#10,#14,#15,#16,#17,#18,#32,#33,#34,#35,#36,#51,#52,#53,#54,#85,#86]"
)


class _RefusedError(Exception):
    """Carries the text of a rejection up to where the `Rejection` is made."""


@dataclass(frozen=True, slots=True)
class MoleculeParser:
    """Turns records into standardised molecules; what cannot be turned comes back with its reason.

    Parameters
    ----------
    policy : StandardizationPolicy or str, default "parent"
        How far molecules are changed; see `StandardizationPolicy`.
    max_heavy_atoms : int, default 200
        Largest molecule accepted, in heavy atoms **after** standardisation, so that a large counter-ion does
        not count. An input with more than ten times as many altogether is refused before any expensive step.
    hydrogens : Hydrogens or str, default "implicit"
        Whether hydrogens become atoms after standardisation; see `Hydrogens`.

    Raises
    ------
    UnknownNameError
        If the policy or the way with hydrogens does not exist.
    UsageError
        If ``max_heavy_atoms`` is not positive.

    Notes
    -----
    The parser holds settings only, so it can be pickled and shared between processes and threads.

    Examples
    --------
    >>> parser = MoleculeParser()
    >>> Chem.MolToSmiles(parser.parse_smiles("[Na+].CC(=O)[O-]").mol)
    'CC(=O)O'
    >>> parser.parse_smiles("CC>>CO").reason
    'reaction SMILES: a reaction is not a compound'
    """

    policy: StandardizationPolicy | str = StandardizationPolicy.PARENT
    max_heavy_atoms: int = 200
    hydrogens: Hydrogens | str = Hydrogens.IMPLICIT

    def __post_init__(self) -> None:
        policy = _member(StandardizationPolicy, "standardisation policy", self.policy)
        hydrogens = _member(Hydrogens, "treatment of hydrogens", self.hydrogens)
        if self.max_heavy_atoms < 1:
            raise UsageError(f"max_heavy_atoms must be at least 1 (got {self.max_heavy_atoms})")
        object.__setattr__(self, "policy", policy)
        object.__setattr__(self, "hydrogens", hydrogens)

    def parse(self, record: Record) -> Molecule | Rejection:
        """Turn one record into a molecule.

        Parameters
        ----------
        record : Record
            A row as read.

        Returns
        -------
        Molecule or Rejection
            Carries the record's row, id and SMILES. Bad chemistry is a rejection, never an exception.
        """
        with rdBase.BlockLogs():
            return self._parse(record)

    def parse_smiles(self, smiles: str, row: int = 1, id: str | None = None) -> Molecule | Rejection:  # noqa: A002
        """Turn one SMILES into a molecule.

        Parameters
        ----------
        smiles : str
            SMILES text.
        row : int, default 1
            Row number to report.
        id : str, optional
            Identifier to report; the row number by default.

        Returns
        -------
        Molecule or Rejection
            As `parse`.

        Examples
        --------
        >>> MoleculeParser().parse_smiles("C1CC").reason
        'not parsable: syntax error'
        """
        return self.parse(Record(row=row, id=str(row) if id is None else id, smiles=smiles))

    def parse_many(self, records: Iterable[Record]) -> tuple[list[Molecule], list[Rejection]]:
        """Turn records into molecules.

        Parameters
        ----------
        records : iterable of Record
            Rows as read; every one of them comes back in one of the two lists.

        Returns
        -------
        molecules : list of Molecule
            In the order of the records.
        rejections : list of Rejection
            In the order of the records.

        Examples
        --------
        >>> molecules, rejections = MoleculeParser().parse_many([Record(1, "a", "CCO"), Record(2, "b", "")])
        >>> [m.id for m in molecules], [r.reason for r in rejections]
        (['a'], ['empty SMILES'])
        """
        molecules: list[Molecule] = []
        rejections: list[Rejection] = []
        # One block for all records: RDKit's log is a global switch, and switching takes half as long as a
        # query.
        with rdBase.BlockLogs():
            for record in records:
                result = self._parse(record)
                if isinstance(result, Molecule):
                    molecules.append(result)
                else:
                    rejections.append(result)
        return molecules, rejections

    def _parse(self, record: Record) -> Molecule | Rejection:
        try:
            mol, one_fragment = self._sanitized(record)
            mol, origin = self._standardized(mol, one_fragment)
            if self.hydrogens is Hydrogens.EXPLICIT:
                mol = _changed(add_hydrogens, mol)
                origin = tuple(input_atom_indices(mol))
        except _RefusedError as refused:
            return Rejection(record.row, record.id, record.smiles, str(refused))
        return Molecule(record.row, record.id, record.smiles, mol, origin)

    def _sanitized(self, record: Record) -> tuple[Chem.Mol, bool]:
        """Return the sanitised molecule and whether it is known to be one fragment."""
        if record.problem is not None:
            raise _RefusedError(record.problem)
        if record.mol is not None:
            return record.mol, len(Chem.GetMolFrags(record.mol)) == 1
        smiles = record.smiles.strip()
        self._check_text(smiles)
        try:
            mol = Chem.MolFromSmiles(smiles)
        except CHEMISTRY_ERRORS as error:
            raise _RefusedError(Reason.UNPARSABLE.text(one_line(error))) from error
        if mol is None:
            raw = Chem.MolFromSmiles(smiles, sanitize=False)
            raise _RefusedError(Reason.UNPARSABLE.text(describe_failure(raw)))
        return mol, "." not in smiles

    def _check_text(self, smiles: str) -> None:
        """Refuse what the text alone shows to be no compound, before RDKit sees it."""
        if not smiles:
            raise _RefusedError(Reason.EMPTY.text())
        if "\0" in smiles:
            raise _RefusedError(Reason.NULL_BYTES.text())
        if not smiles.isascii() and not smiles.split(None, 1)[0].isascii():
            # RDKit takes such a character for the end of the SMILES and would return what stands before it.
            raise _RefusedError(Reason.NOT_ASCII.text("a SMILES has none; is the file encoded in UTF-8?"))
        # "->" and "<-" are dative bonds; behind a blank stands a name or an extension with atom labels.
        if ">" in smiles and ">" in smiles.split(None, 1)[0].replace("->", ""):
            raise _RefusedError(Reason.REACTION.text("a reaction is not a compound"))
        # Fewer characters than that cannot spell so many atoms.
        if len(smiles) > ABSURD_SIZE_FACTOR * self.max_heavy_atoms:
            raw = Chem.MolFromSmiles(smiles, sanitize=False)
            if raw is not None:
                self._check_size(raw, ABSURD_SIZE_FACTOR)

    def _check_size(self, mol: Chem.Mol, factor: int = 1) -> None:
        n_heavy = mol.GetNumHeavyAtoms()
        if n_heavy > factor * self.max_heavy_atoms:
            detail = f"{n_heavy} heavy atoms, more than the limit of {self.max_heavy_atoms}"
            raise _RefusedError(Reason.TOO_LARGE.text(detail))

    def _standardized(self, mol: Chem.Mol, one_fragment: bool) -> tuple[Chem.Mol, tuple[int, ...] | None]:
        """Standardise a sanitised molecule and judge the result; returns it with the origin of its atoms."""
        origin = None
        parent = self.policy is StandardizationPolicy.PARENT
        if not (parent and one_fragment and is_standard(mol)):
            # What is_standard admits has neither dummy atoms nor metals, so only the others are asked.
            if mol.HasSubstructMatch(_DUMMY):
                raise _RefusedError(Reason.DUMMY_ATOM.text("an attachment point is not a compound"))
            self._check_size(mol, ABSURD_SIZE_FACTOR)
            if parent:
                mol = _changed(to_parent, mol)
                origin = tuple(input_atom_indices(mol))
            if mol.GetNumHeavyAtoms() and not mol.HasSubstructMatch(_NON_METAL):
                raise _RefusedError(Reason.METAL_ONLY.text(Chem.MolToSmiles(mol)))
        if mol.GetNumHeavyAtoms() == 0:
            raise _RefusedError(Reason.NO_ATOMS.text())
        self._check_size(mol)
        return mol, origin


def _member(kind: type[Choice], name: str, value: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        raise UnknownNameError(name, str(value), [member.value for member in kind]) from None


def _changed(change: Callable[[Chem.Mol], Chem.Mol], mol: Chem.Mol) -> Chem.Mol:
    try:
        return change(mol)
    except CHEMISTRY_ERRORS as error:
        detail = f"{type(error).__name__}: {one_line(error)}"
        raise _RefusedError(Reason.STANDARDIZATION.text(detail)) from error
