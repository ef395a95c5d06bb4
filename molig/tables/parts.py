"""Long runs in parts: finished ranges of rows are kept on disk, so that a killed run can go on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from molig.errors import InputError, OutputError, UsageError
from molig.files import replacing

ROWS_PER_PART = 1024

_MANIFEST = "manifest.json"
_FORMAT = "molig-parts-1"
_OURS = re.compile(r"\.?(manifest\.json|\d{6}\.(arrow|json))(\.\d+\.tmp)?")
_LONGEST_SHOWN = 40


class PartNote(NamedTuple):
    """What is kept about a finished part, besides its table.

    Parameters
    ----------
    n_rows : int
        Input rows that it covers.
    summary : dict
        Anything else that JSON can hold.
    """

    n_rows: int
    summary: dict[str, Any]


class Parts:
    """Directory of the finished parts of one run.

    A part is the result of a range of input rows: a table, and a note of what else became of the rows. It
    counts as finished when its note stands under its final name, which happens after the table is on the
    disk; whatever a killed process leaves besides is ignored and cleared away. The parts of a run are cut at
    the same rows wherever it was interrupted.

    Parameters
    ----------
    directory : Path
        Where the parts are kept; removed when the run is complete.
    identity : mapping of str to str
        All that the results depend on, by the names a user knows: a run is continued only where they agree.
    rows_per_part : int
        Input rows of a part, and the most that a killed run loses. A continued run keeps to its own.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     parts = Parts(Path(folder) / "table.parts", {"model": "a"})
    ...     parts.open()
    ...     batch = pa.record_batch({"x": [1, 2]})
    ...     parts.add(batch.schema, [batch], lambda: PartNote(2, {}))
    ...     again = Parts(Path(folder) / "table.parts", {"model": "a"})
    ...     again.open(resume=True)
    ...     again.n_rows, [batch.to_pydict() for _, table in again.finished() for batch in table]
    (2, [{'x': [1, 2]}])
    """

    def __init__(
        self, directory: Path, identity: Mapping[str, str], *, rows_per_part: int = ROWS_PER_PART
    ) -> None:
        self.directory, self.rows_per_part = directory, rows_per_part
        self._identity = dict(identity)
        self._counts: list[int] = []

    @property
    def n_rows(self) -> int:
        """Input rows that the finished parts cover, from the first on."""
        return sum(self._counts)

    def open(self, *, resume: bool = False, way: str = "--resume") -> None:
        """Begin a run, or with ``resume`` continue the interrupted one that the directory holds.

        Parameters
        ----------
        resume : bool
            Whether to continue.
        way : str
            What continues a run, for the error where it was not asked for.

        Raises
        ------
        UsageError
            If there is a run that shall not or cannot be continued (its identity is another), or the
            directory holds other things.
        InputError
            If the directory cannot be read.
        OutputError
            If it cannot be written.
        """
        self._counts = self._finished() if self._exists() else []
        if self._counts and not resume:
            raise UsageError(
                f"{self.directory} holds {self.n_rows:,} finished rows of an interrupted run; "
                f"continue it with {way}, or delete that directory to start again"
            )
        if self._counts:
            self._adopt(self._manifest())
        with self._writing():
            self.directory.mkdir(exist_ok=True)
            self._clear(keep=len(self._counts))
        if not self._counts:
            manifest = {"format": _FORMAT, "identity": self._identity, "rows_per_part": self.rows_per_part}
            self._write(_MANIFEST, json.dumps(manifest, indent=1))

    def add(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch], note: Callable[[], PartNote]) -> None:
        """Keep the next part.

        Parameters
        ----------
        schema : pyarrow.Schema
            Columns of the table.
        batches : iterable of pyarrow.RecordBatch
            The table, written as it comes.
        note : callable
            Asked for the part's note when the last batch has come.

        Raises
        ------
        OutputError
            If the part cannot be written.
        """
        number = len(self._counts)
        table = self._table(number)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with (
            self._writing(),
            replacing(table, durable=True) as temporary,
            pa.ipc.new_stream(str(temporary), schema, options=options) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
        # Only the note makes the part count, so it is written when the table is on the disk.
        kept = note()
        content = {"n_rows": kept.n_rows, "n_bytes": table.stat().st_size, "summary": kept.summary}
        self._write(f"{number:06d}.json", json.dumps(content))
        self._counts.append(kept.n_rows)

    def finished(self) -> Iterator[tuple[PartNote, Iterator[pa.RecordBatch]]]:
        """Go through the finished parts: the note of each, and its table as a stream.

        Raises
        ------
        InputError
            If a part is damaged.
        """
        return ((self._note(number), self._batches(number)) for number in range(len(self._counts)))

    def _note(self, number: int) -> PartNote:
        path = self.directory / f"{number:06d}.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return PartNote(content["n_rows"], content["summary"])
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise self._damaged(path, err) from err

    def _batches(self, number: int) -> Iterator[pa.RecordBatch]:
        path = self._table(number)
        try:
            with path.open("rb") as file, pa.ipc.open_stream(file) as reader:
                yield from reader
        except (OSError, pa.ArrowInvalid) as err:
            raise self._damaged(path, err) from err

    def remove(self) -> None:
        """Remove the directory; without its manifest the rest counts for nothing."""
        with contextlib.suppress(OSError):
            (self.directory / _MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _exists(self) -> bool:
        if not self.directory.exists():
            return False
        try:
            names = os.listdir(self.directory)
        except NotADirectoryError as err:
            raise UsageError(f"{self.directory} is a file; finished parts would be kept there") from err
        except OSError as err:
            raise InputError(f"cannot read {self.directory}: {err.strerror or err}") from err
        foreign = sorted(name for name in names if not _OURS.fullmatch(name))
        if foreign:
            raise UsageError(
                f"{self.directory} is needed for finished parts and holds other things ({foreign[0]}); "
                "give the output another name"
            )
        return _MANIFEST in names

    def _finished(self) -> list[int]:
        """Input rows of each part from the first to the last before a gap."""
        counts: list[int] = []
        while True:
            number = len(counts)
            try:
                text = (self.directory / f"{number:06d}.json").read_text(encoding="utf-8")
                content = json.loads(text)
                if content["n_bytes"] != self._table(number).stat().st_size:
                    return counts
                counts.append(int(content["n_rows"]))
            except (OSError, ValueError, KeyError, TypeError):
                return counts

    def _manifest(self) -> dict[str, Any]:
        path = self.directory / _MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            written_as = content["format"]
            manifest = {"identity": dict(content["identity"]), "rows_per_part": int(content["rows_per_part"])}
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise self._damaged(path, err) from err
        if written_as != _FORMAT:
            raise self._damaged(path, f"its format is {written_as!r}")
        return manifest

    def _adopt(self, manifest: dict[str, Any]) -> None:
        before, now = manifest["identity"], self._identity
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            changes = "; ".join(_difference(n, before.get(n, ""), now.get(n, "")) for n in changed)
            raise UsageError(
                f"{self.directory} cannot be continued: {changes}. Use what that run used, "
                "or delete the directory to start again"
            )
        self.rows_per_part = manifest["rows_per_part"]

    def _clear(self, keep: int) -> None:
        """Remove all but the manifest and the first parts."""
        kept = {f"{number:06d}.{kind}" for number in range(keep) for kind in ("arrow", "json")}
        for path in self.directory.iterdir():
            if path.name not in kept | {_MANIFEST}:
                path.unlink()

    def _table(self, number: int) -> Path:
        return self.directory / f"{number:06d}.arrow"

    def _write(self, name: str, text: str) -> None:
        with self._writing(), replacing(self.directory / name, durable=True) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            raise OutputError(f"cannot write {self.directory}: {err.strerror or err}") from err

    def _damaged(self, path: Path, why: object) -> InputError:
        return InputError(f"{path} is damaged ({why}); delete {self.directory} to start again")


def _difference(name: str, before: str, now: str) -> str:
    if max(len(before), len(now)) > _LONGEST_SHOWN:
        return f"{name} has changed"
    return f"{name} was {before or 'not given'} and is {now or 'not given'}"
