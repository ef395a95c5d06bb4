"""Writing files whole."""

from __future__ import annotations

import os
from pathlib import Path

from molig.errors import OutputError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and the directory it is in, so that it is there as a whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    content : bytes
        What it shall hold.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as err:
        raise OutputError(f"cannot write {path}: {err.strerror or err}") from err
    finally:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)
