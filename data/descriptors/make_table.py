"""Write the table that the bundled model ``descriptors`` is trained on: molecules with RDKit descriptors.

The descriptors need no assay, so any molecules will do; these come from public sets, without their labels::

    python data/descriptors/make_table.py FOLDER descriptors.parquet
    molig train --recipe descriptors -i descriptors.parquet -o descriptors

FOLDER holds library_moses_1m.parquet, hiv.parquet, muv.parquet and tox21.parquet.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, RDLogger
from rdkit.Chem import rdMolDescriptors

SETS = {"library_moses_1m": 30_000, "hiv": 20_000, "muv": 20_000, "tox21": 8_000}
SMALLEST, LARGEST = 4, 70
SINGLE = (
    "ExactMolWt",
    "NumHeavyAtoms",
    "LabuteASA",
    "TPSA",
    "NumHBD",
    "NumHBA",
    "NumHeteroatoms",
    "NumRotatableBonds",
    "NumAmideBonds",
    "NumRings",
    "NumAromaticRings",
    "NumAliphaticRings",
    "NumSpiroAtoms",
    "NumBridgeheadAtoms",
    "FractionCSP3",
    "HallKierAlpha",
    "Kappa1",
    "Kappa2",
    "Kappa3",
    "Chi0v",
    "Chi1v",
    "Chi2v",
    "Chi3v",
    "Chi4v",
)
BINNED = ("SlogP_VSA_", "SMR_VSA_", "PEOE_VSA_")
# Of a column that varies less than this nothing can be learnt.
LEAST_DEVIATION = 0.02
# Values beyond these quantiles are taken for them: a kappa index can be in the thousands.
QUANTILES = (0.001, 0.999)


def main(folder: Path, output: Path) -> None:
    """Draw the molecules, describe them, write the table."""
    RDLogger.DisableLog("rdApp.*")
    smiles = list(drawn(folder))
    described = pd.DataFrame([describe(Chem.MolFromSmiles(one)) for one in smiles])
    described = described.loc[:, described.std() > LEAST_DEVIATION]
    low, high = (described.quantile(q) for q in QUANTILES)
    table = described.clip(low, high, axis=1)
    table.insert(0, "smiles", smiles)
    table.to_parquet(output)
    print(f"{len(table):,} molecules, {table.shape[1] - 1} descriptors", file=sys.stderr)


def drawn(folder: Path) -> Iterator[str]:
    """SMILES of molecules in one part, neither tiny nor huge."""
    rng = np.random.default_rng(5)
    for name, most in SETS.items():
        column = pd.read_parquet(folder / f"{name}.parquet", columns=["smiles"])["smiles"]
        for smiles in rng.permutation(column.dropna().unique())[:most]:
            mol = None if "." in smiles else Chem.MolFromSmiles(smiles)
            if mol is not None and SMALLEST <= mol.GetNumHeavyAtoms() <= LARGEST:
                yield smiles


def describe(mol: Chem.Mol) -> dict[str, float]:
    """Descriptors of a molecule by name."""
    logp, refractivity = rdMolDescriptors.CalcCrippenDescriptors(mol)
    found = {"CrippenLogP": logp, "CrippenMR": refractivity}
    found |= {name: getattr(rdMolDescriptors, f"Calc{name}")(mol) for name in SINGLE}
    for name in BINNED:
        binned = getattr(rdMolDescriptors, name)(mol)
        found |= {f"{name}{place}": value for place, value in enumerate(binned, 1)}
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
