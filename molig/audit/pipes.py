"""Molecules from standard input or a pipe, kept where they can be read twice."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from molig.errors import InputError, UnknownNameError, UsageError
from molig.molecules import resolve_format
from molig.report import is_repeatable

if TYPE_CHECKING:
    from molig.audit.inputs import LabelledFile


@contextmanager
def repeatable(file: LabelledFile) -> Iterator[LabelledFile]:
    """Make a file of molecules one that can be read twice: for its columns, then for its rows.

    Parameters
    ----------
    file : LabelledFile
        Perhaps standard input or a pipe.

    Yields
    ------
    LabelledFile
        The same, or a copy of what came through the pipe, deleted afterwards.

    Raises
    ------
    InputError
        If the pipe cannot be read.
    UsageError
        As raised while the copy is used; messages name the pipe, not the copy.
    """
    source = str(file.source)
    if is_repeatable(source) or (source != "-" and not Path(source).is_fifo()):
        yield file  # what is no file at all is refused by the reader
        return
    kind = resolve_format(source, file.file_format)
    name = "standard input" if source == "-" else source
    with TemporaryDirectory(prefix="molig-") as folder:
        copy = Path(folder) / "molecules"
        try:
            with copy.open("wb") as target:
                if source == "-":
                    shutil.copyfileobj(sys.stdin.buffer, target)
                else:
                    with open(source, "rb") as pipe:
                        shutil.copyfileobj(pipe, target)
        except OSError as err:
            raise InputError(f"{name} cannot be read: {err.strerror or err}") from err
        try:
            yield replace(file, source=copy, file_format=kind)
        except UnknownNameError:
            raise  # names a column, no file
        except (InputError, UsageError) as err:
            raise type(err)(str(err).replace(str(copy), name)) from err
