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

import contextlib
import json
import os
import shutil
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from itertools import count, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rdkit
from pydantic import Field, ValidationError
from rdkit import Chem

from molig.errors import InputError, OutputError, UnknownNameError, UsageError, called
from molig.features import FeatureSchema, Featurizer, PackedGraphs
from molig.features.columns import binary_values, decoded, encoded, feature_fields, flat_values, united_schema
from molig.features.distances import MANY
from molig.features.environments import numbering_digest
from molig.files import digest_of, json_text, read_regular, write_whole
from molig.foreign import is_foreign
from molig.model import ModelInfo, MoleculePolicy, ScoringModel, ScreeningModel, SideBySide, load_info
from molig.model.domain import N_BITS, RADIUS, Traits
from molig.model.info import Section
from molig.molecules import Molecule, MoleculeParser, Record, Rejection
from molig.molecules.causes import NothingUsableError, likely_cause, main_reasons
from molig.molecules.columns import KEEP_ALL, KEEP_NONE
from molig.molecules.guard import CPU_SECONDS, time_limit
from molig.molecules.records import Records, batched
from molig.molecules.standardize import PARENT_VERSION
from molig.screening.chunks import CHUNK_ROWS, ChunkNote, ScoredRows, rejections_of
from molig.screening.dealing import Dealer
from molig.screening.hits import INPUT_PREFIX, REJECTION_SCHEMA, schema_of, schema_text
from molig.screening.shards import Shard
from molig.screening.workers import Mark
from molig.tables import PartNote, Parts
from molig.tables.locks import exclusive, scratch_directory
from molig.tables.parts import is_repeatable, run_identity
from molig.tables.writers import STDOUT, OutputTable, check_writable
from molig.version import __version__

STORE_FILE = "store.json"
REJECTED_FILE = "rejected.parquet"
FORMAT, FORMAT_VERSION = "molig-feature-store", 1

ROW_GROUP = 2048
"""Molecules of a row group of a store: so many are decoded together."""
ROWS_PER_FILE = 64 * ROW_GROUP

_BATCH = 512
_LARGEST_INFO = 64_000_000
_COMPRESSION_LEVEL = 6
# Held in memory, per process: the row groups that neighbouring batches share, of several schemas.
_GROUPS_KEPT = 6

# What a store says about itself.


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


# Molecules as rows.


class _Layout:
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


def _decoded_traits(table: pa.Table) -> Traits:
    on, per_molecule = flat_values(table.column("bits"), np.dtype("<u2"))
    bits = np.zeros((len(per_molecule), N_BITS), dtype=np.uint8)
    if len(on) and on.max() >= N_BITS:
        raise InputError("bits has numbers of no bit")
    bits[np.repeat(np.arange(len(per_molecule)), per_molecule), on] = 1
    elements = [set(text.split()) for text in table.column("elements").to_pylist()]
    return Traits(bits, elements, table.column("heavy_atoms").to_numpy().astype(np.int64))


# Making a store.


@dataclass(frozen=True)
class PrepareOptions:
    """How to prepare a library.

    Parameters
    ----------
    applicability : bool
        Also keep what `--applicability` asks of molecules: fingerprint, elements and size.
    jobs : int or None
        Processes to work in; None for one a core. The store is the same.
    time_limit : float
        Seconds of processor time for one molecule; one that needs more is rejected.
    force : bool
        Replace a store that is there.
    shard : Shard, optional
        Do only this shard of the library, and make no store; `merge_stores` puts shards together.
    resume : bool
        Continue the interrupted preparation whose finished parts lie beside the store; where there is none,
        begin.
    progress : callable, optional
        Called with the number of rows done since the last call.
    resumed : callable, optional
        Called once with the number of rows that an interrupted preparation has finished.
    """

    applicability: bool = False
    jobs: int | None = 1
    time_limit: float = CPU_SECONDS
    force: bool = False
    shard: Shard | None = None
    resume: bool = False
    progress: Callable[[int], None] | None = None
    resumed: Callable[[int], None] | None = None


