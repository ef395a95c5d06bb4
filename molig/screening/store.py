"""Reading a feature store: rows and features of a library, without a molecule being parsed."""

from __future__ import annotations

import json
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import count, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rdkit
from pydantic import ValidationError
from rdkit import Chem

from molig.errors import InputError, UnknownNameError, UsageError, called
from molig.features import FeatureSchema, PackedGraphs
from molig.features.columns import decoded, feature_fields
from molig.features.environments import numbering_digest
from molig.files import digest_of, read_regular
from molig.model import ModelInfo, ScoringModel, ScreeningModel, SideBySide
from molig.model.domain import N_BITS, RADIUS, Traits
from molig.molecules import Molecule, MoleculeParser, Record, Rejection, read_records
from molig.molecules.columns import KEEP_ALL, KEEP_NONE
from molig.molecules.records import Records
from molig.molecules.sources import STORE_FILE
from molig.molecules.standardize import PARENT_VERSION
from molig.screening.hits import INPUT_PREFIX, REJECTION_SCHEMA
from molig.screening.store_layout import (
    FORMAT,
    FORMAT_VERSION,
    REJECTED_FILE,
    Layout,
    StoredFile,
    StoreInfo,
    decoded_traits,
    way_of_reading,
)

_LARGEST_INFO = 64_000_000
# Held in memory, per process: the row groups that neighbouring batches share, of several schemas.
_GROUPS_KEPT = 6


class Place(NamedTuple):
    """Where a molecule stands: number of its file, and row in it."""

    file: int
    row: int


@dataclass(frozen=True, slots=True)
class StoredRecord(Record):
    """A row of a store: the molecule at a place, or with ``problem`` the reason of its rejection.

    Parameters
    ----------
    scored_smiles, removed : str, optional
        As in the hit table; None where nothing was changed or removed.
    place : Place, optional
        Of the molecule's features.
    """

    scored_smiles: str | None = None
    removed: str | None = None
    place: Place | None = None


class StoredMolecule(Molecule):
    """A molecule of which a store has the features; the molecule itself is parsed only if it is asked for."""

    __slots__ = ("_parser", "_scored_smiles", "place")

    place: Place
    _scored_smiles: str | None
    _parser: MoleculeParser

    def __init__(self, record: StoredRecord, place: Place, parser: MoleculeParser) -> None:
        put = object.__setattr__
        put(self, "row", record.row)
        put(self, "id", record.id)
        put(self, "smiles", record.smiles)
        put(self, "removed", () if record.removed is None else (record.removed,))
        put(self, "_scored_smiles", record.scored_smiles)
        put(self, "place", place)
        put(self, "_parser", parser)

    @property
    def scored_smiles(self) -> str:
        """SMILES of the molecule that is scored."""
        return self.smiles if self._scored_smiles is None else self._scored_smiles

    @property
    def mol(self) -> Chem.Mol:
        """The standardised molecule, from its SMILES."""
        return self._read().mol

    @property
    def origin(self) -> tuple[int, ...] | None:
        """Input index of every atom."""
        return self._read().origin

    @property
    def n_input_atoms(self) -> int | None:
        """Atoms of the input."""
        return self._read().n_input_atoms

    @property
    def elements(self) -> bytes | None:
        """Atomic numbers, where the SMILES tells them."""
        return self._read().elements

    @property
    def as_given(self) -> bool:
        """Whether the SMILES stands for what is scored."""
        return self._scored_smiles is None

    def _read(self) -> Molecule:
        found = self._parser.parse(Record(self.row, self.id, self.smiles))
        if isinstance(found, Rejection):
            raise InputError(
                f"row {self.row} ({self.smiles}) is a molecule in the feature store, and now refused "
                f"({found.reason}): prepare the store again"
            )
        return found


@dataclass(frozen=True, slots=True)
class _StoreParser(MoleculeParser):
    """Takes rows of a store for what they are: nothing is parsed."""

    def parse_many(self, records: Iterable[Record]) -> tuple[list[Molecule], list[Rejection]]:
        molecules: list[Molecule] = []
        rejections: list[Rejection] = []
        plain = MoleculeParser(self.policy, self.max_heavy_atoms, self.hydrogens)
        for record in records:
            if isinstance(record, StoredRecord) and record.place is not None and record.problem is None:
                molecules.append(StoredMolecule(record, record.place, plain))
            else:
                rejections.append(Rejection(record.row, record.id, record.smiles, record.problem or ""))
        return molecules, rejections


