"""Memory of a screening run must not grow with the library.

Run: ``python tests/benchmarks/screening_memory.py``
Screens the NCI molecules once and ten times over, each in a process of its own, and prints peak memory.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from common import nci_smiles

_CODE = """
import resource, sys, molig
model = molig.load_model(sys.argv[2])
result = molig.screen(sys.argv[1], model, output=sys.argv[3], task=model.tasks[0])
print("PEAK", result.n_rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak_megabytes(library: Path, model: str, output: Path) -> int:
    """Peak memory of a fresh process that screens a file."""
    command = [sys.executable, "-c", _CODE, str(library), model, str(output)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"PEAK \d+ (\d+)", text)
    if found is None:
        raise SystemExit(f"unexpected output: {text}")
    return int(found[1])


def main() -> None:
    """Print peak memory for a library and for ten times that library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tox21-w2n2-simple")
    options = parser.parse_args()
    lines = "\n".join(nci_smiles()) + "\n"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peaks = []
        for times in (1, 10):
            library = folder / f"library{times}.smi"
            library.write_text(lines * times)
            peaks.append(peak_megabytes(library, options.model, folder / "hits.parquet"))
            print(f"{times:3d} x NCI: {peaks[-1]} MB")
    print(f"ten times the rows take {peaks[1] / peaks[0]:.2f} times the memory (aim: 1)")


if __name__ == "__main__":
    main()
