"""A small made-up file in the layout of MoleculeNet's PCBA: 128 tasks, blanks, then mol_id and smiles."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence

from molig.datasets import datasets

TASKS = datasets()["pcba"].targets
SMILES = ("CCO", "c1ccccc1", "CC(=O)Nc1ccc(O)cc1", "C1CC1N", "O=C(O)c1ccccc1")


def made_up_label(row: int, task: int) -> int | None:
    """Every third measurement is missing, every fifth of the others active."""
    number = row * len(TASKS) + task
    return None if number % 3 == 0 else int(number % 5 == 0)


def made_up_pcba(n_rows: int = 12, smiles: Sequence[str] = SMILES) -> bytes:
    """The file, gzipped; labels are written as MoleculeNet does ("0.0", "1.0", nothing)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*TASKS, "mol_id", "smiles"])
    for row in range(n_rows):
        labels = [made_up_label(row, task) for task in range(len(TASKS))]
        shown = ["" if label is None else f"{label:.1f}" for label in labels]
        writer.writerow([*shown, f"CID{row}", smiles[row % len(smiles)]])
    return gzip.compress(text.getvalue().encode(), mtime=0)
