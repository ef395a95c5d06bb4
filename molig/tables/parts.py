"""Long runs in parts: finished ranges of rows are kept on disk, so that a killed run can go on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import pyarrow as pa

from molig.errors import InputError, OutputError, UsageError
from molig.files import digest_of, replacing
from molig.version import __version__

_MANIFEST = "manifest.json"
_FORMAT = "molig-parts-3"
_OURS = re.compile(r"\.?(manifest\.json|\d{6,}\.(arrow|json))(\.\d+\.tmp)?")
_LONGEST_SHOWN = 40
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What comes of reading JSON that somebody has changed; 1e999 is infinity, and no whole number."""


class DamagedPartError(InputError):
    """A part, or the manifest, is not as it was written."""


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

    Part number ``k`` is the result of the input rows from ``k * rows_per_part`` on: a table, and a note of
    what else became of the rows. Parts are cut at the same rows wherever a run was interrupted, and may be
    finished in any order. One counts as finished when its note stands under its final name, which happens
    after the table does, and when both have the checksums that the note holds; whatever else a killed
    process, a full disk or a loss of power has left is made again.

    Parameters
    ----------
    directory : Path
        Where the parts are kept; removed when the run is complete.
    identity : mapping of str to str
        All that the results depend on, by the names a user knows: a run is continued only where they agree.
    rows_per_part : int
        Input rows of a part. A continued run keeps to its own.
    about : mapping, optional
        Anything else that JSON can hold and that whoever reads the directory shall know.

    Attributes
    ----------
    done : dict of int to int
        Input rows of each finished part, by its number.
    identity : dict of str to str
        As above.
    n_parts : int, optional
        Parts of the whole input, once its end was reached.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     parts = Parts(Path(folder) / "table.parts", {"model": "a"})
    ...     parts.open()
    ...     batch = pa.record_batch({"x": [1, 2]})
    ...     parts.add(0, batch.schema, [batch], lambda: PartNote(2, {}))
    ...     again = Parts(Path(folder) / "table.parts", {"model": "a"})
    ...     again.open(resume=True)
    ...     again.n_rows, [batch.to_pydict() for _, table in again.finished() for batch in table]
    (2, [{'x': [1, 2]}])
    """

    def __init__(
        self,
        directory: Path,
        identity: Mapping[str, str],
        *,
        rows_per_part: int = 1024,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory, self.rows_per_part = directory, rows_per_part
        self.identity, self.about = dict(identity), dict(about or {})
        self.done: dict[int, int] = {}
        self.n_parts: int | None = None

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read what a run has left; checksums are compared.

        Raises
        ------
        UsageError
            If the directory holds no parts.
        InputError
            If it cannot be read.
        """
        parts = cls(directory, {})
        if not parts._exists():
            raise UsageError(f"{directory} holds no parts of a run: it has no {_MANIFEST}")
        manifest = parts._manifest()
        parts.identity, parts.about = manifest["identity"], manifest["about"]
        parts.rows_per_part, parts.n_parts = manifest["rows_per_part"], manifest["n_parts"]
        parts.done = parts._finished(checked=True)
        return parts

    @classmethod
    def about_of(cls, directory: Path) -> dict[str, Any]:
        """What a directory of parts tells whoever reads it; raises as `read` does."""
        parts = cls(directory, {})
        if not parts._exists():
            raise UsageError(f"{directory} holds no parts of a run: it has no {_MANIFEST}")
        return dict(parts._manifest()["about"])

    @property
    def n_rows(self) -> int:
        """Input rows that the finished parts cover."""
        return sum(self.done.values())

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
        self.done = self._finished(checked=resume) if self._exists() else {}
        if self.done and not resume:
            raise UsageError(
                f"{self.directory} holds {self.n_rows:,} finished rows of an interrupted run; "
                f"continue it with {way}, or delete that directory to start again"
            )
        if self.done:
            self._adopt(self._manifest())
        try:
            with self._writing():
                self.directory.mkdir(exist_ok=True)
                self._clear()
            if not self.done:
                self._write_manifest()
        except OutputError:
            if not self.done:
                self.remove()
            raise

    @contextlib.contextmanager
    def working(self, least: int = 1) -> Iterator[None]:
        """If the block ends in an error, and fewer parts than ``least`` could be continued, remove them."""
        try:
            yield
        except BaseException as err:
            # A damaged library has to change before it can be read to its end; a damaged part is made again.
            final = isinstance(err, InputError) and not isinstance(err, DamagedPartError)
            if final or len(self.done) < least:
                self.remove()
            raise

    def complete(self, n_parts: int) -> None:
        """Note that the end of the input was reached, and how many parts it has."""
        self.n_parts = n_parts
        self._write_manifest()

    def _write_manifest(self) -> None:
        names = ("identity", "rows_per_part", "about", "n_parts")
        content = {"format": _FORMAT} | {n: getattr(self, n) for n in names}
        self._write(_MANIFEST, json.dumps(content | {"manifest": _digest_of(content)}, indent=1))

    def add(
        self,
        number: int,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        note: Callable[[], PartNote],
    ) -> None:
        """Keep a part.

        Parameters
        ----------
        number : int
            Which one.
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
        table = self._table(number)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with (
            self._writing(),
            replacing(table) as temporary,
            pa.ipc.new_stream(str(temporary), schema, options=options) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
        # Only the note makes the part count. Nothing waits for the disk: checksums tell what it has lost.
        kept = note()
        with self._writing():
            content = {"n_rows": kept.n_rows, "summary": kept.summary, "table": digest_of(table)}
        self._write(f"{number:06d}.json", json.dumps(content | {"note": _digest_of(content)}))
        self.done[number] = kept.n_rows

    def finished(self) -> Iterator[tuple[PartNote, Iterator[pa.RecordBatch]]]:
        """Go through the finished parts in the order of the input: the note of each, its table as a stream.

        Raises
        ------
        InputError
            If a part is damaged.
        """
        return ((self._note(number), self._batches(number)) for number in sorted(self.done))

    def _note(self, number: int) -> PartNote:
        path = self._note_path(number)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return PartNote(content["n_rows"], content["summary"])
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise self._damaged(path, err, "--resume makes this part again") from err

    def _batches(self, number: int) -> Iterator[pa.RecordBatch]:
        path = self._table(number)
        try:
            with path.open("rb") as file, pa.ipc.open_stream(file) as reader:
                yield from reader
        except (OSError, pa.ArrowInvalid) as err:
            raise self._damaged(path, err, "--resume makes this part again") from err

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

    def _finished(self, checked: bool) -> dict[int, int]:
        """Input rows of each finished part; unless ``checked``, of those that may be sound."""
        numbers = sorted(int(path.stem) for path in self.directory.glob("[0-9]*.json"))
        found = ((number, self._rows_of(number, checked)) for number in numbers)
        return {number: n_rows for number, n_rows in found if n_rows is not None}

    def _rows_of(self, number: int, checked: bool) -> int | None:
        try:
            content = json.loads(self._note_path(number).read_text(encoding="utf-8"))
            n_rows, table = int(content["n_rows"]), self._table(number)
            if checked:
                sound = content.pop("note") == _digest_of(content)
                sound = sound and content["table"] == digest_of(table)
            else:
                sound = table.is_file()
        except _UNREADABLE:
            return None
        return n_rows if sound else None

    def _manifest(self) -> dict[str, Any]:
        path = self.directory / _MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            written_as, digest = content["format"], content.pop("manifest", "")
            manifest = {"identity": dict(content["identity"]), "rows_per_part": int(content["rows_per_part"])}
            manifest |= {"about": dict(content["about"]), "n_parts": content["n_parts"]}
        except _UNREADABLE as err:
            raise self._damaged(path, err) from err
        if written_as != _FORMAT:
            raise self._damaged(path, f"its format is {written_as!r}")
        if digest != _digest_of(content):
            raise self._damaged(path, "its checksum is another")
        return manifest

    def _adopt(self, manifest: dict[str, Any]) -> None:
        if changes := difference(manifest["identity"], self.identity):
            raise UsageError(
                f"{self.directory} cannot be continued: {changes}. Use what that run used, "
                "or delete the directory to start again"
            )
        self.rows_per_part, self.n_parts = manifest["rows_per_part"], manifest["n_parts"]

    def _clear(self) -> None:
        """Remove all but the manifest and the finished parts."""
        kept = {path.name for number in self.done for path in (self._table(number), self._note_path(number))}
        for path in self.directory.iterdir():
            if path.name not in kept | {_MANIFEST}:
                path.unlink()

    def _table(self, number: int) -> Path:
        return self.directory / f"{number:06d}.arrow"

    def _note_path(self, number: int) -> Path:
        return self.directory / f"{number:06d}.json"

    def _write(self, name: str, text: str) -> None:
        with self._writing(), replacing(self.directory / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            raise OutputError(f"cannot write {self.directory}: {err.strerror or err}") from err

    def _damaged(self, path: Path, why: object, way_out: str = "") -> DamagedPartError:
        return DamagedPartError(
            f"{path} is damaged ({why}); {way_out or f'delete {self.directory} to start again'}"
        )


def _digest_of(content: dict[str, Any]) -> str:
    return digest_of(json.dumps(content, sort_keys=True))


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Say in what two identities differ; ``""`` if in nothing."""
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(_change(name, before.get(name, ""), now.get(name, "")) for name in changed)


