"""Finding the SMILES and the identifier among the columns of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

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


KEEP_ALL, KEEP_NONE = "all", "none"

MOST_LEFT_OUT = 1_000
"""So many names of properties that do not come along are remembered."""


@dataclass(slots=True)
class Kept:
    """Columns of the input that come along to the output: asked for, and found when a header is read."""

    asked: tuple[str, ...] | None = ()  # None: all but the SMILES and the identifier
    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, keep: str | Sequence[str]) -> Kept:
        """What ``"all"``, ``"none"`` or names mean."""
        if isinstance(keep, str):
            return cls(None if keep == KEEP_ALL else () if keep == KEEP_NONE else (keep,))
        return cls(tuple(dict.fromkeys(keep)))

    def choose(
        self, names: Sequence[str], taken: Container[int | None], types: Sequence[pa.DataType] | None = None
    ) -> tuple[int, ...]:
        """Find the columns in a header, and remember their names and types; text unless told otherwise."""
        unique = distinct_names(names)
        if self.asked is None:
            places = [i for i in range(len(names)) if i not in taken]
        else:
            places = [position_of(name, unique) for name in self.asked]
        self.describe([unique[i] for i in places], None if types is None else [types[i] for i in places])
        return tuple(places)

    def describe(self, names: Sequence[str], types: Sequence[pa.DataType] | None = None) -> None:
        """Say what the columns are."""
        self.schema = pa.schema(list(zip(names, types or [pa.string()] * len(names), strict=True)))


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which none occurs twice: a column without a name has its number, a second ``a`` is ``a.1``.

    Examples
    --------
    >>> distinct_names(["a", "", "a", "b", "a"])
    ('a', '2', 'a.1', 'b', 'a.2')
    """
    taken = set(names)
    found: list[str] = []
    seen: set[str] = set()
    for number, name in enumerate(names, start=1):
        unique, n = name or str(number), 0
        while unique in seen or (n and unique in taken):
            n += 1
            unique = f"{name or number}.{n}"
        seen.add(unique)
        found.append(unique)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Request:
    """Which columns the caller asked for; see `molig.molecules.read_records`."""

    smiles_column: str | None = None
    id_column: str | None = None
    columns: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    delimiter: str | None = None
    keep: Kept = field(default_factory=Kept)
    rows_before: int = 0  # in the files before this one
    skip: int = 0  # rows of this one that need not be read, where a format can do without

    @property
    def first_row(self) -> int:
        """Number of the first row of the file."""
        return 1 + self.rows_before

    @property
    def named(self) -> tuple[str, ...]:
        """All columns that the file must have."""
        return self.read + (self.keep.asked or ())

    @property
    def read(self) -> tuple[str, ...]:
        """Those of them that are more than brought along."""
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
    kept: tuple[int, ...] = ()


def find_layout(
    header: Sequence[str], request: Request, notices: Notices, types: Sequence[pa.DataType] | None = None
) -> Layout:
    """Locate the requested columns in a header; ``types`` are those of a file that states them."""
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
    return Layout(smiles, identifier, fields, names, request.keep.choose(names, (smiles, identifier), types))


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
