"""Feature stores: a library that was read, standardised and featurized once, to be screened often.

A store is a directory. ``store.json`` describes it (`StoreInfo`), ``rejected.parquet`` holds the refused rows
with their reasons, and ``molecules-NNNNN.parquet`` all others in the order of the input, a row each, with

==========================  ===========================================================================
column                      content
==========================  ===========================================================================
row, id, smiles             as in the hit table
scored_smiles, removed      likewise; null where nothing was changed or removed
input.COLUMN                columns of the library that come along to the hit table
...                         features; see `molig.features.columns`
heavy_atoms, elements,      where prepared for applicability: heavy atoms, symbols, and the numbers of the
bits                        bits that the Morgan fingerprint has, two bytes each, the lower first
==========================  ===========================================================================

Nothing in it depends on a model: every model whose blocks are there can be served.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from molig.errors import InputError
from molig.features import FeatureSchema, PackedGraphs
from molig.features.columns import binary_values, encoded, feature_fields, flat_values
from molig.features.environments import numbering_digest
from molig.model import MoleculePolicy
from molig.model.domain import N_BITS, Traits
from molig.model.info import Section
from molig.molecules import Molecule, Rejection
from molig.screening.hits import INPUT_PREFIX, REJECTION_SCHEMA

REJECTED_FILE = "rejected.parquet"
FORMAT, FORMAT_VERSION = "molig-feature-store", 1

_COMPRESSION_LEVEL = 6


class StoredFile(Section):
    """A file of a store, as it was written."""

    name: str = Field(pattern=r"^(molecules-\d{5,}|rejected)\.parquet$")
    n_rows: int = Field(ge=0)
    n_bytes: int = Field(ge=0)
    sha256: str


class StoreSource(Section):
    """The library that a store was made from."""

    name: str
    n_bytes: int | None  # None for standard input
    sha256: str | None


class StoreInfo(Section):
    """Description of a store: ``store.json``.

    Parameters
    ----------
    format, format_version : str and int
        Of the directory's layout.
    molig_version, rdkit_version : str
        What has made it.
    molecules : MoleculePolicy
        How rows became molecules.
    feature_schema, schema_hash : dict and str
        All blocks that are stored; the hash is that of the `FeatureSchema`.
    numbering : str, optional
        Digest of how RDKit numbers environments, where there are any.
    applicability : bool
        Whether it holds what `--applicability` asks for.
    row_group : int
        Molecules of every row group of a file but the last.
    made_for : tuple of str
        The models that were named when it was made; whoever finds their blocks here is served, too.
    source : StoreSource
        The library.
    n_rows, n_molecules, n_rejected : int
        Rows of the library.
    reasons : dict of str to int
        Rejections by kind of reason.
    left_out : dict of str to int
        Properties of an SD file that did not come along; see `molig.molecules.records.Records`.
    files : tuple of StoredFile
        Their sizes and digests.
    """

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    molig_version: str
    rdkit_version: str
    molecules: MoleculePolicy
    feature_schema: dict[str, Any]
    schema_hash: str
    numbering: str | None = None
    applicability: bool = False
    row_group: int = Field(ge=1)
    made_for: tuple[str, ...] = ()
    source: StoreSource
    n_rows: int = Field(ge=0)
    n_molecules: int = Field(ge=0)
    n_rejected: int = Field(ge=0)
    reasons: dict[str, int] = Field(default={})
    left_out: dict[str, int] = Field(default={})
    files: tuple[StoredFile, ...] = ()

    @property
    def bytes_per_molecule(self) -> float:
        """Size of all files on disk, per molecule."""
        return sum(file.n_bytes for file in self.files) / max(self.n_molecules, 1)


def way_of_reading(policy: MoleculePolicy) -> tuple[str, int, str]:
    """What rows must have been read by for a store of them to serve a model."""
    return str(policy.standardization), policy.max_heavy_atoms, str(policy.hydrogens)


class Layout:
    """Columns of the molecules of a store."""

    def __init__(self, schema: FeatureSchema, applicability: bool, kept: pa.Schema | None = None) -> None:
        self.feature_schema, self.applicability = schema, applicability
        self.kept = [] if kept is None else [f.with_name(f"{INPUT_PREFIX}{f.name}") for f in kept]
        text = ("id", "smiles", "scored_smiles", "removed")
        fields = [pa.field("row", pa.int64()), *(pa.field(name, pa.string()) for name in text)]
        fields += feature_fields(schema)
        if applicability:
            fields += [pa.field("heavy_atoms", pa.uint16()), pa.field("elements", pa.string())]
            fields += [pa.field("bits", pa.binary())]
        self.schema = pa.schema([*fields, *self.kept])
        self.rejection_schema = pa.schema([*REJECTION_SCHEMA, *self.kept])

    @cached_property
    def numbering(self) -> str | None:
        """Digest of how RDKit numbers environments, if there are any."""
        blocks = self.feature_schema.environment_blocks
        return numbering_digest(blocks) if blocks else None

    def writer(self, path: Path) -> pq.ParquetWriter:
        """Writer with the encoding that suits each column: bytes as they are, before compression."""
        own = [field for field in self.schema if field not in self.kept]
        lists = {field.name: field.type for field in own if pa.types.is_list(field.type)}
        real = [name for name, kind in lists.items() if kind.value_type == pa.float32()]
        coded = [name for name in lists if name not in real]
        dictionaries = ["removed", *(["elements"] if self.applicability else [])]
        dictionaries += [f"{name}.list.element" for name in coded]
        dictionaries += [field.name for field in self.kept]
        return pq.ParquetWriter(
            path,
            self.schema,
            compression="zstd",
            compression_level=_COMPRESSION_LEVEL,
            use_dictionary=dictionaries,
            use_byte_stream_split=[f"{name}.list.element" for name in real],
            dictionary_pagesize_limit=1 << 24,
            write_statistics=["row"],
        )

    def table(
        self,
        molecules: Sequence[Molecule],
        rows: Sequence[Sequence[Any]],
        graphs: PackedGraphs,
        traits: Traits | None,
    ) -> pa.Table:
        """Molecules, featurized with the store's schema, as rows, with what comes along of each."""
        scored = [m.scored_smiles for m in molecules]
        columns: dict[str, pa.Array] = {
            "row": pa.array([m.row for m in molecules], pa.int64()),
            "id": pa.array([m.id for m in molecules], pa.string()),
            "smiles": pa.array([m.smiles for m in molecules], pa.string()),
            "scored_smiles": pa.array(
                [s if s != m.smiles else None for s, m in zip(scored, molecules, strict=True)], pa.string()
            ),
            "removed": pa.array(["; ".join(m.removed) or None for m in molecules], pa.string()),
        }
        columns |= encoded(graphs, self.feature_schema)
        if traits is not None:
            columns |= _encoded_traits(traits)
        own = [columns[name] for name in self.schema.names[: len(self.schema) - len(self.kept)]]
        return pa.table([*own, *self._along(rows)], schema=self.schema)

    def rejection_table(self, rejections: Sequence[Rejection], rows: Sequence[Sequence[Any]]) -> pa.Table:
        """Rejected rows likewise."""
        own = [[getattr(r, name) for r in rejections] for name in REJECTION_SCHEMA.names]
        return pa.table([*own, *self._along(rows)], schema=self.rejection_schema)

    def _along(self, rows: Sequence[Sequence[Any]]) -> list[pa.Array]:
        return [
            pa.array([row[place] if place < len(row) else None for row in rows], field.type)
            for place, field in enumerate(self.kept)
        ]


def _encoded_traits(traits: Traits) -> dict[str, pa.Array]:
    rows, bits = np.nonzero(traits.fingerprints)
    per_molecule = np.bincount(rows, minlength=len(traits.fingerprints))
    return {
        "heavy_atoms": pa.array(traits.heavy_atoms, pa.uint16()),
        "elements": pa.array([" ".join(sorted(each)) for each in traits.elements], pa.string()),
        "bits": binary_values(bits.astype("<u2"), per_molecule),
    }


def decoded_traits(table: pa.Table) -> Traits:
    """What the applicability of these molecules is judged by; raises InputError."""
    on, per_molecule = flat_values(table.column("bits"), np.dtype("<u2"))
    bits = np.zeros((len(per_molecule), N_BITS), dtype=np.uint8)
    if len(on) and on.max() >= N_BITS:
        raise InputError("bits has numbers of no bit")
    bits[np.repeat(np.arange(len(per_molecule)), per_molecule), on] = 1
    elements = [set(text.split()) for text in table.column("elements").to_pylist()]
    return Traits(bits, elements, table.column("heavy_atoms").to_numpy().astype(np.int64))
