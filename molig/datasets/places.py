"""Where tables lie on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from molig.datasets.catalogue import Dataset, datasets, known_dataset
from molig.errors import InputError, UnknownNameError

DATA_DIR_VARIABLE = "MOLIG_DATA_DIR"
CACHE_DIR_VARIABLE = "MOLIG_CACHE_DIR"


def cache_directory() -> Path:
    """Directory that downloaded tables are kept in; it need not exist yet."""
    own = os.environ.get(CACHE_DIR_VARIABLE)
    if own:
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(shared):  # the XDG specification: anything else is to be ignored
        return Path(shared) / "molig"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "molig"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "molig"
    return Path.home() / ".cache" / "molig"


def locate_dataset(name: str) -> Path | None:
    """Where the table of a set lies, if it is on this machine; see `find_dataset`."""
    file = known_dataset(name).file
    given = os.environ.get(DATA_DIR_VARIABLE)
    folders = [Path(given)] if given else []
    return next((f / file for f in (*folders, cache_directory()) if (f / file).is_file()), None)


def find_dataset(name: str) -> Path:
    """Table of a set in ``MOLIG_DATA_DIR`` or the cache, or an error that says how to get it."""
    path = locate_dataset(name)
    if path is None:
        given = os.environ.get(DATA_DIR_VARIABLE)
        looked = [f"{given} ({DATA_DIR_VARIABLE})"] if given else []
        looked.append(str(cache_directory()))
        raise InputError(
            f"data set {name!r} is not on this machine; run `molig data get {name}` "
            f"(looked for {known_dataset(name).file} in {', '.join(looked)})"
        )
    return path


def dataset_of(path: Path) -> Dataset | None:
    """The public set that a file is called after."""
    return next((one for one in datasets().values() if one.file == path.name), None)


def file_or_dataset(source: str | Path) -> Path:
    """What a user means by a path or the name of a data set; a file of that name comes first."""
    name = str(source)
    if os.path.exists(name) and not (name in datasets() and os.path.isdir(name)):
        return Path(source)
    if name in datasets():
        return find_dataset(name)
    if name and "." not in name and not os.path.dirname(name):
        raise UnknownNameError("file or data set", name, datasets())
    return Path(source)  # the reader says what is wrong with a path
