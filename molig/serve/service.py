"""What a server has while it runs: a directory of its own, the desk, the jobs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

from molig.errors import OutputError
from molig.serve.desk import Desk
from molig.serve.jobs import Jobs
from molig.serve.settings import ServeSettings


class Service:
    """The desk and the jobs of a server, and the directory that goes with them.

    Parameters
    ----------
    settings : ServeSettings
        Models and limits.
    say : callable, optional
        Told what a terminal should show.

    Examples
    --------
    >>> with Service(ServeSettings(models=("tox21-w2n2-simple",))) as service:
    ...     service.desk.ask("draw", smiles="OCC")["smiles"]
    'OCC'
    """

    def __init__(self, settings: ServeSettings, say: Callable[[str], object] = lambda _: None) -> None:
        self.settings, self.say = settings, say

    def __enter__(self) -> Self:
        """Make the directory and read what the models say of themselves.

        Raises
        ------
        OutputError
            If there is no place for temporary files.
        MoligError
            If a model is wrong.
        """
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="molig-serve-"))
        except OSError as err:
            raise OutputError(
                f"cannot make a directory for temporary files: {err.strerror or err}; make room, or name "
                "another place by the environment variable TMPDIR"
            ) from err
        self.desk = Desk(self.settings, self.folder)
        self.jobs = Jobs(self.settings, self.folder, self.say)
        try:
            self.desk.open()
            self.jobs.open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes and remove all files."""
        self.jobs.close()
        self.desk.close()
        shutil.rmtree(self.folder, ignore_errors=True)
