"""What a run of `molig screen` did, for those who run many, and what one would take."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from molig.files import json_text, versions, write_whole
from molig.model import ScoringModel
from molig.screening.chunks import CHUNK_ROWS
from molig.screening.joining import ScreeningResult
from molig.screening.pipeline import screen
from molig.screening.plan import ScreeningOptions
from molig.tables.writers import STDOUT, check_output, check_writable

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SAMPLED_ROWS = 2_000
"""A dry run screens so many of the first rows; more, if it takes more to occupy all processes."""

_WARM_UP_ROWS = 100


def report_path(output: str | Path) -> Path | None:
    """Where the report of a run goes: ``NAME.run.json`` beside the hits; None for standard output.

    Examples
    --------
    >>> report_path("hits.csv").as_posix()
    'hits.run.json'
    """
    if str(output) == STDOUT:
        return None
    check_output(output)
    path = Path(output).with_suffix(".run.json")
    check_writable(path)
    return path


def write_run_report(
    path: Path,
    result: ScreeningResult,
    models: Sequence[ScoringModel],
    library: str | Path,
    arguments: Sequence[str] = (),
) -> None:
    """Write what a run did.

    Parameters
    ----------
    path : Path
        Of the report, JSON.
    result : ScreeningResult
        What came of the run.
    models : sequence of ScoringModel
        The models.
    library : str or Path
        The input, as it was named.
    arguments : sequence of str
        The command line behind ``molig``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_whole(path, json_text(_content(result, models, library, arguments)))


def _content(
    result: ScreeningResult, models: Sequence[ScoringModel], library: str | Path, arguments: Sequence[str]
) -> dict[str, Any]:
    rows = {"read": result.n_rows, "scored": result.n_scored, "rejected": result.n_rejected}
    return {
        "command": shlex.join(["molig", *arguments]) if arguments else None,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": result.seconds,
        "rows": {**rows, "hits": result.n_hits},
        "rejected_by_reason": dict(result.reasons.most_common()),
        "rows_per_second": result.n_rows / result.seconds,
        "jobs": result.jobs,
        "utilisation": sum(result.stages.values()) / (result.seconds * result.jobs),
        "stages": _stages(result),
        "peak_memory_bytes": peak_memory()._asdict(),
        "models": [
            {"name": model.name, "digest": model.digest(), "tasks": list(model.tasks)} for model in models
        ],
        "meaning_of_scores": result.meaning,
        "library": {"name": str(library), **_size(library)},
        "outputs": {
            name: {"name": str(place), **_size(place)}
            for name, place in (("hits", result.output), ("rejected", result.rejects))
            if place is not None
        },
        "input_columns": list(result.kept),
        "properties_left_out": dict(result.left_out),
        "versions": versions(),
    }


def _stages(result: ScreeningResult) -> dict[str, dict[str, float]]:
    """Seconds of each stage, added up over processes, and the speed of one that does nothing else."""
    return {
        name: {"seconds": spent, "rows_per_second": result.n_rows / max(spent, 1e-9)}
        for name, spent in result.stages.items()
    }


def _size(place: str | Path) -> dict[str, int]:
    path = Path(place)
    return {"bytes": path.stat().st_size} if str(place) != STDOUT and path.is_file() else {}


class PeakMemory(NamedTuple):
    """Most bytes that processes have held so far.

    Parameters
    ----------
    process : int
        This process; 0 if not known.
    largest_worker : int
        The largest of those that it started and that have ended. What a worker shares with this process
        counts for both.
    """

    process: int
    largest_worker: int


def peak_memory() -> PeakMemory:
    """Most bytes that this process and those that it started have held so far."""
    if resource is None:
        return PeakMemory(0, 0)
    unit = 1 if sys.platform == "darwin" else 1024
    own, of_workers = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return PeakMemory(unit * own.ru_maxrss, unit * of_workers.ru_maxrss)


