"""From finished parts of a preparation to the directory of a feature store, in one piece or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from molig.errors import OutputError, UsageError
from molig.features import FeatureSchema
from molig.files import digest_of, json_text, write_whole
from molig.molecules import Rejection
from molig.molecules.causes import NothingUsableError, likely_cause, main_reasons
from molig.molecules.sources import STORE_FILE
from molig.screening.chunks import ChunkNote, rejections_of
from molig.screening.hits import schema_of, schema_text
from molig.screening.shards import Shard
from molig.screening.store_layout import REJECTED_FILE, Layout, StoredFile, StoreInfo
from molig.tables import PartNote
from molig.tables.writers import OutputTable, check_here, check_writable

_GROUPS_PER_FILE = 64


def parts_place(directory: Path, shard: Shard | None = None) -> Path:
    """Where finished parts are kept until the store is complete, or those of a shard for good."""
    return directory.with_name(f"{directory.name}.{'parts' if shard is None else shard.suffix}")


def check_target(directory: Path, *, force: bool = False, resume: bool = False) -> None:
    """Refuse a place where no store can be made, before a run: anything but a store is never replaced."""
    check_here(directory)
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


FinishedParts = Iterable[tuple[PartNote, Iterator[pa.RecordBatch]]]
"""Note and table of each part, in the order of the library."""


def assembled(parts: FinishedParts, directory: Path, info: StoreInfo, layout: Layout) -> StoreInfo:
    """Make a store of finished parts; returns its description, completed."""
    with _making(directory) as folder:
        writer = _StoreWriter(folder, layout, info.row_group)
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


def as_about(info: StoreInfo, kept: pa.Schema) -> dict[str, Any]:
    """What shards say of the store that will be made of them."""
    return {"store": info.model_dump(mode="json"), "kept": schema_text(kept)}


def described(about: Mapping[str, Any]) -> tuple[StoreInfo, Layout] | None:
    """Of the store that shards are of, its description without counts, and its columns; None of hits."""
    if "store" not in about:
        return None
    info = StoreInfo.model_validate_json(json.dumps(about["store"]), strict=True)
    schema = FeatureSchema.from_dict(info.feature_schema)
    return info, Layout(schema, info.applicability, schema_of(about["kept"]))


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


class _StoreWriter:
    """Files of a store, row group by row group."""

    def __init__(self, folder: Path, layout: Layout, row_group: int) -> None:
        self._folder, self._layout, self._row_group = folder, layout, row_group
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
            while self._n_waiting >= self._row_group:
                self._write_group()

    def _write_group(self) -> None:
        waiting = pa.concat_tables(self._waiting)
        group, rest = waiting.slice(0, self._row_group), waiting.slice(self._row_group)
        self._waiting, self._n_waiting = [rest], len(rest)
        if self._writer is None:
            name = f"molecules-{len(self._rows):05d}.parquet"
            self._rows[name] = 0
            self._writer = self._layout.writer(self._folder / name)
        self._writer.write_table(group.combine_chunks(), row_group_size=self._row_group)
        self._rows[next(reversed(self._rows))] += len(group)
        if self._rows[next(reversed(self._rows))] >= _GROUPS_PER_FILE * self._row_group:
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