def prepare(
    records: Records,
    directory: str | Path,
    models: Sequence[ModelInfo],
    *,
    library: str | Path | None = None,
    options: PrepareOptions | None = None,
) -> StoreInfo:
    """Featurize a library once, for all models that share a way of reading molecules.

    Parameters
    ----------
    records : Records
        The library, with the columns that come along, as `molig.molecules.read_records` reads it.
    directory : str or Path
        The store; it appears when it is complete.
    models : sequence of ModelInfo
        The models that it shall serve (`molig.model.load_info`).
    library : str or Path, optional
        File that the records come from, whose digest is kept. Without it nothing can be continued.
    options : PrepareOptions, optional
        Everything else.

    Returns
    -------
    StoreInfo
        What was written.

    Raises
    ------
    UsageError
        If one store cannot serve all models, or the directory is there.
    InputError
        If the library cannot be read or no row can be used.
    OutputError
        If the store cannot be written; nothing incomplete stays under its name.

    Notes
    -----
    Finished parts are kept in ``NAME.parts`` beside the store until it is complete, as those of a screen are.
    After a crash, a full disk or an interruption the same call with ``resume`` goes on from there, and makes
    the same files to the last byte; another library, model or option is refused.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from molig.model import load_info
    >>> from molig.molecules import smiles_records
    >>> from molig.molecules.records import Records
    >>> with TemporaryDirectory() as folder:
    ...     rows = Records(smiles_records(["CCO", "[Na+].CC(=O)[O-]", "nonsense"]))
    ...     info = prepare(rows, Path(folder) / "store", [load_info("tox21-w2n2-simple")])
    >>> info.n_molecules, info.n_rejected
    (2, 1)
    """
    chosen, directory = options or PrepareOptions(), Path(directory)
    policy = _common_policy(models)
    schema = united_schema([FeatureSchema.from_dict(model.feature_schema) for model in models])
    place = parts_place(directory, chosen.shard)
    if chosen.shard is None:
        check_target(directory, force=chosen.force, resume=chosen.resume)
    else:
        check_writable(place.with_name(f".{place.name}"))
    repeatable = library is not None and is_repeatable(library)
    if (chosen.resume or chosen.shard) and not repeatable:
        what = "a list" if library is None else "standard input" if str(library) == STDOUT else library
        raise UsageError(
            f"{what} cannot be read again, so its preparation cannot be resumed or shared out; use a file"
        )
    layout = _Layout(schema, chosen.applicability, records.kept)
    with exclusive(place if chosen.shard else directory), contextlib.ExitStack() as stack:
        if chosen.shard and chosen.force and not chosen.resume and place.exists():
            Parts.about_of(place)  # which refuses a directory of anything else
            Parts(place, {}).remove()
        info = StoreInfo(
            molig_version=__version__,
            rdkit_version=rdkit.__version__,
            molecules=policy.model_copy(update={"standardization_version": PARENT_VERSION}),
            feature_schema=schema.to_dict(),
            schema_hash=schema.hash,
            numbering=layout.numbering,
            applicability=chosen.applicability,
            row_group=ROW_GROUP,
            made_for=tuple(model.name for model in models),
            source=_source(library),
            n_rows=0,
            n_molecules=0,
            n_rejected=0,
        )
        if repeatable:
            identity = _identity(Path(str(library)), models, layout, records, chosen)
            about = _as_about(info, records)
            parts = Parts(place, identity, rows_per_part=CHUNK_ROWS, about=about)
        else:
            scratch = stack.enter_context(scratch_directory(directory))
            parts = Parts(scratch / "parts", {}, rows_per_part=CHUNK_ROWS)
        n_chunks = _work(records, parts, _Preparation(layout, policy.parser()), chosen)
        info = info.model_copy(update={"left_out": dict(records.left_out)})
        if chosen.shard is not None:
            parts.about = _as_about(info, records)
            parts.complete(n_chunks)
            return _counted(info, parts)
        with parts.working():
            info = assembled(parts.finished(), directory, info, layout)
        parts.remove()
    return info


FinishedParts = Iterable[tuple[PartNote, Iterator[pa.RecordBatch]]]
"""Note and table of each part, in the order of the library."""


def assembled(parts: FinishedParts, directory: Path, info: StoreInfo, layout: _Layout) -> StoreInfo:
    """Make a store of finished parts; returns its description, completed."""
    with _making(directory) as folder:
        writer = _StoreWriter(folder, layout)
        with contextlib.closing(writer):
            for note, batches in parts:
                writer.add(ChunkNote.of(note).rejected, batches)
        if not writer.n_molecules:
            raise writer.nothing()
        found = {
            "n_rows": writer.n_molecules + writer.n_rejected,
            "n_molecules": writer.n_molecules,
            "n_rejected": writer.n_rejected,
            "reasons": dict(writer.reasons.most_common()),
            "files": tuple(writer.files()),
        }
        info = info.model_copy(update=found)
        write_whole(folder / STORE_FILE, json_text(info.model_dump(mode="json")))
    return info


