"""Preparing: a stream of records in, a feature store out, which is screened without reading them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import rdkit

from molig.errors import InputError, UsageError, called
from molig.features import FeatureSchema, Featurizer
from molig.features.columns import united_schema
from molig.features.distances import MANY
from molig.files import digest_of
from molig.foreign import is_foreign
from molig.model import ModelInfo, MoleculePolicy, load_info
from molig.model.domain import Traits
from molig.molecules import MoleculeParser, Record
from molig.molecules.guard import CPU_SECONDS, time_limit
from molig.molecules.records import Records, batched
from molig.molecules.standardize import PARENT_VERSION
from molig.screening.chunks import CHUNK_ROWS, ChunkNote, ScoredRows, read_molecules
from molig.screening.dealing import Dealer
from molig.screening.shards import Shard
from molig.screening.store_layout import Layout, StoreInfo, StoreSource, way_of_reading
from molig.screening.store_writing import as_about, assembled, check_target, parts_place
from molig.screening.workers import Mark
from molig.tables import PartNote, Parts
from molig.tables.locks import exclusive, scratch_directory
from molig.tables.parts import is_repeatable, run_identity
from molig.tables.writers import STDOUT, check_writable
from molig.version import __version__

ROW_GROUP = 2048
"""Molecules of a row group of a store: so many are decoded together."""

_BATCH = 512


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
    run = _Run(records, Path(directory), models, library, options or PrepareOptions())
    with exclusive(run.written), scratch_directory(run.written) as scratch:
        return run.execute(scratch)


class _Run:
    """One preparation: featurize everything in parts, then make the store of them."""

    def __init__(
        self,
        records: Records,
        directory: Path,
        models: Sequence[ModelInfo],
        library: str | Path | None,
        options: PrepareOptions,
    ) -> None:
        self._records, self._directory, self._models = records, directory, models
        self._library, self.options = library, options
        self._policy = _common_policy(models)
        schema = united_schema([FeatureSchema.from_dict(model.feature_schema) for model in models])
        self._layout = Layout(schema, options.applicability, records.kept)
        self._place = parts_place(directory, options.shard)
        self._repeatable = library is not None and is_repeatable(library)
        self._shard = options.shard or Shard()
        self._check_places()
        self._check_repeatable()

    @property
    def written(self) -> Path:
        """What the run keeps to itself."""
        return self._directory if self.options.shard is None else self._place

    def _check_places(self) -> None:
        if self.options.shard is None:
            check_target(self._directory, force=self.options.force, resume=self.options.resume)
        else:
            check_writable(self._place.with_name(f".{self._place.name}"))

    def _check_repeatable(self) -> None:
        if self._repeatable or not (self.options.resume or self.options.shard):
            return
        named = self._library
        what = "a list" if named is None else "standard input" if str(named) == STDOUT else named
        raise UsageError(
            f"{what} cannot be read again, so its preparation cannot be resumed or shared out; use a file"
        )

    def execute(self, scratch: Path) -> StoreInfo:
        self._clear_former_shard()
        info = self._description()
        parts = self._parts(info, scratch)
        n_chunks = self._work(parts)
        info = info.model_copy(update={"left_out": dict(self._records.left_out)})
        if self.options.shard is not None:
            parts.about = as_about(info, self._records.kept)
            parts.complete(n_chunks)
            return _counted(info, parts)
        with parts.working():
            info = assembled(parts.finished(), self._directory, info, self._layout)
        parts.remove()
        return info

    def _clear_former_shard(self) -> None:
        replaced = self.options.shard and self.options.force and not self.options.resume
        if replaced and self._place.exists():
            Parts.about_of(self._place)  # which refuses a directory of anything else
            Parts(self._place, {}).remove()

    def _description(self) -> StoreInfo:
        """The store's, before anything is counted."""
        schema = self._layout.feature_schema
        return StoreInfo(
            molig_version=__version__,
            rdkit_version=rdkit.__version__,
            molecules=self._policy.model_copy(update={"standardization_version": PARENT_VERSION}),
            feature_schema=schema.to_dict(),
            schema_hash=schema.hash,
            numbering=self._layout.numbering,
            applicability=self.options.applicability,
            row_group=ROW_GROUP,
            made_for=tuple(model.name for model in self._models),
            source=_source(self._library),
            n_rows=0,
            n_molecules=0,
            n_rejected=0,
        )

    def _parts(self, info: StoreInfo, scratch: Path) -> Parts:
        """Where finished parts are kept: for good, if another run could go on with them."""
        if not self._repeatable:
            return Parts(scratch / "parts", {}, rows_per_part=CHUNK_ROWS)
        about = as_about(info, self._records.kept)
        return Parts(self._place, self._identity(), rows_per_part=CHUNK_ROWS, about=about)

    def _identity(self) -> dict[str, str]:
        """All that the store depends on, in words of the command line."""
        known = {f"--{name.replace('_', '-')}": value for name, value in self._records.asked.items()}
        known |= {"--applicability": self.options.applicability, "--time-limit": self.options.time_limit}
        known |= {
            "--shard": self.options.shard,
            "RDKit": rdkit.__version__,
            "the columns that come along": str(self._records.kept),
        }
        served = " ".join(model.name for model in self._models)
        served = f"{served} {self._layout.feature_schema.hash} {self._layout.numbering}"
        return run_identity(f"{served} {self._policy.in_words}", "cpu", str(self._library), known)

    def _work(self, parts: Parts) -> int:
        """Make a part of every chunk, in whichever order they are done; returns how many chunks there are."""

        def wanted(number: int) -> bool:
            return self._shard.owns(number) and number not in parts.done

        parts.open(resume=self.options.resume, way=called("resume"))
        if parts.done and self.options.resumed:
            self.options.resumed(parts.n_rows)
        dealer = Dealer(self._records, parts.rows_per_part, wanted, self.options.jobs)
        task, seconds = _Preparation(self._layout, self._policy.parser()), self.options.time_limit
        with parts.working(), time_limit(seconds):
            for number, rows in dealer.done(task.batches, task, _received, seconds):
                self._keep(number, rows, parts)
        return dealer.n_chunks

    def _keep(self, number: int, prepared: Iterable[ScoredRows], parts: Parts) -> None:
        """Make a part of what became of a chunk."""
        n_rows, rejected = 0, [self._layout.rejection_schema.empty_table()]

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal n_rows
            for found in prepared:
                n_rows += found.n_rows
                rejected.append(found.rejected)
                yield from found.hits.to_batches()
                if self.options.progress:
                    self.options.progress(found.n_rows)

        def note() -> PartNote:
            return ChunkNote(n_rows, pa.concat_tables(rejected), 0).as_part_note()

        parts.add(number, self._layout.schema, batches(), note)


