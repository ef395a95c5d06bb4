"""Molecules that are at hand everywhere."""

from __future__ import annotations

import pytest
from rdkit import Chem

from molig.errors import InputError, UsageError
from molig.molecules import MoleculeParser
from molig.molecules.library import library_molecules, reference_compound


def smiles(mols):
    return [Chem.MolToSmiles(mol) for mol in mols]


def test_a_draw_depends_on_its_seed_alone():
    parser = MoleculeParser()
    first = smiles(library_molecules(parser, 20))
    assert len(set(first)) > 15
    assert smiles(library_molecules(parser, 20)) == first
    assert smiles(library_molecules(parser, 20, seed=1)) != first
    assert all(mol.GetNumBonds() for mol in library_molecules(parser, 20))


def test_a_library_of_ones_own_of_which_only_some_can_be_used(tmp_path):
    file = tmp_path / "own.smi"
    file.write_text("CCO\nC\nnonsense\nCCN\n")
    assert sorted(smiles(library_molecules(MoleculeParser(), 20, file))) == ["CCN", "CCO"]
    file.write_text("C\nnonsense\n")
    with pytest.raises(InputError, match=r"own\.smi can be used as a reference"):
        library_molecules(MoleculeParser(), 20, file)


def test_a_compound_by_its_smiles():
    assert smiles([reference_compound(MoleculeParser(), "OCC.[Na+]")]) == ["CCO"]
    for text, reason in (("C1CC", "not parsable"), ("", "empty SMILES")):
        with pytest.raises(UsageError, match=rf"'{text}' of baseline cannot be used: {reason}"):
            reference_compound(MoleculeParser(), text)