def _change(name: str, before: str, now: str) -> str:
    if max(len(before), len(now)) > _LONGEST_SHOWN:
        return f"{name} has changed"
    return f"{name} was {before or 'not given'} and is {now or 'not given'}"


# What the results of a run depend on: to continue it is to continue with the same.


@runtime_checkable
class Digested(Protocol):
    """What can tell whether it is the same as before."""

    def digest(self) -> str:
        """Something short that changes with it."""


def run_identity(
    model: str, device: str, source: str | Path | Digested, options: Mapping[str, object]
) -> dict[str, str]:
    """Describe a run so that another can tell whether it would give the same results.

    Parameters
    ----------
    model : str
        Name and digest of the model.
    device : str
        Kind of device that computes.
    source : str, Path or Digested
        What is read: a file, or something that can say its digest.
    options : mapping of str to object
        Whatever else the results depend on, by the names a user knows; None for what was not given.

    Raises
    ------
    UsageError
        If the source cannot be read a second time.
    InputError
        If it cannot be read.
    """
    known = {name: "" if value is None else str(value) for name, value in options.items()}
    return {
        "molig": __version__,
        "the model": model,
        "the device": device,
        "the input": source.digest() if isinstance(source, Digested) else _file_digest(source),
        **known,
    }


def is_repeatable(source: object) -> bool:
    """Tell whether a source can be read a second time: a file can, standard input and pipes cannot."""
    return isinstance(source, str | Path) and str(source) != "-" and Path(source).is_file()


def _file_digest(source: str | Path) -> str:
    if not is_repeatable(source):
        what = "standard input" if str(source) == "-" else f"{source} is no file: it"
        raise UsageError(f"{what} cannot be read again, so its run cannot be resumed; use a file")
    try:
        return f"{digest_of(Path(source))}, {Path(source).stat().st_size} bytes"
    except OSError as err:
        raise InputError(f"{source}: cannot be opened ({err.strerror}); check its permissions") from err
