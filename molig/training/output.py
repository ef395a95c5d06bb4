"""The directory of a model in training: no finished model is lost, and nothing half-made is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from molig.errors import OutputError, UsageError, called
from molig.model.domain import APPLICABILITY_FILE
from molig.model.files import INFO_FILE, MEMBERS_FILE
from molig.tables.locks import exclusive_directory, scratch_name
from molig.training.loop import CHECKPOINT_FILE, CHECKPOINTS


def check_output(output: Path, *, resume: bool = False, force: bool = False) -> None:
    """Refuse a directory with a finished model, unless it may be replaced or a broken run goes on.

    Raises UsageError.
    """
    if not (output / INFO_FILE).exists() or force:
        return
    if not resume:
        raise UsageError(
            f"{output} holds a finished model: choose another output, or replace it with {called('force')}"
        )
    # A run that was to replace a model had leave to do so.
    if not (output / CHECKPOINT_FILE).exists():
        raise UsageError(f"nothing to resume: the run in {output} is finished")


@contextmanager
def model_in_progress(output: Path) -> Iterator[Path]:
    """Give a scratch directory, whose files take their place in `output` if all goes well.

    Until then a former model stays as it is. After a failure the directories that were made for the run are
    taken away again, unless they hold a checkpoint. Raises OutputError if the output cannot be written, or
    another run holds it.
    """
    made = [path for path in (output, *output.parents) if not path.exists()]
    try:
        with exclusive_directory(output):
            scratch = _scratch(output)
            try:
                yield scratch
                _move(scratch, output)
                for name in CHECKPOINTS:
                    (output / name).unlink(missing_ok=True)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    finally:
        with contextlib.suppress(OSError):  # not empty: there is a model or a checkpoint
            for path in made:
                path.rmdir()


def _scratch(output: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=scratch_name(Path("model")), dir=output))
    except OSError as err:
        raise OutputError(f"cannot write to {output}: {err.strerror or err}") from err


def _move(scratch: Path, output: Path) -> None:
    """Put the files in place; model.json comes last, as it vouches for the others."""
    try:
        made = sorted(scratch.iterdir(), key=lambda path: path.name == INFO_FILE)
        for path in made:
            former = output / path.name
            if former.is_dir() and not former.is_symlink():  # only an empty one can be replaced
                shutil.rmtree(former)
            os.replace(path, former)
        for name in {MEMBERS_FILE, APPLICABILITY_FILE} - {path.name for path in made}:
            (output / name).unlink(missing_ok=True)  # of a former model that had them
    except OSError as err:
        raise OutputError(f"cannot write the model to {output}: {err.strerror or err}") from err
