"""From a record to a standardised molecule, or to the reason why not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from rdkit import Chem, rdBase

from molig.errors import UnknownNameError, UsageError
from molig.molecules.guard import Answer, Question, ask_guard, check_rings, is_suspect
from molig.molecules.reasons import (
    ASCII_BLANKS,
    CHEMISTRY_ERRORS,
    MAX_LINE_CHARACTERS,
    Reason,
    RefusedError,
    describe_failure,
    one_line,
)
from molig.molecules.records import Molecule, Record, Rejection
from molig.molecules.sdf_reader import structure
from molig.molecules.standardize import (
    Hydrogens,
    StandardizationPolicy,
    add_hydrogens,
    input_atom_indices,
    is_standard,
    mark_input_size,
    merge_hydrogens,
    n_input_atoms,
    only_metals,
    with_removed_parts,
)

ABSURD_SIZE_FACTOR = 10
"""An input of more than this many times the size limit is refused before any expensive step."""

Choice = TypeVar("Choice", bound=StrEnum)
T = TypeVar("T")

_DUMMY = Chem.MolFromSmarts("[#0]")
# Numbers in brackets that are no chemistry: [9999C], [#9999], [C+99].
_ABSURD = re.compile(r"\[(?:\d{4}|\d*#\d{4}|[^\]\s]*[+-]\d{2})")
_BLANKS = re.compile(f"[{ASCII_BLANKS}]+")
_EXTENSION = re.compile(r"\|[^|]*\|")
# A hydrogen atom in a SMILES, labelled or not; mercury and others begin with the same letter.
HYDROGEN = re.compile(r"\[\d*(?:H(?![a-z])|#1\])")
# What may bear stereochemistry: marks of centres and double bonds, and extensions behind a blank.
_STEREO = re.compile(r"[@/\\\s]")

# The elements in a plain SMILES: atoms without brackets, or in brackets with hydrogens, charge and chirality.
_PLAIN_BRACKETS = re.compile(r"\[([CNOScnos])@{0,2}(?:H\d?)?(?:[+-]\d?)?\]")
_LETTERS = {"B": 5, "C": 6, "N": 7, "O": 8, "F": 9, "P": 15, "S": 16, "I": 53, "b": 5, "c": 6, "n": 7, "o": 8}
_TWO_LETTERS = {"Cl": (b"\x01", 17), "Br": (b"\x02", 35)}
_NOT_PLAIN = 255
_ELEMENT = bytearray([_NOT_PLAIN]) * 256
for _letter, _number in (_LETTERS | {"p": 15, "s": 16}).items():
    _ELEMENT[ord(_letter)] = _number
for _stand_in, _number in _TWO_LETTERS.values():
    _ELEMENT[_stand_in[0]] = _number
_NO_ATOM = b"()=#-:/\\.%0123456789"


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
        smiles = record.smiles
        try:
            if record.problem is not None:
                raise RefusedError(record.problem)
            if record.block is not None:
                given, smiles = structure(record.block)
                mol, removed = self.scored(given)
            elif record.mol is not None:
                mol, removed = self.scored(record.mol)
            elif is_suspect(smiles):
                settings = [str(self.policy), self.max_heavy_atoms, str(self.hydrogens)]
                mol, names = ask_guard({"smiles": smiles, "parser": settings})
                removed = tuple(names)
            else:
                mol, removed = self.scored(smiles)
        except RefusedError as refused:
            return Rejection(record.row, record.id, smiles, str(refused))
        n_input = n_input_atoms(mol)
        if n_input is None:
            elements = elements_of(smiles.strip()) if record.is_text else None
            return Molecule(record.row, record.id, smiles, mol, None, removed, None, True, elements)
        return Molecule(record.row, record.id, smiles, mol, _origin(mol), removed, n_input)

    def scored(self, source: str | Chem.Mol) -> tuple[Chem.Mol, tuple[str, ...]]:
        """The molecule that is scored for a SMILES or a sanitised molecule, and what was removed."""
        if isinstance(source, Chem.Mol):
            given, one_fragment = source, len(Chem.GetMolFrags(source)) == 1
        else:
            given, one_fragment = self._sanitized(source.strip())
        mol, removed = self._standardized(given, one_fragment)
        if self.hydrogens is Hydrogens.EXPLICIT:
            mol = _changed(add_hydrogens, mol)
        if mol is not given:
            mark_input_size(mol, n_input_atoms(given) or given.GetNumAtoms())
        return mol, removed

    def _sanitized(self, smiles: str) -> tuple[Chem.Mol, bool]:
        """Return the sanitised molecule and whether it is known to be one fragment."""
        self._check_text(smiles)
        try:
            mol = read_smiles(smiles)
        except CHEMISTRY_ERRORS as error:
            raise RefusedError(Reason.UNPARSABLE.text(one_line(error))) from error
        if mol is None:
            raw = Chem.MolFromSmiles(smiles, sanitize=False)
            raise RefusedError(Reason.UNPARSABLE.text(describe_failure(raw)))
        return mol, "." not in smiles

    def _check_text(self, smiles: str) -> None:
        """Refuse what the text alone shows to be no compound, before RDKit sees it."""
        if not smiles:
            raise RefusedError(Reason.EMPTY.text())
        if "\0" in smiles:
            raise RefusedError(Reason.NULL_BYTES.text())
        if len(smiles) > MAX_LINE_CHARACTERS:
            raise RefusedError(Reason.CELL_TOO_LONG.text())
        word, *behind = _BLANKS.split(smiles, 1)
        if not word.isascii():
            # RDKit takes such a character for the end of the SMILES and would return what stands before it.
            raise RefusedError(Reason.NOT_ASCII.text(_first_outside_ascii(word)))
        if behind and not _EXTENSION.fullmatch(behind[0]) and Chem.MolFromSmiles(word, sanitize=False):
            # RDKit would take it for a name and drop it.
            raise RefusedError(Reason.TEXT_BEHIND.text(f"{behind[0][:50]!r}; only |...| may stand there"))
        # "->" and "<-" are dative bonds.
        if ">" in word and ">" in word.replace("->", ""):
            raise RefusedError(Reason.REACTION.text("a reaction is not a compound"))
        if _ABSURD.search(smiles):
            # RDKit would keep the last bits of such numbers.
            raise RefusedError(Reason.UNPARSABLE.text("a charge, isotope or element number that cannot be"))

    def _check_size(self, mol: Chem.Mol, factor: int = 1) -> None:
        n_heavy = mol.GetNumHeavyAtoms()
        if n_heavy > factor * self.max_heavy_atoms:
            detail = f"{n_heavy} heavy atoms, more than the limit of {self.max_heavy_atoms}"
            raise RefusedError(Reason.TOO_LARGE.text(detail))

    def _standardized(self, mol: Chem.Mol, one_fragment: bool) -> tuple[Chem.Mol, tuple[str, ...]]:
        """Standardise a sanitised molecule and judge the result; returns it and what was removed."""
        removed: tuple[str, ...] = ()
        parent = self.policy is StandardizationPolicy.PARENT
        if not (parent and one_fragment and is_standard(mol)):
            # What is_standard admits has neither dummy atoms nor metals, so only the others are asked.
            if mol.HasSubstructMatch(_DUMMY):
                raise RefusedError(Reason.DUMMY_ATOM.text("an attachment point is not a compound"))
            self._check_size(mol, ABSURD_SIZE_FACTOR)
            if parent:
                mol, removed = _changed(with_removed_parts, mol)
            if mol.GetNumHeavyAtoms() and only_metals(mol):
                raise RefusedError(Reason.METAL_ONLY.text(Chem.MolToSmiles(mol)))
        if mol.GetNumHeavyAtoms() == 0:
            raise RefusedError(Reason.NO_ATOMS.text())
        self._check_size(mol)
        return mol, removed


def _first_outside_ascii(word: str) -> str:
    """What the first such character is; some look like a blank or a hyphen."""
    place, found = next((i, c) for i, c in enumerate(word, start=1) if not c.isascii())
    name = unicodedata.name(found, "no character of Unicode").lower()
    return f"character {place} is U+{ord(found):04X}, {name}; a SMILES has none"


def read_guarded(request: Question) -> Answer:
    """Read a long SMILES, in the process that may die of it: bounds first, before RDKit sanitises."""
    parser = MoleculeParser(*request["parser"])
    raw = Chem.MolFromSmiles(request["smiles"], sanitize=False)
    if raw is not None:
        parser._check_size(raw, ABSURD_SIZE_FACTOR)
        check_rings(raw)
    return parser.scored(request["smiles"])


def elements_of(smiles: str) -> bytes | None:
    """Atomic numbers of the atoms of a valid SMILES, in order, if it is plain enough to read them off.

    Examples
    --------
    >>> list(elements_of("C[C@H](N)C(=O)Cl")), elements_of("C[Se]C")
    ([6, 6, 7, 6, 8, 17], None)
    """
    if "[" in smiles:
        smiles = _PLAIN_BRACKETS.sub(r"\1", smiles)
    text = smiles.encode()
    for symbol, (stand_in, _) in _TWO_LETTERS.items():
        text = text.replace(symbol.encode(), stand_in)
    found = text.translate(_ELEMENT, _NO_ATOM)
    return None if _NOT_PLAIN in found else found


def read_smiles(smiles: str) -> Chem.Mol | None:
    """`Chem.MolFromSmiles`, with hydrogen atoms counted in the indices of the others, and faster."""
    if HYDROGEN.search(smiles) is not None:
        return _with_hydrogens(smiles)
    if _STEREO.search(smiles) is not None:
        return Chem.MolFromSmiles(smiles)
    # Without a mark of stereochemistry there is none to assign, which is a quarter of the work.
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        return None
    try:
        Chem.SanitizeMol(mol)
    except Chem.MolSanitizeException:
        return None
    mol.SetIntProp("_StereochemDone", 1, computed=True)
    return mol


def _with_hydrogens(smiles: str) -> Chem.Mol | None:
    """Parse a SMILES that has hydrogen atoms, so that they count in the indices of the other atoms."""
    params = Chem.SmilesParserParams()
    params.removeHs = False  # type: ignore[assignment]  # the stubs have methods for properties
    mol = Chem.MolFromSmiles(smiles, params)
    return None if mol is None else merge_hydrogens(mol)


def _origin(mol: Chem.Mol) -> tuple[int, ...] | None:
    """Input indices of the atoms, or None where they are the molecule's own."""
    origin = tuple(input_atom_indices(mol))
    return None if origin == tuple(range(len(origin))) else origin


def _member(kind: type[Choice], name: str, value: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        raise UnknownNameError(name, str(value), [member.value for member in kind]) from None


def _changed(change: Callable[[Chem.Mol], T], mol: Chem.Mol) -> T:
    try:
        return change(mol)
    except RefusedError:
        raise
    except CHEMISTRY_ERRORS as error:
        detail = f"{type(error).__name__}: {one_line(error)}"
        raise RefusedError(Reason.STANDARDIZATION.text(detail)) from error
