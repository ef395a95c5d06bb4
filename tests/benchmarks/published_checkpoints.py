"""Checkpoints that Chemprop's repository ships: predictions beside Chemprop's own, or why they are refused.

Run: ``python tests/benchmarks/published_checkpoints.py DIRECTORY [--molecules 1000] [--out FILE]``

DIRECTORY is ``tests/data`` of a checkout of github.com/chemprop/chemprop; its files are loaded by Chemprop as
well, so let it come from there. Molecules are the first of Tox21, in the directory that MOLIG_DATA_DIR names.
Ends with exit code 1 if a prediction differs by more than 1e-5, absolutely and as a share of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rdkit import Chem, rdBase

sys.path.insert(0, str(Path(__file__).parents[1]))
from foreign.chemprop_models import graphs_of, predicted, real_chemprop
from molig.foreign.chemprop import ChempropModel

import molig
from molig.errors import MoligError
from molig.files import markdown_table
from molig.foreign.chemprop_features import chemprop_graphs

ALLOWED = 1e-5


def main() -> None:
    """Print a row for every file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--molecules", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    mols = molecules(options.molecules)
    rows, failed = [], False
    for file in sorted([*options.directory.rglob("*.pt"), *options.directory.rglob("*.ckpt")]):
        row, wrong = compared(file, mols)
        rows.append([f"`{file.relative_to(options.directory)}`", *row])
        failed |= wrong
    table = "\n".join(
        markdown_table(["file", "what it is", "largest difference, or why it is refused"], rows)
    )
    print(table)
    if options.out:
        options.out.write_text(table + "\n")
    sys.exit(int(failed))


def molecules(n: int) -> list[Chem.Mol]:
    """The first of Tox21 that RDKit reads."""
    table = pd.read_parquet(Path(os.environ["MOLIG_DATA_DIR"]) / "tox21.parquet", columns=["smiles"])
    with rdBase.BlockLogs():
        read = (Chem.MolFromSmiles(smiles) for smiles in table["smiles"])
        return [mol for mol in read if mol is not None and mol.GetNumHeavyAtoms() <= 200][:n]


def compared(file: Path, mols: list[Chem.Mol]) -> tuple[list[str], bool]:
    """What a file holds and how far off predictions are; whether that is too far."""
    try:
        ours = molig.load_model(file)
    except MoligError as error:
        return ["", str(error).replace(str(file), "FILE")], False
    if not isinstance(ours, ChempropModel):
        return ["", f"read as {type(ours).__name__}"], True
    theirs = real_chemprop().models.load_model(file).eval()
    expected = predicted(theirs, graphs_of(mols, ours.preset))
    difference = np.abs(ours.score_graphs(chemprop_graphs(mols, ours.preset)) - expected)
    worst = float((difference / np.maximum(np.abs(expected), 1)).max())
    tasks = f"{len(ours.tasks)} task{'s' * (len(ours.tasks) > 1)}"
    return [f"{ours.objective.value}, {tasks}, features {ours.preset}", f"{worst:.1e}"], worst > ALLOWED


if __name__ == "__main__":
    main()
