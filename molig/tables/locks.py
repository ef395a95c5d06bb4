"""One run at a time on an output: lock files, and what killed runs have left beside it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from molig.errors import OutputError

if sys.platform != "win32":
    import fcntl

_ATTEMPTS = 50
_PAUSE = 0.02


class Holder(NamedTuple):
    """The process that a lock file names."""

    pid: int
    host: str
    born: str
    """When the process began, where the system tells: numbers of processes are used again."""
    since: str


@contextmanager
def exclusive(*outputs: Path | None) -> Iterator[None]:
    """Keep files to this run for the length of the block, and clear what killed runs have left of them.

    Beside each lies ``.NAME.lock`` meanwhile, with process and host. The lock of a process that is gone is
    taken over; whether one of another host is gone cannot be known.

    Parameters
    ----------
    *outputs : Path or None
        Files; None is passed over.

    Raises
    ------
    OutputError
        If another run holds one of them, naming its process and host, or a lock cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, exclusive(Path(folder) / "hits.csv"):
    ...     print([file.name for file in Path(folder).iterdir()])
    ['.hits.csv.lock']
    """
    with ExitStack() as held:
        for output in dict.fromkeys(path.resolve() for path in outputs if path is not None):
            held.enter_context(_locked(output, output.with_name(f".{output.name}.lock")))
            _clear_leftovers(output.parent, re.escape(output.name))
        yield


@contextmanager
def exclusive_directory(directory: Path) -> Iterator[None]:
    """The same for a directory of results, which is made; the lock is ``.molig.lock`` in it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot write to {directory}: {err.strerror or err}") from err
    with _locked(directory, directory / ".molig.lock"):
        _clear_leftovers(directory, ".+")
        yield


def scratch_name(output: Path) -> str:
    """Beginning of the name of a scratch directory beside an output, by which a later run knows it."""
    return f".{output.name}.{os.getpid()}-"


@contextmanager
def scratch_directory(output: Path | None) -> Iterator[Path]:
    """Make a directory for the length of the block, beside an output, where a later run clears what is left.

    Parameters
    ----------
    output : Path or None
        The output; None for a directory where the system has room for such.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    place = None if output is None else output.resolve()
    prefix = ".molig-" if place is None else scratch_name(place)
    try:
        directory = tempfile.TemporaryDirectory(
            prefix=prefix, dir=place and place.parent, ignore_cleanup_errors=True
        )
    except OSError as err:
        raise OutputError(f"cannot make a scratch directory: {err.strerror or err}") from err
    with directory as name:
        yield Path(name)


@contextmanager
def _locked(output: Path, lock: Path) -> Iterator[None]:
    try:
        handle = _acquire(lock, output)
    except OSError as err:
        raise OutputError(f"cannot write the lock {lock}: {err.strerror or err}") from err
    try:
        yield
    finally:
        # Removed before it is let go, so that nobody takes a lock that is about to vanish.
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(handle)


def _acquire(lock: Path, output: Path) -> int:
    for _ in range(_ATTEMPTS):
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            free = _try_lock(handle)
            holder = _holder(handle)
            if free and _same_file(handle, lock) and (holder is None or _is_gone(holder)):
                try:
                    _sign(handle)
                except OSError:  # a full disk
                    lock.unlink(missing_ok=True)
                    raise
                return handle
            if holder is not None and not _is_gone(holder):
                raise OutputError(_refusal(output, lock, holder))
            if holder is not None and not free:
                # The process is gone, and one that it started keeps its lock: that one writes no output.
                lock.unlink(missing_ok=True)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        # Somebody is just making or removing the lock.
        time.sleep(_PAUSE)
    raise OutputError(f"{output} is being written by another run; if there is none, delete {lock}")


def _try_lock(handle: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: what the file says has to do
        pass
    return True


def _same_file(handle: int, lock: Path) -> bool:
    """Whether the lock was not removed between opening and locking it."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(lock))
    except FileNotFoundError:
        return False


def _sign(handle: int) -> None:
    pid = os.getpid()
    holder = Holder(pid, socket.gethostname(), _born(pid), time.strftime("%Y-%m-%d %H:%M:%S"))
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(holder._asdict()).encode())


def _holder(handle: int) -> Holder | None:
    os.lseek(handle, 0, os.SEEK_SET)
    try:
        content = json.loads(os.read(handle, 4096))
        return Holder(int(content["pid"]), *(str(content[name]) for name in Holder._fields[1:]))
    except (ValueError, KeyError, TypeError):
        return None  # not signed yet, or never


def _is_gone(holder: Holder) -> bool:
    if holder.host != socket.gethostname():
        return False
    return not is_alive(holder.pid) or holder.born != _born(holder.pid)


def is_alive(pid: int) -> bool:
    """Whether there is such a process on this computer; where that cannot be asked, there is."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _born(pid: int) -> str:
    """Clock tick at which a process began, on Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _refusal(output: Path, lock: Path, holder: Holder) -> str:
    process = f"process {holder.pid} on {holder.host} since {holder.since}"
    who = f"{output} is being written by another run, {process}"
    if holder.host == socket.gethostname():
        return f"{who}; wait for it, stop it, or give the output another name"
    return f"{who}; wait for it or give the output another name. If that run is over, delete {lock}"


def _clear_leftovers(directory: Path, name: str) -> None:
    """Remove temporary files and scratch directories of outputs of this name whose process is gone."""
    ours = re.compile(rf"\.{name}\.(\d+)(\.tmp|-\w+)")
    for path in list(directory.iterdir()):
        found = ours.fullmatch(path.name)
        if found and (int(found[1]) == os.getpid() or not is_alive(int(found[1]))):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