class FeatureStore:
    """A store that was opened.

    Parameters
    ----------
    directory : str or Path
        The directory that `prepare` has made.

    Attributes
    ----------
    info : StoreInfo
        What it says about itself.
    schema : FeatureSchema
        The blocks that it has.

    Raises
    ------
    InputError
        If it is no store, damaged, or made by a newer molig.

    Warns
    -----
    UserWarning
        If it was made with another RDKit, whose features may be others.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.info = _read_info(self.directory / STORE_FILE)
        self.schema = FeatureSchema.from_dict(self.info.feature_schema)
        if self.schema.hash != self.info.schema_hash:
            raise self._damaged(STORE_FILE, "its schema_hash is not that of its feature_schema")
        self._files = [file for file in self.info.files if file.name != REJECTED_FILE]
        self._check_files()
        self._layout = Layout(self.schema, self.info.applicability, self._along())
        if self.info.rdkit_version != rdkit.__version__:
            warnings.warn(
                f"{self.directory} was prepared with RDKit {self.info.rdkit_version}, this is "
                f"{rdkit.__version__}: scores may differ from those of the library itself; prepare it again "
                "to be sure",
                stacklevel=2,
            )
        self._groups: OrderedDict[tuple[int, int, int, tuple[str, ...]], pa.Table] = OrderedDict()
        self._open: dict[tuple[int, int], pq.ParquetFile] = {}

    def __repr__(self) -> str:
        """Place and size."""
        return f"FeatureStore({str(self.directory)!r}, {self.info.n_molecules} molecules)"

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets; it opens its own files."""
        return self.__dict__ | {"_groups": OrderedDict(), "_open": {}}

    def check_serves(self, info: ModelInfo, schema: FeatureSchema, *, applicability: bool = False) -> None:
        """Refuse a model whose molecules or features are others than those of the store.

        Raises
        ------
        UsageError
            Saying what is missing.
        """
        self._check_reading(info)
        again = _prepare_again(info)
        if self.schema.max_pair_distance != schema.max_pair_distance:
            raise UsageError(
                f"{self.directory} has pairs of atoms up to {_bonds(self.schema)} apart, and {info.name} "
                f"looks at those up to {_bonds(schema)}; {again}"
            )
        held = {*self.schema.atom_blocks, *self.schema.pair_blocks}
        missing = [block.name for block in (*schema.atom_blocks, *schema.pair_blocks) if block not in held]
        missing += [b.name for b in schema.environment_blocks if b not in self.schema.environment_blocks]
        if missing:
            raise UsageError(
                f"{self.directory} lacks features that {info.name} reads ({', '.join(missing)}); {again}"
            )
        blocks = self.schema.environment_blocks
        if schema.environment_blocks and numbering_digest(blocks) != self.info.numbering:
            raise UsageError(
                f"{self.directory} was prepared with RDKit {self.info.rdkit_version}, which numbers "
                f"environments otherwise than this one ({rdkit.__version__}): prepare it again"
            )
        if applicability and not self.info.applicability:
            raise UsageError(
                f"{self.directory} does not hold what --applicability compares: prepare it with "
                "`molig prepare --applicability`, or screen without"
            )

    def _check_reading(self, info: ModelInfo) -> None:
        """Refuse a model for which other rows are molecules, or the same rows are other molecules."""
        if self.info.molecules.standardization_version != PARENT_VERSION:
            raise UsageError(
                f"{self.directory} was standardised by version "
                f"{self.info.molecules.standardization_version} of the policy 'parent', this molig has "
                f"{PARENT_VERSION}: prepare it again"
            )
        if way_of_reading(self.info.molecules) != way_of_reading(info.molecules):
            raise UsageError(
                f"{self.directory} holds molecules as {self.info.molecules.in_words}, and {info.name} "
                f"reads them as {info.molecules.in_words}; {_prepare_again(info)}"
            )

    def library(
        self,
        model: ScoringModel | None = None,
        *,
        columns: Sequence[str] = (),
        optional: Sequence[str] = (),
        keep: str | Sequence[str] = KEEP_NONE,
    ) -> Records:
        """All rows as a library, for what looks at structures: the model parses their SMILES once more.

        Parameters
        ----------
        model : ScoringModel, optional
            Its features need not be in the store. Without it rows are not for a model.
        columns, optional : sequence of str
            Columns of the library in `Record.fields`, as `molig.molecules.read_records` has them.
        keep : {"all", "none"} or sequence of str
            As for `records`.

        Raises
        ------
        UsageError
            If it is no model of molig, or reads molecules otherwise than the store has: then rows that the
            store has rejected, of which it keeps the beginning, could be molecules for it.
        UnknownNameError
            If the store has no such column.
        """
        if model is not None and not isinstance(model, ScreeningModel):
            raise UsageError(
                f"{self.directory} is a feature store, made for models of molig; {model.name} reads "
                "molecules in its own way: give the library itself"
            )
        if model is not None:
            self._check_reading(model.info)
        asked = [*columns, *(name for name in optional if name in self.columns)]
        kept = [field.name.removeprefix(INPUT_PREFIX) for field in self._kept(keep)]
        both = self.records([*asked, *kept])
        rows = (_apart(record, both.kept.names, asked, kept) for record in both)
        along = pa.schema([both.kept.field(name) for name in kept])
        return Records(rows, along, self.info.left_out if keep == KEEP_ALL else None)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the library that came along."""
        return tuple(field.name.removeprefix(INPUT_PREFIX) for field in self._layout.kept)

    @property
    def of_blocks(self) -> bool:
        """Whether it was made of an SD file, by its name: the SMILES number atoms otherwise than the file."""
        return ".sdf" in [suffix.lower() for suffix in Path(self.info.source.name).suffixes]

    def feed(self, model: ScoringModel, *, applicability: bool = False) -> ScreeningModel | SideBySide:
        """The same model, or models side by side, which reads rows and features of this store.

        Raises
        ------
        UsageError
            If it is no model of molig, or the store does not serve it.
        """
        if not isinstance(model, ScreeningModel | SideBySide):
            raise UsageError(
                f"{self.directory} is a feature store, which serves models of molig; {model.name} reads "
                "molecules: screen the library itself with it"
            )
        for one in model.models.values() if isinstance(model, SideBySide) else [model]:
            self.check_serves(one.info, one.schema, applicability=applicability)
        return model.fed_by(self, self._parser())

    def _parser(self) -> MoleculeParser:
        parser = self.info.molecules.parser()
        return _StoreParser(parser.policy, parser.max_heavy_atoms, parser.hydrogens)

    def records(self, keep: str | Sequence[str] = KEEP_ALL) -> Records:
        """All rows in the order of the library, molecules and rejections.

        Parameters
        ----------
        keep : {"all", "none"} or sequence of str
            Columns of the library that come along, of those that the store has.

        Raises
        ------
        UnknownNameError
            If it has no such column.
        InputError
            If a file is damaged; only once that file is reached.
        """
        kept = self._kept(keep)
        rows = merge(self._molecules(kept.names), self._rejections(kept.names), key=lambda record: record.row)
        along = [field.with_name(field.name.removeprefix(INPUT_PREFIX)) for field in kept]
        return Records(rows, pa.schema(along), self.info.left_out if keep == KEEP_ALL else None)

    def _kept(self, keep: str | Sequence[str]) -> pa.Schema:
        """Columns of the files that come along."""
        fields = {field.name.removeprefix(INPUT_PREFIX): field for field in self._layout.kept}
        if keep == KEEP_ALL:
            return pa.schema(list(fields.values()))
        asked = [] if keep == KEEP_NONE else [keep] if isinstance(keep, str) else keep
        for name in asked:
            if name not in fields:
                raise UnknownNameError(f"column of {self.directory}", name, fields)
        return pa.schema([fields[name] for name in dict.fromkeys(asked)])

    def _molecules(self, kept: list[str]) -> Iterator[StoredRecord]:
        names = ["row", "id", "smiles", "scored_smiles", "removed"]
        for number, file in enumerate(self._files):
            self._verify(file)
            places = count()
            for row, id_, smiles, scored, removed, *along in self._rows(file, [*names, *kept]):
                place = Place(number, next(places))
                yield StoredRecord(
                    row, id_, smiles, kept=tuple(along), scored_smiles=scored, removed=removed, place=place
                )

    def _rejections(self, kept: list[str]) -> Iterator[StoredRecord]:
        for file in self.info.files:
            if file.name == REJECTED_FILE:
                self._verify(file)
                for row, id_, smiles, reason, *along in self._rows(file, [*REJECTION_SCHEMA.names, *kept]):
                    yield StoredRecord(row, id_, smiles, problem=reason, kept=tuple(along))

    def graphs(self, molecules: Sequence[Molecule], schema: FeatureSchema) -> PackedGraphs:
        """Features of molecules of the store, by a schema that `check_serves` has accepted."""
        parts = [
            self._of_group(lambda table: decoded(table, schema), *found)
            for found in self._found(molecules, [field.name for field in feature_fields(schema)])
        ]
        return parts[0] if len(parts) == 1 else PackedGraphs.concatenate(parts)

    def traits(self, molecules: Sequence[Molecule], radius: int, n_bits: int) -> Traits:
        """What the applicability of molecules of the store is judged by.

        Raises
        ------
        UsageError
            For fingerprints of another kind than the store's.
        """
        if (radius, n_bits) != (RADIUS, N_BITS):
            raise UsageError(
                f"{self.directory} holds fingerprints of radius {RADIUS} and {N_BITS} bits, and the model "
                f"compares those of radius {radius} and {n_bits} bits; screen without applicability"
            )
        names = ["heavy_atoms", "elements", "bits"]
        parts = [self._of_group(decoded_traits, *found) for found in self._found(molecules, names)]
        return Traits(
            np.concatenate([part.fingerprints for part in parts]),
            [elements for part in parts for elements in part.elements],
            np.concatenate([part.heavy_atoms for part in parts]),
        )

    def _found(self, molecules: Sequence[Molecule], names: list[str]) -> Iterator[tuple[pa.Table, str]]:
        """Rows of molecules, row group by row group, and the name of the file."""
        places = [molecule.place for molecule in molecules if isinstance(molecule, StoredMolecule)]
        if len(places) < len(molecules):
            raise UsageError(f"these molecules are not of the store {self.directory}")
        for (number, group), same in groupby(places, lambda p: (p.file, p.row // self.info.row_group)):
            rows = np.array([place.row for place in same]) - group * self.info.row_group
            table = self._group(number, group, names)
            if (np.diff(rows) == 1).all():
                yield table.slice(rows[0], len(rows)), self._files[number].name
            else:
                yield table.take(rows), self._files[number].name

    def _of_group(self, decode: Callable[[pa.Table], Any], table: pa.Table, name: str) -> Any:
        try:
            return decode(table)
        except (InputError, ValueError, IndexError) as err:
            raise self._damaged(name, str(err)) from err

    def _group(self, number: int, group: int, names: list[str]) -> pa.Table:
        # A forked process opens its own files.
        key = (os.getpid(), number, group, tuple(names))
        if key not in self._groups:
            file = self._opened(number)
            try:
                self._groups[key] = file.read_row_group(group, columns=names, use_threads=False)
            except (OSError, pa.ArrowException, IndexError, KeyError) as err:
                raise self._damaged(self._files[number].name, str(err)) from err
            while len(self._groups) > _GROUPS_KEPT:
                self._groups.popitem(last=False)
        return self._groups[key]

    def _opened(self, number: int) -> pq.ParquetFile:
        key = (os.getpid(), number)
        if key not in self._open:
            self._open.clear()
            self._open[key] = self._parquet(self._files[number].name)
        return self._open[key]

    def _rows(self, file: StoredFile, names: list[str]) -> Iterator[tuple[Any, ...]]:
        opened = self._parquet(file.name)
        for group in range(opened.num_row_groups):
            try:
                table = opened.read_row_group(group, columns=names, use_threads=False).select(names)
            except (OSError, pa.ArrowException, KeyError) as err:
                raise self._damaged(file.name, str(err)) from err
            yield from zip(*(column.to_pylist() for column in table.columns), strict=True)

    def _parquet(self, name: str) -> pq.ParquetFile:
        try:
            opened = pq.ParquetFile(self.directory / name, memory_map=True)
        except (OSError, pa.ArrowException) as err:
            raise self._damaged(name, str(err)) from err
        expected = self._layout.rejection_schema if name == REJECTED_FILE else self._layout.schema
        if opened.schema_arrow.names != expected.names or not _own(opened.schema_arrow).equals(
            _own(expected)
        ):
            raise self._damaged(name, "its columns are not those of a store")
        return opened

    def _along(self) -> pa.Schema:
        """Columns of the library that the files have."""
        fields = []
        if self._files:
            path = self.directory / self._files[0].name
            try:
                fields = [field for field in pq.read_schema(path) if field.name.startswith(INPUT_PREFIX)]
            except (OSError, pa.ArrowException) as err:
                raise self._damaged(path.name, str(err)) from err
        return pa.schema([field.with_name(field.name.removeprefix(INPUT_PREFIX)) for field in fields])

    def _check_files(self) -> None:
        names = [file.name for file in self._files]
        rows = {kind: sum(f.n_rows for f in self.info.files if f.name.startswith(kind)) for kind in _KINDS}
        expected = dict(zip(_KINDS, (self.info.n_molecules, self.info.n_rejected), strict=True))
        if rows != expected or names != [f"molecules-{i:05d}.parquet" for i in range(len(names))]:
            raise self._damaged(STORE_FILE, "its files do not hold the rows that it counts")
        for file in self.info.files:
            path = self.directory / file.name
            if not path.is_file():
                raise self._damaged(file.name, "it is missing")
            if path.stat().st_size != file.n_bytes:
                raise self._damaged(
                    file.name,
                    f"it has {path.stat().st_size:,} bytes, and had {file.n_bytes:,} when it was made",
                )

    def _verify(self, file: StoredFile) -> None:
        try:
            found = digest_of(self.directory / file.name)
        except OSError as err:
            raise self._damaged(file.name, str(err.strerror or err)) from err
        if found != file.sha256:
            raise self._damaged(file.name, f"its SHA-256 is not the one in {STORE_FILE}")

    def _damaged(self, name: str, why: str) -> InputError:
        return InputError(
            f"the feature store {self.directory} is damaged: {name}: {' '.join(why.split())[:300]}; "
            "prepare the library again, or fetch the store again"
        )


_KINDS = ("molecules", "rejected")


def _bonds(schema: FeatureSchema) -> str:
    limit = schema.max_pair_distance
    return "any number of bonds" if limit is None else f"{limit} bond{'s' if limit > 1 else ''}"


def _prepare_again(info: ModelInfo) -> str:
    return f"prepare it for this model: molig prepare LIBRARY -o STORE -m {info.name}"


def _apart(record: Record, names: Sequence[str], fields: Sequence[str], kept: Sequence[str]) -> Record:
    """The same record, where columns that are looked at and those that come along are two things."""
    values = dict(zip(names, record.kept, strict=True))
    return replace(
        record, fields={name: values[name] for name in fields}, kept=tuple(values[name] for name in kept)
    )


def _own(schema: pa.Schema) -> pa.Schema:
    """Columns that every store has."""
    return pa.schema([field for field in schema if not field.name.startswith(INPUT_PREFIX)])


def is_store(path: str | Path) -> bool:
    """Whether a path names a feature store: a directory, as no other library is.

    Examples
    --------
    >>> is_store("library.smi")
    False
    """
    return Path(path).is_dir()


def open_store(directory: str | Path, **reading: object) -> FeatureStore:
    """Open a store; what says how a library is read (None if not given) was for `prepare`, and is refused."""
    if given := [called(name) for name, value in reading.items() if value is not None]:
        raise UsageError(f"{directory} is a feature store: {' and '.join(given)} was for `molig prepare`")
    return FeatureStore(directory)


def read_library(
    source: str | Path,
    model: ScoringModel | None,
    *,
    columns: Sequence[str] = (),
    optional: Sequence[str] = (),
    **reading: Any,
) -> Records:
    """Read a file, or a feature store by its SMILES; see `read_records` and `FeatureStore.library`."""
    if is_store(source):
        return open_store(source, **reading).library(model, columns=columns, optional=optional)
    return read_records(source, columns=columns, optional=optional, **reading)


def _read_info(path: Path) -> StoreInfo:
    try:
        data = json.loads(read_regular(path, _LARGEST_INFO))
    except FileNotFoundError as err:
        raise UsageError(
            f"{path.parent} is a directory; name the molecule file in it. It is no feature store either: "
            f"it has no {STORE_FILE}, which `molig prepare` writes"
        ) from err
    except (OSError, ValueError, RecursionError) as err:
        raise InputError(f"{path} cannot be read ({err}); prepare the library again") from err
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path} does not describe a feature store (its format is not {FORMAT!r})")
    version = data.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}, written by molig {data.get('molig_version', '?')}; this "
            f"molig reads up to version {FORMAT_VERSION}: upgrade molig, or prepare the library again"
        )
    try:
        return StoreInfo.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path} is damaged: {where}: {first['msg']}; prepare the library again") from err
