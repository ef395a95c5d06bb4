"""Mutated SMILES, mutated files, and graphs that hurt: a row per fault class.

Every row must come out as a molecule or as a rejection with its reason, in order::

    python tests/benchmarks/fuzz.py --smiles 20000 --files 1000 --seed 0
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rdkit import rdBase
from support import fuzzing


def main() -> int:
    """Print the table; faults go to standard error, and make the exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smiles", type=int, default=20_000, help="how many mutated SMILES")
    parser.add_argument("--files", type=int, default=1_000, help="how many mutated files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with rdBase.BlockLogs(), tempfile.TemporaryDirectory() as folder:
        tallies = fuzzing.fuzz_smiles(options.smiles, options.seed)
        tallies |= fuzzing.fuzz_files(options.files, options.seed, Path(folder))
        tallies |= fuzzing.fuzz_poison()
    print(fuzzing.table(tallies))
    faults = [f"{name}: {example}" for name, tally in tallies.items() for example in tally.examples]
    print(*faults, sep="\n", file=sys.stderr)
    return int(any(tally.undocumented or tally.lost for tally in tallies.values()))


if __name__ == "__main__":
    raise SystemExit(main())
