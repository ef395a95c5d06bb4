"""Molecules to compare with: from a library, by default RDKit's sample of the NCI's, or one by its SMILES."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
from rdkit import Chem, RDConfig

from molig.errors import InputError, UsageError, called
from molig.molecules.parser import MoleculeParser
from molig.molecules.readers import read_records
from molig.molecules.records import Rejection, batched

_MOST_READ = 20_000


def rdkit_library() -> Path:
    """File of 5,000 SMILES.

    Raises
    ------
    InputError
        If RDKit was installed without its data.
    """
    path = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    if not path.is_file():
        raise InputError(f"RDKit was installed without its data ({path}); name a library of your own")
    return path


def library_molecules(
    parser: MoleculeParser, n: int, source: str | Path | None = None, seed: int = 0
) -> list[Chem.Mol]:
    """Draw molecules from a library, those that a parser accepts and that have a bond.

    Parameters
    ----------
    parser : MoleculeParser
        That of the model.
    n : int
        How many; of a smaller library all.
    source : str or Path, optional
        File with SMILES, of which the first 20,000 rows count; default `rdkit_library`.
    seed : int
        Of the draw.

    Raises
    ------
    InputError
        If the library cannot be read, or none of its molecules can be used.
    """
    records = list(islice(read_records(source or rdkit_library()), _MOST_READ))
    order = np.random.default_rng(seed).permutation(len(records)).tolist()
    found: list[Chem.Mol] = []
    for some in batched([records[i] for i in order], n):
        molecules, _ = parser.parse_many(some)
        found += [molecule.mol for molecule in molecules if molecule.mol.GetNumBonds()]
        if len(found) >= n:
            break
    if not found:
        raise InputError(f"none of the molecules of {source} can be used as a reference")
    return found[:n]


def reference_compound(parser: MoleculeParser, smiles: str) -> Chem.Mol:
    """One molecule that others are compared with.

    Parameters
    ----------
    parser : MoleculeParser
        That of the model.
    smiles : str
        The molecule.

    Raises
    ------
    UsageError
        If the parser rejects it.
    """
    parsed = parser.parse_smiles(smiles)
    if isinstance(parsed, Rejection):
        raise UsageError(
            f"the reference compound {smiles!r} of {called('baseline')} cannot be used: {parsed.reason}"
        )
    return parsed.mol
