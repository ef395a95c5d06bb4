"""Memory of explaining a library must not grow with the library.

Run: ``python tests/benchmarks/explain_memory.py``
Explains 500 and 5,000 rows by ``molig explain``, each in a process of its own, and prints peak memory, CPU
time and the size of the table.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

from common import nci_smiles

_CODE = """
import resource, sys, time
from molig.cli import main
started = time.process_time()
try:
    main(sys.argv[1:])
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print("PEAK", peak, "SECONDS", time.process_time() - started)
"""


def explain(library: Path, output: Path, options: argparse.Namespace) -> tuple[int, float]:
    """Peak memory (MB) and CPU seconds of a fresh process that explains a file."""
    words = [
        "explain",
        "-q",
        "--device",
        "cpu",
        "--jobs",
        1,
        "-m",
        options.model,
        "-i",
        library,
        "-o",
        output,
    ]
    words += ["--layout", options.layout, "--tol", options.tol]
    command = [sys.executable, "-c", _CODE, *map(str, words)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"PEAK (\d+) SECONDS ([\d.]+)", text)
    if found is None:
        raise SystemExit(f"unexpected output: {text}")
    return int(found[1]), float(found[2])


def main() -> None:
    """Print peak memory for a library and for a larger one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tox21-w2n2-simple")
    parser.add_argument("--layout", default="features", help="features or molecules")
    parser.add_argument("--rows", type=int, nargs=2, default=(500, 5000), metavar="N")
    parser.add_argument("--tol", type=float, default=0.01)
    options = parser.parse_args()
    smiles = nci_smiles()
    with tempfile.TemporaryDirectory() as name:
        peaks = []
        for n_rows in options.rows:
            library, output = Path(name) / f"library{n_rows}.smi", Path(name) / "why.parquet"
            library.write_text("\n".join(islice(cycle(smiles), n_rows)) + "\n")
            peak, seconds = explain(library, output, options)
            peaks.append(peak)
            size = output.stat().st_size / n_rows
            print(f"{n_rows:7,d} rows: {peak} MB, {seconds:.0f} s of CPU, {size:.0f} bytes of table per row")
    more = options.rows[1] / options.rows[0]
    print(f"{more:.0f} times the rows take {peaks[1] / peaks[0]:.2f} times the memory (aim: 1)")


if __name__ == "__main__":
    main()