def _received(answer: bytes) -> Iterator[ScoredRows]:
    return iter([ScoredRows.unpacked(answer)])


def _counted(info: StoreInfo, parts: Parts) -> StoreInfo:
    """The description with the rows of a shard."""
    notes = [ChunkNote.of(note) for note, _ in parts.finished()]
    n_rejected, reasons = sum(len(note.rejected) for note in notes), Counter[str]()
    for note in notes:
        reasons.update(note.reasons)
    found = {"n_rows": parts.n_rows, "n_molecules": parts.n_rows - n_rejected, "n_rejected": n_rejected}
    return info.model_copy(update={**found, "reasons": dict(reasons.most_common())})


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


def _common_policy(models: Sequence[ModelInfo]) -> MoleculePolicy:
    if not models:
        raise UsageError("name the models that the store shall serve")
    first = models[0]
    for model in models[1:]:
        if way_of_reading(model.molecules) != way_of_reading(first.molecules):
            raise UsageError(
                f"{first.name} and {model.name} read molecules differently ({first.molecules.in_words}; "
                f"{model.molecules.in_words}): prepare a store for each"
            )
    return first.molecules


def _source(library: str | Path | None) -> StoreSource:
    path = None if library is None else Path(library)
    if path is None or not path.is_file():
        return StoreSource(name="" if path is None else path.name, n_bytes=None, sha256=None)
    try:
        return StoreSource(name=path.name, n_bytes=path.stat().st_size, sha256=digest_of(path))
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror or err}") from err


@dataclass
class _Preparation:
    """From records to rows of the store, in whichever process that happens."""

    layout: Layout
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
        read = read_molecules(self.parser, records, mark, first)
        graphs = self._featurizer.counted(read.molecules) if read.molecules else None
        traits = Traits.of([m.mol for m in read.molecules]) if self.layout.applicability else None
        table = self.layout.schema.empty_table()
        if graphs is not None:
            along = [read.kept[molecule.row] for molecule in read.molecules]
            table = self.layout.table(read.molecules, along, graphs, traits)
        along = [read.kept[rejection.row] for rejection in read.rejections]
        return ScoredRows(len(records), table, self.layout.rejection_table(read.rejections, along), {})

    @cached_property
    def _featurizer(self) -> Featurizer:
        return Featurizer(self.layout.feature_schema)
