"""What the commands share: messages to stderr, tables to stdout, progress bars."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from molig.errors import MoligError
from molig.text import legible, legible_lines

_ROOM = 50
_LONGEST_CELL = 200


class Reporter:
    """Messages and progress of one command.

    Parameters
    ----------
    quiet : bool
        Show warnings and errors only.
    """

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False)

    def info(self, message: str) -> None:
        """Say something unless quiet."""
        if not self.quiet:
            self.console.print(Text(legible_lines(message)), soft_wrap=True)

    def warning(self, message: str) -> None:
        """Say something even if quiet."""
        self.console.print(Text(f"warning: {legible(message)}", style="yellow"), soft_wrap=True)

    @contextlib.contextmanager
    def telling_what_is_kept(self, directory: Path) -> Iterator[None]:
        """If the run breaks off, say which finished parts a directory keeps, and how it goes on."""
        from molig.tables import Parts

        try:
            yield
        except BaseException:
            n_rows = 0
            with contextlib.suppress(MoligError):
                n_rows = Parts.read(directory).n_rows
            if n_rows:
                self.warning(
                    f"{n_rows:,} rows are done and kept in {directory}; the same command with --resume "
                    "continues there"
                )
            raise

    @contextlib.contextmanager
    def progress(self, what: str, total: int | None, unit: str = "molecules") -> Iterator[Bar]:
        """Show a bar with speed and time left; yields what advances it."""
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}"),
            _Rejected(),
            _Speed(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        ]
        with Progress(*columns, console=self.console, disable=self.quiet, transient=False) as progress:
            bar = Bar(progress, progress.add_task(what, total=total))
            try:
                yield bar
            except BaseException:
                if not progress.tasks[bar.task].completed:  # what went wrong is told without a bar of nothing
                    progress.update(bar.task, visible=False)
                    progress.live.transient = True
                raise
            # The count of rows was an estimate (headers, blank lines).
            progress.update(bar.task, total=progress.tasks[bar.task].completed)


class Bar:
    """A progress bar; called with a number of items, it advances by them."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self.task = progress, task
        self._n_rejected = 0

    def __call__(self, n: int) -> None:
        """So many more are done."""
        self._progress.update(self.task, advance=n, seconds=self._progress.tasks[self.task].elapsed)

    def reject(self, n: int) -> None:
        """So many more of them were rejected."""
        self._n_rejected += n
        self._progress.update(self.task, rejected=self._n_rejected)

    def leave_out(self, n: int) -> None:
        """So many were done before: they are none of this run."""
        total = self._progress.tasks[self.task].total
        if total is not None:
            self._progress.update(self.task, total=max(total - n, 0))


class _Rejected(ProgressColumn):
    """How many items were rejected, if any."""

    def render(self, task: Task) -> Text:
        """The number."""
        n_rejected = task.fields.get("rejected")
        return Text(f"{n_rejected:,} rejected" if n_rejected else "")


class _Speed(ProgressColumn):
    """Items per second from the start to the last of them."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Speed over the whole run: it does not flicker."""
        seconds = task.fields.get("seconds")
        speed = task.completed / seconds if seconds else 0.0
        return Text(f"{speed:,.0f} {self._unit}/s" if speed >= 10 else f"{speed:.1f} {self._unit}/s")


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", whole: Sequence[str] = ()
) -> None:
    """Print a table to stdout; the columns ``whole`` are folded on very narrow terminals only."""
    console = Console(highlight=False)
    if not console.is_terminal:
        # A pipe has no width; do not fold what a program may read.
        console = Console(highlight=False, width=max(console.width, 200))
    table = Table(title=Text(legible(title)) if title else None, title_justify="left", header_style="bold")
    for name in header:
        # What may not be folded is cut where there is no room at all.
        table.add_column(
            Text(_shortened(legible(name))), overflow="fold", no_wrap=name in whole and console.width >= _ROOM
        )
    for row in rows:
        table.add_row(*(Text(_shortened(legible(cell))) for cell in row))
    console.print(table)


def _shortened(cell: str) -> str:
    """A cell that no name of ten thousand letters fills the screen with; files have it whole."""
    return cell if len(cell) <= _LONGEST_CELL else f"{cell[: _LONGEST_CELL - 1]}…"


def use_threads(n: int) -> None:
    """Bound torch's CPU threads.

    The default of the commands is one: the matrices are small, so a second thread gains a fifth in training
    and nothing in screening, and on a busy machine waiting for it costs several times that.
    """
    import torch

    torch.set_num_threads(n)