def _as_about(info: StoreInfo, records: Records) -> dict[str, Any]:
    """What shards say of the store that will be made of them."""
    return {"store": info.model_dump(mode="json"), "kept": schema_text(records.kept)}


def described(about: Mapping[str, Any]) -> tuple[StoreInfo, _Layout] | None:
    """Of the store that shards are of, its description without counts, and its columns; None of hits."""
    if "store" not in about:
        return None
    info = StoreInfo.model_validate_json(json.dumps(about["store"]), strict=True)
    schema = FeatureSchema.from_dict(info.feature_schema)
    return info, _Layout(schema, info.applicability, schema_of(about["kept"]))


def _counted(info: StoreInfo, parts: Parts) -> StoreInfo:
    """The description with the rows of a shard."""
    notes = [ChunkNote.of(note) for note, _ in parts.finished()]
    n_rejected, reasons = sum(len(note.rejected) for note in notes), Counter[str]()
    for note in notes:
        reasons.update(note.reasons)
    found = {"n_rows": parts.n_rows, "n_molecules": parts.n_rows - n_rejected, "n_rejected": n_rejected}
    return info.model_copy(update={**found, "reasons": dict(reasons.most_common())})


def parts_place(directory: Path, shard: Shard | None = None) -> Path:
    """Where finished parts are kept until the store is complete, or those of a shard for good."""
    return directory.with_name(f"{directory.name}.{'parts' if shard is None else shard.suffix}")


def models_to_serve(names: Sequence[str | Path]) -> list[ModelInfo]:
    """Descriptions of the models that a user names.

    Raises
    ------
    UsageError
        If one is unknown, or of another package: a store holds features of molig.
    """
    foreign = [str(name) for name in names if is_foreign(name)]
    if foreign:
        raise UsageError(
            f"{foreign[0]} is a model of another package, with features of its own: a feature store serves "
            "models of molig"
        )
    return [load_info(name) for name in names]


def check_target(directory: Path, *, force: bool = False, resume: bool = False) -> None:
    """Refuse a place where no store can be made, before a run: anything but a store is never replaced."""
    if directory.is_dir() and not directory.is_symlink():
        if not (directory / STORE_FILE).is_file() and any(directory.iterdir()):
            raise UsageError(
                f"{directory} is a directory that holds something else; give the store another name"
            )
        if (directory / STORE_FILE).is_file() and not (force or (resume and parts_place(directory).exists())):
            if resume:
                raise UsageError(f"nothing to resume: {directory} is a finished store")
            raise UsageError(
                f"{directory} is a finished store; replace it with --force, or give another name"
            )
        check_writable(directory / STORE_FILE)
    elif directory.exists():
        raise UsageError(f"{directory} is a file or a link; a store is a directory of its own")
    check_writable(directory.with_name(f".{directory.name}"))


def _common_policy(models: Sequence[ModelInfo]) -> MoleculePolicy:
    if not models:
        raise UsageError("name the models that the store shall serve")
    first = models[0]
    for model in models[1:]:
        if _way(model.molecules) != _way(first.molecules):
            raise UsageError(
                f"{first.name} and {model.name} read molecules differently ({first.molecules.in_words}; "
                f"{model.molecules.in_words}): prepare a store for each"
            )
    return first.molecules


def _way(policy: MoleculePolicy) -> tuple[str, int, str]:
    return str(policy.standardization), policy.max_heavy_atoms, str(policy.hydrogens)


def _bonds(schema: FeatureSchema) -> str:
    limit = schema.max_pair_distance
    return "any number of bonds" if limit is None else f"{limit} bond{'s' if limit > 1 else ''}"


def _source(library: str | Path | None) -> StoreSource:
    path = None if library is None else Path(library)
    if path is None or not path.is_file():
        return StoreSource(name="" if path is None else path.name, n_bytes=None, sha256=None)
    try:
        return StoreSource(name=path.name, n_bytes=path.stat().st_size, sha256=digest_of(path))
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror or err}") from err


