"""Molecules and panels that several tests draw."""

import numpy as np
import pytest
from rdkit import Chem

from molig.depiction import Panel

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
TAXOL = (
    "CC1=C2C(C(=O)C3(C(CC4C(C3C(C(C2(C)C)(CC1OC(=O)C(C(C5=CC=CC=C5)NC(=O)C6=CC=CC=C6)O)O)"
    "OC(=O)C7=CC=CC=C7)(CO4)OC(=O)C)O)C)OC(=O)C"
)


@pytest.fixture
def aspirin() -> Chem.Mol:
    return Chem.MolFromSmiles(ASPIRIN)


@pytest.fixture
def make_panel():
    """A function from SMILES to a panel with reproducible scores of both signs."""

    def make(smiles: str, *, bonds: bool = True, **words: object) -> Panel:
        mol = Chem.MolFromSmiles(smiles)
        rng = np.random.default_rng(7)
        atom_scores = rng.normal(0, 0.1, mol.GetNumAtoms())
        bond_scores = rng.normal(0, 0.1, mol.GetNumBonds()) if bonds else None
        return Panel(mol, atom_scores, bond_scores, **words)

    return make
