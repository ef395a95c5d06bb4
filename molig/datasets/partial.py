"""A file that is still arriving: ``NAME.part`` and a note of where it comes from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from molig.errors import OutputError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the file."""
    try:
        yield
    except OSError as err:
        raise OutputError(
            f"cannot write {path}: {err.strerror or err}; make room or name another directory"
        ) from err


@dataclass
class PartialFile:
    """What has arrived so far of one file.

    The note remembers the URL and the server's mark of the version (ETag or date), so that a later run
    continues only the very same file.

    Parameters
    ----------
    target : Path
        Name of the file once it is complete.
    """

    target: Path

    @property
    def path(self) -> Path:
        """The incomplete file."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def note(self) -> Path:
        """What is known about it."""
        return self.target.with_name(self.target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def validator(self, url: str) -> str | None:
        """Mark of the version that has arrived in part; None if it cannot be continued."""
        try:
            content = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(content, dict) or content.get("url") != url or not self.size:
            return None
        mark = content.get("validator")
        return mark if isinstance(mark, str) and mark.isprintable() else None

    def begin(self, url: str, validator: str | None) -> None:
        """Start from nothing."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(b"")
            self.note.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")

    @contextlib.contextmanager
    def appending(self) -> Iterator[BinaryIO]:
        """Open for what comes next."""
        with writing(self.path), self.path.open("ab") as file:
            yield file

    def sha256(self) -> str:
        """Digest of what has arrived."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def complete(self) -> None:
        """Give the file its name."""
        with writing(self.target):
            os.replace(self.path, self.target)
        self.note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what has arrived."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