def _identity(
    library: Path,
    models: Sequence[ModelInfo],
    layout: _Layout,
    records: Records,
    options: PrepareOptions,
) -> dict[str, str]:
    """All that a store depends on, in words of the command line."""
    known = {f"--{name.replace('_', '-')}": value for name, value in records.asked.items()}
    known |= {"--applicability": options.applicability, "--time-limit": options.time_limit}
    known |= {
        "--shard": options.shard,
        "RDKit": rdkit.__version__,
        "the columns that come along": str(records.kept),
    }
    served = f"{' '.join(model.name for model in models)} {layout.feature_schema.hash} {layout.numbering}"
    return run_identity(f"{served} {models[0].molecules.in_words}", "cpu", library, known)


@contextlib.contextmanager
def _making(directory: Path) -> Iterator[Path]:
    """A directory beside the final place, which takes its name at the end of the block."""
    folder = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    former = directory.with_name(f".{directory.name}.{os.getpid()}-former")
    try:
        try:
            folder.mkdir()
            yield folder
            if directory.exists():
                os.rename(directory, former)
            os.rename(folder, directory)
        except OSError as err:
            raise OutputError(
                f"cannot write {directory}: {err.strerror or err}; nothing was left there"
            ) from err
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


@dataclass
class _Preparation:
    """From records to rows of the store, in whichever process that happens."""

    layout: _Layout
    parser: MoleculeParser

    def prepare(self) -> None:
        """Featurize some molecules: loops are compiled, and what is made at first use is there for all."""
        self.rows([Record(i, "", "CC(=O)[O-].[Na+]") for i in range(MANY)])

    def __call__(self, records: Sequence[Record], mark: Mark) -> bytes:
        """Prepare a chunk in a worker."""
        return ScoredRows.joined(list(self.batches(records, mark))).packed()

    def batches(self, records: Iterable[Record], mark: Mark | None = None) -> Iterator[ScoredRows]:
        """Prepare a chunk batch by batch."""
        done = 0
        for batch in batched(records, _BATCH):
            yield self.rows(batch, done, mark)
            done += len(batch)

    def rows(self, records: Sequence[Record], first: int = 0, mark: Mark | None = None) -> ScoredRows:
        """Prepare records, the first of which is number ``first`` of its chunk."""

        def watched() -> Iterator[Record]:
            for place, record in enumerate(records, start=first):
                if mark is not None:
                    mark(place, place + 1)
                yield record

        kept = {record.row: record.kept for record in records}
        molecules, rejections = self.parser.parse_many(watched())
        if mark is not None:
            mark(first, first + len(records))
        graphs = self._featurizer.counted(molecules) if molecules else None
        traits = Traits.of([m.mol for m in molecules]) if self.layout.applicability else None
        table = self.layout.schema.empty_table()
        if graphs is not None:
            table = self.layout.table(molecules, [kept[m.row] for m in molecules], graphs, traits)
        rejected = self.layout.rejection_table(rejections, [kept[r.row] for r in rejections])
        return ScoredRows(len(records), table, rejected, {})

    @cached_property
    def _featurizer(self) -> Featurizer:
        return Featurizer(self.layout.feature_schema)


def _work(records: Records, parts: Parts, task: _Preparation, options: PrepareOptions) -> int:
    """Make a part of every chunk, in whichever order they are done; returns how many chunks there are."""
    shard = options.shard or Shard()

    def wanted(number: int) -> bool:
        return shard.owns(number) and number not in parts.done

    parts.open(resume=options.resume, way=called("resume"))
    if parts.done and options.resumed:
        options.resumed(parts.n_rows)
    dealer = Dealer(records, parts.rows_per_part, wanted, options.jobs)
    with parts.working(), time_limit(options.time_limit):
        for number, rows in dealer.done(task.batches, task, _received, options.time_limit):
            _keep(number, rows, parts, task.layout, options)
    return dealer.n_chunks


def _received(answer: bytes) -> Iterator[ScoredRows]:
    return iter([ScoredRows.unpacked(answer)])


def _keep(
    number: int, prepared: Iterable[ScoredRows], parts: Parts, layout: _Layout, options: PrepareOptions
) -> None:
    """Make a part of what became of a chunk."""
    n_rows, rejected = 0, [layout.rejection_schema.empty_table()]

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal n_rows
        for found in prepared:
            n_rows += found.n_rows
            rejected.append(found.rejected)
            yield from found.hits.to_batches()
            if options.progress:
                options.progress(found.n_rows)

    def note() -> PartNote:
        return ChunkNote(n_rows, pa.concat_tables(rejected), 0).as_part_note()

    parts.add(number, layout.schema, batches(), note)


