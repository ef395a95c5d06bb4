"""A made-up ground-truth set in the published layout: small alcohols, acids and amines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rdkit import Chem

RECIPE = """
objective = "{objective}"

[molecules]
standardization = "none"

[network]
depth = 4
atom_depth = 4
hidden = [8]

[split]
kind = "given"

[optimization]
epochs = {epochs}
batch_size = 8

[neutral]
copies = 4
{more}
"""

_CARBONYL_SET = "attr_logic7.parquet"
_NITROGEN_SET = "ibenchmark_N.parquet"


def write_recipe(path: Path, objective: str = "classification", epochs: int = 2, more: str = "") -> Path:
    """Recipe of a tiny network; ``more`` are further sections."""
    path.write_text(RECIPE.format(objective=objective, epochs=epochs, more=more))
    return path


def write_fragments(directory: Path, extra: tuple[str, ...] = (), n: int = 40) -> None:
    """The set logic7 with chains of which every second has a fluorine and a carbonyl; extra ones for test."""
    smiles = [f"FC{'C' * (i // 2)}C=O" if i % 2 else f"{'C' * (2 + i // 2)}O" for i in range(n)]
    parts = ["test" if i % 4 > 1 else "train" for i in range(n)]
    columns = _columns([*smiles, *extra], [*parts, *["test"] * len(extra)], "[F,$([CX3]=O),$(O=C)]")
    columns["label"] = [int("F" in text) for text in columns["smiles"]]
    columns["atom_attribution"] = [
        [values if label else [0.0] * len(values)]
        for values, label in zip(columns["atom_attribution"], columns["label"], strict=True)
    ]
    pq.write_table(pa.table(columns), directory / _CARBONYL_SET)


def write_nitrogens(directory: Path, n: int = 40) -> None:
    """The set N with amines."""
    smiles = [f"{'N' if i % 2 else 'C'}{'C' * (i // 3)}{'N' * (i % 3 > 0)}C" for i in range(n)]
    columns = _columns(smiles, ["test" if i % 4 > 1 else "train" for i in range(n)], "[#7]")
    columns["activity"] = [float(text.count("N")) for text in smiles]
    columns["atom_label"] = columns.pop("atom_attribution")
    pq.write_table(pa.table(columns), directory / _NITROGEN_SET)


def _columns(smiles: list[str], parts: list[str], pattern: str) -> dict[str, list]:
    smarts = Chem.MolFromSmarts(pattern)
    truths = []
    for text in smiles:
        mol = Chem.MolFromSmiles(text)
        truth = np.zeros(mol.GetNumAtoms())
        truth[[atom for match in mol.GetSubstructMatches(smarts) for atom in match]] = 1
        truths.append(truth.tolist())
    ids = [f"m{i}" for i in range(len(smiles))]
    return {"mol_id": ids, "smiles": smiles, "split": parts, "atom_attribution": truths}
