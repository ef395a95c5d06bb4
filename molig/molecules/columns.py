"""Finding the SMILES and the identifier among the columns of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass

from molig.errors import UnknownNameError, UsageError, called
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
    delimiter: str | None = None

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
    places = {name: position_of(name, names) for name in request.named}
    found = known_position(names, request)
    if found is None:
        raise UsageError(
            f"{notices.where}: no column looks like SMILES among {', '.join(map(repr, names[:20]))}; "
            f"name the column or give its number ({called('smiles_column')}), say what separates the columns "
            f"({called('delimiter')}), or add a header line if the file has none"
        )
    smiles = found[1]
    duplicates = [name for name, count in Counter(names).items() if name and count > 1]
    if duplicates:
        notices.duplicate_columns(duplicates)
    if request.id_column is not None:
        identifier: int | None = places[request.id_column]
    else:
        identifier = _usual_position(names, ID_NAMES, taken=smiles)
    fields = {name: places.get(name, -1) for name in request.fields(names)}
    fields = {name: names.index(name) if place < 0 else place for name, place in fields.items()}
    return Layout(smiles, identifier, fields, names)


def position_of(name: str, names: Sequence[str]) -> int:
    """Where a column is that was asked for by its name, or by its number from 1."""
    if name in names:
        return names.index(name)
    if name.isdecimal() and 0 < int(name) <= len(names):
        return int(name) - 1
    raise UnknownNameError("column", name, names)


def known_position(names: Sequence[str], request: Request) -> tuple[bool, int] | None:
    """Where the SMILES are: whether their column has a usual name or was asked for, and its position."""
    try:
        places = {name: position_of(name, names) for name in request.named}
    except UnknownNameError:
        return None
    if request.smiles_column is not None:
        return True, places[request.smiles_column]
    usual = _usual_position(names, SMILES_NAMES)
    if usual is not None:
        return True, usual
    containing = [i for i, name in enumerate(names) if "smiles" in folded(name)]
    return (False, containing[0]) if len(containing) == 1 else None


def _usual_position(names: Sequence[str], known: Sequence[str], taken: int | None = None) -> int | None:
    places = {folded(name): i for i, name in reversed(list(enumerate(names))) if i != taken}
    return next((places[name] for name in known if name in places), None)
