"""Finding the SMILES and the identifier among the columns of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass

from molig.errors import UnknownNameError, UsageError
from molig.molecules.notices import Notices

SMILES_NAMES = (
    "smiles",
    "canonical_smiles",
    "isomeric_smiles",
    "canonicalsmiles",
    "isomericsmiles",
    "smi",
    "smile",
    "cxsmiles",
    "rdkit_smiles",
    "standardized_smiles",
    "compound_smiles",
    "molecule_smiles",
    "smiles_string",
    "structure",
    "structures",
)
"""Column names taken for the SMILES, best first; compared without case, blanks and hyphens as underscores."""

ID_NAMES = (
    "id",
    "mol_id",
    "molid",
    "molecule_id",
    "compound_id",
    "cmpd_id",
    "chembl_id",
    "molecule_chembl_id",
    "pubchem_cid",
    "cid",
    "zinc_id",
    "catalog_id",
    "idnumber",
    "name",
    "mol_name",
    "molecule_name",
    "compound_name",
    "compound",
    "molecule",
    "title",
)
"""Column names taken for the identifier, best first."""


def folded(name: str) -> str:
    """A column name without case and with underscores for blanks and hyphens, as names are compared."""
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


@dataclass(frozen=True, slots=True)
class Request:
    """Which columns the caller asked for; see `molig.molecules.read_records`."""

    smiles_column: str | None = None
    id_column: str | None = None
    columns: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """All columns that the file must have."""
        return tuple(name for name in (self.smiles_column, self.id_column) if name) + self.columns

    def fields(self, names: Container[str]) -> tuple[str, ...]:
        """Columns to return as `Record.fields` from a file that has the given ones."""
        present = (name for name in self.optional if name in names)
        return tuple(dict.fromkeys((*self.columns, *present)))


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of SMILES, identifier and further columns, and the whole header."""

    smiles: int
    id: int | None
    fields: dict[str, int]
    names: tuple[str, ...]


def find_layout(header: Sequence[str], request: Request, notices: Notices) -> Layout:
    """Locate the requested columns in a header."""
    names = tuple(name.strip() for name in header)
    for name in request.named:
        if name not in names:
            raise UnknownNameError("column", name, names)
    smiles = _position(names, request.smiles_column, SMILES_NAMES)
    if smiles is None:
        smiles = _only_one_containing(names, "smiles")
    if smiles is None:
        raise UsageError(
            f"{notices.where}: no column looks like SMILES among {', '.join(map(repr, names[:20]))}; "
            "name the column (smiles_column), or add a header line if the file has none"
        )
    duplicates = [name for name, count in Counter(names).items() if name and count > 1]
    if duplicates:
        notices.duplicate_columns(duplicates)
    identifier = _position(names, request.id_column, ID_NAMES, taken=smiles)
    return Layout(smiles, identifier, {name: names.index(name) for name in request.fields(names)}, names)


def _position(
    names: tuple[str, ...], wanted: str | None, known: Sequence[str], taken: int | None = None
) -> int | None:
    if wanted is not None:
        return names.index(wanted)
    places = {folded(name): i for i, name in reversed(list(enumerate(names))) if i != taken}
    return next((places[name] for name in known if name in places), None)


def _only_one_containing(names: tuple[str, ...], word: str) -> int | None:
    places = [i for i, name in enumerate(names) if word in folded(name)]
    return places[0] if len(places) == 1 else None
