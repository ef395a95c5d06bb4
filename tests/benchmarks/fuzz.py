"""Mutated SMILES and files, graphs that hurt, and what molig has written, damaged: a row per fault class.

Every row of a library must come out as a molecule or as a rejection with its reason, in order; feature
stores, parts of interrupted runs and models are used to the same result, or refused by an error of molig::

    python tests/benchmarks/fuzz.py --smiles 20000 --files 1000 --own 2000 --seed 0
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

from molig.model import load_model

MODELS = Path(__file__).resolve().parents[1] / "support" / "models"


def main() -> int:
    """Print the table; faults go to standard error, and make the exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smiles", type=int, default=20_000, help="how many mutated SMILES")
    parser.add_argument("--files", type=int, default=1_000, help="how many mutated files")
    parser.add_argument("--own", type=int, default=1_000, help="how many damaged stores, parts and models")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with rdBase.BlockLogs(), tempfile.TemporaryDirectory() as folder:
        tallies = fuzzing.fuzz_smiles(options.smiles, options.seed)
        tallies |= fuzzing.fuzz_files(options.files, options.seed, Path(folder))
        tallies |= fuzzing.fuzz_poison()
        n, seed, small = options.own // 4, options.seed, MODELS / "small"
        tallies |= fuzzing.fuzz_features(options.smiles // 4, seed, load_model(MODELS / "committee").schema)
        tallies |= fuzzing.fuzz_stores(n, seed, Path(folder), small)
        tallies |= fuzzing.fuzz_parts(n // 2, seed, Path(folder), small)
        tallies |= fuzzing.fuzz_models(n, seed, Path(folder), small)
        tallies |= fuzzing.fuzz_models(n, seed, Path(folder), MODELS / "committee")
    print(fuzzing.table(tallies))
    faults = [f"{name}: {example}" for name, tally in tallies.items() for example in tally.examples]
    print(*faults, sep="\n", file=sys.stderr)
    return int(any(tally.undocumented or tally.lost for tally in tallies.values()))


if __name__ == "__main__":
    raise SystemExit(main())
