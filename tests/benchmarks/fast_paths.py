"""Do the fast ways from a SMILES to features give what the plain ones give, for every row of every data set?

    python tests/benchmarks/fast_paths.py [FILE.parquet ...] [--every 1]

Reads the Parquet tables of MOLIG_DATA_DIR, or the given ones, and compares, row by row,

* the molecule that the parser reads without assigning stereochemistry with RDKit's own, byte by byte;
* the elements read off the text with those that RDKit gives;
* distances, bond orders and pairs of the compiled loops with RDKit's matrices.

Prints how many rows took each fast way. The exit code is 1 if a single row differs.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rdkit import Chem, rdBase

from molig.features.blocks import extract_topology
from molig.features.distances import Distances
from molig.molecules.parser import HYDROGEN, elements_of, read_smiles

_BATCH = 512
_COMPARED = ("atomic_numbers", "pair_atoms", "bond_orders", "distances", "atom_counts", "pair_counts")
_LONGEST = 300  # longer ones may take RDKit minutes; the parser reads them elsewhere, by the plain way


def differences(rows: list[str], counts: dict[str, int]) -> list[str]:
    """SMILES of the rows that differ, each with what does."""
    wrong, mols, elements = [], [], []
    for smiles in rows:
        try:
            plain = Chem.MolFromSmiles(smiles)
        except (ValueError, RuntimeError):
            plain = None
        fast = plain if HYDROGEN.search(smiles) else read_smiles(smiles)
        if (plain is None) != (fast is None):
            wrong.append(f"readable: {smiles}")
        if plain is None or fast is None:
            continue
        counts["read"] += 1
        counts["without stereo"] += not set(smiles) & set("@/\\")
        if plain.ToBinary(0) != fast.ToBinary(0):
            wrong.append(f"molecule: {smiles}")
        found = elements_of(smiles)
        atoms = bytes(plain.GetAtomWithIdx(i).GetAtomicNum() for i in range(plain.GetNumAtoms()))
        counts["elements"] += found is not None
        if found is not None and found != atoms:
            wrong.append(f"elements: {smiles}")
        mols.append(fast)
        elements.append(found)
    for limit in (2, None):
        plain, fast = (extract_topology(mols, Distances.of(mols, known), limit) for known in (None, elements))
        for name in (
            "atomic_numbers",
            "pair_atoms",
            "bond_orders",
            "distances",
            "atom_counts",
            "pair_counts",
        ):
            if not np.array_equal(getattr(plain, name), getattr(fast, name)):
                wrong.append(f"{name} of a batch that begins with {rows[0]}")
    return wrong


def main() -> int:
    """Compare all rows; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tables", nargs="*", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take every Nth row only")
    options = parser.parse_args()
    tables = options.tables or sorted(Path(os.environ["MOLIG_DATA_DIR"]).glob("*.parquet"))
    n_wrong = 0
    with rdBase.BlockLogs():
        for path in tables:
            if "smiles" not in pq.read_schema(path).names:
                continue
            counts = {"read": 0, "without stereo": 0, "elements": 0}
            texts = pq.read_table(path, columns=["smiles"])["smiles"].to_pylist()[:: options.every]
            rows = [text for text in texts if text and len(text) <= _LONGEST]
            wrong: list[str] = []
            for start in range(0, len(rows), _BATCH):
                wrong += differences(rows[start : start + _BATCH], counts)
            n_wrong += len(wrong)
            print(
                f"{path.name}: {len(texts)} rows, {counts}, {len(wrong)} differ",
                *wrong[:5],
                sep="\n  ",
                flush=True,
            )
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
