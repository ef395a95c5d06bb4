"""What a run of `molig screen` did, for those who run many, and what one would take."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from molig.files import json_text, versions, write_whole
from molig.model import ScoringModel
from molig.screening.chunks import CHUNK_ROWS
from molig.screening.joining import ScreeningResult
from molig.screening.pipeline import screen
from molig.screening.plan import ScreeningOptions
from molig.screening.workers import n_cores
from molig.tables.writers import STDOUT, check_output, check_writable

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SAMPLED_ROWS = 2_000
"""A dry run screens so many rows; more, if it takes more to occupy all processes."""

_WARM_UP_ROWS = 100
# A sample of a file of lines is taken in so many places.
_PLACES = 32
_OF_LINES = (".smi", ".csv", ".tsv")


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
    n_done = result.n_rows - result.n_before
    return {
        "command": shlex.join(["molig", *arguments]) if arguments else None,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": result.seconds,
        "rows": {**rows, "hits": result.n_hits, "done_by_an_interrupted_run": result.n_before},
        "rejected_by_reason": dict(result.reasons.most_common()),
        "rows_per_second": n_done / result.seconds,
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
        name: {"seconds": spent, "rows_per_second": _rows_of(name, result) / max(spent, 1e-9)}
        for name, spent in result.stages.items()
    }


def _rows_of(stage: str, result: ScreeningResult) -> int:
    """Rows that have gone through a stage: every run reads and writes all of them."""
    return result.n_rows - (0 if stage in ("read", "write") else result.n_before)


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
    """What a run would take, from a sample of its library.

    Parameters
    ----------
    sampled : ScreeningResult
        What came of the sample.
    n_rows : int, optional
        Rows of the whole library; None if that cannot be told without reading it.
    seconds_per_row : float
        Once the model is loaded.
    bytes_per_row : float
        Of the hit table, 0 if it goes to standard output.
    memory : int
        Most bytes held by all processes, what they share counted for each.
    spread : bool
        Whether the sample is from all over the library, not its first rows.
    """

    sampled: ScreeningResult
    n_rows: int | None
    seconds_per_row: float
    bytes_per_row: float
    memory: int
    spread: bool = False

    def lines(self) -> list[tuple[str, str]]:
        """What is estimated, and how much it is."""
        n_rows = self.n_rows or _PER_ROWS
        of = "" if self.n_rows else f" for {_PER_ROWS:,} rows"
        sample = self.sampled
        size = f"{sample.n_rows:,} rows"
        found = [
            ("rows", f"{self.n_rows:,}" if self.n_rows else "not known without reading the library"),
            ("sample", f"{size} from all over" if self.spread else f"the first {size}"),
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
    """Screen some rows of a library, write nothing that stays, and say what the whole would take.

    Of a plain file of lines they are from all over it, of any other library the first.

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
        most = max(SAMPLED_ROWS, CHUNK_ROWS * (n_cores() if options.jobs is None else options.jobs))
        sample = None if n_rows is None or n_rows <= most else _sample(Path(library), Path(folder), most)
        looked_at = sample or library
        screen(looked_at, model, output=path, options=replace(options, first_rows=_WARM_UP_ROWS))
        started = time.perf_counter()
        result = screen(looked_at, model, output=path, options=replace(options, first_rows=most))
        seconds = time.perf_counter() - started
        n_bytes = path.stat().st_size
    if sample is None and result.n_rows < most:  # that was all
        n_rows = result.n_rows
    bytes_per_row = 0.0 if str(output) == STDOUT else n_bytes / result.n_rows
    if options.top_k is not None and n_rows:
        bytes_per_row = n_bytes / max(result.n_hits, 1) * min(options.top_k, n_rows) / n_rows
    peak = peak_memory()
    memory = peak.process + (result.jobs * peak.largest_worker if result.jobs > 1 else 0)
    spread = sample is not None
    return Estimate(result, n_rows, seconds / result.n_rows, bytes_per_row, memory, spread)


def _sample(library: Path, folder: Path, n_lines: int) -> Path | None:
    """A file of so many lines from all over another; None where these may be no rows of a table."""
    if library.suffix.lower() not in _OF_LINES or not library.is_file():
        return None
    found: list[bytes] = []
    size = library.stat().st_size
    with library.open("rb") as file:
        for place in range(_PLACES):
            file.seek(place * size // _PLACES)
            if place:
                file.readline()  # begun before
            found += islice(file, n_lines // _PLACES)
    # Cells in quotes may hold ends of lines, and so may letters of two bytes.
    if any(b'"' in line or b"\0" in line for line in found):
        return None
    sample = folder / f"sample{library.suffix}"
    sample.write_bytes(b"".join(line.rstrip(b"\r\n") + b"\n" for line in found))
    return sample


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