@dataclass(frozen=True)
class Estimate:
    """What a run would take, from the first rows of its library.

    Parameters
    ----------
    sampled : ScreeningResult
        What came of these rows.
    n_rows : int, optional
        Rows of the whole library; None if that cannot be told without reading it.
    seconds_per_row : float
        Once the model is loaded.
    bytes_per_row : float
        Of the hit table, 0 if it goes to standard output.
    memory : int
        Most bytes held by all processes, what they share counted for each.
    """

    sampled: ScreeningResult
    n_rows: int | None
    seconds_per_row: float
    bytes_per_row: float
    memory: int

    def lines(self) -> list[tuple[str, str]]:
        """What is estimated, and how much it is."""
        n_rows = self.n_rows or _PER_ROWS
        of = "" if self.n_rows else f" for {_PER_ROWS:,} rows"
        sample = self.sampled
        found = [
            ("rows", f"{self.n_rows:,}" if self.n_rows else "not known without reading the library"),
            ("sample", f"the first {sample.n_rows:,} rows"),
            ("rejected", f"{sample.n_rejected / sample.n_rows:.1%}, {sample.n_rejected:,} in the sample"),
            ("speed", f"{1 / self.seconds_per_row:,.0f} rows/s"),
            (f"time{of}", duration(n_rows * self.seconds_per_row)),
            ("memory", f"at most {in_bytes(self.memory)}, {sample.jobs} processes at work"),
        ]
        if self.bytes_per_row:
            found.append((f"hit table{of}", in_bytes(n_rows * self.bytes_per_row)))
        return found


_PER_ROWS = 1_000_000


def estimate(
    library: str | Path,
    model: ScoringModel,
    output: str | Path = STDOUT,
    options: ScreeningOptions | None = None,
    n_rows: int | None = None,
) -> Estimate:
    """Screen the first rows of a library, write nothing that stays, and say what the whole would take.

    Parameters
    ----------
    library : str or Path
        A file; standard input would be used up.
    model : ScoringModel
        The model.
    output : str or Path
        The hit table that the run would write.
    options : ScreeningOptions, optional
        Those of the run.
    n_rows : int, optional
        Rows of the whole library, if they are known.

    Returns
    -------
    Estimate
    """
    options = replace(options or ScreeningOptions(), force=True, resume=False)
    with tempfile.TemporaryDirectory(prefix="molig-") as folder:
        path = Path(folder) / f"hits{Path(output).suffix.lower() or '.csv'}"
        warm_up = screen(library, model, output=path, options=replace(options, first_rows=_WARM_UP_ROWS))
        most = max(SAMPLED_ROWS, CHUNK_ROWS * warm_up.jobs)
        started = time.perf_counter()
        result = screen(library, model, output=path, options=replace(options, first_rows=most))
        seconds = time.perf_counter() - started
        n_bytes = path.stat().st_size
    if result.n_rows < most:  # that was all
        n_rows = result.n_rows
    bytes_per_row = 0.0 if str(output) == STDOUT else n_bytes / result.n_rows
    if options.top_k is not None and n_rows:
        bytes_per_row = n_bytes / max(result.n_hits, 1) * min(options.top_k, n_rows) / n_rows
    peak = peak_memory()
    memory = peak.process + (result.jobs * peak.largest_worker if result.jobs > 1 else 0)
    return Estimate(result, n_rows, seconds / result.n_rows, bytes_per_row, memory)


def in_bytes(size: float) -> str:
    """A size as people say it.

    Examples
    --------
    >>> in_bytes(2_048), in_bytes(5_000_000_000)
    ('2.0 KiB', '4.7 GiB')
    """
    for unit in ("KiB", "MiB"):
        size /= 1024
        if size < 1000:
            return f"{size:,.1f} {unit}"
    return f"{size / 1024:,.1f} GiB"


def duration(seconds: float) -> str:
    """A time as people say it.

    Examples
    --------
    >>> duration(0.25), duration(75), duration(200_000)
    ('0.2 s', '1 min 15 s', '55 h 33 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"