class _StoreWriter:
    """Files of a store, row group by row group."""

    def __init__(self, folder: Path, layout: _Layout) -> None:
        self._folder, self._layout = folder, layout
        self._waiting: list[pa.Table] = []
        self._n_waiting = 0
        self._writer: pq.ParquetWriter | None = None
        self._rejects = contextlib.ExitStack()
        self._rejected = self._rejects.enter_context(
            OutputTable(folder / REJECTED_FILE, layout.rejection_schema)
        )
        self._rows: dict[str, int] = {}
        self._first: list[Rejection] = []
        self.reasons: Counter[str] = Counter()
        self.n_molecules = self.n_rejected = 0

    def add(self, rejected: pa.Table, molecules: Iterable[pa.RecordBatch]) -> None:
        """Take what became of more rows."""
        if len(rejected):
            rejections = rejections_of(rejected)
            self._first = self._first or rejections
            self.reasons.update(r.reason.split(":")[0] for r in rejections)
            self.n_rejected += len(rejections)
            self._rejected.write(rejected)
        for batch in molecules:
            self._waiting.append(pa.Table.from_batches([batch], self._layout.schema))
            self._n_waiting += len(batch)
            self.n_molecules += len(batch)
            while self._n_waiting >= ROW_GROUP:
                self._write_group()

    def _write_group(self) -> None:
        waiting = pa.concat_tables(self._waiting)
        group, rest = waiting.slice(0, ROW_GROUP), waiting.slice(ROW_GROUP)
        self._waiting, self._n_waiting = [rest], len(rest)
        if self._writer is None:
            name = f"molecules-{len(self._rows):05d}.parquet"
            self._rows[name] = 0
            self._writer = self._layout.writer(self._folder / name)
        self._writer.write_table(group.combine_chunks(), row_group_size=ROW_GROUP)
        self._rows[next(reversed(self._rows))] += len(group)
        if self._rows[next(reversed(self._rows))] >= ROWS_PER_FILE:
            self._writer.close()
            self._writer = None

    def close(self) -> None:
        """Write what waits, and the ends of the files."""
        try:
            while self._n_waiting:
                self._write_group()
        finally:
            if self._writer is not None:
                self._writer.close()
            self._rejects.close()

    def files(self) -> Iterator[StoredFile]:
        """What was written."""
        for name, n_rows in {**self._rows, REJECTED_FILE: self.n_rejected}.items():
            path = self._folder / name
            yield StoredFile(name=name, n_rows=n_rows, n_bytes=path.stat().st_size, sha256=digest_of(path))

    def nothing(self) -> NothingUsableError:
        """The error that no row could be used."""
        return NothingUsableError(
            f"none of the {self.n_rejected} rows of the library could be used: {main_reasons(self.reasons)}"
            f"{likely_cause(self._first)}"
        )


# Reading a store.


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
        self._layout = _Layout(self.schema, self.info.applicability, self._along())
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
        if _way(self.info.molecules) != _way(info.molecules):
            raise UsageError(
                f"{self.directory} holds molecules as {self.info.molecules.in_words}, and {info.name} "
                f"reads them as {info.molecules.in_words}; {_prepare_again(info)}"
            )

    def library(self, model: ScoringModel, keep: str | Sequence[str] = KEEP_NONE) -> Records:
        """All rows as a library, for what looks at structures: the model parses their SMILES once more.

        Parameters
        ----------
        model : ScoringModel
            Its features need not be in the store.
        keep : {"all", "none"} or sequence of str
            As for `records`.

        Raises
        ------
        UsageError
            If it is no model of molig, or reads molecules otherwise than the store has: then rows that the
            store has rejected, of which it keeps the beginning, could be molecules for it.
        """
        if not isinstance(model, ScreeningModel):
            raise UsageError(
                f"{self.directory} is a feature store, made for models of molig; {model.name} reads "
                "molecules in its own way: give the library itself"
            )
        self._check_reading(model.info)
        return self.records(keep)

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
        parts = [self._of_group(_decoded_traits, *found) for found in self._found(molecules, names)]
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


def _prepare_again(info: ModelInfo) -> str:
    return f"prepare it for this model: molig prepare LIBRARY -o STORE -m {info.name}"


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
