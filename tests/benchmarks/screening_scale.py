"""Cost and memory of a screen by the number of rows: neither a row's time nor the memory may grow with it.

Run: ``python tests/benchmarks/screening_scale.py --folder scale [--rows 10000 100000] [--minutes 30]``

Rows are those of ``library_moses_1m.parquet`` in ``MOLIG_DATA_DIR``, repeated where more are asked for. Each
size is screened by ``molig screen --resume`` in a process of its own. After ``--minutes`` the run is
interrupted, and the same command goes on with it. What was measured so far lies in the folder. Processor time
is that of all processes together, and does not depend on what else the machine does; memory is the largest
proportional set size of all processes together, looked at twice a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from itertools import chain, cycle, islice
from pathlib import Path

import pyarrow.parquet as pq

_PAUSE = 0.5


@dataclass
class Measured:
    """What the runs of one size have taken so far."""

    rows: int
    runs: int = 0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    done: bool = False

    @classmethod
    def read(cls, path: Path, rows: int) -> Measured:
        """From its file, if there is one."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls(rows)


def library_of(folder: Path, n_rows: int) -> Path:
    """A library of so many rows."""
    path = folder / f"library-{n_rows}.smi"
    if not path.exists():
        source = pq.ParquetFile(Path(os.environ["MOLIG_DATA_DIR"]) / "library_moses_1m.parquet")
        smiles = chain.from_iterable(
            cycle(batch["smiles"].to_pylist() for batch in source.iter_batches(columns=["smiles"]))
        )
        temporary = path.with_suffix(".tmp")
        with temporary.open("w") as file:
            file.writelines(f"{text} m{i}\n" for i, text in enumerate(islice(smiles, n_rows)))
        temporary.rename(path)
    return path


def proportional_size(pid: int) -> int:
    """Bytes of a process and its descendants, what they share counted once."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total = 1024 * int(line.split()[1])
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += proportional_size(int(child))
    except OSError:  # it has ended meanwhile
        pass
    return total


def measure(folder: Path, measured: Measured, options: argparse.Namespace, until: float) -> None:
    """Go on with a run, to its end or until it is time."""
    library, output = library_of(folder, measured.rows), folder / f"hits-{measured.rows}.parquet"
    words = ["screen", str(library), "-m", options.model, "--task", options.task, "-o", str(output)]
    words += ["--jobs", str(options.jobs), "--device", "cpu", "-q"]
    # A size that was measured is measured anew where its file was deleted.
    words += ["--resume"] if output.with_suffix(".parts").exists() or not output.exists() else ["--force"]
    process = subprocess.Popen(
        [sys.executable, "-m", "molig", *words], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    status, usage = None, None
    while usage is None:
        time.sleep(_PAUSE)
        measured.peak_bytes = max(measured.peak_bytes, proportional_size(process.pid))
        if time.monotonic() > until:
            process.terminate()  # what begins in the background ignores an interruption
            _, status, usage = os.wait4(process.pid, 0)
        else:
            pid, status, found = os.wait4(process.pid, os.WNOHANG)
            usage = found if pid else None
    measured.runs += 1
    measured.cpu_seconds += usage.ru_utime + usage.ru_stime
    measured.done = os.waitstatus_to_exitcode(status) == 0


def table(found: list[Measured]) -> str:
    """A row a size, in Markdown."""
    lines = ["| rows | processor time | for a row | memory at most | runs |", "|---:|---:|---:|---:|---:|"]
    for one in found:
        cost = f"{1e6 * one.cpu_seconds / one.rows:,.0f} µs" if one.done else ""
        size = f"{one.peak_bytes / 1e6:,.0f} MB"
        unfinished = "" if one.done else " (unfinished)"
        lines.append(
            f"| {one.rows:,}{unfinished} | {one.cpu_seconds:,.0f} s | {cost} | {size} | {one.runs} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="libraries, hits and measurements")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--model", default="tox21-w1n2-simple")
    parser.add_argument("--task", default="SR-MMP")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    until = time.monotonic() + 60 * options.minutes
    found = []
    for rows in options.rows:
        path = options.folder / f"measured-{rows}.json"
        measured = Measured.read(path, rows)
        if not measured.done and time.monotonic() < until:
            measure(options.folder, measured, options, until)
            path.write_text(json.dumps(asdict(measured)))
        found.append(measured)
    print(table(found))


if __name__ == "__main__":
    main()
